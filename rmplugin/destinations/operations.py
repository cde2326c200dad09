"""What changes the accounts that credits are told to."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from rmplugin import audit, jobs
from rmplugin.db import Db, Secrets
from rmplugin.destinations import store
from rmplugin.destinations.models import SinkAccount
from rmplugin.errors import ConflictError
from rmplugin.jobs import OutboxEvent
from rmplugin.sinks import CreditSink
from rmplugin.tenants.operations import check_settings
from rmplugin.tenants.queries import secret_names, split_settings
from rmplugin.texts import Text

# Kind of outbox event: lines that were written before an account are told to it; names the account.
FILL_WANTED = "sink_fill_wanted"
# Whoever began to write a line before the account was there has ended by then.
STRAGGLERS_AFTER = timedelta(minutes=10)


def add_account(
    db: Db,
    name: str,
    sink: CreditSink,
    settings: Mapping[str, Any],
    secrets_box: Secrets,
    now: datetime,
    *,
    since: datetime | None = None,
    actor: str = "command",
) -> SinkAccount:
    """Connect a system; from then on it is told each line of the ledger.

    :param settings: as given, secrets among them; checked by the sink's schema.
    :param since: lines and completions from this moment on are told, too; None for those from now on.
    :raises InputError: `details` maps each wrong setting to a sentence.
    :raises ConflictError: the name is taken.
    **Touches** writes sink_account, outbox_event, audit_entry.
    """
    check_settings(sink, settings)
    if db.scalars(select(SinkAccount.id).where(SinkAccount.name == name)).first():
        raise ConflictError(
            "account_taken", Text("An account '%(name)s' exists already. Nothing was changed.", name=name)
        )
    plain, locked = split_settings(sink, settings, secrets_box)
    account = SinkAccount(
        name=name,
        sink=sink.key,
        settings=plain,
        secrets_locked=locked,
        takes=sorted(sink.takes),
        corrects=sink.corrects,
        takes_from=since or now,
        created_at=now,
    )
    db.add(account)
    db.flush()
    audit.record(db, actor, "sink_account.add", account.id, now)
    want_fill(db, account, now)
    return account


def want_fill(db: Db, account: SinkAccount, now: datetime) -> None:
    """Have what the account has not been told yet written for it, now and once more for stragglers.

    **Touches** writes outbox_event.
    """
    jobs.enqueue(db, FILL_WANTED, now, account_id=str(account.id), after=None)
    later = now + STRAGGLERS_AFTER
    payload = {"account_id": str(account.id), "after": None}
    db.add(OutboxEvent(kind=FILL_WANTED, payload=payload, state="pending", next_at=later, created_at=now))


def change_account(
    db: Db,
    account: SinkAccount,
    sink: CreditSink,
    settings: Mapping[str, Any],
    secrets_box: Secrets,
    now: datetime,
    *,
    actor: str = "command",
) -> None:
    """Replace an account's settings; secrets that are not given stay as they are.

    :param settings: as given, secrets among them; checked by the sink's schema.
    :raises InputError: `details` maps each wrong setting to a sentence.
    **Touches** writes sink_account, audit_entry; deletes brake.
    """
    kept = secrets_box.unlock(account.secrets_locked) if account.secrets_locked else {}
    hidden = secret_names(sink)
    given = {**{key: value for key, value in kept.items() if key in hidden}, **settings}
    check_settings(sink, given)
    account.settings, account.secrets_locked = split_settings(sink, given, secrets_box)
    store.release(db, store.Door(account.sink, account.id))
    audit.record(db, actor, "sink_account.change", account.id, now, settings=sorted(settings))
    db.info["wake"] = True


def pause(db: Db, account: SinkAccount, now: datetime, *, actor: str = "command") -> None:
    """Send nothing more to an account; what is to be told is kept.

    **Touches** writes sink_account, audit_entry.
    """
    if account.paused_at is None:
        account.paused_at = now
        audit.record(db, actor, "sink_account.pause", account.id, now)


def remove(db: Db, account: SinkAccount, now: datetime, *, actor: str = "command") -> None:
    """Forget an account and what it was told; the other system keeps what it has.

    **Touches** deletes sink_account and its deliveries, brake; writes audit_entry.
    """
    audit.record(db, actor, "sink_account.remove", account.id, now)
    store.release(db, store.Door(account.sink, account.id))
    db.delete(account)
