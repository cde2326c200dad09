"""Credits: awards for confirmed sessions, completion derived from the ledger, and what the manager can do."""

import csv
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, TextIO

import structlog
from sqlalchemy import select

from rmplugin import audit, notify
from rmplugin.credits import events, queries, scoring, store
from rmplugin.credits.models import Completion, CreditEntry, Delivery
from rmplugin.db import Db
from rmplugin.destinations.models import SinkAccount
from rmplugin.destinations.store import Door, release
from rmplugin.errors import ConflictError
from rmplugin.jobs import enqueue
from rmplugin.matching.interruptions import end_with_programme
from rmplugin.matching.models import Pairing
from rmplugin.programmes.models import Programme
from rmplugin.records import PolicyProgress
from rmplugin.sessions.models import MentoringSession, SessionClaim
from rmplugin.shapes import spreadsheet_text
from rmplugin.sinks import CompletionSink
from rmplugin.texts import Text

log = structlog.get_logger()

# Stands in place of the other system's id of what it keeps.
BY_HAND = "by hand"


def on_session_confirmed(
    db: Db, payload: Mapping[str, Any], now: datetime, *, sinks: Sequence[CompletionSink] = ()
) -> None:
    """Award a confirmed session to both people, and bring their completion up to date.

    The event may come again; an award exists once per session and person.

    :param payload: {"session_id": text, …}.
    :param sinks: the registered sinks.
    **Touches** writes credit_entry, completion, delivery, outbox_event, notice.
    """
    query = select(MentoringSession).where(MentoringSession.id == uuid.UUID(payload["session_id"]))
    # Two events for one session wait here for each other.
    session = db.scalars(query.with_for_update()).one_or_none()
    if session is None or session.state != "confirmed":
        log.warning("award_without_confirmed_session", session=payload["session_id"])
        return
    pairing = db.get_one(Pairing, session.pairing_id)
    for role, person_id in (("mentor", pairing.mentor_id), ("mentee", pairing.mentee_id)):
        _award(db, session, pairing, person_id, role, now)
    db.flush()
    programme = db.get_one(Programme, pairing.programme_id)
    # Everybody locks in this order, so that two sessions of overlapping pairs never wait in a circle.
    for person_id in sorted((pairing.mentor_id, pairing.mentee_id)):
        update_completion(db, programme, person_id, sinks, now)


def _award(
    db: Db, session: MentoringSession, pairing: Pairing, person_id: uuid.UUID, role: str, now: datetime
) -> None:
    given = select(CreditEntry.id).where(
        CreditEntry.session_id == session.id,
        CreditEntry.person_id == person_id,
        CreditEntry.unit == scoring.UNIT,
        CreditEntry.kind == "award",
    )
    if db.execute(given).first() is not None:
        return
    claims = db.scalars(select(SessionClaim).where(SessionClaim.session_id == session.id)).all()
    assert session.counted_minutes is not None
    minutes = min((claim.minutes for claim in claims), default=session.counted_minutes)
    award = scoring.award(minutes, role)
    entry = CreditEntry(
        person_id=person_id,
        role=role,
        programme_id=pairing.programme_id,
        pairing_id=pairing.id,
        session_id=session.id,
        unit=scoring.UNIT,
        minutes=award.minutes,
        amount_hundredths=award.amount_hundredths,
        uncapped_hundredths=award.uncapped_hundredths,
        cap_applied=award.cap_applied,
        policy=scoring.POLICY,
        policy_version=scoring.POLICY_VERSION,
        kind="award",
        evidence_sha256=scoring.evidence_digest(_evidence(session, claims, person_id, role, award)),
        created_at=now,
        created_by="worker",
    )
    db.add(entry)
    db.flush()
    events.tell_entry(db, entry, now)
    enqueue(
        db, "credit_awarded", now, entry_id=str(entry.id), person_id=str(person_id), minutes=entry.minutes
    )


def _evidence(
    session: MentoringSession,
    claims: Sequence[SessionClaim],
    person_id: uuid.UUID,
    role: str,
    award: scoring.Award,
) -> dict[str, Any]:
    """Make the canonical record of who confirmed what when; nothing of what was said is in it."""
    said = [[str(c.person_id), c.minutes, c.claimed_at.isoformat()] for c in claims]
    return {
        "session": str(session.id),
        "pairing": str(session.pairing_id),
        "starts_at": session.starts_at.isoformat(),
        "confirmed_at": session.confirmed_at.isoformat() if session.confirmed_at else None,
        "claims": sorted(said),
        "person": str(person_id),
        "role": role,
        "minutes": award.minutes,
        "policy": f"{scoring.POLICY}/{scoring.POLICY_VERSION}",
    }


def on_progress_changed(
    db: Db, payload: Mapping[str, Any], now: datetime, *, sinks: Sequence[CompletionSink] = ()
) -> None:
    """Bring one person's completion of one programme up to date.

    :param payload: {"programme_id": text, "person_id": text}.
    **Touches** writes completion, delivery, notice.
    """
    programme = db.get(Programme, uuid.UUID(payload["programme_id"]))
    if programme is not None:
        update_completion(db, programme, uuid.UUID(payload["person_id"]), sinks, now)


def on_programme_archived(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """End the pairs of a programme that is over; completed are those of which both met its criteria.

    :param payload: {"programme_id": text}.
    **Touches** reads completion, and what `interruptions.end_with_programme` touches.
    """
    programme = db.get_one(Programme, uuid.UUID(payload["programme_id"]))
    met = select(Completion.person_id).where(
        Completion.programme_id == programme.id, Completion.met_at.is_not(None)
    )
    end_with_programme(db, programme, set(db.scalars(met)), now)


def on_member_seen(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """Look again at what was blocked, because the person launched. :param payload: {"person_id": text}.

    **Touches** writes delivery.
    """
    unblock(db, uuid.UUID(payload["person_id"]), now)


def on_course_roster_read(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """Look again at what was blocked in a course. :param payload: {"context_id": text}.

    **Touches** writes delivery.
    """
    query = (
        select(Delivery.person_id)
        .join(Programme, Programme.id == Delivery.programme_id)
        .where(Delivery.state == "blocked", Programme.context_id == uuid.UUID(payload["context_id"]))
    )
    for person_id in db.scalars(query.distinct()).all():
        unblock(db, person_id, now)


def progress_of(db: Db, programme: Programme, person_id: uuid.UUID) -> PolicyProgress:
    """Work out where a person stands now, by the ledger and the programme's criteria.

    **Touches** reads credit_entry, agreement, goal, pairing.
    """
    return scoring.completion(programme, queries.facts_of(db, programme.id, person_id))


def update_completion(
    db: Db, programme: Programme, person_id: uuid.UUID, sinks: Sequence[CompletionSink], now: datetime
) -> Completion:
    """Derive a person's completion again and write what the sinks must be told.

    Once met it stays met, until a reversal in the ledger takes credit away.

    **Touches** writes completion, delivery, notice.
    """
    row = store.hold_completion(db, programme.id, person_id, now)
    facts = queries.facts_of(db, programme.id, person_id)
    progress = scoring.completion(programme, facts)
    met_before = row.met_at
    kept = row.met_at is not None and not progress.met and not _reversed_since(db, row)
    percent = 100 if kept else progress.percent
    criteria = [asdict(criterion) for criterion in progress.criteria]
    if (row.percent, row.minutes, row.criteria, row.policy_version) != (
        percent,
        facts.minutes,
        criteria,
        scoring.POLICY_VERSION,
    ):
        row.percent, row.minutes, row.criteria = percent, facts.minutes, criteria
        row.policy_version, row.updated_at = scoring.POLICY_VERSION, now
    if progress.met and row.met_at is None:
        row.met_at = now
        text = Text(
            "You have met every criterion of %(name)s. Thank you for the time you gave each other.",
            name=programme.name,
        )
        notify.tell(db, person_id, "programme_completed", text, now, f"/programmes/{programme.id}/record")
    elif not progress.met and not kept:
        row.met_at = None
    db.flush()
    for sink in sinks:
        store.write_delivery(db, programme, row, sink, now)
    events.tell_completion(db, row, now, changed=row.met_at != met_before)
    return row


def _reversed_since(db: Db, row: Completion) -> bool:
    query = select(CreditEntry.id).where(
        CreditEntry.programme_id == row.programme_id,
        CreditEntry.person_id == row.person_id,
        CreditEntry.kind == "reversal",
        CreditEntry.created_at >= row.met_at,
    )
    return db.execute(query.limit(1)).first() is not None


def unblock(db: Db, person_id: uuid.UUID, now: datetime) -> int:
    """Look again at a person's blocked deliveries after they launched.

    :return: how many are on their way now; the others say why not, in the words of today.
    **Touches** writes delivery.
    """
    query = select(Delivery).where(Delivery.person_id == person_id, Delivery.state == "blocked")
    freed = 0
    for row in db.scalars(query.with_for_update()).all():
        place = queries.find_place(db, db.get_one(Programme, row.programme_id), person_id)
        if place.problem is None:
            store.reopen(db, row, now)
            freed += 1
        else:
            row.last_error, row.last_status, row.updated_at = place.problem, None, now
    return freed


def export_csv(db: Db, out: TextIO) -> int:
    """Write the whole ledger as CSV, for spreadsheets and for systems without a sink.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.

    :return: lines written, the heading not counted.
    **Source** RFC 4180; OWASP, CSV injection. **Touches** reads the ledger; writes to `out`.
    """
    writer = csv.writer(out)
    writer.writerow(queries.EXPORT_COLUMNS)
    lines = 0
    for row in queries.export_rows(db):
        writer.writerow([spreadsheet_text(value) if isinstance(value, str) else value for value in row])
        lines += 1
    return lines


def retry(db: Db, delivery: Delivery, actor: str, now: datetime) -> None:
    """Send a delivery again now, because somebody says that the obstacle is gone.

    :param actor: see `audit.AuditEntry`.
    :raises ConflictError: there is nothing to send again.
    **Touches** writes delivery, audit_entry.
    """
    if delivery.state == "superseded":
        raise ConflictError(
            "delivery_superseded", "A newer delivery took the place of this one. Nothing was lost."
        )
    if delivery.state == "in_flight" and delivery.lease_until is not None and delivery.lease_until > now:
        raise ConflictError("delivery_in_flight", "This is being sent right now. Look again in a minute.")
    if delivery.state == "delivered":
        raise ConflictError("delivery_delivered", "This has arrived already. Nothing needs to be sent again.")
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
