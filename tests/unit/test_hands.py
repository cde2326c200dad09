"""Several hands at work: everything is done once, few at a shut door, nobody waits behind a slow one."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from rmplugin.credits.hands import work_through
from rmplugin.destinations.store import PATIENCE

MOST = 4


def run(rows, work, failures=None, most=MOST):
    with ThreadPoolExecutor(most) as hands:
        work_through(rows, lambda row: row[0], work, hands, Counter() if failures is None else failures, most)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([True, False, None])), max_size=30))
def test_work_through_when_doors_open_and_shut_does_each_once_until_patience_ends(plan):
    rows = [(door, number, outcome) for number, (door, outcome) in enumerate(plan)]
    done = []

    def work(row):
        done.append(row)
        return row[2]

    run(rows, work)
    assert len(done) == len(set(done))
    for door in "abc":
        mine = [row for row in rows if row[0] == door]
        did = [row for row in done if row[0] == door]
        left = [row for row in mine if row not in did]
        # What is left is the end of the line, and only behind failures.
        assert sorted(did) == mine[: len(did)]
        if left:
            assert sum(row[2] is False for row in did) >= PATIENCE


def test_work_through_when_a_door_is_dead_knocks_patience_times():
    tried, failures = [], Counter()
    rows = [("dead", number) for number in range(50)]
    run(rows, lambda row: bool(tried.append(row)), failures)
    run(rows, lambda row: bool(tried.append(row)), failures)
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
        return True

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
            return slow_may_end.wait(10)
        fast.append(row)
        if len(fast) == 40:
            slow_may_end.set()
        return True

    rows = [("slow", number) for number in range(20)] + [("fast", number) for number in range(40)]
    run(rows, work, Counter({"slow": 0}))
    assert len(fast) == 40
