"""Everybody opens the activity at the same moment: none may be lost, none may get the page of another.

The tool runs as `rmplugin serve` runs it. Each person has a browser of their own and goes the whole way:
login, signed token, launch, first page, and one more page with the session of that page. The first wave is of
people who were never here; the second is of the same people, whom the tool recognises. Before each, the same
requests go to a server of the same size that does nothing (`benchmarks/launch_floor.py`): the floor.

All launches are under way at once, so a launch's time is mostly waiting in line; launches per second and the
ratio to the floor say how fast the tool is. Exit code 1 when anybody was lost, cross-wired or given the
session of another.

    python -m benchmarks.launch_load [--people 2000] [--database sqlite] [--workers 2] [--threads 8]

Without --database both are measured; PostgreSQL when RM_BENCH_POSTGRES_URL names a server on which a database
may be made, or when its server is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

import requests
from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url

from benchmarks.crowd import STEPS, Crowd, Member, SigningPlatform, Wave
from rmplugin import migrations, notify
from rmplugin.cli.setup import gunicorn_command
from rmplugin.db import Database
from rmplugin.logins import WebSession
from rmplugin.people.models import LtiUser, Person
from rmplugin.people.tasks import sync_roster
from rmplugin.settings import make_secret_key, read_settings
from rmplugin.tenants.keys import ensure_tool_keys
from rmplugin.tenants.models import Tenant
from rmplugin.tenants.operations import add_account, ensure_tenant
from rmplugin.wiring import make_runtime
from tests.factories.launches import register
from tests.postgres import cluster, find_binaries

DATABASES = ("sqlite", "postgresql")
WAVES = ("first launch", "launched before")
START_SECONDS = 120
# What a process needs beside one socket for each browser.
OTHER_FILES = 500


@dataclass(frozen=True)
class Size:
    """How many browsers, and what they meet.

    :ivar bound: seconds after which a wave is ended.
    """

    people: int
    workers: int = 2
    threads: int = 8
    bound: float = 300


@dataclass
class Measured:
    """What came of one database.

    :ivar waves: name -> wave; the floor's two among them.
    :ivar faults: everything that must never happen; empty when all is well.
    """

    waves: dict[str, Wave]
    faults: list[str]


@contextlib.contextmanager
def installation(
    folder: Path, database_url: str, people: Sequence[Member], platform: SigningPlatform, public_url: str
) -> Iterator[tuple[dict[str, str], Database, Tenant]]:
    """Set the tool up as its commands do: a roster by the CSV connector, one platform, one greeting each.

    :return: environment of its processes, its database, its tenant.
    """
    make_secret_key(folder)
    environ = {
        "RM_DATA_DIR": str(folder),
        "RM_DATABASE_URL": database_url,
        "RM_PUBLIC_URL": public_url,
    }
    runtime = make_runtime(read_settings(environ))
    database, now = runtime.database, datetime.now(UTC)
    migrations.upgrade(database.engine)
    with database.transaction(None) as db:
        tenant = ensure_tenant(db, "load", "Load", now)
        ensure_tool_keys(db, database.secrets, now)
    register(database, tenant, platform, now, deployments=(platform.deployment_id,))
    with (folder / "people.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("Employee Number", "Name", "Email"))
        rows.writerows((p.employee_number, p.name, f"p{p.number}@company.example") for p in people)
    with database.transaction(tenant.id) as db:
        connector = runtime.plugins.connector("csv_file")
        settings = {"path": str(folder / "people.csv")}
        add_account(db, "hr", connector, settings, {}, database.secrets, now)
    report = sync_roster(database, runtime.plugins, tenant.id, "hr", now=now, accept_shrink=True)
    assert report.counts["created"] == len(people), report
    with database.transaction(tenant.id) as db:
        # The home page names partners only; a notice shows whose page it is.
        for person in db.scalars(select(Person)):
            notify.tell(db, person.id, "welcome", f"Welcome, {person.display_name}.", now)
    try:
        yield environ, database, tenant
    finally:
        database.close()
        runtime.queue.storage.close()


@contextlib.contextmanager
def served(command: Sequence[str], environ: dict[str, str], ready_url: str, log: Path) -> Iterator[None]:
    """Run a server until the end of the block."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RM_")}
    with log.open("ab") as output:
        server = subprocess.Popen(
            command, env=clean | environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            _wait(server, ready_url, log)
            yield
        finally:
            server.terminate()
            try:
                server.wait(40)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if requests.get(url, timeout=2).status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError("The server did not start:\n" + log.read_text(errors="replace")[-2000:])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def measure(folder: Path, database_url: str, size: Size) -> Measured:
    """Let everybody launch twice against the tool and twice against the floor, in turn."""
    allow_files(size.people + OTHER_FILES)
    people = [Member(number) for number in range(size.people)]
    port, floor_port = free_port(), free_port()
    base, floor_base = (f"http://127.0.0.1:{number}" for number in (port, floor_port))
    serve = [sys.executable, "-c", "from rmplugin.cli import main; main()", "serve"]
    serve += ["--bind", f"127.0.0.1:{port}", "--workers", str(size.workers), "--threads", str(size.threads)]
    floor = gunicorn_command(
        f"127.0.0.1:{floor_port}", size.workers, size.threads, "benchmarks.launch_floor:app"
    )
    with (
        SigningPlatform() as platform,
        installation(folder, database_url, people, platform, base) as (environ, database, tenant),
        served(serve, environ, f"{base}/lti/jwks", folder / "tool.log"),
        served(floor, {}, f"{floor_base}/entry/0", folder / "floor.log"),
    ):
        waves = asyncio.run(_waves(base, floor_base, platform, size))
        faults = [f"{name}: {fault}" for name, wave in waves.items() for fault in wave.faults]
        faults += examine(database, tenant, waves, size.people)
    return Measured(waves, faults)


async def _waves(base: str, floor_base: str, platform: SigningPlatform, size: Size) -> dict[str, Wave]:
    async with (
        Crowd(base, size.people, platform, bound=size.bound) as crowd,
        Crowd(floor_base, size.people, platform, bound=size.bound) as beside,
    ):
        waves = {}
        for name in WAVES:
            waves[f"{name}, floor"] = await beside.wave()
            waves[name] = await crowd.wave()
    return waves


def examine(database: Database, tenant: Tenant, waves: dict[str, Wave], people: int) -> list[str]:
    """Compare the rows with what the browsers saw: one user and one session each, of the right person."""
    arrived = sum(o.lost is None for name in WAVES for o in waves[name].outcomes)
    with database.transaction(tenant.id, write=False) as db:
        users = {user.id: user for user in db.scalars(select(LtiUser))}
        persons = {person.id: person.employee_number for person in db.scalars(select(Person))}
        sessions = db.execute(
            select(WebSession.lti_user_id, WebSession.person_id, WebSession.entry_sha256).where(
                WebSession.tenant_id == tenant.id
            )
        ).all()
    numbers = {user.id: f"E{int(user.sub.removeprefix('user-')):05}" for user in users.values()}
    faults = []
    if len(users) != people or len(set(numbers.values())) != people:
        faults.append(f"rows: {len(users)} users of the platform for {people} people")
    wrong = sum(persons.get(user.person_id) != numbers[user.id] for user in users.values())
    wrong += sum(persons.get(row.person_id) != numbers[row.lti_user_id] for row in sessions)
    if wrong:
        faults.append(f"rows: {wrong} users or sessions of another person, or of nobody")
    entered = sum(row.entry_sha256 is None for row in sessions)
    if entered != arrived:
        faults.append(f"rows: {entered} sessions for {arrived} launches that arrived")
    return faults


def allow_files(count: int) -> None:
    """Let this process and its children open so many files; each browser keeps a socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise SystemExit(f"{count} open files are needed and the system allows {hard}: raise `ulimit -Hn`.")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


@contextlib.contextmanager
def _database(kind: str, folder: Path) -> Iterator[str | None]:
    """Give the URL of an empty database that is removed afterwards; None when there is no such server."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/load.sqlite3"
        return
    given, binaries = os.environ.get("RM_BENCH_POSTGRES_URL"), find_binaries()
    if given is None and binaries is None:
        yield None
        return
    with contextlib.nullcontext(given) if given else cluster(binaries) as server:
        url, name = make_url(server), f"rm_bench_{uuid.uuid4().hex[:8]}"
        admin = create_engine(url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            with admin.connect() as connection:
                connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
            admin.dispose()


def report(kind: str, measured: Measured, size: Size) -> str:
    """Lay one database's numbers out for reading."""
    columns = ("launches", "at once", "lost", "crossed", "resent", "seconds", "per second", "/ floor")
    lines = [
        f"{kind}: {size.people} people, {size.workers} workers with {size.threads} threads",
        f"{'':<24}" + "".join(f"{column:>12}" for column in columns),
    ]
    for name, wave in measured.waves.items():
        arrived = [o for o in wave.outcomes if o.lost is None]
        floor = measured.waves.get(f"{name}, floor")
        ratio = f"{wave.seconds / floor.seconds:.2f}" if floor else ""
        cells = [
            str(len(wave.outcomes)),
            str(wave.most_at_once),
            str(len(wave.outcomes) - len(arrived)),
            str(sum(o.crossed is not None for o in wave.outcomes)),
            str(sum(o.resent for o in wave.outcomes)),
            f"{wave.seconds:.2f}",
            f"{len(arrived) / wave.seconds:.0f}",
            ratio,
        ]
        lines.append(f"{name:<24}" + "".join(f"{cell:>12}" for cell in cells))
    lines.append(f"{'seconds: p50 / p95 / max':<24}" + "".join(f"{s:>23}" for s in ("whole", *STEPS)))
    for name, wave in measured.waves.items():
        arrived = [o for o in wave.outcomes if o.lost is None]
        of_step: list[Callable[[Any], float]] = [lambda o: o.whole]
        of_step += [lambda o, step=step: o.seconds[step] for step in STEPS]  # type: ignore[misc]
        cells = [_spread([of(o) for o in arrived]) for of in of_step]
        lines.append(f"{name:<24}" + "".join(f"{cell:>23}" for cell in cells))
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    if len(values) < 2:
        return "-"
    cuts = quantiles(values, n=20)
    return f"{cuts[9]:.2f} / {cuts[18]:.2f} / {max(values):.2f}"


def main() -> int:
    """Measure the databases that were asked for, print the tables, and tell whether all was right."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=2000, help="browsers at once (2000)")
    parser.add_argument("--database", choices=DATABASES, help="one database instead of both")
    parser.add_argument("--workers", type=int, default=2, help="server processes (2)")
    parser.add_argument("--threads", type=int, default=8, help="threads of each (8)")
    parser.add_argument("--bound", type=float, default=300, help="seconds after which a wave is ended (300)")
    parser.add_argument("--log", type=Path, help="keep the tool's log in this folder")
    options = parser.parse_args()
    # A polite end of ours must also be the end of the servers that we started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    size = Size(options.people, options.workers, options.threads, options.bound)
    failed = False
    for kind in [options.database] if options.database else DATABASES:
        with (
            tempfile.TemporaryDirectory(prefix="rm-load-") as folder,
            _database(kind, Path(folder)) as url,
        ):
            if url is None:
                print("PostgreSQL is not installed: not measured.")
                failed |= options.database is not None
                continue
            measured = measure(Path(folder), url, size)
            print(report(kind, measured, size), flush=True)
            for fault in measured.faults[:20]:
                print(f"FAULT {fault}")
            if len(measured.faults) > 20:
                print(f"FAULT and {len(measured.faults) - 20} more")
            failed |= bool(measured.faults)
            if options.log:
                options.log.mkdir(parents=True, exist_ok=True)
                (options.log / f"{kind}.log").write_bytes((Path(folder) / "tool.log").read_bytes())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
