"""Cohorts for tests of reviews: pairs of a programme with scores, and how each came out."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

from rmplugin.db import Db
from rmplugin.matching.models import Closure, MatchRun, Pairing, Proposal
from rmplugin.matching.scoring import FACTORS, Weights
from rmplugin.people.models import Person
from rmplugin.programmes.models import Programme
from tests.factories.credits import make_person


def make_run(db: Db, programme: Programme, now: datetime, version: int = 1) -> MatchRun:
    """Make a released run by the rules of a version."""
    run = MatchRun(
        programme_id=programme.id,
        state="released",
        objective="total",
        rules={},
        weights=asdict(Weights()),
        rule_set_version=version,
        metrics={},
        created_by="test",
        created_at=now,
        released_at=now,
    )
    db.add(run)
    db.flush()
    return run


def add_pairing(
    db: Db,
    run: MatchRun,
    began: datetime,
    reason: str | None = None,
    *,
    after: timedelta | None = None,
    state: str | None = None,
    coverage: float = 0.5,
    department: str = "Sales",
) -> Pairing:
    """Make a pairing of a run.

    :param reason: why the mentor ended it; with `after`, how long it lasted.
    :param coverage: share of the points of that factor; the others give half.
    :param department: of the mentor.
    """
    mentor = make_person(db, began, seniority_rank=10, department=department, location="Bonn")
    mentee = make_person(db, began, seniority_rank=80, department="Board", location="Bonn")
    points = {factor: run.weights[factor] // 2 for factor in FACTORS}
    points["coverage"] = round(run.weights["coverage"] * coverage)
    proposal = Proposal(
        run_id=run.id,
        programme_id=run.programme_id,
        mentor_id=mentor.id,
        mentee_id=mentee.id,
        state="accepted",
        score=sum(points.values()),
        contributions=points,
        reasons={"languages": ["en"], "common_minutes": 900},
        created_at=began,
    )
    db.add(proposal)
    db.flush()
    ended = None if after is None else began + after
    pairing = Pairing(
        programme_id=run.programme_id,
        proposal_id=proposal.id,
        mentor_id=mentor.id,
        mentee_id=mentee.id,
        state=state or ("active" if ended is None else "ended"),
        started_at=began,
        ended_at=ended,
    )
    db.add(pairing)
    db.flush()
    if ended is not None and state is None:
        db.add(_closure(pairing, mentor, reason, ended))
        db.flush()
    return pairing


def _closure(pairing: Pairing, mentor: Person, reason: str | None, ended: datetime) -> Closure:
    return Closure(
        pairing_id=pairing.id,
        initiator_id=mentor.id,
        reasons=[reason] if reason else [],
        next_choice="rematch",
        created_at=ended,
    )


def add_cohort(db: Db, run: MatchRun, began: datetime, failing: list[str], lasting: int) -> None:
    """Make a cohort: pairs that failed one day after the other, each for a reason, and those that go on.

    Those that failed had little of what their mentees wanted.
    """
    for day, reason in enumerate(failing, 1):
        add_pairing(db, run, began, reason, after=timedelta(days=day), coverage=0.1 + 0.01 * day)
    for number in range(lasting):
        add_pairing(db, run, began, coverage=0.5 + 0.01 * number, department="Research")
