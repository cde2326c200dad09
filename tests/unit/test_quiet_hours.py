"""Quiet hours and the daily round, in any zone and across changes of the clocks."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.mailing.quiet import EVERY_DAY, QuietHours

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",  # Clocks change at midnight.
    "Australia/Lord_Howe",  # By half an hour.
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "UTC",
)
HOURS = st.builds(
    QuietHours,
    st.sampled_from(ZONES),
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.frozensets(st.integers(0, 6)).map(tuple),
)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 12, 31)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
MINUTE = timedelta(minutes=1)


def berlin(*parts: int, fold: int = 0) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold).astimezone(UTC)


@given(HOURS, MOMENTS)
def test_end_of_quiet_when_asked_is_the_first_moment_that_is_not_quiet(quiet, now):
    end = quiet.end_of_quiet(now)
    assert end >= now
    assert not quiet.is_quiet(end)
    if end == now:
        return
    # Every minute before it is quiet; whole hours first, because there can be a week of them.
    moment = end - MINUTE
    while moment >= now:
        assert quiet.is_quiet(moment), moment
        moment -= MINUTE if end - moment < timedelta(hours=4) else timedelta(minutes=17)


@given(HOURS, MOMENTS)
def test_next_round_when_asked_is_later_not_quiet_and_a_working_day(quiet, now):
    round_ = quiet.next_round(now)
    local = round_.astimezone(ZoneInfo(quiet.zone))
    assert now < round_ <= now + timedelta(days=9)
    assert not quiet.is_quiet(round_)
    assert local.weekday() in (quiet.work_days or EVERY_DAY)


@given(HOURS, MOMENTS)
def test_next_round_when_asked_again_from_there_is_a_day_or_more_later(quiet, now):
    first = quiet.next_round(now)
    # When the clocks go back, the same local time can come twice in a morning.
    assert quiet.next_round(first + timedelta(hours=2)) - first >= timedelta(hours=22)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        # Saturday evening before the clocks go forward: until Monday 8:00, which is summer time.
        (berlin(2027, 3, 27, 20), berlin(2027, 3, 29, 8)),
        (berlin(2026, 10, 23, 19), berlin(2026, 10, 26, 8)),
        (berlin(2026, 11, 24, 18, 59), berlin(2026, 11, 24, 18, 59)),
        (berlin(2026, 11, 24, 19), berlin(2026, 11, 25, 8)),
        (berlin(2026, 11, 25, 7, 59), berlin(2026, 11, 25, 8)),
    ],
)
def test_end_of_quiet_by_default_is_eight_on_the_next_working_day(now, end):
    assert QuietHours("Europe/Berlin").end_of_quiet(now) == end


def test_end_of_quiet_when_it_does_not_exist_that_night_is_the_hour_after():
    quiet = QuietHours("Europe/Berlin", 22 * 60, 2 * 60 + 30, EVERY_DAY)
    assert quiet.end_of_quiet(berlin(2027, 3, 28, 1)) == berlin(2027, 3, 28, 3, 30)


def test_end_of_quiet_when_it_comes_twice_that_night_counts_the_second_time_too():
    quiet = QuietHours("Europe/Berlin", 22 * 60, 2 * 60 + 30, EVERY_DAY)
    again = berlin(2026, 10, 25, 2, 15, fold=1)
    assert quiet.end_of_quiet(again) == berlin(2026, 10, 25, 2, 30, fold=1)


def test_quiet_hours_when_both_times_are_equal_leave_only_free_days():
    quiet = QuietHours("Europe/Berlin", 600, 600, (0, 1, 2))
    assert not quiet.is_quiet(berlin(2026, 11, 24, 3))
    assert quiet.end_of_quiet(berlin(2026, 11, 26, 12)) == berlin(2026, 11, 30)
    assert quiet.next_round(berlin(2026, 11, 23, 12)) == berlin(2026, 11, 24, 8)
