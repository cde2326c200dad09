"""Reads about hours: a pair's own ledger, and what managers see of all ledgers together."""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import String, cast, func, select

from rmplugin.agreements.queries import current_agreement
from rmplugin.db import Db
from rmplugin.hours import ledger
from rmplugin.hours.ledger import Slot, Week
from rmplugin.matching.models import Pairing
from rmplugin.messages.queries import last_exchange
from rmplugin.people.queries import zone_of
from rmplugin.privacy import LEAST_FOR_COUNT, safe_counts, safe_tally
from rmplugin.programmes.models import Programme
from rmplugin.sessions.models import MentoringSession, SessionChange, TimeNeed
from rmplugin.texts import Text

INDEX_WEEKS = 12
# What says whether a change displaced an hour, and of whom and when.
CHANGED = (
    SessionChange.created_at,
    SessionChange.was_at,
    SessionChange.was_minutes,
    SessionChange.to_at,
    SessionChange.reason,
)


@dataclass(frozen=True)
class Rhythm:
    """How a pair keeps its rhythm.

    :ivar last: the last contact that counts; None before the first.
    :ivar by_messages: that contact was an exchange of messages.
    :ivar due: when the next one should be.
    """

    cadence_weeks: int
    last: datetime | None
    by_messages: bool
    due: datetime


def ledger_of(db: Db, pairing: Pairing, programme: Programme, now: datetime) -> list[Week]:
    """Give a pair's ledger from its first week to this one, by the mentor's calendar.

    **Touches** reads mentoring_session, session_change, time_need, profile, person.
    """
    zone = zone_of(db, pairing.mentor_id)
    sessions = select(MentoringSession).where(
        MentoringSession.pairing_id == pairing.id, MentoringSession.state != "cancelled"
    )
    slots = [
        Slot(
            row.starts_at,
            row.planned_minutes if row.created_at <= row.starts_at else 0,
            row.counted_minutes or 0,
        )
        for row in db.scalars(sessions)
    ]
    changes = select(SessionChange).where(SessionChange.pairing_id == pairing.id)
    slots += [slot for row in db.scalars(changes) if (slot := _displaced(row, zone))]
    last = min(moment for moment in (now, pairing.ended_at, pairing.interrupted_at) if moment)
    breaks = select(TimeNeed).where(TimeNeed.pairing_id == pairing.id, TimeNeed.choice == "pause")
    without = {monday for row in db.scalars(breaks) for monday in _break_weeks(row)}
    return ledger.weeks(
        slots,
        ledger.week_of(pairing.started_at, zone),
        ledger.week_of(last, zone),
        programme.allowance_minutes,
        zone,
        without,
    )


def _displaced(change: Any, zone: str) -> Slot | None:
    return ledger.displaced(change.was_at, change.was_minutes, change.to_at, change.reason, zone)


def _break_weeks(need: TimeNeed) -> set[date]:
    # On the day on which the two go on there is an hour again.
    ends = need.ended_at.date() - timedelta(days=1) if need.ended_at else need.pause_until
    return ledger.weeks_of_break(need.created_at.date(), ends) if ends else set()


def rhythm_of(db: Db, pairing: Pairing, programme: Programme) -> Rhythm:
    """Tell how a pair keeps its rhythm; messages count when the agreement in force says so.

    **Touches** reads agreement, mentoring_session, message.
    """
    agreement = current_agreement(db, pairing.id)
    cadence = agreement.cadence_weeks if agreement else programme.cadence_weeks
    query = select(func.max(MentoringSession.starts_at)).where(
        MentoringSession.pairing_id == pairing.id, MentoringSession.state == "confirmed"
    )
    met = db.scalar(query)
    wrote = last_exchange(db, pairing.id) if agreement and agreement.async_counts else None
    last = max((moment for moment in (met, wrote) if moment), default=None)
    due = (last or pairing.started_at) + timedelta(weeks=cadence)
    return Rhythm(cadence, last, last is not None and last == wrote, due)


@dataclass(frozen=True)
class Displacement:
    """A pair of which two hours fell out within four weeks: the pair and the causes, not who and not what.

    :ivar people: the mentor's and the mentee's id.
    :ivar causes: codes, without illness.
    """

    pairing_id: uuid.UUID
    people: tuple[uuid.UUID, uuid.UUID]
    hours: int
    causes: Sequence[str]


def displacements(db: Db, programme_id: uuid.UUID, now: datetime) -> list[Displacement]:
    """List the pairs that need somebody's attention, until they meet again or four weeks have gone by.

    **Touches** reads session_change, pairing, mentoring_session.
    """
    return [
        Displacement(
            uuid.UUID(row.pair),
            (uuid.UUID(row.mentor), uuid.UUID(row.mentee)),
            len(found),
            sorted({ledger.shown_cause(str(slot.cause)) for slot in found}),
        )
        for row, found in _loud(db, programme_id, now)
    ]


def _loud(db: Db, programme_id: uuid.UUID, now: datetime) -> list[tuple[Any, list[Slot]]]:
    """Give of each such pair a row that says who it is, and the hours that fell out."""
    since = now - 2 * ledger.ALERT_WITHIN
    changed = select(SessionChange.pairing_id).where(SessionChange.created_at > since)
    last_met = (
        select(MentoringSession.pairing_id, func.max(MentoringSession.starts_at).label("at"))
        .where(MentoringSession.pairing_id.in_(changed), MentoringSession.state == "confirmed")
        .group_by(MentoringSession.pairing_id)
        .subquery()
    )
    # Plain rows, and ids as the database writes them, because there can be very many.
    ids = {"pair": Pairing.id, "mentor": Pairing.mentor_id, "mentee": Pairing.mentee_id}
    query = (
        select(*(cast(column, String).label(name) for name, column in ids.items()), *CHANGED, last_met.c.at)
        .join(Pairing, Pairing.id == SessionChange.pairing_id)
        .outerjoin(last_met, last_met.c.pairing_id == Pairing.id)
        .where(Pairing.programme_id == programme_id, Pairing.state == "active")
        .where(SessionChange.created_at > since)
        .order_by(SessionChange.created_at, SessionChange.id)
    )
    rows: dict[str, Any] = {}
    slots: dict[str, list[Slot]] = {}
    lately: set[str] = set()
    for change in db.execute(query):
        # Weeks are only told apart here; nobody is shown when it was.
        if slot := _displaced(change, "UTC"):
            rows[change.pair] = change
            slots.setdefault(change.pair, []).append(slot)
            if change.created_at > now - ledger.ALERT_WITHIN:
                lately.add(change.pair)
    return [
        (row, found)
        for key, row in rows.items()
        if key in lately and ledger.needs_attention(found := slots[key])
        if row.at is None or row.at < max(slot.start for slot in found)
    ]


def needs(db: Db, programme: Programme, now: datetime) -> list[tuple[str, str, str]]:
    """Say on the manager's desk what waits there about hours.

    :return: (sentence, path, link text).
    **Touches** reads session_change, pairing, mentoring_session.
    """
    pairs = len(_loud(db, programme.id, now))
    if not pairs:
        return []
    sentence = Text("Pairs of which two protected hours fell out within four weeks: %(n)s.", n=pairs)
    return [(sentence, "/manage/hours", Text("See the causes"))]


@dataclass(frozen=True)
class HourIndex:
    """How the protected hour of a programme fares, over the last twelve weeks.

    :ivar pairs: how many pairs it is about; None when they are too few to say anything.
    :ivar granted, held: minutes.
    :ivar displaced: cause -> hours that fell out; None where too few pairs are behind it.
    """

    pairs: int | None
    granted: int = 0
    held: int = 0
    displaced: Mapping[str, int | None] | None = None


def hour_index(db: Db, programme: Programme, now: datetime) -> HourIndex:
    """Give the protected-hour index of a programme: held of granted, and what displaced the rest.

    **Touches** reads pairing, mentoring_session, session_change, time_need.
    """
    since = ledger.week_of(now, "UTC") - INDEX_WEEKS * ledger.WEEK
    weeks = _granted_weeks(db, programme, since, now)
    if len(weeks) < LEAST_FOR_COUNT:
        return HourIndex(None)
    of_programme = Pairing.programme_id == programme.id
    begin = now - INDEX_WEEKS * ledger.WEEK
    held = select(func.sum(MentoringSession.counted_minutes)).join(
        Pairing, Pairing.id == MentoringSession.pairing_id
    )
    changes = (
        select(SessionChange.pairing_id, *CHANGED)
        .join(Pairing, Pairing.id == SessionChange.pairing_id)
        .where(of_programme, SessionChange.was_at > begin, SessionChange.was_at <= now)
    )
    hours: Counter[str] = Counter()
    pairs: dict[str, set[uuid.UUID]] = {}
    for change in db.execute(changes):
        if slot := _displaced(change, "UTC"):
            hours[str(slot.cause)] += 1
            pairs.setdefault(str(slot.cause), set()).add(change.pairing_id)
    kept = safe_counts({cause: len(found) for cause, found in pairs.items()}).cells
    return HourIndex(
        pairs=len(weeks),
        granted=sum(weeks.values()) * programme.allowance_minutes,
        held=db.scalar(held.where(of_programme, MentoringSession.starts_at > begin)) or 0,
        displaced={cause: hours[cause] if kept[cause] is not None else None for cause in hours},
    )


def _granted_weeks(db: Db, programme: Programme, since: date, now: datetime) -> dict[uuid.UUID, int]:
    """Count the weeks in which each pair had its hour."""
    breaks = select(TimeNeed).where(TimeNeed.programme_id == programme.id, TimeNeed.choice == "pause")
    away: dict[uuid.UUID, set[date]] = {}
    for need in db.scalars(breaks):
        away.setdefault(need.pairing_id, set()).update(_break_weeks(need))
    query = select(Pairing.id, Pairing.started_at, Pairing.ended_at, Pairing.interrupted_at)
    counts: dict[uuid.UUID, int] = {}
    for pairing_id, started_at, *ends in db.execute(query.where(Pairing.programme_id == programme.id)):
        first = max(since, ledger.week_of(started_at, "UTC"))
        last = ledger.week_of(min(moment for moment in (now, *ends) if moment), "UTC")
        count = (last - first) // ledger.WEEK + 1
        count -= sum(first <= monday <= last for monday in away.get(pairing_id, ()))
        if count > 0:
            counts[pairing_id] = count
    return counts


def no_time_counts(db: Db, programme_id: uuid.UUID) -> dict[str, Mapping[str, int | None]]:
    """Count the people who said that there is no time, five at a time: by stage, by choice, and by reason.

    :return: "stage", "choice", "reason" -> code -> people; None where they are too few.
    **Touches** reads time_need.
    """
    counts = {}
    for column in (TimeNeed.stage, TimeNeed.choice, TimeNeed.reason):
        query = select(column, TimeNeed.person_id).where(
            TimeNeed.programme_id == programme_id, column.is_not(None)
        )
        # Whoever says the same twice counts once, where they said it first.
        said = dict.fromkeys(map(tuple, db.execute(query.order_by(TimeNeed.created_at, TimeNeed.id))))
        counts[column.key] = safe_tally([str(code) for code, _person in said]).cells
    return counts
