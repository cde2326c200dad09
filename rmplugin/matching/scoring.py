"""Which mentor and mentee may meet, and the points that each factor gives to a pair. Integers only."""

import bisect
import calendar
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from rmplugin.errors import InputError

Role = Literal["mentor", "mentee"]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

SLOT_MINUTES = 15  # Every time zone in use today is a multiple of a quarter of an hour away from UTC.
SLOTS_PER_DAY = 24 * 60 // SLOT_MINUTES
SLOTS_PER_WEEK = 7 * SLOTS_PER_DAY
HIGHEST_LEVEL = 4
TENURE_STEP_DAYS = 730
TENURE_STEPS = 4
ROWS_PER_BLOCK = 256

# The order is the order of telling: the first one that removes everybody is named as the reason.
RULE_CODES = (
    "same_person",
    "no_candidate_skill",
    "no_junior",
    "reporting_line",
    "same_team",
    "language",
    "hours",
    "blocked",
)
FACTORS = ("coverage", "learning", "motivation", "other_department", "other_site", "tenure")


@dataclass(frozen=True)
class Candidate:
    """One person in one role of one programme, as the matching sees them. There is no birth date on purpose.

    :param id: stable id; decides ties, so that the order of the input never does.
    :param rank: seniority, higher is more senior; None when the company did not say.
    :param hired_on: first day of work; None when the company did not say.
    :param manager_id: direct manager; people with the same one are a team. None for the head, or unknown.
    :param department: id or name; None when unknown.
    :param site: id or name; None when unknown.
    :param hours: weekly working time in UTC, from `working_hours_mask`; 0 when there is none.
    :param capacity: how many partners this person can still take, 0 or more.
    :param motivation: 1 to 5, as asked at enrolment.
    :param offers: skill id -> level 1-4; level 0 offers nothing.
    :param wants: skill id -> (level 0-4, priority 1-3), 1 being the most wanted.
    """

    id: str
    role: Role
    rank: int | None = None
    hired_on: date | None = None
    manager_id: str | None = None
    department: str | None = None
    site: str | None = None
    languages: frozenset[str] = frozenset()
    hours: int = 0
    capacity: int = 1
    motivation: int = 3
    offers: Mapping[str, int] = field(default_factory=dict)
    wants: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        levels = [*self.offers.values(), *(level for level, _ in self.wants.values())]
        if not all(0 <= level <= HIGHEST_LEVEL for level in levels):
            raise ValueError("a skill level is outside 0-4")
        if not all(1 <= priority <= 3 for _, priority in self.wants.values()):
            raise ValueError("a priority is outside 1-3")
        if self.capacity < 0 or not 1 <= self.motivation <= 5:
            raise ValueError("capacity is negative or motivation is outside 1-5")


@dataclass(frozen=True)
class Rules:
    """The hard rules that a programme can set. No weight can buy a pair past them.

    :param min_rank_gap: grades that a mentor must stand below the mentee to be junior by grade, 1 or more.
    :param min_tenure_gap_months: months that a mentor must have been hired after the mentee; always later.
    :param junior_by_rank, junior_by_tenure: what makes a mentor junior: grade, hire date; one is enough.
    :param min_common_minutes: working time in one piece that both share each week: one session; 0 asks none.
    :param bar_same_team, bar_same_department, needs_language: which of these rules hold.
    """

    min_rank_gap: int = 1
    min_tenure_gap_months: int = 12
    junior_by_rank: bool = True
    junior_by_tenure: bool = True
    min_common_minutes: int = 60
    bar_same_team: bool = True
    bar_same_department: bool = False
    needs_language: bool = True

    def __post_init__(self) -> None:
        if self.min_rank_gap < 1 or self.min_tenure_gap_months < 0 or self.min_common_minutes < 0:
            raise ValueError("a gap or a time in the rules is too small")
        if not (self.junior_by_rank or self.junior_by_tenure):
            raise ValueError("a mentor must be junior by grade or by tenure")


@dataclass(frozen=True)
class Weights:
    """The most points that each factor can give. The defaults add up to 100,000.

    :param version: goes up whenever a default changes, so that an old run can be explained.
    :param coverage: wanted skills of the mentee that the mentor offers; the main term, never 0.
    :param learning: wanted skills of the mentor that the mentee offers.
    :param motivation: both, 1-5 each.
    :param other_department, other_site: both known and different.
    :param tenure: hire dates apart, in steps of two years up to eight.
    :param wishes: what both said on their short lists; 0 leaves the lists out.
    :param priorities: how heavy a skill of priority 1, 2, 3 weighs among the wanted ones.
    """

    version: int = 1
    coverage: int = 60_000
    learning: int = 16_000
    motivation: int = 12_000
    other_department: int = 4_000
    other_site: int = 2_000
    tenure: int = 6_000
    wishes: int = 0
    priorities: tuple[int, int, int] = (4, 2, 1)

    def __post_init__(self) -> None:
        points = [getattr(self, factor) for factor in FACTORS]
        if self.coverage < 1 or min(points) < 0 or sum(points) >= 2**24 or min(self.priorities) < 1:
            raise ValueError("weights must be whole, not negative, below 2**24 in total, coverage above 0")


@dataclass(frozen=True, eq=False)
class PairTable:
    """Every allowed pair with its points, and for every other pair the rules that bar it.

    :param mentors: sorted by id; `mentees` likewise.
    :param mentor: per allowed pair the row in `mentors`; `mentee` likewise. Sorted by mentee, then mentor.
    :param score: per allowed pair its total, at least 1.
    :param factors: per factor one array; they add up to `score` exactly.
    :param bars: mentees by mentors; bit k is set when `RULE_CODES[k]` bars the pair.
    """

    mentors: tuple[Candidate, ...]
    mentees: tuple[Candidate, ...]
    mentor: IntArray
    mentee: IntArray
    score: IntArray
    factors: Mapping[str, IntArray]
    bars: npt.NDArray[np.uint16]

    def find(self, mentor_id: str, mentee_id: str) -> int | None:
        """Give the row of an allowed pair.

        :return: None when the pair is barred or one of the two is not in the table.
        **Touches** nothing.
        """
        row = _position(self.mentors, mentor_id)
        column = _position(self.mentees, mentee_id)
        if row is None or column is None:
            return None
        keys = self.mentee * len(self.mentors) + self.mentor
        at = int(np.searchsorted(keys, column * len(self.mentors) + row))
        return at if at < len(keys) and self.mentor[at] == row and self.mentee[at] == column else None

    def contributions(self, pair: int) -> dict[str, int]:
        """Give the points of one allowed pair by factor; they add up to its score.

        :param pair: row, from `find` or a solution.
        **Touches** nothing.
        """
        return {factor: int(points[pair]) for factor, points in self.factors.items()}


def build(
    mentors: Iterable[Candidate],
    mentees: Iterable[Candidate],
    *,
    reporting: Mapping[str, str | None],
    rules: Rules | None = None,
    weights: Weights | None = None,
    blocked: Iterable[tuple[str, str]] = (),
) -> PairTable:
    """Check and score every pair of a mentor and a mentee.

    :param mentors: at most one per id, any order; `mentees` likewise. A person may be in both.
    :param reporting: person id -> manager's id for the whole company; cycles and unknown managers are fine.
    :param rules: None for the defaults; `weights` likewise.
    :param blocked: pairs of person ids that must not meet (again), in either order.
    :raises ValueError: an id comes twice on one side.
    **Touches** nothing; memory grows with mentors times mentees, meant for about 2,000 each.
    """
    rules, weights = rules or Rules(), weights or Weights()
    sides = _sorted_side(mentors), _sorted_side(mentees)
    coverage = _skill_points(sides[1], sides[0], weights.coverage, weights.priorities)
    columns = _columns(sides, reporting, rules)
    bars = _bars(sides, columns, rules, blocked, coverage == 0)
    mentee, mentor = (indices.astype(np.int64) for indices in np.nonzero(bars == 0))
    learning = _skill_points(sides[0], sides[1], weights.learning, weights.priorities)
    a = {name: values[mentor] for name, values in columns[0].items()}
    b = {name: values[mentee] for name, values in columns[1].items()}
    factors = {
        "coverage": coverage[mentee, mentor].astype(np.int64),
        "learning": learning[mentor, mentee].astype(np.int64),
        **_plain_factors(a, b, weights),
    }
    score = np.zeros(len(mentor), dtype=np.int64)
    for points in factors.values():
        score += points
    return PairTable(*sides, mentor, mentee, score, factors, bars)


def check_pair(
    mentor: Candidate,
    mentee: Candidate,
    *,
    reporting: Mapping[str, str | None],
    rules: Rules | None = None,
    blocked: Iterable[tuple[str, str]] = (),
) -> list[str]:
    """Give the rules that one pair fails, by the same code that `build` uses for all of them.

    :return: codes out of `RULE_CODES`; empty when the pair is allowed.
    **Touches** nothing.
    """
    table = build([mentor], [mentee], reporting=reporting, rules=rules, blocked=blocked)
    return failed_rules(int(table.bars[0, 0]))


def failed_rules(bits: int) -> list[str]:
    """Name the rules in one cell of `PairTable.bars`.

    **Touches** nothing.
    """
    return [code for k, code in enumerate(RULE_CODES) if bits >> k & 1]


def working_hours_mask(days: Collection[int], start: time, end: time, zone: str, on: date) -> int:
    """Turn working days and hours at a place into a week in UTC, one bit per quarter of an hour.

    :param days: 0 for Monday to 6 for Sunday; a shift over midnight belongs to the day on which it starts.
    :param start: local wall time, cut to the quarters of an hour that lie wholly inside; `end` likewise.
    :param end: at or before `start` means on the next day.
    :param zone: IANA name.
    :param on: the day whose summer or winter time counts.
    :return: bit 0 is Monday 00:00 UTC, bit 671 Sunday 23:45 UTC.
    :raises InputError: the zone is unknown.
    **Touches** nothing.
    """
    try:
        offset = datetime.combine(on, time(12), ZoneInfo(zone)).utcoffset()
    except (KeyError, ValueError, OSError) as error:
        raise InputError(
            "unknown_time_zone",
            "This time zone is not known. Nothing was saved. Choose one like Europe/Berlin.",
            {"time_zone": "unknown"},
        ) from error
    shift = round(offset.total_seconds() / 60 / SLOT_MINUTES) if offset else 0
    first = math.ceil((start.hour * 60 + start.minute) / SLOT_MINUTES)
    last = (end.hour * 60 + end.minute) // SLOT_MINUTES + (SLOTS_PER_DAY if end <= start else 0)
    mask = 0
    for day in days:
        for slot in range(first, last):
            mask |= 1 << (day * SLOTS_PER_DAY + slot - shift) % SLOTS_PER_WEEK
    return mask


def number_reporting_lines(reporting: Mapping[str, str | None]) -> dict[str, tuple[int, int]]:
    """Give each person an interval of numbers that contains the intervals of everybody below.

    One person stands above another, at any depth, exactly when the one interval contains the other. People
    whose managers form a circle share one interval, so each of them counts as above all the others.

    :param reporting: person id -> manager's id or None; a manager without a row of their own is a head.
    :return: person id -> (first, last), both included.
    **Source** Euler tour of a forest. **Touches** nothing.
    """
    tree = dict(reporting)
    tree.update({manager: None for manager in reporting.values() if manager and manager not in tree})
    circle = _circle_heads(tree)
    roots = []
    reports: dict[str, list[str]] = {}
    for person, manager in tree.items():
        if circle.get(person, person) != person:
            continue
        if not manager or person in circle:
            roots.append(person)
        else:
            reports.setdefault(circle.get(manager, manager), []).append(person)
    intervals = dict(_tour(roots, reports))
    intervals.update({person: intervals[head] for person, head in circle.items()})
    return intervals


def _circle_heads(tree: Mapping[str, str | None]) -> dict[str, str]:
    """Give for each person in a circle of managers the one person that stands for the circle."""
    heads: dict[str, str] = {}
    walk_of: dict[str, str] = {}
    for start in tree:
        person: str | None = start
        path = []
        while person and person not in walk_of:
            walk_of[person] = start
            path.append(person)
            person = tree[person]
        if person and walk_of[person] == start:
            circle = path[path.index(person) :]
            heads.update(dict.fromkeys(circle, min(circle)))
    return heads


def _tour(roots: Iterable[str], reports: Mapping[str, list[str]]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Walk the trees depth first; not by recursion, because a bad file can be thousands of levels deep."""
    count = 0
    first: dict[str, int] = {}
    stack = [(root, False) for root in roots]
    while stack:
        person, done = stack.pop()
        if done:
            yield person, (first[person], count - 1)
            continue
        first[person] = count
        count += 1
        stack.append((person, True))
        stack.extend((report, False) for report in reports.get(person, ()))


def _sorted_side(people: Iterable[Candidate]) -> tuple[Candidate, ...]:
    side = tuple(sorted(people, key=lambda candidate: candidate.id))
    if len({candidate.id for candidate in side}) < len(side):
        raise ValueError("a person is twice on one side")
    return side


def _position(side: Sequence[Candidate], person_id: str) -> int | None:
    at = bisect.bisect_left(side, person_id, key=lambda candidate: candidate.id)
    return at if at < len(side) and side[at].id == person_id else None


def _skill_points(
    wanters: Sequence[Candidate], offerers: Sequence[Candidate], weight: int, priorities: tuple[int, int, int]
) -> npt.NDArray[np.int32]:
    """Score what the second offer of what the first want: at least 1 per skill, `weight` for everything."""
    points = np.zeros((len(wanters), len(offerers)), dtype=np.int32)
    if weight == 0:
        return points
    row_of = {skill: k for k, skill in enumerate(sorted({skill for one in wanters for skill in one.wants}))}
    levels = np.zeros((len(row_of), len(offerers)), dtype=np.uint8)
    for column, offerer in enumerate(offerers):
        for skill, level in offerer.offers.items():
            if skill in row_of:
                levels[row_of[skill], column] = level
    for row, wanter in enumerate(wanters):
        everything = sum(priorities[priority - 1] for _, priority in wanter.wants.values())
        for skill, (wanted, priority) in wanter.wants.items():
            share = weight * priorities[priority - 1] // everything
            full = max(wanted, 1)
            by_level = [0, *(max(1, share * min(k, full) // full) for k in range(1, HIGHEST_LEVEL + 1))]
            points[row] += np.array(by_level, dtype=np.int32)[levels[row_of[skill]]]
    return points


def _columns(
    sides: Sequence[Sequence[Candidate]], reporting: Mapping[str, str | None], rules: Rules
) -> list[dict[str, IntArray]]:
    """Turn what is one number per person into arrays, per side; -1 or day 0 means unknown."""
    own = {candidate.id: candidate.manager_id for side in sides for candidate in side}
    intervals = number_reporting_lines({**own, **reporting})
    numbers: dict[str, int] = {}

    def number(text: str | None) -> int:
        return numbers.setdefault(text, len(numbers)) if text else -1

    columns = []
    for side in sides:
        hired = [candidate.hired_on for candidate in side]
        values = {
            "id": [number(candidate.id) for candidate in side],
            "team": [number(candidate.manager_id) for candidate in side],
            "department": [number(candidate.department) for candidate in side],
            "site": [number(candidate.site) for candidate in side],
            "motivation": [candidate.motivation for candidate in side],
            "first": [intervals[candidate.id][0] for candidate in side],
            "last": [intervals[candidate.id][1] for candidate in side],
            "ranked": [candidate.rank is not None for candidate in side],
            "rank": [candidate.rank or 0 for candidate in side],
            "hired": [day.toordinal() if day else 0 for day in hired],
            "enough": [_months_after(day, rules.min_tenure_gap_months) if day else 0 for day in hired],
        }
        columns.append({name: np.array(column, dtype=np.int64) for name, column in values.items()})
    return columns


def _months_after(day: date, months: int) -> int:
    """Give a day number; the 31st becomes the last day of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1])).toordinal()


def _plain_factors(
    a: Mapping[str, IntArray], b: Mapping[str, IntArray], weights: Weights
) -> dict[str, IntArray]:
    """Score what is one number per person; `a` and `b` hold mentor and mentee of each allowed pair."""
    steps = np.minimum(np.abs(a["hired"] - b["hired"]) // TENURE_STEP_DAYS, TENURE_STEPS)
    dated = (a["hired"] > 0) & (b["hired"] > 0)

    def differ(name: str) -> BoolArray:
        differs: BoolArray = (a[name] >= 0) & (b[name] >= 0) & (a[name] != b[name])
        return differs

    return {
        "motivation": weights.motivation * (a["motivation"] + b["motivation"]) // 10,
        "other_department": weights.other_department * differ("department"),
        "other_site": weights.other_site * differ("site"),
        "tenure": weights.tenure * steps * dated // TENURE_STEPS,
    }


def _plain_tests(a: Mapping[str, IntArray], b: Mapping[str, IntArray], rules: Rules) -> dict[str, BoolArray]:
    """Give per rule which pairs fail it: `a` is a row of mentors, `b` a column of mentees."""
    gap = b["rank"] - a["rank"] >= rules.min_rank_gap
    by_rank = (a["ranked"] == 1) & (b["ranked"] == 1) & gap & rules.junior_by_rank
    later = (b["hired"] > 0) & (a["hired"] > b["hired"]) & (a["hired"] >= b["enough"])
    above = (a["first"] <= b["first"]) & (b["first"] <= a["last"])
    below = (b["first"] <= a["first"]) & (a["first"] <= b["last"])
    same = a["id"] == b["id"]
    return {
        "same_person": same,
        "no_junior": ~(by_rank | later & rules.junior_by_tenure),
        "reporting_line": (above | below) & ~same,
        "same_team": (a["team"] == b["team"]) & (a["team"] >= 0) & ~same,
    }


def _bars(
    sides: Sequence[Sequence[Candidate]],
    columns: Sequence[Mapping[str, IntArray]],
    rules: Rules,
    blocked: Iterable[tuple[str, str]],
    no_skill: BoolArray,
) -> npt.NDArray[np.uint16]:
    """Test each pair against each rule, some rows of mentees at a time to keep what lies between small."""
    mentors, mentees = sides
    bars = np.zeros(no_skill.shape, dtype=np.uint16)
    spoken = _language_words(sides)
    slots = math.ceil(rules.min_common_minutes / SLOT_MINUTES)
    free = [_words([_session_starts(c.hours, slots) for c in side], SLOTS_PER_WEEK) for side in sides]
    a = {name: values[None, :] for name, values in columns[0].items()}
    for low in range(0, len(mentees), ROWS_PER_BLOCK):
        block = slice(low, low + ROWS_PER_BLOCK)
        tests = _plain_tests(a, {name: values[block, None] for name, values in columns[1].items()}, rules)
        tests["no_candidate_skill"] = no_skill[block]
        tests["language"] = ~_share(spoken[0], spoken[1][block])
        if slots:
            tests["hours"] = ~_share(free[0], free[1][block])
        for code, failed in tests.items():
            bars[block] |= failed.astype(np.uint16) << np.uint16(RULE_CODES.index(code))
    for pair in blocked:
        for mentor_id, mentee_id in (pair, pair[::-1]):
            row, column = _position(mentors, mentor_id), _position(mentees, mentee_id)
            if row is not None and column is not None:
                bars[column, row] |= 1 << RULE_CODES.index("blocked")
    return bars


def _share(a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64]) -> BoolArray:
    """Say which pairs have at least one bit in common."""
    common = np.zeros((len(b), len(a)), dtype=bool)
    for word in range(a.shape[1]):
        common |= (b[:, word, None] & a[None, :, word]) != 0
    return common


def _language_words(sides: Sequence[Sequence[Candidate]]) -> list[npt.NDArray[np.uint64]]:
    known = {language for side in sides for candidate in side for language in candidate.languages}
    bit = {language: 1 << k for k, language in enumerate(sorted(known))}
    return [_words([sum(bit[word] for word in c.languages) for c in side], len(bit)) for side in sides]


def _session_starts(hours: int, slots: int) -> int:
    """Keep the times at which a session could start: two people can meet when they share one such time."""
    starts = hours
    for later in range(1, slots):
        starts &= hours >> later | (hours & ((1 << later) - 1)) << (SLOTS_PER_WEEK - later)
    return starts


def _words(masks: Sequence[int], bits: int) -> npt.NDArray[np.uint64]:
    """Cut whole numbers of any length into rows of 64-bit words."""
    words = math.ceil(max(bits, 1) / 64)
    packed = b"".join(mask.to_bytes(words * 8, "little") for mask in masks)
    return np.frombuffer(packed, dtype="<u8").reshape(len(masks), words)
