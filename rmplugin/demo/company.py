"""A sample company, and its HR export written the way HR systems write one."""

import csv
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from rmplugin.demo.company_data import (
    COLUMNS,
    DEPARTMENTS,
    DIRECTOR,
    NAMES,
    SENIORITY,
    SITES,
    STAFF_GRADES,
    TOP,
    Department,
    Site,
)
from rmplugin.demo.lms_settings import LmsPerson

MIN_PEOPLE, MAX_PEOPLE = 100, 20_000
MAIL_DOMAIN = "nordlicht.example"
MENTORS_IN_COURSE = 60
BY_HAND = 3
# So many of the mentees and of the mentors there read German.
GERMAN_CITY, READ_GERMAN = "Berlin", 3
SPECIALIST = "Learning and Development Specialist"
ADVISOR_GROUP = "Programme manager"
MENTEE_GROUP = "Senior leaders (to be mentored)"
MENTOR_GROUP = "Juniors and newcomers (to mentor)"
OTHER_GROUP = "Other learners"


@dataclass(frozen=True, slots=True, kw_only=True)
class Employee:
    """One row of the HR export, as the company knows it.

    :param level: 1..12, the number in the grade.
    :param email: None for the few who have none.
    :param manager: employee number; None for the chief executive.
    :param status: "Active", "Leave" or "Terminated".
    :param languages: ISO 639-1 codes; not part of the export.
    """

    employee_number: str
    given_name: str
    family_name: str
    email: str | None
    job_title: str
    level: int
    department: Department
    site: Site
    manager: str | None
    employment_type: str
    status: str
    hired_on: date
    left_on: date | None
    languages: tuple[str, ...]

    @property
    def name(self) -> str:
        """Full name, given name first."""
        return f"{self.given_name} {self.family_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A company and how to read its export.

    :param path: the CSV file.
    :param mapping: canonical field -> name of the column.
    :param date_format: of every date in the file, in the words of `strptime`.
    :param seniority: grade -> rank, 0 the most junior to 100 the most senior.
    :param advisor: employee number of the learning specialist who runs the programme.
    :param mentees, mentors: employee numbers of the senior leaders and of the juniors in the course.
    :param by_hand: the few of them that the demo leaves for the visitor to enrol.
    """

    path: Path
    people: tuple[Employee, ...]
    mapping: dict[str, str]
    date_format: str
    delimiter: str
    encoding: str
    seniority: dict[str, int]
    as_of: date
    seed: int
    advisor: str
    mentees: tuple[str, ...]
    mentors: tuple[str, ...]
    by_hand: tuple[str, ...]

    def by_number(self) -> dict[str, Employee]:
        """Return everybody by employee number."""
        return {person.employee_number: person for person in self.people}


def write_company(path: Path, people: int = 400, seed: int = 7, *, as_of: date | None = None) -> Company:
    """Make a company and write its HR export: semicolons, quotes, a byte order mark, dates as dd.mm.yyyy.

    The same arguments always give the same company and the same bytes.

    :param people: rows of the export, 100..20,000, leavers included.
    :param as_of: the day that tenures are counted back from; None for today.
    :raises ValueError: `people` is out of range.

    **Touches**: writes the file `path`.
    """
    if not MIN_PEOPLE <= people <= MAX_PEOPLE:
        raise ValueError(f"a sample company has {MIN_PEOPLE} to {MAX_PEOPLE} people, not {people}")
    today = as_of or date.today()  # noqa: DTZ011 - a company's calendar day has no zone.
    rng = random.Random(seed)  # noqa: S311 - the same company every time is the point.
    employees = _Builder(rng, today).build(people)
    write_export(path, employees)
    present = [person for person in employees if person.status == "Active"]
    advisor = next(p for p in present if p.job_title == SPECIALIST)
    mentees = [p for p in present if p.level >= DIRECTOR]
    mentors = _choose_mentors(rng, present, advisor, today)
    return Company(
        path=path,
        people=tuple(employees),
        mapping=dict(COLUMNS),
        date_format="%d.%m.%Y",
        delimiter=";",
        encoding="utf-8-sig",
        seniority=dict(SENIORITY),
        as_of=today,
        seed=seed,
        advisor=advisor.employee_number,
        mentees=tuple(p.employee_number for p in mentees),
        mentors=tuple(p.employee_number for p in mentors),
        by_hand=tuple(p.employee_number for p in _choose_by_hand(mentees) + _choose_by_hand(mentors)),
    )


def csv_settings(company: Company) -> dict[str, Any]:
    """Return the settings with which the CSV connector reads the export.

    :return: path, delimiter, encoding, date format, and the mapping canonical field -> column.

    **Touches**: pure.
    """
    return {
        "path": str(company.path),
        "delimiter": company.delimiter,
        "encoding": company.encoding,
        "date_format": company.date_format,
        "mapping": dict(company.mapping),
    }


class _Builder:
    """Makes the people of one company from the top down."""

    def __init__(self, rng: random.Random, today: date) -> None:
        self.rng = rng
        self.today = today
        self.people: list[Employee] = []
        self.addresses: Counter[str] = Counter()

    def build(self, size: int) -> list[Employee]:
        """Make `size` people: the chief executive, then each department as a tree of its own."""
        top = self._add(12, TOP, SITES[0], None)
        heads: dict[str | None, Employee] = {None: top}
        for department, count in self._share_out(size - 1):
            above = heads[department.under]
            site = self._site(SITES[0])
            head = self._add(above.level - 1, department, site, above)
            heads[department.name] = head
            self._grow(department, head, count - 1)
        self._add_leavers_and_absences()
        self._add_specialist()
        return self.people

    def _share_out(self, count: int) -> list[tuple[Department, int]]:
        """Give each department its share of the people, at least five."""
        total = sum(department.weight for department in DEPARTMENTS)
        shares = [max(5, count * department.weight // total) for department in DEPARTMENTS]
        shares[0] += count - sum(shares)
        return list(zip(DEPARTMENTS, shares, strict=True))

    def _grow(self, department: Department, leader: Employee, below: int) -> None:
        """Place `below` people under a leader: 4 to 8 report directly, some of them lead the others."""
        direct = below if below <= 8 else min(self.rng.randint(4, 8), below - 4)
        rest = below - direct
        teams = min(direct, max(1, rest // self.rng.randint(5, 8))) if rest else 0
        for index in range(direct):
            size = rest // teams + (index < rest % teams) if index < teams else 0
            level = self._level(size, leader.level)
            person = self._add(level, department, self._site(leader.site), leader)
            if size:
                self._grow(department, person, size)

    def _level(self, below: int, above: int) -> int:
        """Choose the grade of somebody with `below` people under them and a leader of grade `above`."""
        if below == 0:
            level = self.rng.choices(list(STAFF_GRADES), list(STAFF_GRADES.values()))[0]
        elif below < 9:
            level = self.rng.choice((7, 7, 8))
        else:
            level = 9 if below < 150 else 10
        return max(1, min(level, above - 1))

    def _site(self, near: Site) -> Site:
        """Choose a site: mostly the leader's own, else any by its weight."""
        if self.rng.random() < 0.35:
            return near
        return self.rng.choices(SITES, [site.weight for site in SITES])[0]

    def _add(self, level: int, department: Department, site: Site, manager: Employee | None) -> Employee:
        rng = self.rng
        origin = site.names if rng.random() < 0.8 else rng.choice(list(NAMES))
        given_names, family_names = NAMES[origin]
        given, family = rng.choice(given_names), rng.choice(family_names)
        kind = "Employee"
        if manager is not None and level <= 2 and rng.random() < 0.12:
            kind = "Intern"
        elif level <= 6 and rng.random() < 0.03:
            kind = "Contractor"
        person = Employee(
            employee_number=f"{10_001 + len(self.people):06d}",
            given_name=given,
            family_name=family,
            email=self._address(given, family, level),
            job_title="Intern" if kind == "Intern" else _title(level, department),
            level=level,
            department=department,
            site=site,
            manager=manager.employee_number if manager else None,
            employment_type=kind,
            status="Active",
            hired_on=self._hired_on(level, kind),
            left_on=None,
            languages=self._languages(site, origin),
        )
        self.people.append(person)
        return person

    def _address(self, given: str, family: str, level: int) -> str | None:
        """Make an address that nobody else has; about one in fifty of the staff has none."""
        if level < 7 and self.rng.random() < 0.02:
            return None
        local = f"{_plain(given)}.{_plain(family)}"
        self.addresses[local] += 1
        number = self.addresses[local]
        return f"{local}{number if number > 1 else ''}@{MAIL_DOMAIN}"

    def _hired_on(self, level: int, kind: str) -> date:
        """Choose a day of entry; one in eight of any grade is a newcomer of the last six months."""
        if self.rng.random() < 0.125 or kind == "Intern":
            days = self.rng.randint(3, 180)
        else:
            longest = min(30.0, 2.0 + level * 2.6)
            days = round(365.25 * self.rng.triangular(0.5, longest, longest / 4))
        return self.today - timedelta(days=days)

    def _languages(self, site: Site, origin: str) -> tuple[str, ...]:
        home = next(s for s in SITES if s.names == origin)
        spoken = ["en", *(code for code in site.languages if self.rng.random() < 0.85)]
        spoken += [code for code in home.languages if code not in spoken and self.rng.random() < 0.6]
        if self.rng.random() < 0.12:
            spoken += [code for code in (self.rng.choice(("fr", "es", "it")),) if code not in spoken]
        return tuple(spoken)

    def _add_leavers_and_absences(self) -> None:
        """Let about 2 % of the staff have left and 1 % be on leave, none of whom leads anybody."""
        leaders = {person.manager for person in self.people}
        for index, person in enumerate(self.people):
            if person.employee_number in leaders or person.level >= DIRECTOR:
                continue
            chance = self.rng.random()
            if chance < 0.025:
                longest = max(1, (self.today - person.hired_on).days - 1)
                left_on = self.today - timedelta(days=self.rng.randint(1, min(90, longest)))
                self.people[index] = replace(person, status="Terminated", left_on=left_on)
            elif chance < 0.04:
                self.people[index] = replace(person, status="Leave")

    def _add_specialist(self) -> None:
        """Make one member of People and Learning the specialist who runs programmes."""
        index, person = next(
            (index, person)
            for index, person in reversed(list(enumerate(self.people)))
            if person.department.name == "People and Learning" and person.level < 7
        )
        self.people[index] = replace(
            person,
            level=6,
            job_title=SPECIALIST,
            employment_type="Employee",
            status="Active",
            left_on=None,
            hired_on=min(person.hired_on, self.today - timedelta(days=800)),
            email=person.email or self._address(person.given_name, person.family_name, 12),
        )


def _title(level: int, department: Department) -> str:
    """Build a job title that fits grade and department."""
    name, craft = department.name, department.craft
    if level >= 11:
        return department.head
    leading = {
        10: f"Vice President {name}",
        9: f"Director {name}",
        8: f"Senior Manager {name}",
        7: f"{name} Team Lead",
    }
    prefix = {1: "Trainee ", 2: "Junior ", 3: "", 4: "", 5: "Senior ", 6: "Principal "}
    return leading.get(level) or f"{prefix[level]}{craft}"


_PLAIN = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ş": "s", "ı": "i", "ã": "a", "á": "a", "ú": "u", "í": "i"}
    | {"ç": "c", "é": "e", "ó": "o", "ê": "e", "'": "", " ": ""}
)


def _plain(name: str) -> str:
    """Write a name as the local part of an address: lower case, ASCII."""
    return name.lower().translate(_PLAIN)


def _row(person: Employee) -> list[str]:
    """Write one person as the cells of the export, in the order of COLUMNS."""
    return [
        person.employee_number,
        person.family_name,
        person.given_name,
        f"{person.family_name}, {person.given_name}",
        person.email or "",
        person.job_title,
        f"G{person.level}",
        person.department.name,
        person.department.division,
        str(person.department.cost_center),
        person.site.name,
        person.site.city,
        person.site.country,
        person.site.time_zone,
        person.manager or "",
        person.employment_type,
        person.status,
        person.hired_on.strftime("%d.%m.%Y"),
        person.left_on.strftime("%d.%m.%Y") if person.left_on else "",
    ]


def write_export(path: Path, people: Iterable[Employee]) -> None:
    """Write the HR export of some people. **Touches** the file `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        writer.writerow(COLUMNS.values())
        writer.writerows(_row(person) for person in people)


def _choose_mentors(
    rng: random.Random, present: list[Employee], advisor: Employee, today: date
) -> list[Employee]:
    """Choose about sixty juniors and newcomers, spread over the company, for the course."""
    newest = today - timedelta(days=365)
    suitable = [
        person
        for person in present
        if person.employee_number != advisor.employee_number
        and (person.level <= 3 or (person.level <= 5 and person.hired_on >= newest))
    ]
    chosen = rng.sample(suitable, min(MENTORS_IN_COURSE, len(suitable)))
    return sorted(chosen, key=lambda person: person.employee_number)


def _choose_by_hand(people: list[Employee]) -> list[Employee]:
    """Choose three people of different departments; no officers, nobody without an address."""
    chosen: dict[str, Employee] = {}
    for person in people:
        if person.level < 11 and person.email:
            chosen.setdefault(person.department.name, person)
    # A small company has so few departments with directors that one may have to serve twice.
    others = [p for p in people if p not in chosen.values() and p.level < 12 and p.email]
    return [*chosen.values(), *others][:BY_HAND]


def lms_people(
    company: Company, more_mentees: Iterable[str] = (), more_mentors: Iterable[str] = ()
) -> list[LmsPerson]:
    """Say who has an account in the demo's LMS, and in which role.

    :param more_mentees, more_mentors: employee numbers of others who have one; they come last.
    :return: the programme manager as instructor; senior leaders, juniors, one ordinary learner, and two
        people who are unknown to the HR system, as learners. User ids are numbers from 1001.

    **Touches**: pure.
    """
    known = company.by_number()
    ordinary = next(
        p
        for p in company.people
        if p.status == "Active" and p.level == 6 and p.employee_number != company.advisor and p.email
    )
    wanted = [
        (company.advisor, ADVISOR_GROUP),
        *((number, MENTEE_GROUP) for number in _order(company, company.mentees)),
        *((number, MENTOR_GROUP) for number in _order(company, company.mentors)),
        (ordinary.employee_number, OTHER_GROUP),
    ]
    accounts = [
        _account(known[number], group, user_id=str(1001 + index))
        for index, (number, group) in enumerate(wanted)
    ]
    strangers = (("Robin", "Keller"), ("Samira", "Haddad"))
    accounts += [
        LmsPerson(
            user_id=str(1001 + len(accounts) + index),
            given_name=given,
            family_name=family,
            email=f"{_plain(given)}.{_plain(family)}@partner.example",
            group=OTHER_GROUP,
            about="Guest from a partner; not in the HR system",
        )
        for index, (given, family) in enumerate(strangers)
    ]
    there = {account.employee_number for account in accounts}
    others = [
        (number, group)
        for numbers, group in ((more_mentees, MENTEE_GROUP), (more_mentors, MENTOR_GROUP))
        for number in numbers
        if number not in there
    ]
    return accounts + [
        _account(known[number], group, user_id=str(1001 + len(accounts) + index))
        for index, (number, group) in enumerate(others)
    ]


def read_german(people: Iterable[LmsPerson]) -> list[LmsPerson]:
    """Let a few people of Berlin read their LMS, and so the tool, in German; one more manager reads it so.

    **Touches**: pure.
    """
    accounts = list(people)
    for group in (MENTEE_GROUP, MENTOR_GROUP):
        there = [one for one in accounts if one.group == group and one.about.endswith(f", {GERMAN_CITY}")]
        for one in there[READ_GERMAN : 2 * READ_GERMAN]:
            accounts[accounts.index(one)] = replace(one, locale="de", about=f"{one.about}; reads German")
    manager = LmsPerson(
        user_id=str(1001 + len(accounts)),
        given_name="Frauke",
        family_name="Lindner",
        email=f"frauke.lindner@{MAIL_DOMAIN}",
        role="instructor",
        group=ADVISOR_GROUP,
        about=f"Learning and Development, {GERMAN_CITY}; reads German",
        locale="de",
    )
    return [*accounts, manager]


def _order(company: Company, numbers: tuple[str, ...]) -> list[str]:
    """Put those that the visitor enrols first, then one of each department in turn."""
    known = company.by_number()
    turns: Counter[str] = Counter()
    places: dict[str, tuple[bool, int]] = {}
    for number in numbers:
        department = known[number].department.name
        places[number] = (number not in company.by_hand, turns[department])
        turns[department] += 1
    return sorted(numbers, key=places.__getitem__)


def _account(person: Employee, group: str, *, user_id: str) -> LmsPerson:
    department = [] if person.department.name in person.job_title else [person.department.name]
    return LmsPerson(
        user_id=user_id,
        given_name=person.given_name,
        family_name=person.family_name,
        email=person.email,
        employee_number=person.employee_number,
        role="instructor" if group == ADVISOR_GROUP else "learner",
        group=group,
        about=", ".join([person.job_title, *department, person.site.city]),
    )
