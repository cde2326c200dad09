"""`rmplugin hris …`: decide about held runs, ranks, schedule, progress."""

import csv
import io
from datetime import datetime, timedelta

import pytest

from rmplugin.audit import AuditEntry
from rmplugin.cli.hris import _progress
from rmplugin.jobs import OutboxEvent
from rmplugin.people.models import Person, RosterRun
from rmplugin.people.operations import begin_run
from rmplugin.people.tasks import hold_account
from rmplugin.tenants.models import HrAccount
from tests.factories.commands import Commands
from tests.factories.rows import read_rows


@pytest.fixture
def rm(settings, tenant, tool_keys):
    return Commands.of(settings)


@pytest.fixture
def write(tmp_path):
    """Write the file that the account reads: ``write(("1", "G1"), …)``."""

    def write(*people):
        with (tmp_path / "people.csv").open("w", newline="") as file:
            csv.writer(file).writerows(
                [["Employee ID", "Name", "Grade"], *((n, f"Person {n}", grade) for n, grade in people)]
            )
        return tmp_path / "people.csv"

    return write


@pytest.fixture
def people(rm, write):
    """Connect a file of three people; nothing was read yet."""
    path = write(("1", "G1"), ("2", "G1"), ("3", "G9"))
    rm.do("hris", "add", "people", "--connector", "csv_file", "--set", f"path={path}", "--rank", "G9=90")


@pytest.fixture
def rows(database, tenant):
    return lambda model: read_rows(database, tenant, model)


def test_held_run_when_accepted_is_applied_by_the_worker(rm, people, rows, runtime):
    assert rm("hris", "sync", "people").code == 1
    (run,) = rm.do("hris", "runs", "people", "--json").json
    said = rm.do("hris", "accept", "people", "--json").json
    assert said == {"run_id": run["run_id"], "account": "people", "decision": "accept"}
    # The worker need not wait for its next minute.
    assert runtime.queue.pending_count() == 1
    assert rows(Person) == []
    assert ("roster_run.accept", "command") in {(e.action, e.actor) for e in rows(AuditEntry)}


def test_accepted_run_when_read_by_hand_before_the_worker_came_is_applied(rm, people, rows):
    rm("hris", "sync", "people")
    rm.do("hris", "accept", "people")
    rm.do("hris", "sync", "people", "--dry-run")
    assert rows(Person) == []
    said = rm.do("hris", "sync", "people")
    assert "it is applied first" in said.err
    assert len(rows(Person)) == 3
    statuses = [run["status"] for run in rm.do("hris", "runs", "people", "--json").json]
    assert statuses.count("held") == 1
    assert statuses[0] == "complete"
    assert "it is applied first" not in rm.do("hris", "sync", "people").err


def test_held_run_when_dropped_stays_in_the_list_as_dropped(rm, people, rows):
    rm("hris", "sync", "people")
    assert "Nobody was changed" in rm.do("hris", "drop", "people").out
    assert [run["status"] for run in rm.do("hris", "runs", "people", "--json").json] == ["dropped"]
    for verb in ("accept", "drop"):
        said = rm("hris", verb, "people")
        assert (said.code, "No run of 'people' is held" in said.err) == (1, True)


def test_ranks_when_set_are_listed_and_hold_for_the_people_who_are_there(rm, people, rows, tmp_path):
    rm.do("hris", "sync", "people", "--accept-shrink")
    assert rm.do("hris", "ranks", "people", "--json").json == [
        {"word": "G1", "people": 2, "rank": None}, {"word": "G9", "people": 1, "rank": 90},
    ]  # fmt: skip
    said = rm.do("hris", "ranks", "people", "--set", "G1=10", "--json")
    assert said.json[0] == {"word": "G1", "people": 2, "rank": 10}
    assert "2 people have another rank now" in said.err
    (tmp_path / "ranks.csv").write_text("word,rank\nG1,15\nG9,\n")
    rm.do("hris", "ranks", "people", "--file", tmp_path / "ranks.csv")
    assert {p.source_key: p.seniority_rank for p in rows(Person)} == {"1": 15, "2": 15, "3": None}


@pytest.mark.parametrize("wrong", ["G1", "G1=101", "G1=many", "G1=-1"])
def test_ranks_when_wrong_are_refused_and_change_nothing(rm, people, rows, wrong):
    assert rm("hris", "ranks", "people", "--set", wrong).code == 2
    assert rows(HrAccount)[0].grade_ranks == {"G9": 90}


def test_schedule_when_set_plans_the_next_run(rm, people, rows):
    said = rm.do("hris", "schedule", "people", "--every", "60", "--json").json
    assert said["schedule"] == 60
    planned = datetime.fromisoformat(said["next_run_at"])
    assert abs(planned - datetime.now(planned.tzinfo) - timedelta(hours=1)) < timedelta(minutes=1)
    assert rm.do("hris", "schedule", "people", "--every", "off", "--json").json["next_run_at"] is None
    assert rm("hris", "schedule", "people", "--every", "hourly").code == 2
    assert rm.do("hris", "list", "--json").json == [
        {"name": "people", "connector": "csv_file", "schedule": None, "next_run_at": None}
    ]


def test_webhook_when_the_connector_takes_no_notices_is_refused(rm, people):
    said = rm("hris", "webhook", "people")
    assert (said.code, "takes no notices" in said.err) == (1, True)


def test_account_when_the_name_is_there_already_says_so(rm, people):
    said = rm("hris", "add", "people", "--connector", "csv_file", "--set", "path=x")
    assert (said.code, "'people' exists already" in said.err) == (1, True)


def test_doctor_when_a_run_waits_says_what_to_do(rm, people):
    rm("hris", "sync", "people")
    found = {row["what"]: row for row in rm("doctor", "--json").json}
    finding = found["HR account people: runs"]
    assert not finding["ok"]
    assert "rmplugin hris accept people" in finding["advice"]


def test_runs_when_listed_have_counts(rm, people, rows):
    rm.do("hris", "sync", "people", "--accept-shrink")
    (run,) = rm.do("hris", "runs", "--json").json
    assert (run["status"], run["created"], run["skipped"]) == ("complete", 3, 0)
    assert len(rows(RosterRun)) == 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_when_on_a_terminal_counts_people_of_all(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with _progress("people", quiet=False) as told:
        told(20, 80)
        told(80, 80)
    assert "Reading people" in terminal.getvalue()
    assert "20/80" in terminal.getvalue()
    assert "80/80" in terminal.getvalue()


def test_progress_when_nobody_looks_is_not_shown(monkeypatch):
    quiet, file = Terminal(), io.StringIO()
    monkeypatch.setattr("sys.stderr", quiet)
    with _progress("people", quiet=True) as told:
        assert told is None
    monkeypatch.setattr("sys.stderr", file)
    with _progress("people", quiet=False) as told:
        assert told is None
    assert quiet.getvalue() + file.getvalue() == ""


def test_runs_when_one_failed_or_is_held_are_listed_for_people(rm, people, write):
    rm("hris", "sync", "people")
    write().unlink()
    assert rm("hris", "sync", "people").code == 1
    assert "Nobody was changed" in rm.do("hris", "runs", "people").out
    failed, held = rm.do("hris", "runs", "people", "--json").json
    assert (failed["status"], failed["seen"], held["seen"]) == ("failed", 0, 3)


def test_accepting_when_it_was_accepted_before_asks_the_worker_once(rm, people, rows):
    rm("hris", "sync", "people")
    for _ in range(2):
        rm.do("hris", "accept", "people")
    assert [event.kind for event in rows(OutboxEvent)].count("roster_wanted") == 1
    assert [entry.action for entry in rows(AuditEntry)].count("roster_run.accept") == 1


def test_split_when_two_accounts_list_one_person_lists_them_and_makes_two_of_them(rm, people, write, rows):
    rm.do("hris", "sync", "people", "--accept-shrink")
    path = write(("1", "G1"))
    path = path.rename(path.with_name("other.csv"))
    rm.do("hris", "add", "my others", "--connector", "csv_file", "--set", f"path={path}")
    rm.do("hris", "sync", "my others", "--accept-shrink")
    (double,) = rm.do("hris", "split", "my others", "--json").json
    assert (double["name"], double["account"]) == ("Person 1", "people")
    refused = rm("hris", "split", "people", double["person_id"])
    assert (refused.code, "There is no person" in refused.err) == (1, True)
    assert rm("hris", "split", "my others", "nobody").code == 2
    assert rm.do("hris", "split", "my others", double["person_id"], "--json").json == []
    assert "Nothing was changed" in rm("hris", "split", "my others", double["person_id"]).err
    rm("hris", "sync", "my others")
    assert [person.same_person_id for person in rows(Person)] == [None] * 4


def test_remove_when_a_run_was_killed_removes_and_when_one_is_at_work_does_not(
    rm, people, rows, runtime, tenant
):
    (account,) = rows(HrAccount)
    with runtime.database.transaction(tenant.id) as db:
        begin_run(db, account, "full", runtime.clock())
    with hold_account(runtime.database, account.id):
        assert "Nothing was changed" in rm("hris", "remove", "people", "--yes").err
    rm.do("hris", "remove", "people", "--yes")
    assert rows(HrAccount) == []
