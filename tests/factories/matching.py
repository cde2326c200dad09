"""Rows of matching: a programme with people in its pool, runs, released proposals, pairings."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from rmplugin.db import Db
from rmplugin.jobs import Runtime
from rmplugin.matching import documents, operations, queries, releasing, tasks
from rmplugin.matching.models import MatchRun, Pairing, Proposal
from rmplugin.people.models import Person
from rmplugin.programmes.models import Programme
from rmplugin.tenants.models import Tenant
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import OFFER, WANT, enrol, make_programme


def add_mentor(db: Db, programme: Programme, name: str, now: datetime, **fields: Any) -> Person:
    """Enrol a junior who offers what mentees of these tests want; `person` holds fields of the person."""
    person = make_person(
        db,
        given_name=name,
        family_name="Junior",
        **({"hire_date": date(2026, 3, 2)} | fields.pop("person", {})),
    )
    person.display_name = f"{name} Junior"
    enrol(db, programme, person, now, **fields)
    return person


def add_mentee(db: Db, programme: Programme, name: str, now: datetime, **fields: Any) -> Person:
    """Enrol a senior who wants what mentors of these tests offer; `person` holds fields of the person."""
    person = make_leader(
        db,
        given_name=name,
        family_name="Senior",
        **({"hire_date": date(2010, 3, 1)} | fields.pop("person", {})),
    )
    person.display_name = f"{name} Senior"
    answers = {"offers": {WANT: 4}, "wants": {OFFER: (3, 1)}} | fields
    enrol(db, programme, person, now, **answers)
    return person


@dataclass
class Scene:
    """A programme with its people by first name, and short ways to bring it forward."""

    runtime: Runtime
    tenant: Tenant
    programme: Programme
    people: dict[str, Person]

    def __getattr__(self, name: str) -> Person:
        try:
            return self.people[name]
        except KeyError as error:
            raise AttributeError(name) from error

    def transaction(self):
        return self.runtime.database.transaction(self.tenant.id)

    def queue(self) -> uuid.UUID:
        with self.transaction() as db:
            return operations.start_run(db, self.programme, "command", self.runtime.clock()).id

    def run(self) -> uuid.UUID:
        """Queue a run and compute it."""
        run_id = self.queue()
        tasks.run(self.runtime, self.tenant.id, run_id)
        return run_id

    def get_run(self, run_id: uuid.UUID) -> MatchRun:
        with self.transaction() as db:
            return queries.get_run(db, run_id)

    def left_out(self, run_id: uuid.UUID) -> list[dict[str, Any]]:
        """Give whom the solver left without a partner."""
        with self.transaction() as db:
            return [documents.left_out_entry(row) for row in documents.list_left_out(db, run_id)]

    def proposals(self, run_id: uuid.UUID) -> dict[tuple[str, str], Proposal]:
        """Give a run's proposals by first names."""
        with self.transaction() as db:
            pairs = queries.list_proposals(db, run_id)
        return {(pair.mentor.given_name or "", pair.mentee.given_name or ""): pair.row for pair in pairs}

    def live(self, run_id: uuid.UUID) -> set[tuple[str, str]]:
        """Give first names of the run's pairs that are proposed or further."""
        gone = ("dropped", "void")
        return {names for names, row in self.proposals(run_id).items() if row.state not in gone}

    def release(self, run_id: uuid.UUID) -> tuple[int, int]:
        with self.transaction() as db:
            return releasing.release_run(db, queries.get_run(db, run_id), "command", self.runtime.clock())

    def answer(self, proposal: Proposal, person: Person, yes: bool, reason: str | None = None) -> Proposal:
        with self.transaction() as db:
            row = queries.get_proposal(db, proposal.id)
            return operations.answer(db, row, person.id, yes, reason, self.runtime.clock())

    def pair_up(self, mentor: str, mentee: str) -> Pairing:
        """Bring two people all the way to a pairing; they must be each other's best."""
        run_id = self.run()
        self.release(run_id)
        proposal = self.proposals(run_id)[mentor, mentee]
        self.answer(proposal, self.people[mentor], yes=True)
        self.answer(proposal, self.people[mentee], yes=True)
        with self.transaction() as db:
            pairing = queries.find_pairing_of_proposal(db, proposal.id)
        assert pairing is not None
        return pairing


def make_scene(runtime: Runtime, tenant: Tenant, mentors: str = "", mentees: str = "") -> Scene:
    """Make a programme; names separated by blanks are enrolled as everybody's fitting partner."""
    with runtime.database.transaction(tenant.id) as db:
        now = runtime.clock()
        programme = make_programme(db)
        people = {name: add_mentor(db, programme, name, now) for name in mentors.split()}
        people |= {name: add_mentee(db, programme, name, now) for name in mentees.split()}
    return Scene(runtime, tenant, programme, people)
