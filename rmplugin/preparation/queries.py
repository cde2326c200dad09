"""Reads about the preparation: who has done what, counts for managers, supervision groups."""

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.matching.models import Pairing
from rmplugin.preparation.catalogue import BOTH, Module, modules_for
from rmplugin.preparation.models import PreparationRule, PreparationStep, SupervisionGroup, SupervisionSeat
from rmplugin.privacy import LEAST_FOR_COUNT, safe_count, safe_counts
from rmplugin.programmes.models import Enrolment
from rmplugin.programmes.queries import find_enrolment

# Whoever has one of these states takes part; the others are neither counted nor reminded.
TAKES_PART = ("submitted",)


@dataclass(frozen=True, slots=True)
class Outlook:
    """How far somebody is with the modules of their role.

    :ivar done: keys of the modules that they worked through.
    """

    role: str
    done: frozenset[str]

    @property
    def modules(self) -> list[Module]:
        """List the modules of the role."""
        return modules_for(self.role)

    @property
    def missing(self) -> list[Module]:
        """List what is left to do; empty for somebody who is ready."""
        return [module for module in self.modules if module.key not in self.done]

    @property
    def minutes_left(self) -> int:
        """Give about how many minutes that takes."""
        return sum(module.minutes for module in self.missing)


@dataclass(frozen=True, slots=True)
class Count:
    """How many people have done something; None where the number could tell about few."""

    module: Module | None
    done: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """A supervision group, how full it is, and whether the person who looks has a seat."""

    group: SupervisionGroup
    taken: int
    mine: bool

    @property
    def is_full(self) -> bool:
        """Tell whether nobody else can join."""
        return self.taken >= self.group.capacity


def outlook_of(db: Db, person_id: uuid.UUID, role: str) -> Outlook:
    """Tell how far somebody is. **Touches** reads preparation_step."""
    query = select(PreparationStep.module).where(PreparationStep.person_id == person_id)
    return Outlook(role, frozenset(db.scalars(query)))


def get_enrolment(db: Db, programme_id: uuid.UUID, person_id: uuid.UUID) -> Enrolment:
    """Give a person's enrolment.

    :raises NotFoundError: they have none in this programme.
    **Touches** reads enrolment.
    """
    enrolment = find_enrolment(db, programme_id, person_id)
    if enrolment is None:
        raise NotFoundError("programme")
    return enrolment


def rule_of(db: Db, programme_id: uuid.UUID) -> PreparationRule | None:
    """Give what a programme asks; None when it never said. **Touches** reads preparation_rule."""
    query = select(PreparationRule).where(PreparationRule.programme_id == programme_id)
    return db.scalars(query).one_or_none()


def not_ready(db: Db, pairing: Pairing) -> dict[uuid.UUID, Outlook]:
    """Tell for whom of a pair the first session waits; empty when it waits for nobody.

    **Touches** reads preparation_rule, preparation_step.
    """
    rule = rule_of(db, pairing.programme_id)
    if rule is None or not rule.gate:
        return {}
    roles = {pairing.mentor_id: "mentor", pairing.mentee_id: "mentee"}
    looks = {person: outlook_of(db, person, role) for person, role in roles.items()}
    return {person: look for person, look in looks.items() if look.missing}


def list_not_ready(db: Db, programme_id: uuid.UUID) -> list[uuid.UUID]:
    """List who takes part in a programme and is not ready. **Touches** reads enrolment, preparation_step."""
    return [person for person, role, done in _people(db, programme_id) if not _is_ready(role, done)]


def count_done(db: Db, programme_id: uuid.UUID) -> dict[str, tuple[int | None, list[Count]]]:
    """Count for a manager who has done what: never who, and no number that tells about fewer than five.

    :return: role -> how many take part in it, and a count per module, the last for all of them together.
    **Touches** reads enrolment, preparation_step.
    """
    people = _people(db, programme_id)
    counts = {}
    for role in BOTH:
        those = [done for _person, its_role, done in people if its_role == role]
        done = Counter(key for keys in those for key in keys)
        ready = sum(_is_ready(role, keys) for keys in those)
        rows = [Count(module, _shown(done[module.key], len(those))) for module in modules_for(role)]
        counts[role] = safe_count(len(those)), [*rows, Count(None, _shown(ready, len(those)))]
    return counts


def _shown(done: int, people: int) -> int | None:
    if people < LEAST_FOR_COUNT:
        return None
    return safe_counts({"done": done, "open": people - done}).cells["done"]


def _people(db: Db, programme_id: uuid.UUID) -> list[tuple[uuid.UUID, str, frozenset[str]]]:
    takes_part = (Enrolment.programme_id == programme_id, Enrolment.state.in_(TAKES_PART))
    done: dict[uuid.UUID, set[str]] = {}
    steps = select(PreparationStep.person_id, PreparationStep.module).join(
        Enrolment, Enrolment.person_id == PreparationStep.person_id
    )
    for row in db.execute(steps.where(*takes_part)):
        done.setdefault(row.person_id, set()).add(row.module)
    query = select(Enrolment.person_id, Enrolment.role).where(*takes_part).order_by(Enrolment.id)
    return [(row.person_id, row.role, frozenset(done.get(row.person_id, ()))) for row in db.execute(query)]


def _is_ready(role: str, done: Iterable[str]) -> bool:
    return {module.key for module in modules_for(role)} <= set(done)


def get_group(db: Db, group_id: uuid.UUID) -> SupervisionGroup:
    """Give a supervision group.

    :raises NotFoundError: this tenant has no such group.
    **Touches** reads supervision_group.
    """
    group = db.get(SupervisionGroup, group_id)
    if group is None:
        raise NotFoundError("group")
    return group


def list_groups(
    db: Db,
    programme_id: uuid.UUID,
    now: datetime,
    role: str | None = None,
    person_id: uuid.UUID | None = None,
) -> list[Place]:
    """List the supervision groups of a programme that are still to come, the next first.

    :param role: only those for this role; None for all.
    :param person_id: who looks; None for somebody who has no seat in any.
    **Touches** reads supervision_group, supervision_seat.
    """
    taken = select(func.count(SupervisionSeat.id)).where(SupervisionSeat.group_id == SupervisionGroup.id)
    mine = taken.where(SupervisionSeat.person_id == person_id)
    query = select(SupervisionGroup, taken.scalar_subquery(), mine.scalar_subquery()).where(
        SupervisionGroup.programme_id == programme_id,
        SupervisionGroup.starts_at > now,
        SupervisionGroup.cancelled_at.is_(None),
    )
    if role is not None:
        query = query.where(SupervisionGroup.role == role)
    rows = db.execute(query.order_by(SupervisionGroup.starts_at, SupervisionGroup.id))
    return [Place(row[0], row[1], bool(row[2])) for row in rows]


def seats_of(db: Db, group_id: uuid.UUID) -> Sequence[SupervisionSeat]:
    """List the seats of a group that are taken. **Touches** reads supervision_seat."""
    return db.scalars(select(SupervisionSeat).where(SupervisionSeat.group_id == group_id)).all()
