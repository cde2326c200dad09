"""The hour ledger of a pair: what was granted, booked, held and displaced, week by week. Numbers only."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

WEEK = timedelta(weeks=1)
# So many hours that fall out within so long ask for somebody's attention.
ALERT_AT = 2
ALERT_WITHIN = timedelta(weeks=4)
UNSAID = "other"


@dataclass(frozen=True, slots=True)
class Slot:
    """A time in the calendar of a pair.

    :ivar start: aware UTC.
    :ivar planned: minutes; 0 for what was only written down afterwards.
    :ivar held: minutes that count; 0 before both confirmed.
    :ivar cause: why it fell out; None for one that did not.
    """

    start: datetime
    planned: int
    held: int = 0
    cause: str | None = None

    @property
    def booked(self) -> int:
        """Give the minutes that were taken from the calendar."""
        return max(self.planned, self.held)


@dataclass(slots=True)
class Week:
    """One ISO week.

    :ivar displaced: cause -> minutes.
    """

    monday: date
    granted: int = 0
    booked: int = 0
    held: int = 0
    displaced: Counter[str] = field(default_factory=Counter)


def week_of(moment: datetime, zone: str) -> date:
    """Give the Monday of the week in which a moment lies, by a zone's calendar. **Touches** pure."""
    day = moment.astimezone(ZoneInfo(zone)).date()
    return day - timedelta(days=day.weekday())


def weeks(
    slots: Iterable[Slot],
    first: date,
    last: date,
    allowance: int,
    zone: str,
    without: Collection[date] = (),
) -> list[Week]:
    """Make the ledger.

    :param first, last: Mondays; what lies in other weeks is left out.
    :param allowance: minutes granted a week.
    :param zone: IANA name of the calendar that weeks are counted in.
    :param without: Mondays of weeks in which nothing is granted.
    :return: a week for each Monday from first to last; booked is at least held and displaced together.
    **Touches** pure.
    """
    found: dict[date, Week] = {}
    monday = first
    while monday <= last:
        found[monday] = Week(monday, 0 if monday in without else allowance)
        monday += WEEK
    for slot in slots:
        week = found.get(week_of(slot.start, zone))
        if week is None:
            continue
        week.booked += slot.booked
        week.held += slot.held
        if slot.cause is not None:
            week.displaced[slot.cause] += slot.planned
    return list(found.values())


def total(ledger: Sequence[Week]) -> Week:
    """Add up a ledger. **Touches** pure."""
    result = Week(ledger[0].monday if ledger else date.min)
    for week in ledger:
        result.granted += week.granted
        result.booked += week.booked
        result.held += week.held
        result.displaced += week.displaced
    return result


def displaced(
    was_at: datetime, was_minutes: int, to_at: datetime | None, reason: str | None, zone: str
) -> Slot | None:
    """Tell what fell out of a week when a session was moved or cancelled.

    :param to_at: its new start; None for a cancelled one.
    :param reason: code of the cause; None when none was given; "pause" for a break, which displaces nothing.
    :return: None when the hour stayed in its week.
    **Touches** pure.
    """
    if reason == "pause" or (to_at is not None and week_of(to_at, zone) == week_of(was_at, zone)):
        return None
    return Slot(was_at, was_minutes, cause=reason or UNSAID)


def weeks_of_break(begins: date, ends: date) -> set[date]:
    """Give the Mondays of the weeks of a break: those of which the Wednesday lies in it. **Touches** pure."""
    days = (begins + timedelta(days=n) for n in range((ends - begins).days + 1))
    return {day - timedelta(days=2) for day in days if day.weekday() == 2}


def needs_attention(slots: Sequence[Slot]) -> bool:
    """Tell whether two of these displaced hours lie within four weeks of each other. **Touches** pure."""
    starts = sorted(slot.start for slot in slots)
    pairs = zip(starts, starts[ALERT_AT - 1 :], strict=False)
    return any(later - earlier <= ALERT_WITHIN for earlier, later in pairs)


def shown_cause(cause: str) -> str:
    """Give the cause as others may read it: an illness is nobody else's business. **Touches** pure."""
    return UNSAID if cause == "illness" else cause


def by_shown_cause(minutes: Mapping[str, int]) -> dict[str, int]:
    """Add up minutes by the causes that others may read. **Touches** pure."""
    result: Counter[str] = Counter()
    for cause, count in minutes.items():
        result[shown_cause(cause)] += count
    return dict(result)
