"""Fetches calendars. Only busy times are kept; what else stands in the file is forgotten at once."""

import uuid
from datetime import timedelta
from urllib.parse import urlsplit

from sqlalchemy import select

from rmplugin import http, outside
from rmplugin.errors import FatalError, InputError, RetriableError
from rmplugin.freebusy import operations
from rmplugin.freebusy.models import BusyCalendar
from rmplugin.freebusy.parsing import busy_times
from rmplugin.jobs import Runtime
from rmplugin.people.queries import zone_of

# Suggestions look four weeks ahead, from a day that may lie a rhythm ahead itself.
HORIZON = timedelta(weeks=16)
LIMITS = http.Limits(
    seconds=20.0, tries=1, answer_seconds=15.0, answer_bytes=8 * 1024 * 1024, read_seconds=10.0
)
# Whatever is due beyond this has its turn a minute later.
AT_A_TIME = 50
# Name of the session to the outside in `Runtime.kept`.
OUTSIDE = "outside_http"


def fetch_due(runtime: Runtime) -> int:
    """Fetch every calendar that is due.

    :return: how many went well.
    **Touches** the network; writes busy_calendar.
    """
    with runtime.database.unbound(write=False) as db:
        query = select(BusyCalendar.id, BusyCalendar.tenant_id).where(BusyCalendar.next_at <= runtime.clock())
        due = [tuple(row) for row in db.execute(query.order_by(BusyCalendar.next_at).limit(AT_A_TIME))]
    return sum(_fetch(runtime, calendar_id, tenant_id) for calendar_id, tenant_id in due)


def _fetch(runtime: Runtime, calendar_id: uuid.UUID, tenant_id: uuid.UUID) -> bool:
    with runtime.database.transaction(tenant_id, write=False) as db:
        calendar = db.get(BusyCalendar, calendar_id)
        if calendar is None:
            return False
        locked, zone = calendar.url_locked, zone_of(db, calendar.person_id)
    now = runtime.clock()
    busy, fault = [], None
    try:
        text = _read(runtime, runtime.database.secrets.unlock(locked))
        busy = busy_times(text, now, now + HORIZON, zone)
    except (RetriableError, FatalError) as error:
        fault = "unreachable" if error.remote_status is None else f"http_{error.remote_status}"
    except InputError as error:
        fault = error.code
    with runtime.database.transaction(tenant_id) as db:
        kept = db.get(BusyCalendar, calendar_id, with_for_update=True)
        # The person may have taken it back, or given another, meanwhile.
        if kept is None or kept.url_locked != locked:
            return False
        if fault is None:
            operations.keep_busy_times(kept, busy, now)
        else:
            operations.keep_fault(kept, fault, now)
    return fault is None


def _read(runtime: Runtime, url: str) -> bytes:
    session = runtime.kept.setdefault(OUTSIDE, outside.make_session())
    parts = urlsplit(url)
    base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    auth = (parts.username, parts.password or "") if parts.username else None
    client = http.Client("The calendar", base, auth=auth, limits=LIMITS, session=session)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return client.get(base + path).body
