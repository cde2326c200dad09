"""Enrolling people from a file."""

import csv
import io
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

import marshmallow as ma
from sqlalchemy import select

from rmplugin import audit, notify
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError, SkippableRecordError
from rmplugin.people.models import Person
from rmplugin.people.queries import WORKING
from rmplugin.programmes import answers, operations, places, profiles, queries
from rmplugin.programmes.models import Programme

ENROLMENT_COLUMNS = (
    "employee_number",
    "email",
    "role",
    "offers",
    "wants",
    "languages",
    "motivation",
    "motivation_level",
    "capacity",
    "work_from",
    "work_to",
    "work_days",
    "time_zone",
)


@dataclass
class ImportReport:
    """What an enrolment file did; `asdict` is the command's JSON.

    :ivar skipped: list of {"ref", "field", "reason"}.
    """

    seen: int = 0
    created: int = 0
    updated: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Give the report as a JSON document."""
        return asdict(self)


def import_enrolments(
    db: Db, programme: Programme, rows: Iterable[Mapping[str, str]], actor: str, now: datetime
) -> ImportReport:
    """Enrol people from a file. Bad rows are listed, the others count; the same file twice is as once.

    :param rows: by the names of `ENROLMENT_COLUMNS`, as `read_enrolment_rows` gives them. Rows
        are counted as a spreadsheet does: the first one after the heading is row 2.
    :raises ConflictError: the programme is over.
    **Touches** writes enrolment, profile, person_skill, programme, audit_entry.
    """
    if programme.state not in ("draft", *operations.OPEN):
        raise ConflictError("programme_over", "This programme takes nobody in any more. Nobody was enrolled.")
    report = ImportReport()
    skills = {skill.name.casefold(): skill.id for skill in queries.skills_of_programme(db, programme.id)}
    people = _Directory(db)
    done: set[uuid.UUID] = set()
    for number, row in enumerate(rows, start=2):
        report.seen += 1
        try:
            person = people.find(row, f"row {number}", done)
            created = _import_row(db, programme, person, row, f"row {number}", skills, now)
        except SkippableRecordError as error:
            report.skipped.append({"ref": error.ref, "field": error.field, "reason": error.reason})
            continue
        done.add(person.id)
        report.created += created
        report.updated += not created
    if done and programme.state == "draft":
        operations.change_state(db, programme, "enrolling", actor, now)
    facts = {"created": report.created, "updated": report.updated, "skipped": len(report.skipped)}
    audit.record(db, actor, "programme.import_enrolments", programme.id, now, **facts)
    return report


class _Directory:
    """The people at work, by employee number and by e-mail address; read once for a whole file."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._numbers: dict[str, list[uuid.UUID]] = {}
        self._emails: dict[str, list[uuid.UUID]] = {}
        for row in db.execute(select(Person.id, Person.employee_number, Person.email_folded).where(WORKING)):
            if row.employee_number:
                self._numbers.setdefault(row.employee_number, []).append(row.id)
            if row.email_folded:
                self._emails.setdefault(row.email_folded, []).append(row.id)

    def find(self, row: Mapping[str, str], ref: str, done: set[uuid.UUID]) -> Person:
        """Give the person whom a row names, by number before address, unless an earlier row named them."""
        number, email = row.get("employee_number", ""), row.get("email", "").casefold()
        if not number and not email:
            raise SkippableRecordError(ref, "employee_number", "neither employee number nor e-mail address")
        name = "employee_number" if number else "email"
        found = self._numbers.get(number, []) if number else self._emails.get(email, [])
        if len(found) != 1:
            reason = "nobody at work has it" if not found else "several people have it"
            raise SkippableRecordError(ref, name, reason)
        if found[0] in done:
            raise SkippableRecordError(ref, name, "an earlier row names the same person")
        return self._db.get_one(Person, found[0])


def _import_row(
    db: Db,
    programme: Programme,
    person: Person,
    row: Mapping[str, str],
    ref: str,
    skills: Mapping[str, uuid.UUID],
    now: datetime,
) -> bool:
    """Enrol one person; True when they had no enrolment before."""
    told = read_row(row, ref, skills, person.time_zone)
    languages = told.languages or person.languages
    if not languages:
        raise SkippableRecordError(ref, "languages", "names no language, and HR knows none")
    fit = queries.find_fit(db, programme, person.id, now.date())
    if not fit.roles:
        raise SkippableRecordError(ref, "role", f"not eligible: {fit.text}")
    role = told.role or fit.roles[0]
    if role not in fit.roles:
        raise SkippableRecordError(ref, "role", f"must be {' or '.join(fit.roles)}: {fit.text}")
    enrolment = queries.find_enrolment(db, programme.id, person.id)
    if enrolment is not None and enrolment.active_pairings:
        raise SkippableRecordError(ref, "row", "the person has a partner now, so the answers stay")
    created = enrolment is None
    if enrolment is None:
        enrolment = places.new_enrolment(programme, person.id, role, "submitted", now, source="file")
        db.add(enrolment)
    enrolment.role = role
    profiles.save_answers(db, programme, enrolment, replace(told, languages=languages), now)
    enrolment.submitted_at = enrolment.submitted_at or now
    # A file is the programme team's decision: nobody waits for a place or for a yes.
    places.move(enrolment, "submitted", now)
    notify.settle(db, person.id, f"/enrol/{programme.id}", now)
    return created


def read_enrolment_rows(text: str) -> list[dict[str, str]]:
    """Read an enrolment file: the first line names the columns; comma, semicolon or tab between cells.

    :param text: decoded; a byte order mark does not count.
    :return: rows by column name, in lower case.
    :raises InputError: none of the columns that name a person is there, or a column is unknown.
    **Touches** pure.
    """
    text = text.removeprefix("\ufeff")
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = {str(name).strip().lower() for name in reader.fieldnames or ()}
    unknown = sorted(columns - set(ENROLMENT_COLUMNS))
    if unknown or not columns & {"employee_number", "email"}:
        raise InputError(
            "columns_wrong",
            "Nobody was enrolled. The first line must name the columns, with employee_number or email "
            "among them" + (f"; these are unknown: {', '.join(unknown)}." if unknown else "."),
        )
    return [
        {
            str(name).strip().lower(): (cell or "").strip()
            for name, cell in row.items()
            if isinstance(cell, str | None)
        }
        for row in reader
    ]


def read_row(
    row: Mapping[str, str], ref: str, skills: Mapping[str, uuid.UUID], default_zone: str | None
) -> answers.Answers:
    """Read the answers of one row of an enrolment file.

    :param row: column -> text; missing and empty are the same.
    :param ref: "row 17".
    :param skills: casefolded name -> skill of the programme.
    :param default_zone: IANA name from HR, for a row without a zone.
    :raises SkippableRecordError: field and reason, without the cell's text.
    **Touches** pure.
    """

    def number(name: str, default: int | None, low: int, high: int) -> int | None:
        text = row.get(name, "")
        if not text:
            return default
        if not text.isdigit() or not low <= int(text) <= high:
            raise SkippableRecordError(ref, name, f"must be a whole number from {low} to {high}")
        return int(text)

    def minute(name: str, default: str) -> int:
        try:
            return int(answers.MinuteField().deserialize(row.get(name) or default))
        except ma.ValidationError as error:
            raise SkippableRecordError(ref, name, "must be a time such as 09:00") from error

    languages = answers.read_languages(row.get("languages", ""))
    if languages is None:
        raise SkippableRecordError(ref, "languages", "names something that is no language")
    zone = row.get("time_zone") or default_zone or ""
    if zone not in answers.known_zones():
        raise SkippableRecordError(ref, "time_zone", "must be an IANA name such as Europe/Berlin")
    start, end = minute("work_from", "09:00"), minute("work_to", "17:00")
    if start >= end:
        raise SkippableRecordError(ref, "work_to", "must be later than work_from")
    offers = _read_skills(row.get("offers", ""), ref, "offers", skills)
    wants = _read_skills(row.get("wants", ""), ref, "wants", skills)
    return answers.Answers(
        role=row.get("role", "").casefold() or None,
        offers={skill: level for skill, (level, _) in offers.items()},
        wants=wants,
        languages=languages,
        work_days=_read_days(row.get("work_days", ""), ref),
        work_from_minute=start,
        work_to_minute=end,
        time_zone=zone,
        capacity=number("capacity", 1, 1, 3) or 1,
        motivation_level=number("motivation_level", 3, 1, 5),
        motivation=row.get("motivation", "")[:1000] or None,
    )


def _read_skills(
    text: str, ref: str, name: str, skills: Mapping[str, uuid.UUID]
) -> dict[uuid.UUID, tuple[int, int]]:
    """Read "Skill:level|Skill:level:priority"; a skill's own name may hold a colon."""
    found: dict[uuid.UUID, tuple[int, int]] = {}
    parts = [part.strip() for part in text.split("|") if part.strip()]
    for position, part in enumerate(parts, start=1):
        pieces = [piece.strip() for piece in part.split(":")]
        numbers: list[int] = []
        while len(pieces) > 1 and len(numbers) < 2 and pieces[-1].isdigit():
            numbers.insert(0, int(pieces.pop()))
        skill = skills.get(":".join(pieces).casefold())
        if skill is None:
            reason = f"entry {position} is not in the programme's catalogue"
            raise SkippableRecordError(ref, name, reason)
        level, priority = (*numbers, 2)[:2] if numbers else (-1, 2)
        if not 0 <= level <= 4 or not 1 <= priority <= 3:
            reason = f"entry {position} needs a level from 0 to 4, and a priority, if any, from 1 to 3"
            raise SkippableRecordError(ref, name, reason)
        if level:
            found[skill] = (level, priority)
    if not found:
        raise SkippableRecordError(ref, name, "names no skill; at least one is needed")
    return found


def _read_days(text: str, ref: str) -> list[int]:
    """Read working days as English names or their first letters; empty means Monday to Friday."""
    if not text:
        return [0, 1, 2, 3, 4]
    days = set()
    for word in text.replace("|", ",").replace(";", ",").split(","):
        start = word.strip().casefold()
        fits = [
            number
            for number, day in enumerate(answers.DAYS)
            if len(start) > 1 and day.casefold().startswith(start)
        ]
        if len(fits) != 1:
            raise SkippableRecordError(ref, "work_days", "must be days such as Mon|Tue|Fri")
        days.add(fits[0])
    return sorted(days)
