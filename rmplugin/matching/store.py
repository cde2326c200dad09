"""Between the database and the engine: the pool as candidates, and what the engine found in words."""

import hashlib
import json
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime, time
from functools import lru_cache
from operator import attrgetter
from typing import Any, cast

import numpy as np
import orjson
from sqlalchemy import Select, String, Table, literal, null, select
from sqlalchemy import cast as cast_to

from rmplugin.db import Db
from rmplugin.errors import InputError
from rmplugin.matching import queries
from rmplugin.matching.columns import Problem, build
from rmplugin.matching.models import MatchRun, MatchWish, Proposal
from rmplugin.matching.pairs import find_bars
from rmplugin.matching.rules import RuleBook, book_in_force
from rmplugin.matching.scoring import (
    Candidate,
    Role,
    Rules,
    Weights,
    failed_rules,
    working_hours_mask,
)
from rmplugin.people.models import Person, PersonSkill, Profile, Skill
from rmplugin.people.reporting import every_reporting_line, reporting_map
from rmplugin.people.side_lines import side_lines
from rmplugin.programmes.models import Enrolment, Programme, ProgrammeSkill
from rmplugin.records import MatchCriterion

# Goes up whenever what a rule means changes, so that an old run can be explained.
RULES_VERSION = 1
FEW = 500
PERSON_SKILL: Table = PersonSkill.__table__  # type: ignore[assignment]  # Declared as FromClause; a Table here.
ENROLMENT: Table = Enrolment.__table__  # type: ignore[assignment]
# In the digest these are written in an order of their own; new fields join the others by themselves.
_UNORDERED = ("languages", "hours", "offers", "wants")
_as_they_are = attrgetter(*(field.name for field in fields(Candidate) if field.name not in _UNORDERED))


@dataclass(frozen=True)
class Pool:
    """Everything that goes into a matching, as plain values.

    :param mentors: everybody enrolled who can take part, also those without a free place; `mentees` likewise.
    :param reporting: person -> manager, the whole company.
    :param dotted: two people with a line of authority beside the reporting line.
    :param blocked: (mentor, mentee) that must not be proposed.
    :param pins: (mentor, mentee) that must be in.
    :param skills: skill id -> name.
    :param wishes: (who chose, whom, rank from 1 to 5) of both sides.
    :param avoided: (who chose, whom): no run proposes the two, but a manager can still pin them.
    :param kept: (mentor, mentee) whom the run before proposed by the same rules, see `Weights.kept`.
    :param criteria: what plug-ins add to points and rules.
    """

    mentors: tuple[Candidate, ...]
    mentees: tuple[Candidate, ...]
    reporting: Mapping[str, str | None]
    blocked: tuple[tuple[str, str], ...]
    pins: tuple[tuple[str, str], ...]
    skills: Mapping[str, str]
    rules: Rules
    weights: Weights
    wishes: tuple[tuple[str, str, int], ...] = ()
    avoided: tuple[tuple[str, str], ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    dotted: tuple[tuple[str, str], ...] = ()
    criteria: tuple[MatchCriterion, ...] = ()

    def find(self, role: Role, person_id: str) -> Candidate | None:
        """Find somebody; None when they are not in the pool in this role.

        **Touches** nothing.
        """
        side = self.mentors if role == "mentor" else self.mentees
        return next((candidate for candidate in side if candidate.id == person_id), None)

    def problem(
        self,
        mentors: Iterable[Candidate],
        mentees: Iterable[Candidate],
        avoided: Iterable[tuple[str, str]] = (),
    ) -> Problem:
        """Make some of the pool ready for the engine.

        :param avoided: pairs that must not be besides those that are ruled out.
        **Touches** nothing.
        """
        return build(
            mentors,
            mentees,
            reporting=self.reporting,
            rules=self.rules,
            weights=self.weights,
            blocked=(*self.blocked, *avoided),
            dotted=self.dotted,
            wishes=self.wishes,
            kept=self.kept,
            criteria=self.criteria,
        )

    def free_problem(self) -> Problem:
        """Make everybody with a free place ready; what people asked to be spared is left out.

        **Touches** nothing.
        """
        return self.problem(*self.free_sides(), self.spared())

    def free_sides(self) -> tuple[list[Candidate], list[Candidate]]:
        """Give the mentors and the mentees who have a free place.

        **Touches** nothing.
        """
        mentors, mentees = ([c for c in side if c.capacity] for side in (self.mentors, self.mentees))
        return mentors, mentees

    def spared(self) -> set[tuple[str, str]]:
        """Give the pairs that one of the two would rather not be in, without those that a manager pinned.

        **Touches** nothing.
        """
        pinned = {*self.pins, *((mentee, mentor) for mentor, mentee in self.pins)}
        return set(self.avoided) - pinned

    def among(self, people: Collection[str]) -> "Pool":
        """Give the pool of some people, with the reporting lines above them and nothing else.

        **Touches** nothing.
        """
        above: dict[str, str | None] = {}
        for person in people:
            while person in self.reporting and person not in above:
                above[person] = self.reporting[person]
                person = above[person] or ""  # noqa: PLW2901 - It walks up.
        return replace(
            self,
            mentors=tuple(c for c in self.mentors if c.id in people),
            mentees=tuple(c for c in self.mentees if c.id in people),
            reporting=above,
            blocked=tuple(pair for pair in self.blocked if pair[0] in people and pair[1] in people),
        )

    def digest(self, objective: str) -> str:
        """Give a digest of what decides the outcome, the same for the same data in any order.

        Pairs of the run before, which may have a bonus, are left out: they change with the run itself.

        **Touches** nothing.
        """
        sides = [
            [_plain(c) for c in sorted(side, key=lambda candidate: candidate.id)]
            for side in (self.mentors, self.mentees)
        ]
        facts = [
            sides,
            sorted(self.reporting.items()),
            sorted(self.dotted),
            sorted(self.blocked),
            sorted(self.pins),
            sorted(self.wishes),
            sorted(self.avoided),
            [criterion.key for criterion in self.criteria],
            rules_document(self.rules),
            asdict(self.weights),
            objective,
        ]
        return hashlib.sha256(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def load_pool(
    db: Db,
    programme: Programme,
    now: datetime,
    without: uuid.UUID | None = None,
    *,
    book: RuleBook | None = None,
    scope: str = "all",
    only: queries.Only = None,
    criteria: Iterable[MatchCriterion] = (),
    run: MatchRun | None = None,
) -> Pool:
    """Read what a matching needs, in a handful of queries however many people there are.

    :param without: a proposal that neither takes places nor rules its pair out: the one being checked.
    :param book: the rules to go by; None for those in force.
    :param scope: all, or waiting: who has a partner or an open proposal has no free place then.
    :param only: person ids, or a query of them, to which everything is restricted; None for everybody.
    :param criteria: of plug-ins.
    :param run: the one that this is for: pairs that the run before proposed have a bonus in it, when the
        rules, with the objective, are the same. Whoever tries something else sees what it would do by itself.
    **Touches** reads enrolment, person, profile, person_skill, skill, pairing, proposal, match_wish,
    match_rule_set, side_line, match_run.
    """
    book = book or book_in_force(db, programme)
    cap = book.options.mentors_per_mentee
    members = queries.list_pool(db, programme.id, without, mentee_cap=cap, scope=scope, only=only)
    skills = _load_names(db, programme.id)
    sides = _load_sides(db, programme, now, {str(m.person_id): m.places for m in members}, skills, only)
    blocked = queries.ruled_out_pairs(db, programme.id, without, only)
    wishes, avoided = _load_wishes(db, programme.id, {m.person_id for m in members})
    few = only if isinstance(only, Collection) else None
    return Pool(
        mentors=tuple(sides["mentor"]),
        mentees=tuple(sides["mentee"]),
        reporting=_load_reporting(db, few),
        dotted=tuple(sorted(map(_texts, side_lines(db, few)))),
        blocked=tuple(sorted({_texts(pair) for pair in blocked})),
        pins=tuple(
            sorted(
                _texts(pair) for pair in queries.proposed_pairs(db, programme.id, Proposal.pinned.is_(True))
            )
        ),
        skills=skills,
        rules=book.rules,
        weights=replace(book.weights, kept=book.options.kept_bonus),
        wishes=wishes,
        avoided=avoided,
        kept=_load_kept(db, run) if run and book.options.kept_bonus else (),
        criteria=tuple(criteria),
    )


def _load_reporting(db: Db, few: Collection[uuid.UUID] | None) -> dict[str, str]:
    if few is None:
        return every_reporting_line(db)
    return dict(map(_texts, reporting_map(db, few).items()))


def _load_kept(db: Db, run: MatchRun) -> tuple[tuple[str, str], ...]:
    same = (
        MatchRun.programme_id == run.programme_id,
        MatchRun.objective == run.objective,
        MatchRun.rule_set_version == run.rule_set_version,
    )
    earlier = Proposal.run_id.in_(select(MatchRun.id).where(*same))
    return tuple(sorted(map(_texts, queries.proposed_pairs(db, run.programme_id, earlier))))


def _load_names(db: Db, programme_id: uuid.UUID) -> dict[str, str]:
    query = select(Skill.id, Skill.name).join(ProgrammeSkill, ProgrammeSkill.skill_id == Skill.id)
    query = query.where(ProgrammeSkill.programme_id == programme_id)
    return {str(row.id): row.name for row in db.execute(query)}


def _load_sides(
    db: Db,
    programme: Programme,
    now: datetime,
    places: Mapping[str, int],
    names: Mapping[str, str],
    only: queries.Only,
) -> dict[str, list[Candidate]]:
    ids = _Ids()
    skills = _load_skills(db, names, only, ids, programme.id)
    # The rules of summer time that hold when the pairs meet, not when the programme was written.
    hours = _Hours(max(now.date(), programme.starts_on))
    sides: dict[str, list[Candidate]] = {"mentor": [], "mentee": []}
    for row in db.execute(_people(programme.id, only)).all():
        person = ids[row.raw_id]
        if person in places:
            manager = ids[row.raw_manager] if row.raw_manager else None
            own = skills.get(person, ({}, {}))
            sides[row.role].append(_candidate(person, manager, row, places[person], own, hours))
    return sides


def load_colleagues(
    db: Db, programme: Programme, people: Collection[uuid.UUID], now: datetime
) -> list[Candidate]:
    """Give people who are not enrolled as the mentors that they would be, by what they said elsewhere.

    :param people: few.
    **Touches** reads person, profile, person_skill.
    """
    ids, hours = _Ids(), _Hours(max(now.date(), programme.starts_on))
    skills = _load_skills(db, _load_names(db, programme.id), people, ids)
    role, keenness = literal("mentor").label("role"), null().label("motivation_level")
    query = select(role, keenness, *_facts()).select_from(Person)
    query = query.outerjoin(Profile, Profile.person_id == Person.id).where(Person.id.in_(people))
    found = []
    for row in db.execute(query):
        person, manager = ids[row.raw_id], ids[row.raw_manager] if row.raw_manager else None
        found.append(_candidate(person, manager, row, 1, skills.get(person, ({}, {})), hours))
    return found


def _facts() -> tuple[Any, ...]:
    return (
        cast_to(Person.id, String).label("raw_id"),
        Person.seniority_rank,
        Person.hire_date,
        cast_to(Person.manager_id, String).label("raw_manager"),
        Person.department,
        Person.location,
        # As they are written: thousands of people share few of these lists, and each is read once.
        cast_to(Person.languages, String).label("known_languages"),
        cast_to(Profile.languages, String).label("languages"),
        cast_to(Profile.work_days, String).label("work_days"),
        Profile.work_from_minute,
        Profile.work_to_minute,
        Profile.time_zone,
    )


def _people(programme_id: uuid.UUID, only: queries.Only) -> Select[*tuple[Any, ...]]:
    """Select what a candidate is made of; columns alone: objects of very many people cost too much."""
    query = (
        select(Enrolment.role, Enrolment.motivation_level, *_facts())
        .join(Person, Person.id == Enrolment.person_id)
        .outerjoin(Profile, Profile.person_id == Person.id)
        .where(Enrolment.programme_id == programme_id, Enrolment.state == "submitted")
    )
    if only is not None:
        query = query.where(Enrolment.person_id.in_(only))
    return query


def _load_wishes(
    db: Db, programme_id: uuid.UUID, members: Collection[uuid.UUID]
) -> tuple[tuple[tuple[str, str, int], ...], tuple[tuple[str, str], ...]]:
    """Give the wishes of the pool about the pool: preferred with their rank, and avoided."""
    query = select(MatchWish.person_id, MatchWish.other_id, MatchWish.rank).where(
        MatchWish.programme_id == programme_id
    )
    if len(members) <= FEW:
        query = query.where(MatchWish.person_id.in_(members))
    rows = [
        (str(person), str(other), rank)
        for person, other, rank in db.execute(query)
        if person in members and other in members
    ]
    rows.sort(key=lambda row: row[:2])
    return (
        tuple((person, other, rank) for person, other, rank in rows if rank is not None),
        tuple((person, other) for person, other, rank in rows if rank is None),
    )


def check_pairs(pool: Pool, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """Give the rules that each of some pairs fails now; places and wishes are not looked at.

    :param pairs: (mentor id, mentee id).
    :return: pair -> codes of `PAIR_FAULTS`; an empty list when the pair may be.
    **Touches** nothing.
    """
    people = {person for pair in pairs for person in pair}
    part = pool.among(people)
    problem = part.problem(part.mentors, part.mentees)
    rows = {pair: problem.rows(*pair) for pair in pairs}
    known = [found for found in rows.values() if found is not None]
    bars = find_bars(problem, *np.array(known, dtype=np.int64).reshape(-1, 2).T)
    codes = dict(zip(known, map(failed_rules, bars.tolist()), strict=True))
    return {pair: codes[found] if found else ["not_taking_part"] for pair, found in rows.items()}


def rules_document(rules: Rules) -> dict[str, Any]:
    """Give the rules of a run as they are kept.

    **Touches** nothing.
    """
    return {"version": RULES_VERSION, **asdict(rules)}


def _load_skills(
    db: Db, names: Mapping[str, str], only: queries.Only, ids: "_Ids", programme_id: uuid.UUID | None = None
) -> dict[str, tuple[dict[str, int], dict[str, tuple[int, int]]]]:
    """Give per person what they offer and want of a catalogue.

    :param names: the catalogue.
    :param programme_id: whose members are read; None for everybody in `only`.
    """
    columns = (PERSON_SKILL.c[name] for name in ("direction", "level", "priority"))
    whose, what = (cast_to(PERSON_SKILL.c[name], String) for name in ("person_id", "skill_id"))
    query = select(whose, what, *columns).where(PERSON_SKILL.c.tenant_id == db.tenant_id)
    if programme_id:
        members = ENROLMENT.c.programme_id == programme_id, ENROLMENT.c.tenant_id == db.tenant_id
        query = query.join(ENROLMENT, ENROLMENT.c.person_id == PERSON_SKILL.c.person_id).where(*members)
    if only is not None:
        query = query.where(PERSON_SKILL.c.person_id.in_(only))
    found: dict[str, tuple[dict[str, int], dict[str, tuple[int, int]]]] = defaultdict(lambda: ({}, {}))
    for person, raw_skill, direction, level, priority in db.connection().execute(query).all():
        skill = ids[raw_skill]
        if skill not in names:
            continue
        if direction == "offered":
            found[ids[person]][0][skill] = level
        else:
            found[ids[person]][1][skill] = (level, priority or 3)
    return found


def _candidate(
    person_id: str,
    manager_id: str | None,
    row: Any,
    places: int,
    skills: tuple[Mapping[str, int], Mapping[str, tuple[int, int]]],
    hours: "_Hours",
) -> Candidate:
    return Candidate(
        id=person_id,
        role=cast("Role", row.role),
        rank=row.seniority_rank,
        hired_on=row.hire_date,
        manager_id=manager_id,
        department=row.department,
        site=row.location,
        languages=_languages(row.known_languages if row.languages is None else row.languages),
        hours=0 if row.time_zone is None else hours.of(row),
        capacity=places,
        motivation=row.motivation_level or 3,
        offers=skills[0],
        wants=skills[1],
    )


class _Ids(dict[str, str]):
    """Ids as the database casts them to text -> as everybody writes them; each is made once."""

    def __missing__(self, raw: str) -> str:
        self[raw] = str(uuid.UUID(raw))
        return self[raw]


@lru_cache(maxsize=4096)
def _languages(raw: str) -> frozenset[str]:
    return frozenset(json.loads(raw))


class _Hours:
    """Working hours as masks; very many people share few kinds of them."""

    def __init__(self, on: date) -> None:
        self._on = on
        self._known: dict[tuple[Any, ...], int] = {}

    def of(self, profile: Any) -> int:
        key = profile.work_days, profile.work_from_minute, profile.work_to_minute, profile.time_zone
        if key not in self._known:
            days, zone = tuple(json.loads(profile.work_days)), profile.time_zone
            start, end = (time(minute // 60 % 24, minute % 60) for minute in key[1:3])
            try:
                self._known[key] = working_hours_mask(days, start, end, zone, self._on)
            except InputError:
                # One profile with a zone that no longer exists must not stop the matching of all others.
                self._known[key] = 0
        return self._known[key]


def _plain(candidate: Candidate) -> list[Any]:
    return [
        *_as_they_are(candidate),
        sorted(candidate.languages),
        hex(candidate.hours),
        sorted(candidate.offers.items()),
        sorted(candidate.wants.items()),
    ]


def _texts(pair: tuple[uuid.UUID, uuid.UUID]) -> tuple[str, str]:
    return str(pair[0]), str(pair[1])
