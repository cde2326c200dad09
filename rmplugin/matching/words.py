"""What the engine found, in words and numbers for people: pairs, the unmatched, whole runs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from rmplugin.matching.explaining import Unmatched, compare_skills
from rmplugin.matching.scoring import (
    SLOT_MINUTES,
    SLOTS_PER_WEEK,
    Candidate,
    Rules,
    junior_by,
)
from rmplugin.texts import Language, Text, joined, pack, texts

SLOT = timedelta(minutes=SLOT_MINUTES)

# Why a pair may not be, as sentences about the two.
PAIR_FAULTS = texts(
    {
        "same_person": "Mentor and mentee are the same person.",
        "no_candidate_skill": "The mentor offers none of the skills that the mentee wants.",
        "no_junior": "The mentor is not junior to the mentee: neither a lower grade nor a shorter tenure.",
        "reporting_line": "One of the two is in the other's reporting line.",
        "same_team": "Both have the same manager.",
        "same_department": "Both work in the same department.",
        "language": "They have no language in common.",
        "hours": "Their working hours have no time in common that is long enough for a session.",
        "blocked": "The two were ruled out before: they are together or proposed to each other already, one "
        "of them said no, their pairing ended, or a manager dropped the pair.",
        "criterion": "A rule of the company, which a plug-in brings, keeps the two apart.",
        "not_taking_part": "One of the two is not in the pool: not enrolled, withdrawn, or not at work.",
        "no_place": "One of the two has no free place.",
        "programme_over": "The programme was archived before both had answered.",
        "withdrawn": "The proposal was taken back before anybody had answered.",
        "gave_way": "The pair gave way to one that a manager pinned.",
        "swapped": "A manager exchanged the partners of this pair and of another one.",
    }
)
SWAPPED = "They are the other way round: ask for %(mentor)s as the mentor and %(mentee)s as the mentee."
# Why everybody is out of reach for one person; %(session)s is the length of a session in minutes.
SIDE_FAULTS = texts(
    {
        ("mentee", "no_candidate_skill"): "they offer none of the skills that this person wants",
        ("mentor", "no_candidate_skill"): "they want none of the skills that this person offers",
        ("mentee", "no_junior"): "they are junior to this person neither by grade nor by tenure",
        ("mentor", "no_junior"): "this person is junior to them neither by grade nor by tenure",
        ("", "reporting_line"): "they are in this person's reporting line",
        ("", "same_team"): "they have the same manager as this person",
        ("", "same_department"): "they work in the same department as this person",
        ("", "criterion"): "a rule of the company, which a plug-in brings, keeps them apart",
        ("", "language"): "they have no language in common with this person",
        ("", "hours"): "their working hours have no %(session)s minutes in common with this person's",
        ("", "blocked"): "the two were ruled out before, by one of them or by a manager",
        ("", "same_person"): "they are the same person",
    }
)


# What would place a mentee, or a mentor, who is left out.
CHANGES = texts(
    {
        ("mentee", "capacity"): "One more place with the mentor who fits best would be enough.",
        ("mentor", "capacity"): "One more place with the mentee who fits best would be enough.",
        ("mentee", "one_more"): "One more mentor who offers “%(name)s” and keeps to the other rules would be "
        "enough.",
        ("mentor", "one_more"): "One more mentee who wants “%(name)s” and keeps to the other rules would be "
        "enough.",
        (
            "mentee",
            "language",
        ): "With the language “%(name)s”, mentors would come within reach: %(opens)s, of "
        "whom %(free)s have a free place.",
        (
            "mentor",
            "language",
        ): "With the language “%(name)s”, mentees would come within reach: %(opens)s, of "
        "whom %(free)s have a free place.",
        (
            "mentee",
            "skill",
        ): "By wanting “%(name)s”, too, mentors would come within reach: %(opens)s, of whom "
        "%(free)s have a free place.",
        ("mentor", "skill"): "By offering “%(name)s”, too, mentees would come within reach: %(opens)s, of "
        "whom %(free)s have a free place.",
        ("mentee", "hours"): "With working time in common, mentors would come within reach: %(opens)s, of "
        "whom %(free)s have a free place.",
        ("mentor", "hours"): "With working time in common, mentees would come within reach: %(opens)s, of "
        "whom %(free)s have a free place.",
    }
)
FACTOR_NAMES = texts(
    {
        "coverage": "The mentor offers what the mentee wants",
        "learning": "The mentee offers what the mentor wants",
        "motivation": "Both said how keen they are",
        "other_department": "They work in different departments",
        "other_site": "They work at different places",
        "tenure": "One has been here much longer than the other",
    }
)
MONTHS = tuple(
    map(
        Text,
        (
            *("January", "February", "March", "April", "May", "June"),
            *("July", "August", "September", "October", "November", "December"),
        ),
    )
)
DAYS = tuple(map(Text, ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")))


def describe_windows(windows: Sequence[Sequence[int]], zone: str, on: date) -> list[Text]:
    """Write the common working time of a week for people in one zone: "Mon–Fri 09:00–12:30".

    :param windows: from `describe_pair`.
    :param zone: IANA name.
    :param on: the day whose summer or winter time counts.
    **Touches** nothing.
    """
    monday = datetime.combine(on - timedelta(days=on.weekday()), time(), UTC)
    days: dict[str, list[int]] = {}
    for first, count in windows:
        start = (monday + first * SLOT).astimezone(ZoneInfo(zone))
        end = (monday + (first + count) * SLOT).astimezone(ZoneInfo(zone))
        days.setdefault(f"{start:%H:%M}–{end:%H:%M}", []).append(start.weekday())
    return [
        Text("%(days)s %(hours)s", days=_days(sorted(numbers)), hours=hours)
        for hours, numbers in days.items()
    ]


def _days(numbers: Sequence[int]) -> Text:
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return joined([DAYS[numbers[0]], DAYS[numbers[-1]]], "–")
    return joined([DAYS[number] for number in numbers], ", ")


def describe_pair(
    skills: Mapping[str, str], rules: Rules, mentor: Candidate, mentee: Candidate
) -> dict[str, Any]:
    """Say what two people have for each other.

    :param skills: skill id -> name.
    :return: "mentee" and "mentor": their wanted skills that are covered, partly covered or uncovered, each
        with name and both levels; "languages"; "common_minutes" of working time a week and the "windows" it
        is in, as [first, count] of quarters of an hour since Monday 00:00 UTC; "junior": by grade, tenure or
        both.
    **Touches** nothing.
    """
    common = mentor.hours & mentee.hours
    return {
        "mentee": _skill_words(skills, mentee, mentor),
        "mentor": _skill_words(skills, mentor, mentee),
        "languages": sorted(mentor.languages & mentee.languages),
        "common_minutes": common.bit_count() * SLOT_MINUTES,
        "windows": [list(window) for window in _windows(common, rules.min_common_minutes)],
        "junior": junior_by(rules, mentor, mentee),
    }


def describe_unmatched(skills: Mapping[str, str], rules: Rules, left: Unmatched) -> dict[str, Any]:
    """Give one entry of `MatchRun.unmatched`, with a plain sentence.

    **Touches** nothing.
    """
    details = left.details
    named = [{**skill, "skill": skills[skill["skill"]]} for skill in details["skills"]]
    sentence = _sentence(left, named, rules.min_common_minutes)
    if change := details.get("change"):
        sentence = joined([sentence, describe_change(skills, left.role, change)])
    return {
        "person": left.person_id,
        "role": left.role,
        "reason": left.reason,
        "details": details | {"skills": named},
        "sentence": str(sentence),
        # Every manager reads it in their own language.
        "told": pack(sentence),
    }


def describe_role(name: str, role: str | None) -> Text:
    """Say in which role somebody takes part in a programme.

    :param role: mentor or mentee; None for somebody who does not take part.
    **Touches** nothing.
    """
    if role is None:
        return Text("%(name)s does not take part in this programme: not enrolled, or withdrawn.", name=name)
    return Text("%(name)s takes part in this programme as a %(role)s.", name=name, role=Text(role))


def describe_change(skills: Mapping[str, str], role: str, change: Mapping[str, Any]) -> Text:
    """Say what would place somebody who is left out.

    :param change: from `explaining.explain_unmatched`.
    **Touches** nothing.
    """
    name = Language(change["language"]) if "language" in change else skills.get(change.get("skill", ""), "")
    template = CHANGES[role, change["kind"]].template
    return Text(template, name=name, opens=change.get("opens"), free=change.get("free"))


def _skill_words(
    skills: Mapping[str, str], wanter: Candidate, offerer: Candidate
) -> dict[str, list[dict[str, Any]]]:
    return {
        group: [
            {"skill": skills[skill], "wanted": wanted, "offered": offered} for skill, wanted, offered in found
        ]
        if found
        else []
        for group, found in compare_skills(wanter, offerer).items()
    }


@lru_cache(maxsize=1024)
def _windows(common: int, least_minutes: int) -> tuple[tuple[int, int], ...]:
    """Cut a week of quarters of an hour into pieces in which a session fits; many pairs share few weeks."""
    bits = format(common, f"0{SLOTS_PER_WEEK}b")[::-1]
    windows: list[tuple[int, int]] = []
    start = 0
    for piece in bits.replace("10", "1 0").replace("01", "0 1").split():
        if piece[0] == "1" and len(piece) * SLOT_MINUTES >= least_minutes:
            windows.append((start, len(piece)))
        start += len(piece)
    return tuple(windows)


def _sentence(left: Unmatched, skills: Sequence[Mapping[str, Any]], session: int) -> Text:
    details = left.details
    others = Text("mentors") if left.role == "mentee" else Text("mentees")
    total, reason = details["candidates"], left.reason
    if reason == "nobody_there":
        return Text("There are no %(others)s with a free place in the pool.", others=others)
    if reason == "capacity_taken":
        asked = [skill for skill in skills if skill["want"] and skill["offer"]]
        taken = "%(who)s would fit, but all places there went to pairs that add more."
        said = Text(taken, who=_count(details["admissible"], others))
        return joined([said, _market(left.role, asked)])
    fault = SIDE_FAULTS.get((left.role, reason)) or SIDE_FAULTS[("", reason)]
    why = Text(fault.template, session=session)
    removed = details["removed_by"].get(reason, 0)
    only = details["removed_only_by"].get(reason, 0)
    if removed == total:
        said = Text(
            "All %(total)s %(others)s are out of reach: %(why)s.", total=total, others=others, why=why
        )
    elif only:
        said = Text("%(who)s would fit but for one thing: %(why)s.", who=_count(only, others), why=why)
    else:
        said = Text(
            "Each of the %(total)s %(others)s fails more than one rule; for %(removed)s of them, %(why)s.",
            total=total,
            others=others,
            removed=removed,
            why=why,
        )
    return joined([said, _market(left.role, skills)]) if reason == "no_candidate_skill" else said


def _count(number: int, others: Text) -> Text:
    if number == 1:
        return Text("One of the %(others)s", others=others)
    return Text("%(number)s %(others)s", number=number, others=others)


def _market(role: str, skills: Sequence[Mapping[str, Any]]) -> Text:
    """Name up to three skills: those that few offer for a mentee, those that few want for a mentor."""
    few, many = ("offer", "want") if role == "mentee" else ("want", "offer")
    scarce = sorted(skills, key=lambda skill: (skill[few] - skill[many], skill["skill"]))[:3]
    parts = [
        Text(
            "“%(skill)s”: wanted by %(want)s, offered by %(offer)s",
            skill=skill["skill"],
            want=skill["want"] or Text("nobody"),
            offer=skill["offer"] or Text("nobody"),
        )
        for skill in scarce
    ]
    if not parts:
        return Text("This person's list of skills is empty.")
    return Text("%(skills)s.", skills=joined(parts, "; "))


PROOFS = texts(
    {
        "total": "No other set of pairs within the rules has a higher total score: the solver proved it.",
        "fair": "No set with as many pairs and as good a weakest pair has a higher total score: the solver "
        "proved it.",
        "stable": "No two people would both rather have each other than whom they got: every pair was looked "
        "at, and so the solver proved it.",
    }
)
LEFT_OUT_REASONS = texts(
    {
        "capacity_taken": "Others add more at the places that would fit",
        "nobody_there": "Nobody with a free place on the other side",
        "no_candidate_skill": "No skill fits",
        "no_junior": "Nobody is junior, or senior, enough",
        "reporting_line": "Reporting line",
        "same_team": "Same team",
        "same_department": "Same department",
        "same_person": "The same person",
        "language": "No language in common",
        "hours": "No working time in common",
        "blocked": "Ruled out before",
        "criterion": "A rule of the company",
        "proposal_dropped": "Dropped by a manager",
        "proposal_left_out": "Left out later",
    }
)
TENURE_BANDS = texts(
    {
        "under_1": "under 1 year",
        "1_to_3": "1 to 3 years",
        "3_to_6": "3 to 6 years",
        "6_to_11": "6 to 11 years",
        "over_11": "over 11 years",
    }
)


def describe_proof(objective: str, gap: float, *, proved: bool) -> Text:
    """Say in words how good the pairs of a run are known to be.

    :param gap: the share that a better set of pairs could have at most.
    **Touches** nothing.
    """
    if proved:
        return PROOFS.get(objective, PROOFS["total"])
    percent = f"{max(100 * gap, 0.01):.2f}"
    return Text("A set of pairs that is better by more than %(percent)s %% does not exist.", percent=percent)
