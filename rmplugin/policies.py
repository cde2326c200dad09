"""Credit policies: what a confirmed session is worth, when a programme is completed, in which unit.

A policy is pure and counts in whole minutes. Minutes are the authority: credit is what the policy makes of
their *sum*, so that nothing is rounded twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal
from zoneinfo import ZoneInfo

from rmplugin.texts import Text

Role = Literal["mentor", "mentee"]

# What a mentor's preparation is told in; it is no time that two people spent together.
PREPARATION = "preparation"


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """A session that counts as evidence.

    :param id: opaque.
    :param starts_at: aware UTC.
    :param minutes: the lower of both claims, before any rule; of an attested session the attested ones.
    :param day: on which it began where the person is who earns; days and years of limits are those.
    """

    id: str
    starts_at: datetime
    minutes: int
    day: date


def day_in(zone: str, moment: datetime) -> date:
    """Give the day that a moment belongs to. :param zone: IANA name. **Touches** reads the zone data."""
    return moment.astimezone(ZoneInfo(zone)).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """A programme's limits, in minutes; None is no limit.

    :param per_session: more of one session does not count; under `least` nothing of it does.
    :param per_day, per_year: of one person, in all programmes; a year is a calendar year.
    :param per_programme: of one person in this programme.
    :param preparation_percent: what mentors get for preparing, of the minutes that count: 0..25.
    """

    per_session: int = 120
    least: int = 15
    per_day: int | None = 600
    per_programme: int | None = None
    per_year: int | None = None
    preparation_percent: int = 0


@dataclass(frozen=True, slots=True)
class Earned:
    """A session with the minutes of it that count.

    :param here: whether it is of the programme that is counted.
    """

    session: SessionFacts
    minutes: int
    here: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a person has done so far.

    :param earned: their sessions; for `completion` those of the programme, for `award` all that stand before.
    :param adjusted: minutes that a manager added, or took off where it is negative.
    :param reflections: sessions about which the person wrote something; what they wrote is not given.
    :param end_review: they compared a goal of their own with where it began.
    """

    earned: Sequence[Earned] = ()
    adjusted: int = 0
    agreement: bool = False
    reflections: int = 0
    end_review: bool = False

    @property
    def minutes(self) -> int:
        """Give the minutes that count."""
        return sum(one.minutes for one in self.earned) + self.adjusted

    @property
    def sessions(self) -> int:
        """Give how many sessions count."""
        return sum(one.minutes > 0 for one in self.earned)

    @property
    def days(self) -> int:
        """Give the days from the first to the last session that counts."""
        days = [one.session.day for one in self.earned if one.minutes > 0]
        return (max(days) - min(days)).days if days else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What a programme asks for; 0 or False is not asked for.

    :param days: from the first to the last session.
    """

    sessions: int = 0
    minutes: int = 0
    days: int = 0
    reflections: int = 0
    agreement: bool = False
    end_review: bool = False


@lru_cache(maxsize=1000)
def numbers_of(values: Caps | Targets) -> Mapping[str, Any]:
    """Give numbers by their names, JSON-ready, as they are kept with what they count. **Touches** pure."""
    # A programme has the same ones for thousands of people.
    return MappingProxyType(asdict(values))


@dataclass(frozen=True, slots=True)
class Award:
    """What one person earns for one session.

    :param uncapped_minutes: what it would have been without the rule in `cap_applied`.
    :param cap_applied: see `within_caps`, or a sentence of the policy's own; None when no rule bit.
    :param unit: None for the policy's own; `PREPARATION` for what is no contact time.
    """

    minutes: int
    uncapped_minutes: int
    cap_applied: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyCriterion:
    """One line of the completion checklist."""

    label: str
    reached: int
    needed: int
    met: bool


@dataclass(frozen=True, slots=True)
class PolicyProgress:
    """Where one person stands against a completion policy.

    :param percent: 0..100, integer, never 100 before every criterion is met.
    :param criteria: for the checklist.
    """

    percent: int
    met: bool
    criteria: tuple[PolicyCriterion, ...]

    @property
    def missing(self) -> tuple[PolicyCriterion, ...]:
        """Give the criteria that are not met."""
        return tuple(one for one in self.criteria if not one.met)


class CreditPolicy:
    """How credit is counted. A policy of one's own derives from this and says what differs.

    :ivar key: name used in commands and in the database.
    :ivar version: one more whenever it counts differently; entries keep the one that they were counted by.
    :ivar title: name for people.
    :ivar unit, unit_title: what it tells credit in, for programs and for people.
    :ivar least: asked for, whatever a programme asks for.
    """

    key: str
    version: int = 1
    title: str
    unit: str = "contact_hours"
    unit_title: str = Text("hours")
    least: Targets = Targets()

    def award(self, session: SessionFacts, role: Role, history: History, caps: Caps) -> Sequence[Award]:
        """Tell what a session earns in a role: one award per unit at most.

        The core counts a person's sessions in the order in which they took place, whenever they are
        confirmed, so that the order of confirmations changes nothing.

        **Touches** pure.
        """
        minutes, rule = within_caps(session, history.earned, caps)
        awards = [Award(minutes, session.minutes, rule)]
        bonus = minutes * caps.preparation_percent // 100 if role == "mentor" else 0
        return [*awards, Award(bonus, bonus, unit=PREPARATION)] if bonus else awards

    def completion(self, history: History, targets: Targets) -> PolicyProgress:
        """Tell how far somebody has come towards what the programme, and the policy itself, ask for.

        **Touches** pure.
        """
        return progress(history, _both(targets, self.least))

    def convert(self, minutes: int) -> int:
        """Give a sum of minutes in hundredths of the unit; it may be rounded, and never falls as they grow.

        **Touches** pure.
        """
        return hours_in_hundredths(minutes)


def hours_in_hundredths(minutes: int) -> int:
    """Give minutes as hundredths of an hour, rounded to the nearest, a half upwards. **Touches** pure."""
    return (minutes * 100 + 30) // 60


def within_caps(session: SessionFacts, before: Iterable[Earned], caps: Caps) -> tuple[int, str | None]:
    """Give the minutes of a session that count within the caps.

    :param before: what uses the caps up.
    :return: and the rule that cost most: session_below_15, session_120, day_600, programme_…, year_…, each
        with its own number; None when no rule bit.
    **Touches** pure.
    """
    if session.minutes < caps.least:
        return 0, f"session_below_{caps.least}"
    used = {"session": 0, "day": 0, "programme": 0, "year": 0}
    for one in before:
        used["day"] += one.minutes if one.session.day == session.day else 0
        used["programme"] += one.minutes if one.here else 0
        used["year"] += one.minutes if one.session.day.year == session.day.year else 0
    limits = (
        ("session", caps.per_session),
        ("day", caps.per_day),
        ("programme", caps.per_programme),
        ("year", caps.per_year),
    )
    counted, rule = session.minutes, None
    for name, limit in limits:
        if limit is not None and counted > max(0, limit - used[name]):
            counted, rule = max(0, limit - used[name]), f"{name}_{limit}"
    return counted, rule


def _both(one: Targets, other: Targets) -> Targets:
    return Targets(
        sessions=max(one.sessions, other.sessions),
        minutes=max(one.minutes, other.minutes),
        days=max(one.days, other.days),
        reflections=max(one.reflections, other.reflections),
        agreement=one.agreement or other.agreement,
        end_review=one.end_review or other.end_review,
    )


def progress(history: History, targets: Targets) -> PolicyProgress:
    """Tell how far somebody has come.

    Each criterion that is asked for weighs the same; the percentage is rounded down and stays at 99 until the
    last criterion is met.

    **Touches** pure.
    """
    asked = [
        (Text("Sessions that count"), history.sessions, targets.sessions),
        (Text("Minutes that count"), history.minutes, targets.minutes),
        (Text("Days from your first to your last session"), history.days, targets.days),
        (Text("Sessions about which you noted something"), history.reflections, targets.reflections),
        (Text("Agreement signed by both"), int(history.agreement), int(targets.agreement)),
        (Text("A goal of your own, reviewed"), int(history.end_review), int(targets.end_review)),
    ]
    criteria = tuple(
        PolicyCriterion(label, reached, needed, reached >= needed)
        for label, reached, needed in asked
        if needed > 0
    )
    if all(criterion.met for criterion in criteria):
        return PolicyProgress(100, met=True, criteria=criteria)
    shares = sum((Fraction(min(max(c.reached, 0), c.needed), c.needed) for c in criteria), Fraction(0))
    return PolicyProgress(min(99, int(100 * shares / len(criteria))), met=False, criteria=criteria)
