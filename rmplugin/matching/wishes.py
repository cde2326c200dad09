"""Short lists: before the first release people say whom of a few they would like to meet, or not."""

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, func, or_, select

from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError, NotFoundError
from rmplugin.matching import solver, store, words
from rmplugin.matching.forms import wish_field
from rmplugin.matching.models import MatchRun, MatchWish
from rmplugin.matching.queries import FEWEST_SHOWN, Only
from rmplugin.matching.rules import book_in_force
from rmplugin.people.models import PersonSkill
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.programmes.queries import find_enrolment
from rmplugin.records import MatchCriterion

LONGEST = 5
AVOID = "avoid"


@dataclass(frozen=True)
class Suggestion:
    """Somebody on a short list.

    :param reasons: as `words.describe_pair` gives them.
    :param choice: what the reader chose before: a rank from "1" to "5", "avoid", or "".
    """

    person_id: uuid.UUID
    reasons: Mapping[str, Any]
    choice: str


def is_open(db: Db, programme: Programme, enrolment: Enrolment | None) -> bool:
    """Tell whether somebody can put a short list in order now.

    **Touches** reads match_rule_set, match_run.
    """
    if enrolment is None or enrolment.state != "submitted" or programme.state == "archived":
        return False
    if not book_in_force(db, programme).options.self_service:
        return False
    released = select(MatchRun.id).where(
        MatchRun.programme_id == programme.id, MatchRun.released_at.is_not(None)
    )
    return db.execute(released.limit(1)).first() is None


def short_list(
    db: Db,
    programme: Programme,
    person_id: uuid.UUID,
    now: datetime,
    criteria: Iterable[MatchCriterion] = (),
) -> list[Suggestion]:
    """Give the few whom somebody may choose among: those of their own choice first, then the best by points.

    Whoever was chosen stays on the list, so that nobody sees more people by choosing.

    :raises NotFoundError: the person is not in the pool of the programme.
    :raises ConflictError: the time of the short lists is over, or they are not used here.
    **Touches** reads what `store.load_pool` reads.
    """
    role = _check_open(db, programme, person_id)
    only = _who_might_fit(programme, person_id, role)
    pool = store.load_pool(db, programme, now, only=only, criteria=criteria)
    mentors, mentees = pool.free_sides()
    me = str(person_id)
    if role == "mentor":
        mentors = [one for one in mentors if one.id == me]
    else:
        mentees = [one for one in mentees if one.id == me]
    problem = pool.problem(mentors, mentees)
    chosen = {str(other): choice for other, choice in choices_of(db, programme.id, person_id).items()}
    found = []
    for pair in solver.all_pairs(problem):
        mentor, mentee = problem.mentors.people[pair.mentor], problem.mentees.people[pair.mentee]
        other = mentee if role == "mentor" else mentor
        # Equal points are told apart by both, so that not everybody's list names the same people.
        tie = hashlib.blake2b(f"{me}{other.id}".encode()).digest()
        found.append(((other.id not in chosen, -pair.score, tie), mentor, mentee, other.id))
    found.sort(key=lambda entry: entry[0])
    return [
        Suggestion(
            uuid.UUID(other),
            words.describe_pair(pool.skills, pool.rules, mentor, mentee),
            chosen.get(other, ""),
        )
        for _, mentor, mentee, other in found[:LONGEST]
    ]


def choices_of(db: Db, programme_id: uuid.UUID, person_id: uuid.UUID) -> dict[uuid.UUID, str]:
    """Give what somebody chose: person -> rank from "1" to "5", or "avoid".

    **Touches** reads match_wish.
    """
    query = select(MatchWish.other_id, MatchWish.rank).where(
        MatchWish.programme_id == programme_id, MatchWish.person_id == person_id
    )
    return {row.other_id: AVOID if row.rank is None else str(row.rank) for row in db.execute(query)}


def choose(
    db: Db,
    programme: Programme,
    person_id: uuid.UUID,
    choices: Mapping[uuid.UUID, str],
    now: datetime,
    criteria: Iterable[MatchCriterion] = (),
) -> None:
    """Keep somebody's choices instead of those before; no choices take the list back.

    :param choices: person -> rank from "1" to "5", "avoid", or "" for neither.
    :raises InputError: two people have the same place, or somebody is not on the list.
    :raises NotFoundError: the person is not in the pool of the programme.
    :raises ConflictError: the time of the short lists is over, or they are not used here.
    **Touches** writes match_wish.
    """
    _check_open(db, programme, person_id)
    made = {other: choice for other, choice in choices.items() if choice}
    listed = short_list(db, programme, person_id, now, criteria) if made else []
    if not set(made) <= {entry.person_id for entry in listed}:
        raise InputError(
            "not_on_the_list", "The list has changed meanwhile. Nothing was saved. Look at it once more."
        )
    ranks = [choice for choice in made.values() if choice != AVOID]
    twice = {
        wish_field(other): "Another person has this place, too. Give each place once."
        for other, choice in made.items()
        if ranks.count(choice) > 1
    }
    if twice:
        raise InputError("place_twice", "Two people have the same place. Nothing was saved.", twice)
    mine = (MatchWish.programme_id == programme.id, MatchWish.person_id == person_id)
    db.execute(delete(MatchWish).where(*mine))
    db.add_all(
        MatchWish(
            programme_id=programme.id,
            person_id=person_id,
            other_id=other,
            kind=AVOID if choice == AVOID else "prefer",
            rank=None if choice == AVOID else int(choice),
            created_at=now,
        )
        for other, choice in made.items()
    )


def count_lists(db: Db, programme_id: uuid.UUID) -> int | None:
    """Count the people of the pool who gave a short list, for managers.

    :return: None while they are too few to be counted.
    **Touches** reads match_wish, enrolment.
    """
    query = (
        select(func.count(MatchWish.person_id.distinct()))
        .join(Enrolment, Enrolment.person_id == MatchWish.person_id)
        .where(
            MatchWish.programme_id == programme_id,
            Enrolment.programme_id == programme_id,
            Enrolment.state == "submitted",
        )
    )
    count = db.scalar(query) or 0
    return count if count >= FEWEST_SHOWN else None


def _check_open(db: Db, programme: Programme, person_id: uuid.UUID) -> str:
    """Give the person's role, if their list is open."""
    enrolment = find_enrolment(db, programme.id, person_id)
    if enrolment is None or enrolment.state != "submitted":
        raise NotFoundError("short list")
    if not is_open(db, programme, enrolment):
        raise ConflictError(
            "short_list_closed",
            "Short lists are not open now: the proposals were sent, or this programme uses none. What you "
            "chose before is kept.",
        )
    return enrolment.role


def _who_might_fit(programme: Programme, person_id: uuid.UUID, role: str) -> Only:
    """Select the person, and whoever of the other role wants what they offer, or offers what they want."""
    own, theirs = ("offered", "wanted") if role == "mentor" else ("wanted", "offered")
    mine = select(PersonSkill.skill_id).where(
        PersonSkill.person_id == person_id, PersonSkill.direction == own
    )
    others = select(PersonSkill.person_id).where(
        PersonSkill.direction == theirs, PersonSkill.skill_id.in_(mine)
    )
    fits = and_(Enrolment.role != role, Enrolment.person_id.in_(others))
    return select(Enrolment.person_id).where(
        Enrolment.programme_id == programme.id, or_(Enrolment.person_id == person_id, fits)
    )
