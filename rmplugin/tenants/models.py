"""Tenants, platforms, deployments, courses, tool keys, HR accounts."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, HasId, TenantOwned


class Tenant(Base, HasId):
    """A company. Everything that belongs to it carries its id."""

    __tablename__ = "tenant"
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    created_at: Mapped[datetime]


class LtiPlatform(Base, TenantOwned):
    """One registration of the tool with an LMS: issuer and client id together name it."""

    __tablename__ = "lti_platform"
    __table_args__ = (UniqueConstraint("issuer", "client_id"), UniqueConstraint("tenant_id", "name"))
    name: Mapped[str]
    issuer: Mapped[str]
    client_id: Mapped[str]
    auth_url: Mapped[str]
    token_url: Mapped[str]
    jwks_url: Mapped[str]
    token_audience: Mapped[str | None]
    family: Mapped[str] = mapped_column(default="generic")
    # Names of custom parameters that carry the employee number, tried in this order.
    employee_number_params: Mapped[list[str]]
    created_at: Mapped[datetime]


class LtiDeployment(Base, TenantOwned):
    """A deployment of a registration; an unknown one waits for an administrator."""

    __tablename__ = "lti_deployment"
    __table_args__ = (
        UniqueConstraint("platform_id", "deployment_id"),
        CheckConstraint("state in ('approved', 'pending')", name="state"),
    )
    platform_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("lti_platform.id", ondelete="CASCADE"))
    deployment_id: Mapped[str]
    state: Mapped[str]
    first_seen_at: Mapped[datetime]


class LtiContext(Base, TenantOwned):
    """A course in an LMS, with the service addresses that later work without a launch."""

    __tablename__ = "lti_context"
    __table_args__ = (UniqueConstraint("platform_id", "deployment_id", "context_id"),)
    platform_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("lti_platform.id", ondelete="CASCADE"))
    deployment_id: Mapped[str]
    context_id: Mapped[str]
    title: Mapped[str | None]
    memberships_url: Mapped[str | None]
    last_launch_at: Mapped[datetime]


class LtiResourceLink(Base, TenantOwned):
    """A link in a course through which the tool is launched, with its own gradebook column if it has one."""

    __tablename__ = "lti_resource_link"
    __table_args__ = (UniqueConstraint("context_id", "resource_link_id"),)
    context_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("lti_context.id", ondelete="CASCADE"))
    resource_link_id: Mapped[str]
    title: Mapped[str | None]
    line_item_url: Mapped[str | None]
    line_items_url: Mapped[str | None]
    scopes: Mapped[list[str]]
    last_launch_at: Mapped[datetime]


class ToolKey(Base, HasId):
    """A signing key of the tool. Published while next, current or retiring."""

    __tablename__ = "tool_key"
    __table_args__ = (CheckConstraint("state in ('next', 'current', 'retiring')", name="state"),)
    kid: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str]
    private_key_locked: Mapped[bytes]
    created_at: Mapped[datetime]
    state_since: Mapped[datetime]


class LtiLogin(Base):
    """A login that was begun; taken once by the launch that answers it."""

    __tablename__ = "lti_login"
    state: Mapped[str] = mapped_column(primary_key=True)
    nonce: Mapped[str]
    platform_key: Mapped[str]
    target_link_uri: Mapped[str]
    flow: Mapped[str]
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class LtiCache(Base):
    """What `lti` keeps for all processes: key sets, access tokens (encrypted)."""

    __tablename__ = "lti_cache"
    key: Mapped[str] = mapped_column(primary_key=True)
    value_locked: Mapped[bytes]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class HrAccount(Base, TenantOwned):
    """A connected HR system.

    :ivar settings: the connector's own settings without secrets.
    :ivar grade_ranks: grade word -> 0 (most junior) .. 100.
    :ivar cursor: where the last complete run ended; None before it or for sources without one.
    :ivar running_since: lock of the current run; None when none runs.
    """

    __tablename__ = "hr_account"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)
    name: Mapped[str]
    connector: Mapped[str]
    settings: Mapped[dict[str, Any]]
    secrets_locked: Mapped[bytes | None]
    grade_ranks: Mapped[dict[str, Any]]
    cursor: Mapped[str | None]
    running_since: Mapped[datetime | None]
    created_at: Mapped[datetime]
