"""How long a roster run takes, against the floor: parse the same file and insert it with one statement.

Each variant runs in a process of its own, the variants in turn, several rounds; the medians are compared, and
what stands in the database is checked each time. SQLite always; PostgreSQL when RM_BENCH_POSTGRES_URL names
a server on this machine. The floor holds the whole company in memory, the engine must not.

    python -m benchmarks.roster [--people 20000 100000 500000] [--rounds 3] [--only SQLite] [--json]

CPU is that of the process and of PostgreSQL's together: on a busy machine it says more than seconds.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import marshmallow as ma
import psycopg
from cryptography.fernet import Fernet
from sqlalchemy import create_engine, event, insert, select, text
from sqlalchemy.engine import Engine, make_url

from benchmarks import roster_company as company
from rmplugin import migrations
from rmplugin.db import Database, Secrets
from rmplugin.people.tasks import sync_roster
from rmplugin.plugins import Plugins
from rmplugin.tenants.models import HrAccount, Tenant
from rmplugin.tenants.operations import add_account, ensure_tenant

VARIANTS = ("floor", "first", "unchanged", "changed")
# Times the floor.
AIMS = {"first": 2.5, "unchanged": 1.2, "changed": 1.3}
MOST_MB = 300
# Statements that any run needs, and how many more there may be for each thousand people.
STATEMENTS, STATEMENTS_PER_THOUSAND = 60, 1
ROUNDS = 3
SECRETS = Secrets(Fernet.generate_key().decode())
Row = dict[str, float]


def main() -> None:
    """Run all variants and print the tables; exit 1 when an aim is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, nargs="+", default=[20_000])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="measurements per variant")
    parser.add_argument("--only", choices=("SQLite", "PostgreSQL"), help="one database only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=3, metavar=("WHAT", "URL", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, url, folder = options.child
        print(json.dumps(child(what, url, Path(folder), options.people[0])))
        return
    urls = {"SQLite": "sqlite"}
    if server := os.environ.get("RM_BENCH_POSTGRES_URL"):
        urls["PostgreSQL"] = server
    urls = {name: url for name, url in urls.items() if options.only in (None, name)}
    results: dict[str, dict[str, dict[str, Row]]] = {}
    for people in options.people:
        with tempfile.TemporaryDirectory(prefix="rm_bench_") as folder:
            start("export", "", folder, people)
            for name, url in urls.items():
                rows = compare(url, folder, people, options.rounds)
                results.setdefault(str(people), {})[name] = rows
                if not options.json:
                    print(table(name, people, rows), flush=True)
    if options.json:
        print(json.dumps(results))
    every = [(int(n), rows) for n, found in results.items() for rows in found.values()]
    sys.exit(1 if any(missed(v, rows, n) for n, rows in every for v in rows) else 0)


def compare(url: str, folder: str, people: int, rounds: int) -> dict[str, Row]:
    """Measure the variants in turn, so that a busy minute of the machine hits all of them."""
    runs: dict[str, list[Row]] = {variant: [] for variant in VARIANTS}
    for _ in range(rounds):
        with new_database(url, folder) as own_url:
            runs["floor"].append(start("floor", own_url, folder, people))
        with new_database(url, folder) as own_url:
            for variant in VARIANTS[1:]:
                runs[variant].append(start(variant, own_url, folder, people))
    rows = {v: {k: statistics.median(run[k] for run in runs[v]) for k in runs[v][0]} for v in VARIANTS}
    floor = rows["floor"]
    for row in rows.values():
        row |= {f"{name}_ratio": row[name] / floor[name] for name in ("wall", "cpu")}
    return rows


def start(what: str, url: str, folder: str, people: int) -> Row:
    """Do one thing in a process of its own, so that memory of before is not taken for its."""
    command = [sys.executable, "-m", "benchmarks.roster", "--people", str(people)]
    command += ["--child", what, url, folder]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: Row = json.loads(answer.stdout.splitlines()[-1])
    if found:
        # Half a million people take their time.
        print(f"{people} {url.partition(':')[0]} {what} {json.dumps(found)}", file=sys.stderr, flush=True)
    return found


def child(what: str, url: str, folder: Path, people: int) -> Row:
    """Write the export, or measure one variant and check what it left in the database."""
    if what == "export":
        company.store(company.write_export(folder, people), folder)
        return {}
    export, database = company.load(folder), Database(url, SECRETS)
    try:
        if what in ("floor", "first"):
            make_account(database, export)
        with database.unbound(write=False) as db:
            tenant_id, account_id = (
                db.scalars(select(Tenant.id)).one(),
                db.scalars(select(HrAccount.id)).one(),
            )
        # An export that says the same is still another delivery.
        export.deliver("changed" if what == "changed" else "first")
        now, plugins = datetime.now(UTC), Plugins()
        # A worker has them loaded long before.
        plugins.connector("csv_file")
        if what == "floor":

            def work() -> None:
                rows = company.parse(export, tenant_id, account_id, now)
                with database.transaction(tenant_id) as db:
                    db.connection().execute(insert(company.PERSON), rows)
        else:

            def work() -> None:
                sync(database, plugins, export, tenant_id, what, now)

        found = measure(database.engine, work)
        company.check(database, tenant_id, export, managers=what != "floor")
    finally:
        database.close()
    return found


def make_account(database: Database, export: company.Export) -> None:
    """Make the tables, a tenant, and the account that reads the export."""
    migrations.upgrade(database.engine)
    now = datetime.now(UTC)
    with database.transaction(None) as db:
        tenant = ensure_tenant(db, "bench", "Bench", now)
    with database.transaction(tenant.id) as db:
        connector = Plugins().connector("csv_file")
        add_account(db, "hr", connector, export.settings, export.seniority, SECRETS, now)


def sync(
    database: Database,
    plugins: Plugins,
    export: company.Export,
    tenant_id: uuid.UUID,
    variant: str,
    now: datetime,
) -> None:
    """Read the account once; the run must say what the file says."""
    report = sync_roster(database, plugins, tenant_id, "hr", now=now, accept_shrink=variant == "first")
    updated = export.people // company.CHANGED_EACH if variant == "changed" else 0
    kind = "created" if variant == "first" else "unchanged"
    counts = {"seen": export.people, kind: export.people - updated} | (
        {"updated": updated} if updated else {}
    )
    assert {name: n for name, n in report.counts.items() if n} == counts, report.counts
    assert (report.status, report.skipped) == ("complete", [])


# -- measuring ---------------------------------------------------------------------------------------------


@dataclass
class Counter:
    """What is counted while a variant runs.

    :ivar statements: calls of the driver; COPY is one.
    :ivar executed: what the database is asked to run: on PostgreSQL a statement for many rows is sent once
        for each of them, on SQLite it is in the same process and counts once.
    """

    statements: int = 0
    executed: int = 0
    marshmallow_calls: int = 0
    marshmallow_seconds: float = 0.0
    undo: list[Callable[[], None]] = field(default_factory=list)

    def listen(self, engine: Engine) -> None:
        """Count statements, and what marshmallow does."""

        def ran(_conn: Any, _cursor: Any, _text: str, given: Any, _context: Any, many: bool) -> None:
            self.statements += 1
            self.executed += len(given) if many and engine.dialect.name != "sqlite" else 1

        event.listen(engine, "before_cursor_execute", ran)
        self.undo.append(lambda: event.remove(engine, "before_cursor_execute", ran))
        self._wrap(psycopg.Cursor, "copy", self._copied)
        for name in ("load", "dump", "validate"):
            self._wrap(ma.Schema, name, self._loaded)

    def _wrap(self, owner: type, name: str, told: Callable[[float], None]) -> None:
        original = getattr(owner, name)

        def timed(*args: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return original(*args, **named)
            finally:
                told(time.process_time() - began)

        setattr(owner, name, timed)
        self.undo.append(lambda: setattr(owner, name, original))

    def _copied(self, _seconds: float) -> None:
        self.statements += 1
        self.executed += 1

    def _loaded(self, seconds: float) -> None:
        self.marshmallow_calls += 1
        self.marshmallow_seconds += seconds


def measure(engine: Engine, work: Callable[[], None]) -> Row:
    """Run something once: seconds, CPU seconds, memory, statements, marshmallow's share."""
    counter, server = Counter(), server_pid(engine)
    counter.listen(engine)
    before = peak_mb()
    server_began, began, cpu_began = server_cpu(server), time.perf_counter(), own_cpu()
    work()
    wall, own = time.perf_counter() - began, own_cpu() - cpu_began
    theirs = server_cpu(server) - server_began
    for undo in counter.undo:
        undo()
    return {
        "wall": wall,
        "cpu": own + theirs,
        "server_cpu": theirs,
        "peak_mb": peak_mb(),
        "grown_mb": peak_mb() - before,
        "statements": counter.statements,
        "executed": counter.executed,
        "marshmallow_calls": counter.marshmallow_calls,
        "marshmallow_share": counter.marshmallow_seconds / own,
    }


def own_cpu() -> float:
    """Give this process' CPU seconds, its own and the kernel's for it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> float:
    """Give this process' highest memory; `ru_maxrss` begins with what the process that started it had."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def server_pid(engine: Engine) -> int | None:
    """Give the process id of PostgreSQL's first process; None for SQLite."""
    if engine.dialect.name == "sqlite":
        return None
    with engine.connect() as connection:
        pid = connection.scalar(text("select pg_backend_pid()"))
    return int(stat_of(f"/proc/{pid}")[1])


def server_cpu(pid: int | None) -> float:
    """Give the CPU seconds of all processes of PostgreSQL, those that have ended among them; 0 for SQLite."""
    if pid is None:
        return 0.0
    ticks = sum(map(int, stat_of(f"/proc/{pid}")[11:15]))
    for process in Path("/proc").glob("[0-9]*"):
        try:
            stat = stat_of(str(process))
        except OSError:
            continue
        if int(stat[1]) == pid:
            ticks += sum(map(int, stat[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def stat_of(process: str) -> list[str]:
    """Give the fields of a process after its name: state, parent, and so on."""
    return Path(process, "stat").read_text().rpartition(")")[2].split()


@contextmanager
def new_database(url: str, folder: str) -> Iterator[str]:
    """Make an empty database, give its URL, remove it."""
    name = f"rm_bench_{uuid.uuid4().hex[:12]}"
    if url == "sqlite":
        with tempfile.TemporaryDirectory(dir=folder) as own:
            yield f"sqlite:///{own}/{name}.sqlite3"
        return
    server = make_url(url)
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        admin.dispose()


# -- the table ---------------------------------------------------------------------------------------------


def missed(variant: str, rows: dict[str, Row], people: int) -> list[str]:
    """Name the aims that a variant misses."""
    if variant not in AIMS:
        return []
    row, aim = rows[variant], AIMS[variant]
    statements = STATEMENTS + STATEMENTS_PER_THOUSAND * people / 1000
    faults = {
        "wall": row["wall_ratio"] > aim,
        "CPU": row["cpu_ratio"] > aim,
        "memory": row["peak_mb"] > MOST_MB,
        "statements": row["executed"] > statements,
    }
    return [name for name, is_so in faults.items() if is_so]


def table(name: str, people: int, rows: dict[str, Row]) -> str:
    """Lay the results out for reading."""
    head = "variant      wall s  x floor    CPU s  of it server  x floor     aim  peak MB  grown MB"
    lines = [f"{name}, {people:,} people, medians", f"{head}  statements  executed  marshmallow"]
    for variant, row in rows.items():
        aim = f"<= {AIMS[variant]:.1f}" if variant in AIMS else ""
        faults = missed(variant, rows, people)
        lines.append(
            f"{variant:<10} {row['wall']:8.2f} {row['wall_ratio']:8.2f} {row['cpu']:8.2f}"
            f" {row['server_cpu']:13.2f} {row['cpu_ratio']:8.2f} {aim:>7} {row['peak_mb']:8.0f}"
            f" {row['grown_mb']:9.0f} {row['statements']:11.0f} {row['executed']:9.0f}"
            f" {row['marshmallow_calls']:4.0f}: {row['marshmallow_share']:5.1%}"
            + (f"  MISSED: {', '.join(faults)}" if faults else "")
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
