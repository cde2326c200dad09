"""The preparation in the background: reminders of supervision groups."""

from sqlalchemy import select

from rmplugin.jobs import Runtime
from rmplugin.preparation import operations
from rmplugin.preparation.models import SupervisionGroup


def remind_due(runtime: Runtime) -> int:
    """Remind of the groups of every tenant that meet within a day.

    :return: of how many.
    **Touches** what `operations.remind_due` touches.
    """
    with runtime.database.unbound(write=False) as db:
        waiting = select(SupervisionGroup.tenant_id).where(SupervisionGroup.reminded_at.is_(None))
        tenants = db.scalars(waiting.where(SupervisionGroup.starts_at > runtime.clock()).distinct()).all()
    reminded = 0
    for tenant_id in tenants:
        with runtime.database.transaction(tenant_id) as db:
            reminded += operations.remind_due(db, runtime.clock())
    return reminded
