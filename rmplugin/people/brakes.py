"""What holds a roster run until a person has looked. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rmplugin.texts import Text, joined

# A run that passes one of these is held. One person alone never holds a run, however small the firm.
LEAVING_PEOPLE, LEAVING_SHARE = 5, 0.20
SHRINK_SHARE = 0.10
GROWTH_PEOPLE, GROWTH_TIMES = 50, 10
EMAILS_SHARE = 0.10
MANAGERS_SHARE = 0.20
BLANKS_POINTS = 0.20
DUPLICATES_SHARE = 0.005
# Whoever accepts one of these has looked at the people who are missing: that stands for a second reading.
ABOUT_ABSENCE = ("zero_rows", "leaving", "shrunk")


@dataclass(frozen=True, slots=True)
class Change:
    """What applying the staged roster would do, as numbers.

    :ivar kinds: people by kind: created, updated, unchanged, reactivated, deactivated (by status), gone (as
        the source says), missing (from a first complete reading), absent (from the one before, too), kept
        (known, not in this roster, and that says nothing).
    :ivar usable: records that can be applied, without duplicates.
    :ivar leaving: people at work who would no longer be, those who are missing for the first time among them.
    :ivar leaving_now: the same without those.
    :ivar working_before, working_after: people at work, without those who are missing.
    :ivar emails, managers: people known who had one before, and how many have another now.
    :ivar blanks: share of empty cells per column, 0..1.
    :ivar fields: what the source can give; None when it does not say.
    :ivar seen: records that came, usable or not.
    """

    kinds: Mapping[str, int]
    usable: int
    duplicates: int
    leaving: int
    working_before: int
    working_after: int
    emails: tuple[int, int]
    managers: tuple[int, int]
    blanks: Mapping[str, float]
    leaving_now: int = 0
    fields: Sequence[str] | None = None
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Before:
    """What a run is compared with.

    :ivar is_first: no run of the account was ever applied.
    :ivar blanks: share of empty cells per column in the last good run; empty before it.
    :ivar fields: what the source could give then; empty when it did not say.
    :ivar left_lately: people who left in the incremental runs of a day, since somebody last accepted a run.
    """

    is_first: bool = False
    left_lately: int = 0
    blanks: Mapping[str, float] = field(default_factory=dict)
    fields: Sequence[str] = ()


class Brake(NamedTuple):
    """One reason to hold a run.

    :ivar number: how much; somebody who accepts a run accepts no more than this.
    :ivar sentence: what happened, in plain words.
    """

    number: int
    sentence: Text


def find_brakes(change: Change, before: Before, *, everybody: bool) -> dict[str, Brake]:
    """Find what speaks against applying a roster without a person's word.

    :param everybody: the source gave its whole roster.
    :return: by name; empty when nothing does.
    **Touches** pure.
    """
    found: dict[str, Brake] = {}
    created = change.kinds.get("created", 0)
    if before.is_first:
        found["first"] = Brake(
            created,
            Text(
                "This is the first reading of this account: %(count)s people would be added.", count=created
            ),
        )
    if everybody and change.usable == 0:
        nobody = Text("The source listed nobody.")
        unusable = Text("The source listed %(count)s people; none of them can be used.", count=change.seen)
        found["zero_rows"] = Brake(1, unusable if change.seen else nobody)
    # A source that tells of changes at once tells of a mass departure in many small runs.
    found |= _about_numbers(change, 0 if everybody else before.left_lately, everybody=everybody)
    found |= _about_contents(change, before, everybody=everybody)
    return found


def _about_numbers(change: Change, left_lately: int, *, everybody: bool) -> dict[str, Brake]:
    found: dict[str, Brake] = {}
    known, after = change.working_before, change.working_after
    leaving, there = change.leaving + left_lately, known + left_lately
    if change.leaving and leaving > max(LEAVING_PEOPLE, LEAVING_SHARE * there):
        facts = {
            "count": leaving,
            "known": there,
            "share": f"{100 * leaving / there:.0f}" if there else "100",
        }
        sentence = Text("%(count)s of %(known)s people would leave (%(share)s %%).", **facts)
        if left_lately:
            sentence = Text("%(count)s of %(known)s people would leave within a day (%(share)s %%).", **facts)
        found["leaving"] = Brake(leaving, sentence)
    limit = max(LEAVING_PEOPLE, LEAVING_SHARE * known)
    returning = change.kinds.get("reactivated", 0)
    if returning > limit:
        # A source that forgets to say who has left brings all leavers back.
        sentence = Text("%(count)s people who had left would be at work again.", count=returning)
        found["returning"] = Brake(returning, sentence)
    if everybody and change.usable and _over(known - after, known, SHRINK_SHARE):
        sentence = Text(
            "The roster has %(count)s people at work; %(known)s were known before.", count=after, known=known
        )
        found["shrunk"] = Brake(known - after, sentence)
    created = change.kinds.get("created", 0)
    if known and created > GROWTH_PEOPLE and after > GROWTH_TIMES * known:
        sentence = Text(
            "%(count)s people would be added; %(known)s were known before.", count=created, known=known
        )
        found["growth"] = Brake(created, sentence)
    return found


def _about_contents(change: Change, before: Before, *, everybody: bool) -> dict[str, Brake]:
    found: dict[str, Brake] = {}
    if _over(change.emails[1], change.emails[0], EMAILS_SHARE):
        known, count = change.emails
        sentence = Text("%(count)s of %(known)s e-mail addresses would change.", count=count, known=known)
        found["emails"] = Brake(count, sentence)
    if _over(change.managers[1], change.managers[0], MANAGERS_SHARE):
        known, count = change.managers
        sentence = Text("%(count)s of %(known)s people would get another manager.", count=count, known=known)
        found["managers"] = Brake(count, sentence)
    rows = change.usable + change.duplicates
    # A list of changes may well name somebody twice.
    if everybody and _over(change.duplicates, rows, DUPLICATES_SHARE):
        sentence = Text(
            "%(count)s of %(rows)s records have a key that another record has too.",
            count=change.duplicates,
            rows=rows,
        )
        found["duplicates"] = Brake(change.duplicates, sentence)
    if everybody and change.usable > 1:
        emptier = [c for c, b in before.blanks.items() if change.blanks.get(c, b) - b > BLANKS_POINTS]
        if emptier:
            columns = ", ".join(sorted(emptier))
            sentence = Text("These columns are much emptier than before: %(columns)s.", columns=columns)
            found["blanks"] = Brake(len(emptier), sentence)
    lost = sorted(set(before.fields) - set(change.fields)) if change.fields is not None else []
    if lost:
        fields = ", ".join(lost)
        sentence = Text("The source does not give these fields any more: %(fields)s.", fields=fields)
        found["fields"] = Brake(len(lost), sentence)
    return found


def _over(part: int, whole: int, share: float) -> bool:
    return part > 1 and part > share * whole


def held_sentence(brakes: Mapping[str, Brake]) -> Text:
    """Say why a run is held, that nobody was changed, and what to do; pages have buttons for the rest.

    **Touches** pure.
    """
    return joined([*(brake.sentence for brake in brakes.values()), "Nobody was changed. Check the source."])
