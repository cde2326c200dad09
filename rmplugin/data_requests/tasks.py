"""Nightly: words of pairs go once their programme's time is over, and old notices and access entries."""

from datetime import date, datetime, timedelta

from dateutil.relativedelta import relativedelta
from sqlalchemy import delete, select

from rmplugin.aims.operations import DUE
from rmplugin.audit import AccessEntry
from rmplugin.data_requests.operations import remove_old_words
from rmplugin.db import Db
from rmplugin.introductions.queries import REMINDER
from rmplugin.jobs import Runtime
from rmplugin.notify import Notice
from rmplugin.programmes.models import Programme
from rmplugin.tenants.tasks import in_each_tenant

ACCESS_KEPT = timedelta(days=365)
# A notice that was put away is seen no more. Those of `REMINDERS` say longer that somebody was reminded.
NOTICE_KEPT = timedelta(days=30)
REMINDERS = (REMINDER, *DUE.values())


def remove_due(runtime: Runtime) -> int:
    """Remove the words of every programme whose time is over, old notices and entries about opened pages.

    :return: how many programmes were emptied.
    **Touches** what `operations.remove_old_words` touches; access_entry, notice.
    """
    return in_each_tenant(runtime, _remove_due)


def _remove_due(db: Db, now: datetime) -> int:
    db.execute(delete(AccessEntry).where(AccessEntry.at < now - ACCESS_KEPT))
    put_away = (Notice.read_at < now - NOTICE_KEPT) & Notice.kind.not_in(REMINDERS)
    db.execute(delete(Notice).where(put_away | (Notice.created_at < now - ACCESS_KEPT)))
    # Whatever its state: a programme that nobody closes keeps its words no longer.
    over = db.scalars(select(Programme).where(Programme.ends_on < now.date()))
    due = [row for row in over if words_go_on(row) <= now.date() and not _is_empty(row)]
    for programme in due:
        remove_old_words(db, programme.id, "worker", now)
        programme.words_removed_at = now
    return len(due)


def _is_empty(programme: Programme) -> bool:
    """Tell whether the words are gone, and the programme was not made longer since."""
    removed_at = programme.words_removed_at
    return removed_at is not None and removed_at.date() > programme.ends_on


def words_go_on(programme: Programme) -> date:
    """Give the day on which what pairs of a programme wrote is removed. **Touches** nothing."""
    return programme.ends_on + relativedelta(months=programme.keep_months)
