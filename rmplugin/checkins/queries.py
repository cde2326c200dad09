"""Reads about check-ins. Nothing here gives one person's answers to anybody else."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from rmplugin.checkins.models import Checkin
from rmplugin.db import Db, chunks
from rmplugin.matching.models import Pairing

FIRST_AFTER = timedelta(weeks=2)
EVERY = timedelta(weeks=4)
GAP = 2


@dataclass(frozen=True)
class Health:
    """What a manager may know about how a pair is doing.

    :ivar band: good, mixed or low, by the lower satisfaction of the two.
    :ivar gap: whether the two see it very differently; who sees it how is not said.
    """

    band: str
    gap: bool


def current_wave(pairing: Pairing, now: datetime) -> int | None:
    """Give the number of the check-in that is asked for at a time: 1 from week 2, one more every four weeks.

    :return: None before week 2 and when the pairing is not active.
    **Touches** pure.
    """
    since_first = now - pairing.started_at - FIRST_AFTER
    if pairing.state != "active" or since_first < timedelta(0):
        return None
    return 1 + since_first // EVERY


def next_wave_at(pairing: Pairing, now: datetime) -> datetime:
    """Give the moment from which the next check-in is asked for.

    **Touches** pure.
    """
    return pairing.started_at + FIRST_AFTER + EVERY * (current_wave(pairing, now) or 0)


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


def pair_health(db: Db, pairing_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Health]:
    """Give bands for managers, from the newest check-in that both answered: the lower satisfaction governs.

    :return: a health per pairing; none for pairings in which there is not enough yet. Never an answer.
    **Touches** reads checkin.
    """
    answered: dict[uuid.UUID, dict[int, list[int]]] = {}
    for chunk in chunks(pairing_ids):
        query = select(Checkin.pairing_id, Checkin.wave, Checkin.satisfaction)
        for row in db.execute(query.where(Checkin.pairing_id.in_(chunk))):
            answered.setdefault(row.pairing_id, {}).setdefault(row.wave, []).append(row.satisfaction)
    health = {pairing_id: _health(waves) for pairing_id, waves in answered.items()}
    return {pairing_id: found for pairing_id, found in health.items() if found is not None}


def _health(waves: dict[int, list[int]]) -> Health | None:
    both = [wave for wave, values in waves.items() if len(values) == 2]
    if not both:
        return None
    low, high = sorted(waves[max(both)])
    return Health("good" if low >= 4 else "mixed" if low == 3 else "low", gap=high - low >= GAP)
