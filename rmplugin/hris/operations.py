"""What changes HR accounts: settings, schedules, ranks, wishes for runs and checks, notices."""

import secrets
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from marshmallow import ValidationError
from marshmallow import missing as MISSING  # noqa: N812 - a constant.
from marshmallow.fields import Field
from sqlalchemy import Table, delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from rmplugin import audit, jobs
from rmplugin.db import Db, Secrets, chunks, new_id
from rmplugin.hris import queries
from rmplugin.hris.models import HrNotice, NoticedPerson
from rmplugin.jobs import OutboxEvent
from rmplugin.logins import digest
from rmplugin.people.models import Person
from rmplugin.people.operations import hand_over
from rmplugin.people.queries import was_applied
from rmplugin.records import HrisConnector, WebhookNotice
from rmplugin.tenants.models import HrAccount
from rmplugin.tenants.operations import check_settings
from rmplugin.tenants.queries import secret_names, split_settings

NOTICE: Table = HrNotice.__table__  # type: ignore[assignment]  # Declared as FromClause; it is a Table here.
NOTICED: Table = NoticedPerson.__table__  # type: ignore[assignment]  # See NOTICE.
NOTICES_KEPT_FOR = timedelta(days=7)


def change_account(
    db: Db,
    account: HrAccount,
    connector: HrisConnector,
    settings: Mapping[str, Any],
    secrets_box: Secrets,
    actor: str,
    now: datetime,
) -> None:
    """Replace an account's settings; secrets that are not given stay as they are.

    :param settings: as given, secrets among them; checked by the connector's schema.
    :raises InputError: `details` maps each wrong setting to a sentence.
    **Touches** writes hr_account, audit_entry.
    """
    hidden = secret_names(connector)
    kept = secrets_box.unlock(account.secrets_locked) if account.secrets_locked else {}
    given = {**{key: value for key, value in kept.items() if key in hidden}, **settings}
    check_settings(connector, given)
    plain, locked = split_settings(connector, given, secrets_box)
    # How far the source's changes were read belongs to the settings with which they were read.
    if _meaning(connector, plain) != _meaning(connector, account.settings):
        account.cursor = None
    account.settings = plain
    account.secrets_locked = locked
    account.checked = None
    audit.record(db, actor, "hr_account.change", account.id, now, settings=sorted(settings))


def _meaning(connector: HrisConnector, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give settings as the connector sees them, each for itself: one that is left out is its default."""
    fields = connector.settings_schema().fields.items()
    return {key: _value(field, settings.get(key, MISSING)) for key, field in fields}


def _value(field: Field[Any], value: Any) -> Any:
    if value is MISSING:
        return field.load_default() if callable(field.load_default) else field.load_default
    try:
        return field.deserialize(value)
    except ValidationError:
        return value


def schedule_account(db: Db, account: HrAccount, minutes: int | None, actor: str, now: datetime) -> None:
    """Say how often an account is read.

    :param minutes: None for by hand only.
    **Touches** writes hr_account, audit_entry.
    """
    account.schedule = minutes
    account.next_run_at = None if minutes is None else now + timedelta(minutes=minutes)
    audit.record(db, actor, "hr_account.schedule", account.id, now, minutes=minutes)


def want_run(db: Db, account: HrAccount, now: datetime, actor: str, *, full: bool = False) -> None:
    """Ask the worker to read an account; asking twice is asking once.

    :param full: read everything, even where changes would do.
    **Touches** writes outbox_event.
    """
    waiting = jobs.find_pending(db, [queries.RUN_WANTED], account_id=account.id)
    if waiting is None:
        jobs.enqueue(db, queries.RUN_WANTED, now, account_id=str(account.id), actor=actor, full=full)
    elif full and not waiting.payload["full"]:
        waiting.payload = {**waiting.payload, "full": True}


def want_due_run(db: Db, hr_account_id: uuid.UUID, now: datetime) -> None:
    """Ask for the planned run of an account and plan the next one, unless another worker did so before.

    **Touches** writes hr_account, outbox_event.
    """
    query = select(HrAccount).where(HrAccount.id == hr_account_id, HrAccount.next_run_at <= now)
    account = db.scalars(query.with_for_update(skip_locked=True)).one_or_none()
    if account is None or account.schedule is None or account.next_run_at is None:
        return
    # From the planned moment on, so that a daily run stays at its hour; what was slept through is left out.
    step = timedelta(minutes=account.schedule)
    account.next_run_at += step * ((now - account.next_run_at) // step + 1)
    # A preview waits for a person, and another one would say the same.
    if queries.find_open_run(db, account.id) is None or was_applied(db, account.id):
        want_run(db, account, now, "schedule")


def plan_after_failure(db: Db, account: HrAccount, now: datetime) -> None:
    """Put the next planned run off after one that failed. **Touches** writes hr_account."""
    if account.schedule is not None:
        failures = queries.count_failures(db, account.id)
        account.next_run_at = now + queries.wait_after(account.schedule, failures)


def want_check(db: Db, account: HrAccount, actor: str, now: datetime) -> None:
    """Ask the worker to try the connection; asking twice is asking once.

    **Touches** writes hr_account, outbox_event, audit_entry.
    """
    account.checked = {"asked_at": now.isoformat(), "results": None}
    if jobs.find_pending(db, [queries.CHECK_WANTED], account_id=account.id) is None:
        jobs.enqueue(db, queries.CHECK_WANTED, now, account_id=str(account.id))
        audit.record(db, actor, "hr_account.check", account.id, now)


def make_webhook(db: Db, account: HrAccount, actor: str, now: datetime) -> str:
    """Make the secret of the address to which the HR system sends its notices; an older one ends.

    :return: the secret, which is kept nowhere.
    **Touches** writes hr_account, audit_entry.
    """
    token = secrets.token_urlsafe(32)
    account.webhook_sha256 = digest(token)
    audit.record(db, actor, "hr_account.webhook", account.id, now)
    return token


def remove_account(db: Db, account: HrAccount, actor: str, now: datetime) -> int:
    """Forget an HR account and the people who came from it alone. The caller holds the account.

    :return: how many of its people stay, because another account lists them, too.
    **Touches** deletes hr_account and its persons; what `people.operations.hand_over` touches; audit_entry.
    """
    staying = hand_over(db, account.id)
    audit.record(db, actor, "hr_account.remove", account.id, now, staying=staying)
    db.delete(account)
    return staying


def webhook_address(public_url: str, token: str) -> str:
    """Give the address to which an HR system sends its notices. **Touches** pure."""
    return f"{public_url}/hris/webhooks/{token}"


# -- ranks -------------------------------------------------------------------------------------------------


def save_ranks(
    db: Db,
    account: HrAccount,
    rank_by: str,
    ranks: Mapping[str, int | None],
    actor: str,
    now: datetime,
) -> int:
    """Change what words are worth, and rank the stored people anew without asking the source.

    People whose rank did not come from the old words (the source itself gave it) keep it.

    :param rank_by: grade, level or job_title.
    :param ranks: word -> 0..100, or None to forget it; words that are not named stay as they are.
    :return: people whose rank is another one now.
    **Touches** writes hr_account, person, audit_entry.
    """
    before = {queries.fold(word): rank for word, rank in account.grade_ranks.items()}
    named = {queries.fold(word) for word in ranks}
    kept = {word: rank for word, rank in account.grade_ranks.items() if queries.fold(word) not in named}
    table = kept | {word.strip(): rank for word, rank in ranks.items() if rank is not None}
    after = {queries.fold(word): rank for word, rank in table.items()}
    moved = 0
    if rank_by != account.rank_by:
        moved += _move(db, account, account.rank_by, before, {})
        before = {}
    moved += _move(db, account, rank_by, before, after)
    account.rank_by, account.grade_ranks = rank_by, table
    audit.record(db, actor, "hr_account.ranks", account.id, now, words=len(table), people=moved)
    return moved


def _move(
    db: Db, account: HrAccount, rank_by: str, before: Mapping[str, int], after: Mapping[str, int]
) -> int:
    """Give everybody whose word has another rank now the new one: one statement per pair of ranks."""
    column = getattr(Person, rank_by)
    words: dict[tuple[int | None, int | None], list[str]] = {}
    known = select(column).where(Person.account_id == account.id, column.is_not(None)).distinct()
    for word in db.scalars(known):
        old, new = before.get(queries.fold(word)), after.get(queries.fold(word))
        if old != new:
            words.setdefault((old, new), []).append(word)
    moved = 0
    for (old, new), found in words.items():
        mine = (Person.account_id == account.id, Person.seniority_rank.is_not_distinct_from(old))
        for part in chunks(found):
            statement = update(Person).where(*mine, column.in_(part))
            # The digest is of the record with its rank: without it, the next reading looks at them again.
            done = db.execute(statement.values(seniority_rank=new, row_hash=""))
            moved += done.rowcount  # type: ignore[attr-defined]  # An UPDATE's result counts rows.
    db.expire_all()
    return moved


# -- notices -----------------------------------------------------------------------------------------------


def take_notice(db: Db, hr_account_id: uuid.UUID, notice: WebhookNotice, now: datetime) -> bool:
    """Note who changed, and have the worker fetch them; thousands of notices become one event.

    :return: False when the same notice was taken before.
    **Touches** writes hr_notice, noticed_person, outbox_event.
    """
    # Notices of one account stand in line here, so that each sees whether the one before asked already.
    account = db.scalars(select(HrAccount).where(HrAccount.id == hr_account_id).with_for_update()).one()
    row = {"notice_sha256": sha256(notice.notice_id.encode()).hexdigest(), "received_at": now}
    if not _add_missing(db, NOTICE, account.id, [row]):
        return False
    for part in chunks(dict.fromkeys(notice.source_keys)):
        _add_missing(db, NOTICED, account.id, [{"source_key": key} for key in part])
    if notice.everybody:
        want_run(db, account, now, "webhook")
    if notice.source_keys and not _fetch_is_due(db, account.id, now):
        jobs.enqueue(db, queries.PEOPLE_NOTICED, now, account_id=str(account.id))
    return True


def _fetch_is_due(db: Db, account_id: uuid.UUID, now: datetime) -> bool:
    """Tell whether an event waits that no worker has begun: one at work may have passed these people by."""
    due = OutboxEvent.next_at <= now
    return jobs.find_pending(db, [queries.PEOPLE_NOTICED], due, account_id=account_id) is not None


def _add_missing(db: Db, table: Table, account_id: uuid.UUID, rows: Iterable[Mapping[str, Any]]) -> int:
    """Add rows that are not there yet; give how many these were."""
    insert = sqlite_insert if db.get_bind().dialect.name == "sqlite" else postgresql_insert
    fixed = {"tenant_id": db.tenant_id, "account_id": account_id}
    values = [{"id": new_id(), **fixed, **row} for row in rows]
    # Not every driver counts what such a statement wrote.
    added = insert(table).values(values).on_conflict_do_nothing().returning(table.c.id)
    return len(db.execute(added).all())


def forget_fetched(db: Db, row_ids: Iterable[uuid.UUID]) -> None:
    """Strike people off the list of those who changed. **Touches** deletes from noticed_person."""
    for part in chunks(row_ids):
        db.execute(delete(NoticedPerson).where(NoticedPerson.id.in_(part)))


def prune_notices(db: Db, now: datetime) -> None:
    """Forget old notices: a source that repeats itself does so within days.

    :param db: over all tenants.
    **Touches** deletes from hr_notice.
    """
    db.execute(delete(HrNotice).where(HrNotice.received_at < now - NOTICES_KEPT_FOR))
