"""Reads about credits: the ledger, completion and deliveries."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any

from sqlalchemy import func, or_, select

from rmplugin.credits.histories import Line, histories_of, lines_of, sum_up
from rmplugin.credits.models import Completion, CreditEntry, CreditReason, Delivery
from rmplugin.db import Db, chunks
from rmplugin.errors import NotFoundError
from rmplugin.matching.models import Pairing
from rmplugin.people.models import CourseMember, LtiUser, Person
from rmplugin.policies import PREPARATION, History, Targets
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.sessions.models import MentoringSession

# What needs somebody first, then what is on its way, then what arrived.
STATE_ORDER = ("needs_human", "dead", "blocked", "retry", "in_flight", "pending", "delivered", "superseded")
OPEN_STATES = ("pending", "in_flight", "retry", "blocked", "needs_human")


def targets_of(programme: Programme) -> Targets:
    """Give what a programme asks for. **Touches** pure."""
    return Targets(
        sessions=programme.min_sessions,
        minutes=programme.min_minutes,
        days=programme.min_days,
        reflections=programme.min_reflections,
        agreement=programme.needs_agreement,
        end_review=programme.needs_goal_review,
    )


def own_histories(
    db: Db,
    person_id: uuid.UUID,
    programme_ids: Collection[uuid.UUID],
    entries: Sequence[tuple[CreditEntry, MentoringSession | None]],
    zone: str,
) -> dict[uuid.UUID, History]:
    """Give what a person has reached in each of some programmes, reversals taken off.

    :param entries: the person's ledger, see `credits_of`.
    :param zone: where they are.
    **Touches** reads agreement, goal, note, pairing.
    """
    pairs = [(person_id, programme_id) for programme_id in programme_ids]
    lines = [Line.of(entry, session, zone) for entry, session in reversed(entries)]
    found = histories_of(db, pairs, {person_id: lines}) if pairs else {}
    return {programme_id: history for (_person_id, programme_id), history in found.items()}


def ledger_history(db: Db, programme_id: uuid.UUID, person_id: uuid.UUID) -> History:
    """Give what counts for a person in a programme, reversals taken off; of their ledger alone.

    **Touches** reads credit_entry, mentoring_session, profile, person.
    """
    return ledger_histories(db, [(person_id, programme_id)])[person_id, programme_id]


def ledger_histories(
    db: Db, pairs: Collection[tuple[uuid.UUID, uuid.UUID]]
) -> dict[tuple[uuid.UUID, uuid.UUID], History]:
    """Do for many what `ledger_history` does for one. :param pairs: (person, programme)."""
    lines = lines_of(db, {person_id for person_id, _programme_id in pairs})
    histories = {}
    for person_id, programme_id in pairs:
        mine = (line for line in lines.get(person_id, ()) if line.programme_id == programme_id)
        earned, adjusted = sum_up(mine)
        histories[person_id, programme_id] = History(earned=earned, adjusted=adjusted)
    return histories


def began_at(paired: Iterable[datetime], history: History, programme: Programme) -> datetime:
    """Give when somebody began: with their first pairing, or with a session that counts and was before it.

    :param paired: when their pairings started; without any, and without sessions, it is the first day of
        the programme.
    **Touches** pure.
    """
    moments = [*paired, *(one.session.starts_at for one in history.earned)]
    return min(moments, default=datetime.combine(programme.starts_on, time.min, UTC))


def pairing_starts(
    db: Db, people: Collection[uuid.UUID], programme_id: uuid.UUID | None = None
) -> dict[tuple[uuid.UUID, uuid.UUID], list[datetime]]:
    """Give when the pairings of people started, by person and programme.

    :param programme_id: None for all programmes.
    **Touches** reads pairing.
    """
    starts: dict[tuple[uuid.UUID, uuid.UUID], list[datetime]] = {}
    columns = (Pairing.mentor_id, Pairing.mentee_id, Pairing.programme_id, Pairing.started_at)
    wanted = set(people)
    for some in chunks(wanted):
        query = select(*columns).where(or_(Pairing.mentor_id.in_(some), Pairing.mentee_id.in_(some)))
        if programme_id is not None:
            query = query.where(Pairing.programme_id == programme_id)
        for mentor_id, mentee_id, where, started_at in db.execute(query):
            for person_id in wanted.intersection((mentor_id, mentee_id)):
                starts.setdefault((person_id, where), []).append(started_at)
    return starts


def credits_of(
    db: Db, person_id: uuid.UUID, programmes: Collection[uuid.UUID] | None = None
) -> Sequence[tuple[CreditEntry, MentoringSession | None]]:
    """List a person's ledger, newest first, each line with its session; an adjustment has none.

    :param programmes: ids; None for all programmes.
    **Touches** reads credit_entry, mentoring_session.
    """
    query = (
        select(CreditEntry, MentoringSession)
        .outerjoin(MentoringSession, MentoringSession.id == CreditEntry.session_id)
        .where(CreditEntry.person_id == person_id)
        .order_by(
            func.coalesce(MentoringSession.starts_at, CreditEntry.created_at).desc(), CreditEntry.id.desc()
        )
    )
    if programmes is not None:
        query = query.where(CreditEntry.programme_id.in_(programmes))
    return [(entry, session) for entry, session in db.execute(query)]


def reasons_of(db: Db, person_id: uuid.UUID) -> dict[uuid.UUID, str]:
    """Give why lines of a person's ledger were taken back or adjusted, as far as somebody wrote it.

    :return: id of the line -> words.
    **Touches** reads credit_reason, credit_entry.
    """
    query = (
        select(CreditReason.entry_id, CreditReason.words)
        .join(CreditEntry, CreditEntry.id == CreditReason.entry_id)
        .where(CreditEntry.person_id == person_id)
    )
    return {row.entry_id: row.words for row in db.execute(query)}


def get_entry_of(db: Db, entry_id: uuid.UUID, person_id: uuid.UUID) -> CreditEntry:
    """Give a line of a person's ledger.

    :raises NotFoundError: they have none such.
    **Touches** reads credit_entry.
    """
    entry = db.get(CreditEntry, entry_id)
    if entry is None or entry.person_id != person_id:
        raise NotFoundError("credit entry")
    return entry


def session_of(db: Db, entry: CreditEntry) -> MentoringSession | None:
    """Give the session of a line; None for an adjustment. **Touches** reads mentoring_session."""
    return db.get(MentoringSession, entry.session_id) if entry.session_id else None


def get_person_of_course(db: Db, person_id: uuid.UUID, context_id: uuid.UUID | None) -> Person:
    """Give a person who is a member of a course, or enrolled in one of its programmes.

    :param context_id: of the manager's course; None for a launch outside a course.
    :raises NotFoundError: they are not.
    **Touches** reads person, course_member, lti_user, enrolment, programme.
    """
    member = (
        select(LtiUser.person_id)
        .join(CourseMember, CourseMember.lti_user_id == LtiUser.id)
        .where(CourseMember.context_id == context_id, LtiUser.link_state == "confirmed")
    )
    enrolled = (
        select(Enrolment.person_id)
        .join(Programme, Programme.id == Enrolment.programme_id)
        .where(Programme.context_id == context_id)
    )
    query = select(Person).where(Person.id == person_id, or_(Person.id.in_(member), Person.id.in_(enrolled)))
    person = db.scalars(query).one_or_none() if context_id is not None else None
    if person is None:
        raise NotFoundError("person")
    return person


def role_of(db: Db, programme_id: uuid.UUID, person_id: uuid.UUID) -> str:
    """Give a person's role in a programme.

    :raises NotFoundError: they take no part in it.
    **Touches** reads enrolment.
    """
    query = select(Enrolment.role).where(
        Enrolment.programme_id == programme_id, Enrolment.person_id == person_id
    )
    role = db.scalar(query)
    if role is None:
        raise NotFoundError("enrolment")
    return role


def completion_of(db: Db, programme_id: uuid.UUID, person_id: uuid.UUID) -> Completion | None:
    """Give the stored completion; None before anything happened. **Touches** reads completion."""
    query = select(Completion).where(
        Completion.programme_id == programme_id, Completion.person_id == person_id
    )
    return db.scalars(query).one_or_none()


def own_completions(db: Db, person_id: uuid.UUID) -> dict[uuid.UUID, Completion]:
    """Give the stored completions of a person by programme. **Touches** reads completion."""
    rows = db.scalars(select(Completion).where(Completion.person_id == person_id))
    return {row.programme_id: row for row in rows}


def programmes_of(db: Db, person_id: uuid.UUID) -> Sequence[Programme]:
    """List the programmes in which a person takes or took part, newest first.

    **Touches** reads programme, enrolment, pairing.
    """
    enrolled = select(Enrolment.programme_id).where(
        Enrolment.person_id == person_id, Enrolment.state.in_(("submitted", "completed"))
    )
    paired = select(Pairing.programme_id).where(
        or_(Pairing.mentor_id == person_id, Pairing.mentee_id == person_id)
    )
    query = select(Programme).where(or_(Programme.id.in_(enrolled), Programme.id.in_(paired)))
    return db.scalars(query.order_by(Programme.starts_on.desc(), Programme.id.desc())).all()


def latest_deliveries(db: Db, person_id: uuid.UUID) -> dict[uuid.UUID, dict[str, list[Delivery]]]:
    """Give the newest delivery of each sink for a person, and before it the newest that arrived.

    :return: programme -> sink -> one or two rows, newest first.
    **Touches** reads delivery.
    """
    query = select(Delivery).where(
        Delivery.person_id == person_id,
        Delivery.state != "superseded",
        Delivery.account_id.is_(None),
    )
    newest: dict[uuid.UUID, dict[str, list[Delivery]]] = {}
    for row in db.scalars(query.order_by(Delivery.created_at.desc(), Delivery.id.desc())):
        kept = newest.setdefault(row.programme_id, {}).setdefault(row.sink, [])
        if not kept or (row.state == "delivered" and all(k.state != "delivered" for k in kept)):
            kept.append(row)
    return newest


def list_deliveries(
    db: Db, programme_id: uuid.UUID | None = None, state: str | None = None
) -> Sequence[tuple[Delivery, Person]]:
    """List deliveries, newest first, each with its person.

    :param programme_id: None for all; `state`: None for all but superseded ones.
    **Touches** reads delivery, person.
    """
    query = select(Delivery, Person).join(Person, Person.id == Delivery.person_id)
    if programme_id is not None:
        query = query.where(Delivery.programme_id == programme_id)
    query = query.where(Delivery.state == state if state is not None else Delivery.state != "superseded")
    return db.execute(query.order_by(Delivery.created_at.desc(), Delivery.id.desc())).all()


def get_delivery(db: Db, delivery_id: uuid.UUID) -> Delivery:
    """Give a delivery.

    :raises NotFoundError: this tenant has none such.
    **Touches** reads delivery.
    """
    delivery = db.get(Delivery, delivery_id)
    if delivery is None:
        raise NotFoundError("delivery")
    return delivery


def count_by_account(db: Db, programme_id: uuid.UUID | None = None) -> dict[uuid.UUID, dict[str, int]]:
    """Count the deliveries of each account by state, superseded ones left out.

    :param programme_id: None for all.
    **Touches** reads delivery.
    """
    query = select(Delivery.account_id, Delivery.state, func.count()).where(
        Delivery.account_id.is_not(None), Delivery.state != "superseded"
    )
    if programme_id is not None:
        query = query.where(Delivery.programme_id == programme_id)
    counts: dict[uuid.UUID, dict[str, int]] = {}
    for account_id, state, count in db.execute(query.group_by(Delivery.account_id, Delivery.state)):
        assert account_id is not None
        counts.setdefault(account_id, {})[state] = count
    return counts


def report_deliveries(db: Db, state: str | None = None) -> list[dict[str, Any]]:
    """Give the document of ``credits deliveries --json``.

    :param state: None for all but superseded ones.
    **Touches** reads delivery, person.
    """
    return [
        {
            "id": str(row.id),
            "sink": row.sink,
            "person": person.employee_number or str(person.id),
            "state": row.state,
            "attempts": row.attempts,
            "last_status": row.last_status,
            "last_error": row.last_error,
            "remote_ref": row.remote_ref,
            "sent_at": row.sent_timestamp.isoformat() if row.sent_timestamp else None,
            "next_at": row.next_at.isoformat() if row.state in ("pending", "retry") else None,
            "percent": row.payload.get("percent"),
            "event": row.payload.get("kind"),
        }
        for row, person in list_deliveries(db, state=state)
    ]


def report_person(db: Db, person: Person) -> dict[str, Any]:
    """Give the document of ``credits show PERSON --json``.

    **Touches** reads credit_entry, credit_reason, mentoring_session, completion, delivery.
    """
    lines, reasons = credits_of(db, person.id), reasons_of(db, person.id)
    completions, newest = own_completions(db, person.id), latest_deliveries(db, person.id)
    return {
        "person": person.employee_number or str(person.id),
        "minutes": sum(entry.minutes for entry, _session in lines if entry.unit != PREPARATION),
        "programmes": [
            _report_programme(one, completions.get(one.id), newest.get(one.id, {}))
            for one in programmes_of(db, person.id)
        ],
        "entries": [
            {
                "id": str(entry.id),
                "kind": entry.kind,
                "role": entry.role,
                "programme_id": str(entry.programme_id),
                "session_id": str(session.id) if session else None,
                "session_at": session.starts_at.isoformat() if session else None,
                "unit": entry.unit,
                "minutes": entry.minutes,
                "amount_hundredths": entry.amount_hundredths,
                "uncapped_hundredths": entry.uncapped_hundredths,
                "cap_applied": entry.cap_applied,
                "policy": f"{entry.policy}/{entry.policy_version}",
                "reverses": str(entry.reverses_id) if entry.reverses_id else None,
                "reason": reasons.get(entry.id, entry.reason),
                "evidence_sha256": entry.evidence_sha256,
                "created_at": entry.created_at.isoformat(),
            }
            for entry, session in lines
        ],
    }


def _report_programme(
    programme: Programme, row: Completion | None, newest: Mapping[str, Sequence[Delivery]]
) -> dict[str, Any]:
    return {
        "id": str(programme.id),
        "name": programme.name,
        "percent": row.percent if row else 0,
        "met_at": row.met_at.isoformat() if row and row.met_at else None,
        "criteria": row.criteria if row else [],
        "deliveries": {
            sink: {"state": d[0].state, "last_error": d[0].last_error} for sink, d in newest.items()
        },
    }
