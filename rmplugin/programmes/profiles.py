"""What people say about themselves at enrolment, written down."""

import uuid
from datetime import datetime

from sqlalchemy import select

from rmplugin.db import Db
from rmplugin.people.models import PersonSkill, Profile
from rmplugin.programmes.answers import Answers
from rmplugin.programmes.models import Enrolment, Programme, ProgrammeSkill


def save_answers(db: Db, programme: Programme, enrolment: Enrolment, answers: Answers, now: datetime) -> None:
    """Write somebody's answers down, without asking whether they may give them.

    **Touches** writes enrolment, profile, person_skill.
    """
    enrolment.capacity = answers.capacity
    enrolment.motivation_level, enrolment.motivation = answers.motivation_level, answers.motivation
    enrolment.updated_at = now
    profile = db.scalars(select(Profile).where(Profile.person_id == enrolment.person_id)).one_or_none()
    if profile is None:
        profile = Profile(person_id=enrolment.person_id)
        db.add(profile)
    profile.languages, profile.work_days = list(answers.languages), list(answers.work_days)
    profile.work_from_minute, profile.work_to_minute = answers.work_from_minute, answers.work_to_minute
    profile.time_zone, profile.updated_at = answers.time_zone, now
    if answers.interests is not None:
        profile.interests = list(answers.interests)
    if answers.topics is not None:
        profile.topics, profile.closed_topics = dict(answers.topics), answers.closed_topics or None
    _save_skills(db, programme, enrolment.person_id, answers)


def _save_skills(db: Db, programme: Programme, person_id: uuid.UUID, answers: Answers) -> None:
    """Replace what the person said about this programme's skills; other programmes' answers stay."""
    here = set(db.scalars(select(ProgrammeSkill.skill_id).where(ProgrammeSkill.programme_id == programme.id)))
    told: dict[tuple[uuid.UUID, str], tuple[int, int | None]] = {}
    for skill_id, level in answers.offers.items():
        told[skill_id, "offered"] = (level, None)
    for skill_id, (level, priority) in answers.wants.items():
        told[skill_id, "wanted"] = (level, priority)
    for row in db.scalars(select(PersonSkill).where(PersonSkill.person_id == person_id)):
        if row.skill_id not in here:
            continue
        answer = told.pop((row.skill_id, row.direction), None)
        if answer is None:
            db.delete(row)
        else:
            row.level, row.priority = answer
    for (skill_id, direction), (reached, wish) in told.items():
        if skill_id in here:
            db.add(
                PersonSkill(
                    person_id=person_id,
                    skill_id=skill_id,
                    direction=direction,
                    level=reached,
                    priority=wish,
                )
            )
    db.flush()
