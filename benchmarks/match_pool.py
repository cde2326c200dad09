"""A programme with very many people in its pool, and a run over all of them, in a database of its own."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import select

from benchmarks.rows import write_rows
from rmplugin import migrations
from rmplugin.db import new_id
from rmplugin.jobs import Runtime
from rmplugin.matching import operations, rule_sets, tasks
from rmplugin.people.models import Person, PersonSkill, Profile, Skill
from rmplugin.programmes.models import Enrolment, Programme, ProgrammeSkill
from rmplugin.settings import Settings
from rmplugin.tenants.models import HrAccount, Tenant
from rmplugin.tenants.operations import ensure_tenant
from rmplugin.wiring import make_runtime
from tests.factories.programmes import make_programme

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SKILLS = 300
# Most speak English; few speak nothing but Welsh, and hardly anybody of those teaches.
LANGUAGES = (["en"],) * 12 + (["en", "de"],) * 4 + (["de"],) * 3 + (["fr"],) * 2 + (["cy"],)
ZONES = ("Europe/Berlin", "Europe/London", "America/New_York", "Asia/Singapore")


@dataclass
class Company:
    """A tenant whose programme has `count` mentees and nine tenths as many mentors in its pool."""

    runtime: Runtime
    tenant: Tenant
    programme: Programme
    count: int

    def run(self, **changes: Any) -> uuid.UUID:
        """Compute a matching of everybody, by rules changed so much."""
        with self.runtime.database.transaction(self.tenant.id) as db:
            if changes:
                row = rule_sets.draft(db, self.programme, changes, "command", NOW)
                rule_sets.make_live(db, row, "command", NOW)
            run_id = operations.start_run(db, self.programme, "command", NOW).id
        tasks.run(self.runtime, self.tenant.id, run_id)
        return run_id


def open_runtime(folder: Path, url: str | None = None) -> Runtime:
    """Open a database under a folder; `url` names another one."""
    settings = Settings(
        data_dir=folder,
        database_url=url or f"sqlite:///{folder / 'desk.sqlite3'}",
        queue_url=f"sqlite:///{folder / 'queue.sqlite3'}",
        public_url="http://localhost:5000",
        secret_key=Fernet.generate_key().decode(),
        smtp_url=None,
        log_format="text",
        trusted_proxies=0,
    )
    runtime = make_runtime(settings, clock=lambda: NOW)
    migrations.upgrade(runtime.database.engine)
    return runtime


def make_company(runtime: Runtime, count: int, seed: int = 5) -> Company:
    """Write a company in which everybody is enrolled: few statements, however many people."""
    chance = random.Random(seed)
    with runtime.database.transaction(None) as db:
        tenant = ensure_tenant(db, "acme", "Acme", NOW)
    with runtime.database.transaction(tenant.id) as db:
        programme = make_programme(db)
        account = HrAccount(
            name="hr", connector="csv_file", settings={}, secrets_locked=None, grade_ranks={}, cursor=None,
            created_at=NOW,
        )  # fmt: skip
        db.add(account)
        skills = [Skill(name=f"Subject {k:03d}", kind="skill", theme="technology") for k in range(SKILLS)]
        db.add_all(skills)
        db.flush()
        db.add_all(ProgrammeSkill(programme_id=programme.id, skill_id=skill.id) for skill in skills)
        db.flush()
        people = list(_people(account.id, count, chance))
        # Every tenth colleague of the juniors is not enrolled.
        enrolled = [one for number, one in enumerate(people) if number < count or number % 10]
        names = db.scalars(select(Skill.id).where(Skill.name.like("Subject %")).order_by(Skill.name)).all()
        write_rows(db, Person, people)
        write_rows(db, Profile, (_profile(one["id"], chance) for one in people))
        write_rows(db, PersonSkill, _skills(people, list(names), chance))
        write_rows(db, Enrolment, (_enrolment(programme.id, one, chance) for one in enrolled))
    return Company(runtime, tenant, programme, count)


def _people(account_id: uuid.UUID, count: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    leaders = [new_id() for _ in range(count)]
    for number in range(2 * count):
        senior = number < count
        manager = leaders[(number - 1) // 8] if senior and number else None
        if not senior:
            manager = leaders[chance.randrange(count)]
        name = f"{'Senior' if senior else 'Junior'} Number{number:05d}"
        yield {
            "id": leaders[number] if senior else new_id(),
            "account_id": account_id,
            "source_key": f"key-{number}",
            "employee_number": f"{number:06d}",
            "former_emails": [],
            "email_reused": False,
            "display_name": name,
            "job_title": "Vice President" if senior else "Analyst",
            "seniority_rank": chance.randrange(60, 95) if senior else chance.randrange(8, 25),
            "department": f"Department {chance.randrange(40):02d}",
            "location": f"Site {chance.randrange(20):02d}",
            "time_zone": "Europe/Berlin",
            "manager_id": manager,
            "manager_state": "resolved" if manager else "none",
            "status": "active",
            "hire_date": date(2026, 10, 1) - timedelta(days=chance.randrange(6000 if senior else 1500)),
            "languages": ["en"],
            "skills": [],
            "employments": [],
            "lifecycle": "present",
            "missing_runs": 0,
            "kept_apart": False,
            "row_hash": "0" * 64,
            "seen_at": NOW,
            "created_at": NOW,
            "updated_at": NOW,
        }


def _profile(person_id: uuid.UUID, chance: random.Random) -> dict[str, Any]:
    return {
        "person_id": person_id,
        "languages": chance.choice(LANGUAGES),
        "work_days": [0, 1, 2, 3, 4],
        "work_from_minute": 9 * 60,
        "work_to_minute": 17 * 60,
        "time_zone": chance.choice(ZONES),
        "interests": [],
        "topics": {},
        "updated_at": NOW,
    }


def _skills(
    people: list[dict[str, Any]], names: list[uuid.UUID], chance: random.Random
) -> Iterator[dict[str, Any]]:
    # Few subjects are known and wanted by many, most by few.
    weights = [1 / (rank + 3) for rank in range(len(names))]
    for number, person in enumerate(people):
        senior = number < len(people) // 2
        offers, wants = (1, chance.randrange(1, 3)) if senior else (chance.randrange(1, 4), 1)
        for direction, count in (("offered", offers), ("wanted", wants)):
            for skill in set(chance.choices(names, weights, k=count)):
                yield {
                    "person_id": person["id"],
                    "skill_id": skill,
                    "direction": direction,
                    "level": chance.randrange(1, 5),
                    "priority": chance.randrange(1, 4) if direction == "wanted" else None,
                }


def _enrolment(programme_id: uuid.UUID, person: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    return {
        "programme_id": programme_id,
        "person_id": person["id"],
        "role": "mentee" if person["job_title"] == "Vice President" else "mentor",
        "state": "submitted",
        "capacity": 1,
        "motivation_level": chance.randrange(1, 6),
        "source": "self",
        "active_pairings": 0,
        "created_at": NOW,
        "updated_at": NOW,
        "submitted_at": NOW,
    }
