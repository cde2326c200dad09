"""Matching tasks."""

import uuid

from rmplugin.jobs import Runtime


def run(runtime: Runtime, tenant_id: uuid.UUID, run_id: uuid.UUID) -> None:
    """Run."""
