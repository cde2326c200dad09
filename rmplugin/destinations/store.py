"""Brakes: all workers together leave a system alone that does not answer, and try it with one call."""

import random
import uuid
from collections.abc import Collection, MutableMapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from rmplugin.db import Db
from rmplugin.destinations.models import Brake
from rmplugin.jobs import wait_after
from rmplugin.sinks import SinkAnswer

# After so many failures in a row a system is left alone.
PATIENCE = 3
# Then one call tries it, at least so often: it costs little, and what waits goes out soon after.
LONGEST_SHUT = timedelta(minutes=15)
# Longer wishes of another system are not followed: a wrong clock there must not silence us for years.
LONGEST_ASKED_WAIT = timedelta(hours=24)
TOO_MANY, UNAVAILABLE = 429, 503


@dataclass(frozen=True, slots=True)
class Door:
    """What fails as one: an account, or one course of an LMS.

    :param sink: key of the plug-in.
    :param place_id: of the account or the course.
    """

    sink: str
    place_id: uuid.UUID


def find_brakes(db: Db, doors: Collection[Door]) -> dict[Door, Brake]:
    """Give the brakes of some doors, locked until the transaction ends. A door without failures has none.

    **Touches** reads brake.
    """
    query = select(Brake).where(Brake.place_id.in_({door.place_id for door in doors})).order_by(Brake.id)
    query = query.with_for_update().execution_options(populate_existing=True)
    found = {Door(brake.sink, brake.place_id): brake for brake in db.scalars(query)} if doors else {}
    return {door: brake for door, brake in found.items() if door in doors}


def may_call(brake: Brake | None, now: datetime, lease: timedelta) -> bool:
    """Tell whether a system may be called. The one call that tries a system again keeps all others away.

    :param brake: see `find_brakes`.
    :param lease: how long the call may take; a worker that dies in it keeps the others away so long.
    **Touches** writes brake for a trial.
    """
    if brake is None:
        return True
    if brake.shut_until is not None and brake.shut_until > now:
        return False
    if brake.failures >= PATIENCE:
        brake.shut_until = now + lease
    return True


def note_answer(
    db: Db,
    brakes: MutableMapping[Door, Brake],
    door: Door,
    answer: SinkAnswer,
    now: datetime,
    began: datetime | None = None,
) -> None:
    """Note how a call went: a failure counts, anything else forgets the failures before it.

    :param brakes: see `find_brakes`; kept up.
    :param answer: the best one, where a call had several.
    :param began: when the call did, where others may be under way beside it: what went through before the
        system wanted rest does not end that rest.
    **Touches** writes or deletes brake.
    """
    brake = brakes.get(door)
    if not has_failed(answer):
        if brake is None or (began is not None and _rests_since(brake, began, now)):
            return
        del brakes[door]
        db.execute(delete(Brake).where(Brake.id == brake.id))
        return
    brake = brake or _make(db, door, now)
    brakes[door] = brake
    brake.failures += 1
    brake.last_status, brake.last_error, brake.updated_at = answer.status, answer.message_for_user, now
    brake.shut_until = None
    if answer.retry_after is not None and answer.status in (TOO_MANY, UNAVAILABLE):
        brake.shut_until = now + asked_wait(answer.retry_after)
    elif brake.failures >= PATIENCE:
        wait = min(LONGEST_SHUT, wait_after(brake.failures - PATIENCE + 1))
        brake.shut_until = now + wait * random.uniform(0.8, 1.0)  # noqa: S311 - It only spreads calls.


def _rests_since(brake: Brake, began: datetime, now: datetime) -> bool:
    return brake.shut_until is not None and brake.shut_until > now and brake.updated_at >= began


def release(db: Db, door: Door) -> None:
    """Forget a system's failures, because somebody says that it is there again. **Touches** deletes brake."""
    db.execute(delete(Brake).where(Brake.sink == door.sink, Brake.place_id == door.place_id))


def has_failed(answer: SinkAnswer) -> bool:
    """Tell whether an answer says that the whole system is down or wants rest, not only one record.

    **Touches** pure.
    """
    if answer.outcome == "needs_human":
        # Whatever is sent while a system is down would have to be looked for by hand, too.
        return answer.unsure or answer.status in (401, 403)
    # Without a status, a wish for a pause comes from ourselves (a column is being made).
    down = answer.status >= TOO_MANY if answer.status is not None else answer.retry_after is None
    return answer.outcome == "retry" and down


def asked_wait(seconds: float) -> timedelta:
    """Give the pause that another system asked for: a second at least, a day at most. **Touches** pure."""
    return timedelta(seconds=max(1.0, min(seconds, LONGEST_ASKED_WAIT.total_seconds())))


def _make(db: Db, door: Door, now: datetime) -> Brake:
    try:
        with db.begin_nested():
            db.add(Brake(sink=door.sink, place_id=door.place_id, failures=0, updated_at=now))
    except IntegrityError:
        # Another worker made it meanwhile and has committed.
        pass
    return find_brakes(db, {door})[door]
