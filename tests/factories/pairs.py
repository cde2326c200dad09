"""Rows of a pair: two enrolled people with an active pairing, and what they did so far."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from rmplugin.agreements import operations as agreements
from rmplugin.agreements.models import Agreement
from rmplugin.agreements.queries import own_draft
from rmplugin.db import Db
from rmplugin.goals import operations as goals
from rmplugin.goals.models import Goal
from rmplugin.jobs import Runtime
from rmplugin.matching.models import MatchRun, Pairing, Proposal
from rmplugin.people.models import Person
from rmplugin.programmes.models import Programme
from rmplugin.sessions import operations as sessions
from rmplugin.sessions.models import MentoringSession
from rmplugin.tenants.models import Tenant
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import OFFER, WANT, enrol, make_programme

AGREED: dict[str, Any] = {
    "cadence_weeks": 2,
    "session_minutes": 60,
    "medium": "mixed",
    "place": "Café on the ground floor",
    "hopes": "Mira wants to see how decisions are made.",
    "boundaries": "No talk about salaries.",
    "confidentiality": "It stays between us.",
    "feedback": "One thing that helped, one to do differently.",
    "ends_on": date(2027, 6, 4),
}
GOAL: dict[str, Any] = {
    "theme": "technology",
    "weight": 1,
    "title": "Write my weekly report with an AI assistant",
    "baseline": "My assistant writes it.",
    "level_minus_2": "Nothing changed.",
    "level_minus_1": "I tried it twice.",
    "level_0": "Every second report.",
    "level_plus_1": "Every report.",
    "level_plus_2": "I showed it to two colleagues.",
    "due_on": date(2027, 6, 4),
}
MEETING: dict[str, Any] = {"minutes": 60, "medium": "video", "place": "", "agenda": "Prompts that work"}


@dataclass
class Pair:
    """An active pairing: `mentor` Mira Junior teaches, `mentee` Sven Senior learns."""

    runtime: Runtime
    tenant: Tenant
    programme: Programme
    pairing: Pairing
    mentor: Person
    mentee: Person

    @property
    def path(self) -> str:
        return f"/pairings/{self.pairing.id}"

    def transaction(self):
        return self.runtime.database.transaction(self.tenant.id)

    @property
    def now(self) -> datetime:
        return self.runtime.clock()

    def propose(self, person: Person, **changes: Any) -> Agreement:
        """Write a version; before the first one, both send what they expect."""
        with self.transaction() as db:
            for one in (self.mentor, self.mentee):
                if own_draft(db, self.pairing.id, one.id) is None:
                    agreements.save_draft(db, self.get(db), AGREED, one.id, self.now, send=True)
            return agreements.propose(db, self.get(db), AGREED | changes, person.id, self.now)

    def expect(self, person: Person, *, send: bool = True, **changes: Any) -> None:
        """Write down what a person expects."""
        with self.transaction() as db:
            agreements.save_draft(db, self.get(db), AGREED | changes, person.id, self.now, send=send)

    def sign(self, agreement: Agreement, person: Person) -> bool:
        with self.transaction() as db:
            return agreements.sign(db, db.get_one(Agreement, agreement.id), person.id, self.now)

    def agree(self, **changes: Any) -> Agreement:
        """Have both sign a version."""
        agreement = self.propose(self.mentor, **changes)
        self.sign(agreement, self.mentor)
        self.sign(agreement, self.mentee)
        return agreement

    def add_goal(self, person: Person, **changes: Any) -> Goal:
        with self.transaction() as db:
            return goals.add_goal(db, self.get(db), GOAL | changes, person.id, self.now)

    def plan(self, person: Person, starts_at: datetime, **changes: Any) -> MentoringSession:
        with self.transaction() as db:
            return sessions.plan(db, self.get(db), person.id, starts_at, MEETING | changes, self.now)

    def hold(self, hours_ago: float = 2) -> MentoringSession:
        """Write down a session that began so many hours ago; nobody has confirmed it."""
        return self.plan(self.mentor, self.now - timedelta(hours=hours_ago))

    def claim(self, session: MentoringSession, person: Person, minutes: int) -> MentoringSession:
        with self.transaction() as db:
            row = db.get_one(MentoringSession, session.id)
            return sessions.claim(db, row, person.id, minutes, self.now)

    def end(self) -> None:
        with self.transaction() as db:
            pairing = self.get(db)
            pairing.state, pairing.ended_at = "ended", self.now

    def get(self, db: Db) -> Pairing:
        return db.get_one(Pairing, self.pairing.id)

    def rows(self, table: type, **conditions: Any) -> list[Any]:
        """Read all rows of a table that fit, oldest first."""
        with self.transaction() as db:
            query = db.query(table).filter_by(**conditions)
            return query.order_by(table.id).all()  # type: ignore[attr-defined]


def make_pair(runtime: Runtime, tenant: Tenant, **fields: Any) -> Pair:
    """Make an active pairing that began now.

    :param fields: mentor_zone, mentee_zone (IANA); of the programme.
    """
    mentor_zone = fields.pop("mentor_zone", "Europe/Berlin")
    mentee_zone = fields.pop("mentee_zone", "Europe/London")
    with runtime.database.transaction(tenant.id) as db:
        now = runtime.clock()
        programme = make_programme(db, name=f"Programme {uuid.uuid4().hex[:6]}", **fields)
        mentor = make_person(db, given_name="Mira", family_name="Junior", hire_date=date(2026, 3, 2))
        mentee = make_leader(db, given_name="Sven", family_name="Senior", hire_date=date(2010, 3, 1))
        enrol(db, programme, mentor, now, time_zone=mentor_zone)
        enrol(db, programme, mentee, now, time_zone=mentee_zone, offers={WANT: 4}, wants={OFFER: (3, 1)})
        pairing = _pairing(db, programme, mentor, mentee, now)
    return Pair(runtime, tenant, programme, pairing, mentor, mentee)


def _pairing(db: Db, programme: Programme, mentor: Person, mentee: Person, now: datetime) -> Pairing:
    run = MatchRun(
        programme_id=programme.id,
        state="released",
        objective="best_total",
        rules={},
        weights={},
        metrics={},
        created_by="command",
        created_at=now,
    )
    db.add(run)
    db.flush()
    proposal = Proposal(
        run_id=run.id,
        programme_id=programme.id,
        mentor_id=mentor.id,
        mentee_id=mentee.id,
        state="accepted",
        score=1,
        contributions={},
        reasons={},
        mentor_answer="yes",
        mentee_answer="yes",
        created_at=now,
    )
    db.add(proposal)
    db.flush()
    pairing = Pairing(
        programme_id=programme.id,
        proposal_id=proposal.id,
        mentor_id=mentor.id,
        mentee_id=mentee.id,
        state="active",
        started_at=now,
        introduced_at=now,
        ended_at=None,
    )
    db.add(pairing)
    db.flush()
    return pairing
