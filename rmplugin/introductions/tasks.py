"""Introductions in the background: nobody waits for ever."""

from rmplugin.introductions import operations
from rmplugin.jobs import Runtime
from rmplugin.tenants.tasks import in_each_tenant


def see_after(runtime: Runtime) -> int:
    """Look after the introductions of every tenant.

    :return: how many pairings were ended.
    **Touches** what `operations.see_after` touches.
    """
    return in_each_tenant(runtime, operations.see_after)
