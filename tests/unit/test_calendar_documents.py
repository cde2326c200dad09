"""Calendar documents mean the same moment to a program that knows nothing but what stands in them."""

import uuid
from datetime import UTC, datetime, timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
import vobject
from dateutil.tz import tzical
from hypothesis import example, given
from hypothesis import strategies as st

from rmplugin.calendars import ics

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "UTC",
)
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2032, 12, 31)).map(  # noqa: DTZ001
    lambda at: at.replace(tzinfo=UTC, second=0, microsecond=0)
)


def meeting(starts_at: datetime, **fields) -> ics.Meeting:
    values = {"sequence": 0, "cancelled": False, "changed_at": starts_at, "session_id": uuid.uuid4()}
    return ics.Meeting(starts_at=starts_at, ends_at=starts_at + timedelta(hours=1), **(values | fields))


def rules_in(document: str, zone: str):
    """Read the zone as the document describes it."""
    text = document[document.index("BEGIN:VTIMEZONE") :]
    end = text.index("END:VTIMEZONE") + len("END:VTIMEZONE\r\n")
    return tzical(StringIO(text[:end].replace("\r\n", "\n"))).get(zone)


@given(st.sampled_from(ZONES), MOMENTS)
@example("Europe/Berlin", datetime(2027, 3, 28, 1, tzinfo=UTC))
@example("Europe/Berlin", datetime(2027, 3, 28, 0, 59, tzinfo=UTC))
@example("America/New_York", datetime(2027, 3, 14, 7, 30, tzinfo=UTC))
@example("Australia/Lord_Howe", datetime(2027, 10, 2, 15, 45, tzinfo=UTC))
def test_zone_when_only_the_document_is_known_has_the_same_offset(zone, starts_at):
    document = ics.invitation(
        meeting(starts_at),
        ics.Frame(host="tool.example", zone=zone, url="https://lms.example/a"),
        organizer="mentoring@tool.example",
        attendees=["ada@example.com"],
        now=starts_at,
    )
    local = starts_at.astimezone(ZoneInfo(zone))
    told = local.replace(tzinfo=rules_in(document, zone))
    # A time that comes twice that night cannot be told in a calendar at all (RFC 5545, section 3.3.5).
    if local.replace(fold=0).utcoffset() == local.replace(fold=1).utcoffset():
        assert told.utcoffset() == local.utcoffset()


@pytest.mark.parametrize("cancelled", [False, True])
def test_feed_when_there_are_many_sessions_tells_each_with_its_state(cancelled):
    now = datetime(2026, 11, 23, 9, tzinfo=UTC)
    frame = ics.Frame(host="tool.example", zone="Europe/Berlin", url="https://lms.example/a")
    meetings = [meeting(now + timedelta(days=7 * n), cancelled=cancelled, sequence=n) for n in range(30)]
    calendar = vobject.readOne(ics.feed(meetings, frame, now))
    assert [event.sequence.value for event in calendar.vevent_list] == [str(n) for n in range(30)]
    assert {event.status.value for event in calendar.vevent_list} == {
        "CANCELLED" if cancelled else "CONFIRMED"
    }
    assert len({event.uid.value for event in calendar.vevent_list}) == 30
    assert calendar.method.value == "PUBLISH"


def test_feed_when_there_is_no_session_is_a_calendar_all_the_same():
    frame = ics.Frame(host="tool.example", zone="UTC", url="https://lms.example/a")
    calendar = vobject.readOne(ics.feed([], frame, datetime(2026, 11, 23, 9, tzinfo=UTC)))
    assert calendar.prodid.value == ics.PRODUCT
