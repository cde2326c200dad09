"""The pages of the mentoring journey: 20,000 people in the company, 5,000 pairs in the programme.

The pages are asked for through the whole application, on SQLite, when the worker has looked at the tables as
it does every hour, and, when RM_BENCH_POSTGRES_URL names a server, on PostgreSQL. Each answer is checked: its
status, what it must say, and that no list on it is longer than a page. The time is the least of three; by CPU
it counts, because others at work lengthen the wall time. RM_BENCH_PEOPLE makes the company smaller, and the
pairs in proportion.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from benchmarks.match_pages import LIMIT_MS, Page, ask, everywhere
from benchmarks.match_pool import NOW, Company, make_company, open_runtime
from rmplugin.app import create_app
from rmplugin.checkins.models import CareTask, Checkin
from rmplugin.db import Db, new_id
from rmplugin.matching.models import MatchRun, Pairing, Proposal
from rmplugin.people.models import Person
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.sessions.models import MentoringSession, SessionChange, SessionClaim
from rmplugin.tenants.models import LtiContext
from tests.factories.browser import Browser
from tests.factories.programmes import make_context

MENTEES = int(os.environ.get("RM_BENCH_PEOPLE", "20000")) // 2
PAIRS = MENTEES // 2
WEEKS = 16


@dataclass(frozen=True)
class Walked:
    """A programme under way: every pair has met, and answered check-ins; some ended, some have trouble."""

    company: Company
    context: LtiContext
    mentor: Person
    pairing: uuid.UUID
    session: uuid.UUID


def walk(company: Company) -> Walked:
    """Write the pairs of a programme and what they did, as many rows at once as there are."""
    chance = random.Random(11)
    with company.runtime.database.transaction(company.tenant.id) as db:
        context = make_context(db)
        db.get_one(Programme, company.programme.id).context_id = context.id
        pairs = _pairs(db, company)
        sessions = [row for pair in pairs for row in _sessions(pair, chance)]
        _write(db, MentoringSession, sessions)
        confirmed = [row for row in sessions if row["state"] == "confirmed"]
        people = {pair["id"]: (pair["mentor_id"], pair["mentee_id"]) for pair in pairs}
        _write(
            db,
            SessionClaim,
            [
                {"session_id": row["id"], "person_id": person, "minutes": 60, "claimed_at": NOW}
                for row in confirmed
                for person in people[row["pairing_id"]]
            ],
        )
        _write(db, SessionChange, [row for pair in pairs[::5] for row in _changes(pair, sessions, chance)])
        _write(db, Checkin, [row for pair in pairs for row in _checkins(pair, chance)])
        tasks = [
            {"pairing_id": pair["id"], "kind": "gap", "wave": 4, "created_at": NOW} for pair in pairs[::20]
        ]
        _write(db, CareTask, tasks)
        one = pairs[0]
        session = next(row["id"] for row in sessions if row["pairing_id"] == one["id"])
        return Walked(company, context, db.get_one(Person, one["mentor_id"]), one["id"], session)


def _write(db: Db, model: Any, rows: list[dict[str, Any]]) -> None:
    db.execute(insert(model), [{"tenant_id": db.tenant_id, **row} for row in rows])


def _pairs(db: Db, company: Company) -> list[dict[str, Any]]:
    here = company.programme.id
    run = MatchRun(
        programme_id=here, state="released", objective="best_total", rules={}, weights={}, metrics={},
        created_by="command", created_at=NOW, released_at=NOW,
    )  # fmt: skip
    db.add(run)
    db.flush()
    sides = (
        db.scalars(
            select(Enrolment.person_id)
            .where(Enrolment.programme_id == here, Enrolment.role == role)
            .order_by(Enrolment.id)
            .limit(PAIRS)
        ).all()
        for role in ("mentor", "mentee")
    )
    began = NOW - timedelta(weeks=WEEKS)
    pairs = [
        {
            "id": new_id(),
            "proposal_id": new_id(),
            "programme_id": here,
            "mentor_id": mentor,
            "mentee_id": mentee,
        }
        | {"started_at": began, "introduced_at": began, "state": "active"}
        for mentor, mentee in zip(*sides, strict=True)
    ]
    for pair in pairs[1::10]:
        pair["state"] = "ended"
    _write(
        db,
        Proposal,
        [
            {name: pair[name] for name in ("programme_id", "mentor_id", "mentee_id")}
            | {"id": pair["proposal_id"], "run_id": run.id, "state": "accepted", "score": 1}
            | {"contributions": {}, "reasons": {}, "created_at": began}
            for pair in pairs
        ],
    )
    _write(db, Pairing, pairs)
    held = pairs[7::50]
    for pair in held:
        row = db.get_one(Pairing, pair["id"])
        row.state, row.interruption, row.interrupted_at = "suspended", "reporting_line", NOW
    db.flush()
    return pairs


def _sessions(pair: dict[str, Any], chance: random.Random) -> Iterator[dict[str, Any]]:
    for week in range(0, WEEKS + 4, 2):
        starts_at = pair["started_at"] + timedelta(weeks=week, hours=chance.randrange(8))
        is_over = starts_at < NOW
        yield {
            "id": new_id(),
            "pairing_id": pair["id"],
            "state": "confirmed" if is_over else "scheduled",
            "starts_at": starts_at,
            "planned_minutes": 60,
            "medium": "video",
            "place": "",
            "agenda": "",
            "planned_by": pair["mentor_id"],
            "counted_minutes": 60 if is_over else None,
            "confirmed_at": starts_at if is_over else None,
            "created_at": pair["started_at"],
            "updated_at": pair["started_at"],
        }


def _changes(
    pair: dict[str, Any], sessions: list[dict[str, Any]], chance: random.Random
) -> Iterator[dict[str, Any]]:
    session = sessions[0]["id"]
    for days in (3, 12):
        was_at = NOW - timedelta(days=days)
        yield {"pairing_id": pair["id"], "session_id": session, "person_id": pair["mentee_id"]} | {
            "what": "cancelled",
            "was_at": was_at,
            "was_minutes": 60,
            "reason": chance.choice(["workload", "travel", "illness"]),
            "created_at": was_at,
        }


def _checkins(pair: dict[str, Any], chance: random.Random) -> Iterator[dict[str, Any]]:
    for wave in range(1, 5):
        for person in (pair["mentor_id"], pair["mentee_id"]):
            level = chance.randrange(2, 6)
            yield {"pairing_id": pair["id"], "person_id": person, "wave": wave, "satisfaction": level} | {
                "answers": {"heard": level, "learned": level, "energy": level},
                "answered_at": pair["started_at"] + timedelta(weeks=4 * wave - 2),
            }


def pages_of_the_pair(walked: Walked) -> Iterator[Page]:
    """Give the pages of a participant."""
    yield Page("home", "/home", "Your pairing")
    yield Page("pairing", f"/pairings/{walked.pairing}", "Sessions")
    yield Page("session", f"/sessions/{walked.session}", "60")
    yield Page("hours of the pair", f"/pairings/{walked.pairing}/hours", "hour")
    yield Page("credits", "/credits", "credits")
    yield Page("record", f"/programmes/{walked.company.programme.id}/record", "What you have reached")
    yield Page("check-in", f"/pairings/{walked.pairing}/checkin", "heck-in")
    yield Page("messages", f"/pairings/{walked.pairing}/messages", "essages")
    yield Page("my data", "/my-data", "Your check-ins")


def pages_of_the_manager(walked: Walked) -> Iterator[Page]:
    """Give the pages of a manager."""
    here = f"programmes/{walked.company.programme.id}"
    yield Page("desk", "/manage", "Page 1 of")
    yield Page("desk, a late page", "/manage?page=100", "Page 100 of" if PAIRS >= 2500 else "Page")
    yield Page("desk, low health", "/manage?health=low&state=active", "Page 1 of")
    yield Page("enrolments", f"/{here}/enrolments", "Page 1 of")
    yield Page("enrolments, a late page", f"/{here}/enrolments?page=400", "Page")
    yield Page("care", f"/{here}/care", "How people feel")
    yield Page("hours", "/manage/hours", "hours")
    yield Page("ends", f"/manage/{here}/ends", "How pairs end")
    yield Page("themes", f"/{here}/goals", "learn about")
    yield Page("funnel", f"/{here}/sign-up", "Sign-up")
    yield Page("readiness", f"/{here}/launch", "ready")
    yield Page("people to invite", f"/{here}/people", "Page 1 of")
    yield Page("people of the course", "/people/course", "course")
    yield Page("pool health", f"/{here}/matching/health", "pool")


def pages_of_the_administrator(walked: Walked) -> Iterator[Page]:
    """Give the pages of an administrator."""
    yield Page("a person", f"/admin/people/{walked.mentor.id}", "Your check-ins")


def measure(url: str | None) -> bool:
    """Time every page on one database; tell whether all were right and fast enough."""
    with tempfile.TemporaryDirectory() as folder:
        runtime = open_runtime(Path(folder), url)
        started = time.perf_counter()
        walked = walk(make_company(runtime, MENTEES))
        runtime.database.learn_sizes()
        print(f"written in {time.perf_counter() - started:.0f} s\n")
        app = create_app(runtime.settings, runtime=runtime)
        app.testing = True
        tenant, context = walked.company.tenant, walked.context
        person = Browser.signed_in(app, runtime, tenant, walked.mentor, False, context, None, NOW)
        manager = Browser.signed_in(app, runtime, tenant, None, True, context, None, NOW)
        print(f"{'page':26}{'wall ms':>9}{'CPU ms':>8}{'kB':>6}")
        fine = True
        administrator = Browser.signed_in(
            app, runtime, tenant, None, False, None, None, NOW, administrator=True
        )
        for browser, pages in (
            (person, pages_of_the_pair),
            (manager, pages_of_the_manager),
            (administrator, pages_of_the_administrator),
        ):
            for page in pages(walked):
                fine &= ask(browser, page)
        runtime.database.close()
        runtime.queue.storage.close()
    return fine


def main() -> int:
    print(f"{2 * MENTEES:,} people, {PAIRS:,} pairs; a page may take {LIMIT_MS} ms.\n")
    return everywhere(measure)


if __name__ == "__main__":
    sys.exit(main())
