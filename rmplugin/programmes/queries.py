"""Reads about programmes: who may take part and why, who does, which skills they choose from."""

import calendar
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, literal, or_, select

from rmplugin.db import Db, chunks
from rmplugin.errors import NotAllowedError, NotFoundError
from rmplugin.people.models import Person, PersonSkill, Profile, Skill
from rmplugin.people.queries import WORKING
from rmplugin.programmes.models import Enrolment, Programme, ProgrammeSkill
from rmplugin.tenants.models import LtiContext
from rmplugin.texts import Text, texts

# Why somebody fits, or does not; filled in with the person's own facts.
WHY = texts(
    {
        "mentee": "seniority %(rank)s, and mentees have at least %(mentee_min)s",
        "mentor_rank": "seniority %(rank)s, and mentors have at most %(mentor_max)s",
        "mentor_tenure": "joined %(months)s months ago, and mentors joined at most %(tenure_max)s months ago",
        "between": "neither senior enough to be mentored, nor junior or new enough to mentor",
        "unmapped": "the grade is not mapped to a seniority rank",
        "no_grade": "the HR data names no grade",
        "not_working": "not at work now: suspended, or not started yet",
        "unknown": "not among the people whom HR reports as employed",
    }
)
FITS = {"mentee": "mentee", "mentor_rank": "mentor", "mentor_tenure": "mentor"}
NEWCOMER_MONTHS = 12


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a person may take part in a programme, and why.

    :ivar code: key of `WHY`.
    :ivar roles: roles that the person may take, the better fitting one first; empty for none.
    :ivar facts: fills in `pattern`.
    :ivar newcomer: joined at most twelve months ago, at any age and grade.
    """

    code: str
    roles: tuple[str, ...]
    facts: dict[str, Any]
    newcomer: bool

    @property
    def role(self) -> str | None:
        """Give the role that is offered; None when the person may not take part."""
        return self.roles[0] if self.roles else None

    @property
    def text(self) -> Text:
        """Give the reason."""
        return Text(WHY[self.code].template, **self.facts)


STRANGER = Fit("unknown", (), {}, newcomer=False)


@dataclass(frozen=True, slots=True)
class EligiblePerson:
    """Somebody who may take part, and how far they have come.

    :ivar state: of their enrolment; None when they have none.
    """

    person: Person
    fit: Fit
    state: str | None

    @property
    def role(self) -> str:
        """Give the role that is offered."""
        return self.fit.roles[0]


@dataclass(frozen=True, slots=True)
class EligibilityCounts:
    """How many people of the company may take part.

    :ivar to_invite: role -> eligible people who have no enrolment yet.
    :ivar not_eligible: code of `WHY` -> people.
    """

    mentors: int
    mentees: int
    newcomers: int
    to_invite: dict[str, int]
    not_eligible: dict[str, int]


def months_ago(today: date, months: int) -> date:
    """Give the same day some months earlier, or the last day of that month.

    Somebody hired after the result has fewer than `months` whole months of tenure.
    **Touches** pure.
    """
    year, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    return date(year, month + 1, min(today.day, calendar.monthrange(year, month + 1)[1]))


def tenure_months(hire_date: date, today: date) -> int:
    """Count whole months from the first day of work to today. **Touches** pure."""
    months = (today.year - hire_date.year) * 12 + today.month - hire_date.month
    return months - (today.day < hire_date.day)


def list_programmes(db: Db) -> list[Programme]:
    """List all programmes of the tenant, newest first.

    **Touches** reads programme.
    """
    return list(db.scalars(select(Programme).order_by(Programme.created_at.desc(), Programme.id.desc())))


def managed_programmes(db: Db, context_id: uuid.UUID | None) -> list[Programme]:
    """List what a manager who comes from a course may manage: its programmes, and those in no course.

    :param context_id: None for a launch outside a course.
    **Touches** reads programme.
    """
    return [row for row in list_programmes(db) if row.context_id in (None, context_id)]


def get_managed_programme(db: Db, programme_id: uuid.UUID, context_id: uuid.UUID | None) -> Programme:
    """Give a programme to a manager: whoever teaches one course does not manage what runs in another.

    :param context_id: the course that they come from; None for a launch outside a course.
    :raises NotFoundError: this tenant has no such programme.
    :raises NotAllowedError: it runs in another course.
    **Touches** reads programme.
    """
    programme = get_programme(db, programme_id)
    if programme.context_id not in (None, context_id):
        raise NotAllowedError(
            "other_course",
            "This programme runs in another course. Whoever manages that course can open it from there.",
        )
    return programme


def count_live_pairs(db: Db, programme_id: uuid.UUID) -> int:
    """Count the pairs of a programme that have not ended. **Touches** reads enrolment."""
    query = select(func.sum(Enrolment.active_pairings))
    query = query.where(Enrolment.programme_id == programme_id, Enrolment.role == "mentor")
    return db.scalar(query) or 0


def get_programme(db: Db, programme_id: uuid.UUID) -> Programme:
    """Give a programme.

    :raises NotFoundError: this tenant has no such programme.
    **Touches** reads programme.
    """
    programme = db.scalars(select(Programme).where(Programme.id == programme_id)).one_or_none()
    if programme is None:
        raise NotFoundError("programme")
    return programme


def find_programme(db: Db, name_or_id: str) -> Programme:
    """Give the programme that a command names.

    :param name_or_id: its id, or its name; case does not count.
    :raises NotFoundError: this tenant has no such programme.
    **Touches** reads programme.
    """
    for programme in list_programmes(db):
        if name_or_id.strip().casefold() in (str(programme.id), programme.name.casefold()):
            return programme
    raise NotFoundError("programme", typed=name_or_id)


def programme_of_person(
    db: Db, context_id: uuid.UUID | None, person_id: uuid.UUID
) -> tuple[Programme | None, Enrolment | None]:
    """Find the programme that a participant who opens this course means: theirs, else the newest that began.

    :param context_id: None for a launch outside a course, which has no programme.
    :return: the programme, and the person's enrolment in it.
    **Touches** reads programme, enrolment.
    """
    mine = and_(Enrolment.programme_id == Programme.id, Enrolment.person_id == person_id)
    query = select(Programme, Enrolment).outerjoin(Enrolment, mine)
    # A draft is the managers' own business until it opens.
    query = query.where(Programme.context_id == context_id, Programme.state.not_in(("draft", "archived")))
    takes_part = case((Enrolment.state.in_(("invited", "started", "submitted", "completed")), 0), else_=1)
    order = (takes_part, Programme.created_at.desc(), Programme.id.desc())
    row = db.execute(query.order_by(*order).limit(1)).first()
    return (row[0], row[1]) if row is not None else (None, None)


def programme_of_course(db: Db, context_id: uuid.UUID | None, *, ended_too: bool = False) -> Programme | None:
    """Find the programme that managers who open this course mean: the newest that is not archived.

    :param context_id: None for a launch outside a course, which has no programme.
    :param ended_too: the newest of all, archived or not.
    **Touches** reads programme.
    """
    if context_id is None:
        return None
    query = select(Programme).where(Programme.context_id == context_id)
    if not ended_too:
        query = query.where(Programme.state != "archived")
    return db.scalars(query.order_by(Programme.created_at.desc(), Programme.id.desc()).limit(1)).first()


def skills_of_programme(db: Db, programme_id: uuid.UUID) -> list[Skill]:
    """List the skills and perspectives that people of a programme choose from, by theme and name.

    **Touches** reads programme_skill, skill.
    """
    query = select(Skill).join(ProgrammeSkill, ProgrammeSkill.skill_id == Skill.id)
    query = query.where(ProgrammeSkill.programme_id == programme_id)
    return list(db.scalars(query.order_by(Skill.theme, func.lower(Skill.name))))


def find_enrolment(db: Db, programme_id: uuid.UUID, person_id: uuid.UUID) -> Enrolment | None:
    """Find a person's enrolment.

    **Touches** reads enrolment.
    """
    query = select(Enrolment).where(Enrolment.programme_id == programme_id, Enrolment.person_id == person_id)
    return db.scalars(query).one_or_none()


def list_enrolments(
    db: Db, programme_id: uuid.UUID, role: str | None = None, state: str | None = None
) -> list[Enrolment]:
    """List the enrolments of a programme in the order of their ids.

    :param role: mentor or mentee; None for both.
    :param state: None for all.
    **Touches** reads enrolment.
    """
    query = select(Enrolment).where(Enrolment.programme_id == programme_id)
    query = query.where(Enrolment.role == role) if role else query
    query = query.where(Enrolment.state == state) if state else query
    return list(db.scalars(query.order_by(Enrolment.id)))


def page_of_enrolments(
    db: Db, programme_id: uuid.UUID, role: str | None, state: str | None, *, offset: int, limit: int
) -> tuple[list[tuple[Enrolment, Person]], int]:
    """Give one page of enrolments with their persons, by name, and how many there are in all.

    :param role, state: None for all.
    **Touches** reads enrolment, person.
    """
    query = select(Enrolment, Person).join(Person, Person.id == Enrolment.person_id)
    query = query.where(Enrolment.programme_id == programme_id)
    query = query.where(Enrolment.role == role) if role else query
    query = query.where(Enrolment.state == state) if state else query
    total = db.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = db.execute(query.order_by(Person.display_name, Person.id).offset(offset).limit(limit))
    return [(enrolment, person) for enrolment, person in rows], total


def count_enrolments(db: Db, programme_id: uuid.UUID) -> dict[str, dict[str, int]]:
    """Count enrolments.

    :return: {"mentor": {state: people}, "mentee": {…}}; states without people are left out.
    **Touches** reads enrolment.
    """
    query = select(Enrolment.role, Enrolment.state, func.count(Enrolment.id))
    query = query.where(Enrolment.programme_id == programme_id).group_by(Enrolment.role, Enrolment.state)
    counts: dict[str, dict[str, int]] = {"mentor": {}, "mentee": {}}
    for role, state, people in db.execute(query):
        counts[role][state] = people
    return counts


def list_programmes_report(db: Db) -> list[dict[str, Any]]:
    """List all programmes of the tenant for `rmplugin programme list`.

    :return: JSON-ready; "course" is None for a programme that is in no course yet.
    **Touches** reads programme, lti_context, enrolment.
    """
    titles = {row.id: row.title for row in db.execute(select(LtiContext.id, LtiContext.title))}
    return [
        {
            "id": str(programme.id),
            "name": programme.name,
            "template": programme.template,
            "state": programme.state,
            "starts_on": programme.starts_on.isoformat(),
            "ends_on": programme.ends_on.isoformat(),
            "course": titles.get(programme.context_id) if programme.context_id else None,
            "enrolments": count_enrolments(db, programme.id),
        }
        for programme in list_programmes(db)
    ]


def answers_of(
    db: Db, person_id: uuid.UUID
) -> tuple[Profile | None, dict[uuid.UUID, int], dict[uuid.UUID, tuple[int, int]]]:
    """Give what a person said about themselves.

    :return: profile (None before the first answer), offers as level by skill, wants as level and priority.
    **Touches** reads profile, person_skill.
    """
    profile = db.scalars(select(Profile).where(Profile.person_id == person_id)).one_or_none()
    offers: dict[uuid.UUID, int] = {}
    wants: dict[uuid.UUID, tuple[int, int]] = {}
    for row in db.scalars(select(PersonSkill).where(PersonSkill.person_id == person_id)):
        if row.direction == "offered":
            offers[row.skill_id] = row.level
        else:
            wants[row.skill_id] = (row.level, row.priority or 2)
    return profile, offers, wants


def eligible_people(
    db: Db,
    programme: Programme,
    today: date,
    role: str | None = None,
    *,
    search: str = "",
    newcomers: bool = False,
    offset: int = 0,
    limit: int | None = None,
) -> list[EligiblePerson]:
    """List who may take part: by role, newcomers first, then by name; newcomers alone by their first day.

    :param role: mentor or mentee; None for both.
    :param search: part of a name.
    :param newcomers: only people who joined lately and have no enrolment here, the latest first.
    :param limit: None for all.
    **Touches** reads person, enrolment.
    """
    code = _fit_code(programme, today).label("code")
    columns: Any = select(Person, code, _may_mentor(programme, today), Enrolment.state)
    query = eligible_query(columns, programme, today, role, search=search, newcomers=newcomers)
    # Where a few newcomers are shown, whoever joined this week must be among them, whatever their name.
    first = (
        Person.hire_date.desc() if newcomers else case((_joined_within(today, NEWCOMER_MONTHS), 0), else_=1)
    )
    query = query.order_by(case((code == "mentee", 1), else_=0), first, Person.display_name, Person.id)
    rows = db.execute(query.offset(offset).limit(limit) if limit is not None else query)
    return [
        EligiblePerson(person, _fit(programme, person, code, today, may_mentor=bool(may_mentor)), state)
        for person, code, may_mentor, state in rows
    ]


def count_eligible_people(
    db: Db,
    programme: Programme,
    today: date,
    role: str | None = None,
    *,
    search: str = "",
    newcomers: bool = False,
) -> int:
    """Count what `eligible_people` lists without offset and limit.

    **Touches** reads person, enrolment.
    """
    query = eligible_query(
        select(func.count(Person.id)), programme, today, role, search=search, newcomers=newcomers
    )
    return db.scalar(query) or 0


def count_eligibility(db: Db, programme: Programme, today: date) -> EligibilityCounts:
    """Count who may take part, and why the others may not.

    **Touches** reads person, enrolment.
    """
    code = _fit_code(programme, today).label("code")
    newcomer = case((_joined_within(today, NEWCOMER_MONTHS), 1), else_=0)
    query = select(
        code, newcomer.label("newcomer"), Enrolment.id.is_(None).label("new"), func.count(Person.id)
    )
    query = _with_enrolment(query, programme).where(WORKING).group_by("code", "newcomer", "new")
    eligible: Counter[str] = Counter()
    to_invite: Counter[str] = Counter({"mentor": 0, "mentee": 0})
    others: Counter[str] = Counter()
    newcomers = 0
    for reason, is_newcomer, is_new, people in db.execute(query):
        role = FITS.get(reason)
        if role is None:
            others[reason] += people
            continue
        eligible[role] += people
        newcomers += people if role == "mentor" and is_newcomer else 0
        to_invite[role] += people if is_new else 0
    return EligibilityCounts(
        eligible["mentor"], eligible["mentee"], newcomers, dict(to_invite), dict(others.most_common())
    )


def find_fit(db: Db, programme: Programme, person_id: uuid.UUID, today: date) -> Fit:
    """Say whether one person may take part, and why.

    :return: code "unknown" for somebody whom HR does not report as employed.
    **Touches** reads person.
    """
    return fits_by_person(db, programme, today, [person_id]).get(person_id) or STRANGER


def fits_by_person(
    db: Db, programme: Programme, today: date, person_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, Fit]:
    """Say for many people whether they may take part; those who left are missing.

    **Touches** reads person.
    """
    fits: dict[uuid.UUID, Fit] = {}
    for chunk in chunks(person_ids):
        query = select(Person, _fit_code(programme, today), _may_mentor(programme, today))
        query = query.where(WORKING, Person.id.in_(chunk))
        for person, code, may_mentor in db.execute(query):
            fits[person.id] = _fit(programme, person, code, today, may_mentor=bool(may_mentor))
    return fits


def _fit_code(programme: Programme, today: date) -> ColumnElement[str]:
    """Decide in SQL, so that lists, counts and single checks cannot disagree."""
    at_work = and_(
        Person.status.in_(("active", "leave", "unknown")),
        or_(Person.hire_date.is_(None), Person.hire_date <= today),
    )
    by_rank = Person.seniority_rank <= programme.mentor_max_rank
    return case(
        (~at_work, literal("not_working")),
        (Person.seniority_rank >= programme.mentee_min_rank, literal("mentee")),
        (by_rank, literal("mentor_rank")),
        (_by_tenure(programme, today), literal("mentor_tenure")),
        (and_(Person.seniority_rank.is_(None), Person.grade.is_(None)), literal("no_grade")),
        (Person.seniority_rank.is_(None), literal("unmapped")),
        else_=literal("between"),
    )


def _by_tenure(programme: Programme, today: date) -> ColumnElement[bool]:
    if programme.mentor_max_tenure_months is None:
        return literal(1) == literal(0)
    return _joined_within(today, programme.mentor_max_tenure_months)


def _joined_within(today: date, months: int) -> ColumnElement[bool]:
    return and_(Person.hire_date > months_ago(today, months + 1), Person.hire_date <= today)


def _may_mentor(programme: Programme, today: date) -> ColumnElement[int]:
    by_rank = Person.seniority_rank <= programme.mentor_max_rank
    return case((or_(by_rank, _by_tenure(programme, today)), 1), else_=0)


def _with_enrolment(query: Select[Any], programme: Programme) -> Select[Any]:
    here = and_(Enrolment.person_id == Person.id, Enrolment.programme_id == programme.id)
    return query.select_from(Person).outerjoin(Enrolment, here)


def eligible_query(
    query: Select[Any],
    programme: Programme,
    today: date,
    role: str | None,
    *,
    search: str = "",
    newcomers: bool = False,
) -> Select[Any]:
    """Have a query of people and their enrolments speak of those whom `eligible_people` lists.

    **Touches** pure.
    """
    codes = [code for code, of in FITS.items() if role in (None, of)]
    query = _with_enrolment(query, programme).where(WORKING, _fit_code(programme, today).in_(codes))
    if search.strip():
        query = query.where(func.lower(Person.display_name).contains(search.strip().lower(), autoescape=True))
    joined_lately = _joined_within(today, NEWCOMER_MONTHS)
    return query.where(Enrolment.id.is_(None), joined_lately) if newcomers else query


def _fit(programme: Programme, person: Person, code: str, today: date, *, may_mentor: bool) -> Fit:
    months = tenure_months(person.hire_date, today) if person.hire_date else None
    facts = {
        "rank": person.seniority_rank,
        "months": months,
        "mentee_min": programme.mentee_min_rank,
        "mentor_max": programme.mentor_max_rank,
        "tenure_max": programme.mentor_max_tenure_months,
    }
    roles: tuple[str, ...] = ()
    if code in FITS:
        # A leader who joined lately fits both roles; being mentored fits better.
        roles = ("mentee", "mentor") if code == "mentee" and may_mentor else (FITS[code],)
    return Fit(code, roles, facts, months is not None and 0 <= months <= NEWCOMER_MONTHS)
