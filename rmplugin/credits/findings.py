"""Reads about the comparison of gradebooks with the ledger."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from rmplugin.credits.differences import CLASSES, KINDS, REPAIRED
from rmplugin.credits.models import GradeComparison, GradeDifference
from rmplugin.db import Db
from rmplugin.people.models import CourseMember, LtiUser, Person
from rmplugin.programmes.models import Programme
from rmplugin.tenants.models import LtiContext, LtiPlatform
from rmplugin.texts import Text

# Lines of a comparison on the page of a programme; the command gives them all.
MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Compared:
    """The last comparison, as a programme's manager sees it.

    :ivar lines: (difference, person); person is None where it is about a column.
    :ivar more: how many differences are not among the lines.
    """

    comparison: GradeComparison
    lines: Sequence[tuple[GradeDifference, Person | None]]
    more: int


def words_of(difference: GradeDifference) -> Text:
    """Say what was found and what became of it. **Touches** pure."""
    words = KINDS | REPAIRED if difference.repaired else REPAIRED | KINDS
    return words[difference.kind]


def seats_of(
    db: Db, context_id: uuid.UUID, people: Collection[uuid.UUID]
) -> dict[uuid.UUID, tuple[str, uuid.UUID | None]]:
    """Give the LMS user of people of a course, and the link to which their grade goes.

    The choice is that of `columns.find_place`.
    **Touches** reads course_member, lti_user.
    """
    query = (
        select(LtiUser.person_id, LtiUser.sub, CourseMember.graded_link_id)
        .join(CourseMember, CourseMember.lti_user_id == LtiUser.id)
        .where(
            CourseMember.context_id == context_id,
            LtiUser.person_id.in_(people),
            LtiUser.link_state == "confirmed",
        )
        .order_by((CourseMember.status == "Active").desc(), CourseMember.last_launch_at.desc().nulls_last())
    )
    seats: dict[uuid.UUID, tuple[str, uuid.UUID | None]] = {}
    for person_id, sub, link_id in db.execute(query).all():
        if person_id is not None and person_id not in seats:
            seats[person_id] = (sub, link_id)
    return seats


def differences_of(db: Db, context_id: uuid.UUID) -> Sequence[GradeDifference]:
    """List what the last comparison found in a course. **Touches** reads grade_difference."""
    return db.scalars(select(GradeDifference).where(GradeDifference.context_id == context_id)).all()


def compared(db: Db, programme: Programme) -> Compared | None:
    """Give the last comparison of a programme's course; what is left to people comes first.

    :return: None before the first.
    **Touches** reads grade_comparison, grade_difference, person, lti_context.
    """
    query = select(GradeComparison).join(LtiContext, LtiContext.platform_id == GradeComparison.platform_id)
    comparison = db.scalars(query.where(LtiContext.id == programme.context_id)).one_or_none()
    if comparison is None:
        return None
    lines = (
        select(GradeDifference, Person)
        .outerjoin(Person, Person.id == GradeDifference.person_id)
        .where(
            GradeDifference.context_id == programme.context_id,
            GradeDifference.programme_id.is_(None) | (GradeDifference.programme_id == programme.id),
        )
        .order_by(GradeDifference.repaired, GradeDifference.kind, Person.display_name, GradeDifference.id)
    )
    rows = [(difference, person) for difference, person in db.execute(lines)]
    return Compared(comparison, rows[:MOST_SHOWN], max(0, len(rows) - MOST_SHOWN))


def report(db: Db, comparison: GradeComparison, differences: Sequence[GradeDifference]) -> dict[str, Any]:
    """Give the document of ``credits reconcile --json``.

    **Touches** reads lti_platform, lti_context, programme, person.
    """
    courses = {row.id: row.title or row.context_id for row in db.scalars(select(LtiContext))}
    programmes = {row.id: row.name for row in db.scalars(select(Programme))}
    named = {one.person_id for one in differences if one.person_id}
    people = {
        row.id: row.employee_number or str(row.id)
        for row in (db.scalars(select(Person).where(Person.id.in_(named))) if named else [])
    }
    return {
        "platform": db.get_one(LtiPlatform, comparison.platform_id).name,
        "compared_at": comparison.compared_at.isoformat(),
        "people": {name: comparison.people.get(name, 0) for name in CLASSES},
        "differences": [
            {
                "course": courses.get(one.context_id),
                "programme": programmes.get(one.programme_id) if one.programme_id else None,
                "person": people.get(one.person_id) if one.person_id else None,
                "kind": one.kind,
                "repaired": one.repaired,
                "ours": one.ours,
                "theirs": one.theirs,
                "times": one.times,
                "says": str(words_of(one)),
            }
            for one in differences
        ],
    }
