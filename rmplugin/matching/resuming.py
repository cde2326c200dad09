"""The pairs that a matching begins with when little has changed since an earlier one."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from rmplugin.matching import kernels
from rmplugin.matching.columns import IntArray, Problem, Side, find_keys
from rmplugin.matching.flows import Graph
from rmplugin.matching.kernels import Kernel
from rmplugin.matching.pairs import plain_tests

# So many pairs of everybody who changed: more than at the start, for then the first prices are right already.
PAIRS_PER_CHANGE = 60


def resume(
    problem: Problem, earlier: Problem, graph: Graph, *, kernel: Kernel = "auto", threads: int | None = None
) -> Graph:
    """Take over the pairs of unchanged people, and look anew only for those who changed or came.

    The proof does not rest on this: `solver.solve` still judges every pair by its prices.

    :param earlier: what the earlier solution was computed for, with the same rules, weights and criteria.
    :param graph: of the earlier solution.
    :param threads: None for as many as there are processors.
    :return: to be the `start` of `solver.solve`.
    :raises ValueError: rules, weights or criteria are others, so that every pair has changed.
    **Touches** nothing.
    """
    if any(getattr(problem, name) != getattr(earlier, name) for name in ("rules", "weights", "criteria")):
        raise ValueError("other rules or weights change every pair")
    mentors = _new_rows(problem.mentors, earlier.mentors)
    mentees = _new_rows(problem.mentees, earlier.mentees)
    graph = graph.where((mentors[graph.mentor] >= 0) & (mentees[graph.mentee] >= 0))
    score = graph.score - _extra_points(earlier, graph.key)
    found = [(mentors[graph.mentor], mentees[graph.mentee], score)]
    found += _scan(problem, mentors, mentees, kernels.choose(problem, kernel), threads)
    mentor, mentee, score = (np.concatenate(column) for column in zip(*found, strict=True))
    key: IntArray = problem.key(mentor, mentee)
    # Who stands above whom may have changed for people who did not.
    barred = np.logical_or.reduce(list(plain_tests(problem, mentor, mentee).values()))
    barred |= find_keys(problem.blocked, key)[1] | find_keys(problem.dotted, key)[1]
    key, score = key[~barred], score[~barred]
    return Graph.of(problem, [key], [score + _extra_points(problem, key)])


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


def _scan(
    problem: Problem, mentors: IntArray, mentees: IntArray, kernel: Kernel, threads: int | None
) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Give the best of the lists of everybody who is new or changed, without what single pairs earn."""
    new_mentors = np.setdiff1d(np.arange(len(problem.mentors)), mentors)
    new_mentees = np.setdiff1d(np.arange(len(problem.mentees)), mentees)
    plain = replace(problem, blocked=problem.blocked[:0], dotted=problem.dotted[:0], cache={})
    plain = plain.without_extras()
    part = replace(plain, mentors=problem.mentors.part(new_mentors))
    lists = kernels.BestPerMentor(len(new_mentors), PAIRS_PER_CHANGE, kernel)
    for sifted in kernels.walk(part, lists.sift, kernel=kernel, threads=threads):
        lists.add(sifted)
    best = lists.result()
    yield new_mentors[best.person], best.other, best.value
    part = replace(plain, mentees=problem.mentees.part(new_mentees), cache={})
    nothing = np.zeros(len(problem.mentors), dtype=np.int64), np.zeros(len(new_mentees), dtype=np.int64)
    most = np.full(len(new_mentees), PAIRS_PER_CHANGE)

    def visit(block: kernels.Block) -> kernels.Best:
        return kernels.best_per_mentee(block, *nothing, most, kernel)

    best = kernels.join(list(kernels.walk(part, visit, kernel=kernel, threads=threads)))
    yield best.other, new_mentees[best.person], best.value


def _extra_points(problem: Problem, key: IntArray) -> IntArray:
    at, known = find_keys(problem.extra_keys, key)
    points = np.zeros(len(key), dtype=np.int64)
    for values in problem.extra_points.values():
        points[known] += values[at[known]]
    return points
