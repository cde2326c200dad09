"""Nightly: words of pairs go when their programme's time is over, entries about opened pages after a year."""

from datetime import date, datetime, timedelta

from dateutil.relativedelta import relativedelta
from sqlalchemy import delete, select

from rmplugin.audit import AccessEntry
from rmplugin.data_requests.operations import remove_old_words
from rmplugin.db import Db
from rmplugin.jobs import Runtime
from rmplugin.programmes.models import Programme
from rmplugin.tenants.tasks import in_each_tenant

ACCESS_KEPT = timedelta(days=365)


def remove_due(runtime: Runtime) -> int:
    """Remove the words of every programme whose time is over, once, and old entries about opened pages.

    :return: how many programmes were emptied.
    **Touches** what `operations.remove_old_words` touches; access_entry.
    """
    return in_each_tenant(runtime, _remove_due)


def _remove_due(db: Db, now: datetime) -> int:
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
    return programme.ends_on + relativedelta(months=programme.keep_months)
