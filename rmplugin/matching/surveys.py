"""What one walk over all pairs tells about a solution, and how firmly each pair stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmplugin.matching import kernels
from rmplugin.matching.columns import BoolArray, IntArray, Problem, find_keys
from rmplugin.matching.flows import find_flow
from rmplugin.matching.kernels import Kernel
from rmplugin.matching.pairs import find_points
from rmplugin.matching.solver import Solution, worst_scores

# Above so many pairs in the graph the flow is not solved again for every changed weight.
PAIRS_WORTH_SHAKING = 300_000
PART = 5  # A fifth up, a fifth down.
NOBODY = np.iinfo(np.int64).max // 2


@dataclass(frozen=True, eq=False)
class Survey:
    """Numbers about everybody in a solution; two arrays are for mentors and for mentees, row by row.

    :param admissible: how many allowed partners there are.
    :param ranks: per pair of the solution its place in the mentor's list, and in the mentee's: 1 is the best.
    :param favourite: how many people of the other side have this person at the top of their list.
    :param blocking: pairs of people who would both rather have each other than somebody they have.
    """

    admissible: tuple[IntArray, IntArray]
    ranks: tuple[IntArray, IntArray]
    favourite: tuple[IntArray, IntArray]
    blocking: int


def survey(
    problem: Problem, solution: Solution, *, kernel: Kernel = "auto", threads: int | None = None
) -> Survey:
    """Look at every allowed pair once.

    **Touches** nothing.
    """
    sides = problem.mentors, problem.mentees
    met = _column(solution, "mentor"), _column(solution, "mentee")
    score = np.array([pair.score for pair in solution.pairs], dtype=np.int64)
    worst = [worst_scores(one, score, side.capacity) for one, side in zip(met, sides, strict=True)]
    places = [_places(one) for one in met]
    lists = [
        _lists(one, place, score, len(side)) for one, place, side in zip(met, places, sides, strict=True)
    ]
    nothing = np.zeros(len(sides[0]), dtype=np.int64), np.zeros(len(sides[1]), dtype=np.int64)
    chosen, pairs = kernels.choose(problem, kernel), problem.key(*met)
    top = kernels.BestPerMentor(len(sides[0]), 1, chosen)

    def visit(block: kernels.Block) -> tuple[Any, ...]:
        counts, better, both = _survey_block(block, lists, worst, chosen)
        wanted = problem.key(block.mentor[both], block.mentee[both])
        blocking = int((~find_keys(pairs, wanted)[1]).sum())
        first = kernels.best_per_mentee(block, nothing[0], nothing[1], nothing[1] + 1, chosen)
        return counts, better, blocking, first, top.sift(block)

    admissible, better = [array.copy() for array in nothing], [np.zeros_like(listed) for listed in lists]
    blocking, firsts = 0, []
    for counts, more, blocks, first, sifted in kernels.walk(problem, visit, kernel=kernel, threads=threads):
        for k in (0, 1):
            admissible[k] += counts[k]
            better[k] += more[k]
        blocking += blocks
        firsts.append(first)
        top.add(sifted)
    ranks = [1 + better[k][places[k], met[k]] for k in (0, 1)]
    favourite = [
        np.bincount(kernels.join(firsts).other, minlength=len(sides[0])),
        np.bincount(top.result().other, minlength=len(sides[1])),
    ]
    return Survey(
        (admissible[0], admissible[1]), (ranks[0], ranks[1]), (favourite[0], favourite[1]), blocking
    )


def _survey_block(
    block: kernels.Block, lists: Sequence[IntArray], worst: Sequence[IntArray], kernel: str
) -> tuple[Sequence[IntArray], Sequence[IntArray], BoolArray]:
    """Count per mentor and per mentee the allowed partners, and those above each score of the person's list.

    :return: both counts, both counts by place in the list, and which pairs both would rather have.
    """
    if kernel == "numba":
        from rmplugin.matching import compiled

        *found, both = compiled.survey_block(
            block.starts, block.low, block.mentor, block.score, *lists, *worst
        )
        return found[:2], found[2:], both
    people = block.mentor.astype(np.int64), block.mentee
    counts = [np.bincount(one, minlength=each.shape[1]) for one, each in zip(people, lists, strict=True)]
    better = [
        np.array(
            [np.bincount(one[block.score > scores[one]], minlength=len(scores)) for scores in listed],
            dtype=np.int64,
        ).reshape(listed.shape)
        for one, listed in zip(people, lists, strict=True)
    ]
    both = (block.score > worst[0][people[0]]) & (block.score > worst[1][people[1]])
    return counts, better, both


def shake(problem: Problem, solution: Solution) -> list[int] | None:
    """Say of how many of the changed weightings each pair stays a part of the best solution.

    Each weight in turn is a fifth higher, then a fifth lower; the flow is solved again over the pairs that
    the solution came from: in a small pool all of them, in a large one those that the proof needed.

    :return: per pair a percentage; None when the pool is too large or the objective is not `total`.
    **Touches** nothing.
    """
    graph = solution.graph
    if len(graph) > PAIRS_WORTH_SHAKING or solution.objective != "total":
        return None
    points = [array for array in find_points(problem, graph.mentor, graph.mentee).values() if array.any()]
    stayed = np.zeros(len(graph), dtype=np.int64)
    for array in points:
        for change in (array // PART, -(array // PART)):
            changed = type(graph)(graph.key, graph.mentor, graph.mentee, graph.score + change)
            stayed += find_flow(problem, changed, *solution.places)
    share = {
        int(key): round(100 * count / max(2 * len(points), 1))
        for key, count in zip(graph.key, stayed, strict=True)
    }
    return [
        100 if pair.pinned else share[int(problem.key(pair.mentor, pair.mentee))] for pair in solution.pairs
    ]


def _column(solution: Solution, side: str) -> IntArray:
    return np.array([getattr(pair, side) for pair in solution.pairs], dtype=np.int64)


def _places(person: IntArray) -> IntArray:
    """Give each pair its number among the pairs of its person, from 0."""
    order = np.argsort(person, kind="stable")
    ordered = person[order]
    places = np.empty(len(person), dtype=np.int64)
    places[order] = np.arange(len(person)) - np.searchsorted(ordered, ordered)
    return places


def _lists(person: IntArray, place: IntArray, score: IntArray, people: int) -> IntArray:
    """Give the score of each person's first pair, second pair and so on; `NOBODY` where there is none."""
    scores = np.full((int(place.max(initial=-1)) + 1, people), NOBODY)
    scores[place, person] = score
    return scores
