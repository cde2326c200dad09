"""Goal attainment scaling: the numbers of the method."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.goals.scoring import t_score

GOALS = st.lists(st.tuples(st.integers(-2, 2), st.integers(1, 3)), min_size=1, max_size=6)


@pytest.mark.parametrize(("level", "score"), [(-2, 30), (-1, 40), (0, 50), (1, 60), (2, 70)])
@pytest.mark.parametrize("weight", [1, 2, 3])
def test_score_when_there_is_one_goal_is_ten_per_level(level, weight, score):
    assert t_score([(level, weight)]) == pytest.approx(score)


def test_score_when_there_are_several_follows_the_formula():
    # By hand: 50 + 10 * (1*2 - 1*1) / sqrt(0.7 * (4 + 1) + 0.3 * 9)
    assert t_score([(1, 2), (-1, 1)]) == pytest.approx(50 + 10 / 6.2**0.5)


def test_score_when_there_is_no_goal_is_none():
    assert t_score([]) is None


@given(GOALS)
def test_score_when_all_levels_turn_mirrors_at_fifty(goals):
    turned = [(-level, weight) for level, weight in goals]
    assert t_score(goals) + t_score(turned) == pytest.approx(100)


@given(GOALS, st.data())
def test_score_when_one_level_rises_rises(goals, data):
    at = data.draw(st.integers(0, len(goals) - 1))
    better = [(min(2, level + (n == at)), weight) for n, (level, weight) in enumerate(goals)]
    assert t_score(better) >= t_score(goals)
