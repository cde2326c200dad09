"""The staging file of a roster run: days, names, circles, duplicates."""

from array import array
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.people.brakes import Before, Change, find_brakes, held_sentence
from rmplugin.people.canonical import effective_status, fold_name, usable_time_zone
from rmplugin.people.relations import CYCLE, RESOLVED, SELF, cut_cycles
from rmplugin.people.roster import Staging
from rmplugin.records import EmployeeRecord, RosterPage, SkippedRecord

TODAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PAST, FUTURE = date(2026, 11, 22), date(2026, 11, 24)


def record(key, **values):
    return EmployeeRecord(source_key=str(key), ref=f"row {key}", display_name=f"Person {key}", **values)


@pytest.mark.parametrize(
    ("status", "hired", "left", "expected"),
    [
        ("active", None, PAST, "terminated"),
        ("active", None, TODAY, "active"),
        ("active", None, FUTURE, "active"),
        ("leave", PAST, PAST, "terminated"),
        ("deceased", None, PAST, "deceased"),
        ("active", TODAY, PAST, "active"),
        ("active", FUTURE, None, "prehire"),
        ("active", FUTURE, PAST, "active"),
        ("terminated", FUTURE, None, "prehire"),
        ("terminated", PAST, FUTURE, "terminated"),
        ("suspended", FUTURE, None, "suspended"),
        ("prehire", TODAY, None, "active"),
        ("prehire", FUTURE, None, "prehire"),
        ("prehire", None, None, "prehire"),
    ],
)
def test_status_when_dates_pass_follows_them(status, hired, left, expected):
    given_record = record(1, status=status, hire_date=hired, termination_date=left)
    assert effective_status(given_record, TODAY) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Byron, Ada", "ada byron"),
        ("  ADA   Byron ", "ada byron"),
        ("Groß", "gross"),
        ("", None),
        (None, None),
    ],
)
def test_fold_name_when_written_differently_is_the_same(name, expected):
    assert fold_name(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("UTC", "UTC"), ("Asia/Calcutta", "Asia/Calcutta"), ("India Standard Time", "Asia/Calcutta"),
     ("+05:00", None), ("../etc/passwd", None), ("Mars/Base", None), ("Europe", None), (None, None)],
)  # fmt: skip
def test_time_zone_when_it_names_no_place_is_left_out(name, expected):
    assert usable_time_zone(name) == expected


@given(st.lists(st.integers(min_value=0, max_value=12), min_size=1, max_size=12))
def testcut_cycles_when_anybody_can_be_ones_manager_leaves_a_forest_and_cuts_members_only(bosses):
    size = len(bosses)
    before = [0, *(b if b <= size else 0 for b in bosses)]
    boss, states = array("q", before), bytearray([RESOLVED] * (size + 1))
    depths = cut_cycles(boss, states)
    for person in range(1, size + 1):
        above, steps = before[person], 1
        while above not in (0, person) and steps <= size:
            above, steps = before[above], steps + 1
        in_circle = above == person
        assert boss[person] == (0 if in_circle else before[person])
        assert states[person] == ((SELF if steps == 1 else CYCLE) if in_circle else RESOLVED)
        assert depths[person] == (depths[boss[person]] + 1 if boss[person] else 0)


def test_staging_when_a_key_comes_again_on_a_later_page_keeps_the_first():
    with Staging({}, NOW) as staging:
        staging.add_page(RosterPage([record(1), record(2)]))
        staging.add_page(
            RosterPage([record(3), record(1), record(1)], [SkippedRecord("row 9", "row", "bad")])
        )
        change = staging.compare(everybody=True)
        assert (change.usable, change.duplicates, staging.seen) == (3, 2, 6)
        assert [s["field"] for s in staging.skipped] == ["source_key", "source_key", "row"]


def test_staging_rows_when_reports_come_first_give_managers_before_them():
    with Staging({}, NOW) as staging:
        staging.add_page(RosterPage([record(1, manager_key="2"), record(2, manager_key="3"), record(3)]))
        staging.compare(everybody=True)
        rows = list(staging.rows(("created",)))
    assert [row[7] for row in rows] == ["3", "2", "1"]
    assert [row[1] for row in rows] == [None, rows[0][0], rows[1][0]]


def test_staging_when_a_manager_number_belongs_to_two_people_leaves_it_open():
    with Staging({}, NOW) as staging:
        twins = [record("a", employee_number="7"), record("b", employee_number="7")]
        only = record("c", employee_number="8")
        staging.add_page(
            RosterPage([*twins, only, record("d", manager_key="7"), record("e", manager_key="8")])
        )
        staging.compare(everybody=True)
        states = {row[7]: row[2] for row in staging.rows(("created",))}
    assert (states["d"], states["e"]) == ("unresolved", "resolved")


def test_staging_when_only_the_grade_table_changed_counts_people_as_updated():
    with Staging({" Senior ": 60}, NOW) as first:
        first.add_page(RosterPage([record(1, grade="SENIOR")]))
        first.compare(everybody=True)
        pid, _boss, _state, digest, _email, _former, _reused, *stored = next(first.rows(("created",)))
    assert 60 in stored
    with Staging({"senior": 61}, NOW) as second:
        second.add_page(RosterPage([record(1, grade="SENIOR")]))
        second.add_known([known_row(pid, digest)])
        assert second.compare(everybody=True).kinds == {"updated": 1}


def known_row(pid, digest):
    facts = [None, None, "Person 1", None, None, None, None, None, None, "none", "[]", 0, None, 0, 0, 1, 1]
    return ("1", pid, digest, *facts)


def change(**values):
    quiet = {
        "kinds": {}, "usable": 100, "duplicates": 0, "leaving": 0, "working_before": 100,
        "working_after": 100,
        "emails": (100, 0), "managers": (100, 0), "blanks": {"grade": 0.0},
    }  # fmt: skip
    return Change(**(quiet | values))


@pytest.mark.parametrize(
    ("values", "brakes"),
    [
        ({}, []),
        ({"leaving": 19, "working_after": 90}, []),
        ({"leaving": 20, "working_after": 90}, []),
        ({"leaving": 21, "working_after": 90}, ["leaving"]),
        ({"leaving": 5, "working_before": 20, "working_after": 20}, []),
        ({"leaving": 6, "working_before": 20, "working_after": 20}, ["leaving"]),
        ({"working_after": 91}, []),
        ({"working_after": 90}, []),
        ({"working_after": 89}, ["shrunk"]),
        ({"emails": (100, 9)}, []),
        ({"emails": (100, 10)}, []),
        ({"emails": (100, 11)}, ["emails"]),
        ({"managers": (100, 19)}, []),
        ({"managers": (100, 20)}, []),
        ({"managers": (100, 21)}, ["managers"]),
        ({"blanks": {"grade": 0.19}}, []),
        ({"blanks": {"grade": 0.2}}, []),
        ({"blanks": {"grade": 0.21}}, ["blanks"]),
        ({"kinds": {"reactivated": 19}}, []),
        ({"kinds": {"reactivated": 20}}, []),
        ({"kinds": {"reactivated": 21}}, ["returning"]),
        ({"kinds": {"reactivated": 5}, "working_before": 10, "working_after": 15}, []),
        ({"kinds": {"reactivated": 6}, "working_before": 10, "working_after": 16}, ["returning"]),
        ({"duplicates": 1, "usable": 399}, []),
        ({"duplicates": 2, "usable": 398}, []),
        ({"duplicates": 2, "usable": 397}, ["duplicates"]),
        ({"kinds": {"created": 50}, "working_before": 4, "working_after": 54}, []),
        ({"kinds": {"created": 51}, "working_before": 4, "working_after": 55}, ["growth"]),
        ({"kinds": {"created": 89}, "working_before": 10, "working_after": 99}, []),
        ({"kinds": {"created": 90}, "working_before": 10, "working_after": 100}, []),
        ({"kinds": {"created": 91}, "working_before": 10, "working_after": 101}, ["growth"]),
        ({"fields": ["email", "grade", "level"]}, []),
        ({"fields": ["email", "grade"]}, []),
        ({"fields": ["email"]}, ["fields"]),
        ({"fields": None}, []),
        ({"usable": 1, "working_before": 1, "working_after": 1}, []),
        ({"usable": 0, "working_after": 0, "leaving": 100}, ["zero_rows", "leaving"]),
    ],
)
def test_brakes_when_a_limit_is_reached_wait_until_it_is_passed(values, brakes):
    before = Before(blanks={"grade": 0.0}, fields=["email", "grade"])
    assert list(find_brakes(change(**values), before, everybody=True)) == brakes


def test_brakes_when_only_changes_were_read_do_not_ask_for_those_who_are_not_listed():
    partial = change(usable=0, working_after=0, leaving=0)
    assert find_brakes(partial, Before(blanks={"grade": 0.0}), everybody=False) == {}


def test_brakes_when_changes_name_many_as_gone_hold_them():
    assert list(find_brakes(change(leaving=21), Before(), everybody=False)) == ["leaving"]


def test_brakes_when_it_is_the_first_reading_say_how_many_would_come():
    found = find_brakes(change(kinds={"created": 7}, working_before=0), Before(is_first=True), everybody=True)
    assert found["first"].number == 7
    assert held_sentence(found).startswith(
        "This is the first reading of this account: 7 people would be added. Nobody was changed."
    )
