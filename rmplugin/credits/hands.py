"""Several hands at work at once, none of them before a door that stays shut."""

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from rmplugin.destinations.store import PATIENCE

Row = TypeVar("Row")


def work_through(
    rows: Iterable[Row],
    door_of: Callable[[Row], Hashable],
    work: Callable[[Row], bool | None],
    hands: ThreadPoolExecutor,
    failures: Counter[Hashable],
    most: int,
) -> None:
    """Work on all rows, a few at once, and leave the rest of a door's rows when it stays shut.

    A door gets one row at a time until one went through it, and again after each failure. Whichever door has
    the fewest rows in hand comes next, so that a slow one does not hold up the others.

    :param rows: the order within a door is kept.
    :param work: says whether the row went through (True), the door was shut (False), or neither (None). It
        never raises.
    :param failures: door -> failures in a row; empty at the start of a round, kept by the caller over several
        calls.
    :param most: rows in hand at once.
    **Touches** what `work` touches.
    """
    open_doors = {door for door, times in failures.items() if not times}
    waiting: dict[Hashable, deque[Row]] = {}
    for row in rows:
        if failures.get(door := door_of(row), 0) < PATIENCE:
            waiting.setdefault(door, deque()).append(row)
    in_hand: dict[Future[bool | None], Hashable] = {}
    while waiting or in_hand:
        busy = Counter(in_hand.values())
        ready = [door for door in waiting if door in open_doors or not busy[door]]
        if ready and len(in_hand) < most:
            door = min(ready, key=lambda one: busy[one])
            in_hand[hands.submit(work, waiting[door].popleft())] = door
            if not waiting[door]:
                del waiting[door]
            continue
        for future in wait(in_hand, return_when=FIRST_COMPLETED).done:
            door, went_through = in_hand.pop(future), future.result()
            if went_through is not None:
                failures[door] = 0 if went_through else failures[door] + 1
                (open_doors.add if went_through else open_doors.discard)(door)
            if failures[door] >= PATIENCE:
                waiting.pop(door, None)
