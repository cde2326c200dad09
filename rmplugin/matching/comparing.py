"""Two runs of a programme side by side: which pairs and people differ, a page at a time."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, String, and_, exists, func, literal, select, union_all
from sqlalchemy.orm import aliased

from rmplugin.db import Db
from rmplugin.matching.lists import PAGE, Listed, page_within, pairs_by_id
from rmplugin.matching.models import MatchRun, Proposal
from rmplugin.people.models import Person

# How a pair of a run stands in the other one; "gone" ones are of the other run.
PAIR_KINDS = ("kept", "changed", "new", "gone")


@dataclass(frozen=True)
class Comparison:
    """A run against an earlier one of the same programme: what SQL has to know of each.

    A run that was replaced keeps its pairs as "void"; those that had left it before are told apart once.
    """

    run: MatchRun
    other: MatchRun
    left: Mapping[uuid.UUID, Collection[uuid.UUID]]

    def stands(self, table: Any, run: MatchRun) -> ColumnElement[bool]:
        """Say that a row is a pair that the run has, or had when it was replaced. **Touches** nothing."""
        here: ColumnElement[bool] = and_(table.run_id == run.id, table.state != "dropped")
        if run.state == "dropped":
            return and_(here, table.id.not_in(self.left[run.id])) if self.left[run.id] else here
        return and_(here, table.state != "void")

    def all_pairs(self, run: MatchRun) -> Select[Any]:
        """Select ids of the pairs of a run. **Touches** nothing."""
        return select(Proposal.id).where(self.stands(Proposal, run))

    def all_people(self, run: MatchRun) -> Select[Any]:
        """Count the people of a run. **Touches** nothing."""
        both = func.count(Proposal.mentor_id.distinct()) + func.count(Proposal.mentee_id.distinct())
        return select(both).where(self.stands(Proposal, run))

    def pairs(self, kind: str) -> Select[Any]:
        """Select ids of pairs of a kind: "gone" ones are of the other run, all others of this one."""
        mine, theirs = (self.other, self.run) if kind == "gone" else (self.run, self.other)
        same, others = aliased(Proposal), aliased(Proposal)
        both = exists().where(
            self.stands(same, theirs),
            same.mentor_id == Proposal.mentor_id,
            same.mentee_id == Proposal.mentee_id,
        )
        met = Proposal.mentee_id.in_(select(others.mentee_id).where(self.stands(others, theirs)))
        query = select(Proposal.id).where(self.stands(Proposal, mine))
        if kind == "kept":
            return query.where(both)
        return query.where(~both, met if kind == "changed" else ~met)

    def people(self, kind: str) -> Select[Any]:
        """Select role and id of who gained a partner against the other run, or lost one."""
        mine, theirs = (self.run, self.other) if kind == "gained" else (self.other, self.run)
        parts = []
        for role in ("mentor", "mentee"):
            other = aliased(Proposal)
            person = getattr(Proposal, f"{role}_id")
            met = select(getattr(other, f"{role}_id")).where(self.stands(other, theirs))
            query = select(literal(role, String).label("role"), person.label("person_id"))
            parts.append(query.where(self.stands(Proposal, mine), person.not_in(met)).distinct())
        both = union_all(*parts).subquery()
        return select(both.c.role, both.c.person_id)


def compare(db: Db, run: MatchRun, other: MatchRun) -> Comparison:
    """Make two runs of a programme ready to be compared.

    **Touches** reads proposal.
    """
    left = {}
    for one in (run, other):
        query = select(Proposal.id).where(Proposal.run_id == one.id, Proposal.state == "void")
        query = query.where(Proposal.reasons["left_out"].as_string().is_not(None))
        left[one.id] = db.scalars(query).all() if one.state == "dropped" else ()
    return Comparison(run, other, left)


def count_differences(db: Db, comparison: Comparison) -> dict[str, int]:
    """Count the pairs and the people of each kind.

    **Touches** reads proposal.
    """

    def count(query: Select[Any]) -> int:
        return db.scalar(select(func.count()).select_from(query.subquery())) or 0

    found = {kind: count(comparison.pairs(kind)) for kind in ("kept", "changed", "gone")}
    found["new"] = count(comparison.all_pairs(comparison.run)) - found["kept"] - found["changed"]
    found["gained"] = count(comparison.people("gained"))
    people = [db.scalar(comparison.all_people(run)) or 0 for run in (comparison.run, comparison.other)]
    # Who is in both is this run's people without those who gained.
    found["lost"] = people[1] - (people[0] - found["gained"])
    return found


def page_of_differences(db: Db, comparison: Comparison, kind: str, total: int, page: int) -> Listed:
    """List the pairs, or the people with their role, of one kind.

    :param total: as counted.
    **Touches** reads proposal, person.
    """
    page = page_within(page, total)
    first = (page - 1) * PAGE
    if kind in PAIR_KINDS:
        query = comparison.pairs(kind).order_by(Proposal.score.desc(), Proposal.id)
        ids = db.scalars(query.offset(first).limit(PAGE)).all()
        found = {pair.row.id: pair for pair in pairs_by_id(db, ids)}
        return Listed([found[one] for one in ids], total, page)
    both = comparison.people(kind).subquery()
    people = select(Person, both.c.role).join(both, both.c.person_id == Person.id)
    people = people.order_by(func.lower(Person.display_name), Person.id)
    rows = db.execute(people.offset(first).limit(PAGE)).all()
    return Listed([(person, role) for person, role in rows], total, page)


def partners_in(db: Db, run: MatchRun, mentee_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[str]]:
    """Name whom some mentees had in a run.

    **Touches** reads proposal, person.
    """
    query = select(Proposal.mentee_id, Person.display_name).join(Person, Person.id == Proposal.mentor_id)
    query = query.where(Proposal.run_id == run.id, Proposal.mentee_id.in_(mentee_ids))
    found: dict[uuid.UUID, list[str]] = {}
    for mentee, name in db.execute(query.where(Proposal.state != "dropped").order_by(Person.display_name)):
        found.setdefault(mentee, []).append(name)
    return found
