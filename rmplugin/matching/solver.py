"""The best set of pairs, with a proof that there is no better one.

A flow is solved over few pairs: the best of each person's list, from both sides. Its prices then judge every
pair of the pool; those that would pay more than the price come in, and the flow is solved again, until none
is left or what all of them could still gain is below a tolerance.

**Source** Column generation for the assignment problem with capacities; Lee and Orlin 1993 for the idea to
work on few arcs; the bound holds for any prices by weak duality.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from rmplugin.errors import InputError
from rmplugin.matching import kernels
from rmplugin.matching.columns import BoolArray, IntArray, Problem, find_keys
from rmplugin.matching.flows import Graph, find_flow, find_prices, find_top_prices, mix_ids, push_most
from rmplugin.matching.kernels import Kernel
from rmplugin.matching.pairs import find_failed, find_points
from rmplugin.matching.proofs import Proof, price_last

Objective = Literal["total", "fair", "stable"]
Progress = Callable[[int, float], None]
OBJECTIVES: tuple[Objective, ...] = ("total", "fair", "stable")

# Up to so many cells every allowed pair goes into the flow at once.
CELLS_IN_FULL = 2_000 * 2_000
FIRST_PER_PERSON = 20
MORE_PER_ROUND = 10
MOST_ROUNDS = 60
MOST_STABLE_ROUNDS = 1_000
# Up to so many people on the larger side the proof is complete; above, up to so small a share is left open.
PEOPLE_PROVED = 10_000
TOLERANCE = 0.001
# With a proof to begin with, what is worth less than it costs by so large a part of a pair is left out.
NEAR = 1 / 16


class MatchedPair(NamedTuple):
    """One pair of the solution.

    :param pinned: a person chose it before the solver did.
    """

    mentor_id: str
    mentee_id: str
    score: int
    mentor: int
    mentee: int
    pinned: bool = False


@dataclass(frozen=True)
class Solution:
    """Pairs within the capacities, with the pins, and how good they are.

    :param pairs: sorted by mentee, then mentor.
    :param bound: no set of pairs has a higher total under the objective.
    :param least: under `fair` the lowest score allowed: the highest for which nobody more is left out.
    :param graph: the pairs that the solution was chosen from; `taken` says which of them are in it.
    :param places: per mentor's row and per mentee's row how many the pins left.
    :param rounds: how many flows were solved.
    :param proof: of the bound under `total`; None for a small pool, all of whose pairs are in the graph.
    """

    pairs: tuple[MatchedPair, ...]
    total_score: int
    objective: Objective
    bound: int
    graph: Graph
    taken: BoolArray
    places: tuple[IntArray, IntArray]
    rounds: int
    least: int = 0
    proof: Proof | None = None

    @property
    def proved(self) -> bool:
        """Tell whether no better set of pairs exists under the objective."""
        return self.bound == self.total_score

    @property
    def gap(self) -> float:
        """Give how far below the optimum the total may be at most, as a share; 0.0 when proved."""
        return (self.bound - self.total_score) / self.bound if self.bound else 0.0

    @cached_property
    def top_prices(self) -> tuple[IntArray, IntArray]:
        """Give what a place is worth at most under `total`, per mentor's row and per mentee's row."""
        return find_top_prices(self.graph, self.taken, *self.places)


@dataclass(frozen=True, eq=False)
class _Case:
    """What is left to decide after the pins: places, pairs from `least` points, each worth `bonus` more.

    A large bonus puts the number of pairs before their points.
    """

    problem: Problem
    supply: IntArray
    demand: IntArray
    kernel: Kernel
    threads: int | None
    least: int = 1
    bonus: int = 0
    progress: Progress | None = None

    @property
    def is_small(self) -> bool:
        return len(self.supply) * len(self.demand) <= CELLS_IN_FULL

    def bound(self, proof: Proof) -> int:
        return proof.bound(self.supply, self.demand)

    def walk(self, visit: Callable[[kernels.Block], Any]) -> Iterator[Any]:
        """Walk over all pairs that have places and enough points."""
        if self.least <= 1 and (self.supply > 0).all() and (self.demand > 0).all():
            # Every allowed pair has a point.
            yield from kernels.walk(self.problem, visit, kernel=self.kernel, threads=self.threads)
            return

        def open_only(block: kernels.Block) -> Any:
            kept = (self.supply[block.mentor] > 0) & (block.score >= self.least)
            if not (self.demand[block.low : block.low + len(block.starts) - 1] > 0).all():
                kept &= self.demand[block.mentee] > 0
            return visit(block if kept.all() else kernels.keep(block, kept))

        yield from kernels.walk(self.problem, open_only, kernel=self.kernel, threads=self.threads)

    def best(self, prices: IntArray, floor: IntArray, most: IntArray) -> kernels.Best:
        """Pick the best pairs of every mentee, see `kernels.best_per_mentee`."""
        kernel = kernels.choose(self.problem, self.kernel)
        found = list(self.walk(lambda block: kernels.best_per_mentee(block, prices, floor, most, kernel)))
        return kernels.join(found)


@dataclass(frozen=True, eq=False)
class _Found:
    """A solution over rows: pairs of a graph, and what the objective could at most be above it."""

    graph: Graph
    taken: BoolArray
    surplus: int
    rounds: int
    proof: Proof | None = None


def solve(
    problem: Problem,
    pins: Iterable[tuple[str, str]] = (),
    *,
    objective: Objective = "total",
    tolerance: float | None = None,
    start: Graph | None = None,
    proof: Proof | None = None,
    kernel: Kernel = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Solution:
    """Choose pairs; nobody gets more partners than their capacity.

    `total` reaches the highest total score. `fair` pairs as many people as possible, then raises the lowest
    score as far as it goes, then takes the highest total. `stable` leaves no two people who would both rather
    have each other. Equal totals are decided by a hash of both ids, not by the order of anything.

    :param pins: (mentor id, mentee id) that must be in; they use up capacity and keep to the hard rules.
    :param tolerance: share of the total that may be left unproved; None for none up to `PEOPLE_PROVED`
        people on a side, and `TOLERANCE` above.
    :param start: allowed pairs of this problem to begin with, from an earlier solution or `resume`.
    :param proof: of this problem, from `resume`; under `total` all pairs are only walked over where it leaves
        more open than `tolerance`.
    :param threads: None for as many as there are processors.
    :param progress: told after each round of the proof: its number, and the gap by then. A small pool has
        none, and neither has `stable`.
    :raises InputError: "pin_not_allowed" with the failed rules of each such pin, or "pin_over_capacity".
    :raises RuntimeError: the solver contradicts itself; nothing half-good is returned.
    **Source** min-cost flow with a dummy node, OR-tools SimpleMinCostFlow. **Touches** nothing.
    """
    pinned = _pinned_rows(problem, pins)
    supply, demand = problem.mentors.capacity.copy(), problem.mentees.capacity.copy()
    np.subtract.at(supply, pinned[:, 0], 1)
    np.subtract.at(demand, pinned[:, 1], 1)
    _refuse_overfull(problem, supply, demand)
    # A pinned pair is decided: nobody meets the same person twice.
    decided = np.union1d(problem.blocked, problem.key(pinned[:, 0], pinned[:, 1]))
    case = _Case(replace(problem, blocked=decided), supply, demand, kernel, threads, progress=progress)
    graph = _still_open(case, start) if start is not None and not case.is_small else _first_graph(case)
    if tolerance is None:
        tolerance = 0.0 if max(len(supply), len(demand)) <= PEOPLE_PROVED else TOLERANCE
    if objective == "stable":
        found = _settle(case, graph)
    elif objective == "fair":
        case, found = _optimise_fairly(case, tolerance, graph)
    else:
        found = _optimise(case, tolerance, graph, None if case.is_small else proof)
    return _pack(problem, pinned, objective, found, case)


def all_pairs(problem: Problem) -> list[MatchedPair]:
    """List every allowed pair of a small pool, sorted by mentee, then mentor.

    **Touches** nothing.
    """
    mentors, mentees = problem.mentors.people, problem.mentees.people
    return [
        MatchedPair(mentors[i].id, mentees[j].id, score, i, j)
        for block in kernels.walk(problem)
        for i, j, score in zip(
            block.mentor.tolist(), block.mentee.tolist(), block.score.tolist(), strict=True
        )
    ]


def _first_graph(case: _Case) -> Graph:
    """Take every allowed pair of a small pool; of a large one the best of each person's list."""
    problem, kernel = case.problem, kernels.choose(case.problem, case.kernel)
    mentors = kernels.BestPerMentor(len(case.supply), FIRST_PER_PERSON, kernel)
    nothing, most = np.zeros(len(case.supply), dtype=np.int64), np.full(len(case.demand), FIRST_PER_PERSON)
    floor = np.zeros(len(case.demand), dtype=np.int64)

    def visit(block: kernels.Block) -> tuple[IntArray, IntArray, Any]:
        if case.is_small:
            return problem.key(block.mentor, block.mentee), block.score.astype(np.int64), None
        best = kernels.best_per_mentee(block, nothing, floor, most, kernel)
        return problem.key(best.other, best.person), best.value, mentors.sift(block)

    keys, scores = [], []
    for key, score, sifted in case.walk(visit):
        keys.append(key)
        scores.append(score)
        if sifted is not None:
            mentors.add(sifted)
    best = mentors.result()
    return Graph.of(problem, [*keys, problem.key(best.person, best.other)], [*scores, best.value])


def _still_open(case: _Case, graph: Graph) -> Graph:
    barred = find_keys(case.problem.blocked, graph.key)[1]
    return graph.where(~barred & (case.supply[graph.mentor] > 0) & (case.demand[graph.mentee] > 0))


def _optimise(case: _Case, tolerance: float, graph: Graph, proof: Proof | None = None) -> _Found:
    """Solve, price all pairs, take in those that would pay, until nothing is to be gained any more."""
    if proof and (found := _take_over(case, tolerance, graph, proof)):
        return found
    for rounds in range(1, MOST_ROUNDS + 1):
        taken = find_flow(case.problem, graph, case.supply, case.demand, case.bonus)
        prices = find_prices(graph, taken, case.supply, case.demand, case.bonus)
        if case.is_small:
            return _Found(graph, taken, 0, rounds)
        latest, better = _price_all(case, graph, *prices)
        # A bound that was found earlier stays true while the solution only gets better.
        if proof is None or case.bonus or case.bound(latest) < case.bound(proof):
            proof = latest
        total = int(graph.score[taken].sum())
        left = case.bound(proof) - total - case.bonus * int(taken.sum())
        if case.progress:
            case.progress(rounds, left / (total + left) if total + left else 0.0)
        if len(better) == 0 or left <= tolerance * (total + left):
            return _Found(graph, taken, left, rounds, proof)
        graph = Graph.of(case.problem, [graph.key, better.key], [graph.score, better.score])
    raise RuntimeError("the proof did not come to an end")


def _take_over(case: _Case, tolerance: float, graph: Graph, proof: Proof) -> _Found | None:
    """Solve over the pairs that are worth nearly their price; None when that is not good enough."""
    lowest = case.bound(proof)
    missing = proof.prices[graph.mentor] + proof.mentee_prices[graph.mentee] - graph.score
    near = np.nonzero(missing <= NEAR * lowest / max(1, min(case.supply.sum(), case.demand.sum())))[0]
    part = Graph(*(column[near] for column in (graph.key, graph.mentor, graph.mentee, graph.score)))
    chosen = find_flow(case.problem, part, case.supply, case.demand)
    surplus = lowest - int(part.score[chosen].sum())
    if surplus > tolerance * lowest:
        return None
    taken = np.zeros(len(graph), dtype=bool)
    taken[near[chosen]] = True
    return _Found(graph, taken, surplus, 1, proof)


def _optimise_fairly(case: _Case, tolerance: float, graph: Graph) -> tuple[_Case, _Found]:
    """Pair as many as possible, raise the lowest score as far as it goes, then take the highest total.

    :return: the case with the floor under it, and the solution.
    """
    most, graph = _pair_most(case, graph, case.least)
    floor, above = case.least, graph
    while most:
        floor = _highest_floor(case, above, floor, most)
        # What the graph says about a higher floor, all pairs have to confirm.
        reached, above = _pair_most(case, above, floor + 1)
        if reached < most:
            break
        floor += 1
    case = replace(case, least=floor, bonus=int(above.score.max(initial=1)))
    while True:
        found = _optimise(case, tolerance, above.where(above.score >= floor))
        if int(found.taken.sum()) == most:
            return case, found
        case = replace(case, bonus=4 * case.bonus)


def _highest_floor(case: _Case, graph: Graph, floor: int, most: int) -> int:
    """Find the highest score that every pair can reach within a graph while as many are paired."""
    steps = np.unique(graph.score[graph.score >= floor])
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high + 1) // 2
        flow = push_most(graph.where(graph.score >= steps[middle]), case.supply, case.demand)
        low, high = (middle, high) if flow.count == most else (low, middle - 1)
    return max(floor, int(steps[low])) if len(steps) else floor


def _pair_most(case: _Case, graph: Graph, least: int) -> tuple[int, Graph]:
    """Count the pairs that all allowed pairs from `least` points make possible at most.

    :return: the number, proved by a cut that no allowed pair crosses; the graph with what the proof needed.
    """
    open_case = replace(case, least=least)
    prices, most = np.zeros(len(case.supply), dtype=np.int64), np.full(len(case.demand), MORE_PER_ROUND)
    for _ in range(MOST_ROUNDS):
        flow = push_most(graph.where(graph.score >= least), case.supply, case.demand)
        if case.is_small:
            return flow.count, graph
        # Only a pair from a mentor who can be reached to a mentee who cannot would make room for one more.
        floor = np.where(flow.reached_mentees, np.iinfo(np.int64).max // 2, 0)
        prices = np.where(flow.reached_mentors, 0, np.iinfo(np.int64).max // 4)
        best = open_case.best(prices, floor, most)
        key = case.problem.key(best.other, best.person)
        new = ~find_keys(graph.key, key)[1]
        if not new.any():
            return flow.count, graph
        graph = Graph.of(case.problem, [graph.key, key[new]], [graph.score, best.value[new]])
    raise RuntimeError("the proof of the highest number of pairs did not come to an end")


def _settle(case: _Case, graph: Graph) -> _Found:
    """Let the best pairs come together until no two people would both rather have each other.

    Points are the same for both of a pair, so taking the best pair that is left, again and again, is what
    deferred acceptance ends with. Pairs outside the graph that two people would prefer come in.
    """
    for rounds in range(1, MOST_STABLE_ROUNDS + 1):
        taken = _take_best(case, graph)
        if case.is_small:
            return _Found(graph, taken, 0, rounds)
        better = _blocking(case, graph.where(taken))
        new = better.where(~find_keys(graph.key, better.key)[1])
        if len(new) == 0:
            return _Found(graph, taken, 0, rounds)
        graph = Graph.of(case.problem, [graph.key, new.key], [graph.score, new.score])
    raise RuntimeError("the pairs did not settle")


def _take_best(case: _Case, graph: Graph) -> BoolArray:
    order = np.lexsort((graph.key, mix_ids(case.problem, graph), -graph.score))
    supply, demand = case.supply.tolist(), case.demand.tolist()
    taken = np.zeros(len(graph), dtype=bool)
    for pair, mentor, mentee in zip(
        order.tolist(), graph.mentor[order].tolist(), graph.mentee[order].tolist(), strict=True
    ):
        if supply[mentor] and demand[mentee]:
            supply[mentor] -= 1
            demand[mentee] -= 1
            taken[pair] = True
    return taken


def _blocking(case: _Case, met: Graph) -> Graph:
    """Give pairs of people who both would rather have each other than the worst of those they have."""
    worst_mentor = worst_scores(met.mentor, met.score, case.supply)
    worst_mentee = worst_scores(met.mentee, met.score, case.demand)
    # Those whom somebody has already may stand in the list, too.
    prices, most = np.zeros(len(case.supply), dtype=np.int64), case.demand + MORE_PER_ROUND
    kernel = kernels.choose(case.problem, case.kernel)

    def visit(block: kernels.Block) -> kernels.Best:
        wanted = kernels.keep(block, block.score > worst_mentor[block.mentor])
        return kernels.best_per_mentee(wanted, prices, worst_mentee, most, kernel)

    best = kernels.join(list(case.walk(visit)))
    return Graph.of(case.problem, [case.problem.key(best.other, best.person)], [best.value])


def worst_scores(person: IntArray, score: IntArray, places: IntArray) -> IntArray:
    """Give per person what a new pair must beat: 0 with a free place, else the lowest score they have.

    **Touches** nothing.
    """
    worst = np.full(len(places), np.iinfo(np.int64).max // 2)
    np.minimum.at(worst, person, score)
    return np.where(np.bincount(person, minlength=len(places)) < places, 0, worst)


def _price_all(case: _Case, graph: Graph, prices: IntArray, mentee_prices: IntArray) -> tuple[Proof, Graph]:
    """Look at every pair with the prices of a flow.

    :return: what the prices prove; the pairs that would pay and are not in the graph.
    """
    best = case.best(prices - case.bonus, mentee_prices, case.demand + MORE_PER_ROUND)
    last, above = price_last(best, mentee_prices, case.demand)
    over = np.zeros(len(last), dtype=np.int64)
    np.add.at(over, best.person, above)
    key = case.problem.key(best.other, best.person)
    new = ~find_keys(graph.key, key)[1]
    score = best.value + prices[best.other] - case.bonus
    return Proof(case.problem, prices, last, over), Graph.of(case.problem, [key[new]], [score[new]])


def _pinned_rows(problem: Problem, pins: Iterable[tuple[str, str]]) -> IntArray:
    """Find the pins, or list for each one that cannot be which rules it fails."""
    rows: list[tuple[int, int]] = []
    faults: list[dict[str, Any]] = []
    for mentor_id, mentee_id in sorted(set(pins)):
        found = problem.rows(mentor_id, mentee_id)
        failed = find_failed(problem, *found) if found else ["not_taking_part"]
        if found and not failed:
            rows.append(found)
        else:
            faults.append({"mentor": mentor_id, "mentee": mentee_id, "failed": failed})
    if faults:
        raise InputError(
            "pin_not_allowed",
            "A pinned pair breaks the rules of the programme. No pair was changed. "
            "Take the pin away, or correct the data behind it.",
            {"pins": faults},
        )
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def _refuse_overfull(problem: Problem, supply: IntArray, demand: IntArray) -> None:
    people = [problem.mentors.people[k].id for k in np.nonzero(supply < 0)[0]]
    people += [problem.mentees.people[k].id for k in np.nonzero(demand < 0)[0]]
    if people:
        raise InputError(
            "pin_over_capacity",
            "More pairs are pinned for a person than this person has places. No pair was changed. "
            "Take a pin away, or raise the person's capacity.",
            {"people": people},
        )


def _pack(problem: Problem, pinned: IntArray, objective: Objective, found: _Found, case: _Case) -> Solution:
    """Put pins and chosen pairs into one solution."""
    graph = found.graph.where(found.taken)
    pins = find_points(problem, pinned[:, 0], pinned[:, 1])
    pin_scores: IntArray = np.sum(list(pins.values()), axis=0, dtype=np.int64)
    rows = sorted(
        [
            *zip(graph.mentee.tolist(), graph.mentor.tolist(), graph.score.tolist(), strict=True),
            *zip(pinned[:, 1].tolist(), pinned[:, 0].tolist(), pin_scores.tolist(), strict=True),
        ]
    )
    decided = {(mentee, mentor) for mentor, mentee in pinned.tolist()}
    mentors, mentees = problem.mentors.people, problem.mentees.people
    pairs = tuple(
        MatchedPair(mentors[i].id, mentees[j].id, score, i, j, (j, i) in decided) for j, i, score in rows
    )
    total = sum(pair.score for pair in pairs)
    return Solution(
        pairs=pairs,
        total_score=total,
        objective=objective,
        bound=total + found.surplus,
        graph=found.graph,
        taken=found.taken,
        places=(case.supply, case.demand),
        rounds=found.rounds,
        least=case.least if objective == "fair" else 0,
        proof=found.proof if objective == "total" else None,
    )
