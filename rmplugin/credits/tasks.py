"""Credits tasks."""

from rmplugin.jobs import Runtime


def deliver_due(runtime: Runtime) -> None:
    """Deliver."""
