"""Examining the installation and its connections, and throwing away what has expired."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import NamedTuple

import requests
from sqlalchemy import delete, func, select, text

from lti import ags, nrps, registration
from lti.errors import ServiceError
from lti.platforms import Platform
from lti.service import ServiceClient
from rmplugin.errors import RmError
from rmplugin.jobs import OutboxEvent, Runtime
from rmplugin.logins import ABSOLUTE, PostedForm, WebSession, digest
from rmplugin.migrations import is_current
from rmplugin.tenants.invites import claim_invite, describe_tool, finish_invite, release_invite, values_of
from rmplugin.tenants.models import (
    HrAccount,
    LtiCache,
    LtiContext,
    LtiDeployment,
    LtiLogin,
    LtiPlatform,
    LtiResourceLink,
    PlatformInvite,
    ToolKey,
)
from rmplugin.tenants.queries import get_platform, get_tenant, may_make_column
from rmplugin.tenants.store import PlatformStore, as_platform

CLOCK_TOLERANCE = timedelta(seconds=30)
LATE = timedelta(minutes=10)
FORMS_KEPT_FOR = timedelta(days=2)


class Finding(NamedTuple):
    """One line of an examination.

    :param advice: what was found; when not ok, what to do.
    """

    what: str
    ok: bool
    advice: str


def examine(runtime: Runtime, tenant_slug: str | None) -> list[Finding]:
    """Examine database, queue, keys, address, platforms and HR accounts.

    :param tenant_slug: None for the only tenant.
    **Touches** the database; every platform's key set; every HR system.
    """
    findings = list(_examine_installation(runtime))
    if not all(finding.ok for finding in findings[:2]):
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
    findings += [_examine_key_set(runtime, row) for row in platforms]
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
    https = runtime.settings.https
    advice = runtime.settings.public_url
    yield Finding(
        "public URL", ok=https, advice=advice if https else f"{advice} is not https; LMSs want https."
    )


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


def _examine_key_set(runtime: Runtime, row: LtiPlatform) -> Finding:
    what = f"platform {row.name}: key set"
    try:
        answer = runtime.http.get(row.jwks_url, timeout=(5, 10), allow_redirects=False)
        keys = len(answer.json()["keys"]) if answer.status_code == 200 else 0
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return Finding(
            what, ok=False, advice=f"{row.jwks_url} does not answer with a key set: check the address."
        )
    if not keys:
        return Finding(what, ok=False, advice=f"{row.jwks_url} answered {answer.status_code} without keys.")
    skew = _clock_skew(answer.headers.get("Date"), runtime.clock())
    if skew is not None and abs(skew) > CLOCK_TOLERANCE:
        seconds = int(abs(skew).total_seconds())
        behind = "behind" if skew > timedelta() else "ahead of"
        return Finding(what, ok=False, advice=f"This machine's clock is {seconds} s {behind} the platform's.")
    return Finding(what, ok=True, advice=f"{keys} keys")


def _clock_skew(date: str | None, now: datetime) -> timedelta | None:
    try:
        return parsedate_to_datetime(date).astimezone(UTC) - now if date else None
    except ValueError:
        return None


def _examine_account(runtime: Runtime, row: HrAccount) -> Finding:
    what = f"HR account {row.name}"
    connector = runtime.plugins.connectors.get(row.connector)
    if connector is None:
        return Finding(what, ok=False, advice=f"The plug-in for '{row.connector}' is not installed.")
    try:
        hidden = runtime.database.secrets.unlock(row.secrets_locked) if row.secrets_locked else {}
        results = connector.check(connector.settings_schema().load({**row.settings, **hidden}))
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the others must be examined, too.
        return Finding(what, ok=False, advice=f"The check failed ({type(error).__name__}).")
    wrong = [f"{result.what}: {result.advice}" for result in results if not result.ok]
    return Finding(what, ok=not wrong, advice="; ".join(wrong) or "reads")


def check_platform(runtime: Runtime, tenant_id: uuid.UUID, name: str) -> list[Finding]:
    """Try everything that works without a launch: key set, token, roster page, gradebook.

    :raises NotFoundError: there is no platform of that name.
    **Touches** calls the platform; changes nothing there.
    """
    with runtime.database.transaction(tenant_id, write=False) as db:
        row = get_platform(db, name)
        of_platform = select(LtiContext).where(LtiContext.platform_id == row.id)
        course = db.scalars(of_platform.order_by(LtiContext.last_launch_at.desc()).limit(1)).one_or_none()
        link = None
        if course is not None:
            links = select(LtiResourceLink).where(LtiResourceLink.context_id == course.id)
            link = db.scalars(links.order_by(LtiResourceLink.last_launch_at.desc()).limit(1)).one_or_none()
    store = PlatformStore(runtime.database, runtime.clock)
    client = ServiceClient(store, runtime.http, runtime.clock)
    findings = [_examine_key_set(runtime, row)]
    if course is None or link is None:
        advice = "Nobody has launched yet. Open the activity once from a course, then check again."
        return [*findings, Finding("course", ok=False, advice=advice)]
    platform = as_platform(row)
    findings.append(_try_roster(client, platform, course))
    findings.append(_try_gradebook(client, platform, link))
    return findings


def _try_roster(client: ServiceClient, platform: Platform, course: LtiContext) -> Finding:
    if course.memberships_url is None:
        advice = "The launch offered no roster. Turn on Names and Role Provisioning for the tool in the LMS."
        return Finding("roster (NRPS)", ok=False, advice=advice)
    try:
        count = sum(1 for _ in islice(nrps.members(client, platform, course.memberships_url), 10))
    except ServiceError as error:
        return Finding("roster (NRPS)", ok=False, advice=_advise(error))
    return Finding("roster (NRPS)", ok=True, advice=f"read; {count} or more members")


def _try_gradebook(client: ServiceClient, platform: Platform, link: LtiResourceLink) -> Finding:
    if link.line_item_url is None and may_make_column(platform.family, link):
        advice = "The activity has no column yet; the tool makes one with the first grade."
        return Finding("gradebook (AGS)", ok=True, advice=advice)
    if link.line_item_url is None:
        advice = (
            "The activity has no gradebook column of its own. In Moodle: set 'Grade' to Point and let "
            "the tool accept "
            "grades. In Canvas: add it as an assignment of type External Tool."
        )
        return Finding("gradebook (AGS)", ok=False, advice=advice)
    if ags.SCOPE_SCORE not in link.scopes:
        advice = (
            "The LMS does not let the tool write scores: allow Assignment and Grade Services in its settings."
        )
        return Finding("gradebook (AGS)", ok=False, advice=advice)
    try:
        item = ags.get_line_item(client, platform, link.line_item_url, offered_scopes=link.scopes)
    except ServiceError as error:
        return Finding("gradebook (AGS)", ok=False, advice=_advise(error))
    return Finding("gradebook (AGS)", ok=True, advice=f"column '{item.label}', maximum {item.score_maximum}")


def _advise(error: ServiceError) -> str:
    if error.code == "token_refused":
        return (
            f"The platform gave no access token ({error.status}). Check client id, token address and "
            f"that the platform "
            "can reach this tool's key set at /lti/jwks."
        )
    return f"{error}"


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
    """Throw away logins, caches, sessions and form keys that have expired.

    **Touches** deletes from lti_login, lti_cache, web_session, posted_form.
    """
    now = runtime.clock()
    with runtime.database.transaction(None) as db:
        db.execute(delete(LtiLogin).where(LtiLogin.expires_at < now - timedelta(minutes=10)))
        db.execute(delete(LtiCache).where(LtiCache.expires_at < now))
        db.execute(delete(WebSession).where(WebSession.created_at < now - 2 * ABSOLUTE))
        db.execute(delete(PostedForm).where(PostedForm.posted_at < now - FORMS_KEPT_FOR))
