"""Every page of the matching's workbench with 19,000 people in the pool and a run of about 9,000 pairs.

The pages are asked for through the whole application, on SQLite and, when RM_BENCH_POSTGRES_URL names a
server, on PostgreSQL. Each answer is checked: its status, what it must say, and that no list on it is longer
than a page. The time is the least of three; by CPU it counts, because others at work lengthen the wall time.
RM_BENCH_PEOPLE makes the pool smaller.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url

from benchmarks.match_pool import NOW, Company, make_company, open_runtime
from rmplugin.app import create_app
from rmplugin.jobs import work_outbox
from rmplugin.matching import counting, lists
from rmplugin.matching.models import Proposal
from rmplugin.people.models import Skill
from tests.factories.browser import Browser

LIMIT_MS = 300
PEOPLE = int(os.environ.get("RM_BENCH_PEOPLE", "10000"))


@dataclass(frozen=True)
class Page:
    """An address, and words that its answer must hold."""

    name: str
    path: str
    says: str


def pages(company: Company, first: uuid.UUID, second: uuid.UUID) -> Iterator[Page]:
    """Give every page of the workbench, the lists with and without filters."""
    with company.runtime.database.transaction(company.tenant.id, write=False) as db:
        query = select(Proposal).where(Proposal.run_id == second).order_by(Proposal.score.desc(), Proposal.id)
        one, two = db.scalars(query.limit(2)).all()
        skill = db.scalars(select(Skill.id).where(Skill.name == "Subject 003")).one()
    desk, run = f"/programmes/{company.programme.id}/matching", f"/runs/{second}"
    card, other = f"/proposals/{one.id}/card", f"mentor={one.mentor_id}&mentee={two.mentee_id}"
    yield Page("matching", desk, "Look through the proposals")
    yield Page("pool health", f"{desk}/health", "Pairs that the rules allow")
    yield Page("rules", f"{desk}/rules", "What earns points")
    yield Page("rules, tried", f"{desk}/rules?trial=1", "With these rules")
    yield Page("run", run, "Page 1 of")
    yield Page("run, a late page", f"{run}?page=100", "teaches")
    yield Page("run, by name", f"{run}?q=number0001", "Number0001")
    yield Page("run, by department", f"{run}?department=Department+07&sort=worst", "pairs fit")
    yield Page("run, weak ones", f"{run}?state=proposed&below=40", "pairs fit")
    yield Page("run, by skill and name", f"{run}?skill={skill}&sort=mentee", "pairs fit")
    yield Page("left out", f"{run}/left-out", "Page 1 of")
    yield Page("left out, filtered", f"{run}/left-out?role=mentee&skill={skill}&q=9", "People without a pair")
    yield Page("card", card, "How the pair stands")
    yield Page("card, search", f"{card}?name=number0001", "Number0001")
    yield Page("card, why not", f"{card}?other={two.mentor_id}", "By today")
    yield Page("card, other pairs", f"{card}?pair=number0001", "teaches")
    yield Page("effect of a drop", f"{run}/change?do=drop&pair={one.id}", "Leaves:")
    yield Page("effect of a swap", f"{run}/change?do=swap&pair={one.id}&other={two.id}", "Exchange")
    yield Page("effect of a pin", f"{run}/change?do=pin&{other}", "Pin a pair")
    yield Page("two people", f"{run}/pick?mentor_name=0001&mentee_name=0002", "See what it would do")
    yield Page("two runs", f"{run}/compare?other={first}", "pairs are the same")
    yield Page("two runs, kept", f"{run}/compare?other={first}&kind=kept&page=50", "pairs are the same")
    yield Page("two runs, lost", f"{run}/compare?other={first}&kind=lost", "people lost their partner")
    yield Page("release", f"{run}/release", "proposals go out")


def measure(url: str | None) -> bool:
    """Time every page on one database; tell whether all were right and fast enough."""
    with tempfile.TemporaryDirectory() as folder:
        runtime = open_runtime(Path(folder), url)
        company = make_company(runtime, PEOPLE)
        first, second = company.run(), company.run(learning=60_000)
        app = create_app(runtime.settings, runtime=runtime)
        app.testing = True
        browser = Browser.signed_in(app, runtime, company.tenant, None, True, None, None, NOW)
        desk = f"/programmes/{company.programme.id}/matching"
        browser.get(f"{desk}/health").submit("/health")
        browser.get(f"{desk}/rules").submit("/rules/try", min_common_minutes="240")
        started = time.perf_counter()
        work_outbox(runtime, slow=True, kind=counting.WANTED)
        print(f"counted by the worker: health and a trial in {time.perf_counter() - started:.1f} s")
        fine = True
        print(f"{'page':26}{'wall ms':>9}{'CPU ms':>8}{'kB':>6}")
        for page in pages(company, first, second):
            fine &= ask(browser, page)
        runtime.database.close()
        runtime.queue.storage.close()
    return fine


def ask(browser: Browser, page: Page) -> bool:
    """Time one page; tell whether it was right and fast enough."""
    times = []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        browser.get(page.path)
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = (1000 * min(column) for column in zip(*times, strict=True))
    rows = browser.text.count("<tr") - browser.text.count("<thead")
    right = browser.status == 200 and page.says in browser.says() and rows <= 4 * lists.PAGE
    fast = cpu < LIMIT_MS
    notes = ("" if right else "  WRONG") + ("" if fast else "  SLOW")
    print(f"{page.name:26}{wall:9.0f}{cpu:8.0f}{len(browser.text) / 1000:6.0f}{notes}", flush=True)
    return right and fast


def everywhere(measure: Callable[[str | None], bool]) -> int:
    """Measure on SQLite, and on PostgreSQL where there is one; give an exit code."""
    print("SQLite")
    fine = measure(None)
    if server := os.environ.get("RM_BENCH_POSTGRES_URL"):
        name = f"rm_desk_{uuid.uuid4().hex[:12]}"
        admin = create_engine(make_url(server), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        print("\nPostgreSQL")
        fine &= measure(make_url(server).set(database=name).render_as_string(hide_password=False))
    return 0 if fine else 1


def main() -> int:
    print(f"{PEOPLE:,} mentees, nine tenths as many mentors; a page may take {LIMIT_MS} ms.\n")
    return everywhere(measure)


if __name__ == "__main__":
    sys.exit(main())
