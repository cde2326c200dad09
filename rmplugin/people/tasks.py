"""Background work with persons: reading an HR account, with short transactions around the slow reading."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import marshmallow as ma
import structlog

from rmplugin.db import Database
from rmplugin.errors import ConflictError, InputError, RmError
from rmplugin.people import operations
from rmplugin.people.models import RosterRun
from rmplugin.people.roster import RunReport, Staging
from rmplugin.plugins import Plugins
from rmplugin.records import CheckResult, HrisConnector
from rmplugin.tenants.models import HrAccount
from rmplugin.tenants.operations import load_account_settings
from rmplugin.tenants.queries import get_account

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
    connector = plugins.connector(account.connector)
    settings = load_settings(database, connector, account)
    cursor = None if full else account.cursor
    everybody = bool(settings.get("full", True)) and (connector.complete or cursor is None)
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
    connector = plugins.connector(account.connector)
    return connector.check(load_settings(database, connector, account))


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
