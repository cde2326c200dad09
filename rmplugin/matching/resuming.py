"""What a matching begins with when little has changed since an earlier one: pairs, and a proof.

A proof adds up what pairs are worth above prices. Whoever did not change keeps the price, and two such people
are worth to each other what they were; so only the others' rows and columns have to be looked at.
"""

from dataclasses import dataclass, replace

import numpy as np

from rmplugin.matching import kernels
from rmplugin.matching.columns import BoolArray, IntArray, Problem, Side, find_keys, join_ranges
from rmplugin.matching.flows import Graph
from rmplugin.matching.kernels import Best, Kernel
from rmplugin.matching.pairs import find_bars, find_points, in_line
from rmplugin.matching.proofs import Proof, price_last
from rmplugin.matching.solver import Solution

# So many pairs of everybody who changed: more than at the start, for then the first prices are right already.
PAIRS_PER_CHANGE = 60
# The proof is made anew when a larger share of a side changed, or more pairs are in one reporting line.
MOST_CHANGED = 0.1
MOST_IN_LINE = 2**22


def resume(
    problem: Problem,
    earlier: Problem,
    solution: Solution,
    *,
    kernel: Kernel = "auto",
    threads: int | None = None,
) -> tuple[Graph, Proof | None]:
    """Take over what was found about unchanged people, and look anew only for those who changed or came.

    :param earlier: what the solution was computed for, with the same rules, weights and criteria.
    :param threads: None for as many as there are processors.
    :return: `start` and `proof` of `solver.solve`; no proof when it has to be made anew.
    :raises ValueError: rules, weights or criteria are others, so that every pair has changed.
    **Touches** nothing.
    """
    if any(getattr(problem, name) != getattr(earlier, name) for name in ("rules", "weights", "criteria")):
        raise ValueError("other rules or weights change every pair")
    look = _Look(
        problem,
        _new_rows(problem.mentors, earlier.mentors),
        _new_rows(problem.mentees, earlier.mentees),
        kernels.choose(problem, kernel),
        threads,
    )
    old = solution.graph
    key, kept = look.carry(earlier, old.key)
    score = old.score[kept] - _extra_points(earlier, old.key[kept]) + _extra_points(problem, key)
    # Who stands above whom may have changed for people who did not.
    mentee, mentor = np.divmod(key, max(len(problem.mentors), 1))
    barred = in_line(problem, mentor, mentee)
    barred |= find_keys(problem.blocked, key)[1] | find_keys(problem.dotted, key)[1]
    rows, columns = look.best_of_mentees(), look.best_of_mentors()
    keys = [key[~barred], problem.key(rows.other, rows.person), problem.key(columns.person, columns.other)]
    graph = Graph.of(problem, keys, [score[~barred], rows.value, columns.value])
    return graph, _renew(look, solution) if solution.proof and not problem.criteria else None


@dataclass(frozen=True, eq=False)
class _Look:
    """A pool and which rows the people have in it that an earlier one had; -1 for who changed or left."""

    problem: Problem
    mentors: IntArray
    mentees: IntArray
    kernel: kernels.Kernel
    threads: int | None

    @property
    def new_mentors(self) -> IntArray:
        return _others(self.mentors, len(self.problem.mentors))

    @property
    def new_mentees(self) -> IntArray:
        return _others(self.mentees, len(self.problem.mentees))

    def carry(self, earlier: Problem, key: IntArray) -> tuple[IntArray, BoolArray]:
        """Give the keys that pairs of unchanged people have now, and which of `key` those are."""
        mentee, mentor = np.divmod(key, max(len(earlier.mentors), 1))
        mentee, mentor = self.mentees[mentee], self.mentors[mentor]
        kept: BoolArray = (mentee >= 0) & (mentor >= 0)
        carried: IntArray = self.problem.key(mentor[kept], mentee[kept])
        return carried, kept

    def best_of_mentees(self) -> Best:
        """Give the best of the lists of every mentee who is new or changed."""
        nothing = np.zeros(len(self.problem.mentors), dtype=np.int64)
        most = np.full(len(self.new_mentees), PAIRS_PER_CHANGE)
        return self.rows(self.new_mentees, nothing, most)

    def best_of_mentors(self) -> Best:
        """Give the best of the lists of every mentor who is new or changed."""
        new = self.new_mentors
        lists = kernels.BestPerMentor(len(new), PAIRS_PER_CHANGE, self.kernel)
        part = self.problem.part(mentors=new)
        for sifted in kernels.walk(part, lists.sift, kernel=self.kernel, threads=self.threads):
            lists.add(sifted)
        best = lists.result()
        return Best(new[best.person], best.other, best.value)

    def rows(self, mentees: IntArray, prices: IntArray, most: IntArray) -> Best:
        """Give the best pairs of some mentees at the prices of mentors."""
        floor = np.zeros(len(mentees), dtype=np.int64)

        def visit(block: kernels.Block) -> Best:
            return kernels.best_per_mentee(block, prices, floor, most, self.kernel)

        part = self.problem.part(mentees=mentees)
        best = kernels.join(list(kernels.walk(part, visit, kernel=self.kernel, threads=self.threads)))
        return Best(mentees[best.person], best.other, best.value)

    def columns(self, mentors: IntArray, prices: IntArray) -> Best:
        """Give all pairs of some mentors that are worth more than the prices of mentees."""

        def visit(block: kernels.Block) -> Best:
            value = block.score - prices[block.mentee]
            above = value > 0
            return Best(mentors[block.mentor[above]], block.mentee[above], value[above])

        part = self.problem.part(mentors=mentors)
        best = kernels.join(list(kernels.walk(part, visit, kernel=self.kernel, threads=self.threads)))
        order = np.lexsort((best.other, -best.value, best.person))
        return Best(best.person[order], best.other[order], best.value[order])


def _new_rows(side: Side, earlier: Side) -> IntArray:
    """Give per earlier row the row that the same person has now; -1 for who changed or left."""
    rows = {person.id: row for row, person in enumerate(side.people)}
    return np.array(
        [
            row if (row := rows.get(person.id, -1)) >= 0 and side.people[row] == person else -1
            for person in earlier.people
        ],
        dtype=np.int64,
    )


def _others(rows: IntArray, count: int) -> IntArray:
    """Give the rows of a side that nobody of an earlier one has now."""
    other = np.ones(count, dtype=bool)
    other[rows[rows >= 0]] = False
    return np.nonzero(other)[0]


def _extra_points(problem: Problem, key: IntArray) -> IntArray:
    at, known = find_keys(problem.extra_keys, key)
    points = np.zeros(len(key), dtype=np.int64)
    for values in problem.extra_points.values():
        points[known] += values[at[known]]
    return points


# -- the proof -----------------------------------------------------------------------------------------------


def _renew(look: _Look, solution: Solution) -> Proof | None:
    """Let a proof hold for a pool in which few people and few single pairs are others.

    :return: None when too much has changed.
    """
    problem, proof = look.problem, solution.proof
    assert proof is not None
    # Nobody looked at the pairs of people whom pins had left no place.
    mentors, mentees = (
        np.where(places > 0, rows, -1)
        for places, rows in zip(solution.places, (look.mentors, look.mentees), strict=True)
    )
    look = replace(look, mentors=mentors, mentees=mentees)
    new = look.new_mentors
    met = np.array([(pair.mentor, pair.mentee) for pair in solution.pairs], dtype=np.int64).reshape(-1, 2)
    # Who lost a partner is worth less now: not needed for a bound, but for a good one.
    lost = look.mentees[met[look.mentors[met[:, 0]] < 0, 1]]
    anew = np.union1d(look.new_mentees, lost[lost >= 0])
    singles = _changed_singles(look, proof.problem)
    few = len(new) <= MOST_CHANGED * len(problem.mentors) and len(anew) <= MOST_CHANGED * len(problem.mentees)
    if not few or singles is None:
        return None
    prices = _carried(proof.prices, look.mentors, len(problem.mentors))
    mentee_prices = _carried(proof.mentee_prices, look.mentees, len(problem.mentees))
    over = _carried(proof.over, look.mentees, len(problem.mentees))
    _correct(look, proof, singles, over)
    _price_rows(look, anew, prices, mentee_prices, over)
    columns = look.columns(new, mentee_prices)
    last, above = price_last(columns, np.zeros(len(prices), dtype=np.int64), problem.mentors.capacity)
    prices[new] = last[new]
    np.add.at(over, columns.other, above)
    return Proof(problem, prices, mentee_prices, over)


def _carried(values: IntArray, rows: IntArray, count: int) -> IntArray:
    """Bring a column of an earlier pool into the rows of this one; 0 for who changed or came."""
    carried = np.zeros(count, dtype=np.int64)
    carried[rows[rows >= 0]] = values[rows >= 0]
    return carried


def _price_rows(
    look: _Look, anew: IntArray, prices: IntArray, mentee_prices: IntArray, over: IntArray
) -> None:
    """Price the places of some mentees by all mentors who have a price already."""
    demand = look.problem.mentees.capacity
    unknown = prices.copy()
    unknown[look.new_mentors] = np.iinfo(np.int64).max // 2
    best = look.rows(anew, unknown, demand[anew])
    last, above = price_last(best, np.zeros(len(demand), dtype=np.int64), demand)
    mentee_prices[anew], over[anew] = last[anew], 0
    np.add.at(over, best.person, above)


def _changed_singles(look: _Look, earlier: Problem) -> IntArray | None:
    """List pairs of unchanged people that were barred and are not, or turned, or have other points.

    :return: their keys in this pool; None when more pairs are in one reporting line than can be compared.
    """
    problem = look.problem
    lines = _in_line(problem), _in_line(earlier)
    if lines[0] is None or lines[1] is None:
        return None
    before = look.carry(earlier, np.union1d(lines[1], np.union1d(earlier.blocked, earlier.dotted)))[0]
    now = np.union1d(lines[0], np.union1d(problem.blocked, problem.dotted))
    old_extras, kept = look.carry(earlier, earlier.extra_keys)
    extras = np.union1d(old_extras, problem.extra_keys)
    at, known = find_keys(old_extras, extras)
    points = np.zeros(len(extras), dtype=np.int64)
    points[known] = _extra_points(earlier, earlier.extra_keys[kept])[at[known]]
    other = extras[points != _extra_points(problem, extras)]
    return np.union1d(np.setxor1d(before, now), other)


def _correct(look: _Look, proof: Proof, singles: IntArray, over: IntArray) -> None:
    """Count single pairs as they are now instead of as they were."""
    back_mentors = _back(look.mentors, len(look.problem.mentors))
    back_mentees = _back(look.mentees, len(look.problem.mentees))
    mentee, mentor = np.divmod(singles, max(len(back_mentors), 1))
    known = (back_mentors[mentor] >= 0) & (back_mentees[mentee] >= 0)
    before = back_mentors[mentor[known]], back_mentees[mentee[known]]
    prices = proof.prices[before[0]] + proof.mentee_prices[before[1]]
    for sign, problem, rows in (
        (1, look.problem, (mentor[known], mentee[known])),
        (-1, proof.problem, before),
    ):
        points = sum(find_points(problem, *rows).values())
        allowed = find_bars(problem, *rows) == 0
        np.add.at(over, mentee[known], sign * np.where(allowed, np.maximum(points - prices, 0), 0))


def _back(rows: IntArray, count: int) -> IntArray:
    back = np.full(count, -1)
    back[rows[rows >= 0]] = np.nonzero(rows >= 0)[0]
    return back


def _in_line(problem: Problem) -> IntArray | None:
    """List the keys of all pairs of whom one stands above the other; None when there are too many."""
    found = []
    for below, above in ((problem.mentees, problem.mentors), (problem.mentors, problem.mentees)):
        order = np.argsort(below.first, kind="stable")
        starts = np.searchsorted(below.first[order], above.first)
        ends = np.searchsorted(below.first[order], above.last, "right")
        if (ends - starts).sum() > MOST_IN_LINE:
            return None
        rows = np.repeat(np.arange(len(above)), ends - starts), order[join_ranges(starts, ends)]
        found.append(problem.key(*(rows if above is problem.mentors else rows[::-1])))
    return np.unique(np.concatenate(found))
