"""Who takes part in a matching, by which hard rules and with which weights. Whole numbers only."""

import calendar
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import product
from typing import Literal
from zoneinfo import ZoneInfo

from rmplugin.errors import InputError

Role = Literal["mentor", "mentee"]

SLOT_MINUTES = 15  # Every time zone in use today is a multiple of a quarter of an hour away from UTC.
SLOTS_PER_DAY = 24 * 60 // SLOT_MINUTES
SLOTS_PER_WEEK = 7 * SLOTS_PER_DAY
HIGHEST_LEVEL = 4

# The order is the order of telling: the first one that removes everybody is named as the reason.
RULE_CODES = (
    "same_person",
    "no_candidate_skill",
    "no_junior",
    "reporting_line",
    "same_team",
    "same_department",
    "language",
    "hours",
    "blocked",
    "criterion",
)
# What every pair can earn; the default weights of these add up to 100,000.
FACTORS = ("coverage", "learning", "motivation", "other_department", "other_site", "tenure")
# What some pairs earn on top.
EXTRAS = ("wishes", "kept")
LAST_WISH = 5

_LEVELS = frozenset(range(HIGHEST_LEVEL + 1))
_WANTS = frozenset(product(_LEVELS, (1, 2, 3)))


@dataclass(frozen=True, slots=True)
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
        if not (_LEVELS.issuperset(self.offers.values()) and _WANTS.issuperset(self.wants.values())):
            raise ValueError("a skill level is outside 0-4, or a priority outside 1-3")
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
    :param wishes: on top: each of the two named the other as a first wish; half of it when one did, and less
        for a later wish.
    :param kept: on top: an earlier run proposed the pair, so that a small change moves few people.
    :param priorities: how heavy a skill of priority 1, 2, 3 weighs among the wanted ones.
    """

    version: int = 1
    coverage: int = 60_000
    learning: int = 16_000
    motivation: int = 12_000
    other_department: int = 4_000
    other_site: int = 2_000
    tenure: int = 6_000
    wishes: int = 20_000
    kept: int = 0
    priorities: tuple[int, int, int] = (4, 2, 1)

    def __post_init__(self) -> None:
        points = [getattr(self, factor) for factor in (*FACTORS, *EXTRAS)]
        if self.coverage < 1 or min(points) < 0 or sum(points) >= 2**24 or min(self.priorities) < 1:
            raise ValueError("weights must be whole, not negative, below 2**24 in total, coverage above 0")


def junior_limits(rules: Rules, mentee: Candidate) -> tuple[int | None, date | None]:
    """Give the highest rank and the first day of hiring that make a mentor junior to a mentee.

    :return: None for a way that the rules or the mentee's data leave no room for.
    **Touches** nothing.
    """
    rank = mentee.rank - rules.min_rank_gap if rules.junior_by_rank and mentee.rank is not None else None
    if not rules.junior_by_tenure or mentee.hired_on is None:
        return rank, None
    day, months = mentee.hired_on, rules.min_tenure_gap_months
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    # The 31st becomes the last day of a shorter month.
    later = date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
    return rank, max(later, day + timedelta(days=1))


def junior_by(rules: Rules, mentor: Candidate, mentee: Candidate) -> list[str]:
    """Say in which ways a mentor is junior: "grade", "tenure", both or neither. **Touches** nothing."""
    rank, day = junior_limits(rules, mentee)
    ways = {
        "grade": rank is not None and mentor.rank is not None and mentor.rank <= rank,
        "tenure": day is not None and mentor.hired_on is not None and mentor.hired_on >= day,
    }
    return [way for way, holds in ways.items() if holds]


def failed_rules(bits: int) -> list[str]:
    """Name the rules that the bits of one pair stand for: bit k is `RULE_CODES[k]`.

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


def session_starts(hours: int, minutes: int) -> int:
    """Keep the times at which a session could start: two people can meet when they share one such time.

    :param hours: from `working_hours_mask`; `minutes` is cut up to whole quarters of an hour, at least one.
    **Touches** nothing.
    """
    starts = hours
    for later in range(1, math.ceil(minutes / SLOT_MINUTES)):
        starts &= hours >> later | (hours & ((1 << later) - 1)) << (SLOTS_PER_WEEK - later)
    return starts
