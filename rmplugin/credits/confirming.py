"""Many confirmed sessions at once: read together, awarded, written together.

A session that was never awarded and that no cap touches changes nothing of its people's other sessions; then
the rest of their ledger is left alone. All others are settled as `entries.Ledger` says.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple, cast

import structlog
from sqlalchemy import Row, Table, select

from rmplugin.credits import events, operations
from rmplugin.credits.entries import WORKER, Ledger, added, caps_of, digest, evidence_of, policy_of, rules_of
from rmplugin.credits.histories import Line, lines_of
from rmplugin.credits.models import CreditEntry
from rmplugin.db import Db, insert_rows, new_id
from rmplugin.destinations.models import SinkAccount
from rmplugin.jobs import enqueue_all
from rmplugin.matching.models import Pairing
from rmplugin.people.models import Person
from rmplugin.people.queries import zones_of
from rmplugin.policies import PREPARATION, Award, Caps, CreditPolicy, History, Role, SessionFacts, day_in
from rmplugin.programmes.models import Programme
from rmplugin.sessions.models import MentoringSession, SessionClaim
from rmplugin.sinks import CompletionSink

log = structlog.get_logger()

ENTRY: Table = CreditEntry.__table__  # type: ignore[assignment]  # Declared as FromClause; it is a Table here.


class Held(NamedTuple):
    """A confirmed session of one person. :ivar session: also with its pairing's columns."""

    session: Row[*tuple[Any, ...]]
    role: Role
    minutes: int
    claims: Sequence[Row[*tuple[Any, ...]]]


@dataclass
class _Batch:
    """What the people of some sessions have.

    :ivar held: person -> their sessions of the batch, in the order in which they took place.
    :ivar lines: person -> their ledger, oldest first.
    :ivar written: rows of new lines.
    """

    policies: Mapping[str, CreditPolicy]
    now: datetime
    held: Mapping[uuid.UUID, list[Held]]
    lines: dict[uuid.UUID, list[Line]]
    programmes: dict[uuid.UUID, Programme]
    zones: Mapping[uuid.UUID, str]
    caps: dict[uuid.UUID, Caps] = field(default_factory=dict)
    written: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.caps = {programme_id: caps_of(one) for programme_id, one in self.programmes.items()}


def on_sessions_confirmed(
    db: Db,
    payloads: Sequence[Mapping[str, Any]],
    now: datetime,
    *,
    sinks: Sequence[CompletionSink] = (),
    policies: Mapping[str, CreditPolicy],
) -> None:
    """Bring the ledger of the people in line with sessions that were confirmed, or are not any more.

    An event may come again; what stands in the ledger already is not written twice.

    :param payloads: {"session_id": text, …} each.
    :param sinks: the registered sinks.
    :param policies: the registered policies.
    **Touches** writes credit_entry, completion, delivery, outbox_event, notice.
    """
    sessions = _hold_sessions(db, {uuid.UUID(payload["session_id"]) for payload in payloads})
    if not sessions:
        return
    people = sorted({one for row in sessions for one in (row.mentor_id, row.mentee_id)})
    # Everybody locks in this order, so that two sessions of overlapping pairs never wait in a circle.
    query = select(Person.id).where(Person.id.in_(people)).order_by(Person.id)
    db.execute(query.with_for_update(key_share=True))
    lines = lines_of(db, people)
    ids = {row.programme_id for row in sessions} | {
        one.programme_id for some in lines.values() for one in some
    }
    programmes = {one.id: one for one in db.scalars(select(Programme).where(Programme.id.in_(ids)))}
    batch = _Batch(policies, now, _by_person(db, sessions), lines, programmes, zones_of(db, people))
    touched = {(person_id, one.session.programme_id) for person_id in people for one in batch.held[person_id]}
    settled = set()
    for person_id in people:
        if _stands_alone(batch, person_id):
            for one in batch.held[person_id]:
                _award(batch, person_id, one)
        else:
            ledger = Ledger(db, person_id, policies, now)
            ledger.settle()
            touched |= {(person_id, line.programme_id) for line in ledger.written}
            settled.add(person_id)
    _write(db, batch)
    batch.lines.update(lines_of(db, settled))
    operations.update_completions(db, sorted(touched), batch.lines, sinks, now, policies=policies)


def _hold_sessions(db: Db, session_ids: Collection[uuid.UUID]) -> Sequence[Row[*tuple[Any, ...]]]:
    """Lock sessions, so that two events for one of them wait for each other; give them with their pairs."""
    query = select(
        MentoringSession.id, MentoringSession.pairing_id, MentoringSession.kind, MentoringSession.state,
        MentoringSession.starts_at, MentoringSession.counted_minutes, MentoringSession.confirmed_at,
        MentoringSession.attested_at, Pairing.programme_id, Pairing.mentor_id, Pairing.mentee_id,
    )  # fmt: skip
    query = query.join(Pairing, Pairing.id == MentoringSession.pairing_id)
    query = query.where(MentoringSession.id.in_(session_ids)).order_by(MentoringSession.id)
    rows = db.execute(query.with_for_update(of=MentoringSession)).all()
    for missing in set(session_ids) - {row.id for row in rows}:
        log.warning("award_without_session", session=str(missing))
    return rows


def _by_person(db: Db, sessions: Sequence[Row[*tuple[Any, ...]]]) -> Mapping[uuid.UUID, list[Held]]:
    columns = (SessionClaim.session_id, SessionClaim.person_id, SessionClaim.minutes, SessionClaim.claimed_at)
    claims: dict[uuid.UUID, list[Row[*tuple[Any, ...]]]] = defaultdict(list)
    for claim in db.execute(
        select(*columns).where(SessionClaim.session_id.in_([row.id for row in sessions]))
    ):
        claims[claim.session_id].append(claim)
    held: dict[uuid.UUID, list[Held]] = defaultdict(list)
    for row in sorted(sessions, key=lambda row: (row.starts_at, row.id)):
        said = claims[row.id]
        minutes = min((one.minutes for one in said), default=row.counted_minutes or 0)
        for role, person_id in (("mentor", row.mentor_id), ("mentee", row.mentee_id)):
            held[person_id].append(Held(row, cast("Role", role), minutes, said))
    return held


def _stands_alone(batch: _Batch, person_id: uuid.UUID) -> bool:
    """Tell whether a person's sessions only add to the ledger: all are new, and no cap is reached by them."""
    held, lines = batch.held[person_id], batch.lines.get(person_id, [])
    new = {one.session.id for one in held}
    if any(one.session.state != "confirmed" for one in held) or any(
        line.session_id in new or line.created_at > batch.now for line in lines
    ):
        return False
    programmes = {one.session.programme_id for one in held} | {line.programme_id for line in lines}
    known = [batch.policies.get(batch.programmes[one].policy) for one in programmes]
    # A policy with rules of its own may look at everything that stands before.
    if any(policy is None or type(policy).award is not CreditPolicy.award for policy in known):
        return False
    counted = [
        (line.day, line.programme_id, line.minutes)
        for line in lines
        if line.day is not None and line.unit != PREPARATION
    ]
    zone = batch.zones[person_id]
    counted += [(day_in(zone, one.session.starts_at), one.session.programme_id, one.minutes) for one in held]
    return _fits(counted, {one: batch.caps[one] for one in programmes})


def _fits(counted: Iterable[tuple[date, uuid.UUID, int]], caps: Mapping[uuid.UUID, Caps]) -> bool:
    """Tell whether all sessions together stay within the strictest of the caps."""
    sums: dict[object, int] = defaultdict(int)
    limits: dict[object, int | None] = {}
    per_day = min((one.per_day for one in caps.values() if one.per_day is not None), default=None)
    per_year = min((one.per_year for one in caps.values() if one.per_year is not None), default=None)
    for day, programme_id, minutes in counted:
        places: tuple[tuple[object, int | None], ...] = (
            (day, per_day),
            (day.year, per_year),
            (programme_id, caps[programme_id].per_programme),
        )
        for place, limit in places:
            sums[place] += minutes
            limits[place] = limit
    return all(limit is None or sums[place] <= limit for place, limit in limits.items())


def _award(batch: _Batch, person_id: uuid.UUID, held: Held) -> None:
    """Add the lines of a session to a batch. No cap is reached, so that no other session has a say."""
    session = held.session
    policy = policy_of(batch.policies, batch.programmes[session.programme_id])
    caps, zone = batch.caps[session.programme_id], batch.zones[person_id]
    day = day_in(zone, session.starts_at)
    facts = SessionFacts(str(session.id), session.starts_at, held.minutes, day)
    evidence = digest(evidence_of(session, held.claims, person_id, held.role))
    for award in policy.award(facts, held.role, History(), caps):
        _add_line(batch, person_id, held, policy, award, day, evidence)


def _add_line(
    batch: _Batch,
    person_id: uuid.UUID,
    held: Held,
    policy: CreditPolicy,
    award: Award,
    day: date,
    evidence: str,
) -> None:
    session, unit = held.session, award.unit or policy.unit
    lines = batch.lines.setdefault(person_id, [])
    before = sum(
        one.minutes for one in lines if one.unit == unit and one.programme_id == session.programme_id
    )
    line_id, uncapped = new_id(), award.uncapped_minutes
    rules = rules_of(batch.caps[session.programme_id], batch.zones[person_id])
    batch.written.append(
        {
            "id": line_id, "person_id": person_id, "role": held.role, "programme_id": session.programme_id,
            "pairing_id": session.pairing_id, "session_id": session.id, "unit": unit,
            "minutes": award.minutes, "cap_applied": award.cap_applied, "policy": policy.key,
            "amount_hundredths": added(batch.policies, policy.key, unit, before, award.minutes),
            "uncapped_hundredths": added(batch.policies, policy.key, unit, before, uncapped),
            "policy_version": policy.version, "rules": rules, "kind": "award", "reverses_id": None,
            "follows_id": None, "reason": None, "evidence_sha256": evidence, "created_at": batch.now,
            "created_by": WORKER,
        }
    )  # fmt: skip
    lines.append(
        Line(line_id, person_id, session.programme_id, session.id, unit, award.minutes, batch.now,
             session.starts_at, day)
    )  # fmt: skip


def _write(db: Db, batch: _Batch) -> None:
    """Write the new lines, and tell of them."""
    rows = batch.written
    insert_rows(db.connection(), ENTRY, ({**row, "tenant_id": db.tenant_id} for row in rows))
    told = (
        {"entry_id": str(row["id"]), "person_id": str(row["person_id"]), "minutes": row["minutes"]}
        for row in rows
    )
    enqueue_all(db, "credit_awarded", told, batch.now)
    if rows and db.execute(select(SinkAccount.id).limit(1)).first() is not None:
        query = select(CreditEntry).where(CreditEntry.id.in_([row["id"] for row in rows]))
        for entry in db.scalars(query.order_by(CreditEntry.id)).all():
            events.tell_entry(db, entry, batch.now)
