"""Mails: a server that takes them, notices, and what people wish."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

from rmplugin import notify
from rmplugin.jobs import work_outbox
from rmplugin.mailing import operations, tasks
from rmplugin.mailing.catalogue import DEFAULT_WAYS, SERVICE
from rmplugin.mailing.models import Mail
from rmplugin.mailing.quiet import EVENING, MORNING
from rmplugin.wiring import make_runtime
from tests.factories.rows import read_rows


def open_runtime(settings, url: str | None, clock, plugins=()):
    """Open the installation with a mail server."""
    return make_runtime(dataclasses.replace(settings, smtp_url=url), plugins=plugins, clock=clock)


def tell(runtime, tenant, person, kind: str = "message", path: str | None = None, **fields: Any) -> None:
    with runtime.database.transaction(tenant.id) as db:
        notify.tell(db, person.id, kind, fields.pop("text", "Something"), runtime.clock(), path, **fields)


def wish(
    runtime, tenant, person, *, quiet=(EVENING, MORNING), language: str | None = "en", **ways: str
) -> None:
    """Let a person choose: ``wish(..., messages="digest")``."""
    chosen = {group: way for group, way in (DEFAULT_WAYS | ways).items() if group != SERVICE}
    values = {
        "ways": chosen,
        "quiet_from_minute": quiet[0],
        "quiet_to_minute": quiet[1],
        "language": language,
    }
    with runtime.database.transaction(tenant.id) as db:
        operations.choose(db, person.id, values, runtime.clock())


def send(runtime) -> dict[str, int]:
    """Do what the worker does in a round."""
    work_outbox(runtime)
    return dict(tasks.send_due(runtime))


def states(runtime, tenant) -> list[str]:
    return sorted(row.state for row in read_rows(runtime.database, tenant, Mail))


def due(runtime, tenant) -> list[datetime]:
    return sorted(row.due_at for row in read_rows(runtime.database, tenant, Mail))
