"""Matching in the background: short transactions around the long computation."""

import time
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from rmplugin.errors import ConflictError, InputError
from rmplugin.jobs import Runtime
from rmplugin.matching import counting, interruptions, operations, queries, releasing, rule_sets, store
from rmplugin.matching.findings import compute
from rmplugin.matching.models import MatchCount, MatchRuleSet, MatchRun, Proposal
from rmplugin.matching.runs import BEING_COMPUTED
from rmplugin.matching.solver import Progress
from rmplugin.programmes.models import Programme
from rmplugin.tenants.tasks import in_each_tenant

log = structlog.get_logger()

# A little less than a week, so that a nightly look comes round to the same night.
RERUN_AFTER = timedelta(days=6, hours=12)
NOTED_EVERY = 1.0
# What `Database.hold` holds of a programme while its matching is computed.
HELD = "match"


def run(runtime: Runtime, tenant_id: uuid.UUID, run_id: uuid.UUID) -> None:
    """Compute a queued run, if nobody else is at it. Stopped half-way it stays queued.

    :raises NotFoundError: this tenant has no such run.
    **Touches** writes match_run, proposal.
    """
    with runtime.database.transaction(tenant_id, write=False) as db:
        programme_id = queries.get_run(db, run_id).programme_id
    with runtime.database.hold(HELD, programme_id) as held:
        if held:
            _compute(runtime, tenant_id, run_id)


def run_at_once(
    runtime: Runtime, tenant_id: uuid.UUID, programme: Programme, objective: str | None, scope: str
) -> uuid.UUID:
    """Ask for a matching and compute it; a queued run that nobody computes is taken over.

    :param objective: as `operations.start_run` takes it; `scope` likewise.
    :return: the run, whatever came of it.
    :raises ConflictError: another process computes one, or `operations.start_run` refuses.
    **Touches** what `operations.start_run` and `run` touch.
    """
    with runtime.database.hold(HELD, programme.id) as held:
        if not held:
            raise ConflictError("run_queued", BEING_COMPUTED)
        with runtime.database.transaction(tenant_id) as db:
            now = runtime.clock()
            asked = operations.start_run(db, programme, "command", now, objective, scope, takes_over=True)
        _compute(runtime, tenant_id, asked.id)
    return asked.id


def _compute(runtime: Runtime, tenant_id: uuid.UUID, run_id: uuid.UUID) -> None:
    """Compute a queued run; done twice it has one effect."""
    started = time.monotonic()
    with runtime.database.transaction(tenant_id, write=False) as db:
        match_run = queries.get_run(db, run_id)
        if match_run.state != "queued":
            return
        programme = db.scalars(select(Programme).where(Programme.id == match_run.programme_id)).one()
    with runtime.database.transaction(tenant_id) as db:
        operations.note_progress(db, run_id, runtime.clock())
    with runtime.database.transaction(tenant_id, write=False) as db:
        pool = store.load_pool(
            db,
            programme,
            runtime.clock(),
            scope=match_run.scope,
            criteria=runtime.plugins.criteria.values(),
            run=match_run,
        )
    with runtime.database.transaction(tenant_id) as db:
        mentors, mentees = map(len, pool.free_sides())
        operations.note_progress(db, run_id, runtime.clock(), mentors=mentors, mentees=mentees)
    try:
        progress = note_rounds(runtime, tenant_id, run_id)
        found = compute(pool, match_run.objective, runtime.clock().date(), progress)
    except InputError as error:
        _fail(runtime, tenant_id, run_id, error.message_for_user, error.details)
        return
    except Exception as error:  # noqa: BLE001 - whatever the solver raises, the manager must be told.
        log.error("match_failed", run=str(run_id), kind=type(error).__name__)
        _fail(runtime, tenant_id, run_id, operations.COULD_NOT_SOLVE, {})
        return
    with runtime.database.transaction(tenant_id) as db:
        seconds = time.monotonic() - started
        operations.record_proposals(db, run_id, pool, found, seconds=seconds, now=runtime.clock())


def note_rounds(runtime: Runtime, tenant_id: uuid.UUID, run_id: uuid.UUID) -> Progress:
    """Give what keeps the rounds of the solver with a queued run, one in `NOTED_EVERY` seconds at most.

    **Touches** nothing yet; what it gives writes match_run.
    """
    noted = time.monotonic() - NOTED_EVERY

    def note(round_: int, gap: float) -> None:
        nonlocal noted
        if time.monotonic() - noted < NOTED_EVERY:
            return
        noted = time.monotonic()
        try:
            with runtime.database.transaction(tenant_id) as db:
                operations.note_progress(db, run_id, runtime.clock(), round=round_, gap=gap)
        except SQLAlchemyError as error:
            # The page learns of the next round then; the matching itself has no use for this.
            log.warning("progress_not_noted", run=str(run_id), kind=type(error).__name__)

    return note


def count(runtime: Runtime, tenant_id: uuid.UUID, payload: Mapping[str, Any]) -> None:
    """Count what a page asked for; when it asked for something else meanwhile, that has its own turn.

    :param payload: of the event `counting.WANTED`.
    **Touches** writes match_count.
    """
    count_id, criteria = uuid.UUID(payload["count_id"]), tuple(runtime.plugins.criteria.values())
    with runtime.database.transaction(tenant_id, write=False) as db:
        row = db.get(MatchCount, count_id)
        if row is None or row.counted_at is not None:
            return
        asked_at, programme = row.asked_at, db.get_one(Programme, row.programme_id)
        work = counting.prepare(db, programme, row, runtime.clock(), criteria)
    answer = work()
    with runtime.database.transaction(tenant_id) as db:
        row = db.get(MatchCount, count_id)
        if row is not None and row.asked_at == asked_at:
            row.answer, row.counted_at = answer, runtime.clock()


def run_queued(runtime: Runtime) -> int:
    """Compute every queued run of every tenant, the oldest first.

    :return: how many were tried.
    **Touches** what `run` touches.
    """
    with runtime.database.unbound(write=False) as db:
        query = select(MatchRun.id, MatchRun.tenant_id).where(MatchRun.state == "queued")
        queued = db.execute(query.order_by(MatchRun.created_at, MatchRun.id)).all()
    for row in queued:
        try:
            run(runtime, row.tenant_id, row.id)
        except Exception as error:  # noqa: BLE001 - one tenant's trouble must not keep the others waiting.
            log.error("match_postponed", run=str(row.id), kind=type(error).__name__)
    return len(queued)


def expire_due(runtime: Runtime) -> int:
    """Close the proposals of every tenant whose time is over or whose people left the pool; remind of others.

    :return: how many were closed.
    **Touches** writes proposal, notice.
    """
    with runtime.database.unbound(write=False) as db:
        query = select(Proposal.tenant_id).where(Proposal.state == "released").distinct()
        tenants = db.scalars(query).all()
    closed = 0
    for tenant_id in tenants:
        with runtime.database.transaction(tenant_id) as db:
            now = runtime.clock()
            closed += releasing.expire_proposals(db, now) + releasing.close_stale_proposals(db, now)
            releasing.remind(db, now)
    return closed


def rerun_waiting(runtime: Runtime) -> int:
    """Start a matching of those who wait in each programme that wants one every week and released one before.

    None starts while a run waits for its release, or when nobody could be placed anew. Only a manager
    releases what is found.

    :return: how many were started.
    **Touches** what `operations.start_run` touches.
    """
    with runtime.database.unbound(write=False) as db:
        query = (
            select(MatchRuleSet.tenant_id, MatchRuleSet.programme_id, MatchRuleSet.options)
            .join(Programme, Programme.id == MatchRuleSet.programme_id)
            .where(MatchRuleSet.state == "live", Programme.state.in_(("enrolling", "running")))
        )
        wanted = [row for row in db.execute(query) if row.options.get("rerun") == "weekly"]
    started = 0
    for row in wanted:
        try:
            started += _rerun(runtime, row.tenant_id, row.programme_id)
        except Exception as error:  # noqa: BLE001 - one programme's trouble must not keep the others waiting.
            log.error("match_not_rerun", programme=str(row.programme_id), kind=type(error).__name__)
    return started


def _rerun(runtime: Runtime, tenant_id: uuid.UUID, programme_id: uuid.UUID) -> bool:
    now = runtime.clock()
    # The long look at who could be placed keeps nobody waiting.
    with runtime.database.transaction(tenant_id, write=False) as db:
        programme = db.scalars(select(Programme).where(Programme.id == programme_id)).one()
        past = queries.list_runs(db, programme_id)
        recent = any(run.created_at > now - RERUN_AFTER or run.state in ("queued", "solved") for run in past)
        if recent or not any(run.released_at for run in past):
            return False
        pool = store.load_pool(
            db, programme, now, scope="waiting", criteria=runtime.plugins.criteria.values()
        )
    if not rule_sets.count_admissible(pool).any():
        return False
    with runtime.database.transaction(tenant_id) as db:
        operations.start_run(db, programme, "worker", now, scope="waiting")
    return True


def check_firewall(runtime: Runtime) -> int:
    """Look for reporting lines between the two of every pair and open proposal of every tenant.

    :return: how many pairings were suspended.
    **Touches** what `interruptions.check_firewall` touches.
    """
    return in_each_tenant(runtime, interruptions.check_firewall)


def check_presence(runtime: Runtime) -> int:
    """Pause the pairs of every tenant of which somebody is not at work, and let those go on who are back.

    :return: how many pairings were paused or went on.
    **Touches** what `interruptions.check_presence` touches.
    """
    return in_each_tenant(runtime, interruptions.check_presence)


def _fail(
    runtime: Runtime, tenant_id: uuid.UUID, run_id: uuid.UUID, why: str, facts: dict[str, object]
) -> None:
    with runtime.database.transaction(tenant_id) as db:
        operations.fail_run(db, run_id, why, facts, runtime.clock())
