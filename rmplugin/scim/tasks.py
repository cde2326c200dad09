"""Taking in what identity providers sent: one incremental run for all that came since the last."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rmplugin import jobs
from rmplugin.jobs import Runtime
from rmplugin.people.queries import newest_run
from rmplugin.people.tasks import sync_roster
from rmplugin.scim import queries
from rmplugin.tenants.models import HrAccount

# While a run waits for a person, a new one so often shows them the newest state; more would only be noise.
HELD_EVERY = timedelta(minutes=15)


def take_in_changes(runtime: Runtime, tenant_id: uuid.UUID, payload: Mapping[str, Any]) -> None:
    """Run the roster engine over the account. One that is held or fails waits for a person, or for the next.

    :param payload: {"account_id": text}.
    :raises ConflictError: another run is at work; the outbox tries again.
    **Touches** writes outbox_event, and what `sync_roster` touches.
    """
    now = runtime.clock()
    with runtime.database.transaction(tenant_id) as db:
        account = db.get(HrAccount, uuid.UUID(payload["account_id"]))
        if account is None:
            return
        last = newest_run(db, account.id)
        again = last.started_at + HELD_EVERY if last is not None and last.status == "held" else now
        if again > now:
            if not queries.is_event_waiting(db, account.id, again, again):
                jobs.enqueue(db, queries.CHANGED, again, account_id=str(account.id))
            return
    sync_roster(runtime.database, runtime.plugins, tenant_id, account.name, now=now, actor="worker")
