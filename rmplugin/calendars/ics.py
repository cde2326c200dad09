"""Calendar documents of sessions: when, and nothing of what it is about."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import icalendar

SUMMARY = "Mentoring session"
PRODUCT = "-//rmplugin//Reverse mentoring//EN"
FEED_NAME = "Reverse mentoring"
ASK_AGAIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """What calendars are told of a session.

    :param sequence: how often it has changed.
    :param starts_at, ends_at: aware UTC.
    :param changed_at: aware UTC.
    """

    session_id: uuid.UUID
    sequence: int
    starts_at: datetime
    ends_at: datetime
    changed_at: datetime
    cancelled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What stands around meetings.

    :param host: of the tool's address; part of each session's id.
    :param zone: IANA name; times are written in it.
    :param url: where the activity opens.
    :param summary: in the reader's language.
    """

    host: str
    zone: str
    url: str
    summary: str = SUMMARY


def invitation(
    meeting: Meeting, frame: Frame, *, organizer: str, attendees: Sequence[str], now: datetime
) -> str:
    """Write the document that puts a session into calendars, changes it there, or takes it out.

    :param organizer: address that the mails come from.
    :param attendees: work addresses of both.
    :param now: aware UTC.
    **Source** RFC 5546, sections 3.2.2 and 3.2.5. **Touches** pure.
    """
    calendar = _calendar("CANCEL" if meeting.cancelled else "REQUEST")
    event = _event(meeting, frame, now)
    who = icalendar.vCalAddress(f"mailto:{organizer}")
    who.params["CN"] = FEED_NAME
    event.add("organizer", who)
    for address in attendees:
        attendee = icalendar.vCalAddress(f"mailto:{address}")
        attendee.params.update({"ROLE": "REQ-PARTICIPANT", "PARTSTAT": "NEEDS-ACTION", "RSVP": "FALSE"})
        event.add("attendee", attendee)
    calendar.add_component(event)
    return _finish(calendar, [meeting], frame.zone)


def feed(meetings: Sequence[Meeting], frame: Frame, now: datetime) -> str:
    """Write a person's own sessions for a calendar that asks again and again.

    **Source** RFC 5545; RFC 7986, section 5. **Touches** pure.
    """
    calendar = _calendar("PUBLISH")
    for name in ("name", "x-wr-calname"):
        calendar.add(name, FEED_NAME)
    calendar.add("refresh-interval", icalendar.vDuration(ASK_AGAIN), parameters={"VALUE": "DURATION"})
    for meeting in meetings:
        calendar.add_component(_event(meeting, frame, now))
    return _finish(calendar, meetings, frame.zone)


def _calendar(method: str) -> icalendar.Calendar:
    calendar = icalendar.Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", method)
    return calendar


def _event(meeting: Meeting, frame: Frame, now: datetime) -> icalendar.Event:
    here = ZoneInfo(frame.zone)
    event = icalendar.Event()
    event.add("uid", f"session-{meeting.session_id}@{frame.host}")
    event.add("sequence", meeting.sequence)
    event.add("dtstamp", now)
    event.add("last-modified", meeting.changed_at)
    event.add("dtstart", meeting.starts_at.astimezone(here))
    event.add("dtend", meeting.ends_at.astimezone(here))
    event.add("summary", frame.summary)
    # Colleagues who look into a calendar see that the time is taken, and not for what.
    event.add("class", "PRIVATE")
    event.add("status", "CANCELLED" if meeting.cancelled else "CONFIRMED")
    event.add("transp", "TRANSPARENT" if meeting.cancelled else "OPAQUE")
    event.add("url", frame.url)
    return event


def _finish(calendar: icalendar.Calendar, meetings: Sequence[Meeting], zone: str) -> str:
    """Add the rules of the time zone, as far as the meetings need them: whole years around."""
    years = [meeting.starts_at.year for meeting in meetings]
    if years:
        first = datetime(min(years) - 1, 1, 1, tzinfo=UTC)
        calendar.subcomponents.insert(0, _time_zone(zone, first, datetime(max(years) + 2, 1, 1, tzinfo=UTC)))
    return str(calendar.to_ical().decode())


def _time_zone(zone: str, first: datetime, last: datetime) -> icalendar.Timezone:
    """Write the offsets of a zone between two moments, each change of the clocks by itself.

    The library's own words for zones put the change in spring an hour late.

    **Source** RFC 5545, section 3.6.5: a change is told in the local time before it.
    """
    here = ZoneInfo(zone)
    rules = icalendar.Timezone()
    rules.add("tzid", zone)
    before = first.astimezone(here)
    rules.add_component(_observance(before, before.utcoffset(), before))
    for moment in _changes(here, first, last):
        earlier = (moment - timedelta(seconds=1)).astimezone(here).utcoffset()
        rules.add_component(_observance(moment.astimezone(here), earlier, moment + (earlier or timedelta())))
    return rules


def _observance(
    at: datetime, offset_before: timedelta | None, told: datetime
) -> icalendar.TimezoneStandard | icalendar.TimezoneDaylight:
    part = icalendar.TimezoneDaylight() if at.dst() else icalendar.TimezoneStandard()
    part.add("dtstart", told.replace(tzinfo=None))
    part.add("tzoffsetfrom", offset_before)
    part.add("tzoffsetto", at.utcoffset())
    part.add("tzname", at.tzname())
    return part


def _changes(here: ZoneInfo, first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield the moments in UTC at which the clocks of a zone change."""
    day = timedelta(days=1)
    while first < last:
        if first.astimezone(here).utcoffset() != (first + day).astimezone(here).utcoffset():
            low, high = first, first + day
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
                same = middle.astimezone(here).utcoffset() == first.astimezone(here).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            yield high
        first += day
