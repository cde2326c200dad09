"""The strict LTI platform with a watch on who posts which score when, and handles to hold single answers."""

from __future__ import annotations

import itertools
import json
import threading
from dataclasses import dataclass
from datetime import datetime

from tests.fakes.ags_platform import AgsPlatform


@dataclass
class Call:
    """One score that somebody posted.

    :ivar worker: name of the job of `forked_workers` that posted it, `at`: what time it was there.
    :ivar begun, ended: places in the order of all beginnings and ends; `ended` is None until the answer goes.
    :ivar taken: whether the gradebook took it.
    :ivar status, wait: what was answered, None when that did not arrive whole; the pause that was asked for.
    """

    line_item: str
    user: str
    given: float
    worker: str
    at: datetime
    begun: int
    ended: int | None = None
    taken: bool = False
    status: int | None = None
    wait: float | None = None

    def overlaps(self, later: Call) -> bool:
        """Tell whether a call that began later began before this one's end."""
        return self.begun < later.begun and (self.ended is None or later.begun < self.ended)


class WatchedPlatform(AgsPlatform):
    """One course with one graded link, which notes every call.

    :ivar calls: all scores that were posted, in the order of their beginnings.
    :ivar hold_next: names of jobs whose next score is taken, and its answer held until `let_go`.
    :ivar deaf: connections are closed before anything is taken.
    """

    def __init__(self, runtime, clock) -> None:
        self.calls: list[Call] = []
        self.hold_next: set[str] = set()
        self.deaf = False
        self._order = itertools.count()
        self._held: dict[str, threading.Event] = {}
        self._lost: set[str] = set()
        self._never: set[str] = set()
        self._here = threading.local()
        self._lock = threading.Lock()
        super().__init__(runtime, clock)

    def __exit__(self, *exc: object) -> None:
        for event in self._held.values():
            event.set()
        super().__exit__(*exc)

    def answer(self, method, path, query, headers, body):
        if not path.endswith("/scores"):
            return super().answer(method, path, query, headers, body)
        call = self._here.call = self._begin(path, headers, json.loads(body))
        deaf = 500, "text/html", "", {}
        answered = deaf if self.deaf else super().answer(method, path, query, headers, body)
        call.status = answered[0] if self.cut is None else None
        call.wait = float(answered[3].get("Retry-After", 0)) or None
        if call.worker in self.hold_next:
            self.hold_next.discard(call.worker)
            held = self._held[call.worker] = threading.Event()
            held.wait(30)
            if call.worker in self._never:
                return answered
            if call.worker in self._lost:
                call.status, answered = 502, (502, "text/html", "", {})
        call.ended = next(self._order)
        return answered

    def _begin(self, path, headers, score) -> Call:
        worker, at = headers["X-Worker"].split()
        with self._lock:
            call = Call(
                line_item=path,
                user=score["userId"],
                given=score["scoreGiven"],
                worker=worker,
                at=datetime.fromisoformat(at),
                begun=next(self._order),
            )
            self.calls.append(call)
        return call

    def _take_score(self, number, method, headers, body):
        answer = super()._take_score(number, method, headers, body)
        self._here.call.taken = True
        return answer

    def holds(self, worker: str) -> bool:
        """Tell whether an answer to a job is held."""
        return worker in self._held

    def let_go(self, worker: str, *, lost: bool = False, never: bool = False) -> None:
        """Let a job have the answer that is held.

        :param lost: it is told 502 instead.
        :param never: nobody is there any more to hear it, so that the call never ends.
        """
        self._lost.update({worker} if lost else ())
        self._never.update({worker} if never else ())
        self._held.pop(worker).set()
