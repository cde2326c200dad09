"""A roster from a file to the database, with everything that can go wrong on the way."""

import multiprocessing
import os
import signal
import threading
from datetime import date, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from connectors.hris.csv_file import CsvFileConnector
from rmplugin.audit import AuditEntry
from rmplugin.db import Database
from rmplugin.errors import ConflictError, InputError, NotFoundError
from rmplugin.hookspecs import hookimpl
from rmplugin.jobs import OutboxEvent
from rmplugin.people import operations, queries, reporting, tasks
from rmplugin.people.models import Person, RosterRun
from rmplugin.plugins import Plugins
from rmplugin.records import Capabilities, EmployeeRecord, RosterPage
from rmplugin.tenants.models import HrAccount
from tests.factories.rosters import Source, company, counts, frozen, person


@pytest.fixture
def source(runtime, tenant, clock, tmp_path):
    return Source(runtime, tenant, clock, tmp_path / "roster.csv")


# -- ordinary life -----------------------------------------------------------------------------------------


def test_sync_when_first_creates_everybody_with_managers_and_ranks(source, tenant):
    report = source.sync(company(30))
    people = source.people()
    assert (report.status, report.mode, counts(report)) == ("complete", "full", {"seen": 30, "created": 30})
    assert people["30"].manager_id == people["7"].id
    assert (people["1"].manager_id, people["1"].manager_state) == (None, "none")
    assert {p.tenant_id for p in people.values()} == {tenant.id}
    assert people["5"].seniority_rank == 10
    assert people["5"].hire_date == date(2020, 1, 1)
    assert people["5"].seen_at == source.clock.now


def test_sync_json_when_complete_has_the_public_shape(source):
    document = source.sync([*company(12), person(99, hired="yesterday")]).as_json()
    assert list(document) == [
        "run_id", "status", "mode", "seen", "created", "updated", "unchanged", "deactivated", "reactivated",
        "skipped", "held_reason", "cursor", "seconds",
    ]  # fmt: skip
    assert document["skipped"] == [
        {"ref": "row 14", "field": "hire_date", "reason": "The date is not of the declared format %Y-%m-%d."}
    ]
    assert (document["seen"], document["created"]) == (13, 12)


def test_sync_when_nothing_changed_writes_nothing_but_when_they_were_seen(source):
    source.sync(company(30))
    before = source.people()
    report = source.sync(company(30))
    after = source.people()
    assert counts(report) == {"seen": 30, "unchanged": 30}
    assert {k: p.updated_at for k, p in before.items()} == {k: p.updated_at for k, p in after.items()}
    assert {p.seen_at for p in after.values()} == {source.clock.now}


def test_sync_when_a_row_changed_updates_that_person_only(source):
    source.sync(company(30))
    before = source.people()
    rows = company(30)
    rows[4] = person(5, name="Ada Byron", manager=1)
    report = source.sync(rows)
    after = source.people()
    assert counts(report) == {"seen": 30, "unchanged": 29, "updated": 1}
    assert after["5"].display_name == "Ada Byron"
    assert after["5"].id == before["5"].id
    assert [k for k in after if after[k].updated_at != before[k].updated_at] == ["5"]


def test_sync_when_the_status_column_is_gone_brings_no_leaver_back(source):
    rows = company(30)
    rows[28:] = [person(n, manager=7, status="Terminated") for n in (29, 30)]
    source.sync(rows)
    before = frozen(source.people())
    source.path.write_text(source.path.read_text("utf-8").replace("Status", "Standing"), "utf-8")
    report = source.sync()
    assert report.status == "held"
    assert "status_raw" in report.held_reason
    assert frozen(source.people()) == before


def test_sync_when_the_leaving_dates_are_gone_brings_nobody_back(source):
    rows = company(30)
    rows[20:] = [person(n, manager=2, ended="2024-01-31") for n in range(21, 31)]
    source.sync(rows)
    report = source.sync(company(30))
    assert report.status == "held"
    assert "10 people who had left would be at work again" in report.held_reason
    assert source.people()["30"].is_working is False


def test_sync_when_somebody_leaves_and_returns_keeps_their_id(source):
    source.sync(company(30))
    before = source.people()["30"]
    missed = source.sync(company(29))
    missing = source.people()["30"]
    left = source.sync(company(29))
    gone = source.people()["30"]
    back = source.sync(company(30))
    again = source.people()["30"]
    assert counts(missed) == {"seen": 29, "unchanged": 29}
    assert (missing.lifecycle, missing.missing_runs, missing.is_working) == ("missing", 1, True)
    assert counts(left) == {"seen": 29, "unchanged": 29, "deactivated": 1}
    assert (gone.lifecycle, gone.is_working) == ("tombstoned", False)
    assert counts(back) == {"seen": 30, "unchanged": 29, "reactivated": 1}
    assert (again.id, again.lifecycle, again.is_working) == (before.id, "present", True)


def test_sync_when_an_end_date_passes_the_person_becomes_a_leaver_that_day(source):
    rows = company(30)
    last_day = source.clock.now.date() + timedelta(days=3)
    rows[29] = person(30, manager=7, ended=last_day.isoformat())
    source.sync(rows)
    assert (source.people()["30"].status, source.people()["30"].termination_date) == ("active", last_day)
    source.clock.forward(days=4)
    assert counts(source.sync()) == {"seen": 30, "unchanged": 29, "deactivated": 1}
    assert source.people()["30"].status == "terminated"


def test_sync_when_somebody_starts_later_is_a_prehire(source):
    source.sync(
        [*company(12), person(13, hired="2030-01-01"), person(14, hired="2030-01-01", status="Inactive")]
    )
    assert {source.people()[k].status for k in ("13", "14")} == {"prehire"}


def test_sync_when_a_grade_is_unmapped_reports_it_by_frequency(source):
    rows = [
        *company(12),
        person(13, grade="Z"),
        person(14, grade="Y"),
        person(15, grade="Z"),
        person(16, grade="g9 "),
    ]
    report = source.sync(rows)
    assert report.notes["unmapped_grades"] == [["Z", 2], ["Y", 1]]
    assert source.people()["13"].seniority_rank is None
    assert source.people()["16"].seniority_rank == 90


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("GMT+5", None),
        ("CET", None),
    ],
)
def test_sync_when_time_zones_are_no_places_leaves_them_out(source, zone, expected):
    source.sync([person(1, zone=zone)])
    assert source.people()["1"].time_zone == expected


# -- managers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["1", "P1@Example.com", "Person 1", "1, person", "  PERSON   1 "])
def test_sync_when_managers_are_named_by_number_email_or_name_finds_them(source, reference):
    source.sync([person(2, manager=reference), person(1)])
    people = source.people()
    assert (people["2"].manager_id, people["2"].manager_state) == (people["1"].id, "resolved")


def test_sync_when_a_manager_is_unknown_ambiguous_or_oneself_says_so(source):
    report = source.sync(
        [person(1, name="Ada Byron"), person(2, name="Ada Byron"), person(3, manager="Byron, Ada"),
         person(4, manager=77), person(5, manager=5), person(6, manager=5)]
    )  # fmt: skip
    states = {k: p.manager_state for k, p in source.people().items()}
    assert states == {
        "1": "none",
        "2": "none",
        "3": "unresolved",
        "4": "unresolved",
        "5": "self",
        "6": "resolved",
    }
    assert report.notes["managers"] == {"none": 2, "unresolved": 2, "self": 1, "resolved": 1}


def test_sync_when_managers_form_a_circle_cuts_it_for_its_members_only(source, tenant):
    source.sync([person(1, manager=3), person(2, manager=1), person(3, manager=2), person(4, manager=1)])
    people = source.people()
    assert [people[k].manager_state for k in "1234"] == ["cycle", "cycle", "cycle", "resolved"]
    with source.runtime.database.transaction(tenant.id, write=False) as db:
        assert reporting.reporting_map(db) == {people["4"].id: people["1"].id}


def test_sync_when_a_manager_arrives_later_moves_the_unchanged_reports(source):
    source.sync([*company(20), person(21, manager="99")])
    assert source.people()["21"].manager_state == "unresolved"
    report = source.sync([*company(20), person(21, manager="99"), person(99)])
    people = source.people()
    assert counts(report) == {"seen": 22, "unchanged": 21, "created": 1}
    assert (people["21"].manager_id, people["21"].manager_state) == (people["99"].id, "resolved")


# -- brakes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "brake"),
    [
        ([], "zero_rows"),
        (company(28), "leaving"),
        (company(35), "shrunk"),
        ([person(n, email=f"p{n}@new.example", manager=(n - 1) // 4 or "") for n in range(1, 41)], "emails"),
        ([person(n, manager=1 if n > 1 else "") for n in range(1, 41)], "managers"),
        ([person(n, manager=(n - 1) // 4 or "", hired="") for n in range(1, 41)], "blanks"),
        ([*company(40), *company(3)], "duplicates"),
        (
            [person(n, manager=(n - 1) // 4 or "", status="Left" if n > 30 else "") for n in range(1, 41)],
            "leaving",
        ),
    ],
)
def test_sync_when_a_brake_is_passed_holds_the_run_and_changes_nobody(source, rows, brake):
    source.sync(company(40))
    before = frozen(source.people())
    report = source.sync(rows)
    run = source.rows(RosterRun)[-1]
    assert report.status == run.status == "held"
    assert brake in report.notes["brakes"]
    assert "Nobody was changed" in report.held_reason
    assert report.held_reason.endswith("Nobody was changed. Check the source.")
    assert run.held_reason == report.held_reason
    assert frozen(source.people()) == before


@pytest.mark.parametrize(
    ("content", "status", "brakes"),
    [(b"", "failed", set()), (b"Employee Number,Name\n", "held", {"first", "zero_rows"})],
)
def test_sync_when_the_first_file_is_empty_changes_nobody(source, content, status, brakes):
    source.path.write_bytes(content)
    report = source.read()
    assert (report.status, set(report.notes.get("brakes", ()))) == (status, brakes)
    assert source.people() == {}


def test_sync_when_the_same_file_or_an_older_one_comes_keeps_its_place(source):
    source.sync(company(20))
    cursor = source.rows(HrAccount)[0].cursor
    report = source.sync()
    assert (report.status, report.unchanged, report.cursor) == ("complete", 20, cursor)
    source.path.write_text(source.path.read_text() + "\n")
    os.utime(source.path, (1, 1))
    report = source.sync()
    assert report.status == "failed"
    assert "is older than the one that was read last" in report.held_reason
    assert source.rows(HrAccount)[0].cursor == cursor
    assert source.sync(full=True).status == "complete"


def test_sync_when_the_shrink_is_accepted_applies_it_and_writes_it_down(source):
    source.sync(company(40))
    assert source.sync(company(28)).status == "held"
    report = source.sync(accept_shrink=True, actor="person:7")
    assert (report.status, report.deactivated, report.held_reason) == ("complete", 12, None)
    assert sum(p.is_working for p in source.people().values()) == 28
    deed = source.rows(AuditEntry)[-1]
    assert (deed.actor, deed.action, deed.details["deactivated"]) == (
        "person:7",
        "roster_run.accept_shrink",
        12,
    )
    assert set(deed.details["brakes"]) == {"leaving", "shrunk"}
    assert source.rows(RosterRun)[-1].shrink_accepted
    assert source.sync(company(28)).status == "complete"


def test_sync_when_accepting_was_not_needed_writes_no_deed(source):
    source.sync(company(40))
    source.sync(company(40), accept_shrink=True)
    assert [deed for deed in source.rows(AuditEntry) if deed.action == "roster_run.accept_shrink"][1:] == []


def test_sync_when_one_person_leaves_a_tiny_company_goes_through(source):
    source.sync(company(4))
    assert source.sync(company(3)).status == "complete"


# -- bad rows ----------------------------------------------------------------------------------------------


def test_sync_when_a_row_is_bad_keeps_the_person_as_they_were(source):
    source.sync(company(30))
    rows = company(30)
    rows[29] = person(30, hired="soon")
    report = source.sync(rows)
    assert (report.deactivated, report.unchanged, len(report.skipped)) == (0, 29, 1)
    assert source.people()["30"].is_working
    assert source.rows(RosterRun)[-1].skipped == report.skipped


def test_sync_when_a_manager_has_a_bad_row_their_reports_keep_them(source):
    source.sync(company(30))
    rows = company(30)
    rows[6] = person(7, hired="soon")
    report = source.sync(rows)
    assert counts(report) == {"seen": 30, "unchanged": 29}
    assert source.people()["30"].manager_id == source.people()["7"].id


def test_sync_when_a_key_comes_twice_keeps_the_first(source):
    report = source.sync([*company(20), person(20, name="Somebody else")])
    assert source.people()["20"].display_name == "Person 20"
    assert report.skipped == [
        {
            "ref": "row 22",
            "field": "source_key",
            "reason": "The same key stands in an earlier record; the first one is kept.",
        }
    ]


# -- runs that do not end well -----------------------------------------------------------------------------


def test_sync_when_the_file_is_gone_fails_and_changes_nobody(source):
    source.sync(company(20))
    before = frozen(source.people())
    source.path.unlink()
    report = source.sync()
    assert (report.status, counts(report)) == ("failed", {})
    assert "Nobody was changed" in report.held_reason
    assert frozen(source.people()) == before
    assert source.rows(RosterRun)[-1].status == "failed"


class CrashingPlugin:
    """A connector that gives one page and then does what it is told."""

    key, title, capabilities = "crashing", "Crashing", Capabilities()
    settings_schema = CsvFileConnector.settings_schema

    def __init__(self, then, **values):
        self.then, self.values = then, values

    def check(self, _settings):
        return []

    def read(self, _settings, _cursor):
        record = EmployeeRecord(source_key="1", ref="1", display_name="Ada", **self.values)
        yield RosterPage([record], cursor="page-2")
        self.then()

    @hookimpl
    def rm_register_hris_connectors(self):
        return [self]


def with_connector(source, then, **values):
    plugins = Plugins([CrashingPlugin(then, **values)])
    with source.runtime.database.transaction(source.tenant.id) as db:
        db.scalars(select(HrAccount)).one().connector = "crashing"
    return plugins


def test_sync_when_a_connector_crashes_fails_without_repeating_what_it_said(source, tenant):
    def crash():
        raise RuntimeError("ada@example.com")

    plugins = with_connector(source, crash)
    report = tasks.sync_roster(source.runtime.database, plugins, tenant.id, "hr", now=source.clock.now)
    assert report.status == "failed"
    assert "RuntimeError" in report.held_reason
    assert "ada@" not in report.held_reason
    assert source.people() == {}
    assert source.rows(HrAccount)[0].cursor is None


def test_sync_when_storing_fails_changes_nobody_and_closes_the_run(source, tenant):
    plugins = with_connector(source, lambda: None, seniority_rank=200)
    with pytest.raises(IntegrityError):
        tasks.sync_roster(
            source.runtime.database, plugins, tenant.id, "hr", now=source.clock.now, accept_shrink=True
        )
    assert source.people() == {}
    assert [run.status for run in source.rows(RosterRun)] == ["failed"]


def _sync_and_die(url, secrets, tenant_id, now):
    plugins = Plugins([CrashingPlugin(lambda: os.kill(os.getpid(), signal.SIGKILL))])
    tasks.sync_roster(Database(url, secrets), plugins, tenant_id, "hr", now=now)


def test_sync_when_killed_while_reading_changes_nobody_and_the_next_run_goes_on(source, tenant):
    source.sync(company(20))
    before = frozen(source.people())
    with_connector(source, None)
    database = source.runtime.database
    process = multiprocessing.get_context("spawn").Process(
        target=_sync_and_die, args=(database.url, database.secrets, tenant.id, source.clock.now)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert frozen(source.people()) == before
    assert source.rows(RosterRun)[-1].status == "running"
    with database.transaction(tenant.id) as db:
        db.scalars(select(HrAccount)).one().connector = "csv_file"
    assert source.sync(company(20)).status == "complete"
    assert [run.status for run in source.rows(RosterRun)] == ["complete", "failed", "complete"]


def test_apply_when_the_transaction_breaks_off_changes_nobody(source, tenant, clock):
    source.sync(company(20))
    before = frozen(source.people())
    database = source.runtime.database
    with database.transaction(tenant.id) as db:
        run = operations.begin_run(db, db.scalars(select(HrAccount)).one(), "full", clock.now)

    def apply_and_break_off(staging):
        staging.add_page(
            RosterPage([EmployeeRecord(source_key=str(n), ref="", display_name="New") for n in range(21)])
        )
        with database.transaction(tenant.id) as db:
            operations.apply_roster(
                db, db.get_one(RosterRun, run.id), staging, clock.now, everybody=True, accept_shrink=True
            )
            raise KeyboardInterrupt

    with tasks.Staging({}, clock.now) as staging, pytest.raises(KeyboardInterrupt):
        apply_and_break_off(staging)
    assert frozen(source.people()) == before
    assert source.rows(RosterRun)[-1].status == "running"


def test_sync_when_another_run_is_at_work_refuses(source, tenant):
    reading, go_on = threading.Event(), threading.Event()

    def wait():
        reading.set()
        assert go_on.wait(30)

    plugins = with_connector(source, wait)
    database, reports = source.runtime.database, []
    first = threading.Thread(
        target=lambda: reports.append(
            tasks.sync_roster(database, plugins, tenant.id, "hr", now=source.clock.now)
        )
    )
    first.start()
    assert reading.wait(30)
    try:
        with pytest.raises(ConflictError, match="Another run"):
            tasks.sync_roster(database, plugins, tenant.id, "hr", now=source.clock.now)
        # Nothing is locked in the database while the source is read.
        with database.transaction(tenant.id) as db:
            db.scalars(select(HrAccount)).one().name = "hr"
    finally:
        go_on.set()
        first.join(30)
    assert [report.status for report in reports] == ["held"]
    assert len(source.rows(RosterRun)) == 1


def test_sync_when_dry_shows_the_counts_and_leaves_no_trace(source):
    source.sync(company(40))
    before, runs = frozen(source.people()), len(source.rows(RosterRun))
    rows = company(41)
    rows[4] = person(5, name="Ada Byron", manager=1)
    report = source.sync(rows, dry_run=True)
    held = source.sync(company(10), dry_run=True, accept_shrink=True)
    assert (report.run_id, report.status) == (None, "complete")
    assert counts(report) == {"seen": 41, "created": 1, "updated": 1, "unchanged": 39}
    assert (held.status, held.deactivated) == ("held", 30)
    assert frozen(source.people()) == before
    assert len(source.rows(RosterRun)) == runs


# -- around it ---------------------------------------------------------------------------------------------


def test_sync_when_it_ends_leaves_an_event_for_the_plug_ins(source, tenant):
    complete = source.sync(company(20))
    held = source.sync([])
    events = [event for event in source.rows(OutboxEvent) if event.kind == "roster_synced"]
    assert [event.payload for event in events] == [
        {"tenant_slug": tenant.slug, "run_id": complete.run_id, "status": "complete"},
        {"tenant_slug": tenant.slug, "run_id": held.run_id, "status": "held"},
    ]


def test_sync_when_another_tenant_and_account_have_the_same_keys_leaves_them_alone(
    source, runtime, other_tenant, clock, tmp_path
):
    rival = Source(runtime, other_tenant, clock, tmp_path / "rival.csv")
    second = Source(runtime, source.tenant, clock, tmp_path / "second.csv", name="second")
    source.sync(company(20))
    rival.sync(company(20))
    second.sync([person(n + 1000) for n in range(8)])
    before = frozen(rival.people())
    source.sync([person(n, name="Changed") for n in range(1, 8)], accept_shrink=True)
    assert frozen(rival.people()) == before
    working = [key for key, p in source.people().items() if p.is_working]
    assert len(working) == 7 + 8
    with pytest.raises(NotFoundError):
        tasks.sync_roster(runtime.database, runtime.plugins, other_tenant.id, "second", now=clock.now)


def test_sync_when_the_file_lists_changes_only_takes_nobody_for_a_leaver(source, tenant):
    source.sync(company(40))
    with source.runtime.database.transaction(tenant.id) as db:
        account = db.scalars(select(HrAccount)).one()
        account.settings = {**account.settings, "full": False}
    report = source.sync([person(40, name="Ada Byron", manager=9), person(41, manager=40)])
    people = source.people()
    assert (report.mode, counts(report)) == ("incremental", {"seen": 2, "updated": 1, "created": 1})
    assert people["40"].manager_id == people["9"].id
    assert people["41"].manager_id == people["40"].id
    assert sum(p.is_working for p in people.values()) == 41


def test_sync_when_the_settings_no_longer_fit_says_which(source, tenant):
    with source.runtime.database.transaction(tenant.id) as db:
        db.scalars(select(HrAccount)).one().settings = {"path": "x.csv", "pth": "y.csv"}
    with pytest.raises(InputError, match="pth"):
        source.sync()
    assert source.rows(RosterRun) == []


def test_display_names_when_asked_for_give_everybody_of_the_tenant(source, tenant):
    source.sync(
        [*company(20), person(21, email="P5@example.com"), person(22, status="Left", email="p6@example.com")]
    )
    with source.runtime.database.transaction(tenant.id, write=False) as db:
        ids = {p.source_key: p.id for p in db.scalars(select(Person))}
        assert queries.display_names(db, {ids["7"], ids["22"]}) == {
            ids["7"]: "Person 7",
            ids["22"]: "Person 22",
        }


def test_sync_when_every_row_is_bad_says_so_and_claims_no_field_is_filled(source):
    source.path.write_text("Employee Number,Name,Hire Date\n1,Ada Byron,01.02.2020\n2,Ben Abel,01.02.2020\n")
    report = source.read()
    assert (report.status, report.notes["blanks"]) == ("held", {})
    assert "The source listed 2 people; none of them can be used." in report.held_reason
