"""What people did so far: their ledgers as sums need them, and what else a programme asks for."""

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, func, literal, or_, select, union_all

from rmplugin.agreements.models import Agreement
from rmplugin.credits.models import CreditEntry
from rmplugin.db import Db, chunks
from rmplugin.goals.models import Goal
from rmplugin.matching.models import Pairing
from rmplugin.notes.models import Note
from rmplugin.people.models import Person, Profile
from rmplugin.people.queries import zone_among
from rmplugin.policies import PREPARATION, Earned, History, SessionFacts, day_in
from rmplugin.sessions.models import MentoringSession

# Of a line of the ledger, as `Line` has them.
COLUMNS = ("id", "person_id", "programme_id", "session_id", "unit", "minutes", "created_at")


class Line(NamedTuple):
    """A line of the ledger, as far as sums need it.

    :ivar starts_at: of its session; `day`: of that, where the person is.
    """

    id: uuid.UUID
    person_id: uuid.UUID
    programme_id: uuid.UUID
    session_id: uuid.UUID | None
    unit: str
    minutes: int
    created_at: datetime
    starts_at: datetime | None
    day: date | None

    @classmethod
    def of(cls, entry: CreditEntry, session: MentoringSession | None, zone: str) -> "Line":
        """Make one of rows that were read already."""
        starts_at = session.starts_at if session else None
        columns = (getattr(entry, name) for name in COLUMNS)
        return cls._make((*columns, starts_at, day_in(zone, starts_at) if starts_at else None))


def lines_of(
    db: Db, people: Collection[uuid.UUID], programme_id: uuid.UUID | None = None
) -> dict[uuid.UUID, list[Line]]:
    """Give the ledgers of people, oldest line first; who has none is not among them.

    :param programme_id: None for all programmes.
    **Touches** reads credit_entry, mentoring_session, profile, person.
    """
    query = (
        select(
            *(getattr(CreditEntry, name) for name in COLUMNS),
            MentoringSession.starts_at,
            Profile.time_zone,
            Person.time_zone,
        )
        .join(Person, Person.id == CreditEntry.person_id)
        .outerjoin(Profile, Profile.person_id == CreditEntry.person_id)
        .outerjoin(MentoringSession, MentoringSession.id == CreditEntry.session_id)
        .order_by(CreditEntry.created_at, CreditEntry.id)
    )
    if programme_id is not None:
        query = query.where(CreditEntry.programme_id == programme_id)
    lines: dict[uuid.UUID, list[Line]] = {}
    for some in chunks(people):
        for *row, starts_at, own_zone, hr_zone in db.execute(query.where(CreditEntry.person_id.in_(some))):
            day = day_in(zone_among(own_zone, hr_zone), starts_at) if starts_at is not None else None
            line = Line._make((*row, starts_at, day))
            lines.setdefault(line.person_id, []).append(line)
    return lines


def histories_of(
    db: Db, pairs: Collection[tuple[uuid.UUID, uuid.UUID]], lines: Mapping[uuid.UUID, Sequence[Line]]
) -> dict[tuple[uuid.UUID, uuid.UUID], History]:
    """Give what people have reached in programmes, reversals taken off.

    :param pairs: (person, programme).
    :param lines: see `lines_of`.
    **Touches** reads agreement, goal, note, pairing.
    """
    agreed, reviewed, noted = _facts_of(db, {person for person, _programme in pairs})
    histories = {}
    for pair in pairs:
        person_id, programme_id = pair
        mine = [line for line in lines.get(person_id, ()) if line.programme_id == programme_id]
        earned, adjusted = sum_up(mine)
        histories[pair] = History(
            earned=earned,
            adjusted=adjusted,
            agreement=pair in agreed,
            end_review=pair in reviewed,
            reflections=noted.get(pair, 0),
        )
    return histories


_Pairs = set[tuple[uuid.UUID, uuid.UUID]]


def _facts_of(
    db: Db, people: Collection[uuid.UUID]
) -> tuple[_Pairs, _Pairs, dict[tuple[uuid.UUID, uuid.UUID], int]]:
    """Give in which programmes people signed and reviewed, and about how many sessions they wrote."""
    agreed: _Pairs = set()
    reviewed: _Pairs = set()
    noted: dict[tuple[uuid.UUID, uuid.UUID], int] = {}
    for some in chunks(people):
        for kind, person_id, programme_id, count in db.execute(union_all(*_facts(some))):
            if kind == "noted":
                noted[person_id, programme_id] = count
            else:
                (agreed if kind == "agreed" else reviewed).add((person_id, programme_id))
    return agreed, reviewed, noted


def _facts(people: Sequence[uuid.UUID]) -> Iterator[Select[str, uuid.UUID, uuid.UUID, int]]:
    """Ask for facts of people: kind, person, programme, and how many."""
    for own in (Pairing.mentor_id, Pairing.mentee_id):
        yield (
            select(literal("agreed"), own, Pairing.programme_id, literal(1))
            .join(Agreement, Agreement.pairing_id == Pairing.id)
            .where(Agreement.mentor_signed_at.is_not(None), Agreement.mentee_signed_at.is_not(None))
            .where(own.in_(people))
        )
    yield (
        select(literal("reviewed"), Goal.owner_id, Pairing.programme_id, literal(1))
        .join(Pairing, Pairing.id == Goal.pairing_id)
        .where(Goal.state == "reviewed", Goal.owner_id.in_(people), _is_of(Goal.owner_id))
    )
    yield (
        select(literal("noted"), Note.author_id, Pairing.programme_id, func.count(Note.session_id.distinct()))
        .join(Pairing, Pairing.id == Note.pairing_id)
        .where(Note.author_id.in_(people), _is_of(Note.author_id))
        .group_by(Note.author_id, Pairing.programme_id)
    )


def _is_of(person_id: Any) -> ColumnElement[bool]:
    return or_(Pairing.mentor_id == person_id, Pairing.mentee_id == person_id)


def sum_up(lines: Iterable[Line]) -> tuple[list[Earned], int]:
    """Give the sessions that count, and what a manager adjusted. **Touches** pure."""
    sums: dict[tuple[Any, Any, Any], int] = {}
    for line in lines:
        if line.unit != PREPARATION:
            key = (line.session_id, line.starts_at, line.day)
            sums[key] = sums.get(key, 0) + line.minutes
    # Adjustments belong to no session.
    adjusted = sums.pop((None, None, None), 0)
    earned = [
        Earned(SessionFacts(str(session_id), starts_at, minutes, day), minutes)
        for (session_id, starts_at, day), minutes in sums.items()
        if minutes > 0
    ]
    return earned, adjusted
