"""Taking in what identity providers sent: one incremental run for all that came since the last."""

import uuid
from collections.abc import Mapping
from typing import Any

from rmplugin.jobs import Runtime
from rmplugin.people.tasks import sync_roster
from rmplugin.tenants.models import HrAccount


def take_in_changes(runtime: Runtime, tenant_id: uuid.UUID, payload: Mapping[str, Any]) -> None:
    """Run the roster engine over the account. One that is held or fails waits for a person, or for the next.

    :param payload: {"account_id": text}.
    :raises ConflictError: another run is at work; the outbox tries again.
    **Touches** what `sync_roster` touches.
    """
    with runtime.database.transaction(tenant_id, write=False) as db:
        account = db.get(HrAccount, uuid.UUID(payload["account_id"]))
    if account is None:
        return
    sync_roster(
        runtime.database, runtime.plugins, tenant_id, account.name, now=runtime.clock(), actor="worker"
    )
