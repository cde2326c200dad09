"""Reads about persons."""

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import ColumnElement, and_, func, select

from rmplugin.db import Db
from rmplugin.errors import ConflictError, NotFoundError
from rmplugin.people.models import LEFT, Person, Profile, RosterRun
from rmplugin.tenants.models import HrAccount

WORKING = and_(Person.lifecycle == "present", Person.status.not_in(LEFT))


def find_person(db: Db, reference: str) -> Person:
    """Find a person by what an administrator types: our id, an employee number or a work address.

    :raises NotFoundError: nobody fits.
    :raises ConflictError: more than one person fits.
    **Touches** reads person.
    """
    text = reference.strip()
    conditions: list[ColumnElement[bool]] = [
        Person.employee_number == text,
        Person.email_folded == text.casefold(),
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
    raise NotFoundError("person")


def reporting_map(db: Db) -> dict[uuid.UUID, uuid.UUID]:
    """Give the manager of every present person who has one, for keeping reporting lines out of pairs.

    :return: person's id -> manager's id; free of cycles.
    **Touches** reads person.
    """
    query = select(Person.id, Person.manager_id).where(
        Person.lifecycle == "present", Person.manager_id.is_not(None)
    )
    return {row.id: row.manager_id for row in db.execute(query)}


def display_names(db: Db, person_ids: set[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Give the names by which people are shown.

    :return: a name per id that this tenant has; people who left included.
    **Touches** reads person.
    """
    names: dict[uuid.UUID, str] = {}
    ordered = sorted(person_ids)
    for start in range(0, len(ordered), 500):
        query = select(Person.id, Person.display_name).where(Person.id.in_(ordered[start : start + 500]))
        names.update((row.id, row.display_name) for row in db.execute(query))
    return names


def zone_of(db: Db, person_id: uuid.UUID) -> str:
    """Give a person's time zone: what they said themselves, else what HR says, else UTC.

    :return: IANA name that this machine knows.
    **Touches** reads profile, person.
    """
    own = select(Profile.time_zone).where(Profile.person_id == person_id)
    from_hr = select(Person.time_zone).where(Person.id == person_id)
    for name in (db.scalar(own), db.scalar(from_hr)):
        if name and is_zone(name):
            return name
    return "UTC"


def is_zone(name: str) -> bool:
    """Tell whether this machine knows a time zone of that name. **Touches** reads the zone data."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def known_rows(db: Db, account_id: uuid.UUID) -> Iterator[tuple[Any, ...]]:
    """Stream what a roster run compares with, in the shape of `roster.Staging.add_known`.

    **Touches** reads person.
    """
    manager_ref = func.coalesce(Person.manager_key, Person.manager_email, Person.manager_name, "")
    query = select(
        Person.source_key,
        Person.id,
        Person.row_hash,
        Person.employee_number,
        Person.email_folded,
        Person.display_name,
        manager_ref,
        Person.manager_id,
        Person.manager_state,
        Person.lifecycle,
        Person.status,
    ).where(Person.account_id == account_id)
    for *head, manager, state, lifecycle, status in db.execute(query, execution_options={"yield_per": 2000}):
        head[1] = head[1].hex
        present = lifecycle == "present"
        working = present and status not in LEFT
        yield (*head, manager.hex if manager else None, state, present, working)


def find_last_good_run(db: Db, account_id: uuid.UUID) -> RosterRun | None:
    """Give the newest complete run of an account; None before the first.

    **Touches** reads roster_run.
    """
    query = (
        select(RosterRun)
        .where(RosterRun.account_id == account_id, RosterRun.status == "complete", RosterRun.mode == "full")
        .order_by(RosterRun.started_at.desc(), RosterRun.id.desc())
        .limit(1)
    )
    return db.scalars(query).one_or_none()


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
