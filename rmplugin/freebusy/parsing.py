"""Busy times out of a calendar file. Titles, places and people in it are not even looked at."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import recurring_ical_events

from rmplugin.errors import InputError

Span = tuple[datetime, datetime]
MOST_COMPONENTS = 20_000
# Rules that repeat within a day would give far more times than a person has appointments.
TOO_OFTEN = frozenset({"SECONDLY", "MINUTELY", "HOURLY"})
WITHIN_A_DAY = ("BYHOUR", "BYMINUTE", "BYSECOND")


def busy_times(text: bytes, start: datetime, end: datetime, zone: str) -> list[Span]:
    """Read when somebody is busy.

    :param text: iCalendar: events, or free/busy periods.
    :param start, end: aware UTC; what lies outside is left out.
    :param zone: IANA name, for times that name no zone and for whole days.
    :return: aware UTC, in order, joined where they touch.
    :raises InputError: it is no calendar.
    **Source** RFC 5545. **Touches** pure.
    """
    try:
        calendar = icalendar.Calendar.from_ical(text)
    # Whatever the parser trips over, it is no calendar.
    except Exception as error:
        raise _no_calendar() from error
    if not isinstance(calendar, icalendar.Calendar) or len(calendar.subcomponents) > MOST_COMPONENTS:
        raise _no_calendar()
    here = ZoneInfo(zone)
    for event in calendar.walk("VEVENT"):
        if any(_is_too_often(rule) for rule in _rules(event)):
            event.pop("RRULE", None)
    try:
        found = [
            _span(event, here)
            for event in recurring_ical_events.of(calendar, skip_bad_series=True).between(start, end)
            if _takes_time(event)
        ]
        found += [span for busy in calendar.walk("VFREEBUSY") for span in _periods(busy, here)]
    except Exception as error:
        raise _no_calendar() from error
    return joined((max(begin, start), min(over, end)) for begin, over in found)


def joined(spans: Iterable[Span]) -> list[Span]:
    """Put times in order and join those that overlap or touch; empty ones go.

    **Touches** pure.
    """
    result: list[Span] = []
    for begin, over in sorted(span for span in spans if span[0] < span[1]):
        if result and begin <= result[-1][1]:
            result[-1] = (result[-1][0], max(over, result[-1][1]))
        else:
            result.append((begin, over))
    return result


def is_free(spans: Sequence[Span], start: datetime, end: datetime) -> bool:
    """Tell whether nothing lies between two moments. **Touches** pure."""
    return all(over <= start or end <= begin for begin, over in spans)


def _no_calendar() -> InputError:
    return InputError("no_calendar", "The address gave something that is no calendar. Nothing was lost.")


def _rules(event: Any) -> list[Any]:
    rules = event.get("RRULE", [])
    return rules if isinstance(rules, list) else [rules]


def _is_too_often(rule: Any) -> bool:
    rates = {str(rate).upper() for rate in rule.get("FREQ", ())}
    return bool(rates & TOO_OFTEN) or any(part in rule for part in WITHIN_A_DAY)


def _takes_time(event: Any) -> bool:
    is_free_there = str(event.get("X-MICROSOFT-CDO-BUSYSTATUS", "")).upper() == "FREE"
    is_transparent = str(event.get("TRANSP", "OPAQUE")).upper() == "TRANSPARENT"
    return not (is_free_there or is_transparent or str(event.get("STATUS", "")).upper() == "CANCELLED")


def _span(event: Any, here: ZoneInfo) -> Span:
    begin = event["DTSTART"].dt
    over = event["DTEND"].dt if "DTEND" in event else begin
    if not isinstance(begin, datetime) and over == begin:
        over = begin + timedelta(days=1)
    return _moment(begin, here), _moment(over, here)


def _periods(busy: Any, here: ZoneInfo) -> Iterator[Span]:
    listed = busy.get("FREEBUSY", [])
    for entry in listed if isinstance(listed, list) else [listed]:
        # Several periods may stand in one property.
        periods = [each.dt for each in entry.dts] if hasattr(entry, "dts") else [entry.dt]
        if str(entry.params.get("FBTYPE", "BUSY")).upper() == "FREE":
            continue
        for begin, over in periods:
            last = begin + over if isinstance(over, timedelta) else over
            yield _moment(begin, here), _moment(last, here)


def _moment(value: date, here: ZoneInfo) -> datetime:
    if not isinstance(value, datetime):
        value = datetime.combine(value, time(), here)
    return (value if value.tzinfo else value.replace(tzinfo=here)).astimezone(UTC)
