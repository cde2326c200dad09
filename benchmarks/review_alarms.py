"""How often the triggers of the matchmaking review fire, by chance and when something is wrong.

`python -m benchmarks.review_alarms [--cohorts 1000]` simulates cohorts pair by pair and asks the triggers
after every end of a pair and once at the end of the programme, as the application does.
"""

import argparse
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from rmplugin.reviews.detection import find_alarms
from rmplugin.reviews.outcomes import Outcome

BEGIN = datetime(2026, 9, 1, tzinfo=UTC)
LENGTH = timedelta(days=270)
TRIGGERS = ("rate", "reason", "run", "segment")
SIZES = (20, 40, 100)
LARGE = 300  # Only without anything wrong: by 100 pairs the other plans are found.
# No reason has more than a fifth of the failures that are not about time when nothing is wrong.
REASONS = {
    "time": 0.25,
    "distancing": 0.18,
    "match_within_pair": 0.17,
    "never_scheduled": 0.15,
    "lack_of_expertise": 0.12,
    "language_time_zone": 0.06,
    "general_difficulty": 0.05,
    "misuse_of_power": 0.02,
}
KINDS = {
    "mentor_department": [0.3, 0.25, 0.2, 0.15, 0.1],
    "mentee_department": [0.3, 0.25, 0.2, 0.15, 0.1],
    "mentor_site": [0.5, 0.3, 0.2],
    "mentee_site": [0.5, 0.3, 0.2],
    "mentor_tenure": [0.4, 0.3, 0.2, 0.1],
    "rank_gap": [0.3, 0.4, 0.3],
    "coverage": [0.25, 0.35, 0.4],
    "languages": [0.6, 0.4],
    "rule_set": [0.5, 0.5],
}
UP_TO = {kind: np.cumsum(shares)[:-1] for kind, shares in KINDS.items()}
REASONS_UP_TO = np.cumsum(list(REASONS.values()))[:-1]


@dataclass(frozen=True)
class Plan:
    """What is wrong with a cohort.

    :ivar rate: how many fail.
    :ivar segment_rate: how many fail among the pairs of one department, a fifth of all; None for `rate`.
    :ivar reason_share: how many of the failures have the same reason; None for the usual reasons.
    :ivar late: failures come evenly over the programme instead of early.
    """

    name: str
    rate: float
    segment_rate: float | None = None
    reason_share: float | None = None
    late: bool = False


PLANS = (
    Plan("noise 0.10, failures come early", 0.10),
    Plan("noise 0.10, failures come evenly", 0.10, late=True),
    Plan("failure 0.20", 0.20),
    Plan("failure 0.30", 0.30),
    Plan("failure 0.40", 0.40),
    Plan("one department 0.60, others 0.10", 0.10, segment_rate=0.60),
    Plan("failure 0.20, 7 of 10 for one reason", 0.20, reason_share=0.70),
)


def simulate(random: np.random.Generator, size: int, plan: Plan) -> list[Outcome]:
    """Make a cohort as it is known when its programme is over."""
    names, cohort = list(REASONS), []
    for number in range(size):
        began = BEGIN + LENGTH * random.uniform(0, 0.15)
        segments = {kind: str(up_to.searchsorted(random.uniform())) for kind, up_to in UP_TO.items()}
        rate = plan.rate
        if plan.segment_rate is not None and segments["mentor_department"] == "2":
            rate = plan.segment_rate
        luck, share = random.uniform(), random.uniform() if plan.late else random.beta(1, 2.5)
        ended = began + (BEGIN + LENGTH - began) * share
        result, reason = "good", None
        if luck < rate:
            result = "failed"
            planted = plan.reason_share is not None and random.uniform() < plan.reason_share
            reason = "lack_of_expertise" if planted else names[REASONS_UP_TO.searchsorted(random.uniform())]
        elif random.uniform() < 0.08:
            result = "left_out"
        elif random.uniform() < 0.95:
            ended = None
        cohort.append(Outcome(f"{number:04}", result, reason, began, ended, segments))
    return cohort


def known_at(cohort: list[Outcome], moment: datetime) -> list[Outcome]:
    """Give a cohort as it was known at a moment before the end."""
    return [
        replace(o, result="running", reason=None, ended_at=None)
        if o.ended_at is None or o.ended_at > moment
        else o
        for o in cohort
        if o.started_at <= moment
    ]


def alarms_of(cohort: list[Outcome]) -> set[str]:
    """Give every trigger that fires at any look."""
    fired = set()
    for moment in sorted({o.ended_at for o in cohort if o.ended_at}):
        fired |= {alarm.trigger for alarm in find_alarms(known_at(cohort, moment), moment, LENGTH)}
    return fired | {alarm.trigger for alarm in find_alarms(cohort, BEGIN + LENGTH, LENGTH)}


def measure(plan: Plan, size: int, cohorts: int, seed: int = 35) -> dict[str, float]:
    """Give the share of cohorts in which each trigger, and any, fires."""
    random = np.random.default_rng([seed, size, PLANS.index(plan)])
    fired: Counter[str] = Counter()
    for _ in range(cohorts):
        found = alarms_of(simulate(random, size, plan))
        fired.update(found | ({"any"} if found else set()))
    return {name: fired[name] / cohorts for name in (*TRIGGERS, "any")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=1000)
    cohorts = parser.parse_args().cohorts
    columns = (*TRIGGERS, "any")
    print(f"Share of {cohorts} cohorts in which a trigger fired at any look, in %")
    print("| cohort | pairs | " + " | ".join(columns) + " |")
    print("| --- " * (len(columns) + 2) + "|")
    for plan in PLANS:
        for size in (*SIZES, LARGE) if plan in PLANS[:2] else SIZES:
            rates = measure(plan, size, cohorts)
            cells = " | ".join(f"{100 * rates[name]:.1f}" for name in columns)
            print(f"| {plan.name} | {size} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
