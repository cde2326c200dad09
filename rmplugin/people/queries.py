"""Reads about persons."""

import contextlib
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import ColumnElement, Select, String, Table, and_, case, cast, func, or_, select

from lti.roles import Role, Roles
from rmplugin.db import Db, chunks
from rmplugin.errors import ConflictError, NotFoundError
from rmplugin.jobs import OutboxEvent, find_pending
from rmplugin.people.canonical import KEPT, LEFT
from rmplugin.people.forms import GROUPS
from rmplugin.people.models import CourseMember, LtiUser, Person, Profile, RosterFuture, RosterRun
from rmplugin.tenants.models import HrAccount
from rmplugin.texts import texts

# Whoever is missing from one reading counts; a row that stands for somebody of another account does not.
WORKING = and_(Person.lifecycle != "tombstoned", Person.status.not_in(LEFT), Person.same_person_id.is_(None))
# The same as `Person.is_working`.
CAN_TAKE_PART = and_(WORKING, Person.status != "suspended")
PERSON: Table = Person.__table__  # type: ignore[assignment]  # Declared as FromClause; it is a Table here.
# Whether somebody is in the source, and whether they work there, as numbers.
_PRESENT = (
    case((PERSON.c.lifecycle == "tombstoned", 0), else_=1),
    case((or_(PERSON.c.lifecycle == "tombstoned", PERSON.c.status.in_(LEFT)), 0), else_=1),
)
# The event that asks the worker to read a course's members.
ROSTER_WANTED = "course_roster_wanted"
# The event that asks the worker to read an HR account again, because somebody accepted a held run.
ACCEPTED_RUN = "roster_wanted"
# Why an LMS user is not linked to a person, in words that follow "could not tell who they are: ".
LINK_PROBLEMS = texts(
    {
        "no_hr_id": "the LMS sends neither an employee number nor an e-mail address",
        "no_match": "the staff list has nobody with this employee number or e-mail address",
        "conflict": "the employee number or e-mail address fits more than one person",
        "changed": "the LMS says now that this account is somebody else than before; a manager has to decide",
        "not_working": "the staff list says that this person has left or has not started",
        "revoked": "the programme manager decided that the link to the staff list was wrong",
    }
)
# What a link was made from, in words that follow "recognised by ".
SOURCE_WORDS = texts(
    {
        "custom": "employee number (custom parameter)",
        "sourcedid": "employee number (sourcedId of the LMS)",
        "org_defined_id": "employee number (Org Defined Id)",
        "username": "user name",
        "email": "e-mail address",
        "by_hand": "a manager's decision",
    }
)


def find_person(db: Db, reference: str) -> Person:
    """Find a person by what an administrator types: our id, an employee number or a work address.

    :raises NotFoundError: nobody fits.
    :raises ConflictError: more than one person fits.
    **Touches** reads person.
    """
    text = reference.strip()
    counts = Person.same_person_id.is_(None)
    conditions: list[ColumnElement[bool]] = [
        and_(Person.employee_number == text, counts),
        and_(Person.email_folded == text.casefold(), counts),
    ]
    with contextlib.suppress(ValueError):
        conditions.insert(0, Person.id == uuid.UUID(text))
    for condition in conditions:
        found = db.scalars(select(Person).where(condition).limit(2)).all()
        if len(found) > 1:
            raise ConflictError(
                "person_ambiguous", "More than one person fits. Name the person by their id instead."
            )
        if found:
            return found[0]
    raise NotFoundError("person", typed=text)


def display_names(db: Db, person_ids: set[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Give the names by which people are shown.

    :return: a name per id that this tenant has; people who left included.
    **Touches** reads person.
    """
    names: dict[uuid.UUID, str] = {}
    for chunk in chunks(sorted(person_ids)):
        query = select(Person.id, Person.display_name).where(Person.id.in_(chunk))
        names.update((row.id, row.display_name) for row in db.execute(query))
    return names


def zone_of(db: Db, person_id: uuid.UUID | None) -> str:
    """Give the zone in which somebody reads times: what they said, else what HR says, else `home_zone`.

    :param person_id: None for a visitor whom the roster does not know.
    :return: IANA name that this machine knows.
    **Touches** reads profile, person.
    """
    query = select(Profile.time_zone, Person.time_zone).select_from(Person)
    query = query.outerjoin(Profile, Profile.person_id == Person.id).where(Person.id == person_id)
    names = db.execute(query).one_or_none() if person_id else None
    return next((name for name in names or () if name and is_zone(name)), None) or home_zone(db)


def home_zone(db: Db) -> str:
    """Give the zone in which most people of the company are; UTC when HR names none.

    **Touches** reads person.
    """
    query = select(Person.time_zone).where(Person.time_zone.is_not(None), Person.lifecycle != "tombstoned")
    query = query.group_by(Person.time_zone).order_by(func.count().desc(), Person.time_zone)
    return zone_among(*db.scalars(query.limit(3)))


def zones_of(db: Db, person_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Give the time zones of several people in one query; see `zone_of`.

    **Touches** reads profile, person.
    """
    query = select(Person.id, Profile.time_zone, Person.time_zone)
    query = query.outerjoin(Profile, Profile.person_id == Person.id).where(Person.id.in_(person_ids))
    return {person_id: zone_among(*names) for person_id, *names in db.execute(query)}


def zone_among(*names: str | None) -> str:
    """Give the first time zone that this machine knows, else UTC. **Touches** reads the zone data."""
    return next((name for name in names if name and is_zone(name)), "UTC")


def is_zone(name: str) -> bool:
    """Tell whether this machine knows a time zone of that name. **Touches** reads the zone data."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _hex(column: Any) -> ColumnElement[str]:
    """Give an id as 32 hexadecimal digits, on every database."""
    return func.replace(cast(column, String), "-", "")


def known_rows(db: Db, account_id: uuid.UUID) -> Iterator[tuple[Any, ...]]:
    """Stream what a roster run compares with, in the shape of `roster.Staging.add_known`.

    Everything as text and numbers: objects made of half a million rows would cost more than the comparison.

    **Touches** reads person.
    """
    query = select(
        PERSON.c.source_key,
        _hex(PERSON.c.id),
        PERSON.c.row_hash,
        PERSON.c.employee_number,
        PERSON.c.email_folded,
        PERSON.c.display_name,
        PERSON.c.legal_entity,
        cast(PERSON.c.hire_date, String),
        PERSON.c.manager_key,
        PERSON.c.manager_email,
        PERSON.c.manager_name,
        _hex(PERSON.c.manager_id),
        PERSON.c.manager_state,
        cast(PERSON.c.former_emails, String),
        PERSON.c.email_reused,
        _hex(PERSON.c.same_person_id),
        PERSON.c.kept_apart,
        PERSON.c.missing_runs,
        *_PRESENT,
    ).where(PERSON.c.tenant_id == db.tenant_id, PERSON.c.account_id == account_id)
    yield from db.connection().execute(query, execution_options={"yield_per": 2000})


def other_rows(db: Db, account_id: uuid.UUID) -> Iterator[tuple[Any, ...]]:
    """Stream the people of the tenant's other accounts, in the shape of `roster.Staging.add_others`.

    **Touches** reads person.
    """
    query = select(
        _hex(PERSON.c.id),
        PERSON.c.employee_number,
        PERSON.c.email_folded,
        PERSON.c.legal_entity,
        cast(PERSON.c.hire_date, String),
        _hex(PERSON.c.manager_id),
        cast(PERSON.c.former_emails, String),
        *_PRESENT,
    ).where(
        PERSON.c.tenant_id == db.tenant_id,
        PERSON.c.account_id != account_id,
        PERSON.c.same_person_id.is_(None),
    )
    yield from db.connection().execute(query, execution_options={"yield_per": 2000})


def stored_documents(
    db: Db, account_id: uuid.UUID, names: Iterable[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Stream fields of an account's people, in the shape of `roster.Staging.keep_withheld`.

    :param names: fields of a record; others are left out.
    **Touches** reads person.
    """
    kept = [name for name in KEPT if name in set(names)]
    query = select(Person.source_key, *(getattr(Person, name) for name in kept))
    query = query.where(Person.account_id == account_id)
    for key, *values in db.execute(query, execution_options={"yield_per": 2000}):
        yield key, _document(kept, values)


def _document(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    plain = (value.isoformat() if isinstance(value, date) else value for value in values)
    return dict(zip(names, plain, strict=True))


def filled_rows(db: Db, account_id: uuid.UUID, names: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """Stream which fields of an account's people have a value, in the shape of `roster.Staging.difference`.

    **Touches** reads person.
    """
    flags = [case((getattr(Person, name).is_(None), 0), else_=1) for name in names]
    query = select(Person.source_key, *flags)
    query = query.where(Person.account_id == account_id, Person.lifecycle != "tombstoned")
    yield from map(tuple, db.execute(query, execution_options={"yield_per": 2000}))


def _runs(account_id: uuid.UUID, *conditions: ColumnElement[bool]) -> Select[RosterRun]:
    """Select runs of an account, newest first."""
    query = select(RosterRun).where(RosterRun.account_id == account_id, *conditions)
    return query.order_by(RosterRun.started_at.desc(), RosterRun.id.desc())


def was_applied(db: Db, account_id: uuid.UUID) -> bool:
    """Tell whether a run of an account ever changed its people. **Touches** reads roster_run."""
    return db.scalars(_runs(account_id, RosterRun.status == "complete").limit(1)).first() is not None


def find_last_good_run(db: Db, account_id: uuid.UUID) -> RosterRun | None:
    """Give the newest complete run of an account that read everybody; None before the first.

    **Touches** reads roster_run.
    """
    runs = db.scalars(_runs(account_id, RosterRun.status == "complete", RosterRun.mode == "full").limit(50))
    return next((run for run in runs if "incomplete" not in run.notes), None)


def left_lately(db: Db, account_id: uuid.UUID, since: datetime) -> int:
    """Count who left in the incremental runs of an account, back to one that somebody accepted.

    **Touches** reads roster_run.
    """
    done = (RosterRun.status == "complete", RosterRun.mode == "incremental", RosterRun.started_at >= since)
    accepted = select(func.max(RosterRun.started_at)).where(
        RosterRun.account_id == account_id, RosterRun.shrink_accepted
    )
    looked_at = db.scalar(accepted)
    return sum(
        run.counts.get("deactivated", 0)
        for run in db.scalars(_runs(account_id, *done))
        if looked_at is None or run.started_at > looked_at
    )


def newest_run(db: Db, account_id: uuid.UUID) -> RosterRun | None:
    """Give the newest run that says what an account's source holds; None before the first.

    One that failed says nothing of it, and neither does a day that has come.

    **Touches** reads roster_run.
    """
    told = and_(RosterRun.status.not_in(("failed", "running")), RosterRun.mode != "dates")
    return db.scalars(_runs(account_id, told).limit(1)).first()


def is_accepted(db: Db, run: RosterRun) -> bool:
    """Tell whether somebody accepted a held run and the worker has not applied it yet.

    **Touches** reads outbox_event.
    """
    return find_pending(db, [ACCEPTED_RUN], run_id=run.id) is not None


def waits_for_a_person(db: Db, account_id: uuid.UUID, since: datetime) -> bool:
    """Tell whether days that have come are held since a moment. **Touches** reads roster_run."""
    newest = db.scalars(_runs(account_id, RosterRun.mode == "dates").limit(1)).first()
    return newest is not None and newest.status in ("held", "dropped") and newest.started_at > since


def changing_people(db: Db, account_id: uuid.UUID, last_day: date) -> Iterator[tuple[date, dict[str, Any]]]:
    """Stream people of whom a date may have come, as `stored_documents` does.

    :param last_day: the latest day that it is anywhere.
    **Touches** reads person.
    """
    query = select(Person.changes_on, *(getattr(Person, name) for name in KEPT)).where(
        Person.account_id == account_id, Person.changes_on <= last_day, Person.lifecycle != "tombstoned"
    )
    for changes_on, *values in db.execute(query, execution_options={"yield_per": 2000}):
        yield changes_on, _document(KEPT, values)


def coming_records(db: Db, account_id: uuid.UUID, last_day: date) -> Iterator[tuple[date, dict[str, Any]]]:
    """Stream records of later days that may have come, oldest first: (day, document).

    **Touches** reads roster_future.
    """
    query = select(RosterFuture.effective_on, RosterFuture.record)
    query = query.where(RosterFuture.account_id == account_id, RosterFuture.effective_on <= last_day)
    rows = db.execute(query.order_by(RosterFuture.effective_on, RosterFuture.source_key))
    yield from ((day, record) for day, record in rows)


def list_runs(db: Db, account_name: str | None = None, limit: int = 50) -> list[tuple[RosterRun, str]]:
    """List roster runs, newest first, each with its account's name.

    :param account_name: None for all accounts.
    **Touches** reads roster_run, hr_account.
    """
    query = select(RosterRun, HrAccount.name).join(HrAccount, HrAccount.id == RosterRun.account_id)
    if account_name is not None:
        query = query.where(HrAccount.name == account_name)
    query = query.order_by(RosterRun.started_at.desc(), RosterRun.id.desc()).limit(limit)
    return [(run, name) for run, name in db.execute(query)]


def roster_event(db: Db, context_id: uuid.UUID) -> OutboxEvent | None:
    """Give the event that asks for a reading of a course's members; None when none waits or is at work.

    **Touches** reads outbox_event.
    """
    return find_pending(db, [ROSTER_WANTED], context_id=context_id)


def _members_of(context_id: uuid.UUID | None, *columns: Any) -> Select[Any]:
    """Select from the LMS users who are in a course now, test users left out."""
    query = select(*columns).select_from(CourseMember)
    return query.join(LtiUser, LtiUser.id == CourseMember.lti_user_id).where(
        CourseMember.context_id == context_id, CourseMember.status != "Deleted", ~LtiUser.is_test
    )


def may_manage(roles: Roles) -> bool:
    """Tell whether roles in a course make somebody a manager there. **Touches** pure."""
    return not roles.is_test_user and (roles.is_instructor or roles.is_administrator)


def list_managers(db: Db, context_id: uuid.UUID | None) -> list[uuid.UUID | None]:
    """List who may manage in a course, as far as the course shows: administrators need not stand in it.

    :return: the person of each; None for an LMS user who is linked to nobody.
    **Touches** reads course_member, lti_user.
    """
    query = _members_of(context_id, CourseMember.roles, LtiUser.link_state, LtiUser.person_id)
    # Nearly everybody in a large course only learns; they stay in the database.
    query = query.where(CourseMember.status == "Active", cast(CourseMember.roles, String) != '["Learner"]')
    return [
        person_id if state == "confirmed" else None
        for names, state, person_id in db.execute(query)
        if may_manage(Roles(frozenset(Role("context", name) for name in names)))
    ]


def _group() -> ColumnElement[str]:
    return case(
        (LtiUser.link_state == "confirmed", "linked"),
        (LtiUser.link_state == "conflict", "conflict"),
        else_="unknown",
    )


def count_members(db: Db, context_id: uuid.UUID | None) -> dict[str, int]:
    """Count the members of a course by `GROUPS`.

    **Touches** reads course_member, lti_user.
    """
    group = _group()
    query = _members_of(context_id, group, func.count()).group_by(group)
    counts = {row[0]: row[1] for row in db.execute(query)}
    return {name: counts.get(name, 0) for name in GROUPS}


def page_of_members(
    db: Db, context_id: uuid.UUID | None, group: str, text: str, *, offset: int, limit: int
) -> tuple[list[tuple[CourseMember, LtiUser, Person | None]], int]:
    """List members of a course by the name that the LMS gives them.

    :param group: one of `GROUPS`.
    :param text: part of the name in the LMS or in the HR roster; "" for everybody.
    :return: the rows of the page, each with the person that is linked or claimed, and how many there are.
    **Touches** reads course_member, lti_user, person.
    """
    person_id = func.coalesce(LtiUser.person_id, LtiUser.claimed_person_id)

    def chosen(*columns: Any) -> Select[Any]:
        query = _members_of(context_id, *columns)
        query = query.outerjoin(Person, Person.id == person_id).where(_group() == group)
        if text:
            named = or_(
                LtiUser.name.icontains(text, autoescape=True),
                Person.display_name.icontains(text, autoescape=True),
            )
            query = query.where(named)
        return query

    rows = chosen(CourseMember, LtiUser, Person).order_by(func.lower(LtiUser.name), LtiUser.id)
    found = [(row[0], row[1], row[2]) for row in db.execute(rows.offset(offset).limit(limit))]
    return found, db.scalar(chosen(func.count())) or 0


def get_member(
    db: Db, context_id: uuid.UUID | None, lti_user_id: uuid.UUID
) -> tuple[CourseMember, LtiUser, Person | None]:
    """Give a member of a course, whatever their status, with the person that is linked or claimed.

    :raises NotFoundError: nobody of that id is or was in the course, or it is a test user.
    **Touches** reads course_member, lti_user, person.
    """
    person_id = func.coalesce(LtiUser.person_id, LtiUser.claimed_person_id)
    query = (
        select(CourseMember, LtiUser, Person)
        .join(LtiUser, LtiUser.id == CourseMember.lti_user_id)
        .outerjoin(Person, Person.id == person_id)
        .where(CourseMember.context_id == context_id, LtiUser.id == lti_user_id, ~LtiUser.is_test)
    )
    row = db.execute(query).one_or_none()
    if row is None:
        raise NotFoundError("member of this course")
    return row[0], row[1], row[2]


def is_member(db: Db, context_id: uuid.UUID | None, lti_user_id: uuid.UUID) -> bool:
    """Tell whether an LMS user is, or once was, in a course. **Touches** reads course_member."""
    query = select(CourseMember.id).where(
        CourseMember.context_id == context_id, CourseMember.lti_user_id == lti_user_id
    )
    return db.execute(query).first() is not None


def claimants_of(
    db: Db, platform_id: uuid.UUID, person_ids: set[uuid.UUID]
) -> dict[uuid.UUID, list[LtiUser]]:
    """Give the users of a platform who are, or claim to be, some people, those who are linked first.

    **Touches** reads lti_user.
    """
    query = select(LtiUser).where(
        LtiUser.platform_id == platform_id,
        or_(LtiUser.person_id.in_(person_ids), LtiUser.claimed_person_id.in_(person_ids)),
    )
    found: dict[uuid.UUID, list[LtiUser]] = {}
    for user in db.scalars(query.order_by(LtiUser.person_id.is_(None), LtiUser.id)):
        person_id = user.person_id or user.claimed_person_id
        assert person_id is not None
        found.setdefault(person_id, []).append(user)
    return found


def others_claiming(db: Db, user: LtiUser, person: Person) -> list[LtiUser]:
    """Give the other users of a user's platform who are, or claim to be, a person, as `claimants_of` does.

    **Touches** reads lti_user.
    """
    claimants = claimants_of(db, user.platform_id, {person.id}).get(person.id, [])
    return [other for other in claimants if other.id != user.id]


def find_working(db: Db, text: str) -> list[Person]:
    """Find who is at work and has exactly this employee number or work address; two are enough to know.

    **Touches** reads person.
    """
    text = text.strip()
    fits = or_(Person.employee_number == text, Person.email_folded == text.casefold())
    query = select(Person).where(CAN_TAKE_PART, fits)
    return list(db.scalars(query.order_by(Person.id).limit(2)))
