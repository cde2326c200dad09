"""What it costs a matching to come from a database and to go back there, beside the computing in between.

SQLite always; PostgreSQL when RM_BENCH_POSTGRES_URL names a server on this machine.

    python -m benchmarks.matching_database [--size 2000] [--rounds 1] [--json]

A process of its own each. From 20,000 on, reading and writing together must not take more than half of the
CPU of solving.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import func, select, text

from benchmarks import matching_parts as parts
from benchmarks.roster import new_database, server_cpu, server_pid
from benchmarks.rows import write_rows
from rmplugin import migrations
from rmplugin.cli import COLLECT_AFTER
from rmplugin.db import Database, Secrets, new_id
from rmplugin.matching import operations, queries, store
from rmplugin.matching.explaining import explain_unmatched
from rmplugin.matching.findings import Findings
from rmplugin.matching.measures import measure
from rmplugin.matching.models import LeftOut, Proposal
from rmplugin.matching.scoring import Candidate
from rmplugin.matching.solver import solve
from rmplugin.matching.surveys import shake, survey
from rmplugin.matching.synthetic import DAY, FIRST_HOURS, SKILLS, WORKING_HOURS, ZONES, make_company
from rmplugin.people.models import Person, PersonSkill, Profile, Skill
from rmplugin.programmes.models import Enrolment, Programme, ProgrammeSkill
from rmplugin.tenants.operations import ensure_tenant
from tests.factories.people import make_account
from tests.factories.programmes import make_programme

NOW = datetime.combine(DAY, datetime.min.time(), UTC)
MOST_SHARE, ASKED_FROM = 0.5, 20_000
STEPS = ("read", "solve", "survey", "explain", "measure", "shake", "write")
Row = dict[str, float]


def main() -> None:
    """Measure each database and print the tables; exit 1 when reading and writing take too much."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        parts.warm_up()
        # As the worker does.
        gc.set_threshold(*COLLECT_AFTER)
        print(json.dumps(child(options.child, options.size)))
        return
    urls = {"SQLite": "sqlite"}
    if server := os.environ.get("RM_BENCH_POSTGRES_URL"):
        urls["PostgreSQL"] = server
    results, is_small = {}, options.size < ASKED_FROM
    for name, url in urls.items():
        runs = [start(url, options.size) for _ in range(options.rounds)]
        row = {step: statistics.median(run[step] for run in runs) for step in runs[0]}
        row["share"] = (row["read"] + row["write"]) / row["solve"]
        results[name] = row
        if not options.json:
            print(f"{name}, {options.size} mentors and mentees, CPU seconds:")
            print("  " + "  ".join(f"{step} {row[step]:.2f}" for step in STEPS))
            met = "" if is_small else "ok: " if row["share"] <= MOST_SHARE else "MISSED: "
            print(f"  {met}(read + write) / solve = {row['share']:.2f} <= {MOST_SHARE}", flush=True)
    if options.json:
        print(json.dumps(results))
    sys.exit(0 if is_small or all(row["share"] <= MOST_SHARE for row in results.values()) else 1)


def start(url: str, size: int) -> Row:
    """Measure once, in a process and a database of its own."""
    with tempfile.TemporaryDirectory(prefix="rm_bench_") as folder, new_database(url, folder) as own_url:
        command = [sys.executable, "-m", "benchmarks.matching_database", "--size", str(size)]
        answer = subprocess.run([*command, "--child", own_url], check=True, stdout=subprocess.PIPE, text=True)
    found: Row = json.loads(answer.stdout.splitlines()[-1])
    print(f"{url.partition(':')[0]} {json.dumps(found)}", file=sys.stderr, flush=True)
    return found


def child(url: str, size: int) -> Row:
    """Fill a database, then do what the worker does with a queued run, step by step."""
    database = Database(url, Secrets(Fernet.generate_key().decode()))
    try:
        tenant_id, run_id = fill(database, size)
        return measure_steps(database, tenant_id, run_id)
    finally:
        database.close()


def measure_steps(database: Database, tenant_id: uuid.UUID, run_id: uuid.UUID) -> Row:
    seconds: Row = {}
    server = server_pid(database.engine)

    def timed(step: str, work: Callable[[], Any]) -> Any:
        theirs = server_cpu(server)
        with parts.Clock() as clock:
            found = work()
        seconds[step] = clock.cpu + server_cpu(server) - theirs
        return found

    def read() -> store.Pool:
        with database.transaction(tenant_id, write=False) as db:
            run = queries.get_run(db, run_id)
            return store.load_pool(db, queries.programme_of(db, run), NOW)

    pool = timed("read", read)
    problem, solution = timed("solve", lambda: (one := pool.free_problem(), solve(one, pool.pins)))
    seen = timed("survey", lambda: survey(problem, solution))
    left = timed("explain", lambda: explain_unmatched(problem, solution))
    metrics = timed("measure", lambda: measure(problem, solution, seen, DAY.toordinal()))
    stays = timed("shake", lambda: shake(problem, solution))
    found = Findings(problem, solution, seen, left, stays, metrics)

    def write() -> None:
        with database.transaction(tenant_id) as db:
            assert operations.record_proposals(db, run_id, pool, found, seconds=1.0, now=NOW)

    timed("write", write)
    with database.transaction(tenant_id, write=False) as db:
        count = db.scalar(select(func.count()).select_from(Proposal))
        assert count == len(solution.pairs) > 0
        assert db.scalar(select(func.count()).select_from(LeftOut)) == len(left)
    assert (len(problem.mentors), len(problem.mentees)) == (metrics["mentors"], metrics["mentees"])
    peak = clock_peak()
    return seconds | {"pairs": len(solution.pairs), "left": len(left), "gap": solution.gap, "peak_mb": peak}


def clock_peak() -> float:
    with parts.Clock() as clock:
        pass
    peak: float = clock.row()["peak_mb"]
    return peak


# -- the database --------------------------------------------------------------------------------------------


def fill(database: Database, size: int) -> tuple[uuid.UUID, uuid.UUID]:
    """Put a made-up company and its programme into a database, and queue a run."""
    migrations.upgrade(database.engine)
    company = make_company(size, parts.SEED, parts.MOST_PARTNERS)
    with database.transaction(None) as db:
        tenant = ensure_tenant(db, "bench", "Bench", NOW)
    with database.transaction(tenant.id) as db:
        programme = make_programme(db)
        skills = {name: new_id() for name in SKILLS}
        people = {person.id: new_id() for person in (*company.mentors, *company.mentees)}
        listed = (
            {"id": skills[name], "name": name, "kind": "skill", "theme": "people", "code": None}
            for name in SKILLS
        )
        write_rows(db, Skill, listed)
        pairs = ({"programme_id": programme.id, "skill_id": skills[name]} for name in SKILLS)
        write_rows(db, ProgrammeSkill, pairs)
        everybody = sorted((*company.mentors, *company.mentees), key=lambda person: person.id)
        account = make_account(db)
        write_rows(db, Person, (person_row(one, people, account.id) for one in everybody))
        write_rows(db, Profile, (profile_row(one, people) for one in everybody))
        write_rows(db, Enrolment, (enrolment_row(one, people, programme) for one in everybody))
        write_rows(db, PersonSkill, (row for one in everybody for row in skill_rows(one, people, skills)))
        run = operations.start_run(db, programme, "command", NOW)
        found = tenant.id, run.id
    with database.engine.connect() as connection:
        # PostgreSQL's own housekeeping does this within a minute; the throw-away server has none.
        connection.execute(text("ANALYZE"))
        connection.commit()
    return found


def person_row(one: Candidate, people: Mapping[str, uuid.UUID], account_id: uuid.UUID) -> dict[str, Any]:
    return {
        "id": people[one.id],
        "account_id": account_id,
        "source_key": one.id,
        "display_name": one.id,
        "seniority_rank": one.rank,
        "hire_date": one.hired_on,
        "manager_id": people[one.manager_id] if one.manager_id else None,
        "manager_state": "resolved" if one.manager_id else "none",
        "department": one.department,
        "location": one.site,
        "languages": [],
        "status": "active",
        "lifecycle": "present",
        "former_emails": [],
        "skills": [],
        "employments": [],
        "email_reused": False,
        "kept_apart": False,
        "missing_runs": 0,
        "row_hash": "",
        "seen_at": NOW,
        "created_at": NOW,
        "updated_at": NOW,
    }


def profile_row(one: Candidate, people: Mapping[str, uuid.UUID]) -> dict[str, Any]:
    first = FIRST_HOURS[hash_of(one) % len(FIRST_HOURS)]
    return {
        "person_id": people[one.id],
        "languages": sorted(one.languages),
        "work_days": [0, 1, 2, 3, 4],
        "work_from_minute": first * 60,
        "work_to_minute": (first + WORKING_HOURS) * 60,
        "time_zone": list(ZONES)[hash_of(one) % len(ZONES)],
        "updated_at": NOW - timedelta(days=1),
    }


def hash_of(one: Candidate) -> int:
    return int(one.id.rpartition("-")[2]) * 2654435761 % 2**32 >> 8


def enrolment_row(one: Candidate, people: Mapping[str, uuid.UUID], programme: Programme) -> dict[str, Any]:
    return {
        "programme_id": programme.id,
        "person_id": people[one.id],
        "role": one.role,
        "state": "submitted",
        "capacity": one.capacity,
        "motivation_level": one.motivation,
        "active_pairings": 0,
        "created_at": NOW,
        "updated_at": NOW,
    }


def skill_rows(
    one: Candidate, people: Mapping[str, uuid.UUID], skills: Mapping[str, uuid.UUID]
) -> Iterator[dict[str, Any]]:
    same = {"person_id": people[one.id]}
    for name, level in one.offers.items():
        row = {"skill_id": skills[name], "direction": "offered", "level": level, "priority": None}
        yield same | row
    for name, (level, priority) in one.wants.items():
        row = {"skill_id": skills[name], "direction": "wanted", "level": level, "priority": priority}
        yield same | row


if __name__ == "__main__":
    main()
