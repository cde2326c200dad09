"""What a launch leaves behind: the course, the LMS user, the person they are, a session."""

import hashlib
import json
import re
import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, bindparam, select

from lti.claims import origin
from lti.errors import LaunchError
from lti.launch import Launch
from lti.redaction import redacted
from lti.routes import AttemptInfo
from rmplugin.db import Db
from rmplugin.jobs import enqueue
from rmplugin.launches.catalogue import VIEW, path_of_view
from rmplugin.people.identity import sighting_of_launch
from rmplugin.people.linking import want_roster
from rmplugin.people.models import CourseMember, LtiUser, Person
from rmplugin.people.queries import may_manage
from rmplugin.people.store import link_users
from rmplugin.tenants.models import LtiContext, LtiPlatform, LtiResourceLink
from rmplugin.tenants.operations import record_attempt

# Within this time the same launch again is recognised at once; later it is taken in anew.
KNOWN_FOR = timedelta(hours=1)
# All people of a course share its row and would wait for each other to write it; a minute is exact enough.
SEEN_EVERY = timedelta(minutes=1)
COURSE_PAGE = re.compile(r"https?://[^/?#\s]+/courses/\d{1,20}(?=[/?#]|$)")

_MEMBER: Table = CourseMember.__table__  # type: ignore[assignment]  # SQLAlchemy types it FromClause.
_USER: Table = LtiUser.__table__  # type: ignore[assignment]
_PERSON: Table = Person.__table__  # type: ignore[assignment]
# Built once: building a statement costs more than running it, and every launch runs this.
_KNOWN = (
    select(_USER.c.tenant_id, _USER.c.id, _USER.c.person_id, _MEMBER.c.context_id)
    .join(_MEMBER, _MEMBER.c.lti_user_id == _USER.c.id)
    .join(_PERSON, _PERSON.c.id == _USER.c.person_id)
    .where(
        _USER.c.platform_id == bindparam("platform"),
        _USER.c.sub == bindparam("sub"),
        _USER.c.link_state == "confirmed",
        _MEMBER.c.launch_sha256 == bindparam("launch"),
        _MEMBER.c.status == "Active",
        _MEMBER.c.last_launch_at > bindparam("since"),
        _PERSON.c.updated_at <= _MEMBER.c.last_launch_at,
    )
    # Whoever decides at this moment that the link is wrong locks the user; then the answer waits for that.
    .with_for_update(read=True, key_share=True, of=_USER)
)


def recognise(connection: Connection, launch: Launch, now: datetime) -> dict[str, Any] | None:
    """Find out whether this very launch was taken in a short time ago and nothing has changed since.

    Most launches are of this kind: somebody reopens the activity. They cost one look.

    :return: facts for `logins.open_session`; None when the launch must be taken in by `enter`.
    **Touches** reads lti_user, course_member, person.
    """
    facts = {
        "platform": uuid.UUID(launch.platform.key),
        "sub": launch.subject,
        "launch": launch_digest(launch),
        "since": now - KNOWN_FOR,
    }
    row = connection.execute(_KNOWN, facts).one_or_none()
    if row is None:
        return None
    return _session_facts(launch, row.tenant_id, row.id, row.person_id, row.context_id)


def launch_digest(launch: Launch) -> str:
    """Give a digest of all that a launch says and that does not change with each launch.

    **Touches** pure.
    """
    changing = ("iat", "exp", "nonce", "jti", "nbf")
    lasting = {name: value for name, value in launch.claims.items() if name not in changing}
    return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()


def enter(db: Db, platform: LtiPlatform, launch: Launch, now: datetime) -> dict[str, Any]:
    """Take in an accepted launch whose deployment is approved.

    :param launch: one without a subject gives a session of nobody.
    :return: facts for `logins.open_session`.
    **Touches** writes lti_context, lti_resource_link, lti_user, course_member, launch_attempt, audit_entry,
    outbox_event.
    """
    context = _remember_course(db, platform, launch, now)
    link = _remember_link(db, context, launch, now) if context else None
    context_id = context.id if context else None
    if launch.subject is None:
        # The course and its services are worth remembering all the same.
        record_launch(db, platform, launch, None, now)
        return _session_facts(launch, platform.tenant_id, None, None, context_id)
    sighting = sighting_of_launch(launch, platform.identity_sources, platform.employee_number_params)
    user = link_users(db, platform, [sighting], now)[launch.subject]
    user.last_launch_at = now
    if context is not None:
        _remember_member(db, context, link, user, launch, now)
        if _is_manager(launch) and context.memberships_url and not context.roster_read_at:
            want_roster(db, context, now)
    identity = user.link_problem or user.link_source
    record_launch(db, platform, launch, identity, now)
    db.flush()
    facts = _session_facts(launch, platform.tenant_id, user.id, user.person_id, context_id)
    if launch.message_type == "LtiSubmissionReviewRequest":
        facts["start_path"] = _path_of_review(db, platform, launch)
    return facts


def _path_of_review(db: Db, platform: LtiPlatform, launch: Launch) -> str:
    """Give the page of the learner whose work a teacher wants to see.

    **Source** LTI Submission Review 1.0.
    """
    if launch.for_user_id == launch.subject:
        return "/credits"
    if not _is_manager(launch):
        raise LaunchError("review_not_allowed")
    query = select(LtiUser.person_id).where(
        LtiUser.platform_id == platform.id,
        LtiUser.sub == launch.for_user_id,
        LtiUser.link_state == "confirmed",
    )
    person_id = db.scalar(query)
    if person_id is None:
        raise LaunchError("learner_unknown")
    return f"/people/{person_id}/credits"


def _is_manager(launch: Launch) -> bool:
    """Tell whether the launch makes a manager. Nobody manages without a name: deeds must have a doer."""
    return launch.subject is not None and may_manage(launch.roles)


def record_launch(db: Db, platform: LtiPlatform, launch: Launch, identity: str | None, now: datetime) -> None:
    """Write an accepted launch down for the administrator.

    :param identity: how the user was recognised, or why not; None when nobody was to be recognised.
    **Touches** writes launch_attempt.
    """
    details = {"kid": launch.kid, "identity": identity}
    shown = redacted(launch.claims)
    info = AttemptInfo(launch.reference, "launch", now, str(platform.id), (), "ok", details, shown)
    record_attempt(db, platform.tenant_id, platform.id, info)


def _session_facts(
    launch: Launch,
    tenant_id: uuid.UUID,
    user_id: uuid.UUID | None,
    person_id: uuid.UUID | None,
    context_id: uuid.UUID | None,
) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "lti_user_id": user_id,
        "person_id": person_id,
        "context_id": context_id,
        "is_manager": _is_manager(launch),
        "is_administrator": False,
        "start_path": path_of_view(launch.custom.get(VIEW)),
        "locale": launch.locale,
        "display_name": launch.display_name or "",
        "frame_origins": _frame_origins(launch),
    }


def _remember_course(db: Db, platform: LtiPlatform, launch: Launch, now: datetime) -> LtiContext | None:
    if launch.context is None:
        return None
    query = select(LtiContext).where(
        LtiContext.platform_id == platform.id,
        LtiContext.deployment_id == launch.deployment_id,
        LtiContext.context_id == launch.context.id,
    )
    context = db.scalars(query).one_or_none()
    if context is None:
        context = LtiContext(
            platform_id=platform.id,
            deployment_id=launch.deployment_id,
            context_id=launch.context.id,
            last_launch_at=now,
        )
        db.add(context)
    context.title = launch.context.title or launch.context.label or context.title
    if launch.context.history:
        context.history = list(launch.context.history)
    # The addresses are needed later without a launch; a launch that does not name them takes nothing away.
    context.memberships_url = launch.nrps_url or context.memberships_url
    context.course_url = _course_url(launch) or context.course_url
    if now - context.last_launch_at >= SEEN_EVERY:
        context.last_launch_at = now
    db.flush()
    return context


def _course_url(launch: Launch) -> str | None:
    """Give the address of the course's page, out of a way back below it; the rest of that may be secret.

    **Source** Canvas, whose way back is `/courses/42/external_content/...`.
    """
    found = COURSE_PAGE.match(launch.return_url or "")
    return found.group() if found else None


def _remember_link(db: Db, context: LtiContext, launch: Launch, now: datetime) -> LtiResourceLink | None:
    if launch.resource_link is None:
        return None
    query = select(LtiResourceLink).where(
        LtiResourceLink.context_id == context.id,
        LtiResourceLink.resource_link_id == launch.resource_link.id,
    )
    link = db.scalars(query).one_or_none()
    if link is None:
        link = LtiResourceLink(
            context_id=context.id,
            resource_link_id=launch.resource_link.id,
            scopes=[],
            last_launch_at=now,
        )
        db.add(link)
    link.title = launch.resource_link.title or link.title
    if launch.resource_link.history:
        link.history = list(launch.resource_link.history)
    if launch.ags is not None:
        if link.line_item_url != launch.ags.lineitem:
            link.line_item_url, link.line_item_is_ours = launch.ags.lineitem, False
        link.line_items_url = launch.ags.lineitems
        link.scopes = sorted(launch.ags.scopes)
    if now - link.last_launch_at >= SEEN_EVERY:
        link.last_launch_at = now
    db.flush()
    return link


def _remember_member(
    db: Db, context: LtiContext, link: LtiResourceLink | None, user: LtiUser, launch: Launch, now: datetime
) -> None:
    query = select(CourseMember).where(
        CourseMember.context_id == context.id, CourseMember.lti_user_id == user.id
    )
    member = db.scalars(query).one_or_none()
    if member is None:
        member = CourseMember(context_id=context.id, lti_user_id=user.id)
        db.add(member)
    before = (member.is_learner, member.graded_link_id, member.last_launch_at is None, member.status)
    member.roles = sorted(launch.roles.names("context"))
    member.is_learner = launch.roles.is_learner and not launch.roles.is_test_user
    member.status = "Active"
    # A link whose column the tool may have to make is second choice.
    if link is not None and (link.line_item_url or (link.line_items_url and member.graded_link_id is None)):
        member.graded_link_id = link.id
    if user.person_id is not None and before != (member.is_learner, member.graded_link_id, False, "Active"):
        # A result that could not be delivered for want of a place may have one now.
        enqueue(db, "member_seen", now, person_id=str(user.person_id))
    member.launch_sha256 = launch_digest(launch)
    member.last_launch_at = now


def _frame_origins(launch: Launch) -> list[str]:
    """Give the origins that may show the tool: those of the registration and of this launch's way back."""
    urls = (launch.platform.issuer, launch.platform.auth_url, launch.return_url)
    return sorted({found for url in urls if (found := origin(url or ""))})


def platform_of(db: Db, launch: Launch) -> LtiPlatform:
    """Give the registration row of a launch.

    **Touches** reads lti_platform.
    """
    platform = db.get(LtiPlatform, uuid.UUID(launch.platform.key))
    assert platform is not None
    return platform
