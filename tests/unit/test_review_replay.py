"""The score against what became of pairs, and pairs under other weights."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from benchmarks.review_alarms import BEGIN
from rmplugin.reviews.outcomes import Outcome
from rmplugin.reviews.replay import PENALTY, _chances, decided, fit, replay, validity

THEN = {"coverage": 60_000, "learning": 16_000, "tenure": 6_000}


def cohort(size: int, chance, seed: int = 3, **changed) -> list[Outcome]:
    """Make pairs with factors by chance; `chance(shares)` is how likely one is to fail."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(size):
        shares = {name: float(random.uniform()) for name in THEN}
        failed = random.uniform() < chance(shares)
        values = {
            "pair": f"{number:04}",
            "result": "failed" if failed else "good",
            "reason": "distancing" if failed else None,
            "started_at": BEGIN,
            "ended_at": BEGIN + timedelta(days=number + 1),
            "shares": shares,
            "score": sum(THEN[name] * shares[name] for name in THEN) / sum(THEN.values()),
        }
        found.append(Outcome(**(values | changed)))
    return found


def by_learning(shares):
    return 0.9 if shares["learning"] < 0.5 else 0.1


def by_nothing(shares):
    return 0.4


def test_replay_when_another_factor_decides_finds_that_its_weight_helps():
    found = replay(cohort(120, by_learning), THEN, THEN | {"coverage": 1, "learning": 80_000})
    assert found.is_clear
    assert found.high < 0
    assert found.other < found.then - 0.15


def test_replay_when_the_weight_of_the_deciding_factor_is_taken_away_finds_that_it_harms():
    right = {"coverage": 1, "learning": 80_000, "tenure": 1}
    found = replay(cohort(120, by_learning), right, {"coverage": 80_000, "learning": 1, "tenure": 1})
    assert found.is_clear
    assert found.low > 0


def test_replay_when_nothing_decides_is_seldom_sure():
    other = {"coverage": 1, "learning": 80_000, "tenure": 1}
    sure = [replay(cohort(80, by_nothing, seed), THEN, other).is_clear for seed in range(15)]
    assert sum(sure) <= 2


@pytest.mark.parametrize(
    ("size", "chance"),
    [(19, by_nothing), (40, lambda _s: 0.0), (40, lambda _s: 1.0)],
    ids=["few", "none failed", "all failed"],
)
def test_replay_and_validity_when_pairs_are_too_few_say_nothing(size, chance):
    pairs = cohort(size, chance)
    assert replay(pairs, THEN, THEN) is None
    assert validity(pairs) is None


def test_replay_when_pairs_still_run_leaves_them_out():
    assert decided(cohort(60, by_nothing, result="running")) == []


def test_replay_when_nearly_the_same_pairs_are_chosen_gives_no_rate():
    """Two halves that differ by one pair would tell how that pair came out."""
    found = replay(cohort(60, by_learning), THEN, THEN | {"coverage": 60_001})
    assert found.replaced < 5
    assert (found.then, found.other, found.low, found.high) == (None, None, None, None)


def test_replay_when_one_pair_had_come_out_otherwise_its_own_chance_stays_as_it_was():
    """No pair speaks for itself: its estimate comes from all others."""
    pairs = cohort(40, by_learning)
    factors = np.array([list(o.shares.values()) for o in pairs])
    failed = np.array([o.result == "failed" for o in pairs], dtype=float)
    turned = failed.copy()
    turned[7] = 1 - turned[7]
    before, after = _chances(factors, failed), _chances(factors, turned)
    assert before[7] == pytest.approx(after[7])
    assert not np.allclose(before, after)


def test_replay_when_all_pairs_rank_the_same_expects_what_all_together_do():
    """The order in which pairs began says nothing about weights."""
    pairs = cohort(40, by_learning)
    pairs.sort(key=lambda o: o.result)
    named = [replace(o, pair=f"{n:04}") for n, o in enumerate(pairs)]
    found = replay(named, THEN, dict.fromkeys(THEN, 0))
    failed = sum(o.result == "failed" for o in pairs) / len(pairs)
    assert found.other == pytest.approx(failed, abs=0.03)
    assert {rank for _pair, _then, rank in found.moves} == {1}


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_replay_when_the_order_of_the_pairs_changes_stays_the_same(seed):
    pairs = cohort(30, by_learning, 5)
    mixed = [pairs[i] for i in np.random.default_rng(seed).permutation(len(pairs))]
    other = {"coverage": 1, "learning": 80_000, "tenure": 1}
    assert replay(mixed, THEN, other) == replay(pairs, THEN, other)


def test_fit_when_compared_with_a_general_optimiser_agrees():
    pairs = cohort(60, by_learning)
    factors = np.array([list(o.shares.values()) for o in pairs])
    failed = np.array([o.result == "failed" for o in pairs], dtype=float)

    def loss(found):
        odds = special.expit(found[0] + factors @ found[1:])
        fits = -(failed * np.log(odds) + (1 - failed) * np.log(1 - odds)).sum()
        return fits + PENALTY / 2 * (found[1:] ** 2).sum()

    best = optimize.minimize(loss, np.zeros(4), method="BFGS")
    assert fit(factors, failed) == pytest.approx(best.x, abs=1e-3)


def test_validity_when_the_score_decides_tells_so_and_when_not_says_so():
    right = validity(cohort(100, lambda s: 0.9 if s["coverage"] < 0.5 else 0.1))
    assert right.auc > 0.7
    assert right.low > 0.5
    assert right.spearman > 0.3
    nothing = validity(cohort(100, by_nothing))
    assert nothing.tells_nothing
    assert nothing.low < nothing.auc < nothing.high


def test_validity_when_all_scores_are_the_same_is_chance():
    same = validity(cohort(40, by_nothing, score=0.5))
    assert (same.auc, same.spearman, same.tells_nothing) == (0.5, 0.0, True)


def test_validity_when_counted_pair_by_pair_agrees():
    pairs = cohort(40, by_learning)
    good = [o.score for o in pairs if o.result == "good"]
    bad = [o.score for o in pairs if o.result == "failed"]
    wins = [(g > b) + 0.5 * (g == b) for g in good for b in bad]
    assert validity(pairs).auc == pytest.approx(np.mean(wins))
