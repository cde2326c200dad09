"""The preparation in the background: reminders of supervision groups."""

from rmplugin.jobs import Runtime
from rmplugin.preparation import operations
from rmplugin.tenants.tasks import in_each_tenant


def remind_due(runtime: Runtime) -> int:
    """Remind of the groups of every tenant that meet within a day.

    :return: of how many.
    **Touches** what `operations.remind_due` touches.
    """
    return in_each_tenant(runtime, operations.remind_due)
