"""Long lists of a run, a page at a time: its pairs, and who is left out."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    String,
    Subquery,
    and_,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import aliased

from rmplugin.db import Db
from rmplugin.matching.models import LIVE, LeftOut, MatchRun, Pairing, Proposal
from rmplugin.matching.queries import Pair
from rmplugin.matching.scoring import FACTORS
from rmplugin.people.models import Person, PersonSkill
from rmplugin.people.queries import CAN_TAKE_PART
from rmplugin.programmes.models import Enrolment
from rmplugin.texts import Text, unpack

PAGE = 25
MOST_FOUND = 8
# A pair in one of these states is no part of its run any more.
GONE = ("dropped", "void")
SENTENCES = {
    "proposal_dropped": Text("Their proposal was dropped by a manager."),
    "proposal_left_out": Text("Their proposal was left out; the reason stands with the pair."),
}


@dataclass(frozen=True)
class Listed:
    """One page of a list, and how long the list is."""

    rows: Sequence[Any]
    total: int
    page: int

    @property
    def pages(self) -> int:
        """Give how many pages there are, 1 at least."""
        return max(1, -(-self.total // PAGE))


def count_states(db: Db, run_id: uuid.UUID) -> dict[str, int]:
    """Count the proposals of a run by state.

    **Touches** reads proposal.
    """
    query = select(Proposal.state, func.count()).where(Proposal.run_id == run_id).group_by(Proposal.state)
    return {str(state): int(count) for state, count in db.execute(query)}


def count_pool(db: Db, programme_id: uuid.UUID, mentee_cap: int) -> dict[str, int]:
    """Count who of a pool has a free place, as `queries.list_pool` says it.

    :param mentee_cap: most partners at once of a mentee.
    :return: "mentor" and "mentee" with a free place, and "busy": those without one.
    **Touches** reads enrolment, person, pairing, proposal.
    """
    taken = union_all(
        *(
            select(column.label("person_id")).where(
                table.programme_id == programme_id, table.state.in_(states)
            )
            for table, states in ((Pairing, LIVE), (Proposal, ("released",)))
            for column in (table.mentor_id, table.mentee_id)
        )
    ).subquery()
    used = select(taken.c.person_id, func.count().label("places")).group_by(taken.c.person_id).subquery()
    most = case(
        (and_(Enrolment.role == "mentee", Enrolment.capacity > mentee_cap), mentee_cap),
        else_=Enrolment.capacity,
    )
    free = case((most > func.coalesce(used.c.places, 0), Enrolment.role), else_="busy").label("place")
    query = (
        select(free, func.count())
        .select_from(Enrolment)
        .join(Person, Person.id == Enrolment.person_id)
        .outerjoin(used, used.c.person_id == Enrolment.person_id)
        .where(Enrolment.programme_id == programme_id, Enrolment.state == "submitted", CAN_TAKE_PART)
        .group_by(free)
    )
    found = {str(place): int(count) for place, count in db.execute(query)}
    return {place: found.get(place, 0) for place in ("mentor", "mentee", "busy")}


def count_standing(run: MatchRun, states: Mapping[str, int]) -> int:
    """Count the pairs that a run has now, or had when it was replaced.

    :param states: as `count_states` counts them.
    **Touches** nothing.
    """
    return sum(count for state, count in states.items() if state not in _gone(run))


def count_people(db: Db, run: MatchRun) -> int:
    """Count the mentors and mentees who have a pair in a run.

    **Touches** reads proposal.
    """
    live = (Proposal.run_id == run.id, Proposal.state.not_in(_gone(run)))
    columns = func.count(Proposal.mentor_id.distinct()) + func.count(Proposal.mentee_id.distinct())
    return db.scalar(select(columns).where(*live)) or 0


def is_answered(db: Db, run_id: uuid.UUID) -> bool:
    """Tell whether anybody answered a proposal of a run.

    **Touches** reads proposal.
    """
    said = or_(Proposal.mentor_answer.is_not(None), Proposal.mentee_answer.is_not(None))
    return db.execute(select(Proposal.id).where(Proposal.run_id == run_id, said).limit(1)).first() is not None


def total_score(db: Db, run: MatchRun) -> int:
    """Add up the points of the pairs that stand in a run now.

    **Touches** reads proposal.
    """
    live = (Proposal.run_id == run.id, Proposal.state.not_in(_gone(run)))
    query = select(func.sum(Proposal.score)).where(*live)
    return int(db.scalar(query) or 0)


def page_of_pairs(db: Db, run: MatchRun, asked: Mapping[str, Any]) -> Listed:
    """List the pairs of a run that fit a filter.

    :param asked: as `forms.PairQuery` loads it; "below" is a share of the points that a pair can reach.
    **Touches** reads proposal, person, person_skill.
    """
    mentor, mentee = aliased(Person), aliased(Person)
    conditions = [Proposal.run_id == run.id, *_pair_filter(run, asked)]
    query = select(Proposal.id)
    if asked["q"] or asked["department"] or asked["sort"] in ("mentor", "mentee"):
        query = query.join(mentor, mentor.id == Proposal.mentor_id)
        query = query.join(mentee, mentee.id == Proposal.mentee_id)
    if asked["q"]:
        conditions.append(or_(_named(mentor, asked["q"]), _named(mentee, asked["q"])))
    if asked["department"]:
        conditions.append(or_(*(one.department == asked["department"] for one in (mentor, mentee))))
    query = query.where(*conditions)
    total = db.scalar(query.with_only_columns(func.count())) or 0
    order = {
        "best": Proposal.score.desc(),
        "worst": Proposal.score,
        "mentor": func.lower(mentor.display_name),
        "mentee": func.lower(mentee.display_name),
    }[asked["sort"]]
    page = page_within(asked["page"], total)
    # Only what is shown is read whole: a pair's reasons are long.
    ids = db.scalars(query.order_by(order, Proposal.id).offset((page - 1) * PAGE).limit(PAGE)).all()
    found = {pair.row.id: pair for pair in pairs_by_id(db, ids)}
    return Listed([found[one] for one in ids], total, page)


def _pair_filter(run: MatchRun, asked: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if asked["state"]:
        conditions.append(Proposal.state == asked["state"])
    if asked["pinned"]:
        conditions.append(Proposal.pinned.is_(True))
    if asked["below"] is not None:
        conditions.append(Proposal.score < most_points(run) * asked["below"] / 100)
    if asked["skill"]:
        conditions += [
            _has_skill(Proposal.mentor_id, asked["skill"], "offered"),
            _has_skill(Proposal.mentee_id, asked["skill"], "wanted"),
        ]
    return conditions


def most_points(run: MatchRun) -> int:
    """Give the most points that any pair of a run could reach without extras. **Touches** nothing."""
    return sum(int(run.weights.get(factor, 0)) for factor in FACTORS)


def pairs_by_id(db: Db, ids: Collection[uuid.UUID]) -> list[Pair]:
    """Give some proposals with both people, in no order.

    **Touches** reads proposal, person.
    """
    mentor, mentee = aliased(Person), aliased(Person)
    query = (
        select(Proposal, mentor, mentee)
        .join(mentor, mentor.id == Proposal.mentor_id)
        .join(mentee, mentee.id == Proposal.mentee_id)
        .where(Proposal.id.in_(ids))
    )
    return [Pair(*row) for row in db.execute(query)]


def page_of_decided(db: Db, programme_id: uuid.UUID, page: int) -> Listed:
    """List the pairs of a programme that managers pinned or dropped, the last first.

    **Touches** reads proposal, person.
    """
    decided = or_(and_(Proposal.pinned, Proposal.state == "proposed"), Proposal.state == "dropped")
    query = select(Proposal.id).where(Proposal.programme_id == programme_id, decided)
    total = db.scalar(query.with_only_columns(func.count())) or 0
    page = page_within(page, total)
    ids = db.scalars(query.order_by(Proposal.id.desc()).offset((page - 1) * PAGE).limit(PAGE)).all()
    found = sorted(pairs_by_id(db, ids), key=lambda pair: pair.row.id, reverse=True)
    return Listed(found, total, page)


def find_pairs_named(db: Db, run_id: uuid.UUID, text: str, without: uuid.UUID) -> list[Pair]:
    """Find pairs that stand in a run by part of a name of either.

    :param without: a proposal that is not looked for.
    **Touches** reads proposal, person.
    """
    mentor, mentee = aliased(Person), aliased(Person)
    query = (
        select(Proposal.id)
        .join(mentor, mentor.id == Proposal.mentor_id)
        .join(mentee, mentee.id == Proposal.mentee_id)
        .where(Proposal.run_id == run_id, Proposal.state == "proposed", Proposal.id != without)
        .where(or_(_named(mentor, text), _named(mentee, text)))
    )
    ids = db.scalars(query.order_by(mentee.display_name, Proposal.id).limit(MOST_FOUND)).all()
    return sorted(pairs_by_id(db, ids), key=lambda pair: (pair.mentee.display_name, pair.row.id))


def find_members_named(
    db: Db, programme_id: uuid.UUID, text: str, role: str | None = None
) -> list[tuple[Person, str]]:
    """Find people of a pool by part of their name, with their role.

    :param role: mentor or mentee; None for both.
    **Touches** reads enrolment, person.
    """
    query = (
        select(Person, Enrolment.role)
        .join(Enrolment, Enrolment.person_id == Person.id)
        .where(Enrolment.programme_id == programme_id, Enrolment.state == "submitted", _named(Person, text))
    )
    if role:
        query = query.where(Enrolment.role == role)
    found = db.execute(query.order_by(Person.display_name, Person.id).limit(MOST_FOUND))
    return [(person, role_of) for person, role_of in found]


def departments(db: Db) -> list[str]:
    """Name the departments of the company.

    **Touches** reads person.
    """
    query = select(Person.department).where(Person.department.is_not(None)).distinct()
    return sorted(name for name in db.scalars(query) if name)


# ---- who is left out ----


def page_of_left_out(db: Db, run: MatchRun, asked: Mapping[str, Any]) -> Listed:
    """List who of a run's pool has no pair in it now, by name: the solver's list and what changed since.

    :param asked: as `forms.LeftOutQuery` loads it.
    :return: rows have "person", "role", "reason", "details" and "sentence".
    **Touches** reads match_left_out, proposal, person, person_skill.
    """
    left = _left_out(db, run)
    query = select(left).join(Person, Person.id == left.c.person_id)
    if asked["q"]:
        query = query.where(_named(Person, asked["q"]))
    for name, column in (("role", left.c.role), ("reason", left.c.reason)):
        if asked[name]:
            query = query.where(column == asked[name])
    if asked["department"]:
        query = query.where(Person.department == asked["department"])
    if asked["skill"]:
        direction = case((left.c.role == "mentor", "offered"), else_="wanted")
        query = query.where(_has_skill(left.c.person_id, asked["skill"], direction))
    total = db.scalar(query.with_only_columns(func.count())) or 0
    page = page_within(asked["page"], total)
    of_solver = (LeftOut.run_id == run.id, LeftOut.person_id == Person.id, LeftOut.role == left.c.role)
    query = query.outerjoin(LeftOut, and_(*of_solver)).with_only_columns(
        Person, LeftOut, left.c.role, left.c.reason
    )
    query = query.order_by(func.lower(Person.display_name), Person.id)
    rows = db.execute(query.offset((page - 1) * PAGE).limit(PAGE))
    return Listed([_left_out_entry(*row) for row in rows], total, page)


def count_left_out(db: Db, run: MatchRun) -> dict[str, int]:
    """Count who of a run's pool has no pair in it now, by the reason's code.

    **Touches** reads match_left_out, proposal.
    """
    left = _left_out(db, run)
    query = select(left.c.reason, func.count()).group_by(left.c.reason)
    return {str(reason): int(count) for reason, count in db.execute(query)}


def _left_out_entry(person: Person, one: LeftOut | None, role: str, reason: str) -> dict[str, Any]:
    return {
        "person": person,
        "role": role,
        "reason": reason,
        "details": one.details if one else {},
        "sentence": Text(unpack(one.told)) if one else SENTENCES[reason],
    }


def _left_out(db: Db, run: MatchRun) -> Subquery:
    listed = select(LeftOut.role, LeftOut.person_id, LeftOut.reason)
    parts = [listed.where(LeftOut.run_id == run.id, LeftOut.person_id.not_in(_placed(run)))]
    changed = select(Proposal.id).where(Proposal.run_id == run.id, Proposal.state.in_(_gone(run)))
    if db.execute(changed.limit(1)).first() is None:
        return parts[0].subquery()
    # Of the two codes the first in the alphabet says what a manager did.
    code = func.min(case((Proposal.state == "dropped", "proposal_dropped"), else_="proposal_left_out"))
    for role, person in (("mentor", Proposal.mentor_id), ("mentee", Proposal.mentee_id)):
        of_solver = exists().where(
            LeftOut.run_id == run.id, LeftOut.role == role, LeftOut.person_id == person
        )
        lost = select(literal(role, String).label("role"), person.label("person_id"), code.label("reason"))
        lost = lost.where(Proposal.run_id == run.id, Proposal.state.in_(_gone(run)), ~of_solver)
        parts.append(lost.where(person.not_in(_placed(run))).group_by(person))
    return union_all(*parts).subquery()


def _gone(run: MatchRun) -> tuple[str, ...]:
    """Give the states of pairs that a run has no more; one that was replaced keeps its own as "void"."""
    return GONE[:1] if run.state == "dropped" else GONE


def _placed(run: MatchRun) -> Any:
    """Select who has a pair in a run; nobody has two roles in a programme."""
    sides = []
    for side in ("mentor_id", "mentee_id"):
        other = aliased(Proposal)
        sides.append(
            select(getattr(other, side)).where(other.run_id == run.id, other.state.not_in(_gone(run)))
        )
    return union_all(*sides)


def page_within(asked: int, total: int) -> int:
    """Give the page that is asked for, or the last one there is. **Touches** nothing."""
    return min(asked, max(1, -(-total // PAGE)))


def _named(person: Any, text: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = person.display_name.icontains(text, autoescape=True)
    return found


def _has_skill(person: Any, skill_id: uuid.UUID, direction: Any) -> ColumnElement[bool]:
    has = and_(PersonSkill.person_id == person, PersonSkill.skill_id == skill_id)
    return exists().where(has, PersonSkill.direction == direction)
