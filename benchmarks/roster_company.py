"""The export of a company of any size, the plainest way to read it, and what must stand in the database."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import aliased

from rmplugin.db import Database, chunks, new_id
from rmplugin.demo.company import MAX_PEOPLE, write_company
from rmplugin.people.models import Person

# Of this many people one has another job title in the changed export.
CHANGED_EACH = 100
# Up to so many people each one is compared, beyond that so many.
SAMPLE = 20_000
PERSON = Person.__table__


@dataclass(frozen=True)
class Export:
    """An export and how to read it.

    :ivar path: where the account reads it; `first` and `changed` lie beside it and are copied there.
    """

    path: str
    people: int
    mapping: dict[str, str]
    date_format: str
    delimiter: str
    encoding: str
    seniority: dict[str, int]

    @property
    def settings(self) -> dict[str, Any]:
        """Declare the export to the connector."""
        names = ("path", "mapping", "date_format", "delimiter", "encoding")
        return {name: value for name, value in asdict(self).items() if name in names}

    def version(self, name: str) -> Path:
        """Give the path of the version `first` or `changed`."""
        return Path(self.path).with_name(f"{name}.csv")

    def deliver(self, name: str) -> None:
        """Put a version where the account reads it, as a delivery of its own."""
        shutil.copyfile(self.version(name), self.path)

    def rows(self, name: str | None = None) -> Iterator[dict[str, str]]:
        """Give the rows of a version, of the delivered one by default, by column."""
        path = self.version(name) if name else Path(self.path)
        with path.open(encoding=self.encoding, newline="") as file:
            yield from csv.DictReader(file, delimiter=self.delimiter)


def write_export(folder: Path, people: int) -> Export:
    """Write both versions: the sample company as often as it takes, copies below the first one's head."""
    company = write_company(folder / "company.csv", min(people, MAX_PEOPLE), as_of=date(2026, 1, 1))
    export = Export(
        str(folder / "roster.csv"), people, company.mapping, company.date_format, company.delimiter,
        company.encoding, company.seniority,
    )  # fmt: skip
    company.path.replace(export.version("company"))
    _write(export, "first", _copies(export))
    title = export.mapping["job_title"]
    changed = (
        {**row, title: f"Changed {row[title]}"} if (n + 1) % CHANGED_EACH == 0 else row
        for n, row in enumerate(export.rows("first"))
    )
    _write(export, "changed", changed)
    return export


def _copies(export: Export) -> Iterator[dict[str, str]]:
    number, manager, email = (
        export.mapping[name] for name in ("employee_number", "manager_employee_number", "email")
    )
    top = next(export.rows("company"))[number]
    for n in range(export.people):
        copy, place = divmod(n, MAX_PEOPLE)
        if place == 0:
            original = export.rows("company")
        row = next(original)
        if copy:
            local, sign, domain = row[email].partition("@")
            row[email] = f"{local}.{copy}{sign}{domain}" if sign else ""
            row[manager] = f"{int(row[manager]) + copy * MAX_PEOPLE:06d}" if row[manager] else top
            row[number] = f"{int(row[number]) + copy * MAX_PEOPLE:06d}"
        yield row


def _write(export: Export, name: str, rows: Iterator[dict[str, str]]) -> None:
    with export.version(name).open("w", encoding=export.encoding, newline="") as file:
        writer = csv.DictWriter(file, export.mapping.values(), delimiter=export.delimiter)
        writer.writeheader()
        writer.writerows(rows)


def parse(export: Export, tenant_id: UUID, account_id: UUID, now: datetime) -> list[dict[str, Any]]:
    """Read the file as plainly as can be: no checks, no diff, no managers. All rows are held at once."""
    columns = {field: column for field, column in export.mapping.items() if not field.startswith("manager")}
    manager = export.mapping["manager_employee_number"]
    blank = dict.fromkeys(column.name for column in PERSON.columns)
    fixed = {
        "tenant_id": tenant_id, "account_id": account_id, "manager_state": "none", "languages": [],
        "former_emails": [], "email_reused": False, "skills": [], "employments": [], "missing_runs": 0,
        "kept_apart": False,
        "lifecycle": "present", "row_hash": "0" * 32, "seen_at": now, "created_at": now, "updated_at": now,
    }  # fmt: skip
    rows = []
    for cells in export.rows():
        row = {**blank, **fixed, **{field: cells[column] or None for field, column in columns.items()}}
        row["id"], row["source_key"] = new_id(), row["employee_number"]
        row["manager_key"] = cells[manager] or None
        row["email_folded"] = row["email"] and row["email"].casefold()
        row["status"] = row["status"].lower()
        row["seniority_rank"] = export.seniority.get(row["grade"])
        for name in ("hire_date", "termination_date"):
            row[name] = row[name] and read_date(row[name], export.date_format)
        rows.append(row)
    return rows


@cache
def read_date(value: str, date_format: str) -> date:
    """Read a date; most come more than once, so the floor is not made slow by them."""
    return datetime.strptime(value, date_format).date()  # noqa: DTZ007 - a date has no zone.


def check(database: Database, tenant_id: UUID, export: Export, *, managers: bool) -> None:
    """Compare the database with the file: by counts, then person by person, of a large company a sample."""
    columns = export.mapping
    with database.transaction(tenant_id, write=False) as db:
        here = PERSON.c.tenant_id == tenant_id
        for field in ("grade", "job_title", "department", "country", "employment_type"):
            query = select(PERSON.c[field], func.count()).where(here).group_by(PERSON.c[field])
            found = {str(word).casefold(): n for word, n in db.execute(query)}
            said = Counter(row[columns[field]].casefold() for row in export.rows())
            assert found == said, (field, found, said)
        if managers:
            # Everybody's manager is the one whom the file names; nobody has one beside that.
            boss = aliased(PERSON)
            right = select(func.count()).join_from(PERSON, boss, PERSON.c.manager_id == boss.c.id)
            right = right.where(here, boss.c.employee_number == PERSON.c.manager_key)
            any_ = select(func.count()).where(here, PERSON.c.manager_id.is_not(None))
            named = sum(bool(row[columns["manager_employee_number"]]) for row in export.rows())
            assert db.scalar(right) == db.scalar(any_) == named
        each = max(1, export.people // SAMPLE)
        for rows in chunks(row for n, row in enumerate(export.rows()) if n % each == 0):
            _check_people(db, export, rows)


def _check_people(db: Any, export: Export, rows: list[dict[str, str]]) -> None:
    columns = export.mapping
    numbers = [row[columns["employee_number"]] for row in rows]
    people = {p.employee_number: p for p in db.scalars(select(Person).where(Person.source_key.in_(numbers)))}
    assert len(people) == len(rows)
    texts = ("given_name", "family_name", "job_title", "grade", "department", "city", "time_zone", "email")
    for row in rows:
        person = people[row[columns["employee_number"]]]
        for name in texts:
            assert (getattr(person, name) or "") == row[columns[name]], (name, row)
        for name in ("hire_date", "termination_date"):
            text = row[columns[name]]
            assert getattr(person, name) == (read_date(text, export.date_format) if text else None), row
        assert person.status == row[columns["status"]].lower()
        assert (person.manager_key or "") == row[columns["manager_employee_number"]]
        assert person.seniority_rank == export.seniority[row[columns["grade"]]]
        assert person.lifecycle == "present"


def store(export: Export, folder: Path) -> None:
    """Write down how to read the export, for the processes that do."""
    (folder / "export.json").write_text(json.dumps(asdict(export)), encoding="utf-8")


def load(folder: Path) -> Export:
    """Give what `store` wrote down."""
    return Export(**json.loads((folder / "export.json").read_text(encoding="utf-8")))
