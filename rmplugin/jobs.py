"""Work after the commit: the outbox, the queue that wakes the worker, and what a task is given."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import huey
import requests
import structlog
from sqlalchemy import CheckConstraint, Index, select
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, Database, Db, TenantOwned
from rmplugin.errors import ConfigError, RmError
from rmplugin.settings import Settings

log = structlog.get_logger()

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=6)
MOST_ATTEMPTS = 12

Clock = Callable[[], datetime]
Handler = Callable[[Db, Mapping[str, Any], datetime], None]


class OutboxEvent(Base, TenantOwned):
    """Something that happened and must have an effect further up. Written with its cause, removed by nobody.

    :ivar kind: e.g. "session_confirmed".
    :ivar payload: ids and numbers only.
    """

    __tablename__ = "outbox_event"
    __table_args__ = (
        CheckConstraint("state in ('pending', 'done', 'dead')", name="state"),
        Index("ix_outbox_event_state_next", "state", "next_at"),
    )
    kind: Mapped[str]
    payload: Mapped[dict[str, Any]]
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime]
    done_at: Mapped[datetime | None]


@dataclass(frozen=True)
class Runtime:
    """What pages, tasks and commands are given: nothing of it is a module's global.

    :ivar plugins: `plugins.Plugins`.
    :ivar handlers: kind of event -> functions that run in the transaction that marks the event done.
    :ivar hooks: kind of event -> notification hook that is told afterwards.
    :ivar queue: wakes the worker; a lost wake-up costs a minute, never an effect.
    """

    settings: Settings
    database: Database
    plugins: Any
    http: requests.Session
    clock: Clock
    queue: huey.Huey
    handlers: Mapping[str, Sequence[Handler]] = field(default_factory=dict)
    hooks: Mapping[str, str] = field(default_factory=dict)


def enqueue(db: Db, kind: str, now: datetime, **payload: Any) -> None:
    """Write an event into the transaction that causes it.

    :param payload: JSON-ready ids and numbers, no personal data.
    **Touches** writes outbox_event.
    """
    db.add(OutboxEvent(kind=kind, payload=payload, state="pending", next_at=now, created_at=now))
    db.info["wake"] = True


def wait_after(attempts: int) -> timedelta:
    """Give the pause after so many failed attempts: one minute, doubling, six hours at most.

    **Touches** pure.
    """
    return min(LONGEST_WAIT, FIRST_WAIT * 2 ** max(0, attempts - 1))


def work_outbox(runtime: Runtime, *, limit: int = 500) -> int:
    """Give due events their effects, oldest first, each in one transaction of its own.

    :param limit: events at most in this round.
    :return: how many took effect.
    **Touches** outbox_event and what the handlers touch; plug-ins hear of it afterwards.
    """
    worked = 0
    for event_id, tenant_id in _due_events(runtime, limit):
        if _work_one(runtime, event_id, tenant_id):
            worked += 1
    return worked


def _due_events(runtime: Runtime, limit: int) -> list[tuple[uuid.UUID, uuid.UUID]]:
    with runtime.database.unbound(write=False) as db:
        query = select(OutboxEvent.id, OutboxEvent.tenant_id).where(
            OutboxEvent.state == "pending", OutboxEvent.next_at <= runtime.clock()
        )
        return [(row.id, row.tenant_id) for row in db.execute(query.order_by(OutboxEvent.id).limit(limit))]


def _work_one(runtime: Runtime, event_id: uuid.UUID, tenant_id: uuid.UUID) -> bool:
    try:
        with runtime.database.transaction(tenant_id) as db:
            # Another worker may have it: on PostgreSQL the row is locked, on SQLite writers wait in line.
            event = db.scalars(
                select(OutboxEvent)
                .where(OutboxEvent.id == event_id, OutboxEvent.state == "pending")
                .with_for_update(skip_locked=True)
            ).one_or_none()
            if event is None:
                return False
            now = runtime.clock()
            _take_effect(runtime, db, event, now)
            event.state, event.done_at = "done", now
            event.attempts += 1
    except Exception as error:  # noqa: BLE001 - whatever a handler raises, the event must stay and be tried again.
        _postpone(runtime, event_id, tenant_id, error)
        return False
    return True


def _take_effect(runtime: Runtime, db: Db, event: OutboxEvent, now: datetime) -> None:
    if event.kind.startswith("rm_"):
        runtime.plugins.tell(event.kind, tenant_id=str(event.tenant_id), **event.payload)
        return
    for handler in runtime.handlers.get(event.kind, ()):
        handler(db, event.payload, now)
    if event.kind in runtime.hooks:
        # An event of its own, so that a slow or crashing plug-in never undoes or repeats the effect.
        enqueue(db, runtime.hooks[event.kind], now, **event.payload)


def _postpone(runtime: Runtime, event_id: uuid.UUID, tenant_id: uuid.UUID, error: Exception) -> None:
    code = error.code if isinstance(error, RmError) else type(error).__name__
    with runtime.database.transaction(tenant_id) as db:
        event = db.get(OutboxEvent, event_id)
        if event is None or event.state != "pending":
            return
        event.attempts += 1
        event.last_error = code
        event.next_at = runtime.clock() + wait_after(event.attempts)
        if event.attempts >= MOST_ATTEMPTS:
            event.state = "dead"
        log.error("event_failed", kind=event.kind, event=str(event_id), code=code, attempts=event.attempts)


def make_queue(url: str) -> huey.Huey:
    """Open the queue that wakes the worker.

    :param url: sqlite:///path, redis://… or postgresql://…
    :raises ConfigError: the scheme is none of these.
    **Touches** makes the SQLite file; others connect when first used.
    """
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        return huey.SqliteHuey("rmplugin", filename=str(path), results=False, timeout=30)
    if scheme in ("redis", "rediss"):
        return huey.RedisHuey("rmplugin", url=url, results=False)
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        dsn = url.replace("postgresql+psycopg:", "postgresql:")
        return huey.PostgresHuey("rmplugin", dsn=dsn, results=False)
    raise ConfigError(
        [f"RM_QUEUE_URL begins with {scheme}:, but must begin with sqlite:, redis: or postgresql:."]
    )
