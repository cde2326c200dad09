"""What a manager changes in a run by hand: what it would do to the total, doing it, and undoing the last."""

import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select

from rmplugin import audit
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError
from rmplugin.matching import counting, lists, operations, queries, runs, solver, store
from rmplugin.matching.models import MatchRun, Proposal
from rmplugin.matching.pairs import find_contributions

MOST_UNDONE = 20

Two = tuple[uuid.UUID, uuid.UUID]


@dataclass(frozen=True)
class Effect:
    """What a change would do to a run.

    :ivar barred: why it cannot be, as keys of `words.PAIR_FAULTS`; empty when it can.
    :ivar before, after: the total of the run now, and at once after the change.
    :ivar coming: (mentor, mentee) -> points by factor of the pairs that come in.
    :ivar going: the pairs that leave the run.
    :ivar lonely: who has no pair in the run any more.
    :ivar best, best_unchanged: the highest total that the next run reaches with the change, and without it;
        None when the pool is too large to compute it for a page.
    """

    barred: tuple[str, ...] = ()
    before: int = 0
    after: int = 0
    coming: dict[Two, dict[str, int]] = field(default_factory=dict)
    going: tuple[Proposal, ...] = ()
    lonely: tuple[uuid.UUID, ...] = ()
    best: int | None = None
    best_unchanged: int | None = None

    @property
    def change(self) -> float:
        """Give the change of the total as a share of it."""
        return (self.after - self.before) / self.before if self.before else 0.0


def weigh_pair(
    db: Db, run: MatchRun, pair: Two, now: datetime, criteria: counting.Criteria, *, restored: bool = False
) -> Effect:
    """Say what putting a pair into a run does: by pinning it, or by bringing a dropped one back.

    :param pair: (mentor, mentee).
    :param restored: others do not give way then.
    :param criteria: of plug-ins.
    **Touches** reads what `store.load_pool` reads, and proposal.
    """
    pool = _pool_of(db, run, pair, now, criteria, without=pair if restored else None)
    codes = tuple(store.check_pairs(pool, [_texts(pair)])[_texts(pair)])
    if not codes and _standing(db, run, [pair]):
        return _look_ahead(db, run, _add_up(db, run, {pair: {}}, []), now, criteria, pins=[pair])
    going = [] if codes else runs.over_places(db, pool, run, *pair)
    if going is None or any(row.pinned for row in going) or (restored and going):
        codes = ("no_place",)
    if codes:
        return Effect(barred=codes, before=lists.total_score(db, run))
    effect = _add_up(db, run, {pair: _points(pool, pair)}, going or [])
    return _look_ahead(db, run, effect, now, criteria, pins=[pair])


def weigh_drop(
    db: Db, run: MatchRun, proposal: Proposal, now: datetime, criteria: counting.Criteria
) -> Effect:
    """Say what taking a pair out of a run does.

    :param criteria: of plug-ins.
    **Touches** reads what `store.load_pool` reads, and proposal.
    """
    effect = _add_up(db, run, {}, [proposal])
    return _look_ahead(db, run, effect, now, criteria, barred=[(proposal.mentor_id, proposal.mentee_id)])


def weigh_swap(
    db: Db, run: MatchRun, pairs: tuple[Proposal, Proposal], now: datetime, criteria: counting.Criteria
) -> Effect:
    """Say what exchanging the partners of two pairs does.

    :param criteria: of plug-ins.
    **Touches** reads what `store.load_pool` reads, and proposal.
    """
    coming = exchanged(*pairs)
    pool = _pool_of(db, run, [one for pair in coming for one in pair], now, criteria)
    found = store.check_pairs(pool, [_texts(pair) for pair in coming])
    codes = tuple(dict.fromkeys(code for pair in coming for code in found[_texts(pair)]))
    if not codes and _standing(db, run, coming):
        codes = ("blocked",)
    if codes:
        return Effect(barred=codes, before=lists.total_score(db, run), going=pairs)
    effect = _add_up(db, run, {pair: _points(pool, pair) for pair in coming}, pairs)
    return _look_ahead(db, run, effect, now, criteria, pins=coming)


def pin(
    db: Db, run: MatchRun, pair: Two, actor: str, now: datetime, criteria: counting.Criteria = ()
) -> None:
    """Keep a pair in a run and in every further one, so that it can be undone.

    :param criteria: of plug-ins.
    :raises InputError: the rules bar the pair.
    :raises ConflictError: the run is not open.
    **Touches** what `operations.pin_pair` touches; match_run.
    """
    with _noting(db, run, "pin", pair, actor, now):
        operations.pin_pair(db, run, *pair, actor, now, criteria)


def unpin(db: Db, proposal: Proposal, actor: str, now: datetime) -> None:
    """Let further runs decide about a pair again, so that it can be undone.

    **Touches** what `operations.unpin` touches; match_run.
    """
    with _noting_of(db, proposal, "unpin", actor, now):
        operations.unpin(db, proposal, actor, now)


def drop(db: Db, proposal: Proposal, actor: str, now: datetime) -> None:
    """Take a pair out of a run, so that it can be undone.

    :raises ConflictError: it was released or replaced already.
    **Touches** what `operations.drop_proposal` touches; match_run.
    """
    with _noting_of(db, proposal, "drop", actor, now):
        operations.drop_proposal(db, proposal, actor, now)


def restore(db: Db, proposal: Proposal, actor: str, now: datetime, criteria: counting.Criteria = ()) -> None:
    """Bring a dropped pair back, so that it can be undone while its run is open.

    :param criteria: of plug-ins.
    :raises ConflictError: it is not dropped, the rules bar it by now, or one of the two has another proposal
        in the run.
    **Touches** what `operations.restore_proposal` touches; match_run.
    """
    with _noting_of(db, proposal, "restore", actor, now):
        operations.restore_proposal(db, proposal, actor, now, criteria)


def swap(
    db: Db,
    run: MatchRun,
    pairs: tuple[Proposal, Proposal],
    actor: str,
    now: datetime,
    criteria: counting.Criteria = (),
) -> None:
    """Exchange the partners of two pairs of a run; both new pairs are pinned, because a manager chose them.

    :raises InputError: the rules bar a new pair.
    :raises ConflictError: the run is not open, or one of the two pairs is no part of it any more.
    **Touches** what `operations.pin_pair` touches; match_run, audit_entry.
    """
    runs.lock_open_run(db, run)
    coming = exchanged(*pairs)
    with _noting(db, run, "swap", [one for pair in coming for one in pair], actor, now):
        for row in pairs:
            runs.lock_proposal(db, row)
            if row.run_id != run.id or row.state != "proposed":
                raise ConflictError(
                    "not_open", "One of the two pairs is no part of this run any more. Nothing was changed."
                )
            runs.leave_out(row, ["swapped"])
        db.flush()
        for pair in coming:
            operations.pin_pair(db, run, *pair, actor, now, criteria)
    audit.record(db, actor, "match_run.swap", run.id, now)


def undo(db: Db, run: MatchRun, actor: str, now: datetime) -> str:
    """Undo the last change that a manager made in a run that is not released.

    :return: its kind: pin, unpin, drop, restore or swap.
    :raises ConflictError: there is none, the run is not open, or its pairs were changed by other ways since.
    **Touches** locks programme; writes match_run, proposal, audit_entry.
    """
    runs.lock_open_run(db, run)
    if not run.changes:
        raise ConflictError("nothing_to_undo", "There is nothing to undo in this run. Nothing was changed.")
    change = run.changes[-1]
    for entry in change["pairs"]:
        row = db.get(Proposal, uuid.UUID(entry["id"]), with_for_update=True, populate_existing=True)
        if row is None or _facts(row) != entry["after"]:
            raise ConflictError(
                "changed_meanwhile",
                "The pairs of the last change were changed again meanwhile, so it cannot be undone. Nothing "
                "was changed.",
            )
        if entry["before"] is None:
            db.delete(row)
        else:
            row.state, row.pinned, codes = entry["before"]
            kept = {name: value for name, value in row.reasons.items() if name != "left_out"}
            row.reasons = kept | ({"left_out": codes} if codes else {})
    run.changes = run.changes[:-1]
    audit.record(db, actor, "match_run.undo", run.id, now, kind=change["kind"])
    return str(change["kind"])


# ---- weighing ----


def _pool_of(
    db: Db,
    run: MatchRun,
    people: Collection[uuid.UUID],
    now: datetime,
    criteria: counting.Criteria,
    without: Two | None = None,
) -> store.Pool:
    """Load some people of a run's pool.

    :param without: a pair that is dropped, and shall not count as ruled out by that.
    """
    programme = queries.programme_of(db, run)
    pool = store.load_pool(db, programme, now, scope=run.scope, only=people, criteria=criteria)
    blocked = pool.blocked
    if without is not None:
        blocked = tuple(pair for pair in blocked if pair != _texts(without))
    return replace(pool, blocked=blocked)


def _points(pool: store.Pool, pair: Two) -> dict[str, int]:
    mentor, mentee = pool.find("mentor", str(pair[0])), pool.find("mentee", str(pair[1]))
    assert mentor is not None
    assert mentee is not None
    return find_contributions(pool.problem([mentor], [mentee]).without_extras(), 0, 0)


def _add_up(db: Db, run: MatchRun, coming: dict[Two, dict[str, int]], going: Collection[Proposal]) -> Effect:
    before = lists.total_score(db, run)
    known = _standing(db, run, coming)
    new = {pair: points for pair, points in coming.items() if pair not in known}
    after = before - sum(row.score for row in going) + sum(sum(points.values()) for points in new.values())
    placed = {person for pair in coming for person in pair}
    lost = [person for row in going for person in (row.mentor_id, row.mentee_id) if person not in placed]
    gone = {row.id for row in going}
    lonely = [person for person in dict.fromkeys(lost) if not _pairs_of(db, run, [person], gone)]
    return Effect(before=before, after=after, coming=new, going=tuple(going), lonely=tuple(lonely))


def _standing(db: Db, run: MatchRun, pairs: Iterable[Two]) -> set[Two]:
    people = [person for pair in pairs for person in pair]
    rows = {(row.mentor_id, row.mentee_id) for row in _pairs_of(db, run, people, ())}
    return rows & set(pairs)


def _pairs_of(
    db: Db, run: MatchRun, people: Collection[uuid.UUID], without: Collection[uuid.UUID]
) -> list[Proposal]:
    rows = _rows_of(db, run, people)
    return [row for row in rows if row.state not in lists.GONE and row.id not in without]


def _rows_of(db: Db, run: MatchRun, people: Collection[uuid.UUID]) -> list[Proposal]:
    either = or_(Proposal.mentor_id.in_(people), Proposal.mentee_id.in_(people))
    query = select(Proposal).where(Proposal.run_id == run.id, either).order_by(Proposal.id)
    return list(db.scalars(query))


def _look_ahead(
    db: Db,
    run: MatchRun,
    effect: Effect,
    now: datetime,
    criteria: counting.Criteria,
    *,
    pins: Collection[Two] = (),
    barred: Collection[Two] = (),
) -> Effect:
    """Compute what the next run would reach, where the pool is small enough for it."""
    programme = queries.programme_of(db, run)
    if not counting.is_small(db, programme.id):
        return effect
    pool = store.load_pool(db, programme, now, scope=run.scope, criteria=criteria)
    out = {_texts(pair) for pair in barred}
    wanted = {*pool.pins, *map(_texts, pins)} - out
    # A dropped pair that is brought back is not ruled out by having been dropped.
    asked = replace(pool, blocked=tuple(pair for pair in pool.blocked if pair not in wanted))
    return replace(
        effect,
        best=_best(replace(asked, pins=tuple(sorted(wanted))), run.objective, out),
        best_unchanged=_best(pool, run.objective, set()),
    )


def _best(pool: store.Pool, objective: str, out: set[tuple[str, str]]) -> int | None:
    chosen: solver.Objective = next(known for known in solver.OBJECTIVES if known == objective)
    problem = pool.problem(*pool.free_sides(), pool.spared() | out).without_extras()
    try:
        return solver.solve(problem, pool.pins, objective=chosen).total_score
    except InputError:
        # An earlier pin cannot be any more: the next run will say so.
        return None


# ---- doing and undoing ----


@contextmanager
def _noting(
    db: Db, run: MatchRun, kind: str, people: Collection[uuid.UUID], actor: str, now: datetime
) -> Iterator[None]:
    """Keep with the run what a change does to the pairs of some people, so that it can be undone."""
    runs.lock_programme(db, run.programme_id)
    db.refresh(run)
    before = {row.id: _facts(row) for row in _rows_of(db, run, people)}
    yield
    db.flush()
    changed = [
        {"id": str(row.id), "before": before.get(row.id), "after": _facts(row)}
        for row in _rows_of(db, run, people)
        if before.get(row.id) != _facts(row)
    ]
    if changed and run.state == "solved":
        change = {"kind": kind, "by": actor, "at": now.isoformat(), "pairs": changed}
        run.changes = [*run.changes, change][-MOST_UNDONE:]


@contextmanager
def _noting_of(db: Db, proposal: Proposal, kind: str, actor: str, now: datetime) -> Iterator[None]:
    run = queries.get_run(db, proposal.run_id)
    with _noting(db, run, kind, [proposal.mentor_id, proposal.mentee_id], actor, now):
        yield


def _facts(row: Proposal) -> list[Any]:
    return [row.state, row.pinned, row.reasons.get("left_out", [])]


def exchanged(first: Proposal, second: Proposal) -> tuple[Two, Two]:
    """Give (mentor, mentee) of the pairs that two become when they exchange partners. **Touches** nothing."""
    return (first.mentor_id, second.mentee_id), (second.mentor_id, first.mentee_id)


def _texts(pair: Two) -> tuple[str, str]:
    return str(pair[0]), str(pair[1])
