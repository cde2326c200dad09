"""How fast completions reach a platform that takes its time, against what its answers alone would allow.

    python -m benchmarks.deliver [--people 10000] [--answer-ms 50] [--hands N ...] [--json]

The floor is bare: the same HTTP client posts the same bodies over as many connections, and does nothing else.
SQLite always; PostgreSQL when RM_BENCH_POSTGRES_URL names a server on this machine. The platform runs in a
process of its own, and so does each measurement. What stands in its gradebook is compared with the ledger.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import Table, func, select

from benchmarks.deliver_platform import serve
from benchmarks.match_pool import open_runtime
from benchmarks.roster import new_database, own_cpu, server_cpu, server_pid
from lti import ags
from lti.links import below
from rmplugin import http
from rmplugin.credits import tasks
from rmplugin.credits.models import Completion, Delivery
from rmplugin.db import insert_rows, new_id
from rmplugin.jobs import Runtime
from rmplugin.people.models import CourseMember, LtiUser, Person
from rmplugin.tenants.keys import ensure_tool_keys
from rmplugin.tenants.operations import ensure_tenant
from rmplugin.wiring import configure_logging
from tests.factories.credits import SCOPES, make_course, make_programme
from tests.factories.people import make_account

# At least so much of the bare throughput; the others are at most.
LEAST_SHARE, MOST_GROWTH, MOST_AGE = 0.8, 1.1, 2.5
Row = dict[str, float]


def main() -> None:
    """Measure each database and print the table; exit 1 when an aim is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--answer-ms", type=float, default=50)
    parser.add_argument("--hands", type=int, nargs="+", default=[tasks.AT_ONCE])
    parser.add_argument("--only", choices=("SQLite", "PostgreSQL"), help="one database only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=4, metavar=("WHAT", "URL", "FOLDER", "BASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, url, folder, base = options.child
        hands = options.hands[0]
        work = bare if what == "bare" else ours
        print(json.dumps(work(url, Path(folder), base, options.people, hands)))
        return
    urls = {"SQLite": "sqlite"}
    if server := os.environ.get("RM_BENCH_POSTGRES_URL"):
        urls["PostgreSQL"] = server
    results, faults = [], []
    for name, url in urls.items():
        if options.only in (None, name):
            for hands in options.hands:
                row = compare(url, options.people, options.answer_ms, hands)
                results.append({"database": name, "hands": hands, **row})
                faults += missed(row) if hands == tasks.AT_ONCE else []
                if not options.json:
                    print(line(name, hands, row), flush=True)
    if options.json:
        print(json.dumps(results))
    sys.exit(1 if faults else 0)


def compare(url: str, people: int, answer_ms: float, hands: int) -> Row:
    """Measure bare, ours, and bare again, so that a machine that gets busier shows."""
    with tempfile.TemporaryDirectory(prefix="rm_bench_") as folder, new_database(url, folder) as own_url:
        runs = []
        for what in ("bare", "ours", "bare"):
            with serve(answer_ms / 1000) as base:
                runs.append(_start(what, own_url, folder, base, people, hands))
    first, row, second = runs
    rate = statistics.mean((first["rate"], second["rate"]))
    return {
        **row,
        "bare": rate,
        "bare_first": first["rate"],
        "bare_second": second["rate"],
        "share": row["rate"] / rate,
    }


def _start(what: str, url: str, folder: str, base: str, people: int, hands: int) -> Row:
    command = [sys.executable, "-m", "benchmarks.deliver", "--people", str(people), "--hands", str(hands)]
    command += ["--child", what, url, folder, base]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    found: Row = json.loads(answer.stdout.splitlines()[-1])
    return found


def bare(_url: str, _folder: Path, base: str, people: int, hands: int) -> Row:
    """Post the same scores over as many connections."""
    session = http.make_session()
    column = f"{base}/column?type_id=36"
    token = session.post(f"{base}/token").json()["access_token"]
    headers = {"Content-Type": ags.SCORE_TYPE, "Accept": ags.SCORE_TYPE, "Authorization": f"Bearer {token}"}
    now = datetime.now(UTC)

    def post(number: int) -> int:
        score = ags.Score(f"u-{number}", 25.0, 100.0, "InProgress", "FullyGraded", now)
        body = json.dumps(score.to_json()).encode()
        with session.request(
            "POST", below(column, "scores"), headers=headers, data=body, stream=True
        ) as answer:
            return len(answer.content) + answer.status_code

    with ThreadPoolExecutor(hands) as pool:
        list(pool.map(post, range(hands)))  # Connections are made.
        began, cpu = time.perf_counter(), own_cpu()
        list(pool.map(post, range(people)))
        seconds = time.perf_counter() - began
    return {"rate": people / seconds, "cpu_ms": 1000 * (own_cpu() - cpu) / people}


def ours(url: str, folder: Path, base: str, people: int, hands: int) -> Row:
    """Let a worker deliver a completion of everybody, and check the gradebook."""
    runtime = open_runtime(folder, url)
    try:
        # A log line for each would be the terminal's time.
        configure_logging("json")
        # A real clock: leases and timestamps depend on it.
        object.__setattr__(runtime, "clock", lambda: datetime.now(UTC))
        tenant_id = fill(runtime, base, people)
        tasks.AT_ONCE = hands
        server = server_pid(runtime.database.engine)
        with sampled() as memory:
            began, cpu, theirs = time.perf_counter(), own_cpu(), server_cpu(server)
            ended = tasks.deliver_due(runtime)
            seconds = time.perf_counter() - began
        assert ended == {"delivered": people}, ended
        ages = check(runtime, tenant_id, base, people)
        third = memory[len(memory) // 3 :]
        return {
            "rate": people / seconds,
            "cpu_ms": 1000 * (own_cpu() - cpu) / people,
            "server_cpu_ms": 1000 * (server_cpu(server) - theirs) / people,
            "growth": third[-1] / third[0],
            "peak_mb": max(memory),
            "age": max(ages) / statistics.median(ages),
        }
    finally:
        runtime.database.close()


@contextmanager
def sampled() -> Iterator[list[float]]:
    """Sample this process's memory in MB while the block runs."""
    found, over = [_resident()], threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            found.append(_resident())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found.append(_resident())


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def fill(runtime: Runtime, base: str, people: int) -> uuid.UUID:
    """Write a course with so many people, of each of whom a first grade is to be sent."""
    now = runtime.clock()
    with runtime.database.transaction(None) as db:
        ensure_tool_keys(db, runtime.database.secrets, now)
        tenant_id = ensure_tenant(db, "bench", "Bench", now).id
    with runtime.database.transaction(tenant_id) as db:
        account_id = make_account(db).id
        course = make_course(db, now, base, f"{base}/column?type_id=36", scopes=SCOPES)
        programme = make_programme(db, now, context_id=course.context.id)
        ids = [(new_id(), new_id()) for _ in range(people)]
        places = {"context_id": course.context.id, "graded_link_id": course.link.id}
        about = {"programme_id": programme.id}
        users = {"platform_id": course.platform.id, "link_state": "confirmed", "last_launch_at": now}
        places |= {"roles": ["Learner"], "is_learner": True, "launch_sha256": "", "last_launch_at": now}
        words = {**about, "sink": "ags", "state": "pending"}
        everybody = list(enumerate(ids))
        rows: list[tuple[Any, Iterator[dict[str, Any]]]] = [
            (Person, (_person(n, one, account_id, now) for n, (one, _user) in everybody)),
            (
                LtiUser,
                ({**users, "id": user, "person_id": one, "sub": f"u-{n}"} for n, (one, user) in everybody),
            ),
            (CourseMember, ({**places, "lti_user_id": user} for _n, (_one, user) in everybody)),
            (Completion, ({**about, **_completion(n, one, now)} for n, (one, _user) in everybody)),
            (Delivery, ({**words, **_delivery(n, one, programme.id, now)} for n, (one, _user) in everybody)),
        ]
        for model, values in rows:
            table: Table = model.__table__
            insert_rows(db.connection(), table, (_whole(table, tenant_id, row) for row in values))
    return tenant_id


def _whole(table: Table, tenant_id: uuid.UUID, row: dict[str, Any]) -> dict[str, Any]:
    """Fill what a row leaves out, as the models would."""
    defaults = {
        c.name: c.default.arg if c.default is not None and c.default.is_scalar else None for c in table.c
    }
    return {**defaults, "id": new_id(), "tenant_id": tenant_id, **row}


def _person(number: int, person_id: uuid.UUID, account_id: uuid.UUID, now: datetime) -> dict[str, Any]:
    lists: dict[str, Any] = {name: [] for name in ("former_emails", "languages", "skills", "employments")}
    name = f"E{number}"
    times = {"seen_at": now, "created_at": now, "updated_at": now}
    return {
        **lists, **times, "id": person_id, "account_id": account_id, "source_key": name,
        "employee_number": name, "display_name": name, "status": "active", "row_hash": "",
    }  # fmt: skip


def _completion(number: int, person_id: uuid.UUID, now: datetime) -> dict[str, Any]:
    return {
        "person_id": person_id, "percent": 1 + number % 100, "minutes": 60, "criteria": [], "met_at": None,
        "policy_version": 1, "updated_at": now,
    }  # fmt: skip


def _delivery(number: int, person_id: uuid.UUID, programme_id: uuid.UUID, now: datetime) -> dict[str, Any]:
    at = now - timedelta(days=1) + timedelta(milliseconds=number)
    return {
        "person_id": person_id, "subject": f"{programme_id}/{person_id}", "idempotency_key": f"{number}",
        "payload": {"percent": 1 + number % 100, "minutes": 60, "met_at": None},
        "next_at": at, "created_at": at, "updated_at": at,
    }  # fmt: skip


def check(runtime: Runtime, tenant_id: uuid.UUID, base: str, people: int) -> list[float]:
    """Compare gradebook and ledger: everybody once, with the right score.

    :return: seconds after which each arrived.
    """
    book = requests.get(f"{base}/book", timeout=60).json()
    with runtime.database.transaction(tenant_id, write=False) as db:
        query = select(LtiUser.sub, Completion.percent).join(
            Completion, Completion.person_id == LtiUser.person_id
        )
        ledger = {sub: [float(percent)] for sub, percent in db.execute(query)}
        delivered = db.scalar(select(func.count(Delivery.id)).where(Delivery.state == "delivered"))
    assert {user: [score for score, _at in posts] for user, posts in book.items()} == ledger
    assert delivered == people == len(book)
    arrivals = sorted(at for posts in book.values() for _score, at in posts)
    return [at - arrivals[0] for at in arrivals]


def missed(row: Row) -> list[str]:
    """Name the aims that a row misses."""
    faults = {
        "throughput": row["share"] < LEAST_SHARE,
        "memory": row["growth"] > MOST_GROWTH,
        "waiting": row["age"] > MOST_AGE,
    }
    return [name for name, is_so in faults.items() if is_so]


def line(name: str, hands: int, row: Row) -> str:
    """Lay a result out for reading."""
    return (
        f"{name:<10} {hands:3} connections: ours {row['rate']:6.1f}/s, bare {row['bare']:6.1f}/s "
        f"({row['bare_first']:.1f}, {row['bare_second']:.1f}): {row['share']:.2f} (aim {LEAST_SHARE}); "
        f"CPU {row['cpu_ms']:.1f} + database's {row['server_cpu_ms']:.1f} ms each; "
        f"memory {row['peak_mb']:.0f} MB, x{row['growth']:.3f}; "
        f"longest wait / median {row['age']:.2f}; gradebook = ledger"
        + (f"  MISSED: {', '.join(missed(row))}" if missed(row) else "")
    )


if __name__ == "__main__":
    main()
