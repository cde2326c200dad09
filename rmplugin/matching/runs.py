"""Rows of runs and proposals: waiting in line for them, writing many at once, making room, closing."""

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, or_, select, update

from rmplugin import jobs
from rmplugin.db import Db, change_rows, chunks, insert_rows, new_id
from rmplugin.errors import ConflictError
from rmplugin.matching import store
from rmplugin.matching.models import LeftOut, MatchRun, Proposal
from rmplugin.programmes.models import Programme

PROPOSAL: Table = Proposal.__table__  # type: ignore[assignment]  # Declared as FromClause; it is a Table here.
LEFT_OUT: Table = LeftOut.__table__  # type: ignore[assignment]
BEING_COMPUTED = (
    "A matching of this programme is being computed. Nothing was changed. Wait until it is ready. If nothing "
    "seems to happen, nobody computes it: ask your administrator to start “rmplugin worker”, or to run "
    "“rmplugin match run” again, which takes it over."
)


# The event with which a manager has the worker release a large run.
RELEASE_WANTED = "match_release_wanted"


def lock_programme(db: Db, programme_id: uuid.UUID) -> Programme:
    """Make everything that changes a programme's runs wait in line. **Touches** locks programme."""
    query = select(Programme).where(Programme.id == programme_id).with_for_update()
    return db.scalars(query.execution_options(populate_existing=True)).one()


def find_queued(db: Db, programme_id: uuid.UUID) -> MatchRun | None:
    """Find the run of a programme that waits for a worker or is being computed; there is one at most.

    **Touches** reads match_run.
    """
    query = select(MatchRun).where(MatchRun.programme_id == programme_id, MatchRun.state == "queued")
    return db.scalars(query).one_or_none()


def find_asked(db: Db, programme_id: uuid.UUID) -> jobs.OutboxEvent | None:
    """Find the release of a programme's run that a manager asked for and the worker has not done yet.

    **Touches** reads outbox_event.
    """
    return jobs.find_pending(db, [RELEASE_WANTED], programme_id=programme_id)


def refuse_while_queued(db: Db, programme_id: uuid.UUID, *, asked: bool = False) -> None:
    """Leave a programme's proposals alone while the worker computes or releases a matching of it.

    :param asked: it is the worker who asks, so that it need not wait for its own release.
    :raises ConflictError: it does.
    **Touches** reads match_run, outbox_event.
    """
    if find_queued(db, programme_id) is not None:
        raise ConflictError("run_queued", BEING_COMPUTED)
    if not asked:
        refuse_while_asked(db, programme_id)


def refuse_while_asked(db: Db, programme_id: uuid.UUID) -> None:
    """Leave a programme's proposals alone while the worker releases a matching of it.

    :raises ConflictError: it does.
    **Touches** reads outbox_event.
    """
    if find_asked(db, programme_id) is not None:
        raise ConflictError(
            "release_asked",
            "A matching of this programme is being released. Nothing was changed. Wait until everybody is "
            "told.",
        )


def lock_open_run(db: Db, run: MatchRun, *, asked: bool = False) -> None:
    """Wait for others who change the programme's runs; then the run must still be open for changes.

    :param asked: as of `refuse_while_queued`.
    :raises ConflictError: it was released, replaced, or is not ready.
    **Touches** locks programme, reads match_run, outbox_event.
    """
    lock_programme(db, run.programme_id)
    db.refresh(run)
    if run.state == "released":
        raise ConflictError(
            "already_released",
            "This run was released before. The proposals went out once; nothing was done twice.",
        )
    if run.state != "solved":
        raise ConflictError(
            "run_not_open", "This run was replaced by a newer one, or is not ready. Nothing was changed."
        )
    refuse_while_queued(db, run.programme_id, asked=asked)


def lock_proposal(db: Db, proposal: Proposal) -> None:
    """Wait for others who change a proposal, and see what they made of it. **Touches** locks proposal."""
    # Refreshing alone would throw away what this transaction has not written yet.
    db.flush()
    db.refresh(proposal, with_for_update=True)


def lock_proposed(db: Db, run: MatchRun) -> Sequence[Row[*tuple[Any, ...]]]:
    """Give a run's proposals that stand; whoever drops one at this moment comes before or after.

    :return: id, mentor_id, mentee_id, pinned, score of each: objects of very many cost too much.
    **Touches** locks proposal.
    """
    columns = Proposal.id, Proposal.mentor_id, Proposal.mentee_id, Proposal.pinned, Proposal.score
    query = select(*columns).where(Proposal.run_id == run.id, Proposal.state == "proposed")
    return db.execute(query.order_by(Proposal.id).with_for_update()).all()


def supersede(db: Db, run: MatchRun) -> None:
    """Close earlier runs that were not released; what a manager dropped in them stays dropped.

    **Touches** writes match_run, proposal.
    """
    open_runs = select(MatchRun.id).where(
        MatchRun.programme_id == run.programme_id, MatchRun.state == "solved", MatchRun.id != run.id
    )
    ids = [row.id for row in db.execute(open_runs)]
    db.execute(
        update(Proposal)
        .where(Proposal.run_id.in_(ids), Proposal.state == "proposed")
        .values(state="void", pinned=False)
    )
    db.execute(update(MatchRun).where(MatchRun.id.in_(ids)).values(state="dropped"))


def proposal_values(
    run: MatchRun,
    mentor_id: str,
    mentee_id: str,
    contributions: Mapping[str, int],
    reasons: Mapping[str, Any],
    now: datetime,
    *,
    pinned: bool,
) -> dict[str, Any]:
    """Give the row of a pair that is put into a run. **Touches** nothing."""
    return {
        "id": new_id(),
        "tenant_id": run.tenant_id,
        "run_id": run.id,
        "programme_id": run.programme_id,
        "mentor_id": uuid.UUID(mentor_id),
        "mentee_id": uuid.UUID(mentee_id),
        "state": "proposed",
        "pinned": pinned,
        "score": sum(contributions.values()),
        "contributions": dict(contributions),
        "reasons": dict(reasons),
        "created_at": now,
    }


def add_proposals(db: Db, rows: Iterable[Mapping[str, Any]]) -> None:
    """Put pairs into a run, however many: `proposal_values` of each. **Touches** writes proposal."""
    insert_rows(db.connection(), PROPOSAL, rows)


def add_left_out(db: Db, run: MatchRun, entries: Iterable[Mapping[str, Any]]) -> None:
    """Keep whom a run left without a partner.

    :param entries: as `words.describe_unmatched` gives them.
    **Touches** writes match_left_out.
    """
    rows = (
        {
            "id": new_id(),
            "tenant_id": run.tenant_id,
            "run_id": run.id,
            "person_id": uuid.UUID(entry["person"]),
            "role": entry["role"],
            "reason": entry["reason"],
            "details": entry["details"],
            "told": entry["told"],
        }
        for entry in entries
    )
    insert_rows(db.connection(), LEFT_OUT, rows)


def over_places(
    db: Db, pool: store.Pool, run: MatchRun, mentor_id: uuid.UUID, mentee_id: uuid.UUID
) -> list[Proposal] | None:
    """List the run's proposals that would have to go for one more pair of these two, the weakest first.

    :return: None when one of the two has no place at all.
    **Touches** reads proposal.
    """
    places = {c.id: c.capacity for c in (*pool.mentors, *pool.mentees)}
    ids = mentor_id, mentee_id
    query = select(Proposal).where(
        Proposal.run_id == run.id,
        Proposal.state == "proposed",
        or_(Proposal.mentor_id.in_(ids), Proposal.mentee_id.in_(ids)),
    )
    rows = db.scalars(query.order_by(Proposal.id)).all()
    needed: Counter[str] = Counter(str(person) for row in rows for person in (row.mentor_id, row.mentee_id))
    going: list[Proposal] = []
    for person in map(str, ids):
        surplus = needed[person] + 1 - places.get(person, 0)
        theirs = [row for row in rows if person in (str(row.mentor_id), str(row.mentee_id))]
        if surplus > len(theirs):
            return None
        going += sorted(theirs, key=lambda row: (row.pinned, row.score))[: max(0, surplus)]
    return going


def make_room(
    db: Db, pool: store.Pool, run: MatchRun, mentor_id: uuid.UUID, mentee_id: uuid.UUID
) -> list[str]:
    """Close the proposals of a run that stand in the way of a pinned pair of these two.

    :return: why that cannot be, as keys of `words.PAIR_FAULTS`; empty when it is done.
    **Touches** writes proposal.
    """
    going = over_places(db, pool, run, mentor_id, mentee_id)
    if going is None or any(row.pinned for row in going):
        return ["no_place"]
    for row in going:
        leave_out(row, ["gave_way"])
    return []


def leave_out_all(db: Db, codes: Mapping[uuid.UUID, list[str]], **same: Any) -> None:
    """Close proposals that may no longer be, however many; objects of them that are loaded become stale.

    :param codes: proposal -> keys of `words.PAIR_FAULTS`.
    :param same: new values of other columns, the same for all.
    **Touches** writes proposal.
    """
    db.flush()
    for some in chunks(codes):
        found = db.execute(select(Proposal.id, Proposal.reasons).where(Proposal.id.in_(some)))
        rows = [{"id": row.id, "reasons": row.reasons | {"left_out": codes[row.id]}} for row in found]
        change_rows(db.connection(), PROPOSAL, rows, state="void", pinned=False, **same)


def leave_out(proposal: Proposal, codes: list[str]) -> None:
    """Close a proposal that may no longer be; the reason is kept with it.

    :param codes: keys of `words.PAIR_FAULTS`.
    **Touches** writes proposal.
    """
    proposal.state, proposal.pinned = "void", False
    proposal.reasons = proposal.reasons | {"left_out": codes}
