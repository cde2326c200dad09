"""What one process of the benchmark of the matching measures: its parts, whole runs, and other solvers."""

import hashlib
import os
import random
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
from ortools.graph.python.min_cost_flow import SimpleMinCostFlow
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array

from rmplugin.matching import kernels, solver
from rmplugin.matching.columns import Problem, Skills, build
from rmplugin.matching.flows import Graph, find_flow, find_prices
from rmplugin.matching.resuming import resume
from rmplugin.matching.surveys import survey
from rmplugin.matching.synthetic import Company, make_company

# With capacities, people take from one to so many.
MOST_PARTNERS = 3
# Rows at a time of the bare product.
ROWS = 500
SEED = 1


def problem_of(company: Company) -> Problem:
    return build(company.mentors, company.mentees, reporting=company.reporting)


def make_problem(size: int, capacities: bool) -> Problem:
    return problem_of(make_company(size, SEED, MOST_PARTNERS if capacities else 1))


def warm_up() -> None:
    """Load what a worker has loaded long before: the compiled code."""
    if kernels.has_numba():
        always_prove()
        problem = make_problem(50, capacities=False)
        survey(problem, solver.solve(problem, kernel="numba"), kernel="numba")


def always_prove() -> None:
    """Let the proof by prices decide about small pools, too."""
    solver.CELLS_IN_FULL = 0


class Clock:
    """Measures what runs inside: seconds of all threads' CPU, and of the wall."""

    def __enter__(self) -> Self:
        self._cpu, self._wall = time.process_time(), time.monotonic()
        return self

    def __exit__(self, *problem: object) -> None:
        self.cpu, self.wall = time.process_time() - self._cpu, time.monotonic() - self._wall

    def row(self, **more: Any) -> dict[str, Any]:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"cpu": self.cpu, "wall": self.wall, "peak_mb": peak, "load": os.getloadavg()[0], **more}


# -- parts of a run against the bare thing -------------------------------------------------------------------


def measure_parts(size: int, capacities: bool, rounds: int, numpy_too: bool) -> dict[str, Any]:
    """Measure the scan and the flow, each in turn with the bare product and the bare flow.

    :return: CPU seconds by part, medians.
    """
    problem = make_problem(size, capacities)
    supply, demand = problem.mentors.capacity, problem.mentees.capacity
    graph = best_of_both_sides(problem)
    wanted, offered = matrix(problem.mentees.wants), matrix(problem.mentors.offers).T.tocsr()
    works: dict[str, Callable[[], Any]] = {
        "bare product": lambda: bare_product(wanted, offered),
        "one side": lambda: digest(scan_one_side(problem, kernels.choose(problem))),
        "bare flow": lambda: bare_flow(graph, supply, demand),
        "solve step": lambda: solve_step(problem, graph, supply, demand),
    }
    if numpy_too:
        works["one side, numpy"] = lambda: digest(scan_one_side(problem, "numpy"))
    seconds: dict[str, list[float]] = {name: [] for name in works}
    found: dict[str, Any] = {}
    for _ in range(rounds):
        for name, work in works.items():
            with Clock() as clock:
                found[name] = work()
            seconds[name].append(clock.cpu)
    assert found["bare flow"] == found["solve step"], "the bare flow has another optimum"
    if numpy_too:
        assert found["one side"] == found["one side, numpy"], "the kernels disagree"
    return {name: statistics.median(values) for name, values in seconds.items()} | {"edges": len(graph)}


def matrix(skills: Skills) -> Any:
    owner = np.repeat(np.arange(len(skills.starts) - 1), np.diff(skills.starts))
    ones = np.ones(len(owner), dtype=np.int32)
    return csr_array((ones, (owner, skills.skill)), shape=(len(skills.starts) - 1, 300))


def bare_product(wanted: Any, offered: Any) -> int:
    """Multiply as plainly as scipy can: how many wanted skills each pair has in common, and nothing else."""
    return sum((wanted[low : low + ROWS] @ offered).nnz for low in range(0, wanted.shape[0], ROWS))


def scan_one_side(problem: Problem, kernel: Any) -> kernels.Best:
    """Give every mentee's twenty best: all rules, all points."""
    nothing = np.zeros(len(problem.mentors), dtype=np.int64), np.zeros(len(problem.mentees), dtype=np.int64)
    most = np.full(len(problem.mentees), solver.FIRST_PER_PERSON)

    def visit(block: kernels.Block) -> kernels.Best:
        return kernels.best_per_mentee(block, *nothing, most, kernel)

    return kernels.join(list(kernels.walk(problem, visit, kernel=kernel)))


def best_of_both_sides(problem: Problem) -> Graph:
    """Give the pairs with which a large matching begins."""
    kernel = kernels.choose(problem)
    mentors = kernels.BestPerMentor(len(problem.mentors), solver.FIRST_PER_PERSON, kernel)
    for sifted in kernels.walk(problem, mentors.sift, kernel=kernel):
        mentors.add(sifted)
    best, other = scan_one_side(problem, kernel), mentors.result()
    keys = [problem.key(best.other, best.person), problem.key(other.person, other.other)]
    return Graph.of(problem, keys, [best.value, other.value])


def bare_flow(graph: Graph, supply: Any, demand: Any) -> int:
    """Solve the flow over some pairs and nothing else: no decision of ties, no prices."""
    mentors, mentees = len(supply), len(demand)
    dummy = mentors + mentees
    flow = SimpleMinCostFlow()
    left, lack = np.arange(mentors), mentors + np.arange(mentees)
    flow.add_arcs_with_capacity_and_unit_cost(
        np.concatenate([graph.mentor, left, np.full(mentees, dummy)]),
        np.concatenate([mentors + graph.mentee, np.full(mentors, dummy), lack]),
        np.concatenate([np.ones(len(graph), dtype=np.int64), supply, demand]),
        np.concatenate([-graph.score, np.zeros(dummy, dtype=np.int64)]),
    )
    flow.set_nodes_supplies(
        np.arange(dummy + 1), np.concatenate([supply, -demand, [demand.sum() - supply.sum()]])
    )
    assert flow.solve() == flow.OPTIMAL
    return -flow.optimal_cost()


def solve_step(problem: Problem, graph: Graph, supply: Any, demand: Any) -> int:
    """Do what one round of the product does with the same pairs."""
    graph = Graph.of(problem, [graph.key], [graph.score])
    taken = find_flow(problem, graph, supply, demand)
    find_prices(graph, taken, supply, demand)
    return int(graph.score[taken].sum())


# -- whole runs ------------------------------------------------------------------------------------------


def measure_solve(
    size: int, capacities: bool, *, exact: bool, kernel: Any, threads: int | None, shuffled: bool
) -> dict[str, Any]:
    """Measure a run from the columns to the pairs, making the columns included."""
    always_prove()
    company = make_company(size, SEED, MOST_PARTNERS if capacities else 1)
    if shuffled:
        order = random.Random(2)
        order.shuffle(company.mentors)
        order.shuffle(company.mentees)
    with Clock() as clock:
        problem = problem_of(company)
        found = solver.solve(
            problem, tolerance=0.0 if exact else solver.TOLERANCE, kernel=kernel, threads=threads
        )
    return clock.row(**facts(found))


def facts(found: solver.Solution) -> dict[str, Any]:
    pairs = "\n".join(f"{pair.mentor_id} {pair.mentee_id} {pair.score}" for pair in found.pairs)
    return {
        "total": found.total_score,
        "gap": found.gap,
        "rounds": found.rounds,
        "edges": len(found.graph),
        "pairs": len(found.pairs),
        "digest": hashlib.sha256(pairs.encode()).hexdigest()[:16],
    }


def measure_full_graph(size: int, capacities: bool) -> dict[str, Any]:
    """Solve one flow over all allowed pairs."""
    problem = make_problem(size, capacities)
    with Clock() as clock:
        keys, scores = [], []
        for block in kernels.walk(problem):
            keys.append(problem.key(block.mentor, block.mentee))
            scores.append(block.score.astype(np.int64))
        graph = Graph.of(problem, keys, scores)
        taken = find_flow(problem, graph, problem.mentors.capacity, problem.mentees.capacity)
    return clock.row(total=int(graph.score[taken].sum()), edges=len(graph))


def measure_assignment(size: int) -> dict[str, Any]:
    """Measure scipy's solver over the whole matrix, which is made before the clock runs."""
    problem = make_problem(size, capacities=False)
    dense = np.zeros((size, size))
    for block in kernels.walk(problem):
        dense[block.mentee, block.mentor] = block.score
    with Clock() as clock:
        rows, columns = linear_sum_assignment(dense, maximize=True)
    return clock.row(total=int(dense[rows, columns].astype(np.int64).sum()))


def measure_resume(size: int, capacities: bool, *, exact: bool) -> dict[str, Any]:
    """Measure a run, and one more after one mentor in a hundred has other skills to offer."""
    always_prove()
    tolerance = 0.0 if exact else solver.TOLERANCE
    company = make_company(size, SEED, MOST_PARTNERS if capacities else 1)
    with Clock() as first:
        problem = problem_of(company)
        found = solver.solve(problem, tolerance=tolerance)
    other = make_company(size // 100, SEED + 1).mentors
    mentors = list(company.mentors)
    mentors[:: max(1, size // len(other))] = [
        replace(one, offers=two.offers)
        for one, two in zip(mentors[:: max(1, size // len(other))], other, strict=True)
    ]
    changed = Company(mentors, company.mentees, company.reporting)
    with Clock() as clock:
        new = problem_of(changed)
        start, proof = resume(new, problem, found)
        again = solver.solve(new, tolerance=tolerance, start=start, proof=proof)
    afresh = solver.solve(new, tolerance=tolerance)
    if exact:
        assert facts(again)["total"] == facts(afresh)["total"]
    pairs = {(pair.mentor_id, pair.mentee_id) for pair in found.pairs}
    stayed = sum((pair.mentor_id, pair.mentee_id) in pairs for pair in again.pairs)
    return clock.row(first=first.cpu, gap=again.gap, rounds=again.rounds, stayed=stayed / len(again.pairs))


def digest(best: kernels.Best) -> str:
    arrays = best.person, best.other, best.value
    return hashlib.sha256(b"".join(array.astype(np.int64).tobytes() for array in arrays)).hexdigest()
