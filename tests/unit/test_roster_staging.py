"""The staging file of a roster run: days, names, circles, duplicates."""

from array import array
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.people.operations import find_brakes
from rmplugin.people.roster import (
    CYCLE,
    RESOLVED,
    SELF,
    Change,
    Staging,
    _cut_cycles,
    effective_status,
    fold_name,
    usable_time_zone,
)
from rmplugin.records import EmployeeRecord, RosterPage, SkippedRecord

TODAY = date(2026, 11, 23)
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
def test_cut_cycles_when_anybody_can_be_ones_manager_leaves_a_forest_and_cuts_members_only(bosses):
    size = len(bosses)
    before = [0, *(b if b <= size else 0 for b in bosses)]
    boss, states = array("q", before), bytearray([RESOLVED] * (size + 1))
    depths = _cut_cycles(boss, states)
    for person in range(1, size + 1):
        above, steps = before[person], 1
        while above not in (0, person) and steps <= size:
            above, steps = before[above], steps + 1
        in_circle = above == person
        assert boss[person] == (0 if in_circle else before[person])
        assert states[person] == ((SELF if steps == 1 else CYCLE) if in_circle else RESOLVED)
        assert depths[person] == (depths[boss[person]] + 1 if boss[person] else 0)


def test_staging_when_a_key_comes_again_on_a_later_page_keeps_the_first():
    with Staging({}, TODAY) as staging:
        staging.add_page(RosterPage([record(1), record(2)]))
        staging.add_page(
            RosterPage([record(3), record(1), record(1)], [SkippedRecord("row 9", "row", "bad")])
        )
        change = staging.compare(everybody=True)
        assert (change.usable, change.duplicates, staging.seen) == (3, 2, 6)
        assert [s["field"] for s in staging.skipped] == ["source_key", "source_key", "row"]


def test_staging_rows_when_reports_come_first_give_managers_before_them():
    with Staging({}, TODAY) as staging:
        staging.add_page(RosterPage([record(1, manager_key="2"), record(2, manager_key="3"), record(3)]))
        staging.compare(everybody=True)
        rows = list(staging.rows(("created",)))
    assert [row[4] for row in rows] == ["3", "2", "1"]
    assert [row[1] for row in rows] == [None, rows[0][0], rows[1][0]]


def test_staging_when_a_manager_number_belongs_to_two_people_leaves_it_open():
    with Staging({}, TODAY) as staging:
        twins = [record("a", employee_number="7"), record("b", employee_number="7")]
        only = record("c", employee_number="8")
        staging.add_page(
            RosterPage([*twins, only, record("d", manager_key="7"), record("e", manager_key="8")])
        )
        staging.compare(everybody=True)
        states = {row[4]: row[2] for row in staging.rows(("created",))}
    assert (states["d"], states["e"]) == ("unresolved", "resolved")


def test_staging_when_only_the_grade_table_changed_counts_people_as_updated():
    with Staging({" Senior ": 60}, TODAY) as first:
        first.add_page(RosterPage([record(1, grade="SENIOR")]))
        first.compare(everybody=True)
        pid, _boss, _state, digest, *stored = next(first.rows(("created",)))
    assert 60 in stored
    with Staging({"senior": 61}, TODAY) as second:
        second.add_page(RosterPage([record(1, grade="SENIOR")]))
        second.add_known([("1", pid, digest, None, None, "Person 1", "", None, "none", 1, 1)])
        assert second.compare(everybody=True).kinds == {"updated": 1}


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
        ({"leaving": 20, "working_after": 90}, []),
        ({"leaving": 21, "working_after": 90}, ["leaving"]),
        ({"leaving": 5, "working_before": 20, "working_after": 20}, []),
        ({"working_after": 89}, ["shrunk"]),
        ({"emails": (100, 10), "managers": (100, 20), "blanks": {"grade": 0.2}}, []),
        ({"emails": (100, 11)}, ["emails"]),
        ({"managers": (100, 21)}, ["managers"]),
        ({"blanks": {"grade": 0.21}}, ["blanks"]),
        ({"kinds": {"reactivated": 20}}, []),
        ({"kinds": {"reactivated": 21}}, ["returning"]),
        ({"kinds": {"reactivated": 5}, "working_before": 10, "working_after": 15}, []),
        ({"duplicates": 1, "usable": 199}, []),
        ({"duplicates": 2, "usable": 198}, ["duplicates"]),
        ({"usable": 0, "working_after": 0, "leaving": 100}, ["zero_rows"]),
    ],
)
def test_brakes_when_a_limit_is_reached_wait_until_it_is_passed(values, brakes):
    assert list(find_brakes(change(**values), {"grade": 0.0}, everybody=True)) == brakes


def test_brakes_when_only_changes_were_read_do_not_ask_for_those_who_are_not_listed():
    partial = change(usable=0, working_after=0, leaving=0)
    assert find_brakes(partial, {"grade": 0.0}, everybody=False) == {}
