"""Who is who in the LMS, as people decide it; and asking for the list of a course's members."""

import uuid
from datetime import datetime

from sqlalchemy import delete, select

from rmplugin import jobs
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError
from rmplugin.logins import WebSession
from rmplugin.people import queries
from rmplugin.people.models import LtiUser, Person
from rmplugin.people.store import BY_HAND, Link, write_link
from rmplugin.tenants.models import LtiContext


def want_roster(db: Db, context: LtiContext, now: datetime) -> None:
    """Ask the worker to read the members of a course; asking twice is asking once.

    :raises InputError: the LMS told no address for it.
    **Touches** writes outbox_event.
    """
    if context.memberships_url is None:
        raise InputError(
            "roster_not_offered",
            "Your LMS offers no list of this course's members. Its administrator can switch on 'Names and "
            "Role Provisioning' for this tool; then open the activity again. Nothing was changed.",
        )
    waiting = queries.roster_event(db, context.id)
    if waiting is None:
        jobs.enqueue(db, queries.ROSTER_WANTED, now, context_id=str(context.id))
    elif waiting.attempts:
        # It failed before and waits for its next try, which somebody wants now.
        waiting.attempts, waiting.next_at = 0, now
        db.info["wake"] = True


def link_by_hand(
    db: Db, context_id: uuid.UUID, user: LtiUser, person: Person, actor: str, now: datetime
) -> None:
    """Say who an LMS user is, because a person decided it. No launch and no roster changes that.

    Another user of the LMS who was linked to the person, or claims to be them, loses that.

    :param context_id: the course whose manager decides.
    :raises ConflictError: the person has left, or the other user is in another manager's course.
    **Touches** writes lti_user, audit_entry, outbox_event; deletes web_session.
    """
    # Of two who decide at the same moment, the second waits and sees what the first one wrote. Everybody
    # locks users before persons.
    claimants = [user.id, *(other.id for other in queries.others_claiming(db, user, person))]
    locked = select(LtiUser).where(LtiUser.id.in_(claimants)).order_by(LtiUser.id).with_for_update()
    db.scalars(locked.execution_options(populate_existing=True)).all()
    person = db.get_one(Person, person.id, with_for_update={"key_share": True}, populate_existing=True)
    if not person.is_working:
        raise ConflictError(
            "person_left", "The staff list says that this person is not at work. Nothing was changed."
        )
    for other in queries.others_claiming(db, user, person):
        if other.person_id is not None and not queries.is_member(db, context_id, other.id):
            raise ConflictError(
                "linked_in_other_course",
                "This person is linked to another user of the LMS, who is not in this course. Whoever "
                "manages that user's course has to undo the link there first. Nothing was changed.",
            )
        _decide(db, other, Link("revoked", problem="revoked"), now, actor)
    _decide(db, user, Link("confirmed", person.id, BY_HAND), now, actor)
    # A result that waits for its place may have one now.
    jobs.enqueue(db, "member_seen", now, person_id=str(person.id))


def undo_link(db: Db, user: LtiUser, actor: str, now: datetime) -> None:
    """Say that an LMS user is nobody of the HR roster, until a person says otherwise.

    :raises ConflictError: that was decided before.
    **Touches** writes lti_user, audit_entry; deletes web_session.
    """
    db.refresh(user, with_for_update=True)
    if user.link_state == "revoked":
        raise ConflictError("already_undone", "This was decided before. Nothing was changed.")
    _decide(db, user, Link("revoked", problem="revoked"), now, actor)


def _decide(db: Db, user: LtiUser, link: Link, now: datetime, actor: str) -> None:
    """Write a link down and end the user's open sessions: they may show pages of whom the user is not."""
    write_link(db, user, link, now, actor)
    db.execute(delete(WebSession).where(WebSession.lti_user_id == user.id))
