"""What the pages of credits list: sums of a ledger, and what became of deliveries."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from rmplugin.credits.forms import GROUPS
from rmplugin.credits.models import CreditEntry, Delivery
from rmplugin.credits.queries import STATE_ORDER
from rmplugin.db import Db
from rmplugin.destinations.models import SinkAccount
from rmplugin.people.models import Person
from rmplugin.policies import PREPARATION, day_in
from rmplugin.programmes.models import Programme
from rmplugin.sessions.models import MentoringSession
from rmplugin.texts import Text

GROUP_OF = {state: group for group, states in GROUPS.items() for state in states}
# A system that takes nothing for so long does not only pause.
SILENT_FOR = timedelta(days=1)
Line = tuple[CreditEntry, MentoringSession | None]


@dataclass
class Sums:
    """What the lines of a ledger come to.

    :ivar minutes: contact time; `this_year`: of sessions of this calendar year.
    :ivar of_programme: contact time by programme.
    :ivar credit: programme -> unit -> hundredths of it.
    """

    minutes: int = 0
    this_year: int = 0
    of_programme: dict[uuid.UUID, int] = field(default_factory=lambda: defaultdict(int))
    credit: dict[uuid.UUID, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))


def sum_up(lines: Iterable[Line], now: datetime) -> Sums:
    """Sum the lines of a ledger up; preparation is no contact time.

    A line belongs to the year of the zone that it was counted in. **Touches** pure.
    """
    sums = Sums()
    for entry, session in lines:
        units = sums.credit[entry.programme_id]
        units[entry.unit] = units.get(entry.unit, 0) + entry.amount_hundredths
        if entry.unit == PREPARATION:
            continue
        sums.minutes += entry.minutes
        sums.of_programme[entry.programme_id] += entry.minutes
        zone = entry.rules.get("zone", "UTC")
        at = session.starts_at if session else entry.created_at
        if day_in(zone, at).year == day_in(zone, now).year:
            sums.this_year += entry.minutes
    return sums


def without_empty(lines: Sequence[Line]) -> list[Line]:
    """Leave out awards of nothing that were taken back, and what took them back: they say nothing to anybody.

    An award of nothing that stands says which limit took all of it.
    **Touches** pure.
    """
    taken = {entry.reverses_id for entry, _session in lines}
    return [one for one in lines if one[0].minutes or (one[0].kind == "award" and one[0].id not in taken)]


def left_of(programme: Programme, sums: Sums) -> list[Text]:
    """Say how much can still count under the limits of a programme; nothing where there are none.

    **Touches** pure.
    """
    left = []
    if programme.programme_cap is not None:
        rest = max(0, programme.programme_cap - sums.of_programme[programme.id])
        left.append(Text("In this programme %(n)s more minutes can count.", n=rest))
    if programme.year_cap is not None:
        rest = max(0, programme.year_cap - sums.this_year)
        left.append(Text("This year %(n)s more minutes can count, in all programmes together.", n=rest))
    return left


@dataclass
class Told:
    """What an event sink was told about a person.

    :ivar sink: key of the sink.
    :ivar counts: group of states -> how many lines.
    :ivar problem: what one that waits for somebody says; None when none does.
    """

    sink: str
    counts: dict[str, int] = field(default_factory=dict)
    problem: str | None = None


def place_of(row: Delivery) -> str:
    """Give where a delivery goes: the id of an account, or the key of a sink that takes states.

    **Touches** pure.
    """
    return str(row.account_id) if row.account_id is not None else row.sink


def told_of(db: Db, person_id: uuid.UUID) -> Mapping[uuid.UUID, Mapping[str, Told]]:
    """Count what accounts of event sinks were told about a person.

    :return: programme -> name of the account -> what it was told.
    **Touches** reads delivery, sink_account.
    """
    columns = (Delivery.programme_id, SinkAccount.name, SinkAccount.sink, Delivery.state)
    query = (
        select(*columns, func.count(), func.max(Delivery.last_error))
        .join(SinkAccount, SinkAccount.id == Delivery.account_id)
        .where(Delivery.person_id == person_id, Delivery.state != "superseded")
        .group_by(*columns)
        .order_by(SinkAccount.name)
    )
    told: dict[uuid.UUID, dict[str, Told]] = defaultdict(dict)
    for programme_id, account, sink, state, count, error in db.execute(query):
        one, group = told[programme_id].setdefault(account, Told(sink)), GROUP_OF[state]
        one.counts[group] = one.counts.get(group, 0) + count
        if group in ("blocked", "needs_human", "retry"):
            one.problem = one.problem or error
    return told


def _newest(programme_id: uuid.UUID) -> Select[Any]:
    """Select the id of the newest delivery of each sink and subject of a programme."""
    newest_first = (Delivery.created_at.desc(), Delivery.id.desc())
    place = func.row_number().over(partition_by=(Delivery.sink, Delivery.subject), order_by=newest_first)
    ranked = (
        select(Delivery.id, place.label("place"))
        .where(Delivery.programme_id == programme_id, Delivery.state != "superseded")
        .subquery()
    )
    return select(ranked.c.id).where(ranked.c.place == 1)


def count_deliveries(db: Db, programme_id: uuid.UUID, now: datetime) -> tuple[dict[str, dict[str, int]], int]:
    """Count what each system was told last, about each subject of a programme.

    What the administrator has paused waits because they want it to.

    :return: place -> group of states -> how many, groups that are empty included; and how many could not be
        told for so long that somebody should look.
    **Touches** reads delivery, sink_account.
    """
    columns = (Delivery.sink, Delivery.account_id, Delivery.state)
    paused = select(SinkAccount.id).where(SinkAccount.paused_at.is_not(None))
    late = and_(
        Delivery.state.in_((*GROUPS["on_its_way"], *GROUPS["retry"])),
        Delivery.created_at < now - SILENT_FOR,
        # What was set free just now was not tried yet.
        or_(Delivery.attempts > 0, Delivery.updated_at < now - SILENT_FOR),
        or_(Delivery.account_id.is_(None), Delivery.account_id.not_in(paused)),
    )
    query = select(*columns, func.count(), func.sum(case((late, 1), else_=0)))
    query = query.where(Delivery.id.in_(_newest(programme_id))).group_by(*columns)
    counts: dict[str, dict[str, int]] = {}
    overdue = 0
    for sink, account_id, state, count, silent in db.execute(query):
        place = sink if account_id is None else str(account_id)
        counts.setdefault(place, dict.fromkeys(GROUPS, 0))[GROUP_OF[state]] += count
        overdue += silent
    return dict(sorted(counts.items())), overdue


def list_newest(
    db: Db,
    programme_id: uuid.UUID,
    *,
    place: str | None = None,
    group: str | None = None,
    offset: int = 0,
    limit: int | None = None,
) -> Sequence[tuple[Delivery, Person]]:
    """List what each sink was told last about each person of a programme; what needs somebody comes first.

    :param place: see `place_of`; None for all. `group`: of `forms.GROUPS`; None for all.
    :param limit: None for all.
    **Touches** reads delivery, person.
    """
    rank = case({state: number for number, state in enumerate(STATE_ORDER)}, value=Delivery.state)
    query = (
        select(Delivery, Person)
        .join(Person, Person.id == Delivery.person_id)
        .where(Delivery.id.in_(_newest(programme_id)))
        .order_by(rank, func.lower(Person.display_name), Delivery.sink, Delivery.id)
        .offset(offset)
        .limit(limit)
    )
    if place is not None:
        query = query.where(_goes_to(place))
    if group is not None:
        query = query.where(Delivery.state.in_(GROUPS[group]))
    return [(row, person) for row, person in db.execute(query)]


def _goes_to(place: str) -> ColumnElement[bool]:
    try:
        return Delivery.account_id == uuid.UUID(place)
    except ValueError:
        return and_(Delivery.sink == place, Delivery.account_id.is_(None))
