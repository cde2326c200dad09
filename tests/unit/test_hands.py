"""Several hands at work: everything is done once, few at a shut door, nobody waits behind a slow one."""

import threading
import time
from collections import Counter
from functools import partial
from operator import itemgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.credits.hands import Hands
from rmplugin.destinations.store import PATIENCE

MOST = 4


def run(rows, work, failures=None, most=MOST, is_claimed=lambda _row: True):
    """Work through the rows. :return: what the books say of each that came back."""
    told = {}

    def turn(back, wanted):
        for row, result in back:
            assert row not in told
            told[row] = result
        return [partial(work, row) if is_claimed(row) else None for row in wanted]

    hands = Hands(most, itemgetter(0), turn, lambda result: result == "through")
    hands.failures = Counter() if failures is None else failures
    hands.work_through(rows)
    return told


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["through", "shut", None])), max_size=30))
def test_work_through_when_doors_open_and_shut_does_each_once_until_patience_ends(plan):
    rows = [(door, number, outcome) for number, (door, outcome) in enumerate(plan)]
    done = []

    def work(row):
        done.append(row)
        return row[2]

    told = run(rows, work)
    assert len(done) == len(set(done))
    # The books hear of everything, and of what was claimed in vain that nobody did it.
    assert {row: row[2] for row in done}.items() <= told.items()
    assert all(told[row] is None for row in told.keys() - set(done))
    for door in "abc":
        mine = [row for row in rows if row[0] == door]
        did = [row for row in done if row[0] == door]
        left = [row for row in mine if row not in did]
        # What is left is the end of the line, and only behind failures.
        assert sorted(did) == mine[: len(did)]
        if left:
            assert sum(row[2] == "shut" for row in did) >= PATIENCE


def test_work_through_when_a_door_is_dead_knocks_patience_times():
    tried, failures = [], Counter()
    rows = [("dead", number) for number in range(50)]
    for _ in range(2):
        run(rows, lambda row: tried.append(row) or "shut", failures)
    # The second call belongs to the same round.
    assert len(tried) == PATIENCE


def test_work_through_when_the_first_is_under_way_sends_no_second_before_it_went_through():
    at_once, most_at_once, lock = 0, [], threading.Lock()

    def work(row):
        nonlocal at_once
        with lock:
            at_once += 1
            most_at_once.append(at_once)
        time.sleep(0.01)
        with lock:
            at_once -= 1
        return "through"

    run([("a", number) for number in range(20)], work)
    assert most_at_once[0] == 1
    assert most_at_once[1] == 1
    assert max(most_at_once) == MOST


def test_work_through_when_one_door_is_slow_goes_on_with_the_others():
    slow_may_end = threading.Event()
    fast = []

    def work(row):
        if row[0] == "slow":
            # Set by the last fast one: without it, this would time out.
            return "through" if slow_may_end.wait(10) else "shut"
        fast.append(row)
        if len(fast) == 40:
            slow_may_end.set()
        return "through"

    rows = [("slow", number) for number in range(20)] + [("fast", number) for number in range(40)]
    run(rows, work, Counter({"slow": 0}))
    assert len(fast) == 40


def test_work_through_when_a_door_shuts_calls_nothing_that_was_claimed_ahead():
    tried = []
    # All hands are at this door, and as much is claimed ahead, before it shuts.
    all_hands = threading.Barrier(MOST, timeout=10)

    def work(row):
        tried.append(row)
        if row[1] == 0:
            return "through"
        all_hands.wait()
        return "shut"

    told = run([("a", number) for number in range(30)], work)
    assert sorted(tried) == [("a", number) for number in range(1 + MOST)]
    assert sorted(row for row, result in told.items() if result is None) == [
        ("a", number) for number in range(1 + MOST, 1 + 2 * MOST)
    ]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=30))
def test_work_through_when_it_is_not_a_rows_turn_goes_on_with_the_next(plan):
    rows = [(door, number, is_claimed) for number, (door, is_claimed) in enumerate(plan)]
    told = run(rows, lambda _row: "through", is_claimed=itemgetter(2))
    assert told == {row: "through" for row in rows if row[2]}


def test_work_through_when_a_call_raises_ends_with_its_error():
    with pytest.raises(ZeroDivisionError):
        run([("a", number) for number in range(20)], lambda row: 1 / (row[1] - 3) and "through")
