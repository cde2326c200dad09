"""What the people of the sample company offer, want and write about themselves."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from rmplugin.demo.company import Company, Employee
from rmplugin.demo.company_data import DIRECTOR


@dataclass(frozen=True, slots=True)
class SkillEntry:
    """One line of the demo programme's catalogue.

    :param kind: "skill", or "perspective" for something that a person knows from their own life.
    :param side: who mostly offers it: juniors ("mentor"), seniors ("mentee") or everybody ("both").
    :param crafts: departments where it is at home; empty for all.
    """

    name: str
    kind: Literal["skill", "perspective"]
    side: Literal["mentor", "mentee", "both"] = "mentor"
    crafts: tuple[str, ...] = ()


CATALOGUE = (
    SkillEntry("Generative AI tools", "skill"),
    SkillEntry("Data visualisation", "skill", crafts=("Data", "Finance", "Engineering")),
    SkillEntry("Spreadsheets beyond the basics", "skill", crafts=("Finance", "Data", "Operations")),
    SkillEntry("Social media", "skill", crafts=("Marketing", "Sales")),
    SkillEntry("Short video", "skill", crafts=("Marketing",)),
    SkillEntry("Collaboration tools", "skill"),
    SkillEntry("Automation without code", "skill", crafts=("Operations", "Customer Care", "Engineering")),
    SkillEntry("Privacy in everyday apps", "skill", crafts=("Legal and Risk", "Engineering")),
    SkillEntry("User research", "skill", crafts=("Product", "Customer Care")),
    SkillEntry("Software development today", "skill", crafts=("Engineering", "Data")),
    SkillEntry("Online communities", "skill", crafts=("Marketing", "Customer Care", "Product")),
    SkillEntry("Digital accessibility", "skill", crafts=("Product", "Engineering", "Legal and Risk")),
    SkillEntry("Inclusive language", "perspective"),
    SkillEntry(
        "Customer voice of younger buyers", "perspective", crafts=("Sales", "Customer Care", "Marketing")
    ),
    SkillEntry("Newcomer's view of onboarding", "perspective"),
    SkillEntry("What early careers expect from work", "perspective"),
    SkillEntry("Hybrid work from the junior side", "perspective"),
    SkillEntry("Sustainability in daily decisions", "perspective"),
    SkillEntry("Working across cultures", "perspective", side="both"),
    SkillEntry("Feedback culture", "perspective", side="both"),
    SkillEntry("Company strategy", "skill", side="mentee"),
    SkillEntry("Stakeholder management", "skill", side="mentee"),
    SkillEntry("Budgeting", "skill", side="mentee"),
    SkillEntry("Leading through change", "skill", side="mentee"),
    SkillEntry("Negotiation", "skill", side="mentee", crafts=("Sales", "Legal and Risk", "Finance")),
)


@dataclass(frozen=True, slots=True)
class SampleProfile:
    """What one person would enter in the enrolment form.

    :param offers: skill -> level 1 (have tried it) .. 4 (can teach it).
    :param wants: skill -> level 1..4 the person would like to reach, the most important first.
    :param languages: ISO 639-1 codes, the preferred one first.
    :param working_hours: first and last hour of the usual day, local time in `time_zone`, as "HH:MM".
    :param motivation: 1 (curious) .. 5 (cannot wait).
    :param capacity: partners at the same time, 1..2.
    :param by_hand: True for the few that the demo leaves for the visitor to enrol.
    """

    employee_number: str
    role: Literal["mentor", "mentee"]
    offers: dict[str, int]
    wants: dict[str, int]
    languages: tuple[str, ...]
    working_hours: tuple[str, str]
    time_zone: str
    motivation: int
    motivation_text: str
    capacity: int
    by_hand: bool


MENTEE_TEXTS = (
    "I decide about {want} every week and have not done it myself for years. I want to see it done.",
    "My teams are younger than I am. I would like to hear what they do not tell me, starting with {want}.",
    "I have read enough about {want}. I learn better with somebody who asks me to try it.",
    "When I joined, we wrote memos. I would like to unlearn a few habits and get better at {want}.",
    "Our customers change faster than our meetings. {want} is where I feel it most.",
)
MENTOR_TEXTS = (
    "Friends keep asking me about {offer}, so I think I can explain it without jargon.",
    "I like showing things step by step. {offer} is what I use every day.",
    "I would like to know how decisions are made here, and I can give something back: {offer}.",
    "I started not long ago and still see what is odd. I can talk about {offer} openly.",
    "I taught {offer} at university and miss it. I am also curious about {want}.",
)


MANY = 20
# Nobody among the mentors has this language, an hour in a lunch break, or this skill to offer.
HARD_TO_PLACE: tuple[dict[str, Any], ...] = (
    {"languages": ("tr",)},
    {"working_hours": ("12:15", "13:00")},
    {
        "wants": {"Negotiation": 3},
        "offers": {"Company strategy": 4, "Budgeting": 3},
        "motivation_text": "I would like to see how the young negotiate today, and get better at it myself.",
    },
)
SCARCE, MUCH = "Digital accessibility", 3


def sample_profiles(company: Company) -> list[SampleProfile]:
    """Fill in the enrolment form for every mentor and mentee in the demo's course.

    The same company always gives the same profiles.

    In a larger company three mentees can have no mentor, each for another reason, and one skill is scarce.

    :return: mentees first, then mentors, by employee number; those of `company.by_hand` are marked.

    **Touches**: pure.
    """
    rng = random.Random(f"profiles {company.seed}")  # noqa: S311 - the same profiles every time is the point.
    profiles = make_profiles(rng, company, company.mentees, company.mentors)
    if len(company.mentees) < MANY:
        return profiles
    hard = iter(HARD_TO_PLACE)
    known = company.by_number()
    return [
        _scarce(profile)
        if profile.role == "mentor"
        else replace(profile, **next(hard, {}))
        if known[profile.employee_number].level == DIRECTOR and not profile.by_hand
        else profile
        for profile in profiles
    ]


def _scarce(profile: SampleProfile) -> SampleProfile:
    """Take the scarce skill from those who have more to offer than that, and do not put it first."""
    first, *more = profile.offers
    if SCARCE not in more or len(more) < MUCH:
        return profile
    return replace(
        profile, offers={skill: profile.offers[skill] for skill in (first, *more) if skill != SCARCE}
    )


def make_profiles(
    rng: random.Random, company: Company, mentees: Iterable[str], mentors: Iterable[str]
) -> list[SampleProfile]:
    """Fill in the enrolment form for some people of a company.

    :param mentees, mentors: employee numbers.
    :return: mentees first, then mentors, in the order given; those of `company.by_hand` are marked.

    **Touches** `rng`.
    """
    known = company.by_number()
    return [
        make(rng, known[number], by_hand=number in company.by_hand)
        for make, numbers in ((_mentee, mentees), (_mentor, mentors))
        for number in numbers
    ]


def _choose(rng: random.Random, entries: list[SkillEntry], person: Employee, count: int) -> list[SkillEntry]:
    """Choose entries, those of the person's own department three times as likely."""
    left = list(entries)
    chosen: list[SkillEntry] = []
    while left and len(chosen) < count:
        weights = [_weight(entry, person) for entry in left]
        entry = rng.choices(left, weights)[0]
        left.remove(entry)
        chosen.append(entry)
    return chosen


def _weight(entry: SkillEntry, person: Employee) -> int:
    if not entry.crafts:
        return 2
    return 3 if person.department.name in entry.crafts else 1


def _of_side(*sides: str) -> list[SkillEntry]:
    return [entry for entry in CATALOGUE if entry.side in sides]


def _mentor(rng: random.Random, person: Employee, *, by_hand: bool) -> SampleProfile:
    offered = _choose(rng, _of_side("mentor", "both"), person, rng.randint(3, 6))
    offers = {entry.name: rng.choice((2, 3, 3, 4)) for entry in offered}
    wanted = _choose(rng, _of_side("mentee"), person, rng.randint(1, 3))
    wants = {entry.name: rng.choice((1, 2, 2, 3)) for entry in wanted}
    return _profile(rng, person, "mentor", offers, wants, by_hand=by_hand)


def _mentee(rng: random.Random, person: Employee, *, by_hand: bool) -> SampleProfile:
    wanted = _choose(rng, _of_side("mentor", "both"), person, rng.randint(2, 5))
    wants = {entry.name: rng.choice((2, 2, 3, 3, 4)) for entry in wanted}
    offered = _choose(rng, _of_side("mentee"), person, rng.randint(2, 4))
    offers = {entry.name: rng.choice((3, 4)) for entry in offered}
    return _profile(rng, person, "mentee", offers, wants, by_hand=by_hand)


def _profile(
    rng: random.Random,
    person: Employee,
    role: Literal["mentor", "mentee"],
    offers: dict[str, int],
    wants: dict[str, int],
    *,
    by_hand: bool,
) -> SampleProfile:
    start = rng.choice((7, 8, 8, 9, 9, 10))
    text = rng.choice(MENTOR_TEXTS if role == "mentor" else MENTEE_TEXTS)
    sentence = text.format(offer=_inside(next(iter(offers))), want=_inside(next(iter(wants))))
    return SampleProfile(
        employee_number=person.employee_number,
        role=role,
        offers=offers,
        wants=wants,
        languages=person.languages,
        working_hours=(f"{start:02d}:00", f"{start + rng.choice((8, 9)):02d}:00"),
        time_zone=person.site.time_zone,
        motivation=rng.choice((2, 3, 3, 4, 4, 4, 5)),
        motivation_text=sentence[0].upper() + sentence[1:],
        capacity=2 if role == "mentor" and rng.random() < 0.2 else 1,
        by_hand=by_hand,
    )


def _inside(skill: str) -> str:
    """Write a skill as it stands inside a sentence."""
    return skill[0].lower() + skill[1:]
