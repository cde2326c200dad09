"""The hour ledger: whatever is booked, held and displaced, the sums fit, in every time zone."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.hours import ledger
from rmplugin.hours.ledger import Slot

MONDAY = date(2026, 11, 23)
ZONES = ("UTC", "Europe/Berlin", "Pacific/Auckland", "America/Los_Angeles")
CAUSES = ("urgent_work", "meeting", "travel", "illness", "other")

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
moments = st.integers(0, 90 * 24 * 60).map(lambda minutes: BEGIN + timedelta(minutes=minutes))
kept = st.builds(Slot, moments, st.integers(0, 240), st.integers(0, 120))
gone = st.builds(Slot, moments, st.integers(15, 240), st.just(0), st.sampled_from(CAUSES))
slots = st.lists(st.one_of(kept, gone), max_size=30)


@given(slots, st.sampled_from(ZONES), st.integers(0, 120), st.integers(0, 12))
def test_ledger_when_anything_is_booked_has_sums_that_fit(found, zone, allowance, more):
    last = MONDAY + more * ledger.WEEK
    weeks = ledger.weeks(found, MONDAY, last, allowance, zone)
    assert [week.monday for week in weeks] == [MONDAY + n * ledger.WEEK for n in range(more + 1)]
    for week in weeks:
        assert week.booked >= week.held + sum(week.displaced.values())
        assert week.granted == allowance
    inside = [slot for slot in found if MONDAY <= ledger.week_of(slot.start, zone) <= last]
    total = ledger.total(weeks)
    assert total.booked == sum(slot.booked for slot in inside)
    assert total.held == sum(slot.held for slot in inside)
    assert sum(total.displaced.values()) == sum(slot.planned for slot in inside if slot.cause)


@given(moments, st.sampled_from(ZONES))
def test_week_when_asked_in_a_zone_is_the_one_on_the_wall_there(moment, zone):
    monday = ledger.week_of(moment, zone)
    assert monday.weekday() == 0
    assert abs(moment.date() - monday) < timedelta(days=8)


def test_week_when_sunday_in_europe_is_monday_in_auckland():
    moment = datetime(2026, 11, 29, 20, 0, tzinfo=UTC)
    assert ledger.week_of(moment, "Europe/Berlin") == MONDAY
    assert ledger.week_of(moment, "Pacific/Auckland") == MONDAY + ledger.WEEK


@given(moments, st.integers(-10, 10), st.sampled_from([None, *CAUSES]), st.sampled_from(ZONES))
def test_move_when_within_its_week_displaces_nothing(was_at, days, reason, zone):
    to_at = was_at + timedelta(days=days)
    slot = ledger.displaced(was_at, 60, to_at, reason, zone)
    stays = ledger.week_of(was_at, zone) == ledger.week_of(to_at, zone)
    assert (slot is None) == stays
    if slot is not None:
        assert slot.cause == (reason or "other")


def test_cancellation_when_for_a_break_displaces_nothing():
    at = datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert ledger.displaced(at, 60, None, "pause", "UTC") is None
    assert ledger.displaced(at, 60, None, None, "UTC") == Slot(at, 60, cause="other")


def test_break_when_it_covers_a_wednesday_takes_that_week():
    assert ledger.weeks_of_break(date(2026, 11, 26), date(2026, 12, 9)) == {
        date(2026, 11, 30),
        date(2026, 12, 7),
    }
    assert ledger.weeks_of_break(date(2026, 11, 26), date(2026, 12, 1)) == set()
    weeks = ledger.weeks([], MONDAY, date(2026, 12, 7), 60, "UTC", {date(2026, 11, 30)})
    assert [week.granted for week in weeks] == [60, 0, 60]


@pytest.mark.parametrize(
    ("days", "asks"), [((0,), False), ((0, 29), False), ((0, 28), True), ((0, 30, 50), True)]
)
def test_attention_when_two_lie_within_four_weeks_is_asked_for(days, asks):
    start = datetime(2026, 12, 1, 9, tzinfo=UTC)
    found = [Slot(start + timedelta(days=day), 60, cause="travel") for day in days]
    assert ledger.needs_attention(found) is asks


def test_causes_when_shown_to_others_name_no_illness():
    assert ledger.by_shown_cause({"illness": 60, "other": 30, "travel": 45}) == {"other": 90, "travel": 45}
