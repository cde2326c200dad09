"""A CSV roster and an account that reads it; and a source that gives whatever a test wants."""

import csv

from sqlalchemy import select

from connectors.hris.csv_file import CsvFileConnector
from rmplugin.hookspecs import hookimpl
from rmplugin.people import queries, tasks
from rmplugin.people.models import Person
from rmplugin.plugins import Plugins
from rmplugin.records import Capabilities, EmployeeRecord, RosterPage
from rmplugin.tenants.operations import add_account
from rmplugin.tenants.queries import get_account

HEADER = [
    "Employee Number",
    "Name",
    "Email",
    "Manager",
    "Hire Date",
    "End Date",
    "Status",
    "Grade",
    "Time Zone",
]


def person(
    number,
    name=None,
    email=None,
    manager="",
    hired="2020-01-01",
    ended="",
    status="Active",
    grade="G1",
    zone="",
):
    name = name or f"Person {number}"
    email = f"p{number}@example.com" if email is None else email
    return [str(number), name, email, str(manager), hired, ended, status, grade, zone]


def company(size):
    return [person(n, manager=(n - 1) // 4 or "") for n in range(1, size + 1)]


class Source:
    """A CSV file, an account that reads it, and short ways to look at the outcome."""

    def __init__(self, runtime, tenant, clock, path, name="hr"):
        self.runtime, self.tenant, self.clock, self.path, self.name = runtime, tenant, clock, path, name
        connector = runtime.plugins.connector("csv_file")
        with runtime.database.transaction(tenant.id) as db:
            add_account(
                db,
                name,
                connector,
                {"path": str(path)},
                {"G1": 10, "G9": 90},
                runtime.database.secrets,
                clock.now,
            )

    def write(self, rows):
        with self.path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([HEADER, *rows])
        self.clock.forward(hours=1)

    def sync(self, rows=None, **options):
        """Read the file; the first reading is accepted unless the test says otherwise."""
        if rows is not None:
            self.write(rows)
        options.setdefault("accept_shrink", self.is_new() and not options.get("dry_run"))
        return self.read(**options)

    def read(self, **options):
        runtime = self.runtime
        return tasks.sync_roster(
            runtime.database, runtime.plugins, self.tenant.id, self.name, now=self.clock.now, **options
        )

    def is_new(self):
        with self.runtime.database.transaction(self.tenant.id, write=False) as db:
            return not queries.was_applied(db, get_account(db, self.name).id)

    def people(self):
        with self.runtime.database.transaction(self.tenant.id, write=False) as db:
            return {p.source_key: p for p in db.scalars(select(Person))}

    def rows(self, model):
        with self.runtime.database.transaction(self.tenant.id, write=False) as db:
            return list(db.scalars(select(model).order_by(model.id)))


def counts(report):
    return {name: n for name, n in report.counts.items() if n}


def frozen(people):
    return {
        key: (p.lifecycle, p.status, p.row_hash, p.manager_id, p.updated_at, p.seen_at)
        for key, p in people.items()
    }


def record(key, **values):
    values = {"display_name": f"Person {key}", "email": f"p{key}@example.com"} | values
    return EmployeeRecord(source_key=str(key), ref=f"row {key}", **values)


def staff(size, **values):
    return [record(n, **values) for n in range(1, size + 1)]


class Scripted(Source):
    """An account whose connector gives the pages that it is told to; one that is an exception is raised."""

    key, title = "scripted", "Scripted"
    settings_schema = CsvFileConnector.settings_schema

    def __init__(self, runtime, tenant, clock, tmp_path, name="hr", **capabilities):
        super().__init__(runtime, tenant, clock, tmp_path / f"{name}.csv", name)
        self.capabilities = Capabilities(**capabilities)
        self.pages, self.cursors = [], []
        self.plugins = Plugins([self])
        with runtime.database.transaction(tenant.id) as db:
            get_account(db, name).connector = self.key

    @hookimpl
    def rm_register_hris_connectors(self):
        return [type("Connector", (), {
            "key": self.key, "title": self.title, "settings_schema": self.settings_schema,
            "capabilities": self.capabilities, "check": staticmethod(lambda _settings: []),
            "read": staticmethod(self._pages),
        })()]  # fmt: skip

    def _pages(self, _settings, cursor):
        self.cursors.append(cursor)
        pages = self.pages(cursor) if callable(self.pages) else self.pages
        for page in pages:
            if isinstance(page, Exception):
                raise page
            yield page

    def read(self, **options):
        return tasks.sync_roster(
            self.runtime.database, self.plugins, self.tenant.id, self.name, now=self.clock.now, **options
        )

    def give(self, *pages, **options):
        """Read these pages, an hour after the last reading; a list of records is one page."""
        self.clock.forward(hours=1)
        self.pages = [page if not isinstance(page, list) else RosterPage(page) for page in pages]
        return self.sync(**options)
