"""Busy times out of calendars: repeats, exceptions, zones, whole days, free/busy, and what is no calendar."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.errors import InputError
from rmplugin.freebusy.forms import is_address
from rmplugin.freebusy.parsing import busy_times, is_free, joined

START, END = datetime(2026, 10, 19, tzinfo=UTC), datetime(2026, 11, 16, tzinfo=UTC)


def calendar(*parts):
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//x//x//EN", *parts, "END:VCALENDAR", ""]
    return "\r\n".join(lines).encode()


def event(*lines, uid="1"):
    return "\r\n".join(["BEGIN:VEVENT", f"UID:{uid}", "SUMMARY:Secret words", *lines, "END:VEVENT"])


def read(*parts, zone="Europe/Berlin"):
    return [
        (f"{begin:%m-%d %H:%M}", f"{end:%m-%d %H:%M}")
        for begin, end in busy_times(calendar(*parts), START, END, zone)
    ]


def test_weekly_event_when_the_clocks_go_back_keeps_its_local_time():
    weekly = event(
        "DTSTART;TZID=Europe/Berlin:20261005T090000",
        "DTEND;TZID=Europe/Berlin:20261005T100000",
        "RRULE:FREQ=WEEKLY",
        "EXDATE;TZID=Europe/Berlin:20261102T090000",
    )
    assert read(weekly) == [
        ("10-19 07:00", "10-19 08:00"),
        ("10-26 08:00", "10-26 09:00"),
        ("11-09 08:00", "11-09 09:00"),
    ]


def test_moved_occurrence_when_read_is_at_its_new_time():
    series = event("DTSTART:20261020T090000Z", "DTEND:20261020T100000Z", "RRULE:FREQ=WEEKLY;COUNT=2")
    moved = event("RECURRENCE-ID:20261027T090000Z", "DTSTART:20261028T120000Z", "DTEND:20261028T130000Z")
    assert read(series, moved) == [("10-20 09:00", "10-20 10:00"), ("10-28 12:00", "10-28 13:00")]


def test_time_without_a_zone_is_the_persons_own():
    floating = event("DTSTART:20261020T090000", "DURATION:PT30M")
    assert read(floating, zone="America/New_York") == [("10-20 13:00", "10-20 13:30")]


def test_whole_day_when_it_takes_time_blocks_the_local_day():
    assert read(event("DTSTART;VALUE=DATE:20261020")) == [("10-19 22:00", "10-20 22:00")]


@pytest.mark.parametrize(
    "line", ["TRANSP:TRANSPARENT", "STATUS:CANCELLED", "X-MICROSOFT-CDO-BUSYSTATUS:FREE"]
)
def test_event_when_it_takes_no_time_is_left_out(line):
    assert read(event("DTSTART:20261020T090000Z", "DTEND:20261020T100000Z", line)) == []


def test_free_busy_when_given_as_periods_is_read():
    lines = (
        "BEGIN:VFREEBUSY",
        "UID:2",
        "FREEBUSY;FBTYPE=BUSY:20261020T100000Z/20261020T113000Z,20261021T100000Z/PT1H",
        "FREEBUSY;FBTYPE=FREE:20261022T100000Z/20261022T113000Z",
        "END:VFREEBUSY",
    )
    assert read(*lines) == [("10-20 10:00", "10-20 11:30"), ("10-21 10:00", "10-21 11:00")]


@pytest.mark.parametrize(
    "rule", ["FREQ=SECONDLY", "FREQ=HOURLY", "FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=1,2;BYSECOND=1"]
)
def test_rule_when_it_repeats_within_a_day_counts_once(rule):
    assert len(read(event("DTSTART:20261020T090000Z", "DURATION:PT1M", f"RRULE:{rule}"))) == 1


@pytest.mark.parametrize(
    "text", [b"", b"<html>no</html>", b"BEGIN:VEVENT\r\nEND:VEVENT\r\n", b"\xff\xfe\x00"]
)
def test_file_when_it_is_no_calendar_is_refused(text):
    with pytest.raises(InputError, match="no_calendar"):
        busy_times(text, START, END, "UTC")


@given(st.binary(max_size=200))
def test_file_when_it_is_anything_gives_times_or_an_input_error(text):
    for whole in (text, calendar(event("DTSTART:" + text.decode("latin-1")))):
        try:
            found = busy_times(whole, START, END, "UTC")
        except InputError:
            continue
        assert all(START <= begin < end <= END for begin, end in found)


spans = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 60)).map(
        lambda pair: (START + timedelta(minutes=pair[0]), START + timedelta(minutes=sum(pair)))
    )
)


@given(spans, st.integers(0, 600))
def test_joined_when_times_overlap_keeps_every_busy_minute_and_no_other(found, minute):
    result = joined(found)
    at, after = START + timedelta(minutes=minute), START + timedelta(minutes=minute + 1)
    assert all(one[1] < two[0] for one, two in pairwise(result))
    assert is_free(result, at, after) == is_free([span for span in found if span[0] < span[1]], at, after)


@given(st.integers(24, 600), st.sampled_from(["Asia/Tokyo", "UTC"]))
def test_event_when_it_names_a_zone_is_that_moment(hours, zone):
    at = START + timedelta(hours=hours)
    found = busy_times(
        calendar(event(f"DTSTART;TZID={zone}:{at:%Y%m%dT%H%M%S}", "DURATION:PT1H")),
        START,
        END,
        "Europe/Berlin",
    )
    assert found[0][0] == at.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("https://cal.example/a.ics", True),
        ("webcal://cal.example/a.ics", True),
        ("http://cal.example/a.ics", False),
        ("file:///etc/passwd", False),
        ("https://", False),
        ("https://a b/", False),
        ("https://[::1", False),
        ("https://x:99999/", False),
    ],
)
def test_address_when_it_is_no_secret_web_address_is_refused(text, right):
    assert is_address(text) is right
