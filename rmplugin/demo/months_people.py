"""Who takes part in a simulated programme, and the staff list as it was on a day of the past."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from rmplugin.demo.company import Company, Employee, write_export

MONTH_DAYS = 30.4
LEAD, EXPERIENCED, JUNIOR = 7, 5, 3
CONTACTS = 3
# So many pairs at most, and how many people are asked for each of them: some decline, some do not answer.
MOST_PAIRS = 200
ASKED_PER_PAIR, JUNIORS_PER_LEAD = 1.2, 1.1
# A staff list names people who come so much later.
AHEAD = timedelta(days=30)
# Whoever leaves within so many days of the beginning is not asked.
STAYS = timedelta(days=45)


@dataclass
class Staff:
    """The company as it was on a day, with what the play changes.

    :ivar changes: employee number -> fields of `Employee` that are others from now on.
    """

    company: Company
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, day: date) -> None:
        """Write the HR export of a day. **Touches** the company's file."""
        rows = (self._as_of(person, day) for person in self.company.people)
        write_export(self.company.path, [row for row in rows if row.hired_on <= day + AHEAD])

    def _as_of(self, person: Employee, day: date) -> Employee:
        if person.left_on is not None and person.left_on > day:
            person = replace(person, status="Active", left_on=None)
        return replace(person, **self.changes.get(person.employee_number, {}))

    def change(self, number: str, **fields: Any) -> None:
        """Change somebody from the next export on. **Touches** this object."""
        self.changes.setdefault(number, {}).update(fields)


@dataclass(frozen=True, slots=True)
class Pool:
    """Employee numbers of those who are asked; first those who have an account in the LMS."""

    mentees: tuple[str, ...]
    mentors: tuple[str, ...]


def pool_of(company: Company, day: date) -> Pool:
    """Choose who is asked to take part from a day on: as many as the company gives, for 200 pairs at most.

    **Touches** pure.
    """
    there = {person.employee_number: person for person in company.people if _is_there(person, day)}
    numbers = [number for number in there if number != company.advisor]
    leads = [number for number in numbers if there[number].level >= LEAD]
    juniors = [number for number in numbers if there[number].level <= JUNIOR]
    mentees = _in_order(company.mentees, leads)[: round(MOST_PAIRS * ASKED_PER_PAIR)]
    mentors = _in_order(company.mentors, juniors)[: round(len(mentees) * JUNIORS_PER_LEAD)]
    return Pool(tuple(mentees), tuple(mentors))


def first_day(end: date, months: int) -> date:
    """Tell on which day a play of so many months began. **Touches** pure."""
    return end - days_of(months) * timedelta(days=1)


def days_of(months: int) -> int:
    """Tell how many days a play of so many months has. **Touches** pure."""
    return round(months * MONTH_DAYS)


def joiners_of(company: Company, since: date, until: date) -> list[str]:
    """Name the juniors who came to the company within some days. **Touches** pure."""
    return [
        person.employee_number
        for person in company.people
        if person.level <= JUNIOR and person.status == "Active" and since < person.hired_on <= until
    ]


def contacts_of(company: Company, day: date) -> list[str]:
    """Name a few people of different departments whom others can ask for help. **Touches** pure."""
    found: dict[str, str] = {}
    for person in company.people:
        if (
            person.level == EXPERIENCED
            and _is_there(person, day)
            and person.employee_number != company.advisor
        ):
            found.setdefault(person.department.name, person.employee_number)
    return list(found.values())[:CONTACTS]


def _is_there(person: Employee, day: date) -> bool:
    if person.status == "Leave" or person.hired_on > day:
        return False
    return person.left_on is None or person.left_on > day + STAYS


def _in_order(first: Iterable[str], all_of_them: list[str]) -> list[str]:
    known = set(all_of_them)
    before = [number for number in first if number in known]
    return before + [number for number in all_of_them if number not in set(before)]
