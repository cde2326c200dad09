"""What became of a pair, and which numbers about groups of pairs may be shown. Words and numbers only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Result = Literal["failed", "good", "running", "left_out"]

# Reasons that make an early end a failure, by what failed. Goals that were met, people who leave and
# reorganisations are no failures; an end without a stated reason tells nothing either way.
FAMILIES = {
    "never_scheduled": "never_started",
    "match_within_pair": "fit",
    "language_time_zone": "fit",
    "distancing": "behaviour",
    "misuse_of_power": "behaviour",
    "general_difficulty": "behaviour",
    "time": "time",
    "lack_of_expertise": "expertise",
}
# A programme cannot match time away; every other failing reason may point to the matching.
TIME_REASONS = frozenset({"time"})
GOALS_MET = "goals_met"
# Reasons of ends that are no failures and prove that the pair was good.
GOOD_REASONS = frozenset({GOALS_MET, "programme_over"})
FEWEST_SHOWN = 5


@dataclass(frozen=True)
class Outcome:
    """One pairing of a cohort, as a review sees it: no names.

    :ivar reason: a failing reason; None for other results.
    :ivar ended_at: when it ended; None while it runs, and when it lasted as long as its programme.
    :ivar segments: kind of segment -> the one that the pair is in; never a protected trait.
    :ivar shares: matching factor -> points as a share of the most that it could give, 0 to 1.
    :ivar score: points as a share of the most that was possible; None when unknown.
    """

    pair: str
    result: Result
    reason: str | None
    started_at: datetime
    ended_at: datetime | None
    segments: Mapping[str, str] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    score: float | None = None

    @property
    def is_decided(self) -> bool:
        """Tell whether it is known how it came out."""
        return self.result in ("failed", "good")


def judge(state: str, reason: str | None, *, is_over: bool) -> Result:
    """Say what became of a pairing.

    :param state: of the pairing.
    :param reason: the code that the one who ended it gave; None when there is none.
    :param is_over: its programme has ended.
    :return: "left_out" for what tells neither way: pairs on hold, leavers, reorganisations, no reason given.
    **Touches** pure.
    """
    if state == "completed" or (state == "active" and is_over):
        return "good"
    if state == "active":
        return "running"
    if state == "ended" and reason in FAMILIES:
        return "failed"
    return "good" if state == "ended" and reason in GOOD_REASONS else "left_out"


def shown(count: int) -> int | None:
    """Give a count that may be shown; None for fewer than five. **Touches** pure."""
    return count if count >= FEWEST_SHOWN else None


def suppress(counts: Mapping[str, int]) -> dict[str, int | None]:
    """Hide counts below five, and as many of the next ones that nobody can take the hidden from the total.

    :return: None where a count is hidden.
    **Touches** pure.
    """
    ordered = sorted((count, name) for name, count in counts.items())
    hidden: list[tuple[int, str]] = [pair for pair in ordered if pair[0] < FEWEST_SHOWN]
    left = [pair for pair in ordered if pair[0] >= FEWEST_SHOWN]
    while hidden and left and (len(hidden) < 2 or sum(count for count, _ in hidden) < FEWEST_SHOWN):
        hidden.append(left.pop(0))
    gone = {name for _count, name in hidden}
    return {name: None if name in gone else count for name, count in counts.items()}
