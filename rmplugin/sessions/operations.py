"""Sessions: plan, move, cancel, say how long they were."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select

from rmplugin import audit, jobs, notify
from rmplugin.agreements.queries import current_agreement
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import lock_active_pairing, lock_pairing
from rmplugin.people.queries import display_names
from rmplugin.preparation.operations import require_ready
from rmplugin.programmes.models import Programme
from rmplugin.sessions.evidence import can_ask_attestation, minutes_that_count
from rmplugin.sessions.forms import MOST_AGENDA
from rmplugin.sessions.models import MentoringSession, SessionChange, SessionClaim
from rmplugin.sessions.queries import claims_of, ends_at, find_overlap
from rmplugin.texts import Text

# A session that was never planned can be written down this long after it took place.
LOG_WITHIN = timedelta(days=60)
# People may meet and only then press "yes"; their first session counts.
FIRST_DAY = timedelta(hours=24)
PLAN_WITHIN = timedelta(days=366)


def needs_agreement_first(db: Db, pairing_id: uuid.UUID) -> bool:
    """Tell whether another session has to wait for a signed agreement: the first is free, the second is not.

    **Touches** reads mentoring_session, agreement.
    """
    return has_sessions(db, pairing_id) and current_agreement(db, pairing_id) is None


def has_sessions(db: Db, pairing_id: uuid.UUID) -> bool:
    """Tell whether a pair has planned or held a session. **Touches** reads mentoring_session."""
    query = select(func.count()).select_from(MentoringSession)
    query = query.where(MentoringSession.pairing_id == pairing_id, MentoringSession.state != "cancelled")
    return bool(db.scalar(query))


def plan(
    db: Db,
    pairing: Pairing,
    person_id: uuid.UUID,
    starts_at: datetime,
    values: Mapping[str, Any],
    now: datetime,
) -> MentoringSession:
    """Plan a session, or write down one that already took place.

    :param starts_at: aware UTC, from 60 days ago to a year ahead.
    :param values: minutes, medium, place, agenda; kind, "regular" without one; topic, which counts when it is
        one of the programme's.
    :raises InputError: the time is out of that range or before the two were a pair, or another session of
        the two is at that time.
    :raises ConflictError: before both wanted to go on after their first call, a first session ahead without
        the preparation that the programme asks for, a second one without a signed agreement, or the pairing
        has ended or is on hold.
    **Touches** writes mentoring_session, session_change, notice, outbox_event.
    """
    if lock_active_pairing(db, pairing.id, person_id).introduced_at is None:
        raise ConflictError(
            "intro_first",
            "Sessions begin when both of you have had your first call and said, each alone, whether you want "
            "to go on. Nothing was lost.",
        )
    if needs_agreement_first(db, pairing.id):
        raise ConflictError(
            "agreement_first",
            "Before your second session, please write and sign your agreement together. Nothing was lost: "
            "your first session stays as it is.",
        )
    if starts_at > now and not has_sessions(db, pairing.id):
        require_ready(db, pairing)
    _check_time(db, pairing, starts_at, values["minutes"], now)
    session = MentoringSession(
        pairing_id=pairing.id,
        kind=values.get("kind", "regular"),
        topic=_topic(db, pairing, values),
        state="scheduled",
        starts_at=starts_at,
        planned_minutes=values["minutes"],
        medium=values["medium"],
        place=values["place"],
        agenda=values["agenda"],
        planned_by=person_id,
        created_at=now,
        updated_at=now,
    )
    db.add(session)
    _rebook(db, pairing.id, person_id)
    db.flush()
    jobs.enqueue(db, "session_planned", now, session_id=str(session.id), sequence=session.sequence)
    tell_partner(
        db, pairing, person_id, session, "%(name)s planned a session.", now, mail=ends_at(session) <= now
    )
    return session


def reschedule(
    db: Db,
    session: MentoringSession,
    person_id: uuid.UUID,
    starts_at: datetime,
    values: Mapping[str, Any],
    now: datetime,
) -> None:
    """Change a session that nobody has confirmed; another start counts as a move.

    :param starts_at: aware UTC, from 60 days ago to a year ahead.
    :param values: minutes, medium, place, agenda; kind, the one it had without one; topic; reason, a code of
        `forms.CAUSES` or None.
    :raises InputError: the time is out of that range, or another session of the two is at that time.
    :raises ConflictError: the session is confirmed or cancelled, or the pairing has ended or is on hold.
    **Touches** writes mentoring_session, session_change, notice, outbox_event.
    """
    pairing = lock_active_pairing(db, session.pairing_id, person_id)
    db.refresh(session, with_for_update=True)
    if session.state != "scheduled":
        raise ConflictError(
            "not_scheduled", "This session is confirmed or cancelled already, so it was left as it is."
        )
    moved = starts_at != session.starts_at
    if moved or values["minutes"] != session.planned_minutes:
        _check_time(db, pairing, starts_at, values["minutes"], now, besides=session.id)
        session.sequence += 1
        jobs.enqueue(db, "session_moved", now, session_id=str(session.id), sequence=session.sequence)
    if moved:
        _note_change(db, session, person_id, "moved", values.get("reason"), now, to_at=starts_at)
    session.starts_at, session.kind = starts_at, values.get("kind", session.kind)
    session.planned_minutes, session.topic = values["minutes"], _topic(db, pairing, values)
    session.medium, session.place, session.agenda = values["medium"], values["place"], values["agenda"]
    session.updated_at = now
    if moved:
        session.moves += 1
        tell_partner(
            db, pairing, person_id, session, "%(name)s moved a session.", now, mail=ends_at(session) <= now
        )


def _topic(db: Db, pairing: Pairing, values: Mapping[str, Any]) -> str | None:
    """Take a topic of the programme; one that was taken out of it meanwhile is none."""
    topic: str | None = values.get("topic") or None
    return topic if topic and topic in db.get_one(Programme, pairing.programme_id).topics else None


def cancel(
    db: Db, session: MentoringSession, person_id: uuid.UUID, now: datetime, reason: str | None = None
) -> None:
    """Cancel a session. Who did is recorded. One's own word that it took place is taken back with it.

    Cancelling a cancelled session changes nothing.
    :param reason: a code of `forms.CAUSES`, or pause for a break of the pair; None when none was given.
    :raises ConflictError: the other side has said that it took place, or the pairing has ended.
    **Touches** writes mentoring_session, session_claim, session_change, notice, outbox_event.
    """
    pairing = lock_active_pairing(db, session.pairing_id, person_id, on_hold_too=True)
    db.refresh(session, with_for_update=True)
    if session.state == "cancelled":
        return
    partner_id = pairing.partner_of(person_id)
    if session.state == "confirmed" or partner_id in claims_of(db, session.id):
        raise ConflictError(
            "took_place",
            "The other side has confirmed that this session took place, so it cannot be cancelled. Please "
            "talk to each other: they can take their word back.",
        )
    db.execute(delete(SessionClaim).where(SessionClaim.session_id == session.id))
    _note_change(db, session, person_id, "cancelled", reason, now)
    session.cancelled_by = person_id
    _call_off(db, session, pairing, now)
    tell_partner(
        db, pairing, person_id, session, "%(name)s cancelled a session.", now, mail=ends_at(session) <= now
    )


def add_point(db: Db, session: MentoringSession, person_id: uuid.UUID, point: str, now: datetime) -> None:
    """Add a point to the agenda of a session that is still ahead; one that stands there changes nothing.

    :raises InputError: the agenda is full.
    :raises ConflictError: the session is over, confirmed or cancelled, or the pairing ended or on hold.
    **Touches** writes mentoring_session.
    """
    lock_active_pairing(db, session.pairing_id, person_id)
    db.refresh(session, with_for_update=True)
    if session.state != "scheduled" or session.starts_at <= now:
        raise ConflictError(
            "not_ahead", "This session has begun or is cancelled, so its agenda stays as it is."
        )
    lines = session.agenda.splitlines()
    if point in lines:
        return
    agenda = "\n".join([*lines, point])
    if len(agenda) > MOST_AGENDA:
        raise InputError(
            "agenda_full",
            "The agenda is full. Nothing was lost.",
            {"point": "The agenda is full. Please shorten it under “Change time, place or agenda”."},
        )
    session.agenda, session.updated_at = agenda, now


def ask_attestation(db: Db, session: MentoringSession, person_id: uuid.UUID, now: datetime) -> None:
    """Ask the programme manager to attest a session that has lapsed after this side confirmed it; once.

    :raises ConflictError: not confirmed by this side, not lapsed yet, or refused before.
    **Touches** writes mentoring_session, notice.
    """
    pairing = lock_pairing(db, session.pairing_id, person_id)
    db.refresh(session, with_for_update=True)
    if not can_ask_attestation(session, now) or person_id not in claims_of(db, session.id):
        raise ConflictError(
            "no_attestation",
            "The programme manager can be asked once, when a session that you confirmed has lapsed. Nothing "
            "was changed.",
        )
    if session.attest_asked_at is None:
        session.state, session.attest_asked_at, session.updated_at = "lapsed", now, now
        said = "%(name)s asked the programme manager to attest a session."
        tell_partner(db, pairing, person_id, session, said, now)


def attest(
    db: Db,
    session: MentoringSession,
    actor: str,
    person_id: uuid.UUID | None,
    now: datetime,
    *,
    yes: bool,
    reason: str,
) -> None:
    """Attest as the manager that a session took place as one of the two says, or say that one cannot.

    :param actor: the manager, as in the audit.
    :param person_id: the manager as a person; None when the roster does not know them.
    :param reason: how they know, in words that both read; "" when they cannot attest it.
    :raises ConflictError: nobody asks for it any more, or it is the manager's own session.
    **Touches** writes mentoring_session, notice, audit_entry, outbox_event.
    """
    pairing = db.get_one(Pairing, session.pairing_id, with_for_update=True)
    db.refresh(session, with_for_update=True)
    if person_id is not None and pairing.role_of(person_id):
        raise ConflictError(
            "own_session",
            "This is a session of your own. Somebody else who manages the programme can attest it.",
        )
    if session.attest_asked_at is None or not can_ask_attestation(session, now):
        raise ConflictError(
            "already_settled",
            "Nobody waits for this any more: the two have settled it, or somebody answered.",
        )
    audit.record(db, actor, "session.attest" if yes else "session.attest_refuse", session.id, now)
    minutes = min(one.minutes for one in claims_of(db, session.id).values())
    said = Text("The programme manager attested one of your sessions. It counts.")
    if yes:
        session.attested_at, session.attest_reason = now, reason
        _confirm(db, session, pairing, minutes_that_count(minutes, minutes) or 0, now)
    else:
        session.attest_refused_at = now
        said = Text("The programme manager could not attest one of your sessions. It does not count.")
    session.updated_at = now
    for person in (pairing.mentor_id, pairing.mentee_id):
        notify.tell(db, person, "session_attested", said, now, f"/sessions/{session.id}")


def claim(
    db: Db, session: MentoringSession, person_id: uuid.UUID, minutes: int, now: datetime
) -> MentoringSession:
    """Say that a session took place, and for how long. The second word that fits the first confirms it.

    The same word twice changes nothing. A session that began before its pairing ended can still be confirmed.
    :param minutes: 1..480.
    :return: the session: claimed, disputed (more than 15 minutes apart) or confirmed.
    :raises InputError: the session has not begun.
    :raises ConflictError: it is cancelled or lapsed, both have confirmed it with another number, or the
        pairing is on hold.
    **Touches** writes session_claim, mentoring_session, notice, outbox_event.
    """
    pairing = lock_pairing(db, session.pairing_id, person_id)
    # Both may confirm at the same moment: the second waits here until the first is done.
    db.refresh(session, with_for_update=True)
    claims = claims_of(db, session.id)
    mine = claims.get(person_id)
    if session.state == "cancelled":
        raise ConflictError("session_cancelled", "This session was cancelled, so it cannot be confirmed.")
    if session.state == "lapsed":
        raise ConflictError(
            "session_lapsed",
            "This session waited two weeks for its second word and has lapsed. Whoever confirmed it can ask "
            "the programme manager to attest it.",
        )
    if mine is not None and mine.minutes == minutes:
        return session
    if session.state == "confirmed":
        raise ConflictError(
            "already_confirmed",
            Text(
                "Both of you confirmed this session already; it counts %(minutes)s minutes. Nothing was "
                "changed.",
                minutes=session.counted_minutes,
            ),
        )
    if session.starts_at > now or (pairing.ended_at is not None and session.starts_at > pairing.ended_at):
        raise InputError(
            "not_begun",
            "This session has not begun. Nothing was lost.",
            {"minutes": "You can confirm the session once it has begun."},
        )
    if mine is None:
        db.add(SessionClaim(session_id=session.id, person_id=person_id, minutes=minutes, claimed_at=now))
    else:
        mine.minutes, mine.claimed_at = minutes, now
    session.updated_at = now
    theirs = claims.get(pairing.partner_of(person_id))
    settle(db, session, pairing, person_id, minutes, theirs.minutes if theirs else None, now)
    db.flush()
    return session


def settle(
    db: Db,
    session: MentoringSession,
    pairing: Pairing,
    person_id: uuid.UUID,
    mine: int,
    theirs: int | None,
    now: datetime,
) -> None:
    """Bring a session in line with what the two say of its length.

    :param mine: what `person_id` says; `theirs`: what the other one says, None for nothing.
    **Touches** writes mentoring_session, notice, outbox_event.
    """
    before = session.state
    if theirs is None:
        session.state = "claimed"
        _wait(session, before, now)
        tell_partner(
            db, pairing, person_id, session, "%(name)s confirmed a session; please confirm it, too.", now
        )
        return
    counted = minutes_that_count(mine, theirs)
    if counted is None:
        session.state = "disputed"
        _wait(session, before, now)
        tell_partner(
            db,
            pairing,
            person_id,
            session,
            "%(name)s gave another length for a session; please look at it.",
            now,
        )
        return
    _confirm(db, session, pairing, counted, now)


def _wait(session: MentoringSession, before: str, now: datetime) -> None:
    session.counted_minutes = session.confirmed_at = None
    if session.state != before:
        session.waits_since, session.reminders = now, 0


def _confirm(db: Db, session: MentoringSession, pairing: Pairing, counted: int, now: datetime) -> None:
    session.state, session.counted_minutes, session.confirmed_at = "confirmed", counted, now
    session.waits_since = None
    jobs.enqueue(db, "session_confirmed", now, session_id=str(session.id), minutes=counted)
    for person in (pairing.mentor_id, pairing.mentee_id):
        jobs.enqueue(
            db, "progress_changed", now, programme_id=str(pairing.programme_id), person_id=str(person)
        )


def on_pairing_closed(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """Cancel what an ended pairing had planned for later. By nobody: it says nothing about who ended it.

    :param payload: pairing_id.
    **Touches** writes mentoring_session, notice, outbox_event.
    """
    query = select(MentoringSession).where(
        MentoringSession.pairing_id == uuid.UUID(payload["pairing_id"]),
        MentoringSession.state == "scheduled",
        MentoringSession.starts_at > now,
    )
    pairing = db.get_one(Pairing, uuid.UUID(payload["pairing_id"]))
    for session in db.scalars(query.with_for_update()):
        _call_off(db, session, pairing, now)


def _call_off(db: Db, session: MentoringSession, pairing: Pairing, now: datetime) -> None:
    session.state, session.updated_at = "cancelled", now
    session.sequence += 1
    # Nobody need look at its plan, or confirm it, any more.
    both = (pairing.mentor_id, pairing.mentee_id)
    notify.take_back(db, [f"/sessions/{session.id}"], now, people=both)
    jobs.enqueue(db, "session_cancelled", now, session_id=str(session.id), sequence=session.sequence)


def _note_change(
    db: Db,
    session: MentoringSession,
    person_id: uuid.UUID,
    what: str,
    reason: str | None,
    now: datetime,
    to_at: datetime | None = None,
) -> None:
    # What was only written down afterwards was never an hour in the calendar.
    if session.created_at > session.starts_at:
        return
    change = SessionChange(
        pairing_id=session.pairing_id,
        session_id=session.id,
        person_id=person_id,
        what=what,
        was_at=session.starts_at,
        was_minutes=session.planned_minutes,
        to_at=to_at,
        reason=reason,
        created_at=now,
    )
    db.add(change)


def _rebook(db: Db, pairing_id: uuid.UUID, person_id: uuid.UUID) -> None:
    """Say of the last cancellation who planned the next session."""
    query = select(SessionChange).where(
        SessionChange.pairing_id == pairing_id, SessionChange.what == "cancelled"
    )
    last = db.scalars(
        query.order_by(SessionChange.created_at.desc(), SessionChange.id.desc()).limit(1)
    ).first()
    if last is not None and last.rebooked_by is None:
        last.rebooked_by = person_id


def _check_time(
    db: Db,
    pairing: Pairing,
    starts_at: datetime,
    minutes: int,
    now: datetime,
    besides: uuid.UUID | None = None,
) -> None:
    message = "The time needs a change. Nothing was lost."
    if starts_at < now - LOG_WITHIN:
        raise InputError(
            "too_long_ago",
            message,
            {"on": "A session can be written down up to 60 days after it took place."},
        )
    if starts_at < pairing.started_at - FIRST_DAY:
        raise InputError(
            "before_pairing", message, {"on": "The two of you were not a pair then. Please check the day."}
        )
    if starts_at > now + PLAN_WITHIN:
        raise InputError(
            "too_far_ahead", message, {"on": "Please choose a day within the next twelve months."}
        )
    if find_overlap(db, pairing, starts_at, minutes, besides=besides) is not None:
        raise InputError(
            "overlap",
            message,
            {"at": "One of you already has a mentoring session at that time. Please choose another."},
        )


def tell_partner(
    db: Db,
    pairing: Pairing,
    person_id: uuid.UUID,
    session: MentoringSession,
    did: str,
    now: datetime,
    *,
    mail: bool = True,
) -> None:
    """Leave the partner a notice.

    :param did: a text with the blank %(name)s.
    :param mail: False when the mail for their calendar says it, which goes to both.
    **Touches** reads person; writes notice.
    """
    name = display_names(db, {person_id}).get(person_id, Text("Your partner"))
    text = Text(did, name=name)
    page = f"/sessions/{session.id}"
    notify.tell(db, pairing.partner_of(person_id), "session_changed", text, now, page, mail=mail)
