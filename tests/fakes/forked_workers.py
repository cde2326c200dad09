"""Real worker processes that start in milliseconds: a process that knows all code forks one per job.

Run as ``python -m tests.fakes.forked_workers``; `Forker` is its other end. A worker does one round with
connections of its own, gives events to a file that outlives it, and kills itself with SIGKILL at the moment
that its job names.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import traceback
from datetime import datetime
from pathlib import Path

import marshmallow as ma
from sqlalchemy import event
from sqlalchemy.orm import configure_mappers

from rmplugin import wiring
from rmplugin.api import RetriableError, SinkAnswer, hookimpl
from rmplugin.credits.tasks import deliver_due
from rmplugin.jobs import work_outbox
from rmplugin.settings import Settings
from tests.once import read_entry_points_once


class FileSink:
    """Writes each record as one line of a file, which stands for another system that keeps what it was told.

    :ivar fault: how the system fails; None when it does not.
    """

    key, title, batch, calls_per_minute, corrects = "file", "File", 3, None, True
    takes = frozenset(("award", "reversal", "adjustment", "completion", "withdrawal"))
    settings_schema = ma.Schema.from_dict({"path": ma.fields.String(required=True)})

    def __init__(self, fault=None, reached=lambda _name: None) -> None:
        self.fault, self.reached = fault, reached

    def check(self, settings):  # noqa: ARG002 - names of the protocol.
        return []

    def deliver(self, settings, records, now):
        self.reached("sink-before")
        if self.fault == "503":
            raise RetriableError("file", "POST", "https://records.example", 503)
        if self.fault == "429":
            raise RetriableError("file", "POST", "https://records.example", 429, retry_after=700)
        taken = records[: len(records) // 2] if self.fault == "part" else records
        with Path(settings["path"]).open("a") as file:
            for record in taken:
                fields = ("id", "kind", "reverses", "person_id", "session_id", "minutes", "attempts")
                told = {name: getattr(record, name) for name in fields}
                told |= {"at": now.isoformat(), "refused": self.fault == "lost"}
                file.write(json.dumps(told) + "\n")
        self.reached("sink-after")
        if self.fault == "lost":
            raise RetriableError("file", "POST", "https://records.example", None)
        if self.fault == "part":
            ok = SinkAnswer(outcome="delivered")
            down = SinkAnswer(outcome="retry", status=500)
            return [ok] * len(taken) + [down] * (len(records) - len(taken))
        return [SinkAnswer(outcome="delivered", status=200) for _ in records]

    @hookimpl
    def rm_register_completion_sinks(self):
        return [self]


class Doom:
    """Kills this process, without any farewell, when it comes to a moment for the nth time.

    :ivar moment: begin or commit (of a transaction), sink-before or sink-after (of a call); None for never.
    """

    moment, left = None, 0

    def reached(self, moment) -> None:
        if moment == self.moment:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Installation:
    """What the workers of one database share, made before they are forked."""

    def __init__(self, *, folder, database_url, key) -> None:
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
        self.doom = Doom()
        self.sink = FileSink(reached=self.doom.reached)
        self.runtime = wiring.make_runtime(settings, plugins=[self.sink], clock=lambda: self.now)
        self.engine = self.runtime.database.engine
        event.listen(self.engine, "begin", lambda _: self.doom.reached("begin"))
        event.listen(self.engine, "commit", lambda _: self.doom.reached("commit"))

    def work(self, *, now, doom=(None, 0), sink_fault=None) -> None:
        """Do one worker's round."""
        self.now = datetime.fromisoformat(now)
        self.doom.moment, self.doom.left = doom
        self.sink.fault = sink_fault
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

    def fork(self, **job) -> int:
        """Do a round in a process of its own; give its id."""
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            self.work(**job)
            code = 0
        except Exception:  # noqa: BLE001 - whatever it is, the test sees the exit code.
            traceback.print_exc()
        finally:
            os._exit(code)


def main() -> None:
    read_entry_points_once()
    configure_mappers()
    wiring.configure_logging("text")
    # A child that collects garbage would copy every page that it shares with its parent.
    gc.disable()
    say("ready")
    installation = None
    for line in sys.stdin:
        asked = json.loads(line)
        if "install" in asked:
            installation = Installation(**asked["install"])
            say(0)
        elif "wait" in asked:
            say(os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]))
        else:
            assert installation is not None
            say(
                installation.fork(**asked["run"])
                if "run" in asked
                else installation.work_here(**asked["here"])
            )


def say(answer) -> None:
    sys.stdout.write(f"{answer}\n")
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
        assert self.process.stdout.readline().strip() == "ready"

    def _ask(self, **asked) -> int:
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def install(self, settings) -> None:
        """Say which database the next workers work on."""
        self._ask(
            install={
                "folder": str(settings.data_dir),
                "database_url": settings.database_url,
                "key": settings.secret_key,
            }
        )

    def work_here(self, **job) -> None:
        """Do a round without a process of its own."""
        self._ask(here=job)

    def start(self, **job) -> int:
        """Start a worker and give its process id."""
        return self._ask(run=job)

    def wait(self, pid: int) -> int:
        """Wait for a worker's end; give its exit code, or the number of the signal, negative."""
        return self._ask(wait=pid)

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


if __name__ == "__main__":
    main()
