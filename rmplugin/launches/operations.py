"""What a launch leaves behind: the course, the LMS user, the person they are, a session."""

import hashlib
import json
import uuid
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, Table, bindparam, func, select

from lti.launch import Launch
from rmplugin import audit
from rmplugin.db import Db
from rmplugin.jobs import enqueue
from rmplugin.people.models import CourseMember, LtiUser, Person
from rmplugin.tenants.models import LtiContext, LtiPlatform, LtiResourceLink

# Within this time the same launch again is recognised at once; later it is taken in anew.
KNOWN_FOR = timedelta(hours=1)
# All people of a course share its row and would wait for each other to write it; a minute is exact enough.
SEEN_EVERY = timedelta(minutes=1)

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
        _MEMBER.c.last_launch_at > bindparam("since"),
        _PERSON.c.updated_at <= _MEMBER.c.last_launch_at,
    )
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

    :param launch: with a subject.
    :return: facts for `logins.open_session`.
    **Touches** writes lti_context, lti_resource_link, lti_user, course_member, audit_entry, outbox_event.
    """
    context = _remember_course(db, platform, launch, now)
    link = _remember_link(db, context, launch, now) if context else None
    user = link_person(db, platform, launch, now)
    if context is not None:
        _remember_member(db, context, link, user, launch, now)
    db.flush()
    person_id = user.person_id if user.link_state == "confirmed" else None
    return _session_facts(launch, platform.tenant_id, user.id, person_id, context.id if context else None)


def _session_facts(
    launch: Launch,
    tenant_id: uuid.UUID,
    user_id: uuid.UUID,
    person_id: uuid.UUID | None,
    context_id: uuid.UUID | None,
) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "lti_user_id": user_id,
        "person_id": person_id,
        "context_id": context_id,
        "is_manager": launch.roles.is_instructor or launch.roles.is_administrator,
        "is_administrator": False,
        "start_path": None,
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
    # The addresses are needed later without a launch; a launch that does not name them takes nothing away.
    context.memberships_url = launch.nrps_url or context.memberships_url
    if now - context.last_launch_at >= SEEN_EVERY:
        context.last_launch_at = now
    db.flush()
    return context


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
    if launch.ags is not None:
        link.line_item_url = launch.ags.lineitem
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
    before = (member.is_learner, member.graded_link_id, member.last_launch_at is None)
    member.roles = sorted(launch.roles.names("context"))
    member.is_learner = launch.roles.is_learner
    # A link whose column the tool may have to make is second choice.
    if link is not None and (link.line_item_url or (link.line_items_url and member.graded_link_id is None)):
        member.graded_link_id = link.id
    if user.person_id is not None and before != (member.is_learner, member.graded_link_id, False):
        # A result that could not be delivered for want of a place may have one now.
        enqueue(db, "member_seen", now, person_id=str(user.person_id))
    member.launch_sha256 = launch_digest(launch)
    member.last_launch_at = now


def link_person(db: Db, platform: LtiPlatform, launch: Launch, now: datetime) -> LtiUser:
    """Find out which person of the HR roster the LMS user is.

    The sources, in this order: an employee number in a custom parameter, `lis.person_sourcedid`, an
    e-mail address
    that is unique on both sides and that the platform does not call unverified. Never the name. A
    value that two
    LMS users share links neither.

    :return: the LMS user, linked or with the reason why not.
    **Touches** reads person; writes lti_user, audit_entry.
    """
    user = _remember_user(db, platform, launch, now)
    found, source, problem = _find_person(db, platform, launch)
    if found is not None and _is_claimed(db, user, found):
        found, problem = None, "conflict"
    if problem is None and found is not None and not found.is_working:
        problem = "not_working"
    before = (user.link_state, user.person_id)
    if found is not None and problem is None:
        user.link_state, user.person_id, user.link_source, user.link_problem = (
            "confirmed",
            found.id,
            source,
            None,
        )
    else:
        state = "conflict" if problem == "conflict" else "unlinked"
        user.link_state, user.person_id, user.link_source, user.link_problem = state, None, None, problem
    if (user.link_state, user.person_id) != before:
        facts = {"state": user.link_state, "source": user.link_source, "problem": user.link_problem}
        audit.record(db, f"lti_user:{user.id}", "lti_user.link", user.person_id, now, **facts)
    return user


def _remember_user(db: Db, platform: LtiPlatform, launch: Launch, now: datetime) -> LtiUser:
    query = select(LtiUser).where(LtiUser.platform_id == platform.id, LtiUser.sub == launch.subject)
    user = db.scalars(query).one_or_none()
    if user is None:
        user = LtiUser(platform_id=platform.id, sub=launch.subject, link_state="unlinked")
        db.add(user)
    user.name, user.email, user.last_launch_at = launch.display_name, launch.email, now
    db.flush()
    return user


def _find_person(
    db: Db, platform: LtiPlatform, launch: Launch
) -> tuple[Person | None, str | None, str | None]:
    """Give (person, source, problem); exactly one of person and problem is None."""
    numbers = [(launch.custom.get(name), "custom") for name in platform.employee_number_params]
    numbers.append((launch.person_sourcedid, "sourcedid"))
    tried = False
    for number, source in numbers:
        if number is None or not number.strip():
            continue
        tried = True
        people = _present(db, Person.employee_number == number.strip())
        if len(people) == 1:
            return people[0], source, None
        if len(people) > 1:
            return None, source, "conflict"
    if launch.email and launch.email_verified is not False:
        tried = True
        folded = launch.email.strip().casefold()
        people = _present(db, Person.email_folded == folded)
        shared = select(func.count()).select_from(LtiUser)
        shared = shared.where(LtiUser.platform_id == platform.id, func.lower(LtiUser.email) == folded)
        if len(people) == 1 and (db.scalar(shared) or 0) <= 1:
            return people[0], "email", None
        if people:
            return None, "email", "conflict"
    return None, None, "no_match" if tried else "no_hr_id"


def _present(db: Db, condition: object) -> list[Person]:
    query = select(Person).where(condition, Person.lifecycle == "present")  # type: ignore[arg-type]
    return list(db.scalars(query.limit(2)))


def _is_claimed(db: Db, user: LtiUser, person: Person) -> bool:
    """Tell whether another user of the same platform is that person already."""
    query = select(LtiUser.id).where(
        LtiUser.platform_id == user.platform_id,
        LtiUser.person_id == person.id,
        LtiUser.link_state == "confirmed",
        LtiUser.id != user.id,
    )
    return db.execute(query.limit(1)).first() is not None


def _frame_origins(launch: Launch) -> list[str]:
    """Give the origins that may show the tool: those of the registration and of this launch's way back."""
    origins = set()
    for url in (launch.platform.issuer, launch.platform.auth_url, launch.return_url):
        parts = urlsplit(url or "")
        if parts.scheme in ("http", "https") and parts.netloc:
            origins.add(f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}")
    return sorted(origins)


def platform_of(db: Db, launch: Launch) -> LtiPlatform:
    """Give the registration row of a launch.

    **Touches** reads lti_platform.
    """
    platform = db.get(LtiPlatform, uuid.UUID(launch.platform.key))
    assert platform is not None
    return platform
