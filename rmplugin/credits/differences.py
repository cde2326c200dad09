"""What a gradebook shows against what it was told: which difference it is, and who repairs it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from rmplugin.texts import texts

# Half of the smallest step that a score can make, as a part of the whole.
SAME = 0.005
# A platform's clock may be wrong by so much.
CLOCKS_DIFFER = timedelta(minutes=5)

# equal: the gradebook shows what it was told. repaired: it did not, and the right grade is on its way.
# reported: it does not, and somebody has to look. on_its_way: the newest word has not arrived yet.
# blocked: it cannot arrive before somebody does something, as the deliveries say.
CLASSES = ("equal", "repaired", "reported", "on_its_way", "blocked")
# What was found, and what is said of it when it is left to people.
KINDS = texts(
    {
        "overridden": "Somebody gave another grade in the LMS. It stays as it is: the tool never overwrites "
        "a grade that a teacher gave.",
        "left": "The course takes no grade for this person any more, and does not show the last one.",
        "ignored": "The LMS took our grade once more, and still does not show it. Perhaps the grade is "
        "locked or hidden there; ask the people who run the course.",
        "column_gone": "The gradebook column of the activity was deleted in the course. Ask the people who "
        "run the course to add the activity again, then open it once from there.",
        "copied": "The column belongs to another activity, as happens when a course is copied. Open the "
        "activity once from this course, so that the tool learns which column is its own.",
        "unreadable": "The gradebook could not be read, so nothing is known of this grade. It is compared "
        "again next night; if this goes on, check the connection of the LMS.",
        "stranger": "People have a grade in this column of whom the tool has nothing to report.",
        "stray_column": "The course has a column of this tool that belongs to no activity here, as happens "
        "when a course is copied. It can be deleted there.",
    }
)
# What was found, and what is said of it when it is repaired.
REPAIRED = texts(
    {
        "lost": "The grade was not in the gradebook any more. It is sent again.",
        "stale": "The gradebook showed an older grade of ours. The newest one is sent again.",
        "column_gone": "The gradebook column was deleted in the course. It is made again with all grades.",
        "unsent": "The newest grade had not been sent. It is on its way now.",
    }
)
ColumnState = Literal["read", "gone", "copied", "unreadable"]


@dataclass(frozen=True, slots=True)
class Told:
    """What a platform was told of one person.

    :param percent: the newest that arrived.
    :param at: the timestamp that it carried, aware UTC.
    :param earlier: percentages that were ever sent before it.
    """

    percent: int
    at: datetime
    earlier: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Shown:
    """What the platform shows for one person.

    :param percent: None for no grade.
    :param at: when it was changed; None when the platform does not say.
    """

    percent: float | None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison of one person's grade comes to.

    :param kind: a key of `KINDS` or `REPAIRED`; None when nothing differs.
    :param repair: it is ours to repair.
    """

    kind: str | None = None
    repair: bool = False


def judge(
    told: Told,
    shown: Shown | None,
    column: ColumnState,
    *,
    ours: bool = False,
    obstacle: bool = False,
    tried: bool = False,
) -> Verdict:
    """Say how what a gradebook shows differs from what it was told.

    A grade that was never ours is a teacher's. One that we sent earlier is ours, unless the platform says
    that it was changed after our newest arrived.

    :param shown: None when the column lists nothing for the person.
    :param ours: the column was made by this tool, which may make it again.
    :param obstacle: the course takes no grade for the person at the moment.
    :param tried: the comparison before repaired this grade; doing so each night would help nobody.
    **Touches** pure.
    """
    if column != "read":
        kind = {"gone": "column_gone"}.get(column, column)
        return Verdict(kind, repair=column == "gone" and ours and not obstacle)
    percent = shown.percent if shown is not None else None
    if percent is not None and _same(percent, told.percent):
        return Verdict()
    if percent is not None and shown is not None and not _is_ours(told, percent, shown.at):
        return Verdict("overridden")
    if obstacle:
        return Verdict("left")
    if tried:
        return Verdict("ignored")
    return Verdict("lost" if percent is None else "stale", repair=True)


def _is_ours(told: Told, percent: float, at: datetime | None) -> bool:
    if at is not None and at > told.at + CLOCKS_DIFFER:
        return False
    return any(_same(percent, earlier) for earlier in told.earlier)


def _same(one: float, other: float) -> bool:
    return abs(one - other) < SAME * 100
