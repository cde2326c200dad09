"""Examining the installation and its connections, and throwing away what has expired."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import delete, func, select, text

from lti import registration
from rmplugin.db import Db
from rmplugin.errors import RmError
from rmplugin.jobs import OutboxEvent, Runtime
from rmplugin.logins import ABSOLUTE, PostedForm, WebSession, digest
from rmplugin.migrations import is_current
from rmplugin.tenants import checks
from rmplugin.tenants.checks import Finding
from rmplugin.tenants.invites import claim_invite, describe_tool, finish_invite, release_invite, values_of
from rmplugin.tenants.keys import rotate_due_keys
from rmplugin.tenants.models import (
    HrAccount,
    LtiCache,
    LtiContext,
    LtiDeployment,
    LtiLogin,
    LtiPlatform,
    LtiResourceLink,
    PlatformInvite,
    Tenant,
    ToolKey,
)
from rmplugin.tenants.operations import keep_check, load_account_settings, prune_attempts
from rmplugin.tenants.queries import CHECK_KEY, get_platform, get_tenant
from rmplugin.tenants.store import PlatformStore, as_platform, service_client

log = structlog.get_logger()

LATE = timedelta(minutes=10)
FORMS_KEPT_FOR = timedelta(days=2)


def in_each_tenant(runtime: Runtime, work: Callable[[Db, datetime], int]) -> int:
    """Do something for every tenant, each in a transaction of its own; what fails for one stops no other.

    :param work: gives how many rows, people or pairs it was about.
    :return: the sum.
    **Touches** what `work` touches.
    """
    with runtime.database.unbound(write=False) as db:
        tenants = db.scalars(select(Tenant.id)).all()
    done = 0
    for tenant_id in tenants:
        try:
            with runtime.database.transaction(tenant_id) as db:
                done += work(db, runtime.clock())
        except Exception as error:  # noqa: BLE001 - one tenant's trouble must not keep the others waiting.
            log.error("not_done", work=work.__qualname__, tenant=str(tenant_id), kind=type(error).__name__)
    return done


def examine(runtime: Runtime, tenant_slug: str | None) -> list[Finding]:
    """Examine database, queue, keys, address, platforms and HR accounts.

    :param tenant_slug: None for the only tenant.
    **Touches** the database; every platform's key set; every HR system.
    """
    findings = list(_examine_installation(runtime))
    if not all(finding.ok for finding in findings if finding.what in ("database", "migrations", "keys")):
        return findings
    try:
        with runtime.database.transaction(None, write=False) as db:
            tenant = get_tenant(db, tenant_slug)
    except RmError as error:
        return [*findings, Finding("tenant", ok=False, advice=error.message_for_user)]
    with runtime.database.transaction(tenant.id, write=False) as db:
        platforms = list(db.scalars(select(LtiPlatform)))
        accounts = list(db.scalars(select(HrAccount)))
        waiting = db.scalar(select(func.count(LtiDeployment.id)).where(LtiDeployment.state == "pending"))
    if not platforms:
        findings.append(Finding("platforms", ok=False, advice="None yet: rmplugin platform add --help"))
    if waiting:
        advice = f"{waiting} wait for approval: rmplugin platform approve NAME"
        findings.append(Finding("deployments", ok=False, advice=advice))
    exams = [_prepare(runtime, tenant.id, row.name) for row in platforms]
    findings += _examine_door(runtime, exams)
    for exam in exams:
        found = _examine_platform(exam, read_only=True)
        findings += [finding._replace(what=f"platform {exam.row.name}: {finding.what}") for finding in found]
    findings += [_examine_account(runtime, row) for row in accounts]
    return findings


def _examine_installation(runtime: Runtime) -> Iterator[Finding]:
    try:
        with runtime.database.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except Exception as error:  # noqa: BLE001 - every driver raises its own.
        advice = f"Cannot be reached ({type(error).__name__}): check RM_DATABASE_URL."
        yield Finding("database", ok=False, advice=advice)
        return
    yield Finding("database", ok=True, advice=runtime.database.engine.dialect.name)
    current = is_current(runtime.database.engine)
    yield Finding("migrations", ok=current, advice="up to date" if current else "Run `rmplugin init`.")
    if not current:
        return
    try:
        advice = f"{runtime.queue.pending_count()} waiting"
        yield Finding("queue", ok=True, advice=advice)
    except Exception as error:  # noqa: BLE001 - every queue raises its own.
        advice = f"Cannot be reached ({type(error).__name__}): check RM_QUEUE_URL."
        yield Finding("queue", ok=False, advice=advice)
    yield from _examine_work(runtime)


def _examine_door(runtime: Runtime, exams: Sequence[checks.Exam]) -> Iterator[Finding]:
    families = {exam.row.family for exam in exams}
    # With several families, each would name another setting.
    quirks = runtime.plugins.quirks_of(families.pop() if len(families) == 1 else None)
    origins = {origin for exam in exams for origin in checks.origins_of(exam)}
    published = PlatformStore(runtime.database, runtime.clock).published_jwks()
    return checks.examine_door(runtime, quirks, sorted(origins), [str(key["kid"]) for key in published])


def _examine_work(runtime: Runtime) -> Iterator[Finding]:
    late = runtime.clock() - LATE
    with runtime.database.unbound(write=False) as db:
        keys = set(db.scalars(select(ToolKey.state)))
        dead = db.scalar(select(func.count(OutboxEvent.id)).where(OutboxEvent.state == "dead"))
        waiting = db.scalar(
            select(func.count(OutboxEvent.id)).where(
                OutboxEvent.state == "pending", OutboxEvent.attempts == 0, OutboxEvent.created_at < late
            )
        )
    ok = {"current", "next"} <= keys
    yield Finding("keys", ok=ok, advice="current and next are there" if ok else "Run `rmplugin init`.")
    advice = "keeps up"
    if waiting:
        advice = f"{waiting} events wait for more than ten minutes: is `rmplugin worker` running?"
    elif dead:
        advice = (
            f"{dead} events were given up; the worker's log names them (event_failed). "
            "When the cause is mended: rmplugin credits deliver --revive"
        )
    yield Finding("worker", ok=not (dead or waiting), advice=advice)


def _examine_account(runtime: Runtime, row: HrAccount) -> Finding:
    what = f"HR account {row.name}"
    connector = runtime.plugins.connectors.get(row.connector)
    if connector is None:
        return Finding(what, ok=False, advice=f"The plug-in for '{row.connector}' is not installed.")
    try:
        results = connector.check(load_account_settings(row, connector, runtime.database.secrets))
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the others must be examined, too.
        return Finding(what, ok=False, advice=f"The check failed ({type(error).__name__}).")
    wrong = [f"{result.what}: {result.advice}" for result in results if not result.ok]
    return Finding(what, ok=not wrong, advice="; ".join(wrong) or "reads")


def check_platform(
    runtime: Runtime, tenant_id: uuid.UUID, name: str, *, read_only: bool = False
) -> list[Finding]:
    """Try everything that works without a launch, as far as the last launch offered it.

    :param read_only: leave the gradebook alone; else a column is made, written, read and deleted again, on
        platforms where nobody sees it.
    :raises NotFoundError: there is no platform of that name.
    **Touches** calls the platform and the tool's own address.
    """
    exam = _prepare(runtime, tenant_id, name)
    return [*_examine_platform(exam, read_only=read_only), *_examine_door(runtime, [exam])]


def _prepare(runtime: Runtime, tenant_id: uuid.UUID, name: str) -> checks.Exam:
    with runtime.database.transaction(tenant_id, write=False) as db:
        row = get_platform(db, name)
        of_platform = select(LtiContext).where(LtiContext.platform_id == row.id)
        course = db.scalars(of_platform.order_by(LtiContext.last_launch_at.desc()).limit(1)).one_or_none()
        link = None
        if course is not None:
            links = select(LtiResourceLink).where(LtiResourceLink.context_id == course.id)
            link = db.scalars(links.order_by(LtiResourceLink.last_launch_at.desc()).limit(1)).one_or_none()
    return checks.Exam(
        runtime=runtime,
        client=service_client(runtime),
        row=row,
        platform=as_platform(row, course.deployment_id if course is not None else None),
        quirks=runtime.plugins.quirks_of(row.family),
        course=course,
        link=link,
    )


def _examine_platform(exam: checks.Exam, *, read_only: bool) -> Iterator[Finding]:
    yield from checks.examine_key_set(exam)
    token = checks.examine_token(exam)
    yield token
    yield from checks.examine_scopes(exam)
    if exam.course is None or exam.link is None:
        advice = "Nobody has launched yet. Open the activity once from a course, then check again."
        yield Finding("course", ok=False, advice=advice)
        return
    roster, learner = checks.examine_roster(exam)
    gradebook = checks.examine_gradebook(exam)
    # A refused token is one fault, not three.
    yield from (finding for finding in (roster, gradebook) if finding.advice != token.advice)
    if not read_only and roster.ok and gradebook.ok:
        yield checks.try_gradebook(exam, learner)


def run_asked_checks(runtime: Runtime) -> None:
    """Run the checks that administrators asked for on a page, and keep what they find for it.

    **Touches** reads and writes lti_cache; calls the platforms.
    """
    secrets_box = runtime.database.secrets
    with runtime.database.transaction(None, write=False) as db:
        rows = db.scalars(select(LtiCache).where(LtiCache.key.startswith(CHECK_KEY, autoescape=True))).all()
    for row in rows:
        check = secrets_box.unlock(row.value_locked)
        platform_id = uuid.UUID(row.key.removeprefix(CHECK_KEY))
        if check["findings"] is not None:
            continue
        with runtime.database.hold("check", platform_id) as mine:
            if not mine:
                continue
            findings = _check_safely(runtime, uuid.UUID(check["tenant_id"]), check["name"])
            found = {**check, "findings": [finding._asdict() for finding in findings]}
            with runtime.database.transaction(None) as db:
                keep_check(db, platform_id, found, secrets_box, runtime.clock())


def _check_safely(runtime: Runtime, tenant_id: uuid.UUID, name: str) -> list[Finding]:
    try:
        return check_platform(runtime, tenant_id, name)
    except Exception as error:  # noqa: BLE001 - a check that fails must not be tried again each minute.
        log.error("check_failed", platform=name, error=type(error).__name__)
        return [Finding("check", ok=False, advice=f"The check failed ({type(error).__name__}).")]


def find_invite(runtime: Runtime, token: str) -> PlatformInvite | None:
    """Find an invite by the secret part of its address, used and expired ones, too.

    **Touches** reads platform_invite.
    """
    with runtime.database.unbound(write=False) as db:
        return db.scalars(select(PlatformInvite).where(PlatformInvite.token_sha256 == digest(token))).first()


def read_lms(runtime: Runtime, url: str, token: str | None) -> registration.PlatformConfiguration:
    """Ask an LMS what it offers, before anything is registered.

    :param url: `openid_configuration` of the request.
    :param token: `registration_token`; None when none was sent.
    :raises RegistrationError: why that cannot work.
    **Touches** calls the LMS.
    """
    loopback = not runtime.settings.https
    return registration.read_configuration(runtime.http, url, token, loopback=loopback)


def register_tool(
    runtime: Runtime, invite: PlatformInvite, url: str, token: str | None
) -> LtiPlatform | None:
    """Register the tool with the LMS that shows our page, and remember what came of it.

    :param url: `openid_configuration` of the request.
    :param token: `registration_token`; None when none was sent.
    :return: None when the invite was used meanwhile.
    :raises RegistrationError: the LMS could not or would not; the invite can be used again.
    :raises ConflictError: the LMS did, but what it says contradicts another registration.
    **Touches** calls the LMS; writes platform_invite, lti_platform, lti_deployment, audit_entry.
    """
    with runtime.database.transaction(invite.tenant_id) as db:
        if not claim_invite(db, invite.id, runtime.clock()):
            return None
    try:
        lms = read_lms(runtime, url, token)
        request = registration.build_request(describe_tool(runtime.settings.public_url), lms)
        registered = registration.register(runtime.http, lms, request, token)
        with runtime.database.transaction(invite.tenant_id) as db:
            return finish_invite(db, invite.id, values_of(registered), runtime.clock())
    except Exception:
        with runtime.database.transaction(invite.tenant_id) as db:
            release_invite(db, invite.id)
        raise


def tidy(runtime: Runtime) -> None:
    """Throw away logins, caches, sessions, form keys and launch attempts that have expired; rotate keys.

    **Touches** deletes from lti_login, lti_cache, web_session, posted_form, launch_attempt; writes tool_key.
    """
    now = runtime.clock()
    with runtime.database.transaction(None) as db:
        db.execute(delete(LtiLogin).where(LtiLogin.expires_at < now - timedelta(minutes=10)))
        db.execute(delete(LtiCache).where(LtiCache.expires_at < now))
        db.execute(delete(WebSession).where(WebSession.created_at < now - 2 * ABSOLUTE))
        db.execute(delete(PostedForm).where(PostedForm.posted_at < now - FORMS_KEPT_FOR))
        prune_attempts(db, now)
    with runtime.database.transaction(None) as db:
        if rotate_due_keys(db, runtime.database.secrets, now, runtime.settings.key_rotation_days):
            log.info("keys_rotated")
