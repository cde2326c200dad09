"""Rows of people: HR accounts, persons, skills."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import select

from rmplugin.db import Db
from rmplugin.people.models import Person, Skill
from rmplugin.tenants.models import HrAccount

_number = itertools.count(1)
BEGINNING = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


def make_account(db: Db, name: str = "hr", **fields: Any) -> HrAccount:
    """Give the account of that name, made if need be."""
    account = db.scalars(select(HrAccount).where(HrAccount.name == name)).one_or_none()
    if account is None:
        values = {
            "connector": "csv_file",
            "settings": {},
            "secrets_locked": None,
            "grade_ranks": {},
            "cursor": None,
        }
        values["created_at"] = BEGINNING
        account = HrAccount(name=name, **(values | fields))
        db.add(account)
        db.flush()
    return account


def make_person(db: Db, account: HrAccount | None = None, **fields: Any) -> Person:
    """Make a working person; every one has a number, a name and an address of their own."""
    account = account or make_account(db)
    count = next(_number)
    number = fields.pop("employee_number", f"{count:06d}")
    given, family = fields.pop("given_name", f"Given{count}"), fields.pop("family_name", f"Family{count}")
    email = fields.pop("email", f"person{count}@example.com")
    values: dict[str, Any] = dict.fromkeys(
        (
            "preferred_name", "division", "cost_center", "location", "city", "country", "manager_key",
            "manager_email", "manager_name", "manager_id", "status_raw", "termination_date", "level",
            "legal_entity",
        )
    )  # fmt: skip
    values |= {
        "account_id": account.id,
        "source_key": f"key-{count}",
        "employee_number": number,
        "user_name": number,
        "email": email,
        "email_folded": email.casefold() if email else None,
        "given_name": given,
        "family_name": family,
        "display_name": f"{given} {family}",
        "job_title": "Analyst",
        "grade": "G3",
        "seniority_rank": 16,
        "department": "Finance",
        "time_zone": "Europe/Berlin",
        "manager_state": "none",
        "employment_type": "employee",
        "status": "active",
        "hire_date": date(2020, 1, 6),
        "languages": ["en"],
        "lifecycle": "present",
        "row_hash": "0" * 64,
        "seen_at": BEGINNING,
        "created_at": BEGINNING,
        "updated_at": BEGINNING,
    }
    person = Person(**(values | fields))
    db.add(person)
    db.flush()
    return person


def make_leader(db: Db, account: HrAccount | None = None, **fields: Any) -> Person:
    """Make somebody senior, in a department of their own."""
    senior = {"grade": "G10", "seniority_rank": 80, "job_title": "Vice President", "department": "Sales"}
    return make_person(db, account, **(senior | fields))


def make_skill(db: Db, name: str, kind: str = "skill", theme: str = "technology") -> Skill:
    """Give the skill of that name, made if need be."""
    skill = db.scalars(select(Skill).where(Skill.name == name)).one_or_none()
    if skill is None:
        skill = Skill(name=name, kind=kind, theme=theme)
        db.add(skill)
        db.flush()
    return skill
