"""The place that a grade goes to: the gradebook column of a person in the course of their programme."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from lti.ags import SCOPE_SCORE
from rmplugin.credits.models import Delivery
from rmplugin.db import Db, chunks
from rmplugin.people.models import CourseMember, LtiUser
from rmplugin.programmes.models import Programme
from rmplugin.tenants.models import LtiContext, LtiResourceLink
from rmplugin.tenants.queries import may_make_column
from rmplugin.texts import Text

NO_COLUMN = Text(
    "The activity has no column in the gradebook of your course. Ask the people who run the course to switch "
    "grades on for it, then open the activity again."
)
# A course, None where a programme is not open in one yet; and a person.
Whose = tuple[uuid.UUID | None, uuid.UUID]
# What a grade's place depends on.
MEMBER = (
    CourseMember.context_id,
    CourseMember.lti_user_id,
    CourseMember.status,
    CourseMember.roles,
    CourseMember.is_learner,
    CourseMember.last_launch_at,
    CourseMember.graded_link_id,
    LtiUser.sub,
    LtiContext.platform_id,
    LtiContext.deployment_id,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a person's grade goes.

    :param platform_id: our id of the registration; None when there is no place.
    :param user_id: the person's id on the LMS.
    :param deployment_id: of the course, for calls on its behalf.
    :param line_item_url: the gradebook column; None when the tool has to make it first, or there is no place.
    :param link_id: the link whose column it is.
    :param problem: why there is no place and what to do; None when there is one.
    """

    platform_id: uuid.UUID | None = None
    deployment_id: str | None = None
    user_id: str | None = None
    line_item_url: str | None = None
    link_id: uuid.UUID | None = None
    problem: str | None = None


def find_place(db: Db, programme: Programme, person_id: uuid.UUID) -> Place:
    """Find the gradebook column for a person in the programme's course; see `find_places`."""
    return find_places(db, [(programme, person_id)])[programme.id, person_id]


def find_places(
    db: Db, wanted: Collection[tuple[Programme, uuid.UUID]]
) -> dict[tuple[uuid.UUID, uuid.UUID], Place]:
    """Find the gradebook columns of people in the courses of their programmes.

    :param wanted: (programme, person).
    :return: (programme, person) -> the place; a `Place` with only `problem` where there is none.
    **Touches** reads course_member, lti_user, lti_resource_link, lti_context, delivery, programme.
    """
    members = _find_members(db, wanted)
    others = _find_others(db, wanted)
    ids = {member.graded_link_id for member in members.values()} - {None}
    query = select(LtiResourceLink)
    links = {
        row.id: row for some in chunks(ids) for row in db.scalars(query.where(LtiResourceLink.id.in_(some)))
    }
    places = {}
    for programme, person_id in wanted:
        whose = (programme.context_id, person_id)
        member: Any = members.get(whose)
        holder = _holder_of(programme, others[whose])
        problem = _why_no_grade(programme.context_id, member)
        if problem is None and holder is not None:
            problem = _why_anothers(programme, holder)
        place = Place(problem=problem) if problem else _place_of(member, links.get(member.graded_link_id))
        places[programme.id, person_id] = place
    return places


def _place_of(member: Any, link: LtiResourceLink | None) -> Place:
    if link is None or (link.line_item_url is None and not may_make_column(link)):
        return Place(problem=NO_COLUMN)
    if link.scopes and SCOPE_SCORE not in link.scopes:
        return Place(
            problem="Your LMS does not let this tool write grades. Its administrator can allow that in the "
            "tool's settings; then open the activity again."
        )
    return Place(
        platform_id=member.platform_id,
        deployment_id=member.deployment_id,
        user_id=member.sub,
        line_item_url=link.line_item_url,
        link_id=link.id,
    )


def _find_members(db: Db, wanted: Collection[tuple[Programme, uuid.UUID]]) -> dict[Whose, Any]:
    """Give how people are members of courses: the active, latest launched one where there are more."""
    members: dict[Whose, Any] = {}
    for some in chunks(wanted):
        theirs = select(LtiUser.id, LtiUser.person_id).where(
            LtiUser.person_id.in_({person_id for _programme, person_id in some}),
            LtiUser.link_state == "confirmed",
        )
        people = {user_id: person_id for user_id, person_id in db.execute(theirs) if person_id is not None}
        # Apart from the one before, because PostgreSQL would read the whole course while it knows no sizes.
        query = (
            select(*MEMBER)
            .join(LtiContext, LtiContext.id == CourseMember.context_id)
            .join(LtiUser, LtiUser.id == CourseMember.lti_user_id)
            .where(CourseMember.context_id.in_(_courses(some)), CourseMember.lti_user_id.in_(people))
            .order_by(
                (CourseMember.status == "Active").desc(), CourseMember.last_launch_at.desc().nulls_last()
            )
        )
        for row in db.execute(query) if people else ():
            whose: Whose = (row.context_id, people[row.lti_user_id])
            members.setdefault(whose, row)
    return members


def _find_others(db: Db, wanted: Collection[tuple[Programme, uuid.UUID]]) -> dict[Whose, list[Programme]]:
    """Give the other programmes of courses that told something of people, the oldest first."""
    query = select(Programme).where(Programme.context_id.in_(_courses(wanted)))
    here: dict[uuid.UUID | None, list[Programme]] = defaultdict(list)
    for programme in db.scalars(query.order_by(Programme.created_at, Programme.id)):
        here[programme.context_id].append(programme)
    # Mostly a course has one programme, and then there is nothing to ask for.
    shared = {programme.id for some in here.values() if len(some) > 1 for programme in some}
    told = set()
    for some in chunks({person_id for _programme, person_id in wanted} if shared else ()):
        theirs = select(Delivery.person_id, Delivery.programme_id).where(
            Delivery.person_id.in_(some), Delivery.programme_id.in_(shared), Delivery.account_id.is_(None)
        )
        told |= {tuple(row) for row in db.execute(theirs.distinct())}
    others: dict[Whose, list[Programme]] = {}
    for programme, person_id in wanted:
        whose = (programme.context_id, person_id)
        others[whose] = [one for one in here[programme.context_id] if (person_id, one.id) in told]
    return others


def _courses(wanted: Collection[tuple[Programme, uuid.UUID]]) -> set[uuid.UUID]:
    return {programme.context_id for programme, _person_id in wanted if programme.context_id is not None}


def _holder_of(programme: Programme, others: Sequence[Programme]) -> str | None:
    """Name the programme that has somebody's one grade in a course before another one; None for none.

    The older of those that are not over; when all are, the newest. So a grade never goes to and fro.

    :param others: see `_find_others`; it may be among them.
    """
    mine = (programme.created_at, programme.id)
    for one in others:
        is_older = (one.created_at, one.id) < mine
        goes_on = one.state != "archived"
        if one.id != programme.id and (
            goes_on or not is_older if programme.state == "archived" else goes_on and is_older
        ):
            return one.name
    return None


def _why_anothers(programme: Programme, holder: str) -> Text:
    if programme.state == "archived":
        return Text(
            "This programme is over, and your grade in its course is that of %(name)s now.", name=holder
        )
    return Text(
        "You take part in %(name)s, too, which runs in the same course, and the course has one grade for "
        "you. It is that one's; when that programme is over, the grade of this one is sent by itself.",
        name=holder,
    )


def _why_no_grade(course_id: uuid.UUID | None, member: Any) -> str | None:
    """Say why the LMS would take no grade for a member of the programme's course; None when it would."""
    if course_id is None:
        return "The programme is not open in a course yet. Its manager opens it there once."
    if member is not None and member.status != "Active":
        return (
            "Your LMS course does not list you as an active member any more, and takes no grade for you. "
            "When you are a member again, your grade is sent by itself."
        )
    if member is None or member.last_launch_at is None:
        return "Open the activity once from your course, so that we learn where your grade goes."
    # A launch without any role is let through: the LMS itself then says whether it takes the grade.
    if member.roles and not member.is_learner:
        return (
            "Your LMS course lists you as a teacher or helper, and such people get no grades. Ask to be "
            "enrolled as a learner, then open the activity again."
        )
    return None
