"""Tenants, platforms, invites, deployments, courses, launch attempts, tool keys, HR accounts."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, HasId, TenantOwned, Told
from rmplugin.records import IDENTITY_SOURCES


class Tenant(Base, HasId):
    """A company. Everything that belongs to it carries its id."""

    __tablename__ = "tenant"
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    created_at: Mapped[datetime]


class LtiPlatform(Base, TenantOwned):
    """One registration of the tool with an LMS.

    Issuer and client id name it, but for LMSs that give one client to all their customers (Blackboard): there
    several registrations share both, and the deployment tells them apart.

    :ivar identity_sources: where an HR id is looked for, in this order; words of `records.IDENTITY_SOURCES`.
    :ivar scopes: what the platform granted when it registered the tool by itself; None when done by hand.
    :ivar allow_anonymous: take launches that do not say who the user is.
    """

    __tablename__ = "lti_platform"
    __table_args__ = (
        Index("ix_lti_platform_issuer_client_id", "issuer", "client_id"),
        UniqueConstraint("tenant_id", "name"),
    )
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
    identity_sources: Mapped[list[str]] = mapped_column(default=lambda: list(IDENTITY_SOURCES))
    scopes: Mapped[list[str] | None]
    allow_anonymous: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]


class PlatformInvite(Base, TenantOwned):
    """A one-time permission to register an LMS by itself (LTI Dynamic Registration).

    :ivar token_sha256: digest of the secret in the address.
    :ivar name: the future registration's name; None takes the LMS' own.
    :ivar used_at: None until a registration began; released again when that failed.
    :ivar platform_id: what came of it.
    """

    __tablename__ = "platform_invite"
    token_sha256: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    platform_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("lti_platform.id", ondelete="SET NULL"))


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
    """A course in an LMS, with the service addresses that later work without a launch.

    :ivar history: ids of the courses that this one was copied from, the newest first (`$Context.id.history`).
    :ivar copy_state: of a copied course: carried (took the programme over), fresh (starts anew); None before
        the manager has chosen, and for courses that are no copies.
    :ivar course_url: of the course's page, as the way back of a launch names it; None where it names none.
    :ivar roster_read_at: when the last reading of the course's members ended well; None before the first.
    :ivar roster_problem: why the last reading failed; None when it ended well.
    :ivar roster_link: address for what changed since (NRPS differences); None when the LMS offers none.
    """

    __tablename__ = "lti_context"
    __table_args__ = (
        UniqueConstraint("platform_id", "deployment_id", "context_id"),
        CheckConstraint("copy_state in ('carried', 'fresh')", name="copy_state"),
    )
    platform_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("lti_platform.id", ondelete="CASCADE"))
    deployment_id: Mapped[str]
    context_id: Mapped[str]
    title: Mapped[str | None]
    memberships_url: Mapped[str | None]
    history: Mapped[list[str]] = mapped_column(default=list)
    copy_state: Mapped[str | None]
    course_url: Mapped[str | None]
    roster_read_at: Mapped[datetime | None]
    roster_problem: Mapped[str | None] = mapped_column(Told)
    roster_link: Mapped[str | None]
    last_launch_at: Mapped[datetime]


class LtiResourceLink(Base, TenantOwned):
    """A link in a course through which the tool is launched, with its own gradebook column if it has one.

    :ivar line_item_is_ours: the column was made by this tool, which makes it again when it is deleted.
    """

    __tablename__ = "lti_resource_link"
    __table_args__ = (UniqueConstraint("context_id", "resource_link_id"),)
    context_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("lti_context.id", ondelete="CASCADE"))
    resource_link_id: Mapped[str]
    title: Mapped[str | None]
    line_item_url: Mapped[str | None]
    line_item_is_ours: Mapped[bool] = mapped_column(default=False)
    line_items_url: Mapped[str | None]
    scopes: Mapped[list[str]]
    history: Mapped[list[str]] = mapped_column(default=list)
    last_launch_at: Mapped[datetime]


class LaunchAttempt(Base, HasId):
    """A login or launch that was refused or taken in, for the administrator; no name, address or token.

    :ivar tenant_id: None when the registration is not known.
    :ivar reference: what the person on the refusal page can quote, and the log holds.
    :ivar stage: login, launch or relaunch.
    :ivar code: an error code of `lti.errors.LAUNCH_CODES`, or "ok".
    :ivar claims: the message as `lti.redaction.redacted` shows it.
    :ivar details: facts of the refusal that are safe to show.
    """

    __tablename__ = "launch_attempt"
    __table_args__ = (Index("ix_launch_attempt_tenant_at", "tenant_id", "at"),)
    tenant_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    platform_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("lti_platform.id", ondelete="CASCADE"))
    reference: Mapped[str] = mapped_column(unique=True)
    stage: Mapped[str]
    code: Mapped[str]
    claims: Mapped[dict[str, Any]]
    details: Mapped[dict[str, Any]]
    at: Mapped[datetime] = mapped_column(index=True)


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
    :ivar grade_ranks: word of the source -> 0 (most junior) .. 100.
    :ivar rank_by: which of a person's words `grade_ranks` is about: grade, level or job_title.
    :ivar cursor: where the last complete run ended; None before it or for sources without one.
    :ivar schedule: minutes between runs; None when it is read by hand only.
    :ivar next_run_at: when the next run is due; None when nothing is planned.
    :ivar webhook_sha256: digest of the secret in the address to which the HR system sends its notices; None
        when there is no such address.
    :ivar checked: the last check that was asked for on a page: `asked_at` (ISO), and `results`, None while it
        runs, else {"what", "ok", "advice"} each; None before the first.
    """

    __tablename__ = "hr_account"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        CheckConstraint("rank_by in ('grade', 'level', 'job_title')", name="rank_by"),
        CheckConstraint("schedule > 0", name="schedule"),
    )
    name: Mapped[str]
    connector: Mapped[str]
    settings: Mapped[dict[str, Any]]
    secrets_locked: Mapped[bytes | None]
    grade_ranks: Mapped[dict[str, Any]]
    rank_by: Mapped[str] = mapped_column(default="grade")
    cursor: Mapped[str | None]
    schedule: Mapped[int | None]
    next_run_at: Mapped[datetime | None] = mapped_column(index=True)
    webhook_sha256: Mapped[str | None] = mapped_column(unique=True)
    checked: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
