"""Leaving in the background: pairs of leavers, thanks that are due, completed pairs."""

from rmplugin.jobs import Runtime
from rmplugin.leaving import operations
from rmplugin.tenants.tasks import in_each_tenant


def look_after(runtime: Runtime) -> int:
    """Do for every tenant what time alone brings about.

    :return: how many people or pairs something happened to.
    **Touches** what the operations touch.
    """
    work = (operations.complete_pairs, operations.end_pairs_of_leavers, operations.deliver_thanks)
    return sum(in_each_tenant(runtime, one) for one in work)
