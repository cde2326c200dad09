"""Several hands at work at once, none before a door that stays shut, and one that keeps their books."""

import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

from rmplugin.destinations.store import PATIENCE

Row = TypeVar("Row")
Result = TypeVar("Result")


class Hands(Generic[Row, Result]):
    """Hands that call other systems, while whoever called `work_through` keeps the books for all of them.

    The books are kept for many rows at once: what came back while they were being written waits for the next
    turn, and so do the rows that are wanted next. A few rows are taken ahead, so that no hand waits for this.

    A door gets one row at a time until one went through it, and again after each failure; after `PATIENCE`
    failures in a row it gets no more. Whichever door has the fewest rows in hand comes next, and none has
    more than its share, so that a slow one does not hold up the others.

    :param most: hands, i.e. calls at once.
    :param door_of: of a row; the order within a door is kept.
    :param turn: keeps the books. It is given what came back, and the rows that are wanted next, and gives for
        each of these the call, or None when it is not its turn. A result None stands for a row that was not
        called after all.
    :param went_through: tells of a result whether the door let it through.
    :ivar failures: door -> failures in a row, kept over several calls of `work_through`.
    """

    def __init__(
        self,
        most: int,
        door_of: Callable[[Row], Hashable],
        turn: Callable[
            [Sequence[tuple[Row, Result | None]], Sequence[Row]], Sequence[Callable[[], Result | None] | None]
        ],
        went_through: Callable[[Result], bool],
    ) -> None:
        self._most, self._door_of, self._turn, self._went_through = most, door_of, turn, went_through
        self.failures: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[Row]] = {}
        self._ready: dict[Hashable, deque[tuple[Row, Callable[[], Result | None]]]] = {}
        self._busy: Counter[Hashable] = Counter()
        self._back: list[tuple[Row, Result | None]] = []
        self._fault: BaseException | None = None
        self._changed = threading.Condition()

    def work_through(self, rows: Iterable[Row]) -> None:
        """Work on all rows, and leave the rest of a door's rows when it stays shut.

        :raises Exception: what a call or the books raised; they are not meant to.
        **Touches** what the calls and the books touch.
        """
        for row in rows:
            self._waiting.setdefault(self._door_of(row), deque()).append(row)
        with ThreadPoolExecutor(self._most, thread_name_prefix="deliver") as pool:
            try:
                while turn := self._await_turn():
                    back, wanted = turn
                    calls = self._turn(back, wanted)
                    with self._changed:
                        for row, call in zip(wanted, calls, strict=True):
                            if call is not None:
                                self._ready.setdefault(self._door_of(row), deque()).append((row, call))
                        self._start(pool)
            finally:
                with self._changed:
                    self._ready.clear()

    def _await_turn(self) -> tuple[list[tuple[Row, Result | None]], list[Row]] | None:
        """Wait until there is something to write down; None when all is done."""
        with self._changed:
            while True:
                if self._fault is not None:
                    raise self._fault
                back, self._back = self._back, []
                wanted = self._choose()
                if back or wanted:
                    return back, wanted
                if not (self._busy.total() or self._ready):
                    return None
                self._changed.wait()

    def _choose(self) -> list[Row]:
        for door in [door for door in self._waiting if self.failures.get(door, 0) >= PATIENCE]:
            del self._waiting[door]
        taken = self._busy + Counter({door: len(rows) for door, rows in self._ready.items()})
        chosen = []
        while taken.total() < 2 * self._most:
            doors = [door for door in self._waiting if self._is_open(door) or not taken[door]]
            if not doors:
                break
            door = min(doors, key=taken.__getitem__)
            chosen.append(_pop(self._waiting, door))
            taken[door] += 1
        return chosen

    def _is_open(self, door: Hashable) -> bool:
        return self.failures.get(door) == 0

    def _start(self, pool: ThreadPoolExecutor) -> None:
        """Give free hands what is ready."""
        doors_left = {*self._waiting, *self._ready, *+self._busy}
        share = math.ceil(self._most / max(1, len(doors_left)))
        while self._busy.total() < self._most:
            doors = [
                door
                for door in self._ready
                if not self._busy[door] or (self._is_open(door) and self._busy[door] < share)
            ]
            if not doors:
                return
            door = min(doors, key=self._busy.__getitem__)
            row, call = _pop(self._ready, door)
            self._busy[door] += 1
            pool.submit(call).add_done_callback(partial(self._take_back, pool, door, row))

    def _take_back(
        self, pool: ThreadPoolExecutor, door: Hashable, row: Row, done: Future[Result | None]
    ) -> None:
        with self._changed:
            self._fault = self._fault or done.exception()
            result = done.result() if self._fault is None else None
            self._busy[door] -= 1
            self._back.append((row, result))
            if result is not None:
                self.failures[door] = 0 if self._went_through(result) else self.failures[door] + 1
            if self.failures.get(door, 0) >= PATIENCE:
                self._back += [(left, None) for left, _call in self._ready.pop(door, ())]
            self._start(pool)
            self._changed.notify_all()


def _pop(lines: dict[Hashable, deque[Row]], door: Hashable) -> Row:
    row = lines[door].popleft()
    if not lines[door]:
        del lines[door]
    return row
