"""Seeded schedules of faults: whatever comes together, afterwards ledger, gradebook and records agree.

Nothing of this is played inside the test's process (`tests.factories.schedules`). What is shared by the
schedules of one test, to be quick, is the database with a tenant for each schedule, the LMS, and the workers.

``--fault-schedules N`` plays more, and plants more. A failure names its seed; N must reach beyond it.
"""

import pytest

from tests.factories.schedules import Schedule
from tests.fakes.forked_workers import FileSink, Forker
from tests.fakes.watched_platform import WatchedPlatform

IN_ONE_TEST = 40
# Faults of `tests.fakes.plants`, and the schedules that find each: one of them, because workers race.
PLANTED = {
    "claims_without_a_look_at_leases": (3, 1, 6),
    "an_answer_counts_for_any_try_in_flight": (1, 14, 29),
    "a_lost_answer_is_taken_for_success": (4, 26, 36),
    "an_asked_pause_is_not_kept": (12, 17),
    "two_batches_of_an_account_go_at_once": (9, 23, 24),
    "a_late_answer_counts_for_a_newer_try_of_a_batch": (23,),
    # The first ones hide best, and are always planted; the others, as more schedules, by flag.
    "a_late_answer_counts_for_a_newer_try": (1, 14, 29),
    "a_claim_is_not_marked": (5, 6, 3),
    "a_delivery_is_done_before_the_call": (1, 3, 14),
    "a_failure_is_not_tried_again": (0, 1, 2),
    "coalescing_drops_the_newest": (3, 34),
    "a_brake_never_opens": (0, 1, 2),
    "a_brake_keeps_even_the_trial_away": (0, 1, 2),
    "a_reversal_is_not_sent": (1, 5, 8),
    "a_reversal_goes_before_its_award": (35,),
    "a_batch_is_not_marked": (6, 9, 13),
    "ids_of_events_are_by_chance": (0, 1, 2),
    "leases_do_not_end": (3, 6, 9),
    "leases_end_at_once": (0, 1, 2),
}
ALWAYS, PLAYED_ALWAYS = 6, 200


def pytest_generate_tests(metafunc):
    count = metafunc.config.getoption("--fault-schedules")
    if "plant" in metafunc.fixturenames:
        metafunc.parametrize("plant", list(PLANTED)[: ALWAYS if count <= PLAYED_ALWAYS else None])
    if "seeds" in metafunc.fixturenames:
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
    with WatchedPlatform(runtime, clock) as platform:
        yield platform


def warm_up(*where) -> None:
    """Play a schedule without faults, so that the workers of the next ones meet no cold cache."""
    first = Schedule("first", *where)
    for step in (first.confirm, first.reverse):
        step()
        first.forker.work_here(name="first", now=first.clock.now.isoformat())
    first.recover()


def test_schedules_when_played_leave_ledger_gradebook_and_records_equal(
    seeds, runtime, clock, lms, forker, tmp_path
):
    killed = 0
    forker.install(runtime.settings)
    where = runtime, clock, lms, forker, tmp_path
    warm_up(*where)
    for seed in seeds:
        schedule = Schedule(seed, *where)
        schedule.play()
        killed += len(schedule.killed)
        clock.forward(days=1)
    assert killed >= len(seeds) / 4, "the schedules kill too few workers to show anything"


@pytest.mark.only_on("sqlite")
def test_schedules_when_a_fault_is_planted_find_it(plant, runtime, clock, lms, forker, tmp_path):
    forker.install(runtime.settings, plant)
    for seed in PLANTED[plant]:
        try:
            Schedule(seed, runtime, clock, lms, forker, tmp_path).play()
        except AssertionError:
            return
    pytest.fail("nothing was found")
