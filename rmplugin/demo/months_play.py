"""A calendar on which simulated people act: each act is a generator that says for how many days it rests."""

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from rmplugin.db import Db, Secrets

DAY = timedelta(days=1)
SATURDAY = 5

# Rests for the days that it yields; it acts in the transaction of the day on which it goes on.
Act = Iterator[float]


class Clock:
    """Tells the time of the play; nobody waits for it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Tell aware UTC."""
        return self.now


@dataclass
class Stage:
    """What everybody who acts is given.

    :ivar db: the session of the day's transaction; between two days it is closed.
    :ivar seed: of all chance.
    """

    clock: Clock
    secrets: Secrets
    seed: int
    db: Db = field(init=False)
    _waiting: list[tuple[datetime, int, Act]] = field(default_factory=list)
    _number: Iterator[int] = field(default_factory=count)

    @property
    def now(self) -> datetime:
        """Tell the time of the play."""
        return self.clock.now

    def chance(self, *about: object) -> random.Random:
        """Give somebody chance of their own, so that others who act more or less change nothing for them.

        :param about: who, in words or numbers that are the same in every run.

        **Touches** pure.
        """
        return random.Random(f"{self.seed} {about}")  # noqa: S311 - the same play every time is the point.

    def enter(self, act: Act, at: datetime) -> None:
        """Let an act begin. **Touches** the calendar."""
        heapq.heappush(self._waiting, (at, next(self._number), act))

    def play_until(self, end: datetime) -> None:
        """Let everybody act whose time has come, in its order.

        :param end: aware UTC; who comes later waits.

        **Touches** the calendar, and what the acts touch.
        """
        while self._waiting and self._waiting[0][0] <= end:
            at, _, act = heapq.heappop(self._waiting)
            self.clock.now = max(self.clock.now, at)
            rest = next(act, None)
            if rest is not None:
                self.enter(act, workday(at + rest * DAY))


def workday(moment: datetime) -> datetime:
    """Move a moment into working hours, and from a weekend to the Monday after it. **Touches** pure."""
    moment = moment.replace(hour=7 + moment.hour * 11 // 24)
    past = moment.weekday() - SATURDAY
    return moment + (2 - past) * DAY if past >= 0 else moment


def once(what: Callable[[], object]) -> Act:
    """Make an act of something that is done once. **Touches** nothing yet."""
    what()
    yield from ()
