"""Background work: reading HR accounts and courses' members, with short transactions around the reading."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import marshmallow as ma
import structlog
from sqlalchemy import select

from lti import nrps
from lti.errors import ServiceError
from lti.platforms import Platform
from lti.service import ServiceClient
from rmplugin.db import Database, Db
from rmplugin.errors import ConflictError, InputError, RetriableError, RmError
from rmplugin.jobs import Runtime
from rmplugin.people import operations
from rmplugin.people.models import RosterRun
from rmplugin.people.roster import RunReport, Staging
from rmplugin.people.store import record_members
from rmplugin.plugins import Plugins
from rmplugin.records import CheckResult, HrisConnector
from rmplugin.tenants.models import HrAccount, LtiContext, LtiPlatform, LtiResourceLink
from rmplugin.tenants.operations import load_account_settings
from rmplugin.tenants.queries import get_account
from rmplugin.tenants.store import as_platform, service_client
from rmplugin.texts import Text

log = structlog.get_logger()


def sync_roster(
    database: Database,
    plugins: Plugins,
    tenant_id: uuid.UUID,
    account_name: str,
    *,
    full: bool = False,
    dry_run: bool = False,
    accept_shrink: bool = False,
    now: datetime,
    actor: str = "command",
) -> RunReport:
    """Read an HR account and make its persons equal to it.

    :param full: read everything, even where the source could give changes only.
    :param dry_run: count only; leaves no trace.
    :param accept_shrink: apply what a brake would hold; written to the audit log.
    :return: what happened; status "failed" when the source could not be read.
    :raises NotFoundError: no such account or connector.
    :raises InputError: the account's settings are wrong.
    :raises ConflictError: another run of this account is at work.
    **Touches** the connector's system; writes person, roster_run, hr_account, outbox_event, audit_entry.
    """
    started = time.monotonic()
    with database.transaction(tenant_id, write=False) as db:
        account = get_account(db, account_name)
    connector = find_connector(database, plugins, tenant_id, account)
    settings = load_settings(database, connector, account)
    cursor = None if full else account.cursor
    everybody = (
        bool(settings.get("full", True))
        and connector.capabilities.full_is_complete
        and (cursor is None or not connector.capabilities.incremental)
    )
    with hold_account(database, account.id), Staging(account.grade_ranks, now.date()) as staging:
        job = _Job(
            database=database,
            tenant_id=tenant_id,
            account=account,
            staging=staging,
            everybody=everybody,
            now=now,
            started=started,
        )
        if dry_run:
            failure = _read(connector, settings, cursor, staging)
            report = job.failed(failure) if failure else job.preview()
        else:
            run_id = job.begin()
            failure = _read(connector, settings, cursor, staging)
            report = job.fail(run_id, failure) if failure else job.apply(run_id, actor, accept_shrink)
    report.seconds = time.monotonic() - started
    return report


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One run with all that its short transactions need."""

    database: Database
    tenant_id: uuid.UUID
    account: HrAccount
    staging: Staging
    everybody: bool
    now: datetime
    started: float

    @property
    def mode(self) -> str:
        return "full" if self.everybody else "incremental"

    def ended(self) -> datetime:
        return self.now + timedelta(seconds=time.monotonic() - self.started)

    def begin(self) -> uuid.UUID:
        with self.database.transaction(self.tenant_id) as db:
            return operations.begin_run(db, self.account, self.mode, self.now).id

    def preview(self) -> RunReport:
        with self.database.transaction(self.tenant_id, write=False) as db:
            return operations.preview_roster(db, self.account, self.staging, everybody=self.everybody)

    def apply(self, run_id: uuid.UUID, actor: str, accept_shrink: bool) -> RunReport:  # noqa: FBT001 - private.
        try:
            with self.database.transaction(self.tenant_id) as db:
                return operations.apply_roster(
                    db,
                    db.get_one(RosterRun, run_id),
                    self.staging,
                    self.now,
                    everybody=self.everybody,
                    accept_shrink=accept_shrink,
                    actor=actor,
                    finished_at=self.ended(),
                )
        except Exception:
            self.fail(run_id, "The roster was read but could not be stored. Nobody was changed. Try again.")
            raise

    def fail(self, run_id: uuid.UUID, reason: str) -> RunReport:
        with self.database.transaction(self.tenant_id) as db:
            operations.fail_run(db, run_id, reason, self.ended())
        return self.failed(reason, run_id)

    def failed(self, reason: str, run_id: uuid.UUID | None = None) -> RunReport:
        return RunReport(
            run_id=str(run_id) if run_id else None,
            status="failed",
            mode=self.mode,
            seen=self.staging.seen,
            skipped=self.staging.skipped,
            held_reason=reason,
        )


def check_account(
    database: Database, plugins: Plugins, tenant_id: uuid.UUID, account_name: str
) -> list[CheckResult]:
    """Try an account's connection without changing anything.

    :raises NotFoundError: no such account or connector.
    :raises InputError: the account's settings are wrong.
    **Touches** the connector's system.
    """
    with database.transaction(tenant_id, write=False) as db:
        account = get_account(db, account_name)
    connector = find_connector(database, plugins, tenant_id, account)
    return connector.check(load_settings(database, connector, account))


def find_connector(
    database: Database, plugins: Plugins, tenant_id: uuid.UUID, account: HrAccount
) -> HrisConnector:
    """Give the connector of an account; one that reads our own tables, bound to this account's rows.

    :raises NotFoundError: no plug-in brings it.
    **Touches** pure.
    """
    connector = plugins.connector(account.connector)
    bind = getattr(connector, "of", None)
    return bind(database, tenant_id, account.id) if bind else connector


def load_settings(database: Database, connector: HrisConnector, account: HrAccount) -> dict[str, Any]:
    """Give an account's settings as its connector wants them, secrets included.

    :raises InputError: they do not fit the connector's schema; `details` names the fields.
    **Touches** decrypts the secrets.
    """
    try:
        return dict(load_account_settings(account, connector, database.secrets))
    except ma.ValidationError as error:
        messages = dict(error.messages_dict)
        raise InputError(
            "hris_settings",
            f"The settings of the HR account '{account.name}' cannot be used: {', '.join(sorted(messages))}.",
            messages,
        ) from error


def _read(
    connector: HrisConnector, settings: Mapping[str, Any], cursor: str | None, staging: Staging
) -> str | None:
    """Read all pages into the staging file; give the reason when that fails."""
    try:
        for page in connector.read(settings, cursor):
            staging.add_page(page)
    except RmError as error:
        log.warning("roster_read_failed", connector=connector.key, code=error.code)
        nobody = "" if "Nobody was changed" in error.message_for_user else " Nobody was changed."
        return f"{error.message_for_user}{nobody}"
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the run must end as failed.
        log.error("roster_read_crashed", connector=connector.key, error=type(error).__name__)
        return (
            f"The connector '{connector.key}' stopped with an unexpected error ({type(error).__name__}). "
            "Nobody was changed. Try again; if it happens again, tell the connector's author."
        )
    return None


@contextmanager
def hold_account(database: Database, account_id: uuid.UUID) -> Iterator[None]:
    """Hold an account so that no second run of it begins; a killed process lets go by dying.

    :raises ConflictError: another run holds it.
    **Touches** what `Database.hold` touches.
    """
    with database.hold("roster", account_id) as held:
        if not held:
            raise ConflictError(
                "roster_run_busy",
                "Another run of this HR account is at work. Nothing was changed. Try again later.",
            )
        yield


NO_ACCESS = (
    "The LMS does not let this tool read the members of the course. Its administrator can allow it in the "
    "tool's settings: Names and Role Provisioning."
)
NO_ANSWER = "The LMS did not answer. It is asked again by itself."
NO_SENSE = "The LMS answered with something that is no list of members (%(code)s). Tell its administrator."
NOBODY = "The LMS answered that the course has no members at all, which cannot be right."


@dataclass(frozen=True, slots=True)
class _Course:
    """What a reading needs to know of a course.

    :param link_id: the LMS' id of a link to the tool in the course; None before a launch through one.
    :param wants_claims: an HR id may stand in the claims of the link.
    :param differences_url: where to ask for what changed since the last reading; None to read everybody.
    """

    platform: Platform
    url: str
    link_id: str | None
    wants_claims: bool
    differences_url: str | None


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a reading brought.

    :param complete: everybody is listed; False for what changed since the last reading.
    :param roster_link: where to ask next time for what changed (NRPS 2.0, section 2.4.3); None if nowhere.
    """

    members: list[nrps.Member]
    complete: bool
    roster_link: str | None


def read_course_roster(runtime: Runtime, tenant_id: uuid.UUID, payload: Mapping[str, Any]) -> None:
    """Read the members of a course from the LMS and take them in; a failed reading changes nobody.

    :param payload: {"context_id": text}.
    :raises RetriableError: the LMS did not answer; the outbox asks again.
    **Source** NRPS 2.0. **Touches** calls the platform; writes lti_context and what `record_members` writes.
    """
    context_id = uuid.UUID(payload["context_id"])
    began_at = runtime.clock()
    with runtime.database.hold("course-roster", context_id) as held:
        with runtime.database.transaction(tenant_id, write=False) as db:
            course = _find_course(db, context_id)
        if not held or course is None:
            return
        try:
            reading = _read_members(runtime, course)
        except ServiceError as error:
            _record_problem(runtime, tenant_id, context_id, error)
            return
        with runtime.database.transaction(tenant_id) as db:
            context = db.get_one(LtiContext, context_id)
            if reading.complete and not reading.members:
                context.roster_problem = NOBODY
                return
            now = runtime.clock()
            record_members(
                db, context, reading.members, complete=reading.complete, began_at=began_at, now=now
            )
            context.roster_read_at, context.roster_problem = now, None
            context.roster_link = reading.roster_link
    log.info("course_roster_read", context=str(context_id), members=len(reading.members))


def _find_course(db: Db, context_id: uuid.UUID) -> _Course | None:
    context = db.get(LtiContext, context_id)
    if context is None or context.memberships_url is None:
        return None
    platform = db.get_one(LtiPlatform, context.platform_id)
    links = select(LtiResourceLink.resource_link_id).where(LtiResourceLink.context_id == context_id)
    return _Course(
        platform=as_platform(platform, context.deployment_id),
        url=context.memberships_url,
        link_id=db.scalars(links.order_by(LtiResourceLink.last_launch_at.desc()).limit(1)).first(),
        wants_claims="custom" in platform.identity_sources,
        differences_url=context.roster_link,
    )


def _read_members(runtime: Runtime, course: _Course) -> _Reading:
    """Read everybody, and the claims of the link for those of whom the list itself has no HR id.

    The claims come with a list of their own, of the people who can see that link only, so it never tells who
    has left. Where the platform said so, only what changed since the last reading is read.
    """
    client = service_client(runtime)
    found, complete = _read_changes(client, course), False
    if found is None:
        found, complete = nrps.read_members(client, course.platform, course.url), True
    members = list(found.members)
    bare = any(m.sourcedid is None and not m.roles.is_test_user for m in members)
    if bare and course.wants_claims and course.link_id is not None:
        try:
            members += nrps.members(client, course.platform, course.url, resource_link_id=course.link_id)
        except ServiceError as error:
            # Some platforms know no `rlid`. The list is complete without it.
            log.info("roster_without_claims", code=error.code, status=error.status)
    return _Reading(members, complete=complete, roster_link=found.differences_url)


def _read_changes(client: ServiceClient, course: _Course) -> nrps.Membership | None:
    """Read what changed since the last reading; None when everybody must be read."""
    if course.differences_url is None:
        return None
    try:
        return nrps.read_members(client, course.platform, course.differences_url)
    except ServiceError as error:
        if error.retriable:
            raise
        # The platform has forgotten the address, as it may.
        log.info("roster_without_differences", code=error.code, status=error.status)
        return None


def _record_problem(
    runtime: Runtime, tenant_id: uuid.UUID, context_id: uuid.UUID, error: ServiceError
) -> None:
    """Say in plain words why a reading failed, and have it tried again where that can help."""
    log.warning("roster_read_failed", context=str(context_id), code=error.code, status=error.status)
    if error.retriable:
        problem = NO_ANSWER
    elif error.code in ("token_refused", "unauthorised", "refused"):
        problem = NO_ACCESS
    else:
        problem = Text(NO_SENSE, code=error.code)
    with runtime.database.transaction(tenant_id) as db:
        db.get_one(LtiContext, context_id).roster_problem = problem
    if error.retriable:
        raise RetriableError("LMS", "GET", "", error.status, problem, error.retry_after) from None
