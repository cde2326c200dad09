"""Nightly: words of pairs go when their programme's time is over, entries about opened pages after a year."""

import calendar
import uuid
from datetime import date, timedelta

import structlog
from sqlalchemy import delete, select

from rmplugin.audit import AccessEntry
from rmplugin.data_requests.operations import remove_old_words
from rmplugin.jobs import Runtime
from rmplugin.programmes.models import Programme
from rmplugin.tenants.models import Tenant

log = structlog.get_logger()

ACCESS_KEPT = timedelta(days=365)


def remove_due(runtime: Runtime) -> int:
    """Remove the words of every programme whose time is over, once, and old entries about opened pages.

    :return: how many programmes were emptied.
    **Touches** what `operations.remove_old_words` touches; access_entry.
    """
    with runtime.database.unbound(write=False) as db:
        tenants = db.scalars(select(Tenant.id)).all()
    emptied = 0
    for tenant_id in tenants:
        try:
            emptied += _remove_due(runtime, tenant_id)
        except Exception as error:  # noqa: BLE001 - one tenant's trouble must not keep the others waiting.
            log.error("words_not_removed", tenant=str(tenant_id), kind=type(error).__name__)
    return emptied


def _remove_due(runtime: Runtime, tenant_id: uuid.UUID) -> int:
    now = runtime.clock()
    with runtime.database.transaction(tenant_id) as db:
        db.execute(delete(AccessEntry).where(AccessEntry.at < now - ACCESS_KEPT))
        ended = Programme.state.in_(("concluding", "archived"))
        query = select(Programme).where(
            ended, Programme.words_removed_at.is_(None), Programme.ends_on < now.date()
        )
        due = [row for row in db.scalars(query) if words_go_on(row) <= now.date()]
        for programme in due:
            remove_old_words(db, programme.id, "worker", now)
            programme.words_removed_at = now
    return len(due)


def words_go_on(programme: Programme) -> date:
    """Give the day on which what pairs of a programme wrote is removed. **Touches** nothing."""
    return add_months(programme.ends_on, programme.keep_months)


def add_months(day: date, months: int) -> date:
    """Give the same day so many months later, or the last one of that month. **Touches** nothing."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
