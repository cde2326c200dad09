"""One computation from the pool to everything that is written down about it; no database."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from rmplugin.matching import store
from rmplugin.matching.columns import IntArray, Problem
from rmplugin.matching.explaining import Unmatched, explain_unmatched
from rmplugin.matching.measures import measure
from rmplugin.matching.pairs import find_points
from rmplugin.matching.solver import OBJECTIVES, Objective, Progress, Solution, solve
from rmplugin.matching.surveys import Survey, shake, survey

# Up to so many cells all objectives are computed, so that the manager sees what each costs.
CELLS_TO_COMPARE = 5_000 * 5_000


@dataclass(frozen=True, eq=False)
class Findings:
    """What was computed for a pool.

    Points for wishes, and for having been proposed before, help to decide which pairs are chosen. They are in
    none of these numbers: they would tell who wished for whom, and say nothing about how well two fit.

    :param problem: without these points; the pairs of the solution are scored without them, too.
    :param stays: per pair of how many changed weightings in a hundred it stays a part; None when it was not
        computed.
    """

    problem: Problem
    solution: Solution
    survey: Survey
    unmatched: list[Unmatched]
    stays: list[int] | None
    metrics: dict[str, Any]

    def standing(self, pair: int) -> dict[str, Any]:
        """Say how one pair of the solution stands among all others.

        :return: "ranks": its place in the list of each side and how long that list is; "favourite": for how
            many of the other side each of the two is the first choice; "stays".
        **Touches** nothing.
        """
        rows = self.solution.pairs[pair].mentor, self.solution.pairs[pair].mentee
        found = self.survey
        return {
            "ranks": {
                side: [int(found.ranks[k][pair]), int(found.admissible[k][rows[k]])]
                for k, side in enumerate(("mentor", "mentee"))
            },
            "favourite": {
                side: int(found.favourite[k][rows[k]]) for k, side in enumerate(("mentor", "mentee"))
            },
            "stays": self.stays[pair] if self.stays else None,
        }


def compute(pool: store.Pool, objective: str, today: date, progress: Progress | None = None) -> Findings:
    """Match everybody with a free place, explain and measure it.

    :param progress: as of `solver.solve`.
    :raises InputError: a pin cannot be kept.
    :raises RuntimeError: the solver contradicts itself.
    **Touches** nothing.
    """
    problem = pool.free_problem()
    chosen: Objective = next(known for known in OBJECTIVES if known == objective)
    solution = solve(problem, pool.pins, objective=chosen, progress=progress)
    steered = len(problem.extra_keys) > 0
    plain = problem.without_extras() if steered else problem
    shown = _score_by(plain, solution) if steered else solution
    found = survey(plain, shown)
    metrics = measure(plain, shown, found, today.toordinal())
    if steered:
        # Whom two people would rather have depends on their wishes, too.
        metrics["blocking_pairs"] = survey(problem, solution).blocking
    metrics["bottlenecks"] = [
        entry | {"skill": pool.skills[entry["skill"]]} for entry in metrics["bottlenecks"]
    ]
    metrics["objectives"] = _compare(plain, pool, shown, steered=steered)
    metrics["criteria"] = {criterion.key: criterion.title for criterion in problem.criteria}
    return Findings(
        plain, shown, found, explain_unmatched(problem, solution), shake(problem, solution), metrics
    )


def _score_by(problem: Problem, solution: Solution) -> Solution:
    """Give a solution with its pairs, total, bound and graph in the points of another view of its problem."""
    rows = np.array([(pair.mentor, pair.mentee) for pair in solution.pairs], dtype=np.int64).reshape(-1, 2)
    points = _scores(problem, *rows.T)
    pairs = [pair._replace(score=score) for pair, score in zip(solution.pairs, points.tolist(), strict=True)]
    total, graph = int(points.sum()), solution.graph
    return replace(
        solution,
        pairs=tuple(pairs),
        total_score=total,
        bound=total + solution.bound - solution.total_score,
        graph=replace(graph, score=_scores(problem, graph.mentor, graph.mentee)),
    )


def _scores(problem: Problem, mentor: IntArray, mentee: IntArray) -> IntArray:
    found = find_points(problem, mentor, mentee).values()
    return np.sum(list(found), axis=0, dtype=np.int64)  # type: ignore[no-any-return]


def _compare(
    problem: Problem, pool: store.Pool, solution: Solution, *, steered: bool
) -> dict[str, dict[str, Any]]:
    """Say what each objective would give, and which share of the highest total it costs.

    :param problem: without extras; the solution's own row is what it came to with them.
    :param steered: extras had a say in the solution.
    """
    small = len(problem.mentors) * len(problem.mentees) <= CELLS_TO_COMPARE
    wanted = OBJECTIVES if small else ({"total", solution.objective})
    solutions = {
        objective: solution
        if objective == solution.objective
        else solve(problem, pool.pins, objective=objective, start=solution.graph)
        for objective in OBJECTIVES
        if objective in wanted
    }
    best = solutions["total"].total_score
    if steered and solution.objective == "total":
        best = max(best, solve(problem, pool.pins, start=solution.graph).total_score)
    return {
        objective: {
            "total_score": one.total_score,
            "pairs": len(one.pairs),
            "min_score": min((pair.score for pair in one.pairs), default=None),
            "price": round(1 - one.total_score / best, 6) if best else 0.0,
        }
        for objective, one in solutions.items()
    }
