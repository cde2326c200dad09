"""Claiming deliveries for one try, and recording what became of it: for many in one short transaction."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Select, select

from lti.ags import next_timestamp
from lti.platforms import Platform
from rmplugin.credits.columns import Place, find_places
from rmplugin.credits.models import Completion, Delivery
from rmplugin.credits.queries import OPEN_STATES
from rmplugin.credits.store import SCORE_MAXIMUM, apply_answer, hold_completions, is_after
from rmplugin.db import Db
from rmplugin.destinations.models import Brake
from rmplugin.destinations.store import Door, find_brakes, may_call, note_answer
from rmplugin.programmes.models import Programme
from rmplugin.sinks import CompletionRecord, CompletionSink, SinkAnswer
from rmplugin.tenants.models import LtiPlatform
from rmplugin.tenants.store import as_platform

LEASE = timedelta(seconds=60)

Model = TypeVar("Model", Programme, LtiPlatform)


class Due(NamedTuple):
    """A delivery that is due: its columns, and the course that it goes through; None where there is none."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    sink: str
    programme_id: uuid.UUID
    person_id: uuid.UUID
    subject: str
    course: uuid.UUID | None

    @property
    def door(self) -> Door | None:
        """Give what fails as one."""
        return Door(self.sink, self.course) if self.course is not None else None


def select_due(*where: ColumnElement[bool]) -> Select[Any]:
    """Select what makes `Due`s. **Touches** pure."""
    columns = [getattr(Delivery, name) for name in Due._fields if name != "course"]
    query = select(*columns, Programme.context_id).join(Programme, Programme.id == Delivery.programme_id)
    return query.where(*where)


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this worker has until its lease ends.

    :param record: its timestamp names the try: an answer counts only for the try that it belongs to.
    :param platform: the LMS that the place lies on; None for sinks without one.
    :param link_id: the link that the grade belongs to; None for sinks without one. When the record names no
        column, it must be made first.
    """

    due: Due
    record: CompletionRecord
    platform: Platform | None
    link_id: uuid.UUID | None
    lease_until: datetime


Answered = tuple[Claim, SinkAnswer | None]


class Held:
    """The deliveries about some people: nobody else writes about these until the transaction ends.

    :param sinks: key -> sink, of all that are named.
    :ivar brakes: of the doors of these deliveries.
    """

    def __init__(
        self, db: Db, about: Collection[Due], sinks: Mapping[str, CompletionSink], now: datetime
    ) -> None:
        self._db, self._sinks, self._now = db, sinks, now
        # In this order everybody locks: people, deliveries, brakes.
        pairs = sorted({(one.person_id, one.programme_id) for one in about})
        self._completions: Mapping[tuple[uuid.UUID, uuid.UUID], Completion] = hold_completions(db, pairs, now)
        self._words = _words_about(db, {(one.sink, one.person_id) for one in about})
        self.brakes: dict[Door, Brake] = find_brakes(db, {door for one in about if (door := one.door)})

    def record(self, answered: Sequence[Answered]) -> list[str | None]:
        """Record what became of some tries.

        :param answered: an answer None stands for a claim that was not used: it is given back.
        :return: the new states; None when a row was taken over meanwhile, and the answer is of no use.
        **Touches** writes delivery, brake.
        """
        return [self._record(claim, answer) for claim, answer in answered]

    def claim(self, due: Sequence[Due]) -> list[Claim]:
        """Take deliveries for one try, and store the timestamps that they will carry before anything is sent.

        A row whose lease ended belongs to a worker that died: its push may have arrived or not, and sending
        again is safe, because a sink has one effect per record.

        :return: of those whose turn it is; others are taken, done, superseded, not due, or wait for older.
        **Touches** writes delivery, brake.
        """
        rows = [(one, row) for one in due if (row := self._find(one))]
        programmes = _by_id(self._db, Programme, {one.programme_id for one, _row in rows})
        placed = [one for one, _row in rows if self._sinks[one.sink].needs_line_item]
        places = find_places(self._db, {(programmes[one.programme_id], one.person_id) for one in placed})
        platforms = _by_id(self._db, LtiPlatform, {place.platform_id for place in places.values()})
        claims = []
        for one, row in rows:
            # Not before: what was taken just now keeps others about the same person waiting.
            if not self._is_its_turn(one, row):
                continue
            needs_place = self._sinks[one.sink].needs_line_item
            place = places[one.programme_id, one.person_id] if needs_place else Place()
            if place.problem is not None:
                row.updated_at, row.lease_until = self._now, None
                row.state, row.last_error = "blocked", place.problem
            elif one.door is None or may_call(self.brakes.get(one.door), self._now, LEASE):
                platform = platforms.get(place.platform_id)
                claims.append(self._take(one, row, programmes[one.programme_id], place, platform))
        return claims

    def _find(self, due: Due) -> Delivery | None:
        return next((row for row in self._about(due) if row.id == due.id), None)

    def _about(self, due: Due) -> list[Delivery]:
        """Give what a sink was told, or is to be told, of a person's completion, oldest first."""
        words = self._words[due.sink, due.person_id]
        return [row for row, _course in words if row.subject == due.subject]

    def _beside(self, due: Due) -> list[Delivery]:
        """Give what goes to the same course about the same person, as it may go into the same column."""
        if due.course is None:
            return self._about(due)
        return [row for row, course in self._words[due.sink, due.person_id] if course == due.course]

    def _is_its_turn(self, due: Due, row: Delivery) -> bool:
        """Tell whether a row may be sent; older words that a newer one replaces are superseded."""
        now = self._now
        if any(_is_out(one, now) for one in self._beside(due)):
            return False
        rows = [one for one in self._about(due) if one.state in OPEN_STATES]
        if self._sinks[due.sink].coalesces:
            for older in rows[:-1]:
                older.state, older.lease_until, older.updated_at = "superseded", None, now
            turn = rows[-1:]
        else:
            turn = rows[:1]
        if turn != [row] or row.state not in ("pending", "retry", "in_flight"):
            return False
        return row.state == "in_flight" or row.next_at <= now

    def _take(
        self, due: Due, row: Delivery, programme: Programme, place: Place, platform: LtiPlatform | None
    ) -> Claim:
        sent = [word.sent_timestamp for word in self._beside(due) if word.sent_timestamp]
        row.updated_at = self._now
        row.sent_timestamp = next_timestamp(max(sent, default=None), self._now)
        row.state, row.lease_until = "in_flight", self._now + LEASE
        row.attempts += 1
        met_at = self._completions[due.person_id, due.programme_id].met_at
        record = CompletionRecord(
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
        lms = as_platform(platform, place.deployment_id) if platform is not None else None
        return Claim(due, record, lms, place.link_id, row.lease_until)

    def _record(self, claim: Claim, answer: SinkAnswer | None) -> str | None:
        due, row = claim.due, self._find(claim.due)
        if row is None or row.state != "in_flight" or row.sent_timestamp != claim.record.sent_at:
            return None
        if answer is None:
            row.attempts -= 1
            row.state, row.lease_until = "retry" if row.attempts else "pending", None
            return row.state
        apply_answer(row, answer, self._now)
        if due.door is not None:
            began = claim.lease_until - LEASE
            note_answer(self._db, self.brakes, due.door, answer, self._now, began)
        words = self._about(due)
        coalesces = self._sinks[due.sink].coalesces
        if coalesces and answer.outcome != "delivered" and any(is_after(one, row) for one in words):
            row.state = "superseded"
            if answer.status == 429:
                for newer in words:
                    newer.next_at = (
                        max(newer.next_at, row.next_at) if newer.state == "pending" else newer.next_at
                    )
        return row.state


def _is_out(row: Delivery, now: datetime) -> bool:
    """Tell whether a worker has a row in its hands."""
    return row.state == "in_flight" and (row.lease_until is None or row.lease_until > now)


def _words_about(
    db: Db, about: Collection[tuple[str, uuid.UUID]]
) -> dict[tuple[str, uuid.UUID], list[tuple[Delivery, uuid.UUID | None]]]:
    """Give all deliveries about people, oldest first and locked, each with its course.

    They are of all programmes of a person, because those of one course may write into one column.
    """
    words: dict[tuple[str, uuid.UUID], list[tuple[Delivery, uuid.UUID | None]]] = {one: [] for one in about}
    query = (
        select(Delivery, Programme.context_id)
        .join(Programme, Programme.id == Delivery.programme_id)
        .where(
            Delivery.sink.in_({sink for sink, _person_id in about}),
            Delivery.person_id.in_({person_id for _sink, person_id in about}),
        )
        .order_by(Delivery.created_at, Delivery.id)
        .with_for_update(of=Delivery)
    )
    for row, course in db.execute(query.execution_options(populate_existing=True)):
        if (row.sink, row.person_id) in words:
            words[row.sink, row.person_id].append((row, course))
    return words


def _by_id(db: Db, model: type[Model], ids: AbstractSet[uuid.UUID | None]) -> dict[uuid.UUID | None, Model]:
    return {row.id: row for row in db.scalars(select(model).where(model.id.in_(ids - {None})))} if ids else {}
