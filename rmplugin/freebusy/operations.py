"""Give a calendar's address, take it back."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from rmplugin.db import Db, Secrets
from rmplugin.freebusy.models import BusyCalendar
from rmplugin.freebusy.parsing import Span
from rmplugin.freebusy.queries import find_calendar

FETCH_EVERY = timedelta(minutes=30)
# After a failure; a calendar that is gone must not be asked all day.
TRY_AGAIN = timedelta(hours=6)


def keep_calendar(db: Db, secrets: Secrets, person_id: uuid.UUID, url: str, now: datetime) -> BusyCalendar:
    """Keep the address of a person's calendar, in place of an earlier one; the worker fetches it at once.

    :param url: https.
    **Touches** writes busy_calendar; wakes the worker.
    """
    calendar = find_calendar(db, person_id)
    if calendar is None:
        calendar = BusyCalendar(person_id=person_id, created_at=now)
        db.add(calendar)
    calendar.url_locked, calendar.busy = secrets.lock(url), []
    calendar.next_at, calendar.fetched_at, calendar.fault = now, None, None
    db.info["wake"] = True
    db.flush()
    return calendar


def forget_calendar(db: Db, person_id: uuid.UUID) -> None:
    """Forget a person's calendar with all that was read from it.

    **Touches** deletes from busy_calendar.
    """
    calendar = find_calendar(db, person_id)
    if calendar is not None:
        db.delete(calendar)


def keep_busy_times(calendar: BusyCalendar, busy: Sequence[Span], now: datetime) -> None:
    """Keep what a fetch found. **Touches** writes busy_calendar."""
    calendar.busy = [[begin.isoformat(), end.isoformat()] for begin, end in busy]
    calendar.fetched_at, calendar.fault, calendar.next_at = now, None, now + FETCH_EVERY


def keep_fault(calendar: BusyCalendar, code: str, now: datetime) -> None:
    """Keep that a fetch failed. Old busy times do not stay: nobody could tell how old they are.

    **Touches** writes busy_calendar.
    """
    calendar.busy, calendar.fault, calendar.next_at = [], code, now + TRY_AGAIN
