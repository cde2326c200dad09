"""Aims in the background: whoever has an aim is reminded of it half-way and at the end."""

from rmplugin.aims import operations
from rmplugin.jobs import Runtime
from rmplugin.tenants.tasks import in_each_tenant


def remind(runtime: Runtime) -> int:
    """Remind of ratings in every tenant.

    :return: how many people were reminded.
    **Touches** what `operations.remind` touches.
    """
    return in_each_tenant(runtime, operations.remind)
