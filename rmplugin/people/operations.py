"""What changes persons: the verbs of a roster run."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, case, delete, select, update

from rmplugin import audit, jobs
from rmplugin.audit import AuditEntry
from rmplugin.db import Db, change_rows, chunks, insert_rows, new_id
from rmplugin.errors import ConflictError
from rmplugin.logins import WebSession
from rmplugin.people import queries
from rmplugin.people.brakes import ABOUT_ABSENCE, Before, Brake, Change, find_brakes, held_sentence
from rmplugin.people.canonical import STORED
from rmplugin.people.models import MOST_FORMER_EMAILS, Person, RosterFuture, RosterRun
from rmplugin.people.roster import WATCHED_FOR_BLANKS, RunReport, Staging
from rmplugin.tenants.models import HrAccount, Tenant

CHUNK = 2000
PERSON: Table = Person.__table__  # type: ignore[assignment]  # Declared as FromClause; it is a Table here.
FUTURE: Table = RosterFuture.__table__  # type: ignore[assignment]  # See PERSON.
AUDIT: Table = AuditEntry.__table__  # type: ignore[assignment]  # See PERSON.
# What a sight of somebody says of them.
SEEN = {"lifecycle": "present", "missing_since": None, "missing_runs": 0}
# Notes that are there even when they are empty.
ALWAYS_NOTED = ("blanks", "managers", "unmapped_grades")


def begin_run(db: Db, account: HrAccount, mode: str, now: datetime) -> RosterRun:
    """Open a run. The caller holds the account's lock, so an open run of before was killed: it is closed.

    :param mode: "full" or "incremental".
    :return: the new run, status "running".
    **Touches** writes roster_run.
    """
    db.execute(
        update(RosterRun)
        .where(RosterRun.account_id == account.id, RosterRun.status == "running")
        .values(
            status="failed",
            held_reason="The run was stopped before its end. Nobody was changed. Run it again.",
            finished_at=now,
        )
    )
    run = RosterRun(
        id=None, account_id=account.id, mode=mode, status="running", counts={}, skipped=[], notes={},
        held_reason=None, cursor=account.cursor, started_at=now, finished_at=None,
    )  # fmt: skip
    db.add(run)
    db.flush()
    return run


def fail_run(db: Db, run_id: uuid.UUID, reason: str, finished_at: datetime) -> None:
    """Close a run that could not read its source; the account stays where it was.

    :param reason: what happened, that nobody was changed, what to do; no personal data.
    **Touches** writes roster_run, outbox_event.
    """
    run = db.get_one(RosterRun, run_id)
    run.held_reason = reason
    _close(db, run, "failed", finished_at)


def preview_roster(db: Db, account: HrAccount, staging: Staging, *, everybody: bool) -> RunReport:
    """Say what a run would do.

    :param everybody: the source gave its whole roster.
    :return: counts; status "held" when the run would be held.
    **Touches** reads person, roster_run.
    """
    report, brakes = _compare(db, account, staging, everybody=everybody)
    # Whoever asks for a preview need not be told that the first reading is one.
    brakes.pop("first", None)
    if brakes:
        _hold(report, brakes)
    report.notes["difference"] = _difference(db, account, staging)
    return report


def apply_roster(
    db: Db,
    run: RosterRun,
    staging: Staging,
    now: datetime,
    *,
    everybody: bool,
    accept_shrink: bool = False,
    accepted: Mapping[str, int] = MappingProxyType({}),
    sighted: bool = True,
    actor: str = "command",
    finished_at: datetime | None = None,
) -> RunReport:
    """Make the account's persons equal to the staged roster, or hold the run and change nobody.

    :param run: from `begin_run`.
    :param everybody: the source gave its whole roster, so that absence means something.
    :param accept_shrink: a person wants the change whatever brakes would hold it.
    :param accepted: brakes that a person has looked at, with their numbers; no larger ones pass.
    :param sighted: the source was read; False when only days have come.
    :param finished_at: None for `now`.
    **Touches** writes person, roster_future, roster_run, hr_account, outbox_event, audit_entry, web_session.
    """
    account = db.get_one(HrAccount, run.account_id)
    report, brakes = _compare(db, account, staging, everybody=everybody)
    report.run_id, report.mode = str(run.id), run.mode
    passes = accept_shrink or all(
        name in accepted and brake.number <= accepted[name] for name, brake in brakes.items()
    )
    if not passes:
        _hold(report, brakes)
        report.notes["difference"] = _difference(db, account, staging)
        run.held_reason = report.held_reason
    elif brakes:
        run.shrink_accepted = True
        if any(name in brakes for name in ABOUT_ABSENCE):
            report.deactivated += staging.take_missing_as_gone()
            report.notes.pop("missing", None)
        report.notes["brakes"] = {name: brake.number for name, brake in brakes.items()}
        audit.record(
            db, actor, "roster_run.accept_shrink", run.id, now, brakes=report.notes["brakes"], **report.counts
        )
    run.notes, run.skipped, run.counts = report.notes, report.skipped, report.counts
    if passes:
        _store(db, account, staging, now, everybody=everybody, sighted=sighted)
        run.cursor = account.cursor = report.cursor
    _close(db, run, report.status, finished_at or now)
    return report


def _compare(
    db: Db, account: HrAccount, staging: Staging, *, everybody: bool
) -> tuple[RunReport, dict[str, Brake]]:
    staging.add_known(queries.known_rows(db, account.id))
    staging.add_others(queries.other_rows(db, account.id))
    if staging.withheld:
        staging.keep_withheld(queries.stored_documents(db, account.id, staging.withheld))
    change = staging.compare(everybody=everybody and staging.is_complete and not staging.is_same_export)
    report = _report(account, staging, change, everybody=everybody)
    last = queries.find_last_good_run(db, account.id)
    before = Before(
        is_first=not queries.was_applied(db, account.id),
        blanks=last.notes.get("blanks", {}) if last else {},
        fields=last.notes.get("fields") or () if last else (),
        left_lately=queries.left_lately(db, account.id, staging.now - timedelta(days=1)),
    )
    return report, find_brakes(change, before, everybody=everybody)


def _hold(report: RunReport, brakes: Mapping[str, Brake]) -> None:
    report.status, report.held_reason = "held", held_sentence(brakes)
    report.notes["brakes"] = {name: brake.number for name, brake in brakes.items()}
    if any(name in brakes for name in ABOUT_ABSENCE):
        report.deactivated += report.notes.get("missing", 0)


def _difference(db: Db, account: HrAccount, staging: Staging) -> dict[str, Any]:
    return staging.difference(queries.filled_rows(db, account.id, WATCHED_FOR_BLANKS))


def _report(account: HrAccount, staging: Staging, change: Change, *, everybody: bool) -> RunReport:
    kinds = change.kinds
    notes: dict[str, Any] = {
        "blanks": {column: round(share, 4) for column, share in change.blanks.items()},
        "fields": change.fields,
        "kinds": dict(kinds),
        "managers": staging.manager_states(),
        "unmapped_grades": staging.unmapped_grades(),
        "missing": change.leaving - change.leaving_now,
        "to_review": staging.to_review(),
    }
    cursor = staging.cursor if staging.cursor is not None else account.cursor
    if everybody and not staging.is_complete:
        # Who did not come now will not come among the changes either, so everybody is read again.
        notes["incomplete"], cursor = {"came": staging.came, "total": staging.total}, account.cursor
    return RunReport(
        run_id=None,
        status="complete",
        mode="full" if everybody else "incremental",
        seen=staging.seen,
        created=kinds.get("created", 0),
        updated=kinds.get("updated", 0),
        unchanged=kinds.get("unchanged", 0),
        deactivated=change.leaving_now,
        reactivated=kinds.get("reactivated", 0),
        skipped=staging.skipped,
        cursor=cursor,
        notes={name: value for name, value in notes.items() if value or name in ALWAYS_NOTED},
    )


def _close(db: Db, run: RosterRun, status: str, finished_at: datetime) -> None:
    run.status, run.finished_at = status, finished_at
    tenant = db.get_one(Tenant, db.tenant_id)
    jobs.enqueue(db, "roster_synced", finished_at, tenant_slug=tenant.slug, run_id=str(run.id), status=status)


def accept_run(db: Db, run: RosterRun, actor: str, now: datetime) -> None:
    """Say that a held run is right: the source is read again, and applied if nothing got worse meanwhile.

    Saying so twice is saying so once.

    :param actor: who says so; see `audit.AuditEntry`.
    :raises ConflictError: the run is not held, or is not the account's newest.
    **Touches** writes outbox_event, audit_entry.
    """
    _refuse_unless_open(db, run)
    if queries.is_accepted(db, run):
        return
    audit.record(db, actor, "roster_run.accept", run.id, now, brakes=run.notes.get("brakes", {}))
    jobs.enqueue(
        db, queries.ACCEPTED_RUN, now, account_id=str(run.account_id), run_id=str(run.id), actor=actor
    )


def drop_run(db: Db, run: RosterRun, actor: str, now: datetime) -> None:
    """Say that a held run is wrong; it stays in the list as dropped.

    :param actor: who says so; see `audit.AuditEntry`.
    :raises ConflictError: the run is not held, or is not the account's newest.
    **Touches** writes roster_run, audit_entry.
    """
    _refuse_unless_open(db, run)
    run.status = "dropped"
    audit.record(db, actor, "roster_run.drop", run.id, now, brakes=run.notes.get("brakes", {}))


def _refuse_unless_open(db: Db, run: RosterRun) -> None:
    db.refresh(run, with_for_update=True)
    if run.status != "held":
        raise ConflictError(
            "run_not_held", "This run does not wait for a decision any more. Nothing was changed."
        )
    newest = queries.newest_run(db, run.account_id)
    if run.mode != "dates" and newest is not None and newest.id != run.id:
        raise ConflictError(
            "run_not_newest",
            "The HR system was read again since, so this run says nothing any more. Look at the newest run. "
            "Nothing was changed.",
        )


def split_person(db: Db, person: Person, actor: str, now: datetime) -> None:
    """Say that a row that was taken for somebody of another account is a person of its own, for good.

    :raises ConflictError: the row is one already.
    **Touches** writes person, audit_entry.
    """
    db.refresh(person, with_for_update=True)
    if person.same_person_id is None:
        raise ConflictError("not_a_double", "This is a person of their own already. Nothing was changed.")
    audit.record(db, actor, "person.split", person.id, now, other=str(person.same_person_id))
    person.same_person_id, person.kept_apart, person.updated_at = None, True, now


def hand_over(db: Db, account_id: uuid.UUID) -> int:
    """Give people of an account, whom another account lists, too, to that one, before theirs is forgotten.

    Their row, on which their pairings and credits hang, takes the place of the other one. The other account
    is read whole next time, so that it says everything anew.

    :return: how many people stay.
    **Touches** writes person, hr_account; deletes from person.
    """
    connection, double = db.connection(), PERSON.alias()
    query = (
        select(PERSON.c.id, double.c.id.label("double"), double.c.account_id, double.c.source_key)
        .join(double, double.c.same_person_id == PERSON.c.id)
        .where(*_mine(db, account_id), double.c.tenant_id == db.tenant_id)
        .order_by(double.c.created_at, double.c.id)
    )
    # Of somebody whom several list, the first counts; the others go on pointing to the row.
    staying = {row.id: row for row in reversed(connection.execute(query).all())}
    ours, theirs = (PERSON.c.tenant_id == db.tenant_id), {row.double: row.id for row in staying.values()}
    for doubles in chunks(theirs):
        led = select(PERSON.c.id, PERSON.c.manager_id).where(ours, PERSON.c.manager_id.in_(doubles))
        moves = [{"id": row.id, "manager_id": theirs[row.manager_id]} for row in connection.execute(led)]
        change_rows(connection, PERSON, moves, ours)
        connection.execute(delete(PERSON).where(ours, PERSON.c.id.in_(doubles)))
    places = (
        {"id": row.id, "account_id": row.account_id, "source_key": row.source_key} for row in staying.values()
    )
    change_rows(connection, PERSON, places, ours, row_hash="")
    accounts = {row.account_id for row in staying.values()}
    db.execute(update(HrAccount).where(HrAccount.id.in_(accounts)).values(cursor=None))
    db.expire_all()
    return len(staying)


# -- what a run writes -------------------------------------------------------------------------------------


def _store(
    db: Db, account: HrAccount, staging: Staging, now: datetime, *, everybody: bool, sighted: bool
) -> None:
    complete = everybody and staging.is_complete
    _write_people(db, account.id, staging, now, sighted=sighted)
    _write_standing(db, account.id, staging, now, complete=complete)
    _write_doubles(db, account.id, staging, now)
    if sighted:
        _write_futures(db, account.id, staging, everybody=complete)
    # Objects that this session loaded before know nothing of the statements above; their own changes stay.
    db.flush()
    db.expire_all()
    _sign_out_leavers(db, account.id)


def _write_people(db: Db, account_id: uuid.UUID, staging: Staging, now: datetime, *, sighted: bool) -> None:
    connection, mine = db.connection(), _mine(db, account_id)
    fixed = {"tenant_id": db.tenant_id, "account_id": account_id, "created_at": now, "kept_apart": False}
    fixed |= {**SEEN, "seen_at": now}
    insert_rows(connection, PERSON, ({**fixed, **_values(row, now)} for row in staging.rows(("created",))))
    seen: dict[str, Any] = {**SEEN, "seen_at": now}
    if not sighted:
        # A day that has come makes nobody present whom the source lacks, but brings back who had left.
        seen = {"lifecycle": case((PERSON.c.lifecycle == "missing", "missing"), else_="present")}
    changed = staging.rows(("updated", "reactivated", "deactivated"))
    change_rows(connection, PERSON, (_values(row, now) for row in changed), *mine, **seen)
    moved = (
        {"id": uuid.UUID(pid), "manager_id": _uuid(boss), "manager_state": state}
        for pid, boss, state in staging.moved()
    )
    change_rows(connection, PERSON, moved, *mine, updated_at=now)


def _write_standing(
    db: Db, account_id: uuid.UUID, staging: Staging, now: datetime, *, complete: bool
) -> None:
    """Write who is gone, who is missing, who was found again, and when everybody was seen."""
    mine = (PERSON.c.tenant_id == db.tenant_id, PERSON.c.account_id == account_id)
    for ids, values in (
        (staging.ids("gone", "absent"), {**SEEN, "lifecycle": "tombstoned", "updated_at": now}),
        (
            staging.ids("missing"),
            {"lifecycle": "missing", "missing_since": now, "missing_runs": PERSON.c.missing_runs + 1},
        ),
        (staging.found_again(), {**SEEN, "seen_at": now}),
    ):
        for some in chunks(ids, CHUNK):
            these = PERSON.c.id.in_([uuid.UUID(pid) for pid in some])
            db.connection().execute(update(PERSON).where(*mine, these).values(values))
    if complete:
        present = PERSON.c.lifecycle == "present"
        db.connection().execute(update(PERSON).where(*mine, present).values(seen_at=now))


def _write_doubles(db: Db, account_id: uuid.UUID, staging: Staging, now: datetime) -> None:
    """Link and unlink rows of people whom another account lists, each with an audit row."""
    points = ({"id": uuid.UUID(pid), "same_person_id": _uuid(other)} for pid, other in staging.doubles())
    change_rows(db.connection(), PERSON, points, *_mine(db, account_id), updated_at=now)
    deed = {"tenant_id": db.tenant_id, "at": now, "actor": "worker"}
    deeds = (
        {
            **deed,
            "id": new_id(),
            "action": "person.join" if other else "person.part",
            "subject_id": uuid.UUID(pid),
            "details": {"other": str(_uuid(other))} if other else {},
        }
        for pid, other in staging.doubles()
    )
    insert_rows(db.connection(), AUDIT, deeds)


def _write_futures(db: Db, account_id: uuid.UUID, staging: Staging, *, everybody: bool) -> None:
    """Replace the records of later days: everybody's, or of those of whom the source said anything."""
    mine = (FUTURE.c.tenant_id == db.tenant_id, FUTURE.c.account_id == account_id)
    connection = db.connection()
    if everybody:
        connection.execute(delete(FUTURE).where(*mine))
    elif connection.scalar(select(FUTURE.c.id).where(*mine).limit(1)) is not None:
        for keys in chunks(staging.keys(), CHUNK):
            connection.execute(delete(FUTURE).where(*mine, FUTURE.c.source_key.in_(keys)))
    fixed = {"tenant_id": db.tenant_id, "account_id": account_id}
    futures = (
        {
            **fixed,
            "id": new_id(),
            "source_key": key,
            "effective_on": date.fromisoformat(day),
            "record": json.loads(document),
        }
        for key, day, document in staging.futures()
    )
    insert_rows(connection, FUTURE, futures)


def forget_futures(db: Db, account_id: uuid.UUID, futures: Iterable[tuple[str, date]]) -> None:
    """Remove records of later days that have been applied.

    :param futures: (key, day) of each.
    **Touches** deletes roster_future.
    """
    one = (
        delete(FUTURE)
        .where(FUTURE.c.tenant_id == db.tenant_id, FUTURE.c.account_id == account_id)
        .where(FUTURE.c.source_key == bindparam("key"), FUTURE.c.effective_on <= bindparam("day"))
    )
    for some in chunks(futures, CHUNK):
        db.connection().execute(one, [{"key": key, "day": day} for key, day in some])


def _sign_out_leavers(db: Db, account_id: uuid.UUID) -> None:
    """End the open pages of people who are gone, because a launch of theirs would be refused, too."""
    gone = select(Person.id).where(Person.account_id == account_id, ~queries.CAN_TAKE_PART)
    db.execute(delete(WebSession).where(WebSession.person_id.in_(gone)))


def _mine(db: Db, account_id: uuid.UUID) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return PERSON.c.tenant_id == db.tenant_id, PERSON.c.account_id == account_id


def _values(row: Sequence[Any], now: datetime) -> dict[str, Any]:
    pid, boss, state, row_hash, email_before, former, reused, *stored = row
    values = dict(zip(STORED, stored, strict=True))
    values["languages"] = values["languages"].split()
    values["skills"] = values["skills"].split("\n") if values["skills"] else []
    values["employments"] = json.loads(values["employments"]) if values["employments"] else []
    for name in ("hire_date", "termination_date", "changes_on"):
        if values[name] is not None:
            values[name] = date.fromisoformat(values[name])
    emails = json.loads(former) if former else []
    if email_before and email_before != values["email_folded"]:
        emails = [email_before, *(email for email in emails if email != email_before)]
    return {
        "id": uuid.UUID(pid),
        "manager_id": _uuid(boss),
        "manager_state": state,
        "row_hash": row_hash,
        "former_emails": emails[:MOST_FORMER_EMAILS],
        "email_reused": bool(reused),
        "updated_at": now,
        **values,
    }


def _uuid(text: str | None) -> uuid.UUID | None:
    return None if text is None else uuid.UUID(text)
