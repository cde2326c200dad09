"""Rows of programmes: a programme in a course, people enrolled in it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date
from typing import Any

from rmplugin.db import Db
from rmplugin.people.models import Person
from rmplugin.programmes import operations, queries
from rmplugin.programmes.answers import Answers
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.tenants.models import LtiContext, LtiPlatform
from tests.factories.people import BEGINNING

OFFER, WANT = "Generative AI tools", "Company strategy"


def make_context(db: Db, title: str = "Reverse mentoring 2027") -> LtiContext:
    """Make a course on a platform of its own."""
    key = uuid.uuid4().hex[:8]
    platform = LtiPlatform(
        name=f"lms-{key}",
        issuer=f"https://{key}.example",
        client_id=key,
        auth_url=f"https://{key}.example/auth",
        token_url=f"https://{key}.example/token",
        jwks_url=f"https://{key}.example/jwks",
        token_audience=None,
        family="generic",
        employee_number_params=["employee_number"],
        created_at=BEGINNING,
    )
    db.add(platform)
    db.flush()
    context = LtiContext(
        platform_id=platform.id, deployment_id="1", context_id=key, title=title, memberships_url=None,
        last_launch_at=BEGINNING,
    )  # fmt: skip
    db.add(context)
    db.flush()
    return context


def make_programme(
    db: Db, context: LtiContext | None = None, template: str = "digital_fluency", **values: Any
) -> Programme:
    """Create a programme from a template; it takes people in, unless `state` says otherwise."""
    state = values.pop("state", "enrolling")
    given = {"starts_on": date(2026, 12, 7), "ends_on": date(2027, 6, 4)} | values
    programme = operations.create_programme(
        db, template, given, "command", BEGINNING, context.id if context else None
    )
    programme.state = state
    db.flush()
    return programme


def make_answers(db: Db, programme: Programme, **fields: Any) -> Answers:
    """Give complete answers: one offer, one want, English, nine to five in Berlin.

    :param fields: of `Answers`; `offers` and `wants` may name skills by name.
    """
    ids = {skill.name: skill.id for skill in queries.skills_of_programme(db, programme.id)}
    offers: Mapping[Any, int] = fields.pop("offers", {OFFER: 3})
    wants: Mapping[Any, tuple[int, int]] = fields.pop("wants", {WANT: (2, 1)})
    complete: dict[str, Any] = {
        "offers": {ids.get(skill, skill): level for skill, level in offers.items()},
        "wants": {ids.get(skill, skill): want for skill, want in wants.items()},
        "languages": ["en"],
        "time_zone": "Europe/Berlin",
        "motivation_level": 4,
        "motivation": "I look forward to it.",
        "consent": True,
    }
    return Answers(**(complete | fields))


def enrol(db: Db, programme: Programme, person: Person, now=BEGINNING, **fields: Any) -> Enrolment:
    """Let a person submit complete answers; `fields` as in `make_answers`."""
    return operations.submit_enrolment(db, programme, person.id, make_answers(db, programme, **fields), now)
