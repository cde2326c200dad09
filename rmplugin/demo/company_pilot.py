"""The sample company's earlier cohort, which failed for a reason that a matchmaking review can find."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from rmplugin.demo.company import Company, Employee
from rmplugin.demo.company_data import DIRECTOR
from rmplugin.demo.company_profiles import SampleProfile, make_profiles

PILOT = "Digital fluency, pilot"
BEGAN = timedelta(days=300)
MENTEES, MENTORS = 25, 30
# Its mentees were team leads: the directors take part in the cohort that runs now.
LEAD, LEAD_RANK = 7, 52
JUNIOR = 4
# What the mentor could teach hardly counted, so that many were paired whom nothing joined.
RULES = {
    "coverage": 1_000,
    "learning": 20_000,
    "motivation": 20_000,
    "other_department": 30_000,
    "other_site": 18_000,
    "tenure": 2_000,
    "note": "People should meet colleagues whom they would never meet otherwise.",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How one pair ended early.

    :ivar day: days after its start.
    :ivar by: mentor or mentee.
    :ivar reason: a code of `forms.CLOSURE_REASONS`.
    """

    day: int
    by: str
    reason: str


# The planted cause: the pairs in which the mentor could teach least of what the mentee wanted.
LEAST_COVERED = (
    Ending(24, "mentee", "lack_of_expertise"),
    Ending(31, "mentee", "lack_of_expertise"),
    Ending(38, "mentor", "lack_of_expertise"),
    Ending(43, "mentee", "never_scheduled"),
    Ending(47, "mentee", "lack_of_expertise"),
    Ending(52, "mentee", "lack_of_expertise"),
    Ending(60, "mentor", "lack_of_expertise"),
    Ending(66, "mentee", "lack_of_expertise"),
    Ending(73, "mentee", "time"),
    Ending(81, "mentee", "distancing"),
    Ending(95, "mentee", "lack_of_expertise"),
)
# What happens in every cohort.
BEST_COVERED = (Ending(70, "mentee", "time"), Ending(110, "mentor", "role_change"))


def pilot_profiles(company: Company) -> list[SampleProfile]:
    """Fill in the enrolment form for everybody in the pilot, none of whom is in the demo's course.

    :return: mentees first; empty when the company has too few people who were there then.

    **Touches**: pure.
    """
    rng = random.Random(f"pilot {company.seed}")  # noqa: S311 - the same pilot every time is the point.
    taken = {company.advisor, *company.mentees, *company.mentors}
    there = [
        person
        for person in company.people
        if person.status == "Active"
        and person.hired_on <= company.as_of - BEGAN
        and person.employee_number not in taken
    ]
    leads = [person for person in there if LEAD <= person.level < DIRECTOR]
    juniors = [person for person in there if person.level <= JUNIOR]
    if len(leads) < MENTEES or len(juniors) < MENTORS:
        return []
    return make_profiles(rng, company, _some(rng, leads, MENTEES), _some(rng, juniors, MENTORS))


def _some(rng: random.Random, people: Sequence[Employee], count: int) -> list[str]:
    return sorted(person.employee_number for person in rng.sample(people, count))
