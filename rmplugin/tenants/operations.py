"""What changes tenants, registrations, keys and HR accounts."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import marshmallow as ma
from sqlalchemy import delete, select

from lti.printed import Printed
from lti.registration import LOOPBACK
from rmplugin import audit
from rmplugin.db import Db, Secrets
from rmplugin.errors import ConflictError, InputError
from rmplugin.records import IDENTITY_SOURCES, HrisConnector
from rmplugin.tenants import faults
from rmplugin.tenants.models import (
    HrAccount,
    LaunchAttempt,
    LtiCache,
    LtiDeployment,
    LtiPlatform,
    Tenant,
)
from rmplugin.tenants.queries import CHECK_KEY, HasSettings, join_settings, list_deployments, split_settings
from rmplugin.texts import Text

if TYPE_CHECKING:
    from lti.routes import AttemptInfo

CHECK_KEPT_FOR = timedelta(days=30)
DAILY = 24 * 60
ATTEMPTS_KEPT_FOR = timedelta(days=14)
# Of a registration that is not known, and of one that is.
ATTEMPTS_KEPT = (1_000, 10_000)
# For choosing; plug-ins may bring further ones, and one without a dialect keeps to the standard.
FAMILIES = ("moodle", "canvas", "openedx", "blackboard", "brightspace", "sakai", "schoology", "generic")
# Tried in this order on every platform; the administrator of a platform may name others.
EMPLOYEE_NUMBER_PARAMS = ["employee_number", "emp", "hr_id"]
# Values that are printed once, each with a field of its own.
PRINTED_FIELDS = ("issuer", "client_id", "auth_url", "token_url", "jwks_url", "token_audience")
# What of a registration can be changed later; issuer and client id are its identity.
CHANGEABLE = (
    "auth_url",
    "token_url",
    "jwks_url",
    "token_audience",
    "family",
    "employee_number_params",
    "identity_sources",
    "allow_anonymous",
)


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


@dataclass(frozen=True, kw_only=True)
class PlatformValues:
    """What an LMS prints about itself for a registration by hand, or said when it registered by itself.

    :param scopes: see `LtiPlatform`.
    """

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
    identity_sources: Sequence[str] = IDENTITY_SOURCES
    allow_anonymous: bool = False
    scopes: Sequence[str] | None = None


def merge_values(printed: Printed, typed: Mapping[str, Any]) -> PlatformValues:
    """Join what could be read with what was typed, which wins.

    :param typed: fields of `PlatformValues`; None and empty ones are not typed.
    :raises InputError: `details` names each value that is in neither.
    **Touches** pure.
    """
    values = {name: getattr(printed, name) for name in (*PRINTED_FIELDS, "deployment_ids", "family")}
    values |= {name: value for name, value in typed.items() if value not in (None, "", [], ())}
    faults = {name: "This value is missing." for name in printed.missing if not values[name]}
    if faults:
        raise InputError(
            "platform_incomplete",
            Text(
                "Nothing was changed: %(faults)s could not be found. Give these values, too.",
                faults=", ".join(faults),
            ),
            faults,
        )
    return PlatformValues(**values)


def add_platform(db: Db, values: PlatformValues, now: datetime, actor: str = "command") -> LtiPlatform:
    """Register the tool with a platform.

    :param actor: see `audit.AuditEntry`.
    :raises InputError: `details` maps each wrong value to what is wrong with it.
    :raises ConflictError: the name is taken, or another registration with the same issuer and client
        contradicts this one.
    **Touches** writes lti_platform, lti_deployment, audit_entry.
    """
    check_platform_values(values)
    if db.execute(select(LtiPlatform.id).where(LtiPlatform.name == values.name)).first():
        raise ConflictError(
            "platform_taken",
            Text(
                "A platform '%(name)s' is registered already. Nothing was changed; choose another name.",
                name=values.name,
            ),
        )
    _check_shared(db, values)
    platform = LtiPlatform(
        **{name: getattr(values, name) for name in CHANGEABLE},
        name=values.name,
        issuer=values.issuer,
        client_id=values.client_id,
        scopes=list(values.scopes) if values.scopes is not None else None,
        created_at=now,
    )
    db.add(platform)
    db.flush()
    for deployment_id in dict.fromkeys(values.deployment_ids):
        db.add(_deployment(platform, deployment_id, "approved", now))
    audit.record(db, actor, "platform.add", platform.id, now)
    return platform


def change_platform(
    db: Db, platform: LtiPlatform, changes: Mapping[str, Any], actor: str, now: datetime
) -> None:
    """Change a registration's addresses or how people are recognised.

    :param changes: some of `CHANGEABLE`.
    :raises InputError: see `add_platform`.
    :raises ConflictError: another registration with the same issuer and client has other addresses.
    **Touches** writes lti_platform, audit_entry.
    """
    kept = {name: getattr(platform, name) for name in ("name", "issuer", "client_id", *CHANGEABLE)}
    values = PlatformValues(**(kept | dict(changes)))
    check_platform_values(values)
    others = [row for row in _sharing(db, values.issuer, values.client_id) if row.id != platform.id]
    _check_addresses(others, values)
    for name in changes:
        setattr(platform, name, getattr(values, name))
    audit.record(db, actor, "platform.change", platform.id, now, changed=sorted(changes))


def _check_shared(db: Db, values: PlatformValues) -> None:
    """Refuse what another registration with the same issuer and client contradicts, whoever's it is."""
    others = _sharing(db, values.issuer, values.client_id)
    if not others:
        return
    _check_addresses(others, values)
    if not values.deployment_ids:
        raise ConflictError(
            "deployment_needed",
            "This issuer and client id are registered already. Nothing was changed. Registrations that share "
            "them are told apart by their deployments: name the deployment id that is yours.",
        )
    known = _known_deployments(db, [row.id for row in others], values.deployment_ids)
    if known:
        raise ConflictError(
            "deployment_taken",
            Text(
                "Nothing was changed: deployment %(known)s is registered already with this issuer and client "
                "id, or waits for approval there. Check the deployment id. If it only waits, it can be "
                "refused there.",
                known=", ".join(sorted(known)),
            ),
        )


def _check_addresses(others: Sequence[Any], values: PlatformValues) -> None:
    names = ("auth_url", "token_url", "jwks_url")
    wrong = [name for name in names if any(getattr(row, name) != getattr(values, name) for row in others)]
    if wrong:
        raise ConflictError(
            "platform_contradicts",
            Text(
                "This issuer and client id are registered already. Nothing was changed. Both registrations "
                "need the same addresses; these differ: %(wrong)s. Check them, and the client id.",
                wrong=", ".join(wrong),
            ),
        )


def _sharing(db: Db, issuer: str, client_id: str) -> Sequence[Any]:
    """Give the registrations of all tenants with that issuer and client, and hold them until the commit.

    Who decides about one of their deployments waits for the others who do.
    """
    table = LtiPlatform.__table__
    columns = (table.c.id, table.c.auth_url, table.c.token_url, table.c.jwks_url)
    query = select(*columns).where(table.c.issuer == issuer, table.c.client_id == client_id)
    return db.execute(query.order_by(table.c.id).with_for_update()).all()


def _known_deployments(db: Db, platform_ids: Sequence[uuid.UUID], wanted: Sequence[str]) -> set[str]:
    """Give those of the wanted deployments that these registrations of any tenant know."""
    table = LtiDeployment.__table__
    query = select(table.c.deployment_id).where(
        table.c.platform_id.in_(platform_ids), table.c.deployment_id.in_(wanted)
    )
    return set(db.scalars(query))


def check_platform_values(values: PlatformValues) -> None:
    """Check each value of a registration by itself.

    :raises InputError: `details` maps each wrong value to what is wrong with it.
    **Touches** pure.
    """
    faults: dict[str, str] = {}
    for name in ("auth_url", "token_url", "jwks_url"):
        if not _is_address(getattr(values, name)):
            faults[name] = "must be a full address that begins with https://"
    for name in ("name", "issuer", "client_id", "family"):
        if not getattr(values, name).strip():
            faults[name] = "must not be empty"
    if not values.identity_sources or not set(values.identity_sources) <= set(IDENTITY_SOURCES):
        faults["identity_sources"] = Text("must be some of %(sources)s", sources=", ".join(IDENTITY_SOURCES))
    if any(not text.strip() or len(text) > 255 for text in values.deployment_ids):
        faults["deployment_ids"] = "must be of 1 to 255 characters each"
    if faults:
        text = "; ".join(f"{name} {fault}" for name, fault in faults.items())
        raise InputError("platform_invalid", Text("Nothing was changed: %(text)s.", text=text), faults)


def _is_address(text: str) -> bool:
    """Tell whether keys and tokens may travel to an address: over https, or within this machine."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    return is_safe and bool(parts.hostname) and text.isprintable()


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
    db: Db, tenant_id: uuid.UUID | None, platform_id: uuid.UUID | None, info: "AttemptInfo"
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
    :raises ConflictError: the named one belongs to another registration with the same issuer and client.
    **Touches** writes lti_deployment, audit_entry.
    """
    others = [row.id for row in _sharing(db, platform.issuer, platform.client_id) if row.id != platform.id]
    rows = {row.deployment_id: row for row in list_deployments(db, platform.id)}
    if deployment_id is not None and deployment_id not in rows:
        rows[deployment_id] = _deployment(platform, deployment_id, "pending", now)
        db.add(rows[deployment_id])
    wanted = [row for key, row in rows.items() if deployment_id in (None, key) and row.state == "pending"]
    foreign = _known_deployments(db, others, [row.deployment_id for row in wanted])
    if deployment_id in foreign:
        raise ConflictError(
            "deployment_taken",
            Text(
                "Deployment '%(deployment_id)s' belongs to another registration. Nothing was changed.",
                deployment_id=deployment_id,
            ),
        )
    wanted = [row for row in wanted if row.deployment_id not in foreign]
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


def refuse_deployment(db: Db, deployment: LtiDeployment, actor: str, now: datetime) -> None:
    """Forget a deployment that waits for approval; its next launch makes it wait again.

    :raises ConflictError: it may launch already.
    **Touches** deletes lti_deployment, writes audit_entry.
    """
    if deployment.state != "pending":
        raise ConflictError(
            "deployment_approved", "This deployment is approved already. Nothing was changed."
        )
    audit.record(db, actor, "platform.refuse", deployment.platform_id, now)
    db.delete(deployment)


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
    actor: str = "command",
) -> HrAccount:
    """Connect an HR system. It is read once a day from then on; the first reading is a preview.

    :param settings: as given, secrets among them; checked by the connector's schema.
    :param grade_ranks: grade word -> 0 (most junior) .. 100.
    :raises InputError: `details` maps each wrong setting to a sentence.
    :raises ConflictError: the name is taken.
    **Touches** writes hr_account, audit_entry.
    """
    check_settings(connector, settings)
    ranks = {str(grade): int(rank) for grade, rank in grade_ranks.items()}
    if any(not 0 <= rank <= 100 for rank in ranks.values()):
        raise InputError("rank_invalid", "Ranks go from 0 to 100. Nothing was changed.")
    if db.scalars(select(HrAccount.id).where(HrAccount.name == name)).first():
        raise ConflictError(
            "account_taken", Text("An HR account '%(name)s' exists already. Nothing was changed.", name=name)
        )
    plain, locked = split_settings(connector, settings, secrets_box)
    account = HrAccount(
        name=name,
        connector=connector.key,
        settings=plain,
        secrets_locked=locked,
        grade_ranks=ranks,
        schedule=DAILY,
        next_run_at=now + timedelta(minutes=DAILY),
        created_at=now,
    )
    db.add(account)
    db.flush()
    audit.record(db, actor, "hr_account.add", account.id, now)
    return account


def check_settings(connector: HasSettings, settings: Mapping[str, Any]) -> None:
    """Refuse settings that the connector's schema refuses.

    :param settings: secrets among them.
    :raises InputError: `details` maps each wrong setting to a sentence.
    **Touches** pure.
    """
    schema = connector.settings_schema()
    try:
        schema.load(settings)
    except ma.ValidationError as error:
        found = faults.explain(schema, error.messages_dict)
        told = Text(
            "These settings cannot be used. Nothing was changed. %(text)s",
            text=" ".join(faults.sentences(schema, found)),
        )
        raise InputError("settings_invalid", told, found) from error


def load_account_settings(account: HrAccount, connector: HrisConnector, secrets_box: Secrets) -> Any:
    """Give an account's settings as its connector wants them, secrets included.

    **Touches** pure but for the key.
    """
    return join_settings(connector, account.settings, account.secrets_locked, secrets_box)
