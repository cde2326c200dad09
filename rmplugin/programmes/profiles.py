"""What people say about themselves at enrolment, written down."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.people.models import PersonSkill, Profile
from rmplugin.programmes.answers import BOUNDARIES, DAYS, TOPICS, Answers
from rmplugin.programmes.models import Enrolment, Programme, ProgrammeSkill
from rmplugin.texts import Text


def save_answers(db: Db, programme: Programme, enrolment: Enrolment, answers: Answers, now: datetime) -> None:
    """Write somebody's answers down, without asking whether they may give them.

    **Touches** writes enrolment, profile, person_skill.
    """
    enrolment.capacity = answers.capacity
    enrolment.motivation_level, enrolment.motivation = answers.motivation_level, answers.motivation
    enrolment.updated_at = now
    profile = find_profile(db, enrolment.person_id)
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


@dataclass(frozen=True, slots=True)
class PartnerView:
    """What somebody's partner reads about them.

    :ivar hours: "09:00 - 17:00" in `time_zone`.
    :ivar topics: key of `answers.BOUNDARIES` -> topics in words.
    """

    interests: Sequence[str]
    languages: Sequence[str]
    days: Sequence[Text]
    hours: str
    time_zone: str
    topics: Mapping[str, Sequence[Text]]
    closed_topics: str | None


def find_profile(db: Db, person_id: uuid.UUID) -> Profile | None:
    """Find what a person said about themselves; None before their first answer.

    **Touches** reads profile.
    """
    return db.scalars(select(Profile).where(Profile.person_id == person_id)).one_or_none()


def view_for_partner(profile: Profile | None, name_language: Callable[[str], str]) -> PartnerView | None:
    """Put a profile into the words that a partner reads.

    :param name_language: names an ISO 639-1 code.
    **Touches** pure.
    """
    if profile is None:
        return None
    topics: dict[str, list[Text]] = {key: [] for key in BOUNDARIES}
    for key, words in TOPICS.items():
        topics[profile.topics.get(key, "ask")].append(words)
    return PartnerView(
        profile.interests,
        [name_language(code) for code in profile.languages],
        [DAYS[day] for day in profile.work_days],
        f"{clock(profile.work_from_minute)} – {clock(profile.work_to_minute)}",
        profile.time_zone,
        topics,
        profile.closed_topics,
    )


def clock(minute: int) -> str:
    """Write minutes after midnight as a time. **Touches** pure."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def change_about(
    db: Db,
    person_id: uuid.UUID,
    interests: Sequence[str],
    topics: Mapping[str, str],
    closed_topics: str,
    now: datetime,
) -> None:
    """Change what a partner reads; it never leads to a match, so it may change at any time.

    :raises NotFoundError: the person has not enrolled anywhere yet.
    **Touches** writes profile.
    """
    profile = find_profile(db, person_id)
    if profile is None:
        raise NotFoundError("profile")
    profile.interests, profile.topics = list(interests), dict(topics)
    profile.closed_topics, profile.updated_at = closed_topics or None, now
