"""Work after the commit: the outbox, the queue that wakes the worker, and what a task is given."""

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import requests
import structlog
from sqlalchemy import CheckConstraint, ColumnElement, Index, Table, select, update
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, Database, Db, TenantOwned, chunks, insert_rows, new_id
from rmplugin.errors import ConfigError, RetriableError, RmError
from rmplugin.settings import Settings

if TYPE_CHECKING:
    import huey

log = structlog.get_logger()

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=6)
MOST_ATTEMPTS = 12
# Plug-ins and tasks that take longer may be given the same event twice.
OUTSIDE_TAKES = timedelta(minutes=10)
# Events that share a transaction, and so a wait for the disk.
TOGETHER = 100
POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")

Clock = Callable[[], datetime]
Handler = Callable[[Db, Mapping[str, Any], datetime], None]
Task = Callable[["Runtime", uuid.UUID, Mapping[str, Any]], None]
Value = TypeVar("Value")


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


EVENT: Table = OutboxEvent.__table__  # type: ignore[assignment]  # Declared as FromClause; it is a Table here.


class LateMapping(Mapping[str, Value]):
    """A mapping that is made when it is first looked into: every command has one, and few need what is in it.

    :param make: makes it; called once.
    """

    def __init__(self, make: Callable[[], Mapping[str, Value]]) -> None:
        self._made = cache(make)

    def __getitem__(self, key: str) -> Value:
        """Look a value up."""
        return self._made()[key]

    def __iter__(self) -> Iterator[str]:
        """Give the keys."""
        return iter(self._made())

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._made())


@dataclass(frozen=True)
class AllAtOnce:
    """A handler that is given the payloads of all events of its kind that share a transaction.

    :ivar work: db, payloads in the order of their events, now.
    """

    work: Callable[[Db, Sequence[Mapping[str, Any]], datetime], None]


@dataclass(frozen=True)
class Runtime:
    """What pages, tasks and commands are given: nothing of it is a module's global.

    :ivar plugins: `plugins.Plugins`.
    :ivar handlers: kind of event -> functions that run in the transaction that marks the event done.
    :ivar tasks: kind of event -> slow work for it, with calls to other systems, outside any transaction.
    :ivar hooks: kind of event -> notification hook that is told afterwards.
    :ivar kept: what is made once per process when it is first needed, by name (e.g. the LTI service client).
    """

    settings: Settings
    database: Database
    plugins: Any
    http: requests.Session
    clock: Clock
    handlers: Mapping[str, Sequence[Handler | AllAtOnce]] = field(default_factory=dict)
    tasks: Mapping[str, Task] = field(default_factory=dict)
    hooks: Mapping[str, str] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def queue(self) -> "huey.Huey":
        """Open what wakes the worker; a lost wake-up costs a minute, never an effect."""
        return make_queue(self.settings.queue_url)


def enqueue(db: Db, kind: str, now: datetime, **payload: Any) -> None:
    """Write an event into the transaction that causes it.

    :param payload: JSON-ready ids and numbers, no personal data.
    **Touches** writes outbox_event.
    """
    db.add(OutboxEvent(kind=kind, payload=payload, state="pending", next_at=now, created_at=now))
    db.info["wake"] = True


def enqueue_all(db: Db, kind: str, payloads: Iterable[Mapping[str, Any]], now: datetime) -> None:
    """Write many events of a kind into the transaction that causes them; see `enqueue`.

    **Touches** writes outbox_event.
    """
    same = {"tenant_id": db.tenant_id, "kind": kind, "state": "pending", "attempts": 0, "next_at": now}
    same |= {"last_error": None, "created_at": now, "done_at": None}
    rows = ({**same, "id": new_id(), "payload": payload} for payload in payloads)
    insert_rows(db.connection(), EVENT, rows)
    db.info["wake"] = True


def find_pending(
    db: Db, kinds: Collection[str], *conditions: ColumnElement[bool], **ids: uuid.UUID
) -> OutboxEvent | None:
    """Give the oldest event of some kinds that waits or is at work; None when there is none.

    :param conditions: what must hold of the event besides.
    :param ids: what its payload says.
    **Touches** reads outbox_event.
    """
    query = select(OutboxEvent).where(
        OutboxEvent.kind.in_(kinds),
        OutboxEvent.state == "pending",
        *(OutboxEvent.payload[name].as_string() == str(one) for name, one in ids.items()),
        *conditions,
    )
    return db.scalars(query.order_by(OutboxEvent.id).limit(1)).first()


def wait_after(attempts: int) -> timedelta:
    """Give the pause after so many failed attempts: one minute, doubling, six hours at most.

    **Touches** pure.
    """
    doublings = min(max(0, attempts - 1), 16)
    return min(LONGEST_WAIT, FIRST_WAIT * (1 << doublings))


def work_outbox(runtime: Runtime, *, slow: bool = False, kind: str | None = None, limit: int = 500) -> int:
    """Give due events their effects, oldest first, until none is due.

    Each event and its effect commit together. A few events share a transaction; when anything fails in it,
    all of it is undone, and each is worked on in a transaction of its own.

    :param slow: work on the events that have a task, and on no others, so that these need not wait for them.
    :param kind: work on events of this kind only; None for all.
    :param limit: events that are read at a time.
    :return: how many took effect.
    **Touches** outbox_event and what the handlers or tasks touch; plug-ins hear of it afterwards.
    """
    worked = 0
    tried: set[uuid.UUID] = set()
    # What took effect is not due any more, so that few of those that were tried are read again.
    while due := _due_events(runtime, limit + len(tried) - worked, slow=slow, kind=kind, besides=tried):
        due = due[:limit]
        tried.update(event_id for event_id, _tenant_id, _kind in due)
        for (tenant_id, outside), events in groupby(due, lambda one: (one[1], _is_outside(runtime, one[2]))):
            for some in chunks(events, 1 if outside else TOGETHER):
                worked += _work_some(runtime, tenant_id, some)
    return worked


def _is_outside(runtime: Runtime, kind: str) -> bool:
    return kind in runtime.tasks or kind.startswith("rm_")


def _work_some(
    runtime: Runtime, tenant_id: uuid.UUID, events: Sequence[tuple[uuid.UUID, uuid.UUID, str]]
) -> int:
    if len(events) > 1:
        try:
            with runtime.database.transaction(tenant_id) as db:
                kinds = groupby(events, lambda one: one[2])
                return sum(
                    _give_effect(runtime, db, kind, [event_id for event_id, _tenant_id, _kind in some])
                    for kind, some in kinds
                )
        except Exception as error:  # noqa: BLE001 - found out anew below, and told of the event that it belongs to.
            log.info("events_one_by_one", code=type(error).__name__, events=len(events))
    return sum(_work_one(runtime, *event) for event in events)


def _due_events(
    runtime: Runtime, limit: int, *, slow: bool, kind: str | None, besides: AbstractSet[uuid.UUID]
) -> list[tuple[uuid.UUID, uuid.UUID, str]]:
    with runtime.database.unbound(write=False) as db:
        query = select(OutboxEvent.id, OutboxEvent.tenant_id, OutboxEvent.kind).where(
            OutboxEvent.state == "pending", OutboxEvent.next_at <= runtime.clock()
        )
        has_task = OutboxEvent.kind.in_(list(runtime.tasks))
        query = query.where(has_task if slow else ~has_task)
        if kind is not None:
            query = query.where(OutboxEvent.kind == kind)
        rows = db.execute(query.order_by(OutboxEvent.id).limit(limit)).all()
    return [(row.id, row.tenant_id, row.kind) for row in rows if row.id not in besides]


def _work_one(runtime: Runtime, event_id: uuid.UUID, tenant_id: uuid.UUID, kind: str) -> bool:
    work = _work_outside if _is_outside(runtime, kind) else _take_effect
    try:
        return work(runtime, event_id, tenant_id, kind)
    except Exception as error:  # noqa: BLE001 - whatever a handler raises, the event stays.
        _postpone(runtime, event_id, tenant_id, error)
        return False


def _take_effect(runtime: Runtime, event_id: uuid.UUID, tenant_id: uuid.UUID, kind: str) -> bool:
    with runtime.database.transaction(tenant_id) as db:
        return _give_effect(runtime, db, kind, [event_id]) > 0


def _give_effect(runtime: Runtime, db: Db, kind: str, event_ids: Sequence[uuid.UUID]) -> int:
    """Run the handlers in the transaction that marks the events done: all of it happens, or nothing.

    :return: how many events took effect.
    """
    now = runtime.clock()
    held = _hold_all(db, event_ids, now)
    if not held:
        return 0
    payloads = list(held.values())
    for handler in runtime.handlers.get(kind, ()):
        for some in [payloads] if isinstance(handler, AllAtOnce) else payloads:
            work: Any = handler.work if isinstance(handler, AllAtOnce) else handler
            work(db, some, now)
            db.flush()
            # The next one sees rows as they are in the database, as in a transaction of its own.
            db.expunge_all()
    hook = runtime.hooks.get(kind)
    if hook is not None and runtime.plugins.hears(hook):
        # Events of their own, so that a slow or crashing plug-in never undoes or repeats the effect.
        for payload in payloads:
            enqueue(db, hook, now, **payload)
        db.flush()
    done = {"state": "done", "done_at": now, "attempts": OutboxEvent.attempts + 1}
    unsynced = {"synchronize_session": False}
    db.execute(update(OutboxEvent).where(OutboxEvent.id.in_(held)).values(done), execution_options=unsynced)
    return len(held)


def _work_outside(runtime: Runtime, event_id: uuid.UUID, tenant_id: uuid.UUID, _kind: str) -> bool:
    """Run a task or tell the plug-ins outside any transaction: they may be slow, and may call other systems.

    The event is put off first, so that no other worker has it meanwhile; after a crash it comes again.
    """
    with runtime.database.transaction(tenant_id) as db:
        event = _hold(db, event_id, runtime.clock())
        if event is None:
            return False
        event.next_at = runtime.clock() + OUTSIDE_TAKES
    if event.kind in runtime.tasks:
        runtime.tasks[event.kind](runtime, tenant_id, event.payload)
    else:
        runtime.plugins.tell(event.kind, tenant_id=str(tenant_id), **event.payload)
    with runtime.database.transaction(tenant_id) as db:
        told = db.get(OutboxEvent, event_id, with_for_update=True)
        if told is not None and told.state == "pending":
            _finish(told, runtime.clock())
    return True


def _hold(db: Db, event_id: uuid.UUID, now: datetime) -> OutboxEvent | None:
    """Lock a due event; None when another worker has it. On SQLite, writers stand in line anyway."""
    query = select(OutboxEvent).where(OutboxEvent.id == event_id, *_is_due(now))
    return db.scalars(query.with_for_update(skip_locked=True)).one_or_none()


def _hold_all(db: Db, event_ids: Sequence[uuid.UUID], now: datetime) -> dict[uuid.UUID, Mapping[str, Any]]:
    """Lock due events that no other worker has, as `_hold`; give their payloads, oldest first."""
    columns = (OutboxEvent.id, OutboxEvent.payload, OutboxEvent.state, OutboxEvent.next_at)
    query = select(*columns).where(OutboxEvent.id.in_(event_ids)).order_by(OutboxEvent.id)
    rows = db.execute(query.with_for_update(skip_locked=True))
    # Asked for by state, too, SQLite would read all that are pending while it knows no sizes.
    return {row.id: row.payload for row in rows if row.state == "pending" and row.next_at <= now}


def _is_due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return OutboxEvent.state == "pending", OutboxEvent.next_at <= now


def _finish(event: OutboxEvent, now: datetime) -> None:
    event.state, event.done_at = "done", now
    event.attempts += 1


def _postpone(runtime: Runtime, event_id: uuid.UUID, tenant_id: uuid.UUID, error: Exception) -> None:
    code = error.code if isinstance(error, RmError) else type(error).__name__
    with runtime.database.transaction(tenant_id) as db:
        event = db.get(OutboxEvent, event_id, with_for_update=True)
        if event is None or event.state != "pending":
            return
        event.attempts += 1
        event.last_error = code
        event.next_at = runtime.clock() + _pause(event.attempts, error)
        if event.attempts >= MOST_ATTEMPTS:
            event.state = "dead"
        log.error("event_failed", kind=event.kind, event_id=str(event_id), code=code, attempts=event.attempts)


def _pause(attempts: int, error: Exception) -> timedelta:
    """Wait as long as the other system asked for, else as `wait_after` says."""
    asked = error.retry_after if isinstance(error, RetriableError) else None
    return wait_after(attempts) if asked is None else min(timedelta(seconds=asked), LONGEST_WAIT)


def revive_dead(db: Db, now: datetime) -> int:
    """Make this tenant's events that were given up due again, after their cause was mended.

    :return: how many.
    **Touches** writes outbox_event.
    """
    dead = db.scalars(select(OutboxEvent).where(OutboxEvent.state == "dead").with_for_update()).all()
    for event in dead:
        event.state, event.attempts, event.next_at = "pending", 0, now
    db.info["wake"] = True
    return len(dead)


def check_queue_url(url: str) -> None:
    """Refuse the address of a queue that `make_queue` cannot open.

    :raises ConfigError: its scheme is unknown.
    **Touches** pure.
    """
    scheme = urlsplit(url).scheme
    if scheme not in ("sqlite", "redis", "rediss", *POSTGRESQL):
        raise ConfigError(
            [f"RM_QUEUE_URL begins with {scheme}:, but must begin with sqlite:, redis: or postgresql:."]
        )


def make_queue(url: str) -> "huey.Huey":
    """Open the queue that wakes the worker.

    :param url: sqlite:///path, redis://… or postgresql://…
    :raises ConfigError: the scheme is none of these.
    **Touches** makes the SQLite file; others connect when first used.
    """
    # It loads the clients of all its stores, and most commands wake nobody.
    import huey

    check_queue_url(url)
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        return huey.SqliteHuey("rmplugin", filename=str(path), results=False, timeout=30)
    if scheme in POSTGRESQL:
        dsn = url.replace("postgresql+psycopg:", "postgresql:")
        return huey.PostgresHuey("rmplugin", dsn=dsn, results=False)
    return huey.RedisHuey("rmplugin", url=url, results=False)
