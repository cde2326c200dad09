"""How long it takes to award confirmed sessions, against bare inserts of the rows that come of it.

    python -m benchmarks.award [--sessions 20000] [--json]

The events of confirmed sessions are worked off as the worker does it. The floor then writes the very rows
that this left (ledger, completions, deliveries, notices, events) into an empty copy of the tables, one
transaction for each session, as they have to be. SQLite always; PostgreSQL when RM_BENCH_POSTGRES_URL names a
server on this machine. Each database is checked: two lines of the ledger per session, no more.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, Table, func, insert, select

from benchmarks.match_pool import NOW, open_runtime
from benchmarks.roster import new_database, own_cpu, server_cpu, server_pid
from rmplugin.cli import COLLECT_AFTER
from rmplugin.credits.models import Completion, CreditEntry, Delivery
from rmplugin.db import insert_rows, new_id
from rmplugin.jobs import OutboxEvent, Runtime, work_outbox
from rmplugin.matching.models import Pairing
from rmplugin.notify import Notice
from rmplugin.sessions.models import MentoringSession, SessionClaim
from rmplugin.tenants.operations import ensure_tenant
from tests.factories.credits import make_pair
from tests.factories.people import make_account

MOST = 3.0
PER_PAIR = 10
WRITTEN = (CreditEntry, Completion, Delivery, Notice, OutboxEvent)
Row = dict[str, float]


def main() -> None:
    """Measure each database and print a line; exit 1 when the aim is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--only", choices=("SQLite", "PostgreSQL"), help="one database only")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    # As for every command, also for the worker.
    gc.set_threshold(*COLLECT_AFTER)
    urls = {"SQLite": "sqlite"}
    if server := os.environ.get("RM_BENCH_POSTGRES_URL"):
        urls["PostgreSQL"] = server
    results = {}
    for name, url in urls.items():
        if options.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory(prefix="rm_bench_") as folder, new_database(url, folder) as own_url:
            row = results[name] = compare(open_runtime(Path(folder), own_url), options.sessions)
        if not options.json:
            print(
                f"{name:<10} {options.sessions:,} sessions: {row['wall']:.1f} s ({row['cpu']:.1f} s CPU), "
                f"bare {row['floor']:.1f} s ({row['floor_cpu']:.1f} s CPU) for {row['rows']:,.0f} rows: "
                f"x{row['ratio']:.2f}, CPU x{row['cpu_ratio']:.2f} (aim <= {MOST})",
                flush=True,
            )
    if options.json:
        print(json.dumps(results))
    sys.exit(1 if any(row["ratio"] > MOST for row in results.values()) else 0)


def compare(runtime: Runtime, sessions: int) -> Row:
    """Award so many sessions, then write the same rows barely."""
    try:
        tenant_id = fill(runtime, sessions)
        wall, cpu = _timed(runtime, lambda: work_outbox(runtime))
        rows = written(runtime, tenant_id, sessions)
        floor, floor_cpu = _timed(runtime, lambda: bare(runtime, rows, sessions))
    finally:
        runtime.database.close()
    count = sum(map(len, rows.values()))
    ratios = {"ratio": wall / floor, "cpu_ratio": cpu / floor_cpu}
    return {"wall": wall, "cpu": cpu, "floor": floor, "floor_cpu": floor_cpu, "rows": count, **ratios}


def _timed(runtime: Runtime, work: Any) -> tuple[float, float]:
    server = server_pid(runtime.database.engine)
    began, cpu = time.perf_counter(), own_cpu() + server_cpu(server)
    work()
    return time.perf_counter() - began, own_cpu() + server_cpu(server) - cpu


def fill(runtime: Runtime, sessions: int) -> uuid.UUID:
    """Write pairs with sessions that both confirmed, and the events that this wrote."""
    with runtime.database.transaction(None) as db:
        tenant_id = ensure_tenant(db, "bench", "Bench", NOW).id
    with runtime.database.transaction(tenant_id) as db:
        make_account(db)
        programme = None
        pairs: list[Pairing] = []
        for _ in range(max(1, sessions // PER_PAIR)):
            pair = make_pair(db, NOW, programme, min_sessions=PER_PAIR, min_minutes=60 * PER_PAIR)
            programme = pair.programme
            pairs.append(pair.pairing)
        db.flush()
        held = [(new_id(), pairs[n % len(pairs)], NOW + timedelta(seconds=n)) for n in range(sessions)]
        tables: list[tuple[Any, Any]] = [
            (MentoringSession, (_session(one, pair, at) for one, pair, at in held)),
            (
                SessionClaim,
                (
                    {"session_id": one, "person_id": person, "minutes": 60, "claimed_at": at}
                    for one, pair, at in held
                    for person in (pair.mentor_id, pair.mentee_id)
                ),
            ),
            (OutboxEvent, (_event(one) for one, _pair, _at in held)),
        ]
        for model, values in tables:
            table: Table = model.__table__
            defaults = {
                c.name: c.default.arg if c.default is not None and c.default.is_scalar else None
                for c in table.c
            }
            rows = ({**defaults, "id": new_id(), "tenant_id": tenant_id, **row} for row in values)
            insert_rows(db.connection(), table, rows)
    return tenant_id


def _session(session_id: uuid.UUID, pair: Pairing, at: Any) -> dict[str, Any]:
    return {
        "id": session_id, "pairing_id": pair.id, "state": "confirmed", "starts_at": at - timedelta(hours=2),
        "planned_minutes": 60, "medium": "video", "place": "", "agenda": "", "planned_by": pair.mentor_id,
        "counted_minutes": 60, "confirmed_at": at, "created_at": at, "updated_at": at,
    }  # fmt: skip


def _event(session_id: uuid.UUID) -> dict[str, Any]:
    payload = {"session_id": str(session_id), "minutes": 60}
    return {
        "kind": "session_confirmed", "payload": payload, "state": "pending", "next_at": NOW,
        "created_at": NOW,
    }  # fmt: skip


def written(runtime: Runtime, tenant_id: uuid.UUID, sessions: int) -> dict[str, list[dict[str, Any]]]:
    """Give the rows that awarding left, and check the ledger."""
    with runtime.database.transaction(tenant_id, write=False) as db:
        lines = db.scalar(select(func.count(CreditEntry.id)).where(CreditEntry.minutes == 60))
        once = db.execute(
            select(func.count()).select_from(
                select(CreditEntry.session_id, CreditEntry.person_id).distinct().subquery()
            )
        ).scalar()
        left = db.scalar(select(func.count(OutboxEvent.id)).where(OutboxEvent.state != "done"))
        assert (lines, once, left) == (2 * sessions, 2 * sessions, 0), (lines, once, left)
        tables = [model.__table__ for model in WRITTEN]
        return {t.name: [dict(row) for row in db.connection().execute(select(t)).mappings()] for t in tables}


def bare(runtime: Runtime, rows: dict[str, list[dict[str, Any]]], sessions: int) -> None:
    """Write the same rows into tables of the same shape, a transaction for each session."""
    shape = MetaData()
    copies = {}
    for model in WRITTEN:
        table: Table = model.__table__
        copies[table.name] = Table(
            f"bare_{table.name}",
            shape,
            *(type(c)(c.name, c.type, primary_key=c.primary_key) for c in table.c),
        )
    shape.create_all(runtime.database.engine)
    for number in range(sessions):
        with runtime.database.engine.begin() as connection:
            for name, copy in copies.items():
                if mine := rows[name][number::sessions]:
                    connection.execute(insert(copy), mine)


if __name__ == "__main__":
    main()
