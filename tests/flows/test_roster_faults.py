"""What HR systems do to a roster: one test per fault, by the number that it has in our list of faults."""

import multiprocessing
import os
import signal
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.exc import OperationalError

from lti.roles import parse_roles
from rmplugin import db
from rmplugin.db import Database
from rmplugin.errors import CursorExpiredError
from rmplugin.hris.operations import remove_account
from rmplugin.people import tasks
from rmplugin.people.identity import Candidate, Sighting
from rmplugin.people.models import Person, RosterRun
from rmplugin.people.store import link_users
from rmplugin.plugins import Plugins
from rmplugin.records import RosterPage
from rmplugin.tenants.models import HrAccount, LtiPlatform
from tests.factories.rosters import HEADER, Scripted, Source, company, counts, frozen, record, staff


@pytest.fixture
def source(runtime, tenant, clock, tmp_path):
    return Scripted(runtime, tenant, clock, tmp_path, incremental=True, deletes=True)


@pytest.fixture
def file(runtime, tenant, clock, tmp_path):
    return Source(runtime, tenant, clock, tmp_path / "people.csv")


def test_keys_when_they_come_twice_keep_the_first_and_list_the_other(source):
    """Fault 24: duplicate ids with the same or another content."""
    report = source.give([*staff(400), record(1), record(2, display_name="Another")])
    assert [entry["ref"] for entry in report.skipped] == ["row 1", "row 2"]
    assert source.people()["2"].display_name == "Person 2"
    assert report.status == "complete"


def test_keys_when_their_type_changes_are_the_same_person(source):
    """Fault 25: an id becomes a number, or a text again; leading zeros stay."""
    source.give([record(7), record("007")])
    before = source.people()
    number = replace(record(7, employee_number=42), source_key=7)
    report = source.give([number, record("007")], full=True)
    assert (report.created, report.updated, report.unchanged) == (0, 1, 1)
    assert source.people()["7"].id == before["7"].id
    assert source.people()["7"].employee_number == "42"


def sight(source, email, sub="u1"):
    """Let somebody with this address open the tool; give whom they are taken for."""
    with source.runtime.database.transaction(source.tenant.id) as db:
        platform = db.scalars(select(LtiPlatform)).first()
        if platform is None:
            platform = LtiPlatform(
                name="lms", issuer="https://lms.example", client_id="c", auth_url="https://lms.example/a",
                token_url="https://lms.example/t", jwks_url="https://lms.example/k",
                created_at=source.clock.now, identity_sources=["email"], employee_number_params=[],
            )  # fmt: skip
            db.add(platform)
            db.flush()
        someone = Sighting(sub, "Somebody", email, parse_roles([]), (Candidate("email", email),))
        user = link_users(db, platform, [someone], source.clock.now)[sub]
        return user.link_state, user.person_id


def test_people_when_keys_or_addresses_are_missing_or_shared_are_kept_apart(source):
    """Fault 26: no id, no address, one address of two, an address of a leaver given to somebody new."""
    hired = {"hire_date": date(2020, 1, 1)}
    source.give(
        [*staff(10), record(""), record("x", email=None), record("i", email="info@example.com"),
         record("j", email="INFO@example.com"), record("old", email="a.b@example.com", **hired)]
    )  # fmt: skip
    people = source.people()
    assert {"x", "i", "j"} <= set(people)
    assert "" not in people
    assert sight(source, "info@example.com", "u2") == ("conflict", None)
    assert sight(source, "a.b@example.com", "u3") == ("confirmed", people["old"].id)
    source.give(
        [*staff(10), record("x", email=None), record("i", email="info@example.com"),
         record("j", email="INFO@example.com"),
         record("old", email="a.b@example.com", status="terminated", **hired),
         record("new", email="A.B@example.com", hire_date=date(2026, 1, 1))],
        full=True,
    )  # fmt: skip
    # The account in the LMS may still be the leaver's: a person decides.
    assert sight(source, "a.b@example.com", "u3")[0] == "conflict"
    assert sight(source, "a.b@example.com", "u4")[0] == "conflict"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Ada", "Ada"),
        ("", "p1@example.com"),
        ("A" * 300, "A" * 255),
        ("עדה לאבלייס", "עדה לאבלייס"),
        ("Ada 👩‍💻", "Ada 👩‍💻"),
        ("Ame\u0301lie", "Am\u00e9lie"),
        ("Ada\x00\x07 \tByron\n", "Ada Byron"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"),
        ("Ada\ud800", "Ada"),
    ],
)
def test_names_when_they_are_strange_are_kept_as_safe_text(source, name, kept):
    """Fault 27: empty, long, right-to-left, emoji, decomposed, control characters, HTML, formula."""
    source.give([record(1, display_name=name, user_name="p1@example.com")])
    assert source.people()["1"].display_name == kept


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source_key", "k" * 256),
        ("source_key", "k\x00"),
        ("employee_number", "1\x07"),
        ("email", "a" * 250 + "@example.com"),
    ],
)
def test_keys_when_they_cannot_be_kept_as_they_are_cost_the_record(source, field, value):
    """Fault 27, of what names somebody: mending it would name somebody else."""
    report = source.give([*staff(3), replace(record(9), **{field: value})])
    assert [entry["field"] for entry in report.skipped] == [field]
    assert len(source.people()) == 3


def test_managers_when_named_in_any_way_are_found_or_left_open(source):
    """Fault 28: absent, oneself, circles, by key, number, address and name, a name of several."""
    source.give(
        [
            record("boss", employee_number="77", email="boss@example.com", display_name="Bo Boss"),
            record("twin 1", display_name="Twin"), record("twin 2", display_name="Twin"),
            record("none"), record("self", manager_key="self"), record("lost", manager_key="nobody"),
            record("a", manager_key="b"), record("b", manager_key="a"),
            record("c", manager_key="d"), record("d", manager_key="e"), record("e", manager_key="c"),
            record("by key", manager_key="boss"), record("by number", manager_key="77"),
            record("by address", manager_email="Boss@Example.com"),
            record("by name", manager_name="Boss, Bo"), record("by twin", manager_name="twin"),
        ]
    )  # fmt: skip
    states = {key: person.manager_state for key, person in source.people().items()}
    assert {key for key, state in states.items() if state == "cycle"} == set("abcde")
    assert {states[key] for key in ("by key", "by number", "by address", "by name")} == {"resolved"}
    assert {states[key] for key in ("lost", "by twin")} == {"unresolved"}
    assert (states["self"], states["none"]) == ("self", "none")


def test_status_when_it_goes_back_and_forth_follows_the_source(source, clock):
    """Fault 29: rehired, a termination ahead, one that is cancelled, one of the past."""
    soon, past = clock.now.date() + timedelta(days=9), clock.now.date() - timedelta(days=9)
    source.give([*staff(20), record("a", termination_date=soon), record("b", status="unknown")])
    first = source.people()
    assert {first[k].is_working for k in "ab"} == {True}
    source.give([*staff(20), record("a"), record("b", termination_date=past)], full=True)
    assert (source.people()["a"].changes_on, source.people()["b"].status) == (None, "terminated")
    again = record("b", hire_date=clock.now.date(), termination_date=past, employment_type="employee")
    source.give([*staff(20), record("a"), again, record("c", employee_number="1")], full=True)
    assert (source.people()["b"].id, source.people()["b"].is_working) == (first["b"].id, True)


def test_values_when_withheld_stay_and_when_empty_go(source):
    """Fault 30: null is not the same as restricted."""
    source.give(staff(30, job_title="Cook", city="Rome"))
    rows = [
        record(1, withheld=frozenset(("job_title", "city"))),
        record(2),
        *staff(30, job_title="Cook", city="Rome")[2:],
    ]
    source.give(rows, full=True)
    people = source.people()
    assert (people["1"].job_title, people["1"].city) == ("Cook", "Rome")
    assert (people["2"].job_title, people["2"].city) == (None, None)


def test_values_when_they_are_no_text_cost_that_record_only(source):
    """Fault 31: an object or a list instead of a text, a word that is no status."""
    odd = [
        record("a", department={"id": 1}),
        record("b", email=["x@example.com"]),
        record("c", status="Retired"),
    ]
    report = source.give([*staff(3), *odd])
    assert [(entry["ref"], entry["field"]) for entry in report.skipped] == [
        ("row a", "department"),
        ("row b", "email"),
    ]
    assert source.people()["c"].status == "unknown"


def test_dates_when_at_the_edge_of_the_calendar_are_kept(source, clock):
    """Fault 32: the last day of all, and 29 February."""
    clock.now = datetime(2028, 2, 28, 12, tzinfo=UTC)
    leap = date(2028, 2, 29)
    source.give(
        [record(1, termination_date=date.max), record(2, termination_date=leap), record(3, hire_date=leap)]
    )
    people = source.people()
    assert (people["1"].changes_on, people["1"].termination_date) == (None, date.max)
    assert (people["2"].changes_on, people["3"].changes_on) == (date(2028, 3, 1), leap)
    clock.forward(days=2)
    tasks.refresh_dates(source.runtime, source.tenant.id, clock.now)
    assert [source.people()[k].status for k in "123"] == ["active", "terminated", "active"]


@pytest.mark.parametrize(
    ("zone", "kept"),
    [("Asia/Calcutta", "Asia/Calcutta"), ("Romance Standard Time", "Europe/Paris"), ("EST", None),
     ("UTC+2", None), ("", None), ("Africa/Cairo", "Africa/Cairo")],
)  # fmt: skip
def test_zones_when_they_name_no_place_are_left_out_and_days_still_come(source, clock, zone, kept):
    """Fault 33: Windows names, abbreviations, offsets, old names, a midnight that does not exist (Cairo)."""
    clock.now = datetime(2026, 4, 20, 12, tzinfo=UTC)
    source.give([record(1, time_zone=zone, hire_date=date(2026, 4, 24))])
    assert (source.people()["1"].time_zone, source.people()["1"].status) == (kept, "prehire")
    tasks.refresh_dates(source.runtime, source.tenant.id, datetime(2026, 4, 24, 12, tzinfo=UTC))
    assert source.people()["1"].status == "active"


@pytest.mark.parametrize(
    ("rows", "brakes"),
    [
        pytest.param([], {"zero_rows", "leaving"}, id="34 nobody"),
        pytest.param(staff(1), {"leaving", "shrunk"}, id="35 a weak token sees one"),
        pytest.param(staff(660), {"growth"}, id="36 growth"),
        pytest.param(staff(60, email="one@new.example"), {"emails"}, id="37 another domain"),
        pytest.param(staff(60), {"blanks"}, id="38 a column is gone"),
    ],
)
def test_roster_when_it_is_not_the_same_company_waits_for_a_person(source, rows, brakes):
    """Faults 34 to 38: an empty roster, one that shrank, grew, changed its addresses, lost a column."""
    source.give(staff(60, grade="G1"))
    before = frozen(source.people())
    graded = brakes != {"blanks"}
    rows = [record(r.source_key, email=r.email, grade="G1" if graded else None) for r in rows]
    report = source.give(rows, full=True)
    assert (report.status, set(report.notes["brakes"])) == ("held", brakes)
    assert frozen(source.people()) == before


def test_deletion_when_changes_do_not_tell_it_the_weekly_reading_does(source, clock):
    """Fault 39: an incremental source that never names the deleted."""
    source.give(RosterPage(staff(20), cursor="1"))
    source.give(RosterPage([], cursor="2"))
    for _week in range(2):
        clock.forward(days=7)
        source.give(RosterPage(staff(19), cursor="3"))
    assert source.people()["20"].lifecycle == "tombstoned"


def test_boundary_when_the_last_change_comes_again_changes_nothing(source):
    """Fault 40: a source whose changes begin with the last one of before."""
    source.give(RosterPage(staff(20), cursor="1"))
    source.give(RosterPage([record(1, grade="G2")], cursor="2"))
    report = source.give(RosterPage([record(1, grade="G2")], cursor="2"))
    assert counts(report) == {"seen": 1, "unchanged": 1}


def test_source_when_restored_from_a_backup_is_read_whole_and_braked(source):
    """Fault 41: the place is not known any more, and what comes is old."""
    source.give(RosterPage(staff(40), cursor="900"))
    source.pages = lambda cursor: (
        [CursorExpiredError("hr", "GET", "", 410)] if cursor else [RosterPage(staff(20), cursor="500")]
    )
    report = source.sync()
    assert (report.status, report.mode) == ("held", "full")
    assert source.rows(HrAccount)[0].cursor == "900"
    assert len(source.people()) == 40


def test_accounts_when_two_list_one_person_make_one_of_them(source, runtime, tenant, clock, tmp_path):
    """Fault 42: a second system that knows some of the people of the first."""
    second = Scripted(runtime, tenant, clock, tmp_path, name="second")
    source.give([record(n, employee_number=f"N{n}") for n in range(1, 6)])
    preview = second.give(
        [record(f"x{n}", employee_number=f"N{n}") for n in range(4, 9)], accept_shrink=False
    )
    assert preview.notes["difference"]["known_elsewhere"] == 2
    second.sync()
    assert sum(person.is_working for person in second.people().values()) == 8


def test_account_when_removed_leaves_the_people_whom_another_one_lists(runtime, tenant, clock, tmp_path):
    """Fault 42: a second system takes the place of the first; whoever both list keeps their row."""

    def person(key, number, **values):
        return record(key, employee_number=f"N{number}", email=f"p{number}@company.example", **values)

    first = Scripted(runtime, tenant, clock, tmp_path, name="first")
    second = Scripted(runtime, tenant, clock, tmp_path, name="second")
    theirs = [person("x1", 1), person("x2", 2, manager_key="x1"), person("x9", 9, manager_key="x1")]
    first.give([person("1", 1), person("2", 2, manager_key="1"), person("3", 3)])
    second.give(theirs)
    before, led = first.people(), second.people()["x9"].id
    with runtime.database.transaction(tenant.id) as session:
        account = session.scalars(select(HrAccount).where(HrAccount.name == "first")).one()
        assert remove_account(session, account, "command", clock.now) == 2
    after = second.people()
    assert {key: row.id for key, row in after.items()} == {
        "x1": before["1"].id, "x2": before["2"].id, "x9": led,
    }  # fmt: skip
    assert {key: row.manager_id for key, row in after.items()} == {
        "x1": None, "x2": before["1"].id, "x9": before["1"].id,
    }  # fmt: skip
    assert all(row.is_working for row in after.values())
    report = second.give(theirs)
    assert (report.status, report.mode, report.created, report.deactivated) == ("complete", "full", 0, 0)
    assert {row.id for row in second.people().values()} == {row.id for row in after.values()}


# -- 43: killed, full, at the same time --------------------------------------------------------------------


def _die(*_arguments):
    os.kill(os.getpid(), signal.SIGKILL)


def _sync_and_die(url, secrets, tenant_id, now, when):
    """Read the account and die: at a statement that begins with a word, or after everything is stored."""
    database = Database(url, secrets)
    if when != "after":
        event.listen(
            database.engine,
            "before_cursor_execute",
            lambda _c, _cursor, statement, *_rest: statement.startswith(when) and _die(),
        )
    if when == "INSERT INTO person":
        # PostgreSQL takes the rows by COPY, of which SQLAlchemy tells nobody.
        copy = db._copy

        def copy_and_die(connection, table, *rest):
            copy(connection, table, *rest)
            if table.name == "person":
                _die()

        db._copy = copy_and_die
    tasks.sync_roster(database, Plugins(), tenant_id, "hr", now=now)
    _die()


@pytest.mark.parametrize(
    "when",
    [
        "INSERT INTO roster_run",
        "INSERT INTO person",
        "UPDATE person",
        "INSERT INTO outbox_event",
        "after",
    ],
)
def test_run_when_killed_at_any_point_leaves_what_the_next_one_completes(file, tenant, when):
    """Fault 43: killed while it begins, while it applies, and after it is stored but before it answers."""
    file.sync(company(20))
    before = frozen(file.people())
    rows = company(21)
    rows[4][1] = "Ada Byron"
    file.write(rows)
    database = file.runtime.database
    process = multiprocessing.get_context("spawn").Process(
        target=_sync_and_die, args=(database.url, database.secrets, tenant.id, file.clock.now, when)
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    if when != "after":
        assert frozen(file.people()) == before
    assert file.sync().status == "complete"
    people = file.people()
    assert (len(people), people["5"].display_name) == (21, "Ada Byron")
    assert (people["21"].manager_id, people["5"].id) == (people["5"].id, people["5"].id)
    assert counts(file.sync()) == {"seen": 21, "unchanged": 21}


@pytest.mark.only_on("sqlite")
def test_run_when_the_disk_is_full_changes_nobody(file):
    """Fault 43: the disk is full."""
    file.sync(company(20))
    before = frozen(file.people())
    engine = file.runtime.database.engine
    with engine.connect() as connection:
        pages = connection.scalar(text("pragma page_count"))
    engine.dispose()

    @event.listens_for(engine, "connect")
    def limit(connection, _record):
        connection.execute(f"pragma max_page_count = {pages + 8}")

    with pytest.raises(OperationalError, match="full"):
        file.sync(company(2000), accept_shrink=True)
    assert frozen(file.people()) == before
    assert file.rows(RosterRun)[-1].status == "failed"


def test_tombstone_when_it_has_a_key_only_takes_the_person_out(source):
    """Fault 44: a deleted account of a directory has neither address nor number any more."""
    source.give(RosterPage([record(n, employee_number=f"N{n}") for n in range(1, 21)], cursor="1"))
    source.give(RosterPage([], gone=["20"], cursor="2"))
    person = source.people()["20"]
    assert (person.lifecycle, person.email, person.employee_number) == (
        "tombstoned",
        "p20@example.com",
        "N20",
    )


# -- private data ------------------------------------------------------------------------------------------

SECRETS = {
    "Annual Salary": "98765.43", "IBAN": "DE89370400440532013000", "Health Condition": "Asthma-Zebra",
    "Date of Birth": "1977-07-17", "Marital Status": "Married-Zebra", "Children": "Zoe-Zebra",
    "SSN": "078-05-1120",
}  # fmt: skip


@pytest.mark.parametrize(
    ("known", "comes", "brakes"),
    [
        (staff(126), staff(1), {"leaving", "shrunk"}),
        (staff(6), staff(70), {"growth"}),
        (
            [record(n, email=f"p{n}@old.example") for n in range(30)],
            [record(n, email=f"p{n}@new.example") for n in range(30)],
            {"emails"},
        ),
    ],
)
def test_roster_when_it_is_cut_swollen_or_renamed_is_held_and_nobody_is_changed(source, known, comes, brakes):
    """Faults 35, 36 and 37: a token that lost its rights; ten times as many; new addresses."""
    source.give(known)
    before = frozen(source.people())
    report = source.give(comes, full=True, accept_shrink=False)
    assert (report.status, set(report.notes["brakes"])) == ("held", brakes)
    assert frozen(source.people()) == before


def test_private_columns_when_a_file_has_them_are_stored_and_said_nowhere(file, capfd, tmp_path):
    """Fault 51. Pay, bank, health, birth date and family are in the file, in good rows and in bad ones."""
    rows = [[*row, *SECRETS.values()] for row in company(20)]
    rows[3][4] = "yesterday"
    HEADER.extend(SECRETS)
    try:
        report = file.sync(rows)
        failed = file.sync([rows[0][:3]])
    finally:
        del HEADER[-len(SECRETS) :]
    said = capfd.readouterr()
    heard = f"{report} {failed} {said.out} {said.err} {[vars(run) for run in file.rows(RosterRun)]}"
    with file.runtime.database.engine.connect() as connection:
        tables = Person.metadata.sorted_tables
        stored = " ".join(str(row) for table in tables for row in connection.execute(select(table)))
    files = b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != file.path
    )
    for secret in SECRETS.values():
        assert secret not in heard
        assert secret not in stored
        assert secret.encode() not in files
    assert len(file.people()) == 19
