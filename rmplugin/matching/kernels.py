"""Walk over all pairs of a pool, some mentees at a time: who may meet and with how many points.

Two kernels do the counting: numpy and scipy, always there, and numba's, when the extra `fast` is installed.
They give the same arrays; no matrix of everybody by everybody ever exists.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy

from rmplugin.matching.columns import (
    TENURE_STEP_DAYS,
    TENURE_STEPS,
    BoolArray,
    IntArray,
    Problem,
    Side,
    Skills,
    SmallArray,
)
from rmplugin.matching.pairs import criterion_bars, criterion_points, plain_tests
from rmplugin.matching.scoring import HIGHEST_LEVEL

Kernel = Literal["auto", "numpy", "numba"]

CELLS_PER_BLOCK = 2**20
# Below so many cells the numpy kernel is done before numba is loaded.
CELLS_WORTH_COMPILING = 2**22


@dataclass(frozen=True, eq=False)
class Block:
    """The allowed pairs of some mentees, sorted by mentee, then mentor.

    :param low: row of the first mentee.
    :param starts: the pairs of mentee `low + k` are `starts[k]` to `starts[k + 1]`.
    :param mentor: per pair the mentor's row.
    :param score: per pair its points, at least 1.
    """

    low: int
    starts: IntArray
    mentor: SmallArray
    score: SmallArray

    @property
    def mentee(self) -> IntArray:
        """Give per pair the mentee's row."""
        return np.repeat(np.arange(len(self.starts) - 1) + self.low, np.diff(self.starts))


@dataclass(frozen=True, eq=False)
class Best:
    """Up to so many best pairs per person.

    :param person: whose list a pair stands in; `other` the one on the other side.
    :param value: what they were ordered by.
    """

    person: IntArray
    other: IntArray
    value: IntArray


def has_numba() -> bool:
    """Say whether the extra `fast` is installed. **Touches** nothing."""
    try:
        import numba  # noqa: F401 - An optional extra, and slow to load.
    except ImportError:
        return False
    return True


def choose(problem: Problem, kernel: Kernel = "auto") -> Literal["numpy", "numba"]:
    """Pick the kernel for a pool: numba's for a large one when it is installed. **Touches** nothing."""
    if kernel != "auto":
        return kernel
    large = len(problem.mentors) * len(problem.mentees) >= CELLS_WORTH_COMPILING
    return "numba" if large and has_numba() else "numpy"


def walk(
    problem: Problem,
    visit: Callable[[Block], Any] = lambda block: block,
    *,
    kernel: Kernel = "auto",
    threads: int | None = None,
) -> Iterator[Any]:
    """Give what `visit` makes of each block, in the order of the mentees whatever the number of threads.

    :param visit: called in any thread, with one block of all allowed pairs of some mentees.
    :param threads: None for as many as this machine has processors.
    **Touches** nothing.
    """
    rows, columns = len(problem.mentees), len(problem.mentors)
    if not rows or not columns:
        return
    scan = _scanner(problem, choose(problem, kernel))
    size = max(1, CELLS_PER_BLOCK // columns)
    ranges = [(low, min(low + size, rows)) for low in range(0, rows, size)]

    def work(part: tuple[int, int]) -> Any:
        return visit(_finish(problem, scan(*part)))

    threads = threads or os.cpu_count() or 1
    if threads == 1 or len(ranges) == 1:
        yield from map(work, ranges)
        return
    with ThreadPoolExecutor(threads) as pool:
        # Some ahead of the reader, not all: what waits is memory.
        waiting = [pool.submit(work, part) for part in ranges[: 2 * threads]]
        for part in ranges[2 * threads :]:
            yield waiting.pop(0).result()
            waiting.append(pool.submit(work, part))
        for future in waiting:
            yield future.result()


def best_per_mentee(block: Block, prices: IntArray, floor: IntArray, most: IntArray, kernel: str) -> Best:
    """Pick the pairs of highest score minus price per mentee of a block; equal ones by the mentor's row.

    :param prices: per mentor; `floor` per mentee of the whole pool: only what is above it counts.
    :param most: per mentee of the whole pool how many.
    **Touches** nothing.
    """
    rows = slice(block.low, block.low + len(block.starts) - 1)
    if kernel == "numba":
        from rmplugin.matching import compiled

        person, other, value = compiled.best_of_rows(
            block.starts, block.mentor, block.score, prices, floor[rows], most[rows]
        )
        return Best(person + block.low, other, value)
    value = block.score - prices[block.mentor]
    person = block.mentee
    above = np.nonzero((value > floor[person]) & _among_first(block, value, most[rows]))[0]
    kept = above[_first_of_each(person[above], value[above], block.mentor[above].astype(np.int64), most)]
    return Best(person[kept], block.mentor[kept].astype(np.int64), value[kept])


def join(parts: Sequence[Best]) -> Best:
    """Put the lists of several blocks after each other. **Touches** nothing."""
    if not parts:
        return Best(*(np.zeros(0, dtype=np.int64),) * 3)
    return Best(
        np.concatenate([part.person for part in parts]),
        np.concatenate([part.other for part in parts]),
        np.concatenate([part.value for part in parts]),
    )


class BestPerMentor:
    """Collects the best pairs per mentor over all blocks; equal ones by the mentee's row.

    :param most: how many per mentor.
    """

    def __init__(self, mentors: int, most: int, kernel: str) -> None:
        self._lists: Any = None
        if kernel == "numba":
            from rmplugin.matching import compiled

            self._lists = compiled.MentorLists(mentors, most)
        self._most = np.full(mentors, most, dtype=np.int64)
        self._parts: list[tuple[IntArray, IntArray, IntArray]] = []
        self._waiting = 0
        self._floor = np.zeros(mentors, dtype=np.int64)

    def sift(self, block: Block) -> tuple[IntArray, IntArray, IntArray]:
        """Leave out what cannot be among the best any more; safe to call from many threads."""
        if self._lists:
            return self._lists.sift(block.starts, block.low, block.mentor, block.score)  # type: ignore[no-any-return]
        kept = np.nonzero(block.score >= self._floor[block.mentor])[0]
        mentee = np.searchsorted(block.starts, kept, side="right") - 1 + block.low
        return block.mentor[kept].astype(np.int64), mentee, block.score[kept].astype(np.int64)

    def add(self, sifted: tuple[IntArray, IntArray, IntArray]) -> None:
        """Take in what `sift` left of a block; the blocks come in the order of `walk`."""
        if self._lists:
            self._lists.add(*sifted)
            return
        self._parts.append(sifted)
        self._waiting += len(sifted[0])
        if self._waiting > max(2 * int(self._most.sum()), CELLS_PER_BLOCK // 8):
            self._press()

    def result(self) -> Best:
        """Give the best pairs of everybody."""
        if self._lists:
            return Best(*self._lists.result())
        self._press()
        return join([Best(*part) for part in self._parts])

    def _press(self) -> None:
        if not self._parts:
            return
        person, other, value = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        kept = _first_of_each(person, value, other, self._most)
        person, other, value = person[kept], other[kept], value[kept]
        self._parts, self._waiting = [(person, other, value)], len(kept)
        # A floor is only there for those whose list is full.
        full = np.bincount(person, minlength=len(self._most)) >= self._most
        lowest = np.full(len(self._most), np.iinfo(np.int64).max)
        np.minimum.at(lowest, person, value)
        self._floor = np.where(full, lowest, 0)


def _among_first(block: Block, value: IntArray, most: IntArray) -> BoolArray:
    """Leave out what surely is not among a row's highest: sorting everything would take longer."""
    among = np.ones(len(value), dtype=bool)
    for row in np.nonzero(np.diff(block.starts) > most)[0]:
        part = slice(block.starts[row], block.starts[row + 1])
        if most[row]:
            among[part] = value[part] >= np.partition(value[part], -most[row])[-most[row]]
    return among


def _first_of_each(person: IntArray, value: IntArray, other: IntArray, most: IntArray) -> IntArray:
    """Give the places of each person's highest values, sorted by person, then value, then the other."""
    order = np.lexsort((other, -value, person))
    sorted_person = person[order]
    starts = np.searchsorted(sorted_person, sorted_person)
    place = np.arange(len(order)) - starts
    kept: IntArray = order[place < most[sorted_person]]
    return kept


def _finish(problem: Problem, block: Block) -> Block:
    """Take out pairs that are barred one by one, add points that are given one by one, ask plug-ins."""
    low, high = block.low, block.low + len(block.starts) - 1
    gone = [_places(problem, block, keys, low, high)[0] for keys in (problem.blocked, problem.dotted)]
    places, rows = _places(problem, block, problem.extra_keys, low, high)
    for points in problem.extra_points.values():
        block.score[places] += points[rows].astype(np.int32)
    barred = np.zeros(len(block.mentor), dtype=bool)
    barred[np.concatenate(gone)] = True
    if problem.criteria:
        mentor, mentee = block.mentor.astype(np.int64), block.mentee
        barred |= criterion_bars(problem, mentor, mentee)
        for points in criterion_points(problem, mentor, mentee).values():
            block.score[:] += points.astype(np.int32)
    return keep(block, ~barred) if barred.any() else block


def keep(block: Block, kept: BoolArray) -> Block:
    """Give a block with some of its pairs only. **Touches** nothing."""
    left = np.concatenate([[0], np.cumsum(kept)])
    return Block(block.low, left[block.starts], block.mentor[kept], block.score[kept])


def _places(problem: Problem, block: Block, keys: IntArray, low: int, high: int) -> tuple[IntArray, IntArray]:
    """Find where single pairs stand in a block.

    :return: their places in the block, and which of `keys` they are; those that are not allowed are left out.
    """
    width = max(len(problem.mentors), 1)
    first, last = np.searchsorted(keys, [low * width, high * width])
    rows = np.arange(first, last)
    mentee, mentor = np.divmod(keys[first:last], width)
    starts, ends = block.starts[mentee - low], block.starts[mentee - low + 1]
    at = np.array(
        [
            start + np.searchsorted(block.mentor[start:end], one)
            for start, end, one in zip(starts, ends, mentor, strict=True)
        ],
        dtype=np.int64,
    )
    there = at < ends
    there[there] = block.mentor[at[there]] == mentor[there]
    return at[there], rows[there]


def _scanner(problem: Problem, kernel: str) -> Callable[[int, int], Block]:
    if kernel == "numba":
        from rmplugin.matching import compiled

        return lambda low, high: Block(low, *compiled.count(problem, low, high))
    if "offered" not in problem.cache:
        problem.cache["offered"] = _offered(problem.mentors, len(problem.skills))
    return lambda low, high: _count(problem, _allowed(problem, low, high), low)


def _allowed(problem: Problem, low: int, high: int) -> BoolArray:
    """Test some mentees, down, against all mentors, across."""
    mentor, mentee = np.arange(len(problem.mentors))[None, :], np.arange(low, high)[:, None]
    barred = np.zeros((high - low, len(problem.mentors)), dtype=bool)
    for failed in plain_tests(problem, mentor, mentee).values():
        barred |= failed
    return ~barred


def _offered(side: Side, skills: int) -> Any:
    """Give a matrix of (skill, level) by mentors with a one where a mentor offers it."""
    offers = side.offers
    owner = np.repeat(np.arange(len(side)), np.diff(offers.starts))
    feature = offers.skill.astype(np.int64) * HIGHEST_LEVEL + offers.level - 1
    shape = max(skills, 1) * HIGHEST_LEVEL, len(side)
    return scipy.sparse.csr_array((np.ones(len(owner), dtype=np.int32), (feature, owner)), shape=shape)


def _wanted(wants: Skills, skills: int, low: int, high: int) -> Any:
    """Give a matrix of mentees by (skill, level) with the points that such an offer earns."""
    assert wants.points is not None
    first, last = wants.starts[low], wants.starts[high]
    owner = np.repeat(np.arange(high - low), np.diff(wants.starts[low : high + 1]))
    feature = wants.skill[first:last, None].astype(np.int64) * HIGHEST_LEVEL + np.arange(HIGHEST_LEVEL)
    points = wants.points[first:last, 1:]
    shape = high - low, max(skills, 1) * HIGHEST_LEVEL
    rows = np.repeat(owner, HIGHEST_LEVEL)
    return scipy.sparse.csr_array((points.ravel(), (rows, feature.ravel())), shape=shape)


def _count(problem: Problem, allowed: BoolArray, low: int) -> Block:
    """Count the points of a block with numpy and scipy."""
    rows, width = allowed.shape
    product = _wanted(problem.mentees.wants, len(problem.skills), low, low + rows) @ problem.cache["offered"]
    cell = np.repeat(np.arange(rows) * width, np.diff(product.indptr)) + product.indices
    kept = allowed.ravel()[cell] & (product.data > 0)
    # One sort of whole numbers orders the pairs and brings each its points.
    order = np.argsort(cell[kept])
    cell, score = cell[kept][order], product.data[kept][order]
    row, mentor = np.divmod(cell, width)
    score = score + _other_points(problem, mentor, row, low, low + rows)
    starts = np.searchsorted(cell, np.arange(rows + 1) * width)
    return Block(low, starts, mentor.astype(np.int32), score.astype(np.int32))


def _other_points(problem: Problem, mentor: IntArray, row: IntArray, low: int, high: int) -> SmallArray:
    a, b, weights, mentee = problem.mentors, problem.mentees, problem.weights, row + low
    points: SmallArray = weights.motivation * (a.motivation[mentor] + b.motivation[mentee]) // 10
    for weight, mine, theirs in (
        (weights.other_department, a.department[mentor], b.department[mentee]),
        (weights.other_site, a.site[mentor], b.site[mentee]),
    ):
        points += weight * ((mine >= 0) & (theirs >= 0) & (mine != theirs)).astype(np.int32)
    hired = a.hired[mentor], b.hired[mentee]
    steps = np.minimum(np.abs(hired[0] - hired[1]) // TENURE_STEP_DAYS, TENURE_STEPS)
    points += weights.tenure * steps * ((hired[0] > 0) & (hired[1] > 0)) // TENURE_STEPS
    return points + _learning(problem, mentor, row, low, high)


def _learning(problem: Problem, mentor: IntArray, row: IntArray, low: int, high: int) -> SmallArray:
    """Add up what mentees of a block offer of what their mentors want."""
    wants, offers, skills = problem.mentors.wants, problem.mentees.offers, len(problem.skills)
    assert wants.points is not None
    if "learned" not in problem.cache:
        problem.cache["learned"] = _in_columns(wants, skills)
    # One column more, for the skill that nobody offers.
    level = np.zeros((high - low, skills + 1), dtype=np.int8)
    first, last = offers.starts[low], offers.starts[high]
    owner = np.repeat(np.arange(high - low), np.diff(offers.starts[low : high + 1]))
    level[owner, offers.skill[first:last]] = offers.level[first:last]
    levels, points, start = level.ravel(), wants.points.ravel(), row * (skills + 1)
    total = np.zeros(len(mentor), dtype=np.int32)
    for skill, want in problem.cache["learned"]:
        total += points[want[mentor] + levels[start + skill[mentor]]]
    return total


def _in_columns(wants: Skills, skills: int) -> list[tuple[IntArray, IntArray]]:
    """Give everybody's first wanted skill, everybody's second and so on, each with the place of its points.

    Who wants no more wants the skill that nobody offers, which earns nothing.
    """
    counts = np.diff(wants.starts)
    columns = []
    for k in range(int(counts.max(initial=0))):
        there = counts > k
        want = np.where(there, wants.starts[:-1] + k, 0)
        columns.append((np.where(there, wants.skill[want], skills), want * (HIGHEST_LEVEL + 1)))
    return columns
