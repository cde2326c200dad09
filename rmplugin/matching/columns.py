"""The pool of a matching as columns of whole numbers, and the rules and points of any list of pairs.

Rows are sorted by stable id, so that neither the order of the input nor of the work decides anything.
"""

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rmplugin.matching.scoring import (
    EXTRAS,
    FACTORS,
    HIGHEST_LEVEL,
    LAST_WISH,
    SLOTS_PER_WEEK,
    Candidate,
    Role,
    Rules,
    Weights,
    junior_limits,
    number_reporting_lines,
    session_starts,
)
from rmplugin.records import MATCH_COLUMNS, MatchCriterion

IntArray = npt.NDArray[np.int64]
SmallArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]
WordArray = npt.NDArray[np.uint64]

TENURE_STEP_DAYS = 730
TENURE_STEPS = 4
# No rank and no day number reaches this.
NEVER = 2**30


@dataclass(frozen=True, eq=False)
class Skills:
    """What the people of a side offer or want, one row per person and skill, sorted by both.

    :param starts: the rows of person k are `starts[k]` to `starts[k + 1]`.
    :param points: per wanted row what each offered level 0-4 earns; None for offers.
    """

    starts: IntArray
    skill: SmallArray
    level: SmallArray
    points: SmallArray | None = None

    def part(self, people: IntArray) -> "Skills":
        """Give the skills of some people, by row. **Touches** nothing."""
        starts, ends = self.starts[people], self.starts[people + 1]
        rows = join_ranges(starts, ends)
        points = None if self.points is None else self.points[rows]
        ahead = np.concatenate([[0], np.cumsum(ends - starts)])
        return Skills(ahead, self.skill[rows], self.level[rows], points)


@dataclass(frozen=True, eq=False)
class Side:
    """The mentors or the mentees as columns; -1 (mentors) and -2 (mentees) stand for unknown codes.

    :param rank: of a mentor the rank; of a mentee the highest rank that makes a mentor junior.
    :param hired_limit: of a mentor the day of hiring; of a mentee the first day that makes a mentor junior.
    :param hired: day number, 0 when unknown.
    :param first, last: the interval of the reporting line, see `number_reporting_lines`.
    :param language: which row of `language_words` a person has; `hours` likewise, of times to start at.
    """

    people: tuple[Candidate, ...]
    id: SmallArray
    rank: SmallArray
    hired_limit: SmallArray
    hired: SmallArray
    team: SmallArray
    department: SmallArray
    site: SmallArray
    first: SmallArray
    last: SmallArray
    motivation: SmallArray
    capacity: IntArray
    language: SmallArray
    language_words: WordArray
    hours: SmallArray
    hours_words: WordArray
    offers: Skills
    wants: Skills

    def __len__(self) -> int:
        return len(self.people)

    @cached_property
    def _values(self) -> dict[str, npt.NDArray[np.object_]]:
        return {}

    def values(self, name: str) -> npt.NDArray[np.object_]:
        """Give one column as it came, for plug-ins.

        :raises KeyError: it is none of `MATCH_COLUMNS`.
        **Touches** nothing.
        """
        if name not in MATCH_COLUMNS:
            raise KeyError(name)
        if name not in self._values:
            column = np.empty(len(self.people), dtype=object)
            column[:] = [getattr(person, name) for person in self.people]
            self._values[name] = column
        return self._values[name]

    def part(self, rows: IntArray) -> "Side":
        """Give some of the people, whose rows rise. **Touches** nothing."""
        words = ("language_words", "hours_words")
        columns = {name: values for name, values in vars(self).items() if isinstance(values, np.ndarray)}
        return replace(
            self,
            people=tuple(self.people[row] for row in rows),
            **{name: values[rows] for name, values in columns.items() if name not in words},
            offers=self.offers.part(rows),
            wants=self.wants.part(rows),
        )

    def row(self, person_id: str) -> int | None:
        """Find somebody's row; None when they are not on this side. **Touches** nothing."""
        at = bisect.bisect_left(self.people, person_id, key=lambda candidate: candidate.id)
        return at if at < len(self.people) and self.people[at].id == person_id else None


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that decides a matching.

    :param skills: the ids behind the numbers of skills.
    :param blocked: keys (see `key`) of pairs that must not meet (again), sorted; `dotted` likewise, of
        reporting lines beside the tree.
    :param extras: keys of pairs with points on top, sorted, and the points by factor.
    :param criteria: of plug-ins.
    """

    mentors: Side
    mentees: Side
    skills: tuple[str, ...]
    rules: Rules
    weights: Weights
    blocked: IntArray
    dotted: IntArray
    extra_keys: IntArray
    extra_points: Mapping[str, IntArray]
    criteria: tuple[MatchCriterion, ...] = ()
    cache: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def factors(self) -> tuple[str, ...]:
        """Name everything that gives points."""
        return (*FACTORS, *EXTRAS, *(criterion.key for criterion in self.criteria if criterion.most))

    def without_extras(self) -> "Problem":
        """Give the same pool without the points that single pairs have on top. **Touches** nothing."""
        return replace(self, extra_keys=self.extra_keys[:0], extra_points={})

    def key(self, mentor: Any, mentee: Any) -> Any:
        """Give one whole number per pair; sorted, they are in the order of mentee, then mentor.

        **Touches** nothing.
        """
        return np.asarray(mentee, dtype=np.int64) * max(len(self.mentors), 1) + mentor

    def part(self, mentors: IntArray | None = None, mentees: IntArray | None = None) -> "Problem":
        """Give the pool of some mentors and some mentees, with all that is known about single pairs of them.

        :param mentors: rows that rise; None for all. `mentees` likewise.
        **Touches** nothing.
        """
        sides = [
            (side, np.arange(len(side)) if rows is None else rows, rows is None)
            for side, rows in ((self.mentors, mentors), (self.mentees, mentees))
        ]

        def inside(keys: IntArray) -> tuple[IntArray, BoolArray]:
            mentee, mentor = np.divmod(keys, max(len(self.mentors), 1))
            (a, has_a), (b, has_b) = (
                find_keys(rows, row) for (_, rows, _), row in zip(sides, (mentor, mentee), strict=True)
            )
            kept: BoolArray = has_a & has_b
            return b[kept] * max(len(sides[0][1]), 1) + a[kept], kept

        extra_keys, kept = inside(self.extra_keys)
        a, b = (side if whole else side.part(rows) for side, rows, whole in sides)
        return replace(
            self,
            mentors=a,
            mentees=b,
            blocked=inside(self.blocked)[0],
            dotted=inside(self.dotted)[0],
            extra_keys=extra_keys,
            extra_points={name: points[kept] for name, points in self.extra_points.items()},
            cache={},
        )

    def rows(self, mentor_id: str, mentee_id: str) -> tuple[int, int] | None:
        """Find the rows of two people; None when one of them is not in the pool. **Touches** nothing."""
        mentor, mentee = self.mentors.row(mentor_id), self.mentees.row(mentee_id)
        return None if mentor is None or mentee is None else (mentor, mentee)


def build(
    mentors: Iterable[Candidate],
    mentees: Iterable[Candidate],
    *,
    reporting: Mapping[str, str | None],
    rules: Rules | None = None,
    weights: Weights | None = None,
    blocked: Iterable[tuple[str, str]] = (),
    dotted: Iterable[tuple[str, str]] = (),
    wishes: Iterable[tuple[str, str, int]] = (),
    kept: Iterable[tuple[str, str]] = (),
    criteria: Iterable[MatchCriterion] = (),
) -> Problem:
    """Turn people into columns.

    :param mentors: at most one per id, any order; `mentees` likewise. A person may be in both.
    :param reporting: person id -> manager's id for the whole company; cycles and unknown managers are fine.
    :param rules: None for the defaults; `weights` likewise.
    :param blocked: pairs of person ids that must not meet (again), in either order.
    :param dotted: pairs of person ids of which one also reports to the other, in either order.
    :param wishes: (who wishes, for whom, 1 for the first wish to 5).
    :param kept: (mentor id, mentee id) that an earlier run proposed.
    :raises ValueError: an id comes twice on one side, or a rank of a wish is outside 1-5.
    **Touches** nothing.
    """
    rules, weights = rules or Rules(), weights or Weights()
    both = _sorted_side(mentors), _sorted_side(mentees)
    skills = tuple(sorted({skill for side in both for one in side for skill in (*one.offers, *one.wants)}))
    sides = _sides(both, reporting, rules, weights, {skill: k for k, skill in enumerate(skills)})
    rows = tuple({person.id: k for k, person in enumerate(side)} for side in both)
    extra_keys, extra_points = _extras(rows, weights, wishes, kept)
    return Problem(
        *sides,
        skills,
        rules,
        weights,
        _either_way(rows, blocked),
        _either_way(rows, dotted),
        extra_keys,
        extra_points,
        tuple(criteria),
    )


def find_keys(keys: IntArray, wanted: IntArray) -> tuple[IntArray, BoolArray]:
    """Look keys up in sorted ones.

    :return: per wanted key a place in `keys` (any, when it is not there), and whether it is there.
    **Touches** nothing.
    """
    if len(keys) == 0:
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=bool)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, keys[at] == wanted


def join_ranges(starts: IntArray, ends: IntArray) -> IntArray:
    """Join the whole numbers of several ranges. **Touches** nothing."""
    counts = ends - starts
    if counts.sum() == 0:
        return np.zeros(0, dtype=np.int64)
    shift = np.repeat(starts - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    joined: IntArray = np.arange(counts.sum()) + shift
    return joined


def share_bit(a: WordArray, b: WordArray) -> BoolArray:
    """Say which rows of `b` (down) and of `a` (across) have at least one bit in common.

    **Touches** nothing.
    """
    common = np.zeros((len(b), len(a)), dtype=bool)
    for word in range(a.shape[1]):
        common |= (b[:, word, None] & a[None, :, word]) != 0
    return common


def kinds_that_share(a: WordArray, kind: SmallArray, b: WordArray) -> tuple[BoolArray, IntArray]:
    """Say with which rows of `a` some people have a bit in common; few of them differ, so the table is small.

    :param kind: per person a row of `b`.
    :return: a table of kinds by rows of `a`, and per person the row of the table, in the shape of `kind`.
    **Touches** nothing.
    """
    kinds, row = np.unique(kind, return_inverse=True)
    return share_bit(a, b[kinds]), row.reshape(kind.shape)


def _sorted_side(people: Iterable[Candidate]) -> tuple[Candidate, ...]:
    side = tuple(sorted(people, key=lambda candidate: candidate.id))
    if len({candidate.id for candidate in side}) < len(side):
        raise ValueError("a person is twice on one side")
    return side


def _sides(
    both: tuple[tuple[Candidate, ...], tuple[Candidate, ...]],
    reporting: Mapping[str, str | None],
    rules: Rules,
    weights: Weights,
    skill_numbers: Mapping[str, int],
) -> tuple[Side, Side]:
    own = {candidate.id: candidate.manager_id for side in both for candidate in side}
    intervals = number_reporting_lines({**own, **reporting})
    numbers: dict[str, int] = {}
    languages = {word: k for k, word in enumerate(sorted({w for s in both for c in s for w in c.languages}))}
    sides = []
    for role, people in zip(("mentor", "mentee"), both, strict=True):
        weight = weights.learning if role == "mentor" else weights.coverage
        columns = _plain_columns(role, people, rules, numbers)  # type: ignore[arg-type]
        spoken = [sum(1 << languages[word] for word in person.languages) for person in people]
        starts = [session_starts(person.hours, rules.min_common_minutes) for person in people]
        language, language_words = _classes(spoken, len(languages))
        hours, hours_words = _classes(starts, SLOTS_PER_WEEK)
        sides.append(
            Side(
                people=people,
                **{name: np.array(column, dtype=np.int32) for name, column in columns.items()},
                first=np.array([intervals[person.id][0] for person in people], dtype=np.int32),
                last=np.array([intervals[person.id][1] for person in people], dtype=np.int32),
                capacity=np.array([person.capacity for person in people], dtype=np.int64),
                language=language,
                language_words=language_words,
                hours=hours,
                hours_words=hours_words,
                offers=_offers(people, skill_numbers),
                wants=_wants(people, skill_numbers, weight, weights.priorities),
            )
        )
    return sides[0], sides[1]


def _plain_columns(
    role: Role, people: Sequence[Candidate], rules: Rules, numbers: dict[str, int]
) -> dict[str, list[int]]:
    unknown = -1 if role == "mentor" else -2

    def number(text: str | None) -> int:
        return numbers.setdefault(text, len(numbers)) if text else unknown

    hired = [person.hired_on.toordinal() if person.hired_on else 0 for person in people]
    if role == "mentor":
        ranks = [NEVER if person.rank is None else person.rank for person in people]
        limits = hired
    else:
        found = [junior_limits(rules, person) for person in people]
        ranks = [-NEVER if rank is None else rank for rank, _ in found]
        limits = [NEVER if day is None else day.toordinal() for _, day in found]
    return {
        "id": [number(person.id) for person in people],
        "rank": ranks,
        "hired_limit": limits,
        "hired": hired,
        "team": [number(person.manager_id) for person in people],
        "department": [number(person.department) for person in people],
        "site": [number(person.site) for person in people],
        "motivation": [person.motivation for person in people],
    }


def _classes(masks: Sequence[int], bits: int) -> tuple[SmallArray, WordArray]:
    """Give each different mask a number, and cut it into 64-bit words."""
    numbers: dict[int, int] = {}
    column = np.array([numbers.setdefault(mask, len(numbers)) for mask in masks], dtype=np.int32)
    words = math.ceil(max(bits, 1) / 64)
    packed = b"".join(mask.to_bytes(words * 8, "little") for mask in numbers)
    return column, np.frombuffer(packed, dtype="<u8").reshape(len(numbers), words)


def _offers(people: Sequence[Candidate], numbers: Mapping[str, int]) -> Skills:
    rows = [
        sorted((numbers[skill], level) for skill, level in person.offers.items() if level)
        for person in people
    ]
    flat = np.array([pair for row in rows for pair in row], dtype=np.int32).reshape(-1, 2)
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Skills(starts, flat[:, 0].copy(), flat[:, 1].copy())


def _wants(
    people: Sequence[Candidate], numbers: Mapping[str, int], weight: int, priorities: tuple[int, int, int]
) -> Skills:
    """Give wanted skills with their points: at least 1 for any offer, `weight` for everything wanted."""
    rows = []
    for person in people:
        everything = sum(priorities[priority - 1] for _, priority in person.wants.values())
        for skill, (wanted, priority) in sorted((numbers[s], want) for s, want in person.wants.items()):
            rows.append((skill, wanted, weight * priorities[priority - 1] // everything))
    flat = np.array(rows, dtype=np.int64).reshape(-1, 3)
    starts = np.concatenate([[0], np.cumsum([len(person.wants) for person in people])]).astype(np.int64)
    full, share = np.maximum(flat[:, 1:2], 1), flat[:, 2:3]
    points = np.maximum(1, share * np.minimum(np.arange(HIGHEST_LEVEL + 1), full) // full) * bool(weight)
    points[:, 0] = 0
    return Skills(starts, *(part.astype(np.int32) for part in (flat[:, 0], flat[:, 1], points)))


Rows = tuple[Mapping[str, int], ...]


def _either_way(rows: Rows, pairs: Iterable[tuple[str, str]]) -> IntArray:
    mentors, mentees = rows
    keys = [
        mentees[mentee] * max(len(mentors), 1) + mentors[mentor]
        for pair in pairs
        for mentor, mentee in (pair, pair[::-1])
        if mentor in mentors and mentee in mentees
    ]
    return np.unique(np.array(keys, dtype=np.int64))


def _extras(
    rows: Rows, weights: Weights, wishes: Iterable[tuple[str, str, int]], kept: Iterable[tuple[str, str]]
) -> tuple[IntArray, dict[str, IntArray]]:
    mentors, mentees = rows
    points: dict[str, dict[int, int]] = {name: {} for name in EXTRAS}
    for chooser, other, rank in wishes:
        if not 1 <= rank <= LAST_WISH:
            raise ValueError("the rank of a wish is outside 1-5")
        for mentor, mentee in ((chooser, other), (other, chooser)):
            if mentor in mentors and mentee in mentees:
                key = mentees[mentee] * len(mentors) + mentors[mentor]
                part = weights.wishes // 2 * (LAST_WISH + 1 - rank) // LAST_WISH
                points["wishes"][key] = points["wishes"].get(key, 0) + part
    for mentor, mentee in kept:
        if mentor in mentors and mentee in mentees:
            points["kept"][mentees[mentee] * len(mentors) + mentors[mentor]] = weights.kept
    keys = np.array(sorted({*points["wishes"], *points["kept"]}), dtype=np.int64)
    columns = {
        name: np.array([values.get(int(key), 0) for key in keys], dtype=np.int64)
        for name, values in points.items()
    }
    return keys, columns
