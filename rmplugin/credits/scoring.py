"""The credit policy: what a session is worth and when a programme is completed. Pure integer arithmetic."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rmplugin.credits.queries import Facts
from rmplugin.programmes.models import Programme
from rmplugin.records import PolicyCriterion, PolicyProgress
from rmplugin.texts import Text

POLICY = "contact_hours"
POLICY_VERSION = 1
UNIT = "contact_minutes"
MOST_MINUTES = 120
LEAST_MINUTES = 15
# Both learn; neither hour is worth more than the other.
FACTOR_PERCENT: Mapping[str, int] = {"mentee": 100, "mentor": 100}


@dataclass(frozen=True, slots=True)
class Award:
    """What one person earns for one session.

    :param minutes: counted minutes; they are the authority.
    :param amount_hundredths: the same in hundredths of an hour.
    :param uncapped_hundredths: what it would have been without the rule in `cap_applied`.
    :param cap_applied: session_120, session_below_15; None when no rule bit.
    """

    minutes: int
    amount_hundredths: int
    uncapped_hundredths: int
    cap_applied: str | None


def hours_in_hundredths(minutes: int, factor_percent: int = 100) -> int:
    """Give minutes as hundredths of an hour, rounded to the nearest, a half upwards.

    The rounding is for showing only: sums are made of minutes, never of rounded hundredths.
    **Touches** pure.
    """
    return (minutes * factor_percent + 30) // 60


def award(minutes: int, role: str) -> Award:
    """Give what a session earns in a role.

    :param minutes: the lower of both claims, before any rule.
    **Source** policy contact_hours, version 1: at most 120 minutes a session, none below 15.
    **Touches** pure.
    """
    factor = FACTOR_PERCENT[role]
    counted, rule = minutes, None
    if minutes > MOST_MINUTES:
        counted, rule = MOST_MINUTES, f"session_{MOST_MINUTES}"
    elif minutes < LEAST_MINUTES:
        counted, rule = 0, f"session_below_{LEAST_MINUTES}"
    return Award(counted, hours_in_hundredths(counted, factor), hours_in_hundredths(minutes, factor), rule)


def evidence_digest(evidence: Mapping[str, Any]) -> str:
    """Give the SHA-256 of the canonical form of a record: sorted names, no blanks, UTF-8.

    **Touches** pure.
    """
    canonical = json.dumps(evidence, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def completion(programme: Programme, facts: Facts) -> PolicyProgress:
    """Tell how far somebody has come.

    Each criterion that the programme asks for weighs the same; the percentage is rounded down and stays at 99
    until the last criterion is met.

    **Touches** pure.
    """
    asked = [
        (Text("Sessions that you both confirmed"), facts.sessions, programme.min_sessions),
        (Text("Confirmed minutes"), facts.minutes, programme.min_minutes),
        (Text("Agreement signed by both"), int(facts.signed_agreement), int(programme.needs_agreement)),
        (Text("A goal of your own, reviewed"), int(facts.reviewed_goal), int(programme.needs_goal_review)),
    ]
    criteria = tuple(
        PolicyCriterion(label, reached, needed, reached >= needed)
        for label, reached, needed in asked
        if needed > 0
    )
    met = all(criterion.met for criterion in criteria)
    if met:
        return PolicyProgress(100, met=True, criteria=criteria)
    shares = sum((Fraction(min(max(c.reached, 0), c.needed), c.needed) for c in criteria), Fraction(0))
    return PolicyProgress(min(99, int(100 * shares / len(criteria))), met=False, criteria=criteria)
