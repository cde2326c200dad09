"""Disclosure control: what a report may say about few people. Every report asks here, nowhere else.

Three rules: a mean needs ten people; a count of one to four is hidden; and nothing that is shown may give
away what is hidden, neither by a total, nor by an overlapping view, nor by yesterday's page.
"""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

# As few people as a mean of survey answers may be about; a programme may ask for more.
LEAST_FOR_MEAN = 10
# As small as a count that is not 0 may be.
LEAST_FOR_COUNT = 5


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean that may be shown.

    :ivar n: how many people it is about.
    """

    n: int
    value: float


@dataclass(frozen=True, slots=True)
class Counts(Generic[Key]):
    """Counts that may be shown beside each other.

    :ivar cells: None where a count is hidden.
    :ivar total: of all cells, hidden ones too; None when it is hidden itself.
    """

    cells: Mapping[Key, int | None]
    total: int | None


def safe_count(n: int, least: int = LEAST_FOR_COUNT) -> int | None:
    """Give a count on its own; None when it is about one to four people.

    :param least: the smallest count that is shown, 0 apart.
    **Touches** pure.
    """
    return n if n == 0 or n >= least else None


def in_steps(n: int, least: int = LEAST_FOR_COUNT) -> int | None:
    """Give a count that others overlap with, rounded down to a multiple of `least`; None from one to four.

    What one person changes moves no number that is known.

    **Touches** pure.
    """
    return n // least * least if n == 0 or n >= least else None


def safe_counts(cells: Mapping[Key, int], least: int = LEAST_FOR_COUNT) -> Counts[Key]:
    """Hide small counts, and as many others as it takes to keep them hidden. Each person is in one cell.

    Where the total is shown, a single hidden cell would be the total less the others. So the smallest of the
    others are hidden, too, until at least two are and they are about `least` people together.

    **Touches** pure.
    """
    total = safe_count(sum(cells.values()), least)
    hidden = {key for key, n in cells.items() if safe_count(n, least) is None}
    if hidden and total is not None:
        others = sorted(
            (key for key in cells if key not in hidden and cells[key]), key=lambda key: cells[key]
        )
        while len(hidden) < 2 or sum(cells[key] for key in hidden) < least:
            hidden.add(others.pop(0))
    return Counts({key: None if key in hidden else n for key, n in cells.items()}, total)


def safe_tally(codes: Sequence[Key], least: int = LEAST_FOR_COUNT) -> Counts[Key]:
    """Count what people said, as `safe_counts`, in whole batches: the newest answer changes no number alone.

    :param codes: in the order in which they came in, at most one per person.
    **Touches** pure.
    """
    return safe_counts(Counter(whole_batches(codes, least)), least)


def whole_batches(values: Sequence[Value], least: int = LEAST_FOR_MEAN) -> Sequence[Value]:
    """Leave out the last few answers, until they are `least`, so that no two looks differ by fewer people.

    :param values: in the order in which they came in, one per person.
    **Touches** pure.
    """
    return values[: len(values) // least * least]


def safe_mean(values: Sequence[float], least: int = LEAST_FOR_MEAN) -> Mean | None:
    """Give the mean of survey answers; None when too few people have answered.

    It moves with every `least` people and not with every one: a mean before and after one more answer would
    be that answer.

    :param values: in the order in which they came in, one per person.
    **Touches** pure.
    """
    counted = whole_batches(values, least)
    return Mean(len(counted), sum(counted) / len(counted)) if counted else None


def may_show(
    people: AbstractSet[Hashable],
    beside: Iterable[AbstractSet[Hashable]],
    least: int = LEAST_FOR_MEAN,
) -> bool:
    """Tell whether a view may be shown beside others: the differencing guard.

    Whoever sees two views can work out what is in one and not in the other. That must be nobody, or `least`.

    :param people: whom the view is about; `beside` likewise, per view that can be seen, too.
    **Touches** pure.
    """
    return len(people) >= least and all(_apart(people, other, least) for other in beside)


def _apart(one: AbstractSet[Hashable], other: AbstractSet[Hashable], least: int) -> bool:
    if one.isdisjoint(other):
        return True
    return all(not rest or len(rest) >= least for rest in (one - other, other - one))


def safe_means(
    groups: Mapping[Key, Mapping[Hashable, float]], least: int = LEAST_FOR_MEAN
) -> tuple[dict[Key, Mean | None], Mean | None]:
    """Give means of groups beside the mean of everybody.

    Small groups are hidden, and as many of the others as it takes for the hidden ones to be `least` people.

    :param groups: per group, person -> value of a wave that is closed; each person is in one group.
    :return: per group its mean or None, and the mean of everybody or None.
    **Touches** pure.
    """
    everybody = [value for group in groups.values() for value in group.values()]
    if len(everybody) < least:
        return dict.fromkeys(groups), None
    hidden = {key for key, group in groups.items() if 0 < len(group) < least}
    shown = sorted((key for key in groups if key not in hidden and groups[key]), key=lambda k: len(groups[k]))
    while hidden and sum(len(groups[key]) for key in hidden) < least:
        hidden.add(shown.pop(0))
    means = {
        key: _mean(group.values()) if group and key not in hidden else None for key, group in groups.items()
    }
    return means, _mean(everybody)


def _mean(values: Collection[float]) -> Mean:
    return Mean(len(values), sum(values) / len(values))
