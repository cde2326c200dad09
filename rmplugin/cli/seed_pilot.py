"""Plays the demo's earlier cohort from its first day to its last, through the operations that people use."""

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from rmplugin.db import Db
from rmplugin.demo.company_pilot import BEGAN, BEST_COVERED, LEAST_COVERED, RULES, Ending
from rmplugin.matching import operations as matching
from rmplugin.matching import releasing, rule_sets, store
from rmplugin.matching.ending import end_pairing
from rmplugin.matching.findings import compute
from rmplugin.matching.interruptions import end_with_programme
from rmplugin.matching.models import Pairing, Proposal
from rmplugin.notify import Notice
from rmplugin.programmes import operations
from rmplugin.programmes.imports import import_enrolments
from rmplugin.programmes.models import Programme
from rmplugin.reviews.operations import review_programme

DAY = timedelta(days=1)
ACTOR = "command"


def seed_pilot(
    db: Db,
    values: Mapping[str, Any],
    rows: Iterable[Mapping[str, str]],
    context_id: uuid.UUID | None,
    now: datetime,
) -> Programme:
    """Let the pilot happen: people sign up, are matched by its rules, and part early or stay together.

    :param values: settings of the programme, as `create_programme` takes them.
    :param rows: its people, as `import_enrolments` takes them.
    :param context_id: the course that it ran in; None when that is said later.
    :param now: today: the day of the review. Everything else lies before.
    :return: the programme, archived.

    **Touches** what the operations touch.
    """
    began = now - BEGAN
    programme = operations.create_programme(db, "digital_fluency", values, ACTOR, began, context_id)
    import_enrolments(db, programme, rows, ACTOR, began)
    rule_set = rule_sets.draft(db, programme, RULES, ACTOR, began + DAY)
    rule_sets.make_live(db, rule_set, ACTOR, began + DAY)
    _match(db, programme, began + 2 * DAY)
    operations.change_state(db, programme, "running", ACTOR, began + 5 * DAY)
    for pairing, ending in _endings(db, programme):
        person = pairing.mentor_id if ending.by == "mentor" else pairing.mentee_id
        end_pairing(db, pairing, person, [ending.reason], "leave", pairing.started_at + ending.day * DAY)
    over = datetime.combine(programme.ends_on, now.timetz()) + DAY
    operations.change_state(db, programme, "concluding", ACTOR, over)
    operations.change_state(db, programme, "archived", ACTOR, over + 14 * DAY)
    # The worker would do it today.
    end_with_programme(db, programme, (), over + 14 * DAY)
    _read_news(db, over + 21 * DAY)
    review_programme(db, programme.id, now)
    return programme


def _match(db: Db, programme: Programme, now: datetime) -> None:
    """Pair everybody within this transaction: the worker would compute the run with today's people."""
    run = matching.start_run(db, programme, ACTOR, now)
    pool = store.load_pool(db, programme, now)
    began = time.monotonic()
    found = compute(pool, run.objective, now.date())
    matching.record_proposals(db, run.id, pool, found, seconds=time.monotonic() - began, now=now)
    releasing.release_run(db, run, ACTOR, now + DAY)
    for proposal in db.scalars(
        select(Proposal).where(Proposal.run_id == run.id, Proposal.state == "released")
    ):
        for person in (proposal.mentor_id, proposal.mentee_id):
            matching.answer(db, proposal, person, yes=True, reason=None, now=now + 3 * DAY)


def _read_news(db: Db, now: datetime) -> None:
    """Let everybody have read what the pilot told them: nothing of it waits for anybody in the demo."""
    db.execute(
        update(Notice)
        .where(Notice.read_at.is_(None), Notice.created_at < now)
        .values(read_at=now)
        .execution_options(synchronize_session=False)
    )


def _endings(db: Db, programme: Programme) -> Iterator[tuple[Pairing, Ending]]:
    """Give the pairs that ended early, and how: those that had least of what was wanted, and a few others."""
    query = select(Pairing, Proposal).join(Proposal, Proposal.id == Pairing.proposal_id)
    rows = db.execute(query.where(Pairing.programme_id == programme.id)).all()
    ordered = sorted(rows, key=lambda row: (row.Proposal.contributions["coverage"], row.Proposal.score))
    pairings = [row.Pairing for row in ordered]
    yield from zip(pairings, LEAST_COVERED, strict=False)
    yield from zip(reversed(pairings), BEST_COVERED, strict=False)
