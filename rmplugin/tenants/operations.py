"""What changes tenants, registrations, keys and HR accounts."""

import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import marshmallow as ma
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import delete, select

from lti.routes import JWKS_SECONDS, AttemptInfo
from rmplugin import audit
from rmplugin.db import Db, Secrets
from rmplugin.errors import ConflictError, InputError
from rmplugin.records import HrisConnector
from rmplugin.tenants.models import (
    HrAccount,
    LaunchAttempt,
    LtiCache,
    LtiDeployment,
    LtiPlatform,
    Tenant,
    ToolKey,
)
from rmplugin.tenants.queries import CHECK_KEY, list_deployments
from rmplugin.tenants.store import REMEMBERED_FOR

CHECK_KEPT_FOR = timedelta(days=30)
RETIRING_FOR = timedelta(days=14)
# A platform may use the key set that it has for so long, so a key signs only when it was in the set before.
PUBLISHED_FIRST = timedelta(seconds=JWKS_SECONDS) + REMEMBERED_FOR
ATTEMPTS_KEPT_FOR = timedelta(days=14)
# Of a registration that is not known, and of one that is.
ATTEMPTS_KEPT = (1_000, 10_000)
# For choosing; plug-ins may bring further ones, and one without a dialect keeps to the standard.
FAMILIES = ("moodle", "canvas", "openedx", "blackboard", "brightspace", "sakai", "schoology", "generic")
# Tried in this order on every platform; the administrator of a platform may name others.
EMPLOYEE_NUMBER_PARAMS = ["employee_number", "emp", "hr_id"]


def ensure_tenant(db: Db, slug: str, name: str, now: datetime) -> Tenant:
    """Give the tenant of that slug, made if there is none.

    **Touches** writes tenant.
    """
    tenant = db.scalars(select(Tenant).where(Tenant.slug == slug)).one_or_none()
    if tenant is None:
        tenant = Tenant(slug=slug, name=name, created_at=now)
        db.add(tenant)
        db.flush()
    return tenant


def ensure_tool_keys(db: Db, secrets_box: Secrets, now: datetime) -> None:
    """Make sure that a current and a next signing key exist.

    **Source** LTI Security 1.0 section 6.3. **Touches** writes tool_key.
    """
    states = set(db.scalars(select(ToolKey.state)))
    for state in ("current", "next"):
        if state not in states:
            _add_key(db, secrets_box, state, now)


def rotate_tool_keys(db: Db, secrets_box: Secrets, now: datetime, *, hasty: bool = False) -> None:
    """Let the next key sign, go on publishing the old one for a while, and make a new next one.

    :param hasty: even when platforms may not have seen the next key yet.
    :raises ConflictError: the next key was published a short time ago.
    **Source** LTI Security 1.0 section 6.3. **Touches** writes tool_key.
    """
    ensure_tool_keys(db, secrets_box, now)
    db.flush()
    _forget_retired_keys(db, now)
    ready_at = next_key_ready_at(db)
    if now < ready_at and not hasty:
        raise ConflictError(
            "key_too_young",
            f"Nothing was changed: platforms may keep the key set for an hour, so the next key can sign from "
            f"{ready_at:%H:%M} UTC on. With --now it signs at once, and platforms that have not fetched it "
            "refuse the tool until they do.",
        )
    follows = {"current": "retiring", "next": "current"}
    for key in db.scalars(select(ToolKey).where(ToolKey.state.in_(follows))).all():
        key.state, key.state_since = follows[key.state], now
    _add_key(db, secrets_box, "next", now)


def next_key_ready_at(db: Db) -> datetime:
    """Tell from when on every platform has seen the next key. **Touches** reads tool_key."""
    made = db.scalars(select(ToolKey.created_at).where(ToolKey.state == "next")).one()
    return made + PUBLISHED_FIRST


def rotate_due_keys(db: Db, secrets_box: Secrets, now: datetime, every_days: int) -> bool:
    """Forget keys that have retired, and rotate when the current one has signed for long enough.

    :param every_days: 0 for never.
    :return: whether another key signs now.
    **Touches** writes tool_key.
    """
    _forget_retired_keys(db, now)
    # Locked, so that two workers do not rotate one after the other.
    current = select(ToolKey).where(ToolKey.state == "current").with_for_update()
    key = db.scalars(current).one_or_none()
    if not every_days or key is None or now < key.state_since + timedelta(days=every_days):
        return False
    ensure_tool_keys(db, secrets_box, now)
    db.flush()
    if now < next_key_ready_at(db):
        return False
    rotate_tool_keys(db, secrets_box, now)
    return True


def _forget_retired_keys(db: Db, now: datetime) -> None:
    retired = (ToolKey.state == "retiring", ToolKey.state_since < now - RETIRING_FOR)
    db.execute(delete(ToolKey).where(*retired))


def _add_key(db: Db, secrets_box: Secrets, state: str, now: datetime) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    db.add(
        ToolKey(
            kid=secrets.token_urlsafe(9),
            state=state,
            private_key_locked=secrets_box.lock(pem),
            created_at=now,
            state_since=now,
        )
    )


@dataclass(frozen=True, kw_only=True)
class PlatformValues:
    """What an LMS prints about itself for a registration by hand."""

    name: str
    issuer: str
    client_id: str
    auth_url: str
    token_url: str
    jwks_url: str
    deployment_ids: Sequence[str] = ()
    family: str = "generic"
    token_audience: str | None = None
    employee_number_params: Sequence[str] = field(default_factory=lambda: list(EMPLOYEE_NUMBER_PARAMS))


def add_platform(db: Db, values: PlatformValues, now: datetime) -> LtiPlatform:
    """Register the tool with a platform, as the platform printed it.

    :raises InputError: an address is none, or a name is empty.
    :raises ConflictError: the name, or issuer and client id together, are taken.
    **Touches** writes lti_platform, lti_deployment, audit_entry.
    """
    _check_platform(values)
    # Issuer and client id are looked up before the tenant is known, so they are unique over all tenants.
    taken = select(LtiPlatform.id).where(LtiPlatform.name == values.name)
    if db.execute(taken).first() or _pair_is_taken(db, values):
        raise ConflictError(
            "platform_taken",
            "A platform of this name, or with this issuer and client id, is registered already. Nothing "
            "was changed.",
        )
    platform = LtiPlatform(
        name=values.name,
        issuer=values.issuer,
        client_id=values.client_id,
        auth_url=values.auth_url,
        token_url=values.token_url,
        jwks_url=values.jwks_url,
        token_audience=values.token_audience,
        family=values.family,
        employee_number_params=list(values.employee_number_params),
        created_at=now,
    )
    db.add(platform)
    db.flush()
    for deployment_id in values.deployment_ids:
        db.add(_deployment(platform, deployment_id, "approved", now))
    audit.record(db, "command", "platform.add", platform.id, now)
    return platform


def _pair_is_taken(db: Db, values: PlatformValues) -> bool:
    table = LtiPlatform.__table__
    query = select(table.c.id).where(table.c.issuer == values.issuer, table.c.client_id == values.client_id)
    return db.execute(query).first() is not None


def _check_platform(values: PlatformValues) -> None:
    faults: dict[str, str] = {}
    for name in ("auth_url", "token_url", "jwks_url"):
        parts = urlsplit(getattr(values, name))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            faults[name] = "must be a full address that begins with https://"
    for name in ("name", "issuer", "client_id", "family"):
        if not getattr(values, name).strip():
            faults[name] = "must not be empty"
    if faults:
        text = "; ".join(f"{name} {fault}" for name, fault in faults.items())
        raise InputError("platform_invalid", f"The platform was not added: {text}.", faults)


def _deployment(platform: LtiPlatform, deployment_id: str, state: str, now: datetime) -> LtiDeployment:
    return LtiDeployment(
        tenant_id=platform.tenant_id,
        platform_id=platform.id,
        deployment_id=deployment_id,
        state=state,
        first_seen_at=now,
    )


def record_pending_deployment(db: Db, platform: LtiPlatform, deployment_id: str, now: datetime) -> None:
    """Remember that an unknown deployment tried to launch, for the administrator to decide.

    **Touches** writes lti_deployment.
    """
    known = {row.deployment_id for row in list_deployments(db, platform.id)}
    if deployment_id not in known:
        db.add(_deployment(platform, deployment_id, "pending", now))


def record_attempt(
    db: Db, tenant_id: uuid.UUID | None, platform_id: uuid.UUID | None, info: AttemptInfo
) -> None:
    """Write down a login or launch that was refused or taken in.

    :param tenant_id: None when the registration is not known.
    **Touches** writes launch_attempt.
    """
    db.add(
        LaunchAttempt(
            tenant_id=tenant_id,
            platform_id=platform_id,
            reference=info.reference,
            stage=info.stage,
            code=info.code,
            claims=dict(info.claims),
            details=dict(info.details),
            at=info.at,
        )
    )


def prune_attempts(db: Db, now: datetime) -> None:
    """Throw away old launch attempts, and the oldest of those who have very many.

    **Touches** deletes from launch_attempt.
    """
    db.execute(delete(LaunchAttempt).where(LaunchAttempt.at < now - ATTEMPTS_KEPT_FOR))
    for tenant_id in (None, *db.scalars(select(Tenant.id))):
        newest_first = select(LaunchAttempt.at).where(LaunchAttempt.tenant_id == tenant_id)
        most = ATTEMPTS_KEPT[tenant_id is not None]
        last = db.scalar(newest_first.order_by(LaunchAttempt.at.desc()).offset(most).limit(1))
        if last is not None:
            too_many = (LaunchAttempt.tenant_id == tenant_id, LaunchAttempt.at <= last)
            db.execute(delete(LaunchAttempt).where(*too_many))


def approve_deployments(
    db: Db, platform: LtiPlatform, deployment_id: str | None, actor: str, now: datetime
) -> list[str]:
    """Let a deployment launch.

    :param deployment_id: None for all that wait; one that never tried is approved ahead.
    :return: the ids that may launch now and could not before.
    **Touches** writes lti_deployment, audit_entry.
    """
    rows = {row.deployment_id: row for row in list_deployments(db, platform.id)}
    if deployment_id is not None and deployment_id not in rows:
        rows[deployment_id] = _deployment(platform, deployment_id, "pending", now)
        db.add(rows[deployment_id])
    wanted = [row for key, row in rows.items() if deployment_id in (None, key) and row.state == "pending"]
    for row in wanted:
        row.state = "approved"
    audit.record(db, actor, "platform.approve", platform.id, now, deployments=len(wanted))
    return [row.deployment_id for row in wanted]


def ask_for_check(db: Db, platform: LtiPlatform, secrets_box: Secrets, actor: str, now: datetime) -> None:
    """Let the worker check a platform; a page may not wait for other systems inside its transaction.

    **Touches** writes lti_cache, audit_entry.
    """
    asked = {
        "asked_at": now.isoformat(timespec="seconds"),
        "tenant_id": str(platform.tenant_id),
        "name": platform.name,
        "findings": None,
    }
    keep_check(db, platform.id, asked, secrets_box, now)
    audit.record(db, actor, "platform.check", platform.id, now)
    db.info["wake"] = True


def keep_check(
    db: Db, platform_id: uuid.UUID, check: Mapping[str, Any], secrets_box: Secrets, now: datetime
) -> None:
    """Remember a check that was asked for, or what it found.

    :param check: see `queries.last_check`.
    **Touches** writes lti_cache.
    """
    db.merge(
        LtiCache(
            key=f"{CHECK_KEY}{platform_id}",
            value_locked=secrets_box.lock(check),
            expires_at=now + CHECK_KEPT_FOR,
        )
    )


def remove_platform(db: Db, platform: LtiPlatform, now: datetime) -> None:
    """Forget a registration with its deployments and courses; programmes and credits stay.

    **Touches** deletes lti_platform and what belongs to it, writes audit_entry.
    """
    audit.record(db, "command", "platform.remove", platform.id, now)
    db.delete(platform)


def add_account(
    db: Db,
    name: str,
    connector: HrisConnector,
    settings: Mapping[str, Any],
    grade_ranks: Mapping[str, int],
    secrets_box: Secrets,
    now: datetime,
) -> HrAccount:
    """Connect an HR system.

    :param settings: as given, secrets among them; checked by the connector's schema.
    :param grade_ranks: grade word -> 0 (most junior) .. 100.
    :raises InputError: `details` maps each wrong setting to a sentence.
    :raises ConflictError: the name is taken.
    **Touches** writes hr_account, audit_entry.
    """
    schema = connector.settings_schema()
    try:
        schema.load(settings)
    except ma.ValidationError as error:
        messages = error.messages_dict
        text = " ".join(_sentences(messages))
        raise InputError("settings_invalid", f"The HR account was not added. {text}", messages) from error
    ranks = {str(grade): int(rank) for grade, rank in grade_ranks.items()}
    if any(not 0 <= rank <= 100 for rank in ranks.values()):
        raise InputError("rank_invalid", "The HR account was not added: ranks go from 0 to 100.")
    if db.scalars(select(HrAccount.id).where(HrAccount.name == name)).first():
        raise ConflictError("account_taken", f"An HR account '{name}' exists already. Nothing was changed.")
    hidden = secret_names(connector)
    kept_apart = {key: value for key, value in settings.items() if key in hidden}
    account = HrAccount(
        name=name,
        connector=connector.key,
        settings={key: value for key, value in settings.items() if key not in hidden},
        secrets_locked=secrets_box.lock(kept_apart) if kept_apart else None,
        grade_ranks=ranks,
        created_at=now,
    )
    db.add(account)
    db.flush()
    audit.record(db, "command", "hr_account.add", account.id, now)
    return account


def _sentences(messages: Mapping[Any, Any], outer: str = "") -> Iterator[str]:
    """Write a schema's messages as one sentence per setting, nested ones with a dotted name."""
    for key, told in messages.items():
        if isinstance(told, Mapping):
            yield from _sentences(told, f"{outer}{key}.")
        else:
            texts = [told] if isinstance(told, str) else told
            yield f"{outer}{key}: {' '.join(map(str, texts))}"


def secret_names(connector: HrisConnector) -> set[str]:
    """Name the settings that are stored encrypted. **Touches** pure."""
    return {key for key, f in connector.settings_schema().fields.items() if f.metadata.get("secret")}


def load_account_settings(account: HrAccount, connector: HrisConnector, secrets_box: Secrets) -> Any:
    """Give an account's settings as its connector wants them, secrets included.

    **Touches** pure but for the key.
    """
    hidden = secrets_box.unlock(account.secrets_locked) if account.secrets_locked else {}
    return connector.settings_schema().load({**account.settings, **hidden})


def remove_account(db: Db, account: HrAccount, now: datetime) -> None:
    """Forget an HR account and the people who came from it.

    :raises ConflictError: a run is under way.
    **Touches** deletes hr_account and its persons, writes audit_entry.
    """
    if account.running_since is not None:
        raise ConflictError("account_running", "A roster run is under way; try again when it has ended.")
    audit.record(db, "command", "hr_account.remove", account.id, now)
    db.delete(account)
