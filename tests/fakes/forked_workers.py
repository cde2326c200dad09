"""Real worker processes that cost milliseconds: a process that knows all code forks them, and they stay.

Run as ``python -m tests.fakes.forked_workers``; `Forker` is its other end. A worker does one round per job,
with connections of its own, and gives events to a file that outlives it. At the moment that its job names it
kills itself with SIGKILL, or stands still until it is told to go on, as a machine does that is short of
memory. One that died is replaced by a new process.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from datetime import datetime
from pathlib import Path

import marshmallow as ma
import pytest
from sqlalchemy import event
from sqlalchemy.orm import configure_mappers

from rmplugin import wiring
from rmplugin.api import RetriableError, SinkAnswer, hookimpl
from rmplugin.credits.tasks import deliver_due
from rmplugin.jobs import work_outbox
from rmplugin.settings import Settings
from tests.fakes.plants import PLANTS
from tests.once import read_entry_points_once

STANDS = "stands"


class FileSink:
    """Writes each record as one line of a file, which stands for another system that keeps what it was told.

    Lines say, too, when a call began and when it ended.

    :ivar fault: how the system fails; None when it does not.
    :ivar worker: name of the job that calls.
    """

    key, title, batch, calls_per_minute, corrects = "file", "File", 3, None, True
    takes = frozenset(("award", "reversal", "adjustment", "completion", "withdrawal"))
    settings_schema = ma.Schema.from_dict({"path": ma.fields.String(required=True)})

    def __init__(self, reached=lambda _name: None) -> None:
        self.fault, self.worker, self.reached = None, "", reached

    def check(self, settings):  # noqa: ARG002 - names of the protocol.
        return []

    def deliver(self, settings, records, now):
        with Path(settings["path"]).open("a") as file:

            def note(does, **fields):
                line = {"does": does, "worker": self.worker, "at": now.isoformat(), **fields}
                file.write(json.dumps(line) + "\n")
                file.flush()

            note("begin", fault=self.fault)
            try:
                return self._take(records, note)
            finally:
                note("end")

    def _take(self, records, note):
        self.reached("sink-before")
        if self.fault == "503":
            raise RetriableError("file", "POST", "https://records.example", 503)
        if self.fault == "429":
            raise RetriableError("file", "POST", "https://records.example", 429, retry_after=700)
        taken = records[: len(records) // 2] if self.fault == "part" else records
        for record in taken:
            fields = ("id", "kind", "reverses", "person_id", "session_id", "minutes")
            note(
                "take", refused=self.fault == "lost", record={name: getattr(record, name) for name in fields}
            )
        self.reached("sink-after")
        if self.fault == "lost":
            raise RetriableError("file", "POST", "https://records.example", None)
        ok, down = SinkAnswer(outcome="delivered", status=200), SinkAnswer(outcome="retry", status=500)
        return [ok] * len(taken) + [down] * (len(records) - len(taken))

    @hookimpl
    def rm_register_completion_sinks(self):
        return [self]


class Fate:
    """What befalls this process when it comes to a moment for the nth time.

    :ivar kind: kill, or stand (until the other end of `line` says that it goes on); None for nothing.
    :ivar moment: begin (before it) or commit of a transaction, sink-before or sink-after (of a call).
    """

    kind, moment, left, line = None, None, 0, None

    def reached(self, moment) -> None:
        if moment != self.moment:
            return
        self.left -= 1
        if self.left == 0 and self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.left == 0 and self.line is not None:
            self.line.send(STANDS.encode())
            if not self.line.recv(16):
                os._exit(0)


class Installation:
    """What the workers of one database share, made before they are forked."""

    def __init__(self, *, folder, database_url, key, plant) -> None:
        settings = Settings(
            data_dir=Path(folder),
            database_url=database_url,
            queue_url=f"sqlite:///{folder}/queue.sqlite3",
            public_url="http://localhost:5000",
            secret_key=key,
            smtp_url=None,
            log_format="text",
            trusted_proxies=0,
        )
        self.fate = Fate()
        self.sink = FileSink(self.fate.reached)
        self.runtime = wiring.make_runtime(settings, plugins=[self.sink], clock=lambda: self.now)
        self.engine = self.runtime.database.engine
        # Before the database hears of a beginning: who stands still there holds no lock.
        event.listen(self.engine, "checkout", lambda *_: self.fate.reached("begin"))
        event.listen(self.engine, "commit", lambda _: self.fate.reached("commit"))
        self.planted = pytest.MonkeyPatch()
        if plant is not None:
            PLANTS[plant](self.planted)

    def work(self, *, name, now, fate=(None, None, 0), sink_fault=None) -> None:
        """Do one worker's round. Other systems see in each call who makes it, and what time it is there."""
        self.now = datetime.fromisoformat(now)
        self.fate.kind, self.fate.moment, self.fate.left = fate
        self.sink.fault, self.sink.worker = sink_fault, name
        self.runtime.http.headers["X-Worker"] = f"{name} {now}"
        work_outbox(self.runtime)
        deliver_due(self.runtime)
        work_outbox(self.runtime)

    def work_here(self, **job) -> int:
        """Do a round in this very process, so that workers that are forked later know all statements."""
        self.work(**job)
        self.engine.dispose()
        gc.collect()
        gc.freeze()
        return 0

    def serve(self, line: socket.socket) -> None:
        """Do a round for each job, in a process of its own, until nobody has any more."""
        code = 1
        self.fate.line = line
        try:
            while job := line.recv(4096):
                self.work(**json.loads(job))
                line.send(b"0")
            code = 0
        except Exception:  # noqa: BLE001 - whatever it is, the test sees the exit code.
            traceback.print_exc()
        finally:
            os._exit(code)


class Crew:
    """The processes of an installation, by id; some wait for a job."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.lines: dict[int, socket.socket] = {}
        self.idle: list[int] = []

    def start(self, job) -> int:
        """Give a job to one that waits, or to a new one; give its process id."""
        pid = self.idle.pop() if self.idle else self._fork()
        self.lines[pid].send(json.dumps(job).encode())
        return pid

    def _fork(self) -> int:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            # Who keeps another one's line would keep it from seeing its end.
            for line in (ours, *self.lines.values()):
                line.close()
            self.installation.serve(theirs)
        theirs.close()
        self.lines[pid] = ours
        return pid

    def wait(self, pid: int, seconds: float | None = None) -> int | str | None:
        """Wait until one has done its job or died; `STANDS` when it stands still, None when it is at work."""
        line = self.lines[pid]
        if not select.select([line], [], [], seconds)[0]:
            return None
        try:
            said = line.recv(16).decode()
        except ConnectionResetError:
            said = ""
        if said == "0":
            self.idle.append(pid)
            return 0
        if said == STANDS:
            return STANDS
        self.lines.pop(pid).close()
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def go_on(self, pid: int) -> int:
        """Let one go on that stands still."""
        self.lines[pid].send(b"go")
        return 0

    def dismiss(self) -> None:
        """End all, whatever they are at, and take their plant away."""
        for pid, line in self.lines.items():
            os.kill(pid, signal.SIGKILL)
            line.close()
            os.waitpid(pid, 0)
        self.lines.clear()
        self.installation.planted.undo()


def main() -> None:
    read_entry_points_once()
    configure_mappers()
    wiring.configure_logging("text")
    # A child that collects garbage would copy every page that it shares with its parent.
    gc.disable()
    say("ready")
    crew = None
    for line in sys.stdin:
        asked, what = json.loads(line)
        if asked == "install":
            if crew is not None:
                crew.dismiss()
            crew = Crew(Installation(**what))
            say(0)
            continue
        assert crew is not None
        if asked == "here":
            say(crew.installation.work_here(**what))
        elif asked == "start":
            say(crew.start(what))
        elif asked == "wait":
            say(crew.wait(*what))
        else:
            say(crew.go_on(what))


def say(answer) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


class Forker:
    """The process that forks, seen from a test."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.forked_workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # What the workers say is seen with RM_SHOW_WORKERS=1.
            stderr=None if os.environ.get("RM_SHOW_WORKERS") else subprocess.DEVNULL,
            text=True,
        )
        assert json.loads(self.process.stdout.readline()) == "ready"

    def _ask(self, asked, what):
        self.process.stdin.write(json.dumps([asked, what]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def install(self, settings, plant=None) -> None:
        """Say which database the next workers work on.

        :param plant: a fault of `plants.PLANTS` that they have; None for none.
        """
        self._ask(
            "install",
            {
                "folder": str(settings.data_dir),
                "database_url": settings.database_url,
                "key": settings.secret_key,
                "plant": plant,
            },
        )

    def work_here(self, **job) -> None:
        """Do a round without a process of its own."""
        self._ask("here", job)

    def start(self, **job) -> int:
        """Give a worker a round to do (`Installation.work`); give its process id."""
        return self._ask("start", job)

    def wait(self, pid: int, seconds: float | None = None) -> int | str | None:
        """Wait for a worker's end; see `Crew.wait`."""
        return self._ask("wait", [pid, seconds])

    def go_on(self, pid: int) -> None:
        """Let a worker go on that stands still."""
        self._ask("go_on", pid)

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


if __name__ == "__main__":
    main()
