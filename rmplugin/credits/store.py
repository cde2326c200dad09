"""The life of a delivery: written with its cause, coalesced, answered, sent again; see `claims`.

Whoever writes deliveries of a person and programme first locks their completion row, so that on every
database one after the other decides what is newest.
"""

import hashlib
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, and_, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from rmplugin.credits.columns import Place, find_places
from rmplugin.credits.models import Completion, Delivery
from rmplugin.credits.queries import OPEN_STATES
from rmplugin.db import Db, chunks, insert_rows, new_id
from rmplugin.destinations.models import Brake
from rmplugin.destinations.store import Door, asked_wait
from rmplugin.jobs import wait_after
from rmplugin.people.models import CourseMember, LtiUser
from rmplugin.programmes.models import Programme
from rmplugin.sinks import CompletionSink, SinkAnswer
from rmplugin.tenants.models import LtiResourceLink

# Stands in place of the other system's id while it is not known whether it keeps something.
MAYBE_THERE = "maybe there"
DELIVERY: Table = Delivery.__table__  # type: ignore[assignment]  # Declared as FromClause; it is a Table here.
TICK = timedelta(microseconds=1)
SCORE_MAXIMUM = 100


def hold_completion(db: Db, programme_id: uuid.UUID, person_id: uuid.UUID, now: datetime) -> Completion:
    """Give the completion row, made when there is none, locked until the transaction ends.

    **Touches** may write completion.
    """
    query = select(Completion).where(
        Completion.programme_id == programme_id, Completion.person_id == person_id
    )
    query = query.with_for_update().execution_options(populate_existing=True)
    row = db.scalars(query).one_or_none()
    if row is not None:
        return row
    try:
        with db.begin_nested():
            db.add(_new_completion(person_id, programme_id, now))
    except IntegrityError:
        # Another transaction made it meanwhile and has committed.
        pass
    return db.scalars(query).one()


def hold_completions(
    db: Db, pairs: Sequence[tuple[uuid.UUID, uuid.UUID]], now: datetime
) -> dict[tuple[uuid.UUID, uuid.UUID], Completion]:
    """Give many completion rows as `hold_completion` does one.

    :param pairs: (person, programme), sorted, which is the order in which everybody locks them.
    **Touches** may write completion.
    """
    held = {}
    for some in chunks(pairs):
        query = select(Completion).where(
            Completion.person_id.in_({person for person, _programme in some}),
            Completion.programme_id.in_({programme for _person, programme in some}),
        )
        query = query.order_by(Completion.person_id, Completion.programme_id).with_for_update()
        rows = db.scalars(query.execution_options(populate_existing=True)).all()
        wanted = set(some)
        held.update({pair: row for row in rows if (pair := (row.person_id, row.programme_id)) in wanted})
    new = [_new_completion(*pair, now) for pair in pairs if pair not in held]
    if not new:
        return held
    try:
        with db.begin_nested():
            db.add_all(new)
        held.update({(row.person_id, row.programme_id): row for row in new})
    except IntegrityError:
        # Another transaction made one of them meanwhile and has committed.
        held.update({pair: hold_completion(db, pair[1], pair[0], now) for pair in pairs if pair not in held})
    return held


def _new_completion(person_id: uuid.UUID, programme_id: uuid.UUID, now: datetime) -> Completion:
    return Completion(
        programme_id=programme_id,
        person_id=person_id,
        percent=0,
        minutes=0,
        criteria=[],
        policy_version=0,
        updated_at=now,
    )


def write_deliveries(db: Db, completions: Collection[Completion], sink: CompletionSink, now: datetime) -> int:
    """Write what a sink has to be told about completions; older words that are still waiting are superseded.

    Nothing is written while there is nothing to tell: a first score of 0 would already tick "has a grade".

    :param completions: locked by `hold_completion`.
    :return: of how many; of the others the sink knows, or waits to be told, the same already.
    **Touches** writes delivery; reads where the grades go.
    """
    told = _told_of(db, sink, [subject_of(one) for one in completions])
    new = [one for one in completions if _is_new(one, told[subject_of(one)])]
    places = _places_of(db, new) if sink.needs_line_item else {}
    rows, superseded = [], []
    for one in new:
        older = told[subject_of(one)]
        place = places.get((one.programme_id, one.person_id), Place())
        rows.append(_new_delivery(one, older, sink, place, now))
        if sink.coalesces:
            superseded += [
                row.id for row in older.current if row.state in OPEN_STATES and row.state != "in_flight"
            ]
    for some in chunks(superseded):
        query = update(Delivery).where(Delivery.id.in_(some))
        db.execute(query.values(state="superseded", updated_at=now))
    insert_rows(db.connection(), DELIVERY, ({**row, "tenant_id": db.tenant_id} for row in rows))
    if new:
        db.info["wake"] = True
    return len(new)


@dataclass
class _Told:
    """What a sink was told about a subject before.

    :ivar count: of all deliveries.
    :ivar newest: when the newest was written; None when there is none.
    :ivar current: those that nothing newer took the place of, the oldest first.
    """

    count: int = 0
    newest: datetime | None = None
    current: list[Row[*tuple[Any, ...]]] = field(default_factory=list)


def _told_of(db: Db, sink: CompletionSink, subjects: Collection[str]) -> dict[str, _Told]:
    told = {subject: _Told() for subject in subjects}
    numbers = select(Delivery.subject, func.count(), func.max(Delivery.created_at)).group_by(Delivery.subject)
    current = select(
        Delivery.id,
        Delivery.subject,
        Delivery.state,
        Delivery.payload,
        Delivery.next_at,
        Delivery.last_status,
    )
    current = current.where(Delivery.state != "superseded").order_by(Delivery.created_at, Delivery.id)
    for some in chunks(subjects):
        theirs = (Delivery.sink == sink.key, Delivery.subject.in_(some))
        for subject, count, newest in db.execute(numbers.where(*theirs)):
            told[subject].count, told[subject].newest = count, newest
        for row in db.execute(current.where(*theirs)):
            told[row.subject].current.append(row)
    return told


def subject_of(completion: Completion) -> str:
    """Say whom and what words about a completion are about. **Touches** pure."""
    return f"{completion.programme_id}/{completion.person_id}"


def _is_new(completion: Completion, told: _Told) -> bool:
    return told.current[-1].payload != payload_of(completion) if told.current else completion.percent != 0


def _places_of(db: Db, completions: Collection[Completion]) -> dict[tuple[uuid.UUID, uuid.UUID], Place]:
    query = select(Programme).where(Programme.id.in_({one.programme_id for one in completions}))
    programmes = {row.id: row for row in db.scalars(query)}
    return find_places(db, [(programmes[one.programme_id], one.person_id) for one in completions])


def _new_delivery(
    completion: Completion, told: _Told, sink: CompletionSink, place: Place, now: datetime
) -> dict[str, Any]:
    subject = subject_of(completion)
    key = f"{sink.key}\n{subject}\n{told.count + 1}"
    return {
        "id": new_id(), "account_id": None, "waits_for_id": None, "sink": sink.key, "subject": subject,
        "programme_id": completion.programme_id, "person_id": completion.person_id,
        "payload": payload_of(completion), "idempotency_key": hashlib.sha256(key.encode()).hexdigest(),
        "state": "blocked" if place.problem else "pending", "attempts": 0, "lease_until": None,
        "last_status": None, "last_error": place.problem, "remote_ref": None, "sent_timestamp": None,
        "next_at": _not_before(told, now),
        # The newest is the newest, also when the clock was set back meanwhile.
        "created_at": now if told.newest is None else max(now, told.newest + TICK),
        "updated_at": now,
    }  # fmt: skip


def payload_of(completion: Completion) -> dict[str, Any]:
    """Give what sinks are told of a completion. **Touches** pure."""
    return {
        "percent": completion.percent,
        "minutes": completion.minutes,
        "met_at": completion.met_at.isoformat() if completion.met_at else None,
    }


def _not_before(told: _Told, now: datetime) -> datetime:
    """Keep to the pause that another system asked for with 429, also for newer words."""
    asked: list[datetime] = [
        row.next_at for row in told.current if row.state == "retry" and row.last_status == 429
    ]
    return max([now, *asked])


def _fresh_rows(db: Db, sink: str, subject: str) -> Sequence[Delivery]:
    query = select(Delivery).where(Delivery.sink == sink, Delivery.subject == subject)
    query = query.order_by(Delivery.created_at, Delivery.id).with_for_update()
    return db.scalars(query.execution_options(populate_existing=True)).all()


def remember_column(db: Db, link_id: uuid.UUID, url: str) -> str:
    """Remember the column that was made for a link; one that a launch named meanwhile is kept.

    :return: the column that counts.
    **Touches** writes lti_resource_link.
    """
    link = db.get(LtiResourceLink, link_id, with_for_update=True)
    if link is None:
        return url
    if link.line_item_url is None:
        link.line_item_url, link.line_item_is_ours = url, True
    return link.line_item_url


def forget_column(db: Db, link_id: uuid.UUID, url: str, sink: str, now: datetime) -> bool:
    """Forget a column that was deleted in the LMS, if this tool had made it, and send its grades anew.

    :param url: the column that is gone; when the link has another by now, that one is to be used.
    :param sink: the one that wrote into it.
    :return: whether there is, or may be made, another one.
    **Touches** writes lti_resource_link, delivery; locks completions.
    """
    link = db.get(LtiResourceLink, link_id, with_for_update=True)
    if link is None or (link.line_item_url == url and not link.line_item_is_ours):
        return False
    if link.line_item_url == url:
        link.line_item_url, link.line_item_is_ours = None, False
        _send_again(db, link, sink, now)
    return True


def _send_again(db: Db, link: LtiResourceLink, sink: str, now: datetime) -> None:
    """Reopen the newest word about each person of a link, where it had arrived and nothing newer waits."""
    query = (
        select(Delivery.person_id, Delivery.programme_id, Delivery.subject)
        .join(Programme, Programme.id == Delivery.programme_id)
        .join(LtiUser, LtiUser.person_id == Delivery.person_id)
        .join(CourseMember, CourseMember.lti_user_id == LtiUser.id)
        .where(
            Delivery.sink == sink,
            Programme.context_id == link.context_id,
            CourseMember.graded_link_id == link.id,
        )
    )
    # In the order in which everybody locks completions.
    query = query.distinct().order_by(Delivery.person_id, Delivery.programme_id)
    for person_id, programme_id, subject in db.execute(query).all():
        hold_completion(db, programme_id, person_id, now)
        newest = [row for row in _fresh_rows(db, sink, subject) if row.state != "superseded"][-1:]
        if newest and newest[0].state == "delivered":
            reopen(db, newest[0], now)


def send_again(db: Db, seen: Delivery, now: datetime) -> bool:
    """Send a word that had arrived once more, because the other system does not show it.

    :param seen: as it was when that was found out.
    :return: whether it is on its way; False when there is newer, or it was sent again meanwhile.
    **Touches** writes delivery; locks completion.
    """
    sent_at = seen.sent_timestamp
    hold_completion(db, seen.programme_id, seen.person_id, now)
    rows = [row for row in _fresh_rows(db, seen.sink, seen.subject) if row.state != "superseded"]
    row = rows[-1] if rows else None
    if row is None or row.id != seen.id or row.state != "delivered" or row.sent_timestamp != sent_at:
        return False
    reopen(db, row, now)
    return True


def apply_answer(row: Delivery, answer: SinkAnswer, now: datetime) -> None:
    """Write an answer into its delivery, and when the next try is due. **Touches** pure but for the row."""
    row.lease_until, row.updated_at = None, now
    row.last_status = answer.status
    row.remote_ref = MAYBE_THERE if answer.unsure else answer.remote_ref or row.remote_ref
    row.last_error = answer.message_for_user or None
    row.state = answer.outcome
    if answer.outcome == "retry":
        row.next_at = now + pause(row, answer)


def is_after(other: Delivery, row: Delivery) -> bool:
    """Tell whether an open delivery is newer than another. **Touches** pure."""
    return other.state in OPEN_STATES and (other.created_at, other.id) > (row.created_at, row.id)


def pause(row: Delivery, answer: SinkAnswer) -> timedelta:
    """Give the pause before the next try: what the other system asked for, else doubling up to six hours.

    **Touches** pure.
    """
    if answer.retry_after is not None:
        return asked_wait(answer.retry_after)
    # Spread by the row's own id, so that what failed together does not come back together.
    spread = int.from_bytes(hashlib.sha256(f"{row.id}{row.attempts}".encode()).digest()[:2]) / 65535
    return wait_after(row.attempts) * (0.8 + 0.2 * spread)


def reopen(db: Db, row: Delivery, now: datetime) -> None:
    """Make a delivery that stands still due now. **Touches** writes delivery."""
    row.state, row.next_at, row.updated_at, row.attempts = "pending", now, now, 0
    if row.remote_ref == MAYBE_THERE:
        row.remote_ref = None
    db.info["wake"] = True


def door_of(db: Db, row: Delivery) -> Door | None:
    """Give what a delivery goes through: its account, or the course; None when there is no course yet.

    **Touches** reads programme.
    """
    place_id = row.account_id or db.get_one(Programme, row.programme_id).context_id
    return Door(row.sink, place_id) if place_id is not None else None


def is_due(now: datetime) -> ColumnElement[bool]:
    """Say which deliveries are due, or were left by a worker that died, and whose door is not shut.

    **Touches** pure.
    """
    course = select(Programme.context_id).where(Programme.id == Delivery.programme_id)
    place = func.coalesce(Delivery.account_id, course.correlate(Delivery).scalar_subquery())
    shut = select(Brake.id).where(
        Brake.tenant_id == Delivery.tenant_id,
        Brake.sink == Delivery.sink,
        Brake.shut_until > now,
        Brake.place_id == place,
    )
    ripe = or_(
        and_(Delivery.state.in_(("pending", "retry")), Delivery.next_at <= now),
        and_(Delivery.state == "in_flight", Delivery.lease_until <= now),
    )
    return and_(ripe, ~shut.correlate(Delivery).exists())
