"""Background work on HR accounts: planned and wanted runs, checks, fetching people who changed."""

import shlex
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import select

from rmplugin.db import Db, chunks
from rmplugin.errors import ConflictError, InputError, NotFoundError, RetriableError, RmError
from rmplugin.hris import operations, queries
from rmplugin.jobs import Runtime
from rmplugin.logins import digest
from rmplugin.people import operations as people
from rmplugin.people.queries import was_applied
from rmplugin.people.tasks import check_account, hold_account, load_settings, sync_roster
from rmplugin.records import Capabilities, CheckResult, RosterPage, WebhookNotice, WebhookReader
from rmplugin.tenants.checks import Finding
from rmplugin.tenants.models import HrAccount

log = structlog.get_logger()

FETCHED_AT_ONCE = 100
FETCHED_IN_A_RUN = 10_000


def want_due_runs(runtime: Runtime) -> None:
    """Ask for the runs that are due. **Touches** reads hr_account; writes it and outbox_event."""
    now = runtime.clock()
    with runtime.database.unbound(write=False) as db:
        query = select(HrAccount.tenant_id, HrAccount.id).where(HrAccount.next_run_at <= now)
        due = db.execute(query.order_by(HrAccount.next_run_at)).all()
    for tenant_id, account_id in due:
        with runtime.database.transaction(tenant_id) as db:
            operations.want_due_run(db, account_id, now)


def run_wanted(runtime: Runtime, tenant_id: uuid.UUID, payload: Mapping[str, Any]) -> None:
    """Read an account that is due, or that somebody wants read now.

    :param payload: {"account_id", "actor", "full"}.
    **Touches** what `sync_roster` touches; writes hr_account.
    """
    with runtime.database.transaction(tenant_id, write=False) as db:
        account = db.get(HrAccount, uuid.UUID(payload["account_id"]))
    if account is None:
        return
    now, database = runtime.clock(), runtime.database
    try:
        report = sync_roster(
            database,
            runtime.plugins,
            tenant_id,
            account.name,
            full=payload["full"],
            now=now,
            actor=payload["actor"],
        )
        failed = report.status == "failed"
    except ConflictError:
        # Another run of the account is at work, which is what was wanted.
        return
    except (InputError, NotFoundError) as error:
        # Settings that do not fit any more, or a plug-in that was removed: nothing could begin.
        _record_failure(runtime, tenant_id, account, error.message_for_user)
        failed = True
    except Exception as error:  # noqa: BLE001 - the run is closed as failed already; the plan goes on.
        log.error("roster_run_crashed", account=str(account.id), error=type(error).__name__)
        failed = True
    if failed:
        with database.transaction(tenant_id) as db:
            operations.plan_after_failure(db, db.get_one(HrAccount, account.id), now)


def _record_failure(runtime: Runtime, tenant_id: uuid.UUID, account: HrAccount, reason: str) -> None:
    now = runtime.clock()
    with hold_account(runtime.database, account.id), runtime.database.transaction(tenant_id) as db:
        run = people.begin_run(db, account, "full", now)
        people.fail_run(db, run.id, reason, now)


def check_wanted(runtime: Runtime, tenant_id: uuid.UUID, payload: Mapping[str, Any]) -> None:
    """Try the connection of an account, and keep what came of it for the page.

    :param payload: {"account_id"}.
    **Touches** the connector's system; writes hr_account.
    """
    account_id = uuid.UUID(payload["account_id"])
    with runtime.database.transaction(tenant_id, write=False) as db:
        account = db.get(HrAccount, account_id)
    if account is None:
        return
    results = _check_safely(runtime, tenant_id, account)
    rows = [{"what": str(r.what), "ok": r.ok, "advice": str(r.advice)} for r in results]
    with runtime.database.transaction(tenant_id) as db:
        known = db.get(HrAccount, account_id)
        if known is not None:
            known.checked = {"asked_at": runtime.clock().isoformat(), "results": rows}


def _check_safely(runtime: Runtime, tenant_id: uuid.UUID, account: HrAccount) -> list[CheckResult]:
    try:
        return check_account(runtime.database, runtime.plugins, tenant_id, account.name)
    except RmError as error:
        return [CheckResult("Connection", ok=False, advice=error.message_for_user)]
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the page must hear of it.
        log.error("hris_check_crashed", connector=account.connector, error=type(error).__name__)
        advice = f"The check stopped with an unexpected error ({type(error).__name__})."
        return [CheckResult("Connection", ok=False, advice=advice)]


def examine_schedules(runtime: Runtime, tenant_id: uuid.UUID) -> list[Finding]:
    """Say of every account whether its runs succeed and whether one waits for a person, for `doctor`.

    **Touches** reads hr_account, roster_run.
    """
    with runtime.database.transaction(tenant_id, write=False) as db:
        newest = queries.newest_runs(db)
        accounts = db.scalars(select(HrAccount).order_by(HrAccount.name)).all()
        return [_examine(db, account, newest.get(account.id)) for account in accounts]


def _examine(db: Db, account: HrAccount, run: Any) -> Finding:
    what = f"HR account {account.name}: runs"
    if run is None:
        return Finding(what, ok=False, advice=f"Not read yet: rmplugin hris sync {shlex.quote(account.name)}")
    if run.status == "held":
        name = shlex.quote(account.name)
        advice = f"{run.held_reason} Then: rmplugin hris accept {name}, or: rmplugin hris drop {name}"
        return Finding(what, ok=False, advice=advice)
    if run.status == "failed":
        failures = queries.count_failures(db, account.id)
        again = (
            f" {failures} failed in a row; tried again at {account.next_run_at:%Y-%m-%d %H:%M} UTC."
            if account.next_run_at
            else ""
        )
        return Finding(what, ok=False, advice=f"{run.held_reason}{again}")
    planned = f"next at {account.next_run_at:%Y-%m-%d %H:%M} UTC" if account.next_run_at else "by hand only"
    return Finding(what, ok=True, advice=planned)


def tidy(runtime: Runtime) -> None:
    """Forget old notices. **Touches** deletes from hr_notice."""
    with runtime.database.unbound() as db:
        operations.prune_notices(db, runtime.clock())


# -- notices of HR systems ---------------------------------------------------------------------------------


def find_webhook(runtime: Runtime, token: str) -> HrAccount | None:
    """Find the account to which an address for notices belongs; None when it is not in use.

    **Touches** reads hr_account.
    """
    with runtime.database.unbound(write=False) as db:
        return db.scalars(select(HrAccount).where(HrAccount.webhook_sha256 == digest(token))).first()


def read_notice(
    runtime: Runtime, account: HrAccount, headers: Mapping[str, str], body: bytes
) -> WebhookNotice:
    """Let the account's connector check a notice and say whom it is about.

    :raises NotFoundError: the connector is not there, or takes no notices.
    :raises NotAllowedError: the notice is not from the source.
    :raises InputError: it is, but makes no sense; or the account's settings are wrong.
    **Touches** decrypts the secrets.
    """
    connector = runtime.plugins.connector(account.connector)
    settings = load_settings(runtime.database, connector, account)
    if not isinstance(connector, WebhookReader):
        raise NotFoundError
    return connector.read_notice(settings, headers, body, runtime.clock())


def take_notice(runtime: Runtime, account: HrAccount, notice: WebhookNotice) -> bool:
    """Note whom a notice is about, in one transaction.

    :return: False when the same notice was taken before.
    **Touches** writes hr_notice, noticed_person, outbox_event.
    """
    with runtime.database.transaction(account.tenant_id) as db:
        return operations.take_notice(db, account.id, notice, runtime.clock())


class _Fetching:
    """The account's connector, reading only the people of notices; absence means nothing.

    :param keys: whom to fetch.
    """

    capabilities = Capabilities(full_is_complete=False, incremental=True)

    def __init__(self, connector: Any, keys: Sequence[str]) -> None:
        self.key, self.title = connector.key, connector.title
        self.settings_schema = connector.settings_schema
        self._connector, self._keys = connector, keys

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Check as the connector does."""
        return list(self._connector.check(settings))

    def read(self, settings: Mapping[str, Any], cursor: str | None) -> Iterator[RosterPage]:
        """Fetch the people; how far the source's changes were read stays as it is."""
        del cursor
        for part in chunks(self._keys, FETCHED_AT_ONCE):
            for page in self._connector.fetch(settings, part):
                yield replace(page, cursor=None, total=None)


def fetch_noticed(runtime: Runtime, tenant_id: uuid.UUID, payload: Mapping[str, Any]) -> None:
    """Fetch the people of an account who changed, and apply what came as an incremental run.

    :param payload: {"account_id"}.
    :raises ConflictError: a run of the account is at work; the outbox asks again.
    :raises RetriableError: the source could not be read; the outbox asks again.
    **Touches** what `sync_roster` touches; deletes from noticed_person.
    """
    account_id = uuid.UUID(payload["account_id"])
    while True:
        with runtime.database.transaction(tenant_id, write=False) as db:
            account = db.get(HrAccount, account_id)
            rows = queries.noticed_keys(db, account_id, FETCHED_IN_A_RUN)
            is_read = was_applied(db, account_id)
        if account is None or not rows:
            return
        connector = runtime.plugins.connectors.get(account.connector)
        # Before the first full reading was accepted there is nobody to change, and it will have them all.
        if is_read and isinstance(connector, WebhookReader):
            report = sync_roster(
                runtime.database,
                runtime.plugins,
                tenant_id,
                account.name,
                now=runtime.clock(),
                actor="webhook",
                connector=_Fetching(connector, [key for _id, key in rows]),
            )
            if report.status == "failed":
                raise RetriableError(account.connector, "fetch", "", None, report.held_reason or "")
        with runtime.database.transaction(tenant_id) as db:
            operations.forget_fetched(db, (row_id for row_id, _key in rows))
