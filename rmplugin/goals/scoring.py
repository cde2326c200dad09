"""Goal attainment scaling: several goals in one number. Pure."""

from collections.abc import Sequence
from math import sqrt

# How far goals of one person are expected to go together.
CORRELATION = 0.3


def t_score(goals: Sequence[tuple[int, int]]) -> float | None:
    """Give the T-score of one person's goals: 50 when all went as hoped, 10 more per level of a single goal.

    Levels are an order and no measure, and easy levels make high scores: it is for the person, not for ranks.

    :param goals: per goal the level that was reached, -2..2, and its weight, 1 or more.
    :return: None without goals.
    **Source** Kiresuk and Sherman (1968). **Touches** pure.
    """
    if not goals:
        return None
    weights = [weight for _, weight in goals]
    reached = sum(level * weight for level, weight in goals)
    spread = (1 - CORRELATION) * sum(weight**2 for weight in weights) + CORRELATION * sum(weights) ** 2
    return 50 + 10 * reached / sqrt(spread)
