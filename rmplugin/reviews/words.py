"""The words of reviews: triggers, states, segments, and what may be behind a failure."""

from collections.abc import Mapping, Sequence
from typing import Any

from rmplugin.matching.forms import CLOSURE_REASONS
from rmplugin.matching.words import FACTOR_NAMES
from rmplugin.reviews.outcomes import FAMILIES
from rmplugin.texts import Text, texts

ALARMS = texts(
    {
        "rate": "Too many pairs fail",
        "reason": "One reason comes back",
        "run": "Failures follow each other closely",
        "segment": "One group fares worse than the rest",
    }
)
WHY = texts(
    {
        "rate": "More than one pair in five fails, with a probability of at least 90 percent. Pairs that are "
        "still together count as not failed.",
        "reason": "At least three of the last ten pairs that ended gave the same reason, not lack of time, "
        "and that is more often than chance explains.",
        "run": "Since some day, pairs have failed faster than one in ten over a whole programme would.",
        "segment": "In one group the failure rate is at least ten points above that of all others, with a "
        "probability of at least 95 percent; the more groups there are, the surer it has to be.",
    }
)
STATES = texts(
    {
        "opened": "waits for you",
        "analysed": "cause suspected, not decided",
        "decided": "decided",
        "applied": "in use since a matching run",
        "verified": "next cohort compared",
    }
)
VERDICTS = texts(
    {
        "better": "Better: the next cohort fails less often.",
        "same": "No change that can be told from chance.",
        "worse": "Worse: the next cohort fails more often.",
    }
)
KINDS = texts(
    {
        "mentor_department": "Department of the mentor",
        "mentee_department": "Department of the mentee",
        "mentor_site": "Place of the mentor",
        "mentee_site": "Place of the mentee",
        "mentor_tenure": "Years of the mentor in the company",
        "rank_gap": "Seniority apart, of 100",
        "rule_set": "Version of the rules",
        "coverage": "Wanted skills that the mentor offers",
        "learning": "Wanted skills that the mentee offers",
        "languages": "Languages in common",
        "common_hours": "Working hours in common",
    }
)
BANDS = texts(
    {
        "low": "few",
        "middle": "about half",
        "high": "most",
        "one": "one at most",
        "several": "two or more",
        "few": "under 10 a week",
        "many": "10 a week and more",
    }
)
# Groups with names of their own; those of others are bands.
NAMED = ("mentor_department", "mentee_department", "mentor_site", "mentee_site", "mentor_tenure")
HINTS = texts(
    {
        "never_started": "Ask for more common working hours, or help with the first session.",
        "fit": "Look at languages and working habits, and let people choose from a short list.",
        "behaviour": "This is about how people treat each other. Weights cannot mend it: prepare mentors and "
        "mentees better, and speak to the sponsor.",
        "time": "Look at the granted hours and the rhythm before the rules.",
        "expertise": "Give more weight to the skills that mentees want, or ask mentors for their levels "
        "anew.",
    }
)
REASONS = dict(CLOSURE_REASONS)


def group_name(kind: str, name: str) -> Text:
    """Name a group for people: "Department of the mentor: Sales". **Touches** pure."""
    band = name if kind in NAMED else BANDS.get(name, name)
    return Text("%(kind)s: %(name)s", kind=KINDS.get(kind, kind), name=band)


def subject_of(alarm: str, evidence: Mapping[str, Any]) -> Text | None:
    """Say what a trigger is about; None when it is about all, or may not be said. **Touches** pure."""
    subject = evidence["alarm"]["subject"]
    if not subject:
        return None
    if alarm == "reason":
        return Text(REASONS.get(subject, subject))
    kind, _sign, name = subject.partition("=")
    return group_name(kind, name)


def causes(alarm: str, evidence: Mapping[str, Any]) -> list[Text]:
    """List what may be behind the failures, from what may be shown. **Touches** pure."""
    cohort, found = evidence["cohort"], []
    subject = subject_of(alarm, evidence)
    if alarm == "segment" and subject is not None:
        found.append(Text("%(group)s: these pairs fail more often than the others.", group=subject))
    found += [
        Text("%(group)s: %(failed)s of %(pairs)s pairs failed.", group=name, failed=failed, pairs=pairs)
        for name, failed, pairs in _worse_groups(cohort)
        if name != subject
    ]
    by_count = sorted(cohort["reasons"].items(), key=lambda item: (-item[1], item[0]))
    found += [
        Text("%(reason)s (%(n)s times). %(hint)s", reason=REASONS[code], n=n, hint=HINTS[FAMILIES[code]])
        for code, n in by_count
    ]
    score = cohort["score"]
    if score and (score["tells_nothing"] or score["auc"] < 0.5):
        found.append(Text("The score did not tell lasting pairs from failing ones: look at the weights."))
    return found


def _worse_groups(cohort: Mapping[str, Any]) -> list[tuple[Text, int, int]]:
    """Give the groups with numbers that may be shown and a rate ten points above the whole cohort's."""
    if cohort["failed"] is None:
        return []
    usual = cohort["failed"] / cohort["pairs"]
    groups: Sequence[Mapping[str, Any]] = cohort["segments"]
    worse = [g for g in groups if g["failed"] is not None and g["failed"] / g["pairs"] >= usual + 0.10]
    worse.sort(key=lambda g: (-g["failed"] / g["pairs"], g["kind"], g["name"]))
    return [(group_name(g["kind"], g["name"]), g["failed"], g["pairs"]) for g in worse]


def factor_name(factor: str) -> str:
    """Name a factor of the matching for people. **Touches** pure."""
    return FACTOR_NAMES.get(factor, factor)


def percent(share: float) -> int:
    """Write a share as whole percent. **Touches** pure."""
    return round(100 * share)


def score_words(score: Mapping[str, Any] | None) -> Text:
    """Say whether the score told lasting pairs from failing ones. **Touches** pure."""
    if score is None:
        return Text(
            "Whether the score tells anything cannot be said yet: that takes 20 pairs that came out, of "
            "which at least five failed and five lasted."
        )
    numbers = {name: percent(score[name]) for name in ("auc", "low", "high")} | {"n": score["pairs"]}
    if score["tells_nothing"]:
        return Text(
            "The score tells about nothing here: of a lasting and a failing pair, the lasting one had the "
            "higher score in %(auc)s of 100 cases, by chance in 50 (%(low)s to %(high)s, %(n)s pairs).",
            **numbers,
        )
    if score["auc"] < 0.5:
        return Text(
            "The score points the wrong way: of a lasting and a failing pair, the lasting one had the higher "
            "score in only %(auc)s of 100 cases (%(low)s to %(high)s, %(n)s pairs).",
            **numbers,
        )
    return Text(
        "The score tells something: of a lasting and a failing pair, the lasting one had the higher score in "
        "%(auc)s of 100 cases (%(low)s to %(high)s, %(n)s pairs).",
        **numbers,
    )
