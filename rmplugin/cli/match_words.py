"""What the commands of the matching print for people."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rmplugin.cli.common import table
from rmplugin.matching import words
from rmplugin.texts import Language

# Who is left out can be a thousand people: so many are named, all of them with --json.
PEOPLE_NAMED = 20
PLACES = {1: "the best", 2: "the second best", 3: "the third best"}


def tell_trial(run: Mapping[str, Any]) -> str:
    """Write what a matching of made-up people came to. **Touches** pure."""
    return f"{_head(run)} {_proof(run)} It took {run['seconds']} s."


def tell_run(run: Mapping[str, Any], names: Mapping[str, str], *, is_whole: bool = False) -> str:
    """Write what a run came to, and who is left out.

    :param run: as `documents.run_document` gives it.
    :param names: of the first people who are left out, by id.
    :param is_whole: only those who wait were asked for, and everybody does.
    **Touches** pure.
    """
    whole = "Nobody has a partner or a proposal yet, so everybody waits: this was a run over the whole pool."
    said = [whole] if is_whole else []
    if run["failure"]:
        return "\n".join([*said, f"The run failed: {run['failure']}"])
    said += [
        f"{run['programme']}: {_head(run)}",
        f"{_proof(run)} By version {run['rule_set']['version']} of the rules.",
        f"Run {run['run_id']}, {run['state']}.",
    ]
    return "\n".join([*said, "", *_left_out(run["unmatched"], names)])


def tell_proposals(proposals: Sequence[Mapping[str, Any]]) -> str:
    """Write the pairs of a run as a table. **Touches** pure."""
    return table(
        [
            {
                "mentor": one["mentor"]["name"],
                "mentee": one["mentee"]["name"],
                "points": f"{one['score']:>7,}",
                "state": one["state"] + (", pinned" if one["pinned"] else ""),
            }
            for one in proposals
        ]
    )


def tell_pair(pair: Mapping[str, Any], criteria: Mapping[str, str], typed: Sequence[str]) -> str:
    """Write why two people are, or are not, a pair of a run.

    :param pair: as `verdicts.explain` gives it, and with "effect" where that was computed.
    :param criteria: titles of plug-ins' factors, by key.
    :param typed: how mentor and mentee were named.
    **Touches** pure.
    """
    if not pair["proposed"] and (pair["mentor"]["role"], pair["mentee"]["role"]) == ("mentee", "mentor"):
        right = shlex.join(["rmplugin", "match", "explain", pair["run_id"], *reversed(typed)])
        return "\n".join([*pair["because"], f"  {right}"])
    parts = _chosen(pair) if pair["proposed"] else _not_chosen(pair)
    if pair["contributions"]:
        parts.insert(1, _points(pair["contributions"], pair["score"], criteria))
    return "\n\n".join("\n".join(part) for part in parts if part)


def _head(run: Mapping[str, Any]) -> str:
    mentors, mentees = _count(run["mentors"], "mentor"), _count(run["mentees"], "mentee")
    return f"{_count(run['pairs'], 'pair')} of {mentors} and {mentees}, total score {run['total_score']:,}."


def _proof(run: Mapping[str, Any]) -> str:
    found = run["optimality"]
    return str(words.describe_proof(run["objective"], found["gap"], proved=found["proved"]))


def _left_out(people: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[str]:
    if not people:
        return ["Everybody has a partner."]
    lines = ["Without a partner:"]
    for reason, count in Counter(one["reason"] for one in people).most_common():
        lines.append(f"  {count:>6,}  {words.LEFT_OUT_REASONS.get(reason, reason)}")
    lines.append("")
    lines += [f"{names[one['person']]} ({one['role']}): {one['sentence']}" for one in people[:PEOPLE_NAMED]]
    more = len(people) - PEOPLE_NAMED
    return [*lines, f"… and {more:,} more; --json lists them all."] if more > 0 else lines


def _chosen(pair: Mapping[str, Any]) -> list[list[str]]:
    mentor, mentee, reasons = pair["mentor"]["name"], pair["mentee"]["name"], pair["reasons"]
    pinned = ", and pinned by a manager" if pair["pinned"] else ""
    head = [f"{mentor} teaches {mentee}. The pair is {pair['state']}{pinned}."]
    head += [str(words.PAIR_FAULTS[code]) for code in reasons.get("left_out", ())]
    return [
        head,
        [f"What {mentee} wants to learn:", *_skills(reasons.get("mentee", {}))],
        [f"What {mentor} may learn in return:", *_skills(reasons.get("mentor", {}))],
        _in_common(reasons),
        _standing(mentor, mentee, reasons),
    ]


def _not_chosen(pair: Mapping[str, Any]) -> list[list[str]]:
    mentor, mentee = pair["mentor"]["name"], pair["mentee"]["name"]
    why = [f"{mentor} and {mentee} are no pair of this run.", *map(str, pair["because"])]
    same = "the same as" if pair["same_inputs"] else "no longer those of"
    instead = [
        f"  {one['mentor']['name']} teaches {one['mentee']['name']}: {one['score']:,} points, {one['state']}"
        for one in pair["instead"]
    ]
    return [
        why,
        _effect(pair["effect"]) if "effect" in pair else [],
        ["What the run has instead:", *instead] if instead else [],
        [f"By today's data and rules, which are {same} {'' if same.endswith('of') else 'those of '}the run."],
    ]


def _points(points: Mapping[str, int], score: int, criteria: Mapping[str, str]) -> list[str]:
    rows = [
        (str(words.FACTOR_NAMES.get(key) or criteria.get(key, key)), value) for key, value in points.items()
    ]
    rows.append(("Together", score))
    width = max(len(name) for name, _value in rows)
    return ["Points:", *(f"  {name:<{width}}  {value:>7,}" for name, value in rows)]


def _skills(found: Mapping[str, Any]) -> list[str]:
    groups = {"covered": "covered", "partly": "partly covered", "uncovered": "not covered"}
    lines = []
    for group, word in groups.items():
        for one in found.get(group, ()):
            offered = f", offered {one['offered']}" if one["offered"] else ""
            lines.append(f"  {one['skill']}: {word} (wants {one['wanted']}{offered})")
    return lines or ["  Nothing stated."]


def _in_common(reasons: Mapping[str, Any]) -> list[str]:
    if "languages" not in reasons:
        return []
    languages = ", ".join(map(Language, reasons["languages"])) or "none"
    hours, minutes = divmod(reasons.get("common_minutes", 0), 60)
    junior = " and ".join(reasons.get("junior", ()))
    return [
        f"Languages in common: {languages}.",
        f"Working time in common: {hours} h {minutes:02} min a week.",
        *([f"The mentor is junior by {junior}."] if junior else []),
    ]


def _standing(mentor: str, mentee: str, reasons: Mapping[str, Any]) -> list[str]:
    if not reasons.get("ranks"):
        return []
    found = [
        f"{mentor} is {_place(reasons['ranks']['mentee'], 'mentor')} whom {mentee} could meet.",
        f"{mentee} is {_place(reasons['ranks']['mentor'], 'mentee')} whom {mentor} could meet.",
    ]
    if favourite := reasons.get("favourite"):
        by = (mentor, favourite["mentor"], "mentee"), (mentee, favourite["mentee"], "mentor")
        found += [f"{name} would be the first choice of {_count(count, role)}." for name, count, role in by]
    if reasons.get("stays") is not None:
        found.append(
            f"With each of the weights a fifth higher or lower, the pair stays in {reasons['stays']} % of "
            "the runs."
        )
    return found


def _place(place: Sequence[int], role: str) -> str:
    rank, count = place
    if count == 1:
        return f"the only {role}"
    return f"{PLACES.get(rank, f'number {rank:,}')} of the {_count(count, role)}"


def _effect(effect: Mapping[str, Any]) -> list[str]:
    before, after = effect["total_score"], effect["total_score_with"]
    said = [f"With this pair put in, the total would at once {_change(before, after)}."]
    if effect["best"] is not None and effect["best_with"] is not None:
        lost = effect["best"] - effect["best_with"]
        best = f"is worth {lost:,} points less than" if lost else "is worth as much as"
        said.append(f"The best set of pairs with it {best} the best one without: computed exactly.")
    return said


def _change(before: int, after: int) -> str:
    if before == after:
        return f"stay at {before:,} points"
    word = "fall" if after < before else "rise"
    return f"{word} by {abs(after - before):,} points, from {before:,} to {after:,}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
