"""The life of a delivery: written with its cause, claimed with a lease, answered, coalesced.

Whoever writes deliveries of a person and programme first locks their completion row, so that on every
database one after the other decides what is newest.
"""

import hashlib
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.exc import IntegrityError

from lti.ags import next_timestamp
from lti.platforms import Platform
from rmplugin.credits.models import Completion, Delivery
from rmplugin.credits.queries import OPEN_STATES, Place, find_place
from rmplugin.db import Db, chunks
from rmplugin.destinations.models import Brake
from rmplugin.destinations.store import Door, asked_wait, may_call, note_answer
from rmplugin.jobs import wait_after
from rmplugin.people.models import CourseMember, LtiUser
from rmplugin.programmes.models import Programme
from rmplugin.sinks import CompletionRecord, CompletionSink, SinkAnswer
from rmplugin.tenants.models import LtiPlatform, LtiResourceLink
from rmplugin.tenants.store import as_platform

LEASE = timedelta(seconds=60)
# Stands in place of the other system's id while it is not known whether it keeps something.
MAYBE_THERE = "maybe there"
TICK = timedelta(microseconds=1)
SCORE_MAXIMUM = 100


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this worker has until its lease ends.

    :param record: its timestamp names the try: an answer counts only for the try that it belongs to.
    :param platform: the LMS that the place lies on; None for sinks without one.
    :param door: what fails as one: the course; None for sinks without a place.
    :param link_id: the link that the grade belongs to; None for sinks without one. When the record names no
        column, it must be made first.
    """

    delivery_id: uuid.UUID
    tenant_id: uuid.UUID
    sink: str
    record: CompletionRecord
    platform: Platform | None
    door: Door | None
    link_id: uuid.UUID | None


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
    rows: dict[str, list[Delivery]] = {subject_of(one): [] for one in completions}
    for some in chunks(rows):
        query = select(Delivery).where(Delivery.sink == sink.key, Delivery.subject.in_(some))
        for row in db.scalars(query.order_by(Delivery.created_at, Delivery.id)):
            rows[row.subject].append(row)
    return sum(_write_delivery(db, one, rows[subject_of(one)], sink, now) for one in completions)


def subject_of(completion: Completion) -> str:
    """Say whom and what words about a completion are about. **Touches** pure."""
    return f"{completion.programme_id}/{completion.person_id}"


def _write_delivery(
    db: Db, completion: Completion, rows: Sequence[Delivery], sink: CompletionSink, now: datetime
) -> bool:
    subject, payload = subject_of(completion), payload_of(completion)
    current = [row for row in rows if row.state != "superseded"]
    if current[-1].payload == payload if current else completion.percent == 0:
        return False
    programme = db.get_one(Programme, completion.programme_id)
    place = find_place(db, programme, completion.person_id) if sink.needs_line_item else Place()
    row = Delivery(
        sink=sink.key,
        subject=subject,
        programme_id=completion.programme_id,
        person_id=completion.person_id,
        payload=payload,
        idempotency_key=hashlib.sha256(f"{sink.key}\n{subject}\n{len(rows) + 1}".encode()).hexdigest(),
        state="blocked" if place.problem else "pending",
        last_error=place.problem,
        next_at=_not_before(rows, now),
        # The newest is the newest, also when the clock was set back meanwhile.
        created_at=max([now, *(older.created_at + TICK for older in rows[-1:])]),
        updated_at=now,
    )
    if sink.coalesces:
        for older in rows:
            if older.state in OPEN_STATES and older.state != "in_flight":
                older.state, older.updated_at = "superseded", now
    db.add(row)
    db.info["wake"] = True
    return True


def payload_of(completion: Completion) -> dict[str, Any]:
    """Give what sinks are told of a completion. **Touches** pure."""
    return {
        "percent": completion.percent,
        "minutes": completion.minutes,
        "met_at": completion.met_at.isoformat() if completion.met_at else None,
    }


def _not_before(rows: Sequence[Delivery], now: datetime) -> datetime:
    """Keep to the pause that another system asked for with 429, also for newer words."""
    asked = [row.next_at for row in rows if row.state == "retry" and row.last_status == 429]
    return max([now, *asked])


def claim(db: Db, delivery_id: uuid.UUID, sink: CompletionSink, now: datetime) -> Claim | None:
    """Take a delivery for one try, and store the timestamp that it will carry before anything is sent.

    A row whose lease ended belongs to a worker that died: its push may have arrived or not, and sending again
    is safe, because a sink has one effect per record.

    :return: None when it is not its turn: taken, done, superseded, not due, or something older goes first.
    **Touches** writes delivery; locks completion.
    """
    row = db.get(Delivery, delivery_id)
    if row is None:
        return None
    completion = hold_completion(db, row.programme_id, row.person_id, now)
    # Of all programmes of the person, because those of one course may write into one column.
    everything = _fresh_rows(db, row.sink, Delivery.person_id == row.person_id)
    words = [word for word in everything if word.subject == row.subject]
    programme = db.get_one(Programme, row.programme_id)
    beside = [word for word in everything if word.subject != row.subject and _shares(db, word, programme)]
    if not _is_its_turn(words, row, sink, now) or any(_is_out(word, now) for word in beside):
        return None
    place = find_place(db, programme, row.person_id) if sink.needs_line_item else Place()
    door = Door(row.sink, programme.context_id) if programme.context_id else None
    if place.problem is not None:
        row.updated_at, row.lease_until = now, None
        row.state, row.last_error = "blocked", place.problem
        return None
    if door is not None and not may_call(db, door, now, LEASE):
        return None
    sent = (word.sent_timestamp for word in [*words, *beside] if word.sent_timestamp)
    last_sent = max(sent, default=None)
    row.updated_at = now
    row.sent_timestamp = next_timestamp(last_sent, now)
    row.state, row.lease_until = "in_flight", now + LEASE
    row.attempts += 1
    platform = db.get(LtiPlatform, place.platform_id) if place.platform_id else None
    return Claim(
        delivery_id=row.id,
        tenant_id=row.tenant_id,
        sink=row.sink,
        record=_make_record(row, programme, completion.met_at, place),
        platform=as_platform(platform, place.deployment_id) if platform is not None else None,
        door=door,
        link_id=place.link_id,
    )


def _is_its_turn(words: Sequence[Delivery], row: Delivery, sink: CompletionSink, now: datetime) -> bool:
    """Tell whether a row may be sent; older words that a newer one replaces are superseded."""
    rows = [r for r in words if r.state in OPEN_STATES]
    if any(_is_out(r, now) for r in rows):
        return False
    if sink.coalesces:
        for older in rows[:-1]:
            older.state, older.lease_until, older.updated_at = "superseded", None, now
        turn = rows[-1:]
    else:
        turn = rows[:1]
    if not turn or turn[0].id != row.id or row.state not in ("pending", "retry", "in_flight"):
        return False
    return row.state == "in_flight" or row.next_at <= now


def _is_out(row: Delivery, now: datetime) -> bool:
    """Tell whether a worker has a row in its hands."""
    return row.state == "in_flight" and (row.lease_until is None or row.lease_until > now)


def _shares(db: Db, row: Delivery, programme: Programme) -> bool:
    """Tell whether a row about another programme is about the same course."""
    return db.get_one(Programme, row.programme_id).context_id == programme.context_id


def _fresh_rows(db: Db, sink: str, whose: ColumnElement[bool]) -> Sequence[Delivery]:
    query = select(Delivery).where(Delivery.sink == sink, whose)
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
    for person_id, programme_id, subject in db.execute(query.distinct().order_by(Delivery.person_id)).all():
        hold_completion(db, programme_id, person_id, now)
        newest = [
            row for row in _fresh_rows(db, sink, Delivery.subject == subject) if row.state != "superseded"
        ][-1:]
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
    rows = [
        row
        for row in _fresh_rows(db, seen.sink, Delivery.subject == seen.subject)
        if row.state != "superseded"
    ]
    row = rows[-1] if rows else None
    if row is None or row.id != seen.id or row.state != "delivered" or row.sent_timestamp != sent_at:
        return False
    reopen(db, row, now)
    return True


def _make_record(
    row: Delivery, programme: Programme, met_at: datetime | None, place: Place
) -> CompletionRecord:
    assert row.sent_timestamp is not None
    return CompletionRecord(
        delivery_id=str(row.id),
        platform_user_id=place.user_id,
        programme_name=programme.name,
        score_given=float(row.payload["percent"]),
        score_maximum=float(SCORE_MAXIMUM),
        minutes=row.payload["minutes"],
        completed=row.payload["percent"] == SCORE_MAXIMUM,
        met_at=met_at if row.payload["met_at"] else None,
        sent_at=row.sent_timestamp,
        attempts=row.attempts,
        target={"line_item_url": place.line_item_url} if place.line_item_url else {},
    )


def record_answer(
    db: Db, claim: Claim, answer: SinkAnswer, sink: CompletionSink, now: datetime
) -> str | None:
    """Record what became of a try.

    :return: the new state; None when the row was taken over meanwhile, and the answer is of no use.
    **Touches** writes delivery; locks completion.
    """
    row = db.get(Delivery, claim.delivery_id)
    if row is None:
        return None
    hold_completion(db, row.programme_id, row.person_id, now)
    rows = _fresh_rows(db, row.sink, Delivery.subject == row.subject)
    if row.state != "in_flight" or row.sent_timestamp != claim.record.sent_at:
        return None
    apply_answer(row, answer, now)
    if claim.door is not None:
        note_answer(db, claim.door, answer, now)
    if sink.coalesces and answer.outcome != "delivered" and any(_is_after(r, row) for r in rows):
        row.state = "superseded"
        if answer.status == 429:
            for newer in rows:
                newer.next_at = max(newer.next_at, row.next_at) if newer.state == "pending" else newer.next_at
    return row.state


def apply_answer(row: Delivery, answer: SinkAnswer, now: datetime) -> None:
    """Write an answer into its delivery, and when the next try is due. **Touches** pure but for the row."""
    row.lease_until, row.updated_at = None, now
    row.last_status = answer.status
    row.remote_ref = MAYBE_THERE if answer.unsure else answer.remote_ref or row.remote_ref
    row.last_error = answer.message_for_user or None
    row.state = answer.outcome
    if answer.outcome == "retry":
        row.next_at = now + pause(row, answer)


def _is_after(other: Delivery, row: Delivery) -> bool:
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
