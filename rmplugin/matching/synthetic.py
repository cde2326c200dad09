"""A made-up company for measuring the matching: the same people for the same size and seed, anywhere."""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from itertools import accumulate, product
from random import Random

from rmplugin.matching.scoring import Candidate, Role, working_hours_mask

SKILLS = tuple(f"skill-{number:03}" for number in range(300))
SITES = tuple(f"site-{number:02}" for number in range(20))
DEPARTMENTS = tuple(f"department-{number:02}" for number in range(30))
REPORTS = 8
# How many in a hundred speak it.
SPOKEN = {"en": 50, "de": 25, "fr": 15, "es": 15, "it": 10, "pl": 8, "nl": 7, "pt": 6}
ZONES = {
    "Europe/Berlin": 40,
    "Europe/London": 15,
    "America/New_York": 15,
    "America/Sao_Paulo": 10,
    "Asia/Kolkata": 10,
    "Asia/Tokyo": 10,
}
FIRST_HOURS = (7, 8, 9)
WORKING_HOURS = 8
DAY = date(2026, 11, 26)
FIRST_HIRED, DAYS_OF_HIRING = date(2008, 1, 1), 6_500
RANKS: Mapping[Role, tuple[int, int]] = {"mentor": (1, 7), "mentee": (3, 9)}


@dataclass(frozen=True, eq=False)
class Company:
    """As many mentors as mentees, and who reports to whom."""

    mentors: Sequence[Candidate]
    mentees: Sequence[Candidate]
    reporting: Mapping[str, str | None]


def make_company(size: int, seed: int = 1, most_partners: int = 1) -> Company:
    """Make up people of whom one pair in eight or so is allowed by the default rules.

    Skills are as unevenly liked as words are (Zipf): a few are wanted and offered by very many.

    :param size: mentors, and as many mentees.
    :param most_partners: capacities are from 1 to this.
    **Touches** nothing.
    """
    draw = _Draw(Random(seed))  # noqa: S311 - People who do not exist need no secrecy.
    numbers = list(range(2 * size))
    draw.random.shuffle(numbers)
    mentors = [draw.person("mentor", number, most_partners) for number in numbers[:size]]
    mentees = [draw.person("mentee", number, most_partners) for number in numbers[size:]]
    return Company(mentors, mentees, {_id(number): _manager(number) for number in range(2 * size)})


def _id(number: int) -> str:
    return f"person-{number:07}"


def _manager(number: int) -> str | None:
    return _id((number - 1) // REPORTS) if number else None


class _Draw:
    """Draws everything about a person."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.skills = list(accumulate(1 / place**0.9 for place in range(1, len(SKILLS) + 1)))
        self.hours = {
            (zone, first): working_hours_mask(range(5), time(first), time(first + WORKING_HOURS), zone, DAY)
            for zone, first in product(ZONES, FIRST_HOURS)
        }
        self.zones = list(ZONES), list(accumulate(ZONES.values()))

    def person(self, role: Role, number: int, most_partners: int) -> Candidate:
        draw = self.random
        zone = draw.choices(self.zones[0], cum_weights=self.zones[1])[0]
        return Candidate(
            id=_id(number),
            role=role,
            rank=draw.randint(*RANKS[role]),
            hired_on=FIRST_HIRED + timedelta(days=draw.randrange(DAYS_OF_HIRING)),
            manager_id=_manager(number),
            department=draw.choice(DEPARTMENTS),
            site=draw.choice(SITES),
            languages=self._languages(),
            hours=self.hours[zone, draw.choice(FIRST_HOURS)],
            capacity=draw.randint(1, most_partners),
            motivation=draw.randint(1, 5),
            offers={skill: draw.randint(1, 4) for skill in self._skills(3, 8)},
            wants={skill: (draw.randint(1, 4), draw.randint(1, 3)) for skill in self._skills(2, 5)},
        )

    def _languages(self) -> frozenset[str]:
        while True:
            spoken = frozenset(code for code, share in SPOKEN.items() if self.random.randrange(100) < share)
            if spoken:
                return spoken

    def _skills(self, fewest: int, most: int) -> list[str]:
        wanted, found = self.random.randint(fewest, most), dict[str, None]()
        while len(found) < wanted:
            found[SKILLS[bisect.bisect(self.skills, self.random.random() * self.skills[-1])]] = None
        return list(found)
