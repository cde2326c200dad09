"""Every pair of a small pool at once, as only a test can afford: which rules bar it, and its points."""

import numpy as np

from rmplugin.matching.columns import build
from rmplugin.matching.pairs import find_bars, find_points
from rmplugin.matching.scoring import failed_rules


class Table:
    """All mentors by all mentees.

    :ivar mentor, mentee, score: one entry per allowed pair, sorted by mentee, then mentor.
    """

    def __init__(self, mentors, mentees, **known) -> None:
        self.problem = build(mentors, mentees, **known)
        self.mentors, self.mentees = self.problem.mentors.people, self.problem.mentees.people
        mentee, mentor = (
            rows.ravel() for rows in np.indices((len(self.mentees), len(self.mentors)), dtype=np.int64)
        )
        bars = find_bars(self.problem, mentor, mentee)
        self.failed = {
            (self.mentors[i].id, self.mentees[j].id): failed_rules(int(bits))
            for i, j, bits in zip(mentor, mentee, bars, strict=True)
        }
        self.mentor, self.mentee = mentor[bars == 0], mentee[bars == 0]
        self.factors = find_points(self.problem, self.mentor, self.mentee)
        self.score = np.sum(list(self.factors.values()), axis=0, dtype=np.int64)

    def contributions(self, pair: int) -> dict[str, int]:
        return {name: int(points[pair]) for name, points in self.factors.items()}

    def scored(self) -> dict[tuple[str, str], int]:
        """Give the score of each allowed pair by both ids."""
        return {
            (self.mentors[i].id, self.mentees[j].id): int(score)
            for i, j, score in zip(self.mentor, self.mentee, self.score, strict=True)
        }
