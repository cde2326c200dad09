"""The flow over some pairs: which of them are taken, at which prices, and how ties are decided."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rmplugin.matching.columns import BoolArray, IntArray, Problem, join_ranges
from rmplugin.matching.scoring import Candidate

HASH_BITS = 16
LARGEST_COST = 2**61


@dataclass(frozen=True, eq=False)
class Graph:
    """Some pairs with their scores, each once, sorted by key: what a flow is solved over."""

    key: IntArray
    mentor: IntArray
    mentee: IntArray
    score: IntArray

    @classmethod
    def of(cls, problem: Problem, keys: Sequence[IntArray], scores: Sequence[IntArray]) -> "Graph":
        """Sort pairs and keep each once. **Touches** nothing."""
        nothing = np.zeros(0, dtype=np.int64)
        key, first = np.unique(np.concatenate([nothing, *keys]), return_index=True)
        mentee, mentor = np.divmod(key, max(len(problem.mentors), 1))
        return cls(key, mentor, mentee, np.concatenate([nothing, *scores])[first])

    def __len__(self) -> int:
        return len(self.key)

    def where(self, kept: BoolArray) -> "Graph":
        """Give some of the pairs. **Touches** nothing."""
        return Graph(self.key[kept], self.mentor[kept], self.mentee[kept], self.score[kept])


def find_flow(
    problem: Problem, graph: Graph, supply: IntArray, demand: IntArray, bonus: int = 0
) -> BoolArray:
    """Choose the pairs of a graph with the highest total of score plus bonus.

    Mentor i -> mentee j costs minus the gain. A dummy node takes what mentors have left and gives what
    mentees lack, at no cost, so that the flow is always feasible and every capacity is an upper limit.
    Only people with a pair take part, so that others cannot change the outcome.

    :param supply: places per mentor's row; `demand` per mentee's.
    :return: per pair of the graph whether it is taken.
    :raises RuntimeError: the solver gave no optimum.
    **Touches** nothing.
    """
    # What loads slowly is loaded where it is needed: every command and page imports this module.
    from ortools.graph.python.min_cost_flow import SimpleMinCostFlow

    if len(graph) == 0:
        return np.zeros(0, dtype=bool)
    givers, tail = np.unique(graph.mentor, return_inverse=True)
    takers, head = np.unique(graph.mentee, return_inverse=True)
    have = np.minimum(supply[givers], np.bincount(tail))
    need = np.minimum(demand[takers], np.bincount(head))
    dummy = len(givers) + len(takers)
    gain = _decisive_gains(problem, graph, bonus, nodes=dummy + 1, most=int(min(have.sum(), need.sum())))
    left, lack = np.arange(len(givers)), len(givers) + np.arange(len(takers))
    flow = SimpleMinCostFlow()
    arcs = flow.add_arcs_with_capacity_and_unit_cost(
        np.concatenate([tail, left, np.full(len(takers), dummy)]),
        np.concatenate([len(givers) + head, np.full(len(givers), dummy), lack]),
        np.concatenate([np.ones(len(graph), dtype=np.int64), have, need]),
        np.concatenate([-gain, np.zeros(len(givers) + len(takers), dtype=np.int64)]),
    )
    flow.set_nodes_supplies(np.arange(dummy + 1), np.concatenate([have, -need, [need.sum() - have.sum()]]))
    status = flow.solve()
    if status != flow.OPTIMAL:
        raise RuntimeError(f"the flow solver ended with {status}")
    taken: BoolArray = flow.flows(arcs)[: len(graph)] > 0
    if int(gain[taken].sum()) != -flow.optimal_cost():
        raise RuntimeError("the flow solver's pairs do not add up to its optimum")
    return taken


@dataclass(frozen=True, eq=False)
class MostFlow:
    """The highest number of pairs of a graph, and the cut that proves it.

    :param reached_mentors: who could still take somebody, perhaps after others changed partners.
    """

    count: int
    reached_mentors: BoolArray
    reached_mentees: BoolArray


def push_most(graph: Graph, supply: IntArray, demand: IntArray) -> MostFlow:
    """Count how many pairs a graph makes possible at once.

    :raises RuntimeError: the solver gave no optimum.
    **Source** maximum flow, OR-tools SimpleMaxFlow. **Touches** nothing.
    """
    from ortools.graph.python.max_flow import SimpleMaxFlow

    mentors, mentees = len(supply), len(demand)
    source, sink = mentors + mentees, mentors + mentees + 1
    flow = SimpleMaxFlow()
    flow.add_arcs_with_capacity(
        np.concatenate([graph.mentor, np.full(mentors, source), mentors + np.arange(mentees)]),
        np.concatenate([mentors + graph.mentee, np.arange(mentors), np.full(mentees, sink)]),
        np.concatenate([np.ones(len(graph), dtype=np.int64), supply, demand]),
    )
    if (status := flow.solve(source, sink)) != flow.OPTIMAL:
        raise RuntimeError(f"the flow solver ended with {status}")
    reached = np.zeros(sink + 1, dtype=bool)
    reached[flow.get_source_side_min_cut()] = True
    return MostFlow(flow.optimal_flow(), reached[:mentors], reached[mentors:source])


def find_prices(
    graph: Graph, taken: BoolArray, supply: IntArray, demand: IntArray, bonus: int = 0
) -> tuple[IntArray, IntArray]:
    """Find the lowest prices at which the taken pairs are what everybody would choose.

    A place costs nothing where places are left. What a full mentee has over from the worst of the taken pairs
    is the mentee's own price; no pair that is not taken may be worth more than both prices together.

    :return: prices per mentor's row and per mentee's row, 0 or more.
    :raises RuntimeError: there are none, so the flow was not the best one.
    **Source** linear programming duality; Bellman and Ford's relaxation on the residual graph.
    **Touches** nothing.
    """
    gain = graph.score + bonus
    prices, mentee_prices = np.zeros(len(supply), dtype=np.int64), np.zeros(len(demand), dtype=np.int64)
    used_supply = np.bincount(graph.mentor[taken], minlength=len(supply))
    full = (np.bincount(graph.mentee[taken], minlength=len(demand)) >= demand) & (demand > 0)
    met = np.nonzero(taken)[0]
    met_starts = np.searchsorted(graph.mentee[met], np.arange(len(demand) + 1))
    starts = np.searchsorted(graph.mentee, np.arange(len(demand) + 1))
    by_mentor = met[np.argsort(graph.mentor[met], kind="stable")]
    mentor_starts = np.searchsorted(graph.mentor[by_mentor], np.arange(len(supply) + 1))
    todo = np.unique(graph.mentee)
    mentee_prices[full] = np.iinfo(np.int64).max // 4
    for _ in range(len(supply) + len(demand) + 2):
        mine = todo[full[todo]]
        pair = met[join_ranges(met_starts[mine], met_starts[mine + 1])]
        lowest = np.full(len(demand), np.iinfo(np.int64).max // 4)
        np.minimum.at(lowest, graph.mentee[pair], gain[pair] - prices[graph.mentor[pair]])
        mentee_prices[todo] = np.where(full[todo], lowest[todo], 0)
        pair = join_ranges(starts[todo], starts[todo + 1])
        pair = pair[~taken[pair]]
        asked = prices.copy()
        np.maximum.at(asked, graph.mentor[pair], gain[pair] - mentee_prices[graph.mentee[pair]])
        raised = np.nonzero(asked > prices)[0]
        if len(raised) == 0:
            break
        prices = asked
        rows = join_ranges(mentor_starts[raised], mentor_starts[raised + 1])
        todo = np.unique(graph.mentee[by_mentor[rows]])
    else:
        raise RuntimeError("no prices belong to the flow")
    if (prices[used_supply < supply] > 0).any() or (mentee_prices < 0).any():
        raise RuntimeError("the flow was not the best one")
    return prices, mentee_prices


def find_top_prices(
    graph: Graph, taken: BoolArray, supply: IntArray, demand: IntArray
) -> tuple[IntArray, IntArray]:
    """Find what a place is worth at most, per side: prices as for `find_prices`, but the highest.

    What somebody without a partner falls short of is the highest price of a place, not the lowest: the one
    who has it would have to be outdone, not the next in line.

    :return: per mentor's row and per mentee's row.
    **Touches** nothing.
    """
    order = np.lexsort((graph.mentee, graph.mentor))
    turned = Graph(graph.key[order], graph.mentee[order], graph.mentor[order], graph.score[order])
    # Where the one side is cheapest, the other is dearest.
    return find_prices(turned, taken[order], demand, supply)[1], find_prices(graph, taken, supply, demand)[1]


def _decisive_gains(problem: Problem, graph: Graph, bonus: int, *, nodes: int, most: int) -> IntArray:
    """Append a hash of both ids to each gain, small enough that all of them never outweigh one point.

    The solver multiplies costs by the number of nodes, and its prices may grow to that times the number of
    nodes again; what then still fits 64 bits is left for the hash. With no room, the canonical order of the
    arcs alone decides ties.

    :param most: at most this many pairs can be chosen.
    """
    gain = graph.score + bonus
    room = LARGEST_COST // (int(gain.max()) + 1) // (nodes + 1) ** 2
    carry = most.bit_length()
    bits = min(HASH_BITS, room.bit_length() - 1 - carry)
    if bits < 1:
        return gain
    return (gain << (bits + carry)) + (mix_ids(problem, graph) >> np.uint64(64 - bits)).astype(np.int64)


def mix_ids(problem: Problem, graph: Graph) -> npt.NDArray[np.uint64]:
    """Give a number per pair that depends on both stable ids and on nothing else. **Touches** nothing."""
    if "hashes" not in problem.cache:
        problem.cache["hashes"] = tuple(_hashes(side.people) for side in (problem.mentors, problem.mentees))
    mentors, mentees = problem.cache["hashes"]
    mixed = mentors[graph.mentor] ^ mentees[graph.mentee]
    # The finisher of splitmix64: without it the hash of a pair would be a plain sum over two people.
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    hashed: npt.NDArray[np.uint64] = mixed
    return hashed


def _hashes(side: Sequence[Candidate]) -> npt.NDArray[np.uint64]:
    """Hash the stable ids; Python's own hash() changes with every process."""
    digests = (hashlib.blake2b(c.id.encode(), digest_size=8).digest() for c in side)
    return np.frombuffer(b"".join(digests), dtype="<u8")
