"""Background work: reading HR accounts and courses' members, with short transactions around the reading."""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any

import marshmallow as ma
import structlog
from sqlalchemy import select

from lti import nrps
from lti.errors import ServiceError
from lti.platforms import Platform
from lti.service import ServiceClient
from rmplugin.db import Database, Db, chunks
from rmplugin.errors import ConflictError, InputError, RetriableError
from rmplugin.jobs import Runtime
from rmplugin.people import operations, queries
from rmplugin.people.canonical import as_record, local_day
from rmplugin.people.models import Person, RosterFuture, RosterRun
from rmplugin.people.reading import Reading
from rmplugin.people.roster import RunReport, Staging
from rmplugin.people.store import record_members
from rmplugin.plugins import Plugins
from rmplugin.records import CheckResult, HrisConnector, RosterPage
from rmplugin.tenants.models import HrAccount, LtiContext, LtiPlatform, LtiResourceLink
from rmplugin.tenants.operations import load_account_settings
from rmplugin.tenants.queries import get_account
from rmplugin.tenants.store import as_platform, service_client
from rmplugin.texts import Text

log = structlog.get_logger()

# Changes alone miss deletions, so everybody is read this often, too.
FULL_EVERY = timedelta(days=7)


def sync_roster(
    database: Database,
    plugins: Plugins,
    tenant_id: uuid.UUID,
    account_name: str,
    *,
    full: bool = False,
    dry_run: bool = False,
    accept_shrink: bool = False,
    accepted: Mapping[str, int] = MappingProxyType({}),
    now: datetime,
    actor: str = "command",
    on_page: Callable[[int, int | None], None] | None = None,
    connector: HrisConnector | None = None,
) -> RunReport:
    """Read an HR account and make its persons equal to it. The first reading of an account is held.

    Everybody is read when that is asked for, when the source has no changes to give or has forgotten from
    where they are asked, and when that was done last more than `FULL_EVERY` ago.

    :param full: read everything, even where the source could give changes only.
    :param dry_run: count only; leaves no trace.
    :param accept_shrink: apply what a brake would hold; written to the audit log.
    :param accepted: brakes that somebody has looked at, with their numbers; no larger ones pass.
    :param on_page: told after each page how many records came, and how many the source has, if it says so.
    :param connector: reads instead of the account's own; None for that.
    :return: what happened; status "failed" when the source could not be read.
    :raises NotFoundError: no such account or connector.
    :raises InputError: the account's settings are wrong.
    :raises ConflictError: another run of this account is at work.
    **Touches** the connector's system; writes what `operations.apply_roster` writes.
    """
    started = time.monotonic()
    with database.transaction(tenant_id, write=False) as db:
        account = get_account(db, account_name)
    connector = connector or find_connector(database, plugins, tenant_id, account)
    settings = load_settings(database, connector, account)
    with hold_account(database, account.id), Staging(account.grade_ranks, now, account.rank_by) as staging:
        # Now that nobody else runs, the account is as the run before left it.
        with database.transaction(tenant_id, write=False) as db:
            account = get_account(db, account_name)
            cursor = None if full or _is_full_due(db, account, connector, now) else account.cursor
        job = _Job(database, tenant_id, account, staging, now, started)
        reading = Reading(connector, settings, staging, cursor, on_page or (lambda _seen, _total: None))
        run_id = None if dry_run else job.begin(reading.mode)
        failure = reading.read()
        # Where changes can be asked for, the same place in them tells nothing: deletions move none of them.
        if not connector.capabilities.incremental and staging.cursor is not None:
            staging.is_same_export = staging.cursor == account.cursor
        if failure:
            report = job.fail(reading.mode, run_id, failure)
        elif run_id is None:
            report = job.preview(everybody=reading.everybody)
        else:
            report = job.apply(
                run_id,
                reading.mode,
                everybody=reading.everybody,
                accept_shrink=accept_shrink,
                accepted=accepted,
                actor=actor,
            )
    report.seconds = time.monotonic() - started
    return report


def _is_full_due(db: Db, account: HrAccount, connector: HrisConnector, now: datetime) -> bool:
    """Tell whether changes alone are not enough: they may miss deletions."""
    if not connector.capabilities.incremental:
        return False
    last = queries.find_last_good_run(db, account.id)
    return last is None or last.started_at < now - FULL_EVERY


@dataclass(frozen=True)
class _Job:
    """One run with all that its short transactions need."""

    database: Database
    tenant_id: uuid.UUID
    account: HrAccount
    staging: Staging
    now: datetime
    started: float

    def ended(self) -> datetime:
        return self.now + timedelta(seconds=time.monotonic() - self.started)

    def begin(self, mode: str) -> uuid.UUID:
        with self.database.transaction(self.tenant_id) as db:
            return operations.begin_run(db, self.account, mode, self.now).id

    def preview(self, *, everybody: bool) -> RunReport:
        with self.database.transaction(self.tenant_id, write=False) as db:
            return operations.preview_roster(db, self.account, self.staging, everybody=everybody)

    def apply(self, run_id: uuid.UUID, mode: str, **how: Any) -> RunReport:
        try:
            with self.database.transaction(self.tenant_id) as db:
                run = db.get_one(RosterRun, run_id)
                # What was to be an incremental run has become a full one when the cursor had expired.
                run.mode = mode
                return operations.apply_roster(
                    db, run, self.staging, self.now, finished_at=self.ended(), **how
                )
        except Exception:
            self.fail(
                mode, run_id, "The roster was read but could not be stored. Nobody was changed. Try again."
            )
            raise

    def fail(self, mode: str, run_id: uuid.UUID | None, reason: str) -> RunReport:
        if run_id is not None:
            with self.database.transaction(self.tenant_id) as db:
                operations.fail_run(db, run_id, reason, self.ended())
        return RunReport(
            run_id=str(run_id) if run_id else None,
            status="failed",
            mode=mode,
            seen=self.staging.seen,
            skipped=self.staging.skipped,
            held_reason=reason,
        )


def apply_accepted_run(runtime: Runtime, tenant_id: uuid.UUID, payload: Mapping[str, Any]) -> None:
    """Read an account again after somebody accepted a held run, and apply it if nothing got worse.

    :param payload: {"account_id", "run_id", "actor"}.
    :raises ConflictError: another run of the account is at work; the outbox asks again.
    **Touches** what `sync_roster` touches.
    """
    with runtime.database.transaction(tenant_id, write=False) as db:
        run = db.get(RosterRun, uuid.UUID(payload["run_id"]))
        account = db.get(HrAccount, uuid.UUID(payload["account_id"]))
        # Somebody dropped it meanwhile, or another reading made it old.
        if run is None or account is None or run.status != "held":
            return
        newest = queries.newest_run(db, account.id)
        if run.mode != "dates" and newest is not None and newest.id != run.id:
            return
        brakes = run.notes.get("brakes", {})
    if run.mode == "dates":
        _refresh_account(
            runtime, tenant_id, account, runtime.clock(), accepted=brakes, actor=payload["actor"]
        )
        return
    report = sync_roster(
        runtime.database,
        runtime.plugins,
        tenant_id,
        account.name,
        full=run.mode == "full",
        accepted=brakes,
        now=runtime.clock(),
        actor=payload["actor"],
    )
    log.info("accepted_run_worked", account=str(account.id), run=report.run_id, status=report.status)


def refresh_all_dates(runtime: Runtime) -> None:
    """Do `refresh_dates` for every tenant of whom a day may have come.

    **Touches** what `refresh_dates` touches.
    """
    now = runtime.clock()
    with runtime.database.unbound(write=False) as db:
        people = select(Person.tenant_id).where(Person.changes_on <= _last_day(now))
        people = people.where(Person.lifecycle != "tombstoned")
        futures = select(RosterFuture.tenant_id).where(RosterFuture.effective_on <= _last_day(now))
        tenants = db.scalars(people.union(futures)).all()
    for tenant_id in tenants:
        refresh_dates(runtime, tenant_id, now)


def refresh_dates(runtime: Runtime, tenant_id: uuid.UUID, now: datetime) -> int:
    """Let hire dates, leaving dates and records of later days take effect whose day has come.

    Each at midnight where the person is. Brakes hold what would empty a programme; that is tried again after
    a day.

    :return: of how many accounts a day has come.
    **Touches** writes what `operations.apply_roster` writes.
    """
    with runtime.database.transaction(tenant_id, write=False) as db:
        accounts = [
            account
            for account in db.scalars(select(HrAccount).order_by(HrAccount.id))
            if not queries.waits_for_a_person(db, account.id, now - timedelta(days=1))
        ]
    worked = 0
    for account in accounts:
        # When a run of the account is at work, there is a next time soon.
        with contextlib.suppress(ConflictError):
            worked += _refresh_account(runtime, tenant_id, account, now)
    return worked


def _refresh_account(
    runtime: Runtime,
    tenant_id: uuid.UUID,
    account: HrAccount,
    now: datetime,
    *,
    accepted: Mapping[str, int] = MappingProxyType({}),
    actor: str = "worker",
) -> bool:
    database = runtime.database
    with hold_account(database, account.id), Staging(account.grade_ranks, now, account.rank_by) as staging:
        with database.transaction(tenant_id, write=False) as db:
            futures = _stage_due(db, account.id, staging, now)
        if not staging.seen:
            return False
        with database.transaction(tenant_id) as db:
            run = operations.begin_run(db, account, "dates", now)
            report = operations.apply_roster(
                db, run, staging, now, everybody=False, accepted=accepted, sighted=False, actor=actor
            )
            if report.status == "complete":
                operations.forget_futures(db, account.id, futures)
    log.info("roster_dates_came", account=str(account.id), status=report.status, **report.counts)
    return True


def _stage_due(db: Db, account_id: uuid.UUID, staging: Staging, now: datetime) -> list[tuple[str, date]]:
    """Stage whom a day changes, as they are known, and what was known to hold from a day on.

    :return: (key, day) of the records of later days that were staged.
    """
    last_day, futures = _last_day(now), []
    for chunk in chunks(queries.changing_people(db, account_id, last_day), operations.CHUNK):
        known = [
            as_record({"ref": "a date", **document})
            for day, document in chunk
            if _has_come(day, document, now)
        ]
        staging.add_page(RosterPage(known))
    for day, document in queries.coming_records(db, account_id, last_day):
        if _has_come(day, document, now):
            futures.append((document["source_key"], day))
            staging.add_page(RosterPage([as_record({**document, "effective_from": None})]), newest_wins=True)
    return futures


def _has_come(day: date, document: Mapping[str, Any], now: datetime) -> bool:
    return day <= local_day(document.get("time_zone"), now)


def _last_day(now: datetime) -> date:
    """Give the latest day that it is anywhere, which is that of UTC+14."""
    return (now + timedelta(hours=14)).date()


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
            Text(
                "The settings of the HR account '%(name)s' cannot be used: %(fields)s. Nobody was changed. "
                "Correct them on the account's page.",
                name=account.name,
                fields=", ".join(sorted(messages)),
            ),
            messages,
        ) from error


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
