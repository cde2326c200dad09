"""Sessions in the background: whoever has not said a word is reminded, and nothing waits for ever."""

from rmplugin.jobs import Runtime
from rmplugin.sessions import changes
from rmplugin.tenants.tasks import in_each_tenant


def look_after(runtime: Runtime) -> int:
    """Look after the sessions of every tenant that wait for somebody's word.

    :return: how many had a turn.
    **Touches** what `changes.look_after` touches.
    """
    return in_each_tenant(runtime, changes.look_after)
