"""Reads of tenants, platforms, deployments, courses and HR accounts."""

import uuid
from collections.abc import Sequence

from sqlalchemy import select

from lti.ags import SCOPE_LINE_ITEM
from rmplugin.db import Db
from rmplugin.errors import InputError, NotFoundError
from rmplugin.tenants.models import (
    HrAccount,
    LtiDeployment,
    LtiPlatform,
    LtiResourceLink,
    PlatformInvite,
    Tenant,
)

# Here a teacher switches the column on with the link, and only that column counts for the course: Moodle's
# completion follows no other, and Canvas would show another as an assignment of its own.
COLUMNS_BY_TEACHERS = ("moodle", "canvas")


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
        raise NotFoundError(f"platform '{name}'")
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


def list_invites(db: Db) -> Sequence[PlatformInvite]:
    """List the tenant's invites, the newest first. **Touches** reads platform_invite."""
    return db.scalars(select(PlatformInvite).order_by(PlatformInvite.created_at.desc()).limit(20)).all()


def list_deployments(db: Db, platform_id: uuid.UUID) -> Sequence[LtiDeployment]:
    """List the deployments of a registration. **Touches** reads lti_deployment."""
    query = select(LtiDeployment).where(LtiDeployment.platform_id == platform_id)
    return db.scalars(query.order_by(LtiDeployment.deployment_id)).all()


def may_make_column(family: str, link: LtiResourceLink) -> bool:
    """Tell whether the tool itself makes the gradebook column of a link that has none.

    :param family: of the platform, see `operations.FAMILIES`.
    **Source** AGS 2.0, section 3.2: tools that the platform lets manage line items. **Touches** pure.
    """
    return (
        link.line_items_url is not None
        and SCOPE_LINE_ITEM in link.scopes
        and family not in COLUMNS_BY_TEACHERS
    )


def get_account(db: Db, name: str) -> HrAccount:
    """Give an HR account by its name.

    :raises NotFoundError: the tenant has none of that name.
    **Touches** reads hr_account.
    """
    account = db.scalars(select(HrAccount).where(HrAccount.name == name)).one_or_none()
    if account is None:
        raise NotFoundError(f"HR account '{name}'")
    return account


def list_accounts(db: Db) -> Sequence[HrAccount]:
    """List the tenant's HR accounts by name. **Touches** reads hr_account."""
    return db.scalars(select(HrAccount).order_by(HrAccount.name)).all()
