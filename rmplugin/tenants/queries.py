"""Reads of tenants, platforms, deployments, courses and HR accounts."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select

from lti.ags import SCOPE_LINE_ITEM
from lti.diagnosis import diagnose
from rmplugin.db import Db, Secrets
from rmplugin.errors import InputError, NotFoundError
from rmplugin.records import HrisConnector
from rmplugin.sinks import CreditSink
from rmplugin.tenants.models import (
    HrAccount,
    LaunchAttempt,
    LtiCache,
    LtiDeployment,
    LtiPlatform,
    LtiResourceLink,
    PlatformInvite,
    Tenant,
)
from rmplugin.texts import texts

# Plug-ins whose accounts have settings.
HasSettings = HrisConnector | CreditSink

# Begins the keys in `LtiCache` of checks that an administrator asked for on a page.
CHECK_KEY = "check:"
# Refusals of one kind that are kept in a minute: of a registration that is not known, and of one that is. By
# kind, so that whoever makes many of one does not hide the others.
KEPT_A_MINUTE = (30, 60)
# Why nobody of the HR roster was found, for those who can change it.
IDENTITY_PROBLEMS = texts(
    {
        "no_hr_id": "The LMS says nothing by which the HR roster could know the person. Give the tool a "
        "custom parameter such as employee_number=$Person.sourcedId, or let it see e-mail addresses.",
        "no_match": "The HR id or e-mail address of the launch is nobody's in the HR roster. Compare one "
        "person's value in the LMS with the roster, leading zeros too.",
        "conflict": "The HR id or e-mail address of the launch belongs to more than one person or LMS "
        "account.",
        "changed": "The launch names another person than the account was linked to. That may be a "
        "correction, a reused account or an attempt to pass for somebody else; a manager of the course "
        "decides under People.",
        "not_working": "The HR roster says that this person has left or has not started.",
    }
)


def get_tenant(db: Db, slug: str | None) -> Tenant:
    """Give a tenant.

    :param db: bound to no tenant.
    :param slug: None for the only one.
    :raises NotFoundError: there is none of that name, or no tenant at all.
    :raises InputError: there are several and none was named.
    **Touches** reads tenant.
    """
    tenants = db.scalars(select(Tenant).where(Tenant.slug == slug) if slug else select(Tenant)).all()
    if not tenants:
        raise NotFoundError(f"tenant '{slug}'" if slug else "tenant (run `rmplugin init` first)")
    if len(tenants) > 1:
        names = ", ".join(sorted(tenant.slug for tenant in tenants))
        raise InputError("tenant_unclear", f"Several tenants exist; choose one with --tenant: {names}.")
    return tenants[0]


def list_platforms(db: Db) -> Sequence[LtiPlatform]:
    """List the tenant's registrations by name. **Touches** reads lti_platform."""
    return db.scalars(select(LtiPlatform).order_by(LtiPlatform.name)).all()


def get_platform(db: Db, name: str) -> LtiPlatform:
    """Give a registration by its name.

    :raises NotFoundError: the tenant has none of that name.
    **Touches** reads lti_platform.
    """
    platform = db.scalars(select(LtiPlatform).where(LtiPlatform.name == name)).one_or_none()
    if platform is None:
        raise NotFoundError("platform", typed=name)
    return platform


def get_platform_by_id(db: Db, platform_id: uuid.UUID) -> LtiPlatform:
    """Give a registration by its id.

    :raises NotFoundError: the tenant has none of that id.
    **Touches** reads lti_platform.
    """
    platform = db.get(LtiPlatform, platform_id)
    if platform is None:
        raise NotFoundError("platform")
    return platform


def list_invites(db: Db, now: datetime) -> Sequence[PlatformInvite]:
    """List the tenant's invites: all that can still be used, then the last ones that cannot, newest first.

    **Touches** reads platform_invite.
    """
    is_open = and_(PlatformInvite.used_at.is_(None), PlatformInvite.expires_at > now)
    query = select(PlatformInvite).order_by(PlatformInvite.created_at.desc())
    return [*db.scalars(query.where(is_open)), *db.scalars(query.where(~is_open).limit(20))]


def get_invite(db: Db, invite_id: uuid.UUID) -> PlatformInvite:
    """Give an invite of the tenant.

    :raises NotFoundError: there is none of that id, or it is another tenant's.
    **Touches** reads platform_invite.
    """
    invite = db.scalars(select(PlatformInvite).where(PlatformInvite.id == invite_id)).one_or_none()
    if invite is None:
        raise NotFoundError("invitation")
    return invite


def list_deployments(db: Db, platform_id: uuid.UUID) -> Sequence[LtiDeployment]:
    """List the deployments of a registration. **Touches** reads lti_deployment."""
    query = select(LtiDeployment).where(LtiDeployment.platform_id == platform_id)
    return db.scalars(query.order_by(LtiDeployment.deployment_id)).all()


def get_deployment(db: Db, lti_deployment_id: uuid.UUID) -> LtiDeployment:
    """Give a deployment by our id of it.

    :raises NotFoundError: the tenant has none of that id.
    **Touches** reads lti_deployment.
    """
    deployment = db.get(LtiDeployment, lti_deployment_id)
    if deployment is None:
        raise NotFoundError("deployment")
    return deployment


def platforms_with_deployments(db: Db) -> list[tuple[LtiPlatform, list[LtiDeployment]]]:
    """List the tenant's registrations by name, each with its deployments.

    **Touches** reads lti_platform, lti_deployment.
    """
    deployments: dict[uuid.UUID, list[LtiDeployment]] = {}
    for row in db.scalars(select(LtiDeployment).order_by(LtiDeployment.deployment_id)):
        deployments.setdefault(row.platform_id, []).append(row)
    return [(platform, deployments.get(platform.id, [])) for platform in list_platforms(db)]


def last_check(db: Db, platform_id: uuid.UUID, secrets_box: Secrets) -> dict[str, Any] | None:
    """Give what an administrator's last check of a platform found.

    :return: `asked_at` (ISO), `tenant_id`, `name`, and `findings`, None while it runs; None before the first.
    **Touches** reads lti_cache.
    """
    row = db.get(LtiCache, f"{CHECK_KEY}{platform_id}")
    found: dict[str, Any] | None = secrets_box.unlock(row.value_locked) if row else None
    return found


def is_flooded(db: Db, tenant_id: uuid.UUID | None, code: str, now: datetime) -> bool:
    """Tell whether so many attempts were refused for one reason within a minute that no more are kept.

    The log has them all.

    :param tenant_id: None for attempts without a known registration; anybody can make those.
    **Touches** reads launch_attempt.
    """
    recent = select(func.count()).select_from(LaunchAttempt)
    recent = recent.where(LaunchAttempt.tenant_id == tenant_id, LaunchAttempt.code == code)
    kept = db.scalar(recent.where(LaunchAttempt.at > now - timedelta(minutes=1))) or 0
    return kept >= KEPT_A_MINUTE[tenant_id is not None]


def _attempts_of(db: Db, *, nobodys: bool) -> ColumnElement[bool]:
    own = LaunchAttempt.tenant_id == db.tenant_id
    return or_(own, LaunchAttempt.tenant_id.is_(None)) if nobodys else own


def is_only_tenant(db: Db) -> bool:
    """Tell whether the installation serves one company alone. **Touches** reads tenant."""
    return len(db.scalars(select(Tenant.id).limit(2)).all()) == 1


def list_attempts(
    db: Db,
    *,
    nobodys: bool,
    refused: bool = False,
    platform_id: uuid.UUID | None = None,
    reference: str | None = None,
    limit: int = 100,
) -> Sequence[LaunchAttempt]:
    """List launch attempts, the newest first.

    :param nobodys: those without a known registration, too.
    :param refused: only those.
    :param platform_id: None for all.
    :param reference: as somebody read it aloud; None for all.
    **Touches** reads launch_attempt.
    """
    query = select(LaunchAttempt).where(_attempts_of(db, nobodys=nobodys))
    if refused:
        query = query.where(LaunchAttempt.code != "ok")
    if platform_id is not None:
        query = query.where(LaunchAttempt.platform_id == platform_id)
    if reference is not None:
        query = query.where(LaunchAttempt.reference == reference.strip().upper())
    return db.scalars(query.order_by(LaunchAttempt.at.desc(), LaunchAttempt.id.desc()).limit(limit)).all()


def get_attempt(db: Db, attempt_id: uuid.UUID) -> LaunchAttempt:
    """Give a launch attempt of this tenant, or nobody's when there is no other tenant.

    :raises NotFoundError: there is none of that id, or it is another tenant's.
    **Touches** reads launch_attempt, tenant.
    """
    mine = _attempts_of(db, nobodys=is_only_tenant(db))
    attempt = db.scalars(select(LaunchAttempt).where(LaunchAttempt.id == attempt_id, mine)).one_or_none()
    if attempt is None:
        raise NotFoundError("launch attempt")
    return attempt


def explain_attempt(attempt: LaunchAttempt) -> list[str]:
    """Say what the likely cause of a refusal is, or what an accepted launch lacks.

    :return: sentences for an administrator; empty for a launch without a fault.
    **Touches** pure.
    """
    problem = IDENTITY_PROBLEMS.get(attempt.details.get("identity") or "")
    return ([problem] if problem else []) + diagnose(attempt.code, attempt.details, attempt.claims)


def may_make_column(link: LtiResourceLink) -> bool:
    """Tell whether the platform lets the tool make gradebook columns in the link's course.

    Whether it should is another question, see `records.PlatformQuirks.column_by_teacher`.


    **Source** AGS 2.0, section 3.2: tools that the platform lets manage line items. **Touches** pure.
    """
    return link.line_items_url is not None and SCOPE_LINE_ITEM in link.scopes


def secret_names(connector: HasSettings) -> set[str]:
    """Name the settings that are stored encrypted. **Touches** pure."""
    return {key for key, f in connector.settings_schema().fields.items() if f.metadata.get("secret")}


def split_settings(
    connector: HasSettings, settings: Mapping[str, Any], secrets_box: Secrets
) -> tuple[dict[str, Any], bytes | None]:
    """Take the secrets out of settings.

    :return: the others, and the secrets encrypted; None when there are none.
    **Touches** pure but for the key.
    """
    hidden = secret_names(connector)
    apart = {key: value for key, value in settings.items() if key in hidden}
    plain = {key: value for key, value in settings.items() if key not in hidden}
    return plain, secrets_box.lock(apart) if apart else None


def join_settings(
    connector: HasSettings, settings: Mapping[str, Any], locked: bytes | None, secrets_box: Secrets
) -> Any:
    """Give stored settings as the plug-in wants them, secrets included: the other way of `split_settings`.

    :raises marshmallow.ValidationError: they do not fit the plug-in's schema (any more).
    **Touches** pure but for the key.
    """
    hidden = secrets_box.unlock(locked) if locked else {}
    return connector.settings_schema().load({**settings, **hidden})


def get_account(db: Db, name: str) -> HrAccount:
    """Give an HR account by its name.

    :raises NotFoundError: the tenant has none of that name.
    **Touches** reads hr_account.
    """
    account = db.scalars(select(HrAccount).where(HrAccount.name == name)).one_or_none()
    if account is None:
        raise NotFoundError("HR account", typed=name)
    return account


def list_accounts(db: Db) -> Sequence[HrAccount]:
    """List the tenant's HR accounts by name. **Touches** reads hr_account."""
    return db.scalars(select(HrAccount).order_by(HrAccount.name)).all()
