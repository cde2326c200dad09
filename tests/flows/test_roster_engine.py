"""What a roster run remembers and asks for: previews, absences, days ahead, two accounts, accepted runs."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select

from rmplugin.audit import AuditEntry
from rmplugin.errors import ConflictError, CursorExpiredError, FatalError
from rmplugin.jobs import work_outbox
from rmplugin.people import operations, queries, reporting, tasks
from rmplugin.people.models import Person, RosterFuture, RosterRun
from rmplugin.records import Employment, RosterPage, SkippedRecord
from rmplugin.tenants.models import HrAccount
from tests.factories.rosters import Scripted, counts, frozen, record, staff


@pytest.fixture
def source(runtime, tenant, clock, tmp_path):
    return Scripted(runtime, tenant, clock, tmp_path, incremental=True, deletes=True, effective_dated=True)


def last_run(source):
    return source.rows(RosterRun)[-1]


def decide(source, verb, run=None):
    with source.runtime.database.transaction(source.tenant.id) as db:
        run = db.get_one(RosterRun, (run or last_run(source)).id)
        verb(db, run, "person:7", source.clock.now)


def work(source):
    """Let the worker do what is due, with the scripted connector among its plug-ins."""
    object.__setattr__(source.runtime, "plugins", source.plugins)
    work_outbox(source.runtime, slow=True)


# -- the first reading -------------------------------------------------------------------------------------


def test_sync_when_first_is_a_preview_that_shows_who_would_come(source):
    report = source.give(staff(3), accept_shrink=False)
    assert (report.status, counts(report)) == ("held", {"seen": 3, "created": 3})
    assert report.held_reason.startswith(
        "This is the first reading of this account: 3 people would be added. Nobody was changed."
    )
    assert report.notes["difference"]["joining"] == ["row 1", "row 2", "row 3"]
    assert last_run(source).notes == report.notes
    assert source.people() == {}
    assert source.rows(HrAccount)[0].cursor is None


def test_sync_when_a_preview_was_not_accepted_is_a_preview_again(source):
    source.give(staff(3), accept_shrink=False)
    assert source.give(staff(4), accept_shrink=False).status == "held"


# -- held runs ---------------------------------------------------------------------------------------------


def test_sync_when_held_shows_leavers_and_emptied_fields_without_names(source):
    source.give(staff(40, grade="G1", department="Sales"))
    ids = {key: str(p.id) for key, p in source.people().items()}
    report = source.give(staff(28, department="Sales"), accept_shrink=False, full=True)
    found = report.notes["difference"]
    assert report.status == "held"
    assert report.deactivated == 12
    assert found["leaving"] == [ids[str(n)] for n in range(29, 41)] or set(found["leaving"]) == {
        ids[str(n)] for n in range(29, 41)
    }
    assert found["emptied"] == {"grade": 28}
    assert report.notes["brakes"] == {"leaving": 12, "shrunk": 12, "blanks": 1}
    assert "Person" not in str(report.notes)
    assert "example.com" not in str(report.notes)


def test_accept_run_when_the_source_still_says_so_applies_it(source):
    source.give(staff(40))
    source.give(staff(28), full=True, accept_shrink=False)
    decide(source, operations.accept_run)
    work(source)
    assert [run.status for run in source.rows(RosterRun)] == ["complete", "held", "complete"]
    assert sum(p.is_working for p in source.people().values()) == 28
    deeds = [deed for deed in source.rows(AuditEntry) if deed.action.startswith("roster_run")]
    assert [(deed.actor, deed.action) for deed in deeds[-2:]] == [
        ("person:7", "roster_run.accept"),
        ("person:7", "roster_run.accept_shrink"),
    ]


def test_accept_run_when_the_source_got_worse_holds_again(source):
    source.give(staff(40))
    source.give(staff(28), full=True, accept_shrink=False)
    decide(source, operations.accept_run)
    source.pages = [RosterPage(staff(27))]
    work(source)
    assert [run.status for run in source.rows(RosterRun)] == ["complete", "held", "held"]
    assert sum(p.is_working for p in source.people().values()) == 40


def test_accept_run_when_the_first_reading_is_accepted_applies_it(source):
    source.give(staff(5), accept_shrink=False)
    decide(source, operations.accept_run)
    work(source)
    assert len(source.people()) == 5


def test_drop_run_when_dropped_changes_nobody_and_is_said(source):
    source.give(staff(40))
    before = frozen(source.people())
    source.give([], full=True, accept_shrink=False)
    decide(source, operations.accept_run)
    decide(source, operations.drop_run)
    work(source)
    assert [run.status for run in source.rows(RosterRun)] == ["complete", "dropped"]
    assert frozen(source.people()) == before
    assert source.rows(AuditEntry)[-1].action == "roster_run.drop"


@pytest.mark.parametrize("verb", [operations.accept_run, operations.drop_run])
def test_decision_when_a_run_is_not_held_or_not_the_newest_is_refused(source, verb):
    source.give(staff(40))
    with pytest.raises(ConflictError, match="does not wait"):
        decide(source, verb)
    source.give([], full=True, accept_shrink=False)
    old = last_run(source)
    source.give([record(1)], full=True, accept_shrink=False)
    with pytest.raises(ConflictError, match="read again since"):
        decide(source, verb, old)


def test_decision_when_a_later_run_failed_is_still_possible(source):
    source.give(staff(40))
    source.give([], full=True, accept_shrink=False)
    held = last_run(source)
    source.give(FatalError("hr", "GET", "", 403), full=True)
    decide(source, operations.drop_run, held)
    assert [run.status for run in source.rows(RosterRun)] == ["complete", "dropped", "failed"]


# -- absence and departure ---------------------------------------------------------------------------------


def test_absence_when_it_lasts_two_complete_readings_is_a_departure(source):
    source.give(staff(30))
    first = source.give(staff(29), full=True)
    missing = source.people()["30"]
    second = source.give(staff(29), full=True)
    gone = source.people()["30"]
    assert (first.deactivated, first.notes["missing"]) == (0, 1)
    assert (missing.lifecycle, missing.missing_runs, missing.is_working) == ("missing", 1, True)
    assert missing.missing_since == source.clock.now - timedelta(hours=1)
    assert second.deactivated == 1
    assert (gone.lifecycle, gone.is_working, gone.missing_since) == ("tombstoned", False, None)


def test_absence_when_a_sight_comes_between_begins_anew(source):
    source.give(staff(30))
    source.give(staff(29), full=True)
    source.give(staff(30), full=True)
    again = source.people()["30"]
    source.give(staff(29), full=True)
    assert (again.lifecycle, again.missing_runs, again.seen_at) == (
        "present", 0, source.clock.now - timedelta(hours=1),
    )  # fmt: skip
    assert source.people()["30"].lifecycle == "missing"


def test_absence_when_only_changes_are_read_does_not_count(source):
    source.give(RosterPage(staff(30), cursor="1"))
    source.give(RosterPage(staff(29), cursor="2"), full=True)
    report = source.give(RosterPage([record(1, grade="G2")], cursor="3"))
    assert (report.mode, source.cursors[-1]) == ("incremental", "2")
    assert source.people()["30"].missing_runs == 1


def test_absence_when_many_are_missing_holds_at_the_first_reading(source):
    source.give(staff(40))
    report = source.give(staff(28), full=True, accept_shrink=False)
    assert set(report.notes["brakes"]) == {"leaving", "shrunk"}
    assert {p.lifecycle for p in source.people().values()} == {"present"}


def test_absence_when_the_source_gave_less_than_it_has_says_nothing(source):
    source.give(RosterPage(staff(30), cursor="1"))
    short = RosterPage(staff(28), [SkippedRecord("row 29", "row", "bad")], cursor="2", total=30)
    report = source.give(short, full=True)
    assert (report.status, report.notes["incomplete"]) == ("complete", {"came": 29, "total": 30})
    assert {p.lifecycle for p in source.people().values()} == {"present"}
    assert source.rows(HrAccount)[0].cursor == "1"
    whole = RosterPage(staff(28), [SkippedRecord("row 29", "row", "bad")], total=29)
    assert "incomplete" not in source.give(whole, full=True).notes
    assert {k for k, p in source.people().items() if p.lifecycle == "missing"} == {"29", "30"}


def test_gone_when_the_source_names_somebody_takes_them_out_at_once(source):
    source.give(RosterPage(staff(30), cursor="1"))
    report = source.give(RosterPage([record(1)], gone=["30", "nobody"], cursor="2"))
    assert (report.mode, counts(report)) == (
        "incremental", {"seen": 1, "unchanged": 1, "deactivated": 1},
    )  # fmt: skip
    assert source.people()["30"].lifecycle == "tombstoned"
    back = source.give(RosterPage([record(30)], cursor="3"))
    assert (back.reactivated, source.people()["30"].lifecycle) == (1, "present")


def test_gone_when_many_are_named_holds(source):
    source.give(RosterPage(staff(20), cursor="1"))
    gone = [str(n) for n in range(1, 7)]
    assert set(source.give(RosterPage([], gone=gone, cursor="2")).notes["brakes"]) == {"leaving"}
    assert source.rows(HrAccount)[0].cursor == "1"
    assert source.give(RosterPage([], gone=gone[1:], cursor="2")).deactivated == 5


def test_gone_when_the_same_reading_lists_them_before_or_after_takes_the_later_word(source):
    source.give(RosterPage(staff(30), cursor="1"))
    left = RosterPage([record(29, grade="G2")], gone=["29"])
    back = [RosterPage([], gone=["30"]), RosterPage([record(30, grade="G2")], cursor="2")]
    source.give(left, *back)
    assert source.people()["29"].lifecycle == "tombstoned"
    assert (source.people()["30"].lifecycle, source.people()["30"].grade) == ("present", "G2")


# -- withheld fields, lost fields --------------------------------------------------------------------------


def test_withheld_when_known_keeps_the_value_whatever_else_changes(source):
    source.give(
        staff(30, grade="G1", manager_key="1", hire_date=date(2020, 1, 1), termination_date=date(2030, 1, 1))
    )
    hidden = frozenset(("grade", "email", "manager_key", "hire_date", "termination_date", "status", "skills"))
    quiet = source.give(staff(30, email=None, withheld=hidden), full=True)
    changed = source.give(staff(30, email=None, job_title="Cook", withheld=hidden), full=True)
    person = source.people()["2"]
    assert (quiet.status, counts(quiet)) == ("complete", {"seen": 30, "unchanged": 30})
    assert (changed.status, changed.updated) == ("complete", 30)
    assert (person.grade, person.seniority_rank, person.email, person.job_title) == (
        "G1", 10, "p2@example.com", "Cook",
    )  # fmt: skip
    assert (person.hire_date, person.termination_date) == (date(2020, 1, 1), date(2030, 1, 1))
    assert person.manager_id == source.people()["1"].id


def test_withheld_when_the_person_is_new_leaves_the_field_empty(source):
    source.give([record(1, email=None, withheld=frozenset(("email",)))])
    assert source.people()["1"].email is None


def test_fields_when_fewer_than_before_hold_the_run_and_name_them(source):
    source.give(RosterPage(staff(5), fields=frozenset(("email", "grade", "hire_date"))))
    report = source.give(RosterPage(staff(5), fields=frozenset(("email",))), full=True)
    assert report.notes["brakes"] == {"fields": 2}
    assert "grade, hire_date" in report.held_reason
    assert source.give(
        RosterPage(staff(5), fields=frozenset(("email", "grade", "hire_date", "city"))), full=True
    )


# -- employments -------------------------------------------------------------------------------------------


def test_employments_when_there_are_several_the_one_that_counts_overrules(source, clock):
    jobs = (
        Employment(
            key="old", status="terminated", hire_date=date(2026, 1, 1), job_title="Old", is_primary=True
        ),
        Employment(key="a", hire_date=date(2020, 1, 1), job_title="First", department="Sales"),
        Employment(key="b", hire_date=date(2021, 1, 1), job_title="Later", share=0.5),
        Employment(key="c", hire_date=date(2021, 1, 1), job_title="Primary", is_primary=True, share=0.1),
    )
    both = record(1, job_title="None", department="Record", status="terminated", employments=jobs)
    share = record(
        2, employments=(jobs[2], Employment(key="d", hire_date=date(2021, 1, 1), share=0.6, job_title="More"))
    )
    source.give([both, share])
    person = source.people()["1"]
    assert (person.job_title, person.department, person.status) == ("Primary", "Record", "active")
    assert [job["key"] for job in person.employments] == ["old", "a", "b", "c"]
    assert person.employments[1]["hire_date"] == "2020-01-01"
    assert source.people()["2"].job_title == "More"


def test_employments_when_the_main_one_ends_the_other_takes_over_that_day(source, runtime, tenant, clock):
    today = clock.now.date()
    jobs = (
        Employment(key="a", hire_date=date(2020, 1, 1), job_title="Second job"),
        Employment(key="b", hire_date=date(2021, 1, 1), job_title="Main", termination_date=today),
    )
    source.give([*staff(10), record(11, employments=jobs)])
    assert source.people()["11"].job_title == "Main"
    clock.forward(days=1)
    assert tasks.refresh_dates(runtime, tenant.id, clock.now) == 1
    person = source.people()["11"]
    assert (person.job_title, person.status, person.changes_on) == ("Second job", "active", None)


# -- days that come ----------------------------------------------------------------------------------------


def test_future_record_when_its_day_comes_is_applied_once(source, runtime, tenant, clock):
    day = clock.now.date() + timedelta(days=3)
    ahead = record(2, grade="G9", manager_key="1", effective_from=day)
    source.give([*staff(10), ahead])
    assert (source.people()["2"].grade, len(source.rows(RosterFuture))) == (None, 1)
    assert tasks.refresh_dates(runtime, tenant.id, clock.now) == 0
    clock.forward(days=3)
    assert tasks.refresh_dates(runtime, tenant.id, clock.now) == 1
    person = source.people()["2"]
    assert (person.grade, person.seniority_rank, person.manager_id) == ("G9", 90, source.people()["1"].id)
    assert source.rows(RosterFuture) == []
    assert tasks.refresh_dates(runtime, tenant.id, clock.now) == 0
    run = last_run(source)
    assert (run.mode, run.status, run.counts["updated"]) == ("dates", "complete", 1)


def test_future_record_when_a_later_reading_lacks_it_is_cancelled(source, clock):
    day = clock.now.date() + timedelta(days=30)
    ahead = [record(n, grade="G9", effective_from=day) for n in (1, 2, 3)]
    source.give(RosterPage([*staff(10), *ahead], cursor="1"))
    source.give(RosterPage([record(1), record(2), record(2, grade="G5", effective_from=day)], cursor="2"))
    futures = {row.source_key: row.record["grade"] for row in source.rows(RosterFuture)}
    assert futures == {"2": "G5", "3": "G9"}
    source.give(RosterPage(staff(10), cursor="3"), full=True)
    assert source.rows(RosterFuture) == []


def test_future_record_when_it_is_all_the_source_says_keeps_the_person(source, clock):
    source.give(staff(10))
    source.give(
        [*staff(9), record(10, grade="G9", effective_from=clock.now.date() + timedelta(days=9))], full=True
    )
    assert source.people()["10"].lifecycle == "present"


@pytest.mark.parametrize(
    ("zone", "hour"),
    [("Pacific/Auckland", 11), ("America/New_York", 5), (None, 0)],
)
def test_dates_when_it_is_midnight_where_the_person_is_take_effect(
    source, runtime, tenant, clock, zone, hour
):
    clock.now = datetime(2026, 1, 10, 5, tzinfo=UTC)
    starts, ends = date(2026, 1, 15), date(2026, 1, 14)
    source.give(
        [
            *staff(20),
            record("new", hire_date=starts, time_zone=zone),
            record("old", hire_date=date(2020, 1, 1), termination_date=ends, time_zone=zone),
        ]
    )
    midnight = datetime(2026, 1, 14 if hour == 11 else 15, hour, tzinfo=UTC)
    tasks.refresh_dates(runtime, tenant.id, midnight - timedelta(minutes=1))
    before = source.people()
    tasks.refresh_dates(runtime, tenant.id, midnight)
    after = source.people()
    assert [before[k].status for k in ("new", "old")] == ["prehire", "active"]
    assert [after[k].status for k in ("new", "old")] == ["active", "terminated"]
    # What the source says later the same day does not turn it back.
    clock.now = midnight
    dates = {k: {"hire_date": p.hire_date, "termination_date": p.termination_date} for k, p in after.items()}
    both = [record(key, time_zone=zone, **dates[key]) for key in ("new", "old")]
    source.give([*staff(20), *both], full=True)
    assert [source.people()[k].status for k in ("new", "old")] == ["active", "terminated"]


def test_dates_when_many_would_leave_on_one_day_wait_for_a_person(source, runtime, tenant, clock):
    last = clock.now.date() + timedelta(days=1)
    source.give([record(n, termination_date=last) for n in range(1, 21)])
    clock.forward(days=2)
    tasks.refresh_dates(runtime, tenant.id, clock.now)
    tasks.refresh_dates(runtime, tenant.id, clock.now + timedelta(minutes=15))
    assert [(run.mode, run.status) for run in source.rows(RosterRun)] == [
        ("full", "complete"), ("dates", "held"),
    ]  # fmt: skip
    assert {p.status for p in source.people().values()} == {"active"}
    decide(source, operations.accept_run)
    work(source)
    assert {p.status for p in source.people().values()} == {"terminated"}


def test_dates_when_somebody_is_missing_do_not_make_them_present(source, runtime, tenant, clock):
    starts = clock.now.date() + timedelta(days=2)
    source.give([*staff(10), record(11, hire_date=starts)])
    source.give(staff(10), full=True)
    clock.forward(days=2)
    tasks.refresh_dates(runtime, tenant.id, clock.now)
    person = source.people()["11"]
    assert (person.lifecycle, person.status, person.missing_runs) == ("missing", "active", 1)


def test_dates_when_nobody_has_one_ask_no_tenant(source, runtime):
    source.give(staff(3))
    tasks.refresh_all_dates(runtime)
    assert [run.mode for run in source.rows(RosterRun)] == ["full"]


# -- incremental -------------------------------------------------------------------------------------------


def test_cursor_when_the_run_is_stored_is_used_next_time(source):
    source.give(RosterPage(staff(10), cursor="1"))
    held = source.give(RosterPage([], gone=[str(n) for n in range(1, 8)], cursor="2"))
    source.give(RosterPage([record(1, grade="G2")], cursor="3"))
    source.give(RosterPage([], cursor=None))
    assert held.status == "held"
    assert source.cursors == [None, "1", "1", "3"]
    assert source.rows(HrAccount)[0].cursor == "3"


def test_full_reading_when_a_week_has_passed_or_it_is_asked_for_comes_instead(source, clock):
    source.give(RosterPage(staff(10), cursor="1"))
    source.give(RosterPage(staff(10), cursor="2"), full=True)
    clock.forward(days=6)
    source.give(RosterPage([], cursor="3"))
    clock.forward(days=1)
    report = source.give(RosterPage(staff(10), cursor="4"))
    assert source.cursors == [None, None, "2", None]
    assert report.mode == "full"


def test_cursor_when_the_source_forgot_it_everybody_is_read_in_the_same_run(source):
    source.give(RosterPage(staff(10), cursor="1"))
    source.pages = lambda cursor: (
        [RosterPage([record(99)]), CursorExpiredError("hr", "GET", "", 410)]
        if cursor
        else [RosterPage(staff(11), cursor="2")]
    )
    report = source.sync()
    assert (report.mode, counts(report)) == ("full", {"seen": 11, "created": 1, "unchanged": 10})
    assert (last_run(source).mode, source.rows(HrAccount)[0].cursor) == ("full", "2")


def test_changes_when_one_person_comes_twice_take_the_later_one(source):
    source.give(RosterPage(staff(10), cursor="1"))
    report = source.give(RosterPage([record(1, grade="G1"), record(1, grade="G9")], cursor="2"))
    assert (report.skipped, source.people()["1"].grade) == ([], "G9")


# -- managers ----------------------------------------------------------------------------------------------


def test_manager_when_they_come_in_an_incremental_run_is_found_for_people_of_earlier_runs(source):
    source.give(RosterPage([*staff(10), record(11, manager_email="Boss@example.com")], cursor="1"))
    assert source.people()["11"].manager_state == "unresolved"
    source.give(RosterPage([record("b", email="boss@example.com", manager_key="1")], cursor="2"))
    people = source.people()
    assert (people["11"].manager_id, people["11"].manager_state) == (people["b"].id, "resolved")
    assert people["b"].manager_id == people["1"].id


@pytest.mark.parametrize("how", ["terminated", "gone"])
def test_manager_when_they_leave_stays_until_another_is_named(source, how):
    source.give(RosterPage([*staff(10, manager_key="10")], cursor="1"))
    boss = source.people()["10"]
    page = RosterPage(
        [record(10, status="terminated")] if how == "terminated" else [], gone=["10"] if how == "gone" else []
    )
    source.give(page)
    source.give(RosterPage([record(1, manager_key="10", grade="G2")]))
    people = source.people()
    assert people["10"].is_working is False
    assert {people[k].manager_id for k in "12"} == {boss.id}
    assert people["1"].manager_state == "resolved"


def test_manager_when_an_incremental_run_closes_a_circle_cuts_it(source):
    source.give(
        RosterPage([record(1, manager_key="2"), record(2, manager_key="3"), *staff(9)[2:]], cursor="1")
    )
    source.give(RosterPage([record(3, manager_key="1")], cursor="2"))
    people = source.people()
    assert [people[k].manager_state for k in "123"] == ["cycle"] * 3
    assert {people[k].manager_id for k in "123"} == {None}


# -- two accounts ------------------------------------------------------------------------------------------


@pytest.fixture
def second(source, runtime, tenant, clock, tmp_path):
    return Scripted(runtime, tenant, clock, tmp_path, name="second")


def test_manager_when_only_another_account_has_them_is_found_by_number_or_address(source, second):
    source.give([record("b", employee_number="77", email="boss@example.com", display_name="Boss")])
    second.give(
        [
            record("x", manager_key="77"),
            record("y", manager_email="BOSS@example.com"),
            record("z", manager_name="Boss"),
        ]
    )
    people = second.people()
    assert [people[k].manager_id for k in "xyz"] == [people["b"].id, people["b"].id, None]
    source.give([record("b", employee_number="77", email="boss@example.com", manager_email="px@example.com")])
    assert source.people()["b"].manager_state == "cycle"


def test_person_when_two_accounts_list_them_is_one_and_can_be_split(source, second, tenant):
    source.give([record(1, employee_number="77"), record(2), record(3, email="same@example.com")])
    report = second.give(
        [
            record("a", employee_number="77", email="other@example.com"),
            record("b", email="SAME@example.com", display_name="Other Name"),
            record("c", display_name="Person 2"),
        ]
    )
    people = second.people()
    assert [people[k].same_person_id for k in "abc"] == [people["1"].id, people["3"].id, None]
    assert [people[k].is_working for k in "abc"] == [False, False, True]
    assert "to_review" not in report.notes
    with source.runtime.database.transaction(tenant.id) as db:
        assert len(db.scalars(select(Person).where(queries.WORKING)).all()) == 4
        assert queries.find_person(db, "77").source_key == "1"
        operations.split_person(db, db.get_one(Person, people["a"].id), "person:7", source.clock.now)
    second.give([record("a", employee_number="77", email="other@example.com"), record("b"), record("c")])
    people = second.people()
    assert [people[k].same_person_id for k in "abc"] == [None, None, None]
    deeds = [deed.action for deed in source.rows(AuditEntry) if deed.action.startswith("person.")]
    assert sorted(deeds) == ["person.join", "person.join", "person.part", "person.split"]
    with source.runtime.database.transaction(tenant.id) as db, pytest.raises(ConflictError):
        operations.split_person(db, db.get_one(Person, people["a"].id), "person:7", source.clock.now)


def test_person_when_it_is_not_clear_who_they_are_is_listed_and_not_linked(source, second):
    source.give([record(1, employee_number="7"), record(2, employee_number="7"), record(3)])
    report = second.give([record("a", employee_number="7"), record("b", email="p3@example.com"),
                          record("c", email="p3@example.com")])  # fmt: skip
    assert [note["ref"] for note in report.notes["to_review"]] == ["row a", "row b", "row c"]
    assert {p.same_person_id for p in second.people().values()} == {None}


def test_person_when_another_of_the_account_has_the_number_is_not_taken_for_them_by_address(source, second):
    source.give([record(1, employee_number="7"), record(2)])
    rows = [record("a", employee_number="7", email="z@example.com"), record("b", email="p1@example.com")]
    report = second.give(rows)
    people = second.people()
    assert [people[k].same_person_id for k in "ab"] == [source.people()["1"].id, None]
    assert [note["ref"] for note in report.notes["to_review"]] == ["row b"]
    # Somebody who came back under a new number has not left the number to anybody else.
    second.give([record("a", employee_number="7", status="terminated"), rows[1]])
    assert second.people()["b"].same_person_id == source.people()["1"].id
    second.give(rows)
    # Once a person has said that the number misleads, the address is all that is left.
    with source.runtime.database.transaction(source.tenant.id) as db:
        operations.split_person(db, db.get_one(Person, people["a"].id), "person:7", source.clock.now)
    second.give(rows)
    assert [second.people()[k].same_person_id for k in "ab"] == [None, source.people()["1"].id]


def test_person_when_only_the_later_row_is_at_work_counts_by_that(source, second):
    source.give([record(1, employee_number="7"), *staff(10)[1:]])
    second.give([record("a", employee_number="7")])
    source.give([record(1, employee_number="7", status="terminated"), *staff(10)[1:]], full=True)
    second.give([record("a", employee_number="7")])
    assert (second.people()["a"].same_person_id, second.people()["a"].is_working) == (None, True)


def test_reporting_map_when_a_manager_stands_in_two_accounts_names_the_row_that_counts(
    source, second, tenant
):
    source.give([record("boss", employee_number="1"), record("top")])
    second.give([record("b", employee_number="1", manager_key="t"), record("t", email="ptop@example.com"),
                 record("r", manager_key="b")])  # fmt: skip
    people = second.people()
    with source.runtime.database.transaction(tenant.id, write=False) as db:
        assert reporting.reporting_map(db) == {
            people["r"].id: people["boss"].id,
            people["boss"].id: people["top"].id,
        }


# -- addresses ---------------------------------------------------------------------------------------------


def test_address_when_it_changes_the_old_ones_are_remembered(source):
    source.give([record(1), *staff(30)[1:]])
    for n in range(12):
        source.give([record(1, email=f"New{n}@example.com"), *staff(30)[1:]], full=True)
    former = source.people()["1"].former_emails
    assert former == [f"new{n}@example.com" for n in range(10, 0, -1)]


@pytest.mark.parametrize("held_by", ["leaver", "renamed"])
def test_address_when_it_was_somebody_elses_is_marked(source, held_by):
    hired = {"hire_date": date(2020, 1, 1)}
    source.give([*staff(20, **hired), record("old", email="a.b@example.com", **hired)])
    now = {"status": "terminated"} if held_by == "leaver" else {"email": "a.c@example.com"}
    old = record("old", **({"email": "a.b@example.com"} | now | hired))
    new = record("new", email="A.B@example.com", hire_date=date(2026, 1, 1))
    again = record("rehired", email="a.b@example.com", **hired)
    source.give([*staff(20, **hired), old, new, again], full=True)
    people = source.people()
    assert (people["new"].email_reused, people["rehired"].email_reused, people["old"].email_reused) == (
        True, False, False,
    )  # fmt: skip
    source.give(
        [
            *staff(20, **hired),
            old,
            record("new", email="A.B@example.com", hire_date=date(2026, 1, 1), grade="G1"),
            again,
        ],
        full=True,
    )
    assert source.people()["new"].email_reused


def test_absence_when_the_very_same_export_is_read_again_does_not_count_twice(
    runtime, tenant, clock, tmp_path
):
    source = Scripted(runtime, tenant, clock, tmp_path)
    source.give(RosterPage(staff(30), cursor="file 1"))
    source.give(RosterPage(staff(29), cursor="file 2"), full=True)
    for _ in range(3):
        assert source.give(RosterPage(staff(29), cursor="file 2"), full=True).deactivated == 0
    assert source.people()["30"].missing_runs == 1
    assert source.give(RosterPage(staff(29), cursor="file 3"), full=True).deactivated == 1


def test_absence_when_a_source_of_changes_stands_where_it_stood_counts(source):
    """Who was deleted moves no "last changed", so that the place of the next changes stays the same."""
    source.give(RosterPage(staff(30), cursor="10:00"))
    source.give(RosterPage(staff(29), cursor="10:00"), full=True)
    assert source.people()["30"].lifecycle == "missing"
    assert source.give(RosterPage(staff(29), cursor="10:00"), full=True).deactivated == 1
