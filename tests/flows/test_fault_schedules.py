"""Seeded schedules of faults: whatever comes together, afterwards ledger, gradebook and records agree.

A schedule is a list of steps drawn from its seed: sessions are confirmed, lines are taken back, time goes on
or steps back, workers do their rounds and something fails in them. Every round is done by a real process with
its own connections; those that are killed are killed by a real SIGKILL, at a moment that the schedule names:

* the nth beginning or commit of a transaction: before and after the award, before and after a claim, after
  the other system took it and before that is recorded, after the record;
* before and after the event sink took a batch; while the LMS holds its answer back.

Nothing of this is played inside the test's process. What is shared by the schedules of one test, to be quick,
is the database with a tenant for each schedule, the LMS, and the process that forks the workers.

``--fault-schedules N`` plays more. A failure names its seed: ``--fault-schedules`` must reach beyond it.
"""

import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from rmplugin.credits.events import LEASE
from rmplugin.credits.models import Completion, CreditEntry, Delivery
from rmplugin.jobs import OutboxEvent, enqueue
from rmplugin.sessions.models import MentoringSession
from rmplugin.tenants.operations import ensure_tenant
from tests.conftest import ENGINE
from tests.factories.credits import confirm_session, join_course, make_course, make_pair
from tests.factories.sinks import connect, entries_of, reverse
from tests.fakes.ags_platform import AgsPlatform
from tests.fakes.forked_workers import FileSink, Forker

IN_ONE_TEST = 20
STEPS = (5, 8)
MOST_SESSIONS = 4
WEIGHTS = {"confirm": 3, "reverse": 2, "round": 7, "race": 2, "takeover": 1, "on": 2, "back": 1}
FAULTS = (
    *(("doom", moment) for moment in ("begin", "begin", "commit", "commit", "sink-before", "sink-after")),
    *(("lms", status) for status in (500, 409, 429, 503)),
    ("cut", 0),
    ("cut", 0.5),
    ("lost", None),
    ("held", None),
    *(("sink", fault) for fault in ("503", "429", "part", "lost")),
    ("locked", None),
)


def pytest_generate_tests(metafunc):
    if "seeds" in metafunc.fixturenames:
        count = metafunc.config.getoption("--fault-schedules")
        parts = [range(start, min(start + IN_ONE_TEST, count)) for start in range(0, count, IN_ONE_TEST)]
        metafunc.parametrize("seeds", parts, ids=[f"{part.start}-{part.stop - 1}" for part in parts])


@pytest.fixture(scope="module")
def forker():
    forker = Forker()
    yield forker
    forker.close()


@pytest.fixture
def plugins():
    return [FileSink()]


@pytest.fixture
def lms(runtime, tool_keys, clock):
    with AgsPlatform(runtime, clock) as platform:
        yield platform


def moment(tries) -> datetime:
    return datetime.fromisoformat(tries["at"])


class Schedule:
    """One schedule in a company of its own."""

    def __init__(self, seed, runtime, clock, lms, forker, folder) -> None:
        self.seed, self.runtime, self.clock, self.lms, self.forker = seed, runtime, clock, lms, forker
        self.random = random.Random(seed)
        self.told: list[str] = []
        self.killed = 0
        with runtime.database.transaction(None) as db:
            self.tenant = ensure_tenant(db, f"company-{seed}", "Company", clock.now)
        self.users = (f"mentor-{seed}", f"mentee-{seed}")
        self.store = folder / f"records-{seed}"
        self.store.touch()
        with self.db() as db:
            course = make_course(db, clock.now, lms.base, lms.line_item_url)
            self.pair = make_pair(
                db, clock.now, context_id=course.context.id, min_sessions=2, min_minutes=120
            )
            for person, user in zip((self.pair.mentor, self.pair.mentee), self.users, strict=True):
                join_course(db, course, person, user, clock.now)
                lms.enrol(user)
        connect(runtime, self.tenant, FileSink(), settings={"path": str(self.store)})

    def db(self):
        return self.runtime.database.transaction(self.tenant.id)

    def play(self) -> None:
        self.confirm()
        names, weights = list(WEIGHTS), list(WEIGHTS.values())
        for name in self.random.choices(names, weights, k=self.random.randint(*STEPS)):
            self.told.append(name)
            getattr(self, name)()
        self.recover()

    # -- steps --------------------------------------------------------------------------------------------

    def confirm(self) -> None:
        with self.db() as db:
            if len(entries_of(db, self.pair.mentee.id)) < MOST_SESSIONS:
                confirm_session(db, self.pair, self.clock.now)

    def reverse(self) -> None:
        with self.db() as db:
            gone = {entry.reverses_id for entry in entries_of(db)}
            left = [e for e in entries_of(db) if e.kind == "award" and e.id not in gone]
            if not left:
                return
            entry = self.random.choice(left)
            # A manager takes it back: their clock is not that of a worker that was set back.
            at = max([self.clock.now, *(row.met_at for row in db.scalars(select(Completion)) if row.met_at)])
            reverse(db, entry, at)
            ids = {"programme_id": str(entry.programme_id), "person_id": str(entry.person_id)}
            enqueue(db, "progress_changed", self.clock.now, **ids)

    def on(self) -> None:
        self.clock.forward(minutes=self.random.choice((1, 2, 15, 180)))

    def back(self) -> None:
        self.clock.forward(minutes=-self.random.choice((1, 10, 120)))

    def start(self, doom=(None, 0), sink_fault=None, ahead=0) -> int:
        now = self.clock.now + timedelta(seconds=ahead)
        return self.forker.start(now=now.isoformat(), doom=doom, sink_fault=sink_fault)

    def end(self, pid: int) -> None:
        code = self.forker.wait(pid)
        assert code in (0, -signal.SIGKILL), f"a worker ended with {code}: {self}"
        self.killed += code != 0

    def round(self) -> None:
        kind, what = self.random.choice(FAULTS)
        self.told[-1] = f"round {kind} {what}"
        if kind == "doom":
            number = self.random.randint(1, 25) if what in ("begin", "commit") else 1
            self.told[-1] += f" {number}"
            self.end(self.start(doom=(what, number)))
        elif kind == "held":
            self.held()
        elif kind == "sink":
            self.end(self.start(sink_fault=what))
        else:
            with self.failing(kind, what):
                self.end(self.start())

    @contextmanager
    def failing(self, kind, what):
        lms = self.lms
        if kind == "lms":
            lms.refuse_scores = what if what == 409 else None
            wait = {"Retry-After": "600"} if what == 429 else {}
            lms.outage = {} if what == 409 else {"ags": (what, wait)}
        elif kind == "cut":
            lms.cut = what
        elif kind == "lost":
            lms.lost_answers = 2
        with self.lock_database(0.2 if kind == "locked" else 0):
            yield
        lms.refuse_scores, lms.outage, lms.cut, lms.lost_answers = None, {}, None, 0

    @contextmanager
    def lock_database(self, seconds):
        """Let another writer of SQLite hold the database; PostgreSQL knows no such lock."""
        if not seconds or ENGINE != "sqlite":
            yield
            return
        other = sqlite3.connect(self.runtime.database.engine.url.database, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(seconds, other.rollback)
        timer.start()
        yield
        timer.join()
        other.close()

    def held(self) -> None:
        """Kill a worker while the LMS, which has taken the score, holds its answer back."""
        with self.holding() as pid:
            if self.lms.reached.is_set():
                os.kill(pid, signal.SIGKILL)

    def takeover(self) -> None:
        """Let the LMS be so slow that another worker takes over; the slow answer comes afterwards."""
        with self.holding():
            if self.lms.reached.is_set():
                self.lms.holding = False
                self.end(self.start(ahead=61))

    @contextmanager
    def holding(self):
        self.lms.reached.clear()
        self.lms.answer_now.clear()
        self.lms.holding = True
        pid = self.start()
        until = time.monotonic() + 0.4
        while not self.lms.reached.is_set() and time.monotonic() < until:
            time.sleep(0.005)
        yield pid
        self.lms.holding = False
        self.lms.answer_now.set()
        self.end(pid)

    def race(self) -> None:
        doom = (self.random.choice(("begin", "commit", None)), self.random.randint(1, 25))
        for pid in [self.start(doom=doom), self.start()]:
            self.end(pid)

    # -- afterwards ---------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Let everything work again, and time go on until nothing is left to do."""
        for _ in range(12):
            self.clock.forward(hours=4)
            self.end(self.start())
            if self.is_quiet():
                break
        assert self.is_quiet(), self
        self.check_ledger()
        self.check_gradebook()
        self.check_records()

    def read(self, query):
        with self.db() as db:
            return db.scalars(query).all()

    def is_quiet(self) -> bool:
        deliveries = {row.state for row in self.read(select(Delivery))}
        events = self.read(select(OutboxEvent).where(OutboxEvent.state != "done"))
        return deliveries <= {"delivered", "superseded"} and not events

    def standing(self) -> Counter:
        """Give the awards that nothing took back, by person and session."""
        entries = self.read(select(CreditEntry))
        gone = {entry.reverses_id for entry in entries}
        return Counter(
            (str(e.person_id), str(e.session_id)) for e in entries if e.kind == "award" and e.id not in gone
        )

    def check_ledger(self) -> None:
        """Ledger = evidence: one award per confirmed session and person, of the minutes that both said."""
        sessions = self.read(select(MentoringSession).where(MentoringSession.state == "confirmed"))
        wanted = Counter(
            (str(person.id), str(session.id))
            for session in sessions
            for person in (self.pair.mentor, self.pair.mentee)
        )
        awards = self.read(select(CreditEntry).where(CreditEntry.kind == "award"))
        assert Counter((str(e.person_id), str(e.session_id)) for e in awards) == wanted, self
        assert {entry.minutes for entry in awards} == {60}, self

    def check_gradebook(self) -> None:
        """Gradebook = ledger: two sessions of an hour are the whole."""
        standing = self.standing()
        for person, user in zip((self.pair.mentor, self.pair.mentee), self.users, strict=True):
            count = sum(one for (owner, _session), one in standing.items() if owner == str(person.id))
            assert self.lms.grades.get(user, 0) == min(100, 50 * count), (user, self)

    def check_records(self) -> None:
        """Event store = ledger: no line doubled, none lost, and nothing taken back before it was there."""
        lines = [json.loads(line) for line in self.store.read_text().splitlines()]
        records, before = {}, {}
        for line in lines:
            assert line["reverses"] is None or line["reverses"] in records, self
            tries = {name: line.pop(name) for name in ("attempts", "at", "refused")}
            assert records.setdefault(line["id"], line) == line, self
            last = before.get(line["id"])
            # Only a worker that died, or was too slow, lets another one give it again: when its lease ended.
            assert last is None or last["refused"] or moment(last) + LEASE <= moment(tries), self
            before[line["id"]] = tries
        gone = {record["reverses"] for record in records.values()}
        left = [record for record in records.values() if record["id"] not in gone]
        told = Counter((r["person_id"], r["session_id"]) for r in left if r["kind"] == "award")
        assert told == self.standing(), self
        met = Counter(r["person_id"] for r in left if r["kind"] == "completion")
        completions = self.read(select(Completion).where(Completion.met_at.is_not(None)))
        assert met == Counter(str(row.person_id) for row in completions), self

    def __repr__(self) -> str:
        return f"seed {self.seed}: {', '.join(self.told)}"


def test_schedules_when_played_leave_ledger_gradebook_and_records_equal(
    seeds, runtime, clock, lms, forker, tmp_path
):
    killed = 0
    forker.install(runtime.settings)
    # The first one alone meets no fault, and its workers no cold cache.
    first = Schedule("first", runtime, clock, lms, forker, tmp_path)
    for step in (first.confirm, first.reverse):
        step()
        forker.work_here(now=clock.now.isoformat())
    first.recover()
    for seed in seeds:
        schedule = Schedule(seed, runtime, clock, lms, forker, tmp_path)
        schedule.play()
        killed += schedule.killed
        clock.forward(days=1)
    assert killed >= len(seeds) / 4, "the schedules kill too few workers to show anything"
