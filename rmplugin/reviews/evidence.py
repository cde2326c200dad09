"""What may be shown of a cohort in a review: counts of five and more, and none from which others follow."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rmplugin.reviews.detection import Alarm, interval, segments_of
from rmplugin.reviews.outcomes import FEWEST_SHOWN, Outcome, shown, suppress
from rmplugin.reviews.replay import validity

# Exact limits of an interval would tell the count behind it.
STEP = 0.05
LEVELS = (0.90, 0.95, 0.99)
UNKNOWN: dict[str, Any] = {
    "ended": 0,
    "pairs": 0,
    "failed": None,
    "low": 0.0,
    "high": 1.0,
    "left_out": None,
    "reasons": {},
    "segments": [],
    "score": None,
}


def read(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Give the evidence of a review, with what an older version of this program did not write left unknown.

    **Touches** pure.
    """
    return {
        "alarm": {"subject": "", "sure": None} | kept.get("alarm", {}),
        "cohort": UNKNOWN | kept.get("cohort", {}),
    }


def ended(outcomes: Sequence[Outcome]) -> int:
    """Count the pairs that have ended; managers see on their desk which ones. **Touches** pure."""
    return sum(o.ended_at is not None for o in outcomes)


def rounded(share: float) -> float:
    """Round a share to steps of five points. **Touches** pure."""
    return round(round(share / STEP) * STEP, 2)


def describe(alarm: Alarm, outcomes: Sequence[Outcome], earlier: dict[str, Any] | None) -> dict[str, Any]:
    """Give the evidence of a review, JSON-ready.

    :param earlier: evidence of the newest review of the same programme; None for the first. Its numbers stay
        while fewer than five more pairs have ended, because the difference would tell about these.
    :return: "alarm" (what fired, about what, how sure) and "cohort" (numbers, reasons, segments, score).
    **Touches** pure.
    """
    cohort = read(earlier)["cohort"] if earlier else None
    if cohort is None or ended(outcomes) - cohort["ended"] >= FEWEST_SHOWN:
        cohort = _cohort(outcomes)
    sure = max((level for level in LEVELS if (alarm.probability or 0) >= level), default=None)
    named = alarm.trigger != "reason" or alarm.subject in cohort["reasons"]
    return {"alarm": {"subject": alarm.subject if named else "", "sure": sure}, "cohort": cohort}


def _cohort(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    counted = [o for o in outcomes if o.result != "left_out"]
    failed = [o for o in counted if o.result == "failed"]
    low, high = interval(len(failed), len(counted))
    # The rest of the reasons is not named, so that a number more or less gives none of them away.
    reasons = Counter(o.reason for o in failed if o.reason)
    score = validity(outcomes)
    return {
        "ended": ended(outcomes),
        "pairs": len(counted),
        "failed": shown(len(failed)),
        "low": rounded(low),
        "high": rounded(high),
        "left_out": shown(len(outcomes) - len(counted)),
        "reasons": {reason: count for reason, count in sorted(reasons.items()) if shown(count)},
        "segments": _segments(counted),
        "score": score
        and {
            "pairs": score.pairs,
            **{name: rounded(getattr(score, name)) for name in ("auc", "low", "high", "spearman")},
            "tells_nothing": score.tells_nothing,
        },
    }


def _segments(counted: Sequence[Outcome]) -> list[dict[str, Any]]:
    """List groups of five and more; how many of one failed only where that, too, is five or more."""
    kinds: dict[str, dict[str, tuple[int, int]]] = {}
    for (kind, name), counts in segments_of(counted).items():
        kinds.setdefault(kind, {})[name] = counts
    listed = []
    for kind, groups in sorted(kinds.items()):
        if len(groups) < 2:
            continue
        pairs = suppress({name: count for name, (_failed, count) in groups.items()})
        failed = suppress({name: count for name, (count, _pairs) in groups.items()})
        listed += [
            {"kind": kind, "name": name, "pairs": pairs[name], "failed": failed[name]}
            for name in sorted(groups)
            if pairs[name] is not None
        ]
    return listed
