"""Numbers about a whole pool: at once when it is small, else by the worker, who writes them down."""

import uuid
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, exists, func, or_, select

from rmplugin import jobs
from rmplugin.db import Db
from rmplugin.matching import health, rules, store
from rmplugin.matching.models import MatchCount
from rmplugin.people.models import Person, PersonSkill
from rmplugin.people.queries import CAN_TAKE_PART
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.programmes.queries import NEWCOMER_MONTHS, months_ago
from rmplugin.records import MatchCriterion

WANTED = "match_count_wanted"
# Up to so many people a page counts by itself.
FEW = 500
# Colleagues who are looked at before six of them are named.
MOST_SKILLED, MOST_NEW = 300, 100

Criteria = Collection[MatchCriterion]


def is_small(db: Db, programme_id: uuid.UUID) -> bool:
    """Tell whether a page may look at everybody in the pool of a programme.

    **Touches** reads enrolment.
    """
    query = select(Enrolment.id).where(Enrolment.programme_id == programme_id, Enrolment.state == "submitted")
    return len(db.execute(query.limit(FEW + 1)).all()) <= FEW


def find_count(db: Db, programme_id: uuid.UUID, kind: str) -> MatchCount | None:
    """Find the last numbers of a kind, or what is being counted; None when nobody asked.

    **Touches** reads match_count.
    """
    query = select(MatchCount).where(MatchCount.programme_id == programme_id, MatchCount.kind == kind)
    return db.scalars(query).one_or_none()


def ask(
    db: Db, programme: Programme, kind: str, question: Mapping[str, Any], now: datetime, criteria: Criteria
) -> MatchCount:
    """Ask for numbers about a pool; those of a small one are there at once.

    :param kind: health, or trial.
    :param question: of a trial, complete values of rules as `rules.check_values` gives them.
    :param criteria: of plug-ins.
    **Touches** writes match_count, outbox_event.
    """
    row = find_count(db, programme.id, kind)
    if row is None:
        row = MatchCount(programme_id=programme.id, kind=kind, answer=None)
        db.add(row)
    row.question, row.asked_at, row.counted_at = dict(question), now, None
    if kind == "trial":
        row.answer = None
    db.flush()
    if is_small(db, programme.id):
        row.answer, row.counted_at = prepare(db, programme, row, now, criteria)(), now
    else:
        jobs.enqueue(db, WANTED, now, count_id=str(row.id))
    return row


def prepare(
    db: Db, programme: Programme, row: MatchCount, now: datetime, criteria: Criteria
) -> Callable[[], dict[str, Any]]:
    """Read what a count needs.

    :return: counts, without the database, however long it takes.
    **Touches** reads what `store.load_pool` reads; programme_skill, enrolment.
    """
    if row.kind == "health":
        return prepare_health(db, programme, now, criteria)
    live = rules.find_live(db, programme.id)
    books = {
        "before": rules.book_in_force(db, programme),
        "after": rules.read_book(programme, row.question, live),
    }
    pools = {
        name: store.load_pool(db, programme, now, book=book, criteria=criteria)
        for name, book in books.items()
    }

    def count() -> dict[str, Any]:
        problems = {name: pool.free_problem() for name, pool in pools.items()}
        return {
            name: health.count_sides(problem, health.count_partners(problem))
            for name, problem in problems.items()
        }

    return count


def prepare_health(
    db: Db, programme: Programme, now: datetime, criteria: Criteria
) -> Callable[[], dict[str, Any]]:
    """Read what says how the pool of a programme stands.

    :return: counts: "sides" as `health.count_sides` gives them, "lacking" skills with their "name", pairs
        that one rule "barred", whether this is "exact", and whom to "invite".
    **Touches** reads what `store.load_pool` reads; programme_skill, enrolment.
    """
    pool = store.load_pool(db, programme, now, criteria=criteria)
    problem = pool.free_problem()
    lacking = health.find_lacking(problem)
    wanted = [uuid.UUID(entry["skill"]) for entry in lacking]
    people = {*db.scalars(_skilled(programme, now, wanted)), *db.scalars(_newcomers(programme, now))}
    colleagues = store.load_colleagues(db, programme, people, now)

    def count() -> dict[str, Any]:
        reach = health.count_partners(problem)
        have = {
            person.id: met for person, met in zip(problem.mentees.people, reach.mentees.tolist(), strict=True)
        }
        short = set(health.short_of_mentors(problem, reach))
        mentees = [person for person in problem.mentees.people if person.id in short]
        barred, exact = health.count_lone_bars(problem)
        return {
            "sides": health.count_sides(problem, reach),
            "lacking": [entry | {"name": pool.skills[entry["skill"]]} for entry in lacking],
            "barred": barred,
            "exact": exact,
            "invite": health.suggest(pool.problem(colleagues, mentees), have),
        }

    return count


def _skilled(programme: Programme, now: datetime, skills: Collection[uuid.UUID]) -> Select[uuid.UUID]:
    """Select who offers what lacks, those who offer the most of it first."""
    offered = and_(
        PersonSkill.direction == "offered", PersonSkill.level > 0, PersonSkill.skill_id.in_(skills)
    )
    query = select(Person.id).join(PersonSkill, and_(PersonSkill.person_id == Person.id, offered))
    query = query.where(*_could_mentor(programme, now)).group_by(Person.id)
    return query.order_by(func.count().desc(), Person.id).limit(MOST_SKILLED)


def _newcomers(programme: Programme, now: datetime) -> Select[uuid.UUID]:
    lately = Person.hire_date.between(months_ago(now.date(), NEWCOMER_MONTHS), now.date())
    query = select(Person.id).where(*_could_mentor(programme, now), lately)
    return query.order_by(Person.hire_date.desc(), Person.id).limit(MOST_NEW)


def _could_mentor(programme: Programme, now: datetime) -> tuple[Any, ...]:
    """Keep to who is at work, junior by the programme's settings, and was not asked yet."""
    junior = Person.seniority_rank <= programme.mentor_max_rank
    if programme.mentor_max_tenure_months is not None:
        since = months_ago(now.date(), programme.mentor_max_tenure_months + 1)
        junior = or_(junior, Person.hire_date.between(since, now.date()))
    # Somebody senior enough to be mentored is not asked to mentor.
    senior = func.coalesce(Person.seniority_rank, 0) >= programme.mentee_min_rank
    asked = exists().where(Enrolment.programme_id == programme.id, Enrolment.person_id == Person.id)
    return CAN_TAKE_PART, junior, ~senior, ~asked
