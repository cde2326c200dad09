"""The life of an event delivery: written with its line of the ledger, claimed in batches, answered.

A delivery's id is derived from its cause and the account, so that whoever writes it again writes the same
row, and whoever sends it again sends the same id. What takes something back waits until that has arrived;
when nothing was sent yet, both are superseded.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import aliased

from lti.ags import next_timestamp
from rmplugin import jobs
from rmplugin.credits import queries, store
from rmplugin.credits.models import Completion, CreditEntry, Delivery
from rmplugin.credits.store import TICK
from rmplugin.db import Db, Secrets
from rmplugin.destinations import store as doors
from rmplugin.destinations.models import SinkAccount
from rmplugin.destinations.operations import FILL_WANTED
from rmplugin.people.models import Person
from rmplugin.people.queries import zone_of
from rmplugin.programmes.models import Programme
from rmplugin.sessions.models import MentoringSession
from rmplugin.sinks import CreditRecord, CreditSink, SinkAnswer
from rmplugin.tenants.queries import join_settings
from rmplugin.texts import Text

# A batch may be as many calls as it has records.
LEASE = jobs.OUTSIDE_TAKES
MINUTE = timedelta(minutes=1)
FILLED_AT_ONCE = 500
DONE_STATES = ("delivered", "superseded")
TAKES_BACK: dict[str, Text] = {
    "reversal": Text(
        "This system takes nothing back. Please correct there by hand what was sent for the session of "
        "%(day)s, then say here that it is done."
    ),
    "withdrawal": Text(
        "This system takes nothing back. Please remove there by hand the completion of %(day)s, then say "
        "here that it is done."
    ),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Deliveries of one account that this worker has until their lease ends.

    :param settings: as the sink's schema loads them.
    :param records: oldest first; `tries`: id and timestamp of each try, in their order. An answer counts only
        for the try that it belongs to.
    """

    tenant_id: uuid.UUID
    account_id: uuid.UUID
    settings: Any
    records: list[CreditRecord]
    tries: list[tuple[uuid.UUID, datetime]]


# -- writing -----------------------------------------------------------------------------------------------


def tell_entry(db: Db, entry: CreditEntry, now: datetime) -> None:
    """Write what each account is told about a new line of the ledger; again, it writes nothing.

    Call it in the transaction that writes the line, after its flush.

    **Touches** writes delivery.
    """
    # Whatever the clock says: an account that is there when a line is written is told of it.
    for account in db.scalars(select(SinkAccount)).all():
        _tell_entry(db, account, entry, now)


def _tell_entry(db: Db, account: SinkAccount, entry: CreditEntry, now: datetime) -> None:
    # Of a session that counts nothing there is nothing to tell, and nothing to take back.
    if entry.kind not in account.takes or not entry.minutes:
        return
    taken_back = None
    if entry.reverses_id is not None:
        taken_back = _lock(db, _id_of(account, entry.reverses_id))
        # Of what it was never told, it need not hear that it is gone.
        if taken_back is None:
            return
    row_id = _id_of(account, entry.id)
    if db.get(Delivery, row_id) is None and not db.get_one(Person, entry.person_id).is_erased:
        row = _make_row(account, row_id, entry, taken_back, _payload_of_entry(db, entry), now)
        _write(db, row, [taken_back] if taken_back else [])


def tell_completion(db: Db, completion: Completion, now: datetime, *, changed: bool) -> None:
    """Write what each account is told after a completion was met or unmet; when they know it, nothing.

    :param completion: locked by `store.hold_completion`.
    :param changed: it was met or unmet just now; accounts need not know what was so before they were there.
    **Touches** writes delivery.
    """
    for account in db.scalars(select(SinkAccount)).all():
        _tell_completion(db, account, completion, now, changed=changed)


def _tell_completion(
    db: Db, account: SinkAccount, completion: Completion, now: datetime, *, changed: bool = False
) -> None:
    if db.get_one(Person, completion.person_id).is_erased:
        return
    subject = f"{account.id}/{completion.id}"
    rows = list(db.scalars(_chain(account, subject)))
    told = [row for row in rows if row.state != "superseded"][-1:]
    has_it = bool(told) and told[0].payload.get("kind") == "completion"
    row_id = _id_of(account, completion.id, len(rows))
    if completion.met_at is not None and not has_it:
        if told and _never_begun(told[0]) and not account.corrects:
            # The completion stands there still, and nobody was to take it back by hand yet.
            told[0].state, told[0].updated_at = "superseded", now
        elif "completion" in account.takes and (changed or completion.met_at >= account.takes_from):
            payload = _payload_of_completion(db, completion)
            row = _make_row(account, row_id, completion, told[0] if told else None, payload, now)
            # After the line of the same moment that met it.
            row.created_at += TICK
            _write(db, row, rows)
    elif completion.met_at is None and has_it and "withdrawal" in account.takes:
        payload = {**told[0].payload, "kind": "withdrawal", "reverses": str(told[0].id)}
        payload["written_at"] = now.isoformat()
        _write(db, _make_row(account, row_id, completion, told[0], payload, now), rows)


def _chain(account: SinkAccount, subject: str) -> Any:
    """Select all rows about one completion, oldest first, locked against workers."""
    query = select(Delivery).where(Delivery.sink == account.sink, Delivery.subject == subject)
    query = query.order_by(Delivery.created_at, Delivery.id).with_for_update()
    return query.execution_options(populate_existing=True)


def _make_row(
    account: SinkAccount,
    row_id: uuid.UUID,
    cause: CreditEntry | Completion,
    before: Delivery | None,
    payload: dict[str, Any],
    now: datetime,
) -> Delivery:
    """Make one row.

    :param before: what it takes back, or what must arrive first.
    """
    takes_back = payload["kind"] in TAKES_BACK
    if before is not None and takes_back:
        payload["reverses"] = str(before.id)
    unheard = takes_back and before is not None and _never_begun(before)
    if unheard and before is not None:
        before.state, before.updated_at = "superseded", now
    return Delivery(
        id=row_id,
        account_id=account.id,
        sink=account.sink,
        subject=f"{account.id}/{cause.id}",
        programme_id=cause.programme_id,
        person_id=cause.person_id,
        payload=payload,
        waits_for_id=before.id if before is not None else None,
        idempotency_key=str(row_id),
        state="superseded" if unheard else "pending",
        next_at=now,
        created_at=now,
        updated_at=now,
    )


def _write(db: Db, row: Delivery, before: Sequence[Delivery]) -> None:
    """Write a row after those before it, also when the clock was set back meanwhile."""
    row.created_at = max([row.created_at, *(other.created_at + TICK for other in before)])
    db.add(row)
    db.flush()
    db.info["wake"] = True


def _id_of(account: SinkAccount, cause_id: uuid.UUID, number: int | None = None) -> uuid.UUID:
    """Derive a delivery's id from its cause; `number` counts the changes of a completion."""
    return uuid.uuid5(account.id, str(cause_id) if number is None else f"{cause_id}/{number}")


def _lock(db: Db, delivery_id: uuid.UUID) -> Delivery | None:
    query = select(Delivery).where(Delivery.id == delivery_id).with_for_update()
    return db.scalars(query.execution_options(populate_existing=True)).one_or_none()


def _never_begun(row: Delivery) -> bool:
    return row.sent_timestamp is None and row.state not in DONE_STATES


def _payload_of_entry(db: Db, entry: CreditEntry) -> dict[str, Any]:
    began, lasted = entry.created_at, timedelta(minutes=max(0, entry.minutes))
    if entry.session_id is not None:
        session = db.get_one(MentoringSession, entry.session_id)
        began = session.starts_at
        lasted = timedelta(minutes=session.counted_minutes or session.planned_minutes)
    return {
        "kind": entry.kind,
        "reverses": None,
        "entry_id": str(entry.id),
        "role": entry.role,
        "pairing_id": str(entry.pairing_id) if entry.pairing_id else None,
        "session_id": str(entry.session_id) if entry.session_id else None,
        "started_at": began.isoformat(),
        "ended_at": (began + lasted).isoformat(),
        "minutes": entry.minutes,
        "amount_hundredths": entry.amount_hundredths,
        "unit": entry.unit,
        "policy": f"{entry.policy}/{entry.policy_version}",
        "written_at": entry.created_at.isoformat(),
        **_common(db, entry.programme_id, entry.person_id),
    }


def _payload_of_completion(db: Db, completion: Completion) -> dict[str, Any]:
    mine = (
        CreditEntry.programme_id == completion.programme_id,
        CreditEntry.person_id == completion.person_id,
    )
    amount = db.scalar(select(func.coalesce(func.sum(CreditEntry.amount_hundredths), 0)).where(*mine)) or 0
    newest = db.scalars(
        select(CreditEntry).where(*mine).order_by(CreditEntry.created_at.desc()).limit(1)
    ).first()
    programme, person_id = db.get_one(Programme, completion.programme_id), completion.person_id
    paired = queries.pairing_starts(db, [person_id], programme.id).get((person_id, programme.id), ())
    history = queries.ledger_history(db, programme.id, person_id)
    assert completion.met_at is not None
    return {
        "kind": "completion",
        "reverses": None,
        "role": newest.role if newest is not None else "mentee",
        "pairing_id": None,
        "session_id": None,
        "started_at": queries.began_at(paired, history, programme).isoformat(),
        "ended_at": completion.met_at.isoformat(),
        "minutes": completion.minutes,
        "amount_hundredths": int(amount),
        "unit": newest.unit if newest is not None else "contact_hours",
        "policy": f"{completion.policy}/{completion.policy_version}",
        "written_at": completion.met_at.isoformat(),
        **_common(db, completion.programme_id, completion.person_id),
    }


def _common(db: Db, programme_id: uuid.UUID, person_id: uuid.UUID) -> dict[str, Any]:
    return {
        "programme_name": db.get_one(Programme, programme_id).name,
        "time_zone": zone_of(db, person_id),
    }


def on_fill_wanted(db: Db, payload: dict[str, Any], now: datetime) -> None:
    """Write what an account has not been told yet, some hundred lines at a time; an event asks for the rest.

    Of people who were erased nobody is told.

    :param payload: {"account_id": text, "after": id of the last line that was looked at, or None}.
    **Touches** writes delivery, outbox_event; locks completions.
    """
    account = db.get(SinkAccount, uuid.UUID(payload["account_id"]))
    if account is None:
        return
    query = select(CreditEntry).where(CreditEntry.created_at >= account.takes_from)
    if payload["after"] is not None:
        query = query.where(CreditEntry.id > uuid.UUID(payload["after"]))
    entries = db.scalars(query.order_by(CreditEntry.id).limit(FILLED_AT_ONCE)).all()
    for entry in entries:
        _tell_entry(db, account, entry, now)
    if entries:
        jobs.enqueue(db, FILL_WANTED, now, account_id=payload["account_id"], after=str(entries[-1].id))
        return
    met = select(Completion.programme_id, Completion.person_id).where(Completion.met_at >= account.takes_from)
    for programme_id, person_id in db.execute(met.order_by(Completion.person_id)).all():
        _tell_completion(db, account, store.hold_completion(db, programme_id, person_id, now), now)


# -- sending -----------------------------------------------------------------------------------------------


def is_next(now: datetime) -> ColumnElement[bool]:
    """Say which events may be sent: due, or in the hands of a worker that died, and nothing goes first.

    **Touches** pure.
    """
    before = aliased(Delivery)
    first = select(before.id).where(before.id == Delivery.waits_for_id, before.state.not_in(DONE_STATES))
    return and_(Delivery.account_id.is_not(None), store.is_due(now), ~first.correlate(Delivery).exists())


def claim_batch(
    db: Db, account_id: uuid.UUID, sink: CreditSink, secrets_box: Secrets, now: datetime
) -> Batch | None:
    """Take the oldest events of an account for one try, and store their timestamps before anything is sent.

    One batch of an account is in flight. A row whose lease ended belongs to a worker that died: its call may
    have arrived or not, and the record says so; sending again is safe, because a sink has one effect per
    record.

    :return: None when it is not its turn: paused, in flight, left alone, called too often, or nothing is due.
    **Touches** writes delivery, sink_account, brake.
    """
    account = _hold(db, account_id)
    if account is None or account.paused_at is not None or _is_in_flight(db, account, now):
        return None
    account.takes, account.corrects = sorted(sink.takes), sink.corrects
    rows = _take_due(db, account, sink, now)
    if not rows or not _has_calls_left(account, sink, now):
        return None
    door = doors.Door(account.sink, account.id)
    if not doors.may_call(doors.find_brakes(db, {door}).get(door), now, LEASE):
        return None
    account.recent_calls = [*account.recent_calls, now.timestamp()]
    unanswered = {row.id for row in rows if row.state == "in_flight"}
    for row in rows:
        row.sent_timestamp = next_timestamp(row.sent_timestamp, now)
        row.state, row.lease_until, row.updated_at = "in_flight", now + LEASE, now
        row.attempts += 1
    return Batch(
        tenant_id=account.tenant_id,
        account_id=account.id,
        settings=join_settings(sink, account.settings, account.secrets_locked, secrets_box),
        records=[_make_record(db, row, unanswered=row.id in unanswered) for row in rows],
        tries=[(row.id, row.sent_timestamp) for row in rows if row.sent_timestamp is not None],
    )


def _hold(db: Db, account_id: uuid.UUID) -> SinkAccount | None:
    """Lock an account against other workers, but not against who writes a delivery that refers to it."""
    query = select(SinkAccount).where(SinkAccount.id == account_id).with_for_update(key_share=True)
    return db.scalars(query.execution_options(populate_existing=True)).one_or_none()


def _is_in_flight(db: Db, account: SinkAccount, now: datetime) -> bool:
    query = select(Delivery.id).where(
        Delivery.account_id == account.id, Delivery.state == "in_flight", Delivery.lease_until > now
    )
    return db.execute(query.limit(1)).first() is not None


def _take_due(db: Db, account: SinkAccount, sink: CreditSink, now: datetime) -> list[Delivery]:
    query = select(Delivery).where(Delivery.account_id == account.id, is_next(now))
    query = query.order_by(Delivery.created_at, Delivery.id).limit(max(1, sink.batch))
    query = query.with_for_update(of=Delivery, skip_locked=True).execution_options(populate_existing=True)
    rows = []
    for row in db.scalars(query).all():
        kind = row.payload.get("kind")
        if kind is None:
            # The person was erased, and nothing about them leaves the tool any more.
            row.state, row.lease_until, row.updated_at = "superseded", None, now
        elif not sink.corrects and (kind in TAKES_BACK or row.payload["minutes"] < 0):
            row.state, row.lease_until, row.updated_at = "needs_human", None, now
            said = TAKES_BACK.get(kind, TAKES_BACK["reversal"])
            row.last_error = Text(said.template, day=row.payload["ended_at"][:10])
        else:
            rows.append(row)
    return rows


def _has_calls_left(account: SinkAccount, sink: CreditSink, now: datetime) -> bool:
    """Forget calls that are over a minute old; also ones that lie ahead, after a clock was set back."""
    at = now.timestamp()
    account.recent_calls = [one for one in account.recent_calls if abs(at - one) < MINUTE.total_seconds()]
    return sink.calls_per_minute is None or len(account.recent_calls) < sink.calls_per_minute


def _make_record(db: Db, row: Delivery, *, unanswered: bool) -> CreditRecord:
    person = db.get_one(Person, row.person_id)
    told = row.payload
    return CreditRecord(
        id=str(row.id),
        kind=told["kind"],
        reverses=told["reverses"],
        person_id=str(row.person_id),
        employee_number=person.employee_number,
        display_name=person.display_name,
        email=person.email,
        role=told["role"],
        programme_id=str(row.programme_id),
        programme_name=told["programme_name"],
        pairing_id=told["pairing_id"],
        session_id=told["session_id"],
        started_at=datetime.fromisoformat(told["started_at"]),
        ended_at=datetime.fromisoformat(told["ended_at"]),
        time_zone=told["time_zone"],
        minutes=told["minutes"],
        amount_hundredths=told["amount_hundredths"],
        unit=told["unit"],
        policy=told["policy"],
        written_at=datetime.fromisoformat(told["written_at"]),
        attempts=row.attempts,
        unanswered=unanswered,
    )


def record_answers(db: Db, batch: Batch, answers: Sequence[SinkAnswer], now: datetime) -> list[str]:
    """Record what became of a batch.

    :param answers: one for each record, in their order.
    :return: new states, without those of rows that were taken over meanwhile.
    **Touches** writes delivery, brake.
    """
    account = _hold(db, batch.account_id)
    if account is None:
        return []
    states = []
    for (delivery_id, sent_at), answer in zip(batch.tries, answers, strict=True):
        row = _lock(db, delivery_id)
        if row is None or row.state != "in_flight" or row.sent_timestamp != sent_at:
            continue
        store.apply_answer(row, answer, now)
        states.append(row.state)
    if states:
        best = next((one for one in answers if not doors.has_failed(one)), answers[0])
        door = doors.Door(account.sink, account.id)
        doors.note_answer(db, doors.find_brakes(db, {door}), door, best, now)
    return states
