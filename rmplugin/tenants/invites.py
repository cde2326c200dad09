"""Invites: each lets an LMS register itself once (LTI Dynamic Registration)."""

import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count

from sqlalchemy import select, update

from lti.ags import SCOPE_LINE_ITEM, SCOPE_LINE_ITEM_READ, SCOPE_RESULT, SCOPE_SCORE
from lti.nrps import SCOPE_MEMBERSHIP
from lti.registration import Registration, Tool
from rmplugin import audit
from rmplugin.db import Db
from rmplugin.errors import ConflictError
from rmplugin.logins import digest, new_token
from rmplugin.tenants.models import LtiPlatform, PlatformInvite
from rmplugin.tenants.operations import EMPLOYEE_NUMBER_PARAMS, PlatformValues, add_platform
from rmplugin.texts import Text

INVITE_LIFE = timedelta(days=7)
TOOL_NAME = "Reverse mentoring"
TOOL_DESCRIPTION = "Senior leaders learn from junior and newly joined colleagues, in pairs that match."
# Custom parameter -> variables that can fill it in, the best first; see `operations.EMPLOYEE_NUMBER_PARAMS`.
CUSTOM = {
    "employee_number": ("Canvas.user.sisSourceId", "Person.sourcedId"),
    "emp": ("Person.sourcedId",),
    "hr_id": ("Canvas.user.sisIntegrationId",),
    "user_name": ("User.username",),
    "context_id_history": ("Context.id.history",),
    "resource_link_id_history": ("ResourceLink.id.history",),
}


def describe_tool(public_url: str) -> Tool:
    """Say what the tool is and what it wants of a platform.

    :param public_url: of the settings.
    **Touches** pure.
    """
    launch_url = f"{public_url}/lti/launch"
    return Tool(
        name=TOOL_NAME,
        description=TOOL_DESCRIPTION,
        url=public_url,
        login_url=f"{public_url}/lti/login",
        launch_url=launch_url,
        deep_link_url=launch_url,
        jwks_url=f"{public_url}/lti/jwks",
        scopes=(SCOPE_LINE_ITEM, SCOPE_LINE_ITEM_READ, SCOPE_RESULT, SCOPE_SCORE, SCOPE_MEMBERSHIP),
        claims=("name", "given_name", "family_name", "email", "locale"),
        custom=CUSTOM,
        placements={
            "LtiResourceLinkRequest": ("course_navigation",),
            "LtiDeepLinkingRequest": ("assignment_selection", "link_selection"),
        },
    )


def values_of(registration: Registration) -> PlatformValues:
    """Give what platform and tool agreed on as the values of a registration.

    **Touches** pure.
    """
    platform = registration.platform
    # Only what the tool's own registration sets: a further name could be set by a teacher, for one activity.
    set_by_the_tool = [name for name in EMPLOYEE_NUMBER_PARAMS if name in registration.custom]
    return PlatformValues(
        name=platform.name,
        issuer=platform.issuer,
        client_id=registration.client_id,
        auth_url=platform.auth_url,
        token_url=platform.token_url,
        jwks_url=platform.jwks_url,
        token_audience=platform.token_audience,
        family=platform.family,
        deployment_ids=[registration.deployment_id] if registration.deployment_id else [],
        scopes=registration.scopes,
        employee_number_params=set_by_the_tool,
    )


def create_invite(db: Db, name: str | None, actor: str, now: datetime) -> tuple[str, PlatformInvite]:
    """Permit an LMS to register itself once.

    :param name: of the future registration; None takes the LMS' own.
    :return: the secret part of the address, which is stored nowhere, and the invite.
    :raises ConflictError: the name is taken.
    **Touches** writes platform_invite, audit_entry.
    """
    if name is not None and db.execute(select(LtiPlatform.id).where(LtiPlatform.name == name)).first():
        raise ConflictError(
            "platform_taken",
            Text("A platform named '%(name)s' is registered already. Choose another name.", name=name),
        )
    token = new_token()
    invite = PlatformInvite(
        token_sha256=digest(token), name=name, created_at=now, expires_at=now + INVITE_LIFE
    )
    db.add(invite)
    db.flush()
    audit.record(db, actor, "platform.invite", invite.id, now)
    return token, invite


def withdraw_invite(db: Db, invite: PlatformInvite, actor: str, now: datetime) -> None:
    """Make the address of an open invite worthless, such as after it went to the wrong person.

    :raises ConflictError: it was used, or has ended already.
    **Touches** writes platform_invite, audit_entry.
    """
    if invite.used_at is not None or invite.expires_at <= now:
        raise ConflictError(
            "invite_ended",
            "This invitation was used or has ended already. Nothing was changed. A connected LMS can be "
            "removed with the command rmplugin platform remove.",
        )
    invite.expires_at = now
    audit.record(db, actor, "platform.withdraw_invite", invite.id, now)


def claim_invite(db: Db, invite_id: uuid.UUID, now: datetime) -> bool:
    """Take an invite before the registration begins; of two who try, one gets it.

    :return: False when it was used or has expired.
    **Touches** writes platform_invite.
    """
    free = (PlatformInvite.id == invite_id, PlatformInvite.used_at.is_(None), PlatformInvite.expires_at > now)
    taken = db.execute(update(PlatformInvite).where(*free).values(used_at=now))
    return bool(taken.rowcount == 1)  # type: ignore[attr-defined]  # SQLAlchemy types it as any Result.


def release_invite(db: Db, invite_id: uuid.UUID) -> None:
    """Give an invite back whose registration failed.

    **Touches** writes platform_invite.
    """
    unfinished = (PlatformInvite.id == invite_id, PlatformInvite.platform_id.is_(None))
    db.execute(update(PlatformInvite).where(*unfinished).values(used_at=None))


def finish_invite(db: Db, invite_id: uuid.UUID, values: PlatformValues, now: datetime) -> LtiPlatform:
    """Store what came of an invite: the registration, under a name that is free.

    :param values: what platform and tool agreed on; the name is what the LMS calls itself.
    :raises ConflictError: see `add_platform`.
    **Touches** writes lti_platform, lti_deployment, platform_invite, audit_entry.
    """
    invite = db.get_one(PlatformInvite, invite_id)
    wanted = invite.name or values.name
    taken = set(db.scalars(select(LtiPlatform.name)))
    names = (wanted if number == 1 else f"{wanted} {number}" for number in count(1))
    name = next(name for name in names if name not in taken)
    platform = add_platform(db, replace(values, name=name), now, f"invite:{invite_id}")
    invite.platform_id = platform.id
    return platform
