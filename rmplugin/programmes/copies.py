"""A course that was copied in the LMS: its manager takes the programme over, or starts afresh."""

import re
import uuid
from datetime import datetime
from itertools import count

from sqlalchemy import select

from rmplugin import audit
from rmplugin.db import Db
from rmplugin.errors import ConflictError
from rmplugin.programmes.catalogue import NAME_LENGTH
from rmplugin.programmes.models import Programme, ProgrammeSkill
from rmplugin.programmes.queries import programme_of_course
from rmplugin.tenants.models import LtiContext

# What a copy does not share with its original.
OWN = {
    *("id", "tenant_id", "context_id", "name", "state", "starts_on", "ends_on", "created_by", "created_at"),
    *("opened_at", "sign_up_until"),
}


def find_original(db: Db, context_id: uuid.UUID | None) -> Programme | None:
    """Find the programme that a copied course could take over: of the nearest original that has one.

    :param context_id: of the course that may be a copy; None for a launch outside a course.
    :return: None when the course is no copy, has a programme of its own, or its manager has chosen already.
    **Touches** reads lti_context, programme.
    """
    context = db.get(LtiContext, context_id) if context_id is not None else None
    if context is None or not context.history or context.copy_state is not None:
        return None
    if programme_of_course(db, context.id) is not None:
        return None
    query = select(LtiContext).where(
        LtiContext.platform_id == context.platform_id,
        LtiContext.context_id.in_(context.history),
        LtiContext.id != context.id,
    )
    originals = sorted(db.scalars(query), key=lambda original: context.history.index(original.context_id))
    found = (programme_of_course(db, original.id, ended_too=True) for original in originals)
    return next((programme for programme in found if programme is not None), None)


def carry_over(db: Db, context_id: uuid.UUID | None, actor: str, now: datetime) -> Programme:
    """Take the settings of the original's programme over into a copied course; decided once.

    Settings, topics and skills are copied into a draft with new dates. People, pairs and grades stay where
    they are.

    :param context_id: see `find_original`.
    :return: the new draft.
    :raises ConflictError: somebody decided already, or there is nothing to take over any more.
    **Touches** writes lti_context, programme, programme_skill, audit_entry.
    """
    context, original = _decide(db, context_id, "carried", actor, now)
    kept = {name: getattr(original, name) for name in set(Programme.__table__.columns.keys()) - OWN}
    known = {name.lower() for name in db.scalars(select(Programme.name))}
    first = re.sub(r" \(\d+\)$", "", original.name)
    names = (_numbered(first, number) for number in count(2))
    programme = Programme(
        **kept,
        context_id=context.id,
        name=next(name for name in names if name.lower() not in known),
        state="draft",
        starts_on=now.date(),
        ends_on=now.date() + (original.ends_on - original.starts_on),
        created_by=actor,
        created_at=now,
    )
    db.add(programme)
    db.flush()
    skills = db.scalars(select(ProgrammeSkill.skill_id).where(ProgrammeSkill.programme_id == original.id))
    db.add_all(ProgrammeSkill(programme_id=programme.id, skill_id=skill_id) for skill_id in skills.all())
    audit.record(db, actor, "programme.create", programme.id, now, template=programme.template)
    return programme


def _numbered(name: str, number: int) -> str:
    """Put a number behind a name; a long name loses its end, as the settings page takes no longer one."""
    ending = f" ({number})"
    return name[: NAME_LENGTH - len(ending)].rstrip() + ending


def start_afresh(db: Db, context_id: uuid.UUID | None, actor: str, now: datetime) -> None:
    """Leave the original's programme alone; the copied course is not asked again.

    :raises ConflictError: see `carry_over`.
    **Touches** writes lti_context, audit_entry.
    """
    _decide(db, context_id, "fresh", actor, now)


def _decide(
    db: Db, context_id: uuid.UUID | None, choice: str, actor: str, now: datetime
) -> tuple[LtiContext, Programme]:
    context = db.get(LtiContext, context_id, with_for_update=True) if context_id is not None else None
    original = find_original(db, context_id)
    if context is None or original is None:
        raise ConflictError(
            "already_decided", "This has been decided already, or the original is gone. Nothing was changed."
        )
    context.copy_state = choice
    audit.record(db, actor, f"course_copy.{choice}", context.id, now, original=str(original.id))
    return context, original
