"""Local time, the nights when the clocks change included."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.errors import InputError
from rmplugin.sessions.forms import local_to_utc

BERLIN = "Europe/Berlin"


def test_local_time_when_winter_is_one_hour_ahead():
    assert local_to_utc(date(2026, 12, 3), time(15), BERLIN, None) == datetime(2026, 12, 3, 14, tzinfo=UTC)


def test_local_time_when_skipped_says_so_and_offers_the_next():
    with pytest.raises(InputError) as raised:
        local_to_utc(date(2027, 3, 28), time(2, 30), BERLIN, None)
    assert "02:30 does not exist in Europe/Berlin" in raised.value.details["at"]
    assert "03:30" in raised.value.details["at"]


def test_local_time_when_it_comes_twice_asks_which():
    with pytest.raises(InputError) as raised:
        local_to_utc(date(2026, 10, 25), time(2, 30), BERLIN, None)
    assert set(raised.value.details) == {"which"}


@pytest.mark.parametrize(("which", "hour"), [("first", 0), ("second", 1)])
def test_local_time_when_it_comes_twice_takes_the_chosen_one(which, hour):
    moment = local_to_utc(date(2026, 10, 25), time(2, 30), BERLIN, which)
    assert moment == datetime(2026, 10, 25, hour, 30, tzinfo=UTC)


def test_local_time_when_second_but_not_twice_is_the_only_one():
    assert local_to_utc(date(2026, 12, 3), time(15), BERLIN, "second") == datetime(
        2026, 12, 3, 14, tzinfo=UTC
    )


@given(
    st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2028, 1, 1)),  # noqa: DTZ001 - wall time is meant.
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_local_time_when_accepted_reads_the_same_on_the_wall(wall, zone):
    wall = wall.replace(second=0, microsecond=0)
    try:
        moment = local_to_utc(wall.date(), wall.time(), zone, None)
    except InputError:
        return
    assert moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == wall
