"""Credits: awards for confirmed sessions, completion derived from the ledger, and what the manager can do."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import ColumnElement, select

from rmplugin import audit, notify
from rmplugin.credits import events, queries, store
from rmplugin.credits.columns import find_place, find_places
from rmplugin.credits.entries import Ledger, policy_of
from rmplugin.credits.histories import Line, histories_of, lines_of
from rmplugin.credits.models import Completion, CreditEntry, Delivery
from rmplugin.db import Db
from rmplugin.destinations.models import SinkAccount
from rmplugin.destinations.store import Door, release
from rmplugin.errors import ConflictError
from rmplugin.jobs import enqueue_all
from rmplugin.matching.interruptions import end_with_programme
from rmplugin.people.queries import display_names
from rmplugin.policies import CreditPolicy, History, PolicyCriterion, PolicyProgress, Targets, numbers_of
from rmplugin.programmes.models import Programme
from rmplugin.reviews.queries import managers_of
from rmplugin.sinks import CompletionSink
from rmplugin.texts import Text

log = structlog.get_logger()

# Stands in place of the other system's id of what it keeps.
BY_HAND = "by hand"


def _follow(
    db: Db,
    ledger: Ledger,
    person_id: uuid.UUID,
    programmes: set[uuid.UUID],
    sinks: Sequence[CompletionSink],
    policies: Mapping[str, CreditPolicy],
    now: datetime,
) -> None:
    """Bring completions up to date with what was written."""
    touched = {(person_id, one) for one in programmes | {line.programme_id for line in ledger.written}}
    lines = lines_of(db, [person_id])
    update_completions(db, sorted(touched), lines, sinks, now, policies=policies)


def reverse(
    db: Db,
    entry: CreditEntry,
    actor: str,
    reason: str,
    now: datetime,
    *,
    sinks: Sequence[CompletionSink] = (),
    policies: Mapping[str, CreditPolicy],
) -> CreditEntry:
    """Take an award back, with what the mentor got for preparing it. The session then counts no more.

    :param actor: the manager, see `audit.AuditEntry`.
    :param reason: in words that the person reads.
    :return: the reversal.
    :raises ConflictError: it is no award, it was taken back before, or it counts nothing.
    **Touches** writes credit_entry, credit_reason, completion, delivery, outbox_event, notice, audit_entry.
    """
    ledger = Ledger(db, entry.person_id, policies, now)
    standing = [one for one in ledger.standing(entry.session_id) if entry.kind == "award"]
    if entry.id not in {one.id for one in standing}:
        raise ConflictError(
            "not_standing",
            "This line is no award that stands: it was taken back before. Nothing was changed.",
        )
    if not any(one.minutes for one in standing):
        raise ConflictError(
            "counts_nothing",
            "This line counts nothing, so there is nothing to take back. Nothing was changed.",
        )
    written = {one.id: ledger.reverse(one, actor, words=reason) for one in standing}
    ledger.settle()
    audit.record(db, actor, "credit.reverse", entry.id, now, minutes=entry.minutes)
    said = Text("The programme manager took back credit for one of your sessions. The reason stands with it.")
    notify.tell(db, entry.person_id, "credit_changed", said, now, "/credits")
    _follow(db, ledger, entry.person_id, {entry.programme_id}, sinks, policies, now)
    return written[entry.id]


def adjust(
    db: Db,
    programme: Programme,
    person_id: uuid.UUID,
    minutes: int,
    actor: str,
    reason: str,
    now: datetime,
    *,
    sinks: Sequence[CompletionSink] = (),
    policies: Mapping[str, CreditPolicy],
) -> CreditEntry:
    """Add minutes to a person's credit in a programme, or take some off.

    :param minutes: not 0; negative takes off.
    :param actor: the manager, see `audit.AuditEntry`.
    :param reason: in words that the person reads.
    :raises NotFoundError: the person takes no part in the programme.
    :raises ConflictError: more would be taken off than there is.
    **Touches** writes credit_entry, credit_reason, completion, delivery, outbox_event, notice, audit_entry.
    """
    role = queries.role_of(db, programme.id, person_id)
    ledger = Ledger(db, person_id, policies, now)
    given = queries.ledger_history(db, programme.id, person_id).minutes
    if given + minutes < 0:
        raise ConflictError(
            "below_zero",
            Text("There are %(n)s minutes; no more can be taken off. Nothing was changed.", n=given),
        )
    line = ledger.adjust(programme, role, minutes, actor, reason)
    audit.record(db, actor, "credit.adjust", line.id, now, minutes=minutes)
    said = Text("The programme manager adjusted your credit. The reason stands with it.")
    notify.tell(db, person_id, "credit_changed", said, now, "/credits")
    _follow(db, ledger, person_id, {programme.id}, sinks, policies, now)
    return line


def on_progress_changed(
    db: Db,
    payload: Mapping[str, Any],
    now: datetime,
    *,
    sinks: Sequence[CompletionSink] = (),
    policies: Mapping[str, CreditPolicy],
) -> None:
    """Bring one person's completion of one programme up to date.

    :param payload: {"programme_id": text, "person_id": text}.
    **Touches** writes completion, delivery, notice.
    """
    programme = db.get(Programme, uuid.UUID(payload["programme_id"]))
    if programme is not None:
        update_completion(db, programme, uuid.UUID(payload["person_id"]), sinks, now, policies=policies)


def on_programme_archived(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """End the pairs of a programme that is over; completed are those of which both met its criteria.

    :param payload: {"programme_id": text}.
    **Touches** reads completion, writes delivery, and what `interruptions.end_with_programme` touches.
    """
    programme = db.get_one(Programme, uuid.UUID(payload["programme_id"]))
    met = select(Completion.person_id).where(
        Completion.programme_id == programme.id, Completion.met_at.is_not(None)
    )
    end_with_programme(db, programme, set(db.scalars(met)), now)
    if programme.context_id is not None:
        # Who takes part in another programme of the course, too, gets its grade now.
        unblock(db, now, Programme.context_id == programme.context_id)


def on_member_seen(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """Look again at what was blocked, because the person launched. :param payload: {"person_id": text}.

    **Touches** writes delivery.
    """
    unblock(db, now, Delivery.person_id == uuid.UUID(payload["person_id"]))


def on_course_roster_read(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """Look again at what was blocked in a course. :param payload: {"context_id": text}.

    **Touches** writes delivery.
    """
    unblock(db, now, Programme.context_id == uuid.UUID(payload["context_id"]))


def progress_of(
    programme: Programme, row: Completion | None, history: History, policies: Mapping[str, CreditPolicy]
) -> PolicyProgress:
    """Work out where a person stands now, by the ledger and the programme's criteria.

    Once it was met, the numbers of that day are the measure.

    :param row: the stored completion; its word counts while the programme's policy is not installed.
    :param history: see `queries.own_histories`.
    **Touches** pure.
    """
    if programme.policy in policies:
        return _measure(programme, row, history, policies)
    if row is None:
        return PolicyProgress(0, met=False, criteria=())
    criteria = tuple(PolicyCriterion(**one) for one in row.criteria if isinstance(one, dict))
    return PolicyProgress(row.percent, met=row.met_at is not None, criteria=criteria)


def _measure(
    programme: Programme, row: Completion | None, history: History, policies: Mapping[str, CreditPolicy]
) -> PolicyProgress:
    targets = queries.targets_of(programme)
    if row is not None and row.met_at is not None and row.targets:
        targets = Targets(**row.targets)
    return policy_of(policies, programme).completion(history, targets)


def update_completion(
    db: Db,
    programme: Programme,
    person_id: uuid.UUID,
    sinks: Sequence[CompletionSink],
    now: datetime,
    *,
    policies: Mapping[str, CreditPolicy],
) -> Completion:
    """Derive a person's completion again and write what the sinks must be told.

    Once met it stays met, until a reversal in the ledger takes credit away.

    **Touches** writes completion, delivery, notice.
    """
    pair = (person_id, programme.id)
    store.hold_completion(db, programme.id, person_id, now)
    lines = lines_of(db, [person_id], programme.id)
    return update_completions(db, [pair], lines, sinks, now, policies=policies)[pair]


def update_completions(
    db: Db,
    pairs: Sequence[tuple[uuid.UUID, uuid.UUID]],
    lines: Mapping[uuid.UUID, Sequence[Line]],
    sinks: Sequence[CompletionSink],
    now: datetime,
    *,
    policies: Mapping[str, CreditPolicy],
) -> dict[tuple[uuid.UUID, uuid.UUID], Completion]:
    """Do for many what `update_completion` does for one.

    :param pairs: (person, programme), sorted.
    :param lines: the people's ledgers, which nobody else can write to: see `histories.lines_of`.
    **Touches** writes completion, delivery, notice.
    """
    rows = store.hold_completions(db, pairs, now)
    histories = histories_of(db, pairs, lines)
    ids = {programme_id for _person_id, programme_id in pairs}
    programmes = {one.id: one for one in db.scalars(select(Programme).where(Programme.id.in_(ids)))}
    changed = {}
    for pair, row in rows.items():
        programme = programmes[row.programme_id]
        mine = [line for line in lines.get(row.person_id, ()) if line.programme_id == programme.id]
        changed[pair] = _derive(programme, row, histories[pair], mine, policies, now)
    _announce(db, [row for pair, row in rows.items() if changed[pair]], programmes, now)
    db.flush()
    for sink in sinks:
        store.write_deliveries(db, list(rows.values()), sink, now)
    if db.execute(select(SinkAccount.id).limit(1)).first() is not None:
        for pair, row in rows.items():
            events.tell_completion(db, row, now, changed=changed[pair])
    return rows


def _derive(
    programme: Programme,
    row: Completion,
    history: History,
    lines: Sequence[Line],
    policies: Mapping[str, CreditPolicy],
    now: datetime,
) -> bool:
    """Derive a completion. :return: whether it was met or unmet just now."""
    progress = _measure(programme, row, history, policies)
    # Lines are never taken out, so that their number tells, whatever the clock, whether there is a new one.
    taken_back = sum(line.minutes < 0 for line in lines)
    kept = row.met_at is not None and not progress.met and taken_back <= row.taken_back
    through = lines[-1].id if lines else None
    _note(row, programme, history, progress, policies, through, kept=kept, now=now)
    was_met = row.met_at is not None
    if progress.met:
        row.taken_back = taken_back
        row.met_at = row.met_at or now
    elif not kept:
        row.met_at = None
    return was_met != (row.met_at is not None)


def _note(
    row: Completion,
    programme: Programme,
    history: History,
    progress: PolicyProgress,
    policies: Mapping[str, CreditPolicy],
    through: uuid.UUID | None,
    *,
    kept: bool,
    now: datetime,
) -> None:
    """Write down how far somebody is; a row that says it already is left alone."""
    values: dict[str, Any] = {
        "percent": 100 if kept else progress.percent,
        "minutes": history.minutes,
        "criteria": [
            {"label": one.label, "reached": one.reached, "needed": one.needed, "met": one.met}
            for one in progress.criteria
        ],
        "through_entry_id": through,
    }
    if row.met_at is None:
        policy = policy_of(policies, programme)
        values |= {"policy": policy.key, "policy_version": policy.version}
        values["targets"] = dict(numbers_of(queries.targets_of(programme)))
    if {name: getattr(row, name) for name in values} != values:
        for name, value in values.items():
            setattr(row, name, value)
        row.updated_at = now


def _announce(
    db: Db, changed: Collection[Completion], programmes: Mapping[uuid.UUID, Programme], now: datetime
) -> None:
    """Tell whom it concerns of completions that were met or unmet just now."""
    met = [row for row in changed if row.met_at is not None]
    told = [
        (
            row.person_id,
            Text(
                "You have met every criterion of %(name)s. Thank you for the time you gave each other.",
                name=programmes[row.programme_id].name,
            ),
            f"/programmes/{row.programme_id}/record",
        )
        for row in met
    ]
    if told:
        # No older one is unread: what is unmet takes it back.
        notify.tell_all(db, "programme_completed", told, now, ())
    unmet = [row for row in changed if row.met_at is None]
    for row in unmet:
        _tell_of_unmet(db, programmes[row.programme_id], row.person_id, now)
    for kind, rows in (("completion_met", met), ("completion_unmet", unmet)):
        if rows:
            about = ({"programme_id": str(row.programme_id), "person_id": str(row.person_id)} for row in rows)
            enqueue_all(db, kind, about, now)


def _tell_of_unmet(db: Db, programme: Programme, person_id: uuid.UUID, now: datetime) -> None:
    """Tell the managers that a completion was taken back, and the person, who was told that it was met."""
    met_page = f"/programmes/{programme.id}/record"
    notify.take_back(db, [met_page], now, "programme_completed", people=[person_id])
    name = display_names(db, {person_id}).get(person_id, "")
    page = f"/people/{person_id}/credits"
    said = Text(
        "%(name)s has no longer completed %(programme)s: credit was taken back.",
        name=name,
        programme=programme.name,
    )
    notify.tell_all(
        db, "completion_unmet", [(one, said, page) for one in managers_of(db, programme)], now, [page]
    )
    own = Text(
        "You have no longer completed %(name)s: credit was taken back. The reason stands with it.",
        name=programme.name,
    )
    notify.tell(db, person_id, "credit_changed", own, now, "/credits")


def unblock(db: Db, now: datetime, *whose: ColumnElement[bool]) -> int:
    """Look again at grades that are blocked, because something about their places may have changed.

    :param whose: which of them, by delivery or programme.
    :return: how many are on their way now; the others say why not, in the words of today.
    **Touches** writes delivery.
    """
    query = (
        select(Delivery, Programme)
        .join(Programme, Programme.id == Delivery.programme_id)
        .where(Delivery.state == "blocked", Delivery.account_id.is_(None), *whose)
        .order_by(Delivery.created_at, Delivery.id)
    )
    rows = db.execute(query.with_for_update(of=Delivery)).all()
    places = find_places(db, {(programme, row.person_id) for row, programme in rows})
    freed = 0
    for row, programme in rows:
        place = places[programme.id, row.person_id]
        if place.problem is None:
            store.reopen(db, row, now)
            freed += 1
        else:
            row.last_error, row.last_status, row.updated_at = place.problem, None, now
    return freed


def retry(db: Db, delivery: Delivery, actor: str, now: datetime) -> None:
    """Send a delivery again now, because somebody says that the obstacle is gone.

    :param actor: see `audit.AuditEntry`.
    :raises ConflictError: there is nothing to send again.
    **Touches** writes delivery, audit_entry.
    """
    # A worker may have taken it since it was read.
    db.refresh(delivery, with_for_update=True)
    if delivery.state == "superseded":
        raise ConflictError(
            "delivery_superseded", "A newer delivery took the place of this one. Nothing was lost."
        )
    if delivery.state == "in_flight" and delivery.lease_until is not None and delivery.lease_until > now:
        raise ConflictError("delivery_in_flight", "This is being sent right now. Look again in a minute.")
    if delivery.state == "delivered":
        raise ConflictError("delivery_delivered", "This has arrived already. Nothing needs to be sent again.")
    if delivery.state == "blocked":
        problem = find_place(db, db.get_one(Programme, delivery.programme_id), delivery.person_id).problem
        # Whatever else blocked it, another system or a sink that needs no place, is tried once more.
        if problem is not None and problem == delivery.last_error:
            said = Text(
                "This cannot be sent yet, and is sent by itself later. What is missing: %(why)s", why=problem
            )
            raise ConflictError("delivery_blocked", said)
    audit.record(
        db, actor, "delivery.retry", delivery.id, now, state=delivery.state, attempts=delivery.attempts
    )
    door = store.door_of(db, delivery)
    if door is not None:
        release(db, door)
    store.reopen(db, delivery, now)


def done_by_hand(db: Db, delivery: Delivery, actor: str, now: datetime) -> None:
    """Take somebody's word that what a system could not do, or refused, was done there by hand.

    :param actor: see `audit.AuditEntry`.
    :raises ConflictError: it does not wait for anybody.
    **Touches** writes delivery, audit_entry.
    """
    db.refresh(delivery, with_for_update=True)
    if delivery.account_id is None or delivery.state != "needs_human":
        raise ConflictError("delivery_not_waiting", "This waits for nobody. Nothing was changed.")
    audit.record(db, actor, "delivery.by_hand", delivery.id, now, attempts=delivery.attempts)
    delivery.state, delivery.last_error, delivery.updated_at = "delivered", None, now
    delivery.remote_ref = delivery.remote_ref or BY_HAND
    db.info["wake"] = True


def resume_account(db: Db, account: SinkAccount, actor: str, now: datetime) -> int:
    """Send to an account again, also what it had refused, because somebody says that the obstacle is gone.

    What may have arrived there stays: only who has looked there may send it again, one by one.

    :return: how many refused ones are sent once more.
    **Touches** writes sink_account, delivery, audit_entry; deletes brake.
    """
    account.paused_at = None
    release(db, Door(account.sink, account.id))
    refused = select(Delivery).where(
        Delivery.account_id == account.id,
        Delivery.state.in_(("blocked", "needs_human")),
        Delivery.remote_ref.is_distinct_from(store.MAYBE_THERE),
        # What nobody has tried to send is not refused: it must be corrected there by hand.
        Delivery.sent_timestamp.is_not(None),
    )
    rows = db.scalars(refused.with_for_update()).all()
    for row in rows:
        store.reopen(db, row, now)
    audit.record(db, actor, "sink_account.resume", account.id, now, refused=len(rows))
    db.info["wake"] = True
    return len(rows)
