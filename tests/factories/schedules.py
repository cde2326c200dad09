"""Seeded schedules of faults: what happens, drawn from a seed, and what must be so afterwards.

A schedule is a list of steps: sessions are confirmed, lines are taken back, time goes on or steps back,
workers do their rounds and something fails in them. Every round is done by a real process; those that are
killed are killed by a real SIGKILL, at a moment that the schedule names:

* the nth beginning or commit of a transaction: before and after the award, before and after a claim, after
  the other system took it and before that is recorded, after the record;
* before and after the event sink took a batch; while the LMS holds its answer back.

At the same moments workers stand still, while others work and time goes on, maybe beyond their leases.
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
from itertools import pairwise
from operator import itemgetter

from sqlalchemy import select

from rmplugin.credits.claims import LEASE
from rmplugin.credits.events import LEASE as EVENT_LEASE
from rmplugin.credits.models import Completion, CreditEntry, Delivery
from rmplugin.destinations.models import Brake
from rmplugin.jobs import OutboxEvent, enqueue
from rmplugin.sessions.models import MentoringSession
from rmplugin.tenants.operations import ensure_tenant
from tests.conftest import ENGINE
from tests.factories.credits import confirm_session, join_course, make_course, make_pair
from tests.factories.sinks import connect, entries_of, reverse
from tests.fakes.forked_workers import STANDS, FileSink

STEPS = (3, 5)
MOST_SESSIONS = 4
WEIGHTS = {"news": 2, "round": 5, "race": 1, "late": 2, "entangle": 2, "outage": 1, "on": 2, "back": 1}
FAULTS = (
    *(("kill", moment) for moment in ("begin", "begin", "commit", "commit", "sink-before", "sink-after")),
    *(("lms", status) for status in (500, 409, 429, 503)),
    ("cut", 0),
    ("cut", 0.5),
    ("deaf", None),
    ("lost", None),
    *(("sink", fault) for fault in ("503", "429", "part", "lost")),
    ("locked", None),
)
# Where a worker stands still: at the LMS, which holds its answer, or at a moment of its own.
STOPS = ("lms", "lms", "sink-after", "sink-before", "begin")
# So many seconds later their claims are over: of scores, and of batches of events.
BEYOND = (int(LEASE.total_seconds()) + 1, int(EVENT_LEASE.total_seconds()) + 1)
ASKED_PAUSE = 600


class Schedule:
    """One schedule in a company of its own.

    :ivar told: what happened, in words.
    :ivar killed: names of jobs whose worker was killed.
    :ivar overtaken: names of jobs that stood still while another worker may have taken over their claims.
    """

    def __init__(self, seed, runtime, clock, lms, forker, folder) -> None:
        self.seed, self.runtime, self.clock, self.lms, self.forker = seed, runtime, clock, lms, forker
        self.random = random.Random(seed)
        self.told: list[str] = []
        self.workers: dict[str, int] = {}
        self.killed: set[str] = set()
        self.overtaken: set[str] = set()
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

    def news(self) -> None:
        self.random.choice((self.confirm, self.confirm, self.reverse))()

    def maybe_news(self) -> None:
        if self.random.random() < 0.5:
            self.news()

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

    def start(self, fate=(None, None, 0), sink_fault=None, ahead=0, *, held=False) -> str:
        """Let a worker do a round; give the name of the job."""
        name = f"{self.seed}-{len(self.workers)}"
        if held:
            self.lms.hold_next.add(name)
        now = (self.clock.now + timedelta(seconds=ahead)).isoformat()
        self.workers[name] = self.forker.start(name=name, now=now, fate=fate, sink_fault=sink_fault)
        return name

    def end(self, name: str) -> None:
        code = self.forker.wait(self.workers[name], 60)
        assert code in (0, -signal.SIGKILL), f"a worker ended with {code}, or not at all: {self}"
        if code != 0:
            self.killed.add(name)

    def round(self) -> None:
        self.maybe_news()
        kind, what = self.random.choice(FAULTS)
        self.told[-1] += f" {kind} {what}"
        if kind == "kill":
            number = self.random.randint(1, 25) if what in ("begin", "commit") else 1
            self.told[-1] += f" {number}"
            self.end(self.start(fate=(kind, what, number)))
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
            wait = {"Retry-After": str(ASKED_PAUSE)} if what == 429 else {}
            lms.outage = {} if what == 409 else {"ags": (what, wait)}
        elif kind == "cut":
            lms.cut = what
        elif kind == "deaf":
            lms.cut, lms.deaf = 0, True
        elif kind == "lost":
            lms.lost_answers = 2
        with self.lock_database(0.2 if kind == "locked" else 0):
            yield
        lms.refuse_scores, lms.outage, lms.cut, lms.lost_answers, lms.deaf = None, {}, None, 0, False

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

    def outage(self) -> None:
        """Let all other systems be down, until they are left alone, or ask for a pause."""
        self.news()
        kind, what = self.random.choice((("lms", 429), ("lms", 500), ("lms", 503), ("deaf", None)))
        self.told[-1] += f" {kind} {what}"
        for _ in range(3):
            with self.failing(kind, what):
                self.end(self.start(sink_fault="429" if what == 429 else "503"))
            self.clock.forward(minutes=5)

    def race(self) -> None:
        fate = ("kill", self.random.choice(("begin", "commit", None)), self.random.randint(1, 25))
        for name in [self.start(fate=fate), self.start()]:
            self.end(name)

    def late(self) -> None:
        """Let a worker be overtaken and hear its answer late, while the other waits; then comes news."""
        stop = self.random.choice(STOPS[:3])
        fault = self.random.choice((None, "lost")) if stop != "lms" else None
        ahead = BEYOND[stop != "lms"] + self.random.choice((0, 1))
        self.told[-1] += f" {stop} {fault} {ahead}"
        first = self.stop_at(stop, 0, fault)
        second = self.stop_at(stop, ahead)
        if first:
            self.overtaken.add(first)
            self.let_go(first)
        self.news()
        self.end(self.start(ahead=ahead + self.random.choice((0, 55))))
        if second:
            self.let_go(second)

    def entangle(self) -> None:
        """Let workers stand still anywhere, one after the other, and go on, or die, in any order.

        Between them something new happens, and the next one's clock is ahead, maybe beyond the leases.
        """
        standing: dict[str, int] = {}
        ahead = 0
        for _ in range(self.random.randint(2, 3)):
            stop = self.random.choice(STOPS)
            self.told[-1] += f" {stop} {ahead}"
            self.overtaken.update(one for one, since in standing.items() if ahead - since >= BEYOND[0])
            if name := self.stop_at(stop, ahead, self.random.choice((None, None, "lost"))):
                standing[name] = ahead
            self.maybe_news()
            ahead += self.random.choice((0, 5, *BEYOND))
        names = list(standing)
        self.random.shuffle(names)
        for name in names:
            self.let_go(name)

    def stop_at(self, stop, ahead, fault=None) -> str | None:
        """Start a worker that stands still somewhere; None when it did not come there, and has ended."""
        number = self.random.randint(2, 12) if stop == "begin" else 1
        fate = ("stand", stop, number) if stop != "lms" else (None, None, 0)
        name = self.start(fate=fate, sink_fault=fault, ahead=ahead, held=stop == "lms")
        return name if self.stands_still(name) else None

    def stands_still(self, name: str) -> bool:
        """Wait until a worker stands still, or has ended."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if self.lms.holds(name):
                return True
            said = self.forker.wait(self.workers[name], 0.005)
            if said is not None:
                assert said in (0, STANDS), f"a worker ended with {said}: {self}"
                return said == STANDS
        raise AssertionError(f"a worker neither ends nor stands still: {self}")

    def let_go(self, name: str) -> None:
        """Let a worker that stands still go on, or die, or hear that the LMS failed."""
        does = self.random.choice(("goes on", "goes on", "dies"))
        self.told[-1] += f", {name} {does}"
        if does == "dies":
            os.kill(self.workers[name], signal.SIGKILL)
        if self.lms.holds(name):
            self.lms.let_go(name, lost=self.random.random() < 0.3, never=does == "dies")
        elif does != "dies":
            self.forker.go_on(self.workers[name])
        self.end(name)

    # -- afterwards ---------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Let everything work again, and time go on until nothing is left to do."""
        for _ in range(12):
            self.clock.forward(hours=4)
            self.end(self.start())
            if self.is_quiet():
                break
        assert self.is_quiet(), self
        assert self.read(select(Brake)) == [], f"a brake stays on: {self}"
        self.check_ledger()
        self.check_gradebook()
        self.check_calls()
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
        """Gradebook = ledger: two sessions of an hour are the whole. It never went back to older words."""
        standing = self.standing()
        for person, user in zip((self.pair.mentor, self.pair.mentee), self.users, strict=True):
            count = sum(one for (owner, _session), one in standing.items() if owner == str(person.id))
            assert self.lms.grades.get(user, 0) == min(100, 50 * count), (user, self)
            query = select(Delivery).where(Delivery.person_id == person.id, Delivery.account_id.is_(None))
            words = self.read(query.order_by(Delivery.created_at, Delivery.id))
            calls = [call for call in self.lms.calls if call.user == user and call.taken]
            left = iter(words)
            word = None
            for call in calls:
                if word is None or word.payload["percent"] != call.given:
                    word = next((one for one in left if one.payload["percent"] == call.given), None)
                assert word is not None, f"the gradebook went back to an older word: {self}"
            arrived = [call for call in calls if call.status == 200 and not self.is_disturbed(call.worker)]
            assert len(arrived) <= sum(row.state == "delivered" for row in words), (
                f"a score was sent again after its arrival was known: {self}"
            )

    def is_disturbed(self, worker: str) -> bool:
        return worker in self.killed or worker in self.overtaken

    def check_calls(self) -> None:
        """One score in flight per column and person, unless a lease ended; and no call in a pause."""
        calls = [call for call in self.lms.calls if call.user in self.users]
        for user in self.users:
            for call, later in pairwise(call for call in calls if call.user == user):
                over = not call.overlaps(later) or call.at + LEASE <= later.at
                assert over, f"two scores were in flight: {self}"
        for call, later in pairwise(calls):
            if call.wait is not None:
                assert later.at >= call.at + timedelta(seconds=call.wait), f"a pause was not kept: {self}"

    def check_records(self) -> None:
        """Event store = ledger: no line doubled, none lost, and nothing taken back before it was there."""
        lines = [json.loads(line) for line in self.store.read_text().splitlines()]
        self.check_batches(lines)
        records: dict[str, dict] = {}
        takes: dict[str, list[dict]] = {}
        begun: dict[str, int] = {}
        for number, line in enumerate(lines):
            if line["does"] == "begin":
                begun[line["worker"]] = number
            elif line["does"] == "take":
                record = line["record"]
                assert record["reverses"] is None or record["reverses"] in records, self
                assert records.setdefault(record["id"], record) == record, self
                takes.setdefault(record["id"], []).append({**line, "begun": begun[line["worker"]]})
        for same in takes.values():
            for line, again in pairwise(sorted(same, key=itemgetter("begun"))):
                # Only a worker that died or was too slow lets another give it again: when its lease ended.
                if not line["refused"]:
                    assert self.is_disturbed(line["worker"]), f"a record was given twice: {self}"
                    assert moment(line) + EVENT_LEASE <= moment(again), f"a record was given early: {self}"
        gone = {record["reverses"] for record in records.values()}
        left = [record for record in records.values() if record["id"] not in gone]
        told = Counter((r["person_id"], r["session_id"]) for r in left if r["kind"] == "award")
        assert told == self.standing(), self
        met = Counter(r["person_id"] for r in left if r["kind"] == "completion")
        completions = self.read(select(Completion).where(Completion.met_at.is_not(None)))
        assert met == Counter(str(row.person_id) for row in completions), self

    def check_batches(self, lines) -> None:
        """One batch of an account in flight, unless a lease ended; and no call in a pause."""
        out = None
        for line in lines:
            if line["does"] == "begin":
                over = out is None or moment(out) + EVENT_LEASE <= moment(line)
                assert over, f"two batches were in flight: {self}"
                out = line
            elif line["does"] == "end" and out is not None and out["worker"] == line["worker"]:
                out = None
        begun = [line for line in lines if line["does"] == "begin"]
        for line, later in pairwise(begun):
            if line["fault"] == "429":
                assert moment(later) >= moment(line) + timedelta(seconds=700), f"a pause was not kept: {self}"

    def __repr__(self) -> str:
        return f"seed {self.seed}: {', '.join(self.told)}"


def moment(line) -> datetime:
    return datetime.fromisoformat(line["at"])
