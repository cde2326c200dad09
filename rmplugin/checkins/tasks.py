"""Check-ins in the background: they ask by themselves."""

from rmplugin.checkins import operations
from rmplugin.jobs import Runtime
from rmplugin.tenants.tasks import in_each_tenant


def ask_due(runtime: Runtime) -> int:
    """Ask, remind and let go in every tenant.

    :return: how many people were asked.
    **Touches** what `operations.ask_due` touches.
    """
    return in_each_tenant(runtime, operations.ask_due)
