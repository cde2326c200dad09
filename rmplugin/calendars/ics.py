"""Calendar documents of sessions: when, and nothing of what it is about."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
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
    return _finish(calendar, [meeting])


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
    return _finish(calendar, meetings)


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


def _finish(calendar: icalendar.Calendar, meetings: Iterable[Meeting]) -> str:
    """Add the rules of the time zones, as far as the meetings need them."""
    days = [moment.date() for meeting in meetings for moment in (meeting.starts_at, meeting.ends_at)]
    if days:
        # Whole years around: rules that begin in the middle of one are misread by some programs.
        first, last = date(min(days).year - 1, 1, 1), date(max(days).year + 1, 12, 31)
        calendar.add_missing_timezones(first_date=first, last_date=last)
    return str(calendar.to_ical().decode())
