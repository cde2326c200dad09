"""Reads about the catalogue of skills."""

import uuid
from collections.abc import Sequence

from sqlalchemy import ColumnElement, case, func, select

from rmplugin.db import Db
from rmplugin.people.models import Skill
from rmplugin.programmes.models import ProgrammeSkill

FOUND_SHOWN = 25


def count_by_scheme(db: Db) -> dict[str, int]:
    """Count the skills of each catalogue, by its name.

    **Touches** reads skill.
    """
    query = select(Skill.scheme, func.count(Skill.id)).group_by(Skill.scheme).order_by(Skill.scheme)
    return {row[0]: row[1] for row in db.execute(query)}


def _has(words: Sequence[str]) -> list[ColumnElement[bool]]:
    return [func.lower(Skill.name).contains(word.lower(), autoescape=True) for word in words]


def search(db: Db, programme_id: uuid.UUID, text: str) -> list[Skill]:
    """Find skills that a programme does not have yet, by parts of their names, those that begin so first.

    :param text: words that must all be in the name; "" finds nothing.
    **Touches** reads skill, programme_skill.
    """
    words = text.split()
    if not words:
        return []
    here = select(ProgrammeSkill.skill_id).where(ProgrammeSkill.programme_id == programme_id)
    begins = func.lower(Skill.name).startswith(text.strip().lower(), autoescape=True)
    query = select(Skill).where(*_has(words), Skill.id.not_in(here))
    query = query.order_by(case((begins, 0), else_=1), func.length(Skill.name), Skill.name, Skill.id)
    return list(db.scalars(query.limit(FOUND_SHOWN)))
