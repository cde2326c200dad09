"""Reads about check-ins. Nothing here gives one person's answers to anybody else."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import ColumnElement, Select, String, Subquery, and_, case, cast, func, select, true

from rmplugin.checkins.models import CareTask, Checkin, CheckinAsk
from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.matching.models import LIVE, Pairing
from rmplugin.people.queries import list_managers
from rmplugin.privacy import Mean, safe_mean
from rmplugin.programmes.models import Programme
from rmplugin.safeguards.models import ContactPerson
from rmplugin.safeguards.queries import contacts_for

FIRST_AFTER = timedelta(weeks=2)
EVERY = timedelta(weeks=4)
OPEN_FOR = timedelta(weeks=2)
REMIND_AFTER = timedelta(weeks=1)
# So many points between the two, and somebody talks to each of them alone.
GAP = 2
# What the programme's report tells of, by role.
REPORTED = ("heard", "learned")
ROLES = ("mentor", "mentee")


@dataclass(frozen=True)
class Health:
    """What a manager may know about how a pair is doing; never who of the two said what.

    :ivar band: good, mixed or low, by the lower satisfaction of the two.
    :ivar lower: that satisfaction, 1..5.
    :ivar gap: how far the two lie apart, 0..4.
    """

    band: str
    lower: int
    gap: int

    @property
    def is_apart(self) -> bool:
        """Tell whether the two see it very differently."""
        return self.gap >= GAP


def last_wave(pairing: Pairing, now: datetime) -> int:
    """Give the number of check-ins that have begun: 1 from week 2 on, one more every four weeks.

    :return: 0 before the first, and before the two are introduced.
    **Touches** pure.
    """
    if pairing.introduced_at is None or now < pairing.introduced_at + FIRST_AFTER:
        return 0
    return 1 + (now - pairing.introduced_at - FIRST_AFTER) // EVERY


def wave_begins(pairing: Pairing, wave: int) -> datetime:
    """Give the moment from which a check-in is asked for. **Touches** pure."""
    return (pairing.introduced_at or pairing.started_at) + FIRST_AFTER + EVERY * (wave - 1)


def current_wave(pairing: Pairing, now: datetime) -> int | None:
    """Give the check-in that can be answered at a time: each can for two weeks.

    :return: None between two of them, and when the pairing is not active.
    **Touches** pure.
    """
    wave = last_wave(pairing, now)
    is_open = pairing.state == "active" and wave > 0 and now < wave_begins(pairing, wave) + OPEN_FOR
    return wave if is_open else None


def next_wave_at(pairing: Pairing, now: datetime) -> datetime:
    """Give the moment from which the next check-in is asked for.

    **Touches** pure.
    """
    return wave_begins(pairing, last_wave(pairing, now) + 1)


def due_checkin(db: Db, pairing: Pairing, person_id: uuid.UUID, now: datetime) -> int | None:
    """Give the check-in that waits for the person's answers. One that was missed is not asked for later.

    :return: its number; None when none waits.
    **Touches** reads checkin.
    """
    wave = current_wave(pairing, now)
    if wave is None:
        return None
    query = select(Checkin.id).where(
        Checkin.pairing_id == pairing.id, Checkin.person_id == person_id, Checkin.wave == wave
    )
    return wave if db.scalars(query).one_or_none() is None else None


def own_checkins(db: Db, pairing_id: uuid.UUID, person_id: uuid.UUID) -> Sequence[Checkin]:
    """List the person's own answers in a pairing, newest first.

    **Touches** reads checkin.
    """
    query = select(Checkin).where(Checkin.pairing_id == pairing_id, Checkin.person_id == person_id)
    return db.scalars(query.order_by(Checkin.wave.desc())).all()


def not_of(viewer_id: uuid.UUID | None) -> ColumnElement[bool]:
    """Leave out the pairs of a manager who takes part: who knows one answer of two could work out the other.

    :param viewer_id: who looks; None for somebody who is in no pair.
    **Touches** pure.
    """
    return and_(Pairing.mentor_id != viewer_id, Pairing.mentee_id != viewer_id) if viewer_id else true()


def newest_checkins(
    pairing_ids: Sequence[uuid.UUID] | Select[uuid.UUID], viewer_id: uuid.UUID | None
) -> Subquery:
    """Ask for the newest check-in that both of a pair answered, as a part of a larger statement.

    :param pairing_ids: few of them, or a query of any number.
    :param viewer_id: see `not_of`.
    :return: pairing_id, and said, which `read_health` reads.
    **Touches** pure.
    """
    lower, higher = func.min(Checkin.satisfaction), func.max(Checkin.satisfaction)
    # The greatest of these numbers is the newest check-in's, and says both satisfactions.
    query = (
        select(Checkin.pairing_id, (Checkin.wave * 100 + lower * 10 + higher).label("said"))
        .where(Checkin.pairing_id.in_(pairing_ids))
        .group_by(Checkin.pairing_id, Checkin.wave)
        .having(func.count() == 2)
    )
    if viewer_id is not None:
        query = query.join(Pairing, Pairing.id == Checkin.pairing_id).where(not_of(viewer_id))
    both = query.subquery()
    newest = select(both.c.pairing_id, func.max(both.c.said).label("said"))
    return newest.group_by(both.c.pairing_id).subquery()


def read_health(said: int | None) -> Health | None:
    """Read what `newest_checkins` gives of a pair; None stays None. **Touches** pure."""
    return None if said is None else health_of(said // 10 % 10, said % 10)


def pair_health(
    db: Db, pairing_ids: Sequence[uuid.UUID] | Select[uuid.UUID], viewer_id: uuid.UUID | None
) -> dict[str, Health]:
    """Give bands for managers, from the newest check-in that both answered: the lower satisfaction governs.

    :param pairing_ids: few of them, or a query of any number.
    :param viewer_id: see `not_of`.
    :return: a health per pairing, by its id as the database writes it, because there can be very many; none
        for pairings in which there is not enough yet. Never an answer.
    **Touches** reads checkin, pairing.
    """
    newest = newest_checkins(pairing_ids, viewer_id)
    rows = db.execute(select(cast(newest.c.pairing_id, String), newest.c.said))
    return {key: found for key, said in rows if (found := read_health(said))}


@cache
def health_of(one: int, other: int) -> Health:
    """Give the health of a pair from both satisfactions, in any order. **Touches** pure."""
    low, high = sorted((one, other))
    return Health("good" if low >= 4 else "mixed" if low == 3 else "low", low, high - low)


def fell_twice(energies: Sequence[int]) -> bool:
    """Tell whether the last three answers fell twice in a row.

    :param energies: oldest first.
    **Touches** pure.
    """
    return len(energies) >= 3 and energies[-3] > energies[-2] > energies[-1]


def unasked(db: Db, now: datetime) -> list[tuple[Pairing, uuid.UUID, int]]:
    """List whom to ask: an open check-in that the person neither answered nor was asked for.

    **Touches** reads pairing, checkin, checkin_ask.
    """
    query = select(Pairing).where(Pairing.state == "active", Pairing.introduced_at <= now - FIRST_AFTER)
    waves = [(row, wave) for row in db.scalars(query) if (wave := current_wave(row, now)) is not None]
    lately = now - OPEN_FOR
    known = {
        tuple(row)
        for table, moment in ((CheckinAsk, CheckinAsk.asked_at), (Checkin, Checkin.answered_at))
        for row in db.execute(select(table.pairing_id, table.person_id, table.wave).where(moment >= lately))
    }
    return [
        (pairing, person, wave)
        for pairing, wave in waves
        for person in (pairing.mentor_id, pairing.mentee_id)
        if (pairing.id, person, wave) not in known
    ]


def unanswered(db: Db, asked_by: datetime) -> list[tuple[CheckinAsk, Pairing]]:
    """List who was asked until a moment, has not answered, and whose time is not over.

    **Touches** reads checkin_ask, checkin, pairing.
    """
    answered = select(Checkin.id).where(
        Checkin.pairing_id == CheckinAsk.pairing_id,
        Checkin.person_id == CheckinAsk.person_id,
        Checkin.wave == CheckinAsk.wave,
    )
    query = select(CheckinAsk, Pairing).join(Pairing, Pairing.id == CheckinAsk.pairing_id)
    query = query.where(CheckinAsk.asked_at <= asked_by, CheckinAsk.expired_at.is_(None), ~answered.exists())
    return [(row[0], row[1]) for row in db.execute(query)]


def open_tasks(
    db: Db, programme_id: uuid.UUID, viewer_id: uuid.UUID | None, limit: int | None = None
) -> list[tuple[CareTask, Pairing]]:
    """List what pairs ask of the coordinator, oldest first.

    :param viewer_id: see `not_of`.
    :param limit: most of them; None for all.
    **Touches** reads care_task, pairing.
    """
    query = select(CareTask, Pairing).join(Pairing, Pairing.id == CareTask.pairing_id)
    query = query.where(
        Pairing.programme_id == programme_id,
        Pairing.state.in_(LIVE),
        CareTask.done_at.is_(None),
        not_of(viewer_id),
    )
    query = query.order_by(CareTask.created_at, CareTask.id).limit(limit)
    return [(row[0], row[1]) for row in db.execute(query)]


def count_open_tasks(programme_id: uuid.UUID, viewer_id: uuid.UUID | None) -> Select[int]:
    """Count what `open_tasks` lists, as a part of a larger statement. **Touches** pure."""
    query = select(func.count(CareTask.id)).join(Pairing, Pairing.id == CareTask.pairing_id)
    return query.where(
        Pairing.programme_id == programme_id,
        Pairing.state.in_(LIVE),
        CareTask.done_at.is_(None),
        not_of(viewer_id),
    )


def has_own_manager_only(db: Db, pairing: Pairing) -> bool:
    """Tell whether all who manage the programme in its course are in this pair, and may not see its tasks.

    **Touches** reads programme, course_member, lti_user.
    """
    return _are_within(_managers(db, pairing.programme_id), pairing)


def _managers(db: Db, programme_id: uuid.UUID) -> set[uuid.UUID | None]:
    return set(list_managers(db, db.get_one(Programme, programme_id).context_id))


def _are_within(managers: set[uuid.UUID | None], pairing: Pairing) -> bool:
    return bool(managers) and managers <= {pairing.mentor_id, pairing.mentee_id}


def tasks_for_contact(db: Db, person_id: uuid.UUID) -> list[tuple[CareTask, Pairing]]:
    """List what pairs ask of a confidential contact, because everybody who manages them is in the pair.

    The contact is outside the reporting lines of both, today.

    **Touches** reads care_task, pairing, contact_person, person, side_line, programme, course_member,
    lti_user.
    """
    named = select(ContactPerson.programme_id).where(ContactPerson.person_id == person_id)
    managers = {one: _managers(db, one) for one in db.scalars(named.distinct())}
    return [
        (task, pairing)
        for programme_id, theirs in managers.items()
        for task, pairing in open_tasks(db, programme_id, None)
        if _are_within(theirs, pairing) and person_id in {one.id for one in contacts_for(db, pairing)}
    ]


def get_task(db: Db, task_id: uuid.UUID) -> tuple[CareTask, Pairing]:
    """Give a task and its pairing; the caller looks whether the programme is theirs.

    :raises NotFoundError: there is none.
    **Touches** reads care_task, pairing.
    """
    task = db.get(CareTask, task_id)
    if task is None:
        raise NotFoundError("care task")
    return task, db.get_one(Pairing, task.pairing_id)


def shared_words(db: Db, programme_id: uuid.UUID, viewer_id: uuid.UUID | None) -> Sequence[Checkin]:
    """List the words that people of a programme wanted the programme team to read, newest first.

    :param viewer_id: see `not_of`: nobody wrote for their partner to read.
    **Touches** reads checkin, pairing.
    """
    query = select(Checkin).join(Pairing, Pairing.id == Checkin.pairing_id)
    query = query.where(Pairing.programme_id == programme_id, Checkin.shared, not_of(viewer_id))
    return db.scalars(query.order_by(Checkin.answered_at.desc(), Checkin.id).limit(100)).all()


def pulse(db: Db, programme_id: uuid.UUID) -> dict[int, dict[tuple[str, str], Mean | None]]:
    """Give the programme's means per check-in, item and role; None where too few have answered.

    Roles are never added up, so that no mean can be taken from another.

    :return: wave -> (item, role) -> mean.
    **Touches** reads checkin, pairing.
    """
    said = tuple(Checkin.answers[item].as_integer() for item in REPORTED)
    role = case((Checkin.person_id == Pairing.mentor_id, "mentor"), else_="mentee")
    # Plain values, because there can be very many.
    query = select(Checkin.wave, role, cast(Checkin.person_id, String), *said)
    query = query.join(Pairing, Pairing.id == Checkin.pairing_id).where(Pairing.programme_id == programme_id)
    counted = set()
    values: dict[int, dict[tuple[str, str], list[float]]] = {}
    for wave, side, person, *points in db.execute(query.order_by(Checkin.answered_at, Checkin.id)):
        # Somebody with two partners answers twice and counts once.
        if (who := (wave, side, person)) in counted:
            continue
        counted.add(who)
        cells = values.setdefault(wave, {})
        for item, point in zip(REPORTED, points, strict=True):
            if point is not None:
                cells.setdefault((item, side), []).append(point)
    return {
        wave: {(item, side): safe_mean(cells.get((item, side), ())) for item in REPORTED for side in ROLES}
        for wave, cells in sorted(values.items())
    }
