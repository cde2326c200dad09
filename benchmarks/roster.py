"""How long a roster run takes, against the floor: parse the same file and insert it with one statement.

Each variant is measured in a process of its own, three times; the medians are compared, and the outcome in
the database is checked each time. SQLite always; PostgreSQL when RM_BENCH_POSTGRES_URL names a server.

    python benchmarks/roster.py [--people 20000] [--rounds 3] [--json]
"""

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import UTC, date, datetime
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import create_engine, func, insert, select, text
from sqlalchemy.engine import make_url

from rmplugin import migrations
from rmplugin.db import Database, Secrets, new_id
from rmplugin.demo.company import Company, write_company
from rmplugin.people.models import Person
from rmplugin.people.tasks import sync_roster
from rmplugin.plugins import Plugins
from rmplugin.tenants.models import HrAccount
from rmplugin.tenants.operations import add_account, ensure_tenant

VARIANTS = ("floor", "first", "unchanged", "changed")
AIMS = {"first": 2.5, "unchanged": 1.2, "changed": 1.3}
# Of this many people one has another job title.
CHANGED_EACH = 100
ROUNDS = 3
PERSON = Person.__table__


def main() -> None:
    """Run all variants and print the table; exit 1 when an aim is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="measurements per variant")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        print(json.dumps(measure(options.variant, options.url, options.people)))
        return
    urls = {"SQLite": "sqlite"}
    if server := os.environ.get("RM_BENCH_POSTGRES_URL"):
        urls["PostgreSQL"] = server
    results = {name: compare(url, options.people, options.rounds) for name, url in urls.items()}
    print(json.dumps(results) if options.json else table(results, options.people))
    missed = any(row["ratio"] > AIMS[v] for rows in results.values() for v, row in rows.items() if v in AIMS)
    sys.exit(1 if missed else 0)


def compare(url: str, people: int, rounds: int) -> dict[str, dict[str, float]]:
    """Measure the variants in turn, so that a busy minute of the machine hits all of them."""
    runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for _ in range(rounds):
        for variant in VARIANTS:
            command = [sys.executable, __file__, "--variant", variant, "--url", url, "--people", str(people)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            runs[variant].append(json.loads(answer.stdout.splitlines()[-1]))
    rows = {v: {k: statistics.median(run[k] for run in runs[v]) for k in runs[v][0]} for v in VARIANTS}
    return {v: {**row, "ratio": row["seconds"] / rows["floor"]["seconds"]} for v, row in rows.items()}


def measure(variant: str, url: str, people: int) -> dict[str, float]:
    """Time one variant in this process, on a database of its own, and check what it left there."""
    with tempfile.TemporaryDirectory(prefix="rm_bench_") as folder:
        company = write_company(Path(folder) / "roster.csv", people, as_of=date(2026, 1, 1))
        own_url, drop = make_database(url, folder)
        database = Database(own_url, Secrets(Fernet.generate_key().decode()))
        try:
            return _measure(variant, database, company)
        finally:
            database.close()
            drop()


def _measure(variant: str, database: Database, company: Company) -> dict[str, float]:
    migrations.upgrade(database.engine)
    plugins, now = Plugins(), datetime.now(UTC)
    with database.transaction(None) as db:
        tenant = ensure_tenant(db, "bench", "Bench", now)
    with database.transaction(tenant.id) as db:
        account = add_account(
            db,
            "hr",
            plugins.connector("csv_file"),
            settings_of(company),
            company.seniority,
            database.secrets,
            now,
        )
    if variant in ("unchanged", "changed"):
        # In a process of its own, so that the memory of the first run is not taken for that of the second.
        first = get_context("spawn").Process(target=sync_once, args=(database.url, tenant.id, now))
        first.start()
        first.join()
    if variant == "changed":
        change_some(company)
    memory_before = _peak()
    started = time.perf_counter()
    if variant == "floor":
        with database.transaction(tenant.id) as db:
            db.connection().execute(insert(PERSON), parse(company, account, now))
    else:
        report = sync_roster(database, plugins, tenant.id, "hr", now=now, accept_shrink=variant == "first")
    seconds, peak = time.perf_counter() - started, _peak()
    total = len(company.people)
    if variant != "floor":
        updated = total // CHANGED_EACH if variant == "changed" else 0
        counts = {"seen": total, "created" if variant == "first" else "unchanged": total - updated}
        counts |= {"updated": updated} if updated else {}
        assert {name: n for name, n in report.counts.items() if n} == counts, report.counts
        assert report.skipped == []
    check(database, tenant.id, company, managers=variant != "floor")
    return {"seconds": seconds, "peak_mb": peak, "grown_mb": peak - memory_before}


def sync_once(url: str, tenant_id: uuid.UUID, now: datetime) -> None:
    """Read the account once."""
    database = Database(url, Secrets(Fernet.generate_key().decode()))
    sync_roster(database, Plugins(), tenant_id, "hr", now=now, accept_shrink=True)


def change_some(company: Company) -> None:
    """Give one person of a hundred another job title, in the file."""
    column = company.mapping["job_title"]
    with company.path.open(encoding=company.encoding, newline="") as file:
        rows = list(csv.DictReader(file, delimiter=company.delimiter))
    for row in rows[CHANGED_EACH - 1 :: CHANGED_EACH]:
        row[column] = f"Changed {row[column]}"
    with company.path.open("w", encoding=company.encoding, newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=company.delimiter)
        writer.writeheader()
        writer.writerows(rows)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def settings_of(company: Company) -> dict[str, Any]:
    """Declare the company's export to the connector."""
    return {
        "path": str(company.path),
        "mapping": company.mapping,
        "date_format": company.date_format,
        "delimiter": company.delimiter,
        "encoding": company.encoding,
    }


def parse(company: Company, account: HrAccount, now: datetime) -> list[dict[str, Any]]:
    """Read the file as plainly as can be: no checks, no diff, no managers."""
    columns = {field: column for field, column in company.mapping.items() if not field.startswith("manager")}
    manager = next(column for field, column in company.mapping.items() if field.startswith("manager"))
    blank = dict.fromkeys(column.name for column in PERSON.columns)
    fixed = {
        "tenant_id": account.tenant_id, "account_id": account.id, "manager_state": "none", "languages": [],
        "former_emails": [], "email_reused": False, "skills": [], "employments": [], "missing_runs": 0,
        "kept_apart": False,
        "lifecycle": "present", "row_hash": "0" * 32, "seen_at": now, "created_at": now, "updated_at": now,
    }  # fmt: skip
    rows = []
    with company.path.open(encoding=company.encoding, newline="") as file:
        for cells in csv.DictReader(file, delimiter=company.delimiter):
            row = {**blank, **fixed, **{field: cells[column] or None for field, column in columns.items()}}
            row["id"], row["source_key"], row["manager_key"] = (
                new_id(),
                row["employee_number"],
                cells[manager] or None,
            )
            row["email_folded"] = row["email"] and row["email"].casefold()
            row["status"] = row["status"].lower()
            row["seniority_rank"] = company.seniority.get(row["grade"])
            for name in ("hire_date", "termination_date"):
                row[name] = row[name] and read_date(row[name], company.date_format)
            rows.append(row)
    return rows


@cache
def read_date(value: str, date_format: str) -> date:
    """Read a date; most come more than once, so the floor is not made slow by them."""
    return datetime.strptime(value, date_format).date()  # noqa: DTZ007 - a date has no zone.


def check(database: Database, tenant_id: uuid.UUID, company: Company, *, managers: bool) -> None:
    """Compare every person in the database with the company that wrote the file."""
    columns = (
        Person.id, Person.employee_number, Person.given_name, Person.family_name, Person.hire_date,
        Person.seniority_rank, Person.manager_id,
    )  # fmt: skip
    with database.transaction(tenant_id, write=False) as db:
        found = {row.employee_number: row for row in db.execute(select(*columns))}
        with_manager = db.scalar(select(func.count()).where(Person.manager_id.is_not(None)))
    numbers = {person.id: number for number, person in found.items()}
    assert len(found) == len(company.people)
    for person in company.people:
        row = found[person.employee_number]
        assert (row.given_name, row.family_name, row.hire_date) == (
            person.given_name,
            person.family_name,
            person.hired_on,
        )
        assert row.seniority_rank == company.seniority[f"G{person.level}"]
        if managers:
            assert numbers.get(row.manager_id) == person.manager
    assert not managers or with_manager == sum(person.manager is not None for person in company.people)


def make_database(url: str, folder: str) -> tuple[str, Any]:
    """Make an empty database; give its URL and what removes it."""
    if url == "sqlite":
        return f"sqlite:///{folder}/bench.sqlite3", lambda: None
    server, name = make_url(url), f"rm_bench_{uuid.uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))

    def drop() -> None:
        with admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        admin.dispose()

    return server.set(database=name).render_as_string(hide_password=False), drop


def table(results: dict[str, dict[str, dict[str, float]]], people: int) -> str:
    """Lay the results out for reading."""
    lines = [
        f"{people} people, medians",
        "database    variant     seconds  x floor      aim   peak MB  grown MB",
    ]
    for database, rows in results.items():
        for variant, row in rows.items():
            aim = f"<= {AIMS[variant]:.1f}" if variant in AIMS else ""
            lines.append(
                f"{database:<11} {variant:<11} {row['seconds']:7.2f}  {row['ratio']:7.2f}  {aim:>6}"
                f"  {row['peak_mb']:8.0f}  {row['grown_mb']:8.0f}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
