"""Reads about sessions."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.freebusy.parsing import is_free, joined
from rmplugin.freebusy.queries import busy_of
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import get_pairing, get_pairing_of
from rmplugin.people.models import Profile
from rmplugin.people.queries import is_zone
from rmplugin.privacy import in_steps
from rmplugin.programmes.models import Programme
from rmplugin.sessions.models import MentoringSession, SessionChange, SessionClaim, TimeNeed

DAY = timedelta(days=1)
WAITING = ("scheduled", "claimed", "disputed")


@dataclass(frozen=True)
class SessionStory:
    """A session with the claims of both sides.

    :ivar claims: person's id -> claim.
    """

    session: MentoringSession
    claims: Mapping[uuid.UUID, SessionClaim]

    def waits_for(self, person_id: uuid.UUID, now: datetime) -> bool:
        """Tell whether the person should say how long the session was (again, when the two differ)."""
        session = self.session
        if session.state not in WAITING or session.starts_at > now:
            return False
        return session.state == "disputed" or person_id not in self.claims

    def is_coming(self, now: datetime) -> bool:
        """Tell whether the session is planned and not over yet."""
        return self.session.state == "scheduled" and ends_at(self.session) > now


def list_sessions(db: Db, pairing_id: uuid.UUID) -> list[SessionStory]:
    """List a pairing's sessions, newest first, cancelled ones included.

    **Touches** reads mentoring_session, session_claim.
    """
    query = select(MentoringSession).where(MentoringSession.pairing_id == pairing_id)
    return _stories(db, query.order_by(MentoringSession.starts_at.desc(), MentoringSession.id.desc()))


def list_open_sessions(db: Db, pairing_ids: Sequence[uuid.UUID]) -> list[SessionStory]:
    """List the sessions of some pairings that are planned or wait for somebody's word, oldest first.

    **Touches** reads mentoring_session, session_claim.
    """
    query = select(MentoringSession).where(
        MentoringSession.pairing_id.in_(pairing_ids), MentoringSession.state.in_(WAITING)
    )
    return _stories(db, query.order_by(MentoringSession.starts_at, MentoringSession.id))


def get_session_of(db: Db, session_id: uuid.UUID, person_id: uuid.UUID) -> tuple[SessionStory, Pairing]:
    """Give a session and its pairing to one of the two people.

    :raises NotFoundError: there is no such session, or it is not of a pairing of theirs.
    **Touches** reads mentoring_session, session_claim, pairing.
    """
    found = _stories(db, select(MentoringSession).where(MentoringSession.id == session_id))
    if not found:
        raise NotFoundError("session")
    return found[0], get_pairing_of(db, found[0].session.pairing_id, person_id)


def next_session(db: Db, pairing_id: uuid.UUID, now: datetime) -> MentoringSession | None:
    """Give the next session that is not over yet; None when none is planned.

    **Touches** reads mentoring_session.
    """
    query = select(MentoringSession).where(
        MentoringSession.pairing_id == pairing_id, MentoringSession.state == "scheduled"
    )
    planned = db.scalars(query.order_by(MentoringSession.starts_at, MentoringSession.id)).all()
    return next((session for session in planned if ends_at(session) > now), None)


def ends_at(session: MentoringSession) -> datetime:
    """Give the planned end, aware UTC. **Touches** pure."""
    return session.starts_at + timedelta(minutes=session.planned_minutes)


def to_confirm(db: Db, person_id: uuid.UUID, now: datetime) -> list[SessionStory]:
    """List what waits for the person's word, over all their pairings, oldest first.

    **Touches** reads mentoring_session, session_claim, pairing.
    """
    mine = (Pairing.mentor_id == person_id) | (Pairing.mentee_id == person_id)
    query = (
        select(MentoringSession)
        .join(Pairing, Pairing.id == MentoringSession.pairing_id)
        # While a pairing is on hold, nothing of it can be confirmed.
        .where(mine, Pairing.interruption.is_(None))
        .where(MentoringSession.state.in_(WAITING), MentoringSession.starts_at <= now)
        .order_by(MentoringSession.starts_at, MentoringSession.id)
    )
    return [story for story in _stories(db, query) if story.waits_for(person_id, now)]


def list_changes(db: Db, session_id: uuid.UUID) -> Sequence[SessionChange]:
    """List how a session was moved or cancelled, oldest first.

    **Touches** reads session_change.
    """
    query = select(SessionChange).where(SessionChange.session_id == session_id)
    return db.scalars(query.order_by(SessionChange.created_at, SessionChange.id)).all()


def get_asked(db: Db, session_id: uuid.UUID) -> tuple[MentoringSession, Pairing]:
    """Give a manager a session that somebody asked to attest; when, how long and by whom is all to see of it.

    :raises NotFoundError: there is no such session, or nobody asked.
    **Touches** reads mentoring_session, pairing.
    """
    session = db.get(MentoringSession, session_id)
    if session is None or session.attest_asked_at is None:
        raise NotFoundError("session")
    return session, get_pairing(db, session.pairing_id)


def list_asked(db: Db, programme_id: uuid.UUID) -> list[tuple[SessionStory, Pairing]]:
    """List the sessions of a programme that wait for the manager's word, oldest first.

    **Touches** reads mentoring_session, session_claim, pairing.
    """
    query = (
        select(MentoringSession, Pairing)
        .join(Pairing, Pairing.id == MentoringSession.pairing_id)
        .where(Pairing.programme_id == programme_id, *_ASKED)
        .order_by(MentoringSession.attest_asked_at, MentoringSession.id)
    )
    pairings = {row[0].id: row[1] for row in db.execute(query)}
    waiting = select(MentoringSession).where(MentoringSession.id.in_(list(pairings)))
    stories = {story.session.id: story for story in _stories(db, waiting)}
    return [(stories[session_id], pairing) for session_id, pairing in pairings.items()]


def count_asked(programme_id: uuid.UUID) -> Select[int]:
    """Count the sessions of a programme that wait for the manager's word, as a part of a larger statement.

    **Touches** pure.
    """
    query = select(func.count(MentoringSession.id)).join(Pairing, Pairing.id == MentoringSession.pairing_id)
    return query.where(Pairing.programme_id == programme_id, *_ASKED)


_ASKED = (
    MentoringSession.state == "lapsed",
    MentoringSession.attest_asked_at.is_not(None),
    MentoringSession.attest_refused_at.is_(None),
)


def count_topics(db: Db, programme: Programme) -> dict[str, int | None]:
    """Count, for managers, the pairs that took up each of a programme's topics, in steps of five.

    A pair can take up several, so that the counts have no sum to be taken from.

    :return: topic -> pairs with a session about it that was not cancelled, in the programme's order.
    **Touches** reads mentoring_session, pairing.
    """
    query = (
        select(MentoringSession.topic, func.count(MentoringSession.pairing_id.distinct()))
        .join(Pairing, Pairing.id == MentoringSession.pairing_id)
        .where(Pairing.programme_id == programme.id, MentoringSession.state != "cancelled")
        .where(MentoringSession.topic.in_(programme.topics))
        .group_by(MentoringSession.topic)
    )
    found = {row[0]: row[1] for row in db.execute(query)}
    return {topic: in_steps(found.get(topic, 0)) for topic in programme.topics}


def find_overlap(
    db: Db, pairing: Pairing, starts_at: datetime, minutes: int, *, besides: uuid.UUID | None = None
) -> MentoringSession | None:
    """Find a session of either of the two at the same time, whoever it is with: no hour counts twice.

    :param starts_at: aware UTC.
    :param besides: a session to leave out of account; None for none.
    **Touches** reads mentoring_session, pairing.
    """
    ends = starts_at + timedelta(minutes=minutes)
    for session in sessions_of_both(db, pairing):
        if session.id != besides and session.starts_at < ends and ends_at(session) > starts_at:
            return session
    return None


def sessions_of_both(db: Db, pairing: Pairing) -> Sequence[MentoringSession]:
    """List all sessions of the two people that are not cancelled, whoever they are with, oldest first.

    **Touches** reads mentoring_session, pairing.
    """
    both = (pairing.mentor_id, pairing.mentee_id)
    query = (
        select(MentoringSession)
        .join(Pairing, Pairing.id == MentoringSession.pairing_id)
        .where(
            or_(Pairing.mentor_id.in_(both), Pairing.mentee_id.in_(both)),
            MentoringSession.state != "cancelled",
        )
    )
    return db.scalars(query.order_by(MentoringSession.starts_at, MentoringSession.id)).all()


def current_break(db: Db, pairing_id: uuid.UUID, today: date) -> TimeNeed | None:
    """Give the break that a pair takes today; None when it takes none.

    **Touches** reads time_need.
    """
    query = select(TimeNeed).where(*_on_break(pairing_id, today))
    return db.scalars(query.order_by(TimeNeed.created_at.desc()).limit(1)).first()


def _on_break(pairing_id: uuid.UUID, today: date) -> tuple[ColumnElement[bool], ...]:
    mine = (TimeNeed.pairing_id == pairing_id, TimeNeed.choice == "pause")
    return (*mine, TimeNeed.ended_at.is_(None), TimeNeed.pause_until >= today)


def common_starts(
    db: Db,
    pairing: Pairing,
    earliest: datetime,
    minutes: int,
    known: Sequence[MentoringSession],
    *,
    most: int = 3,
) -> list[datetime]:
    """Find starts at which both work and are free, at most one a day, within four weeks.

    What they do then is known from their mentoring sessions, and from their calendars where they gave one.

    :param earliest: aware UTC; nothing before it is given, and nothing before a break of the two is over.
    :param minutes: length of the session.
    :param known: what `sessions_of_both` gives.
    :return: aware UTC; empty when the two share no hour, or one of them has not said when they work.
    **Touches** reads profile, busy_calendar, time_need.
    """
    profiles, earliest = _working(db, pairing, earliest)
    if len(profiles) < 2:
        return []
    busy = busy_of(db, [pairing.mentor_id, pairing.mentee_id])
    taken = joined([*busy, *((session.starts_at, ends_at(session)) for session in known)])
    length = timedelta(minutes=minutes)
    found: list[datetime] = []
    half_hour = timedelta(minutes=30)
    start = _half_hour_from(earliest)
    for step in range(28 * 48):
        moment = start + step * half_hour
        if found and moment - found[-1] < timedelta(hours=18):
            continue
        works = all(_works_at(profile, moment, minutes) for profile in profiles)
        if works and is_free(taken, moment, moment + length):
            found.append(moment)
            if len(found) == most:
                break
    return found


def _half_hour_from(moment: datetime) -> datetime:
    """Give the first full or half hour that is not before a moment."""
    before = moment.replace(minute=moment.minute // 30 * 30, second=0, microsecond=0)
    return before if before == moment else before + timedelta(minutes=30)


def _working(db: Db, pairing: Pairing, earliest: datetime) -> tuple[list[Profile], datetime]:
    """Give when the two work, of those who said so, and the earliest start outside a break of theirs."""
    query = select(Profile, TimeNeed.pause_until)
    query = query.outerjoin(TimeNeed, and_(*_on_break(pairing.id, earliest.date())))
    rows = db.execute(query.where(Profile.person_id.in_([pairing.mentor_id, pairing.mentee_id]))).all()
    profiles = list({row[0].id: row[0] for row in rows if is_zone(row[0].time_zone)}.values())
    last = max((row[1] for row in rows if row[1]), default=None)
    if last is None or not profiles:
        return profiles, earliest
    mornings = [datetime.combine(last + DAY, time.min, ZoneInfo(one.time_zone)) for one in profiles]
    return profiles, max(earliest, *(morning.astimezone(UTC) for morning in mornings))


def _works_at(profile: Profile, moment: datetime, minutes: int) -> bool:
    local = moment.astimezone(ZoneInfo(profile.time_zone))
    minute = local.hour * 60 + local.minute
    return (
        local.weekday() in profile.work_days
        and profile.work_from_minute <= minute
        and minute + minutes <= profile.work_to_minute
    )


def _stories(db: Db, query: Select[MentoringSession]) -> list[SessionStory]:
    """Give the sessions of a query, in its order, with their claims."""
    of_session = SessionClaim.session_id == MentoringSession.id
    sessions: dict[uuid.UUID, MentoringSession] = {}
    claims: dict[uuid.UUID, dict[uuid.UUID, SessionClaim]] = {}
    for session, claim in db.execute(query.add_columns(SessionClaim).outerjoin(SessionClaim, of_session)):
        sessions[session.id] = session
        given = claims.setdefault(session.id, {})
        if claim is not None:
            given[claim.person_id] = claim
    return [SessionStory(session, claims[key]) for key, session in sessions.items()]


def claims_of(db: Db, session_id: uuid.UUID) -> dict[uuid.UUID, SessionClaim]:
    """Give what each of the two says of a session, by person. **Touches** reads session_claim."""
    query = select(SessionClaim).where(SessionClaim.session_id == session_id)
    rows = db.scalars(query.execution_options(populate_existing=True))
    return {row.person_id: row for row in rows}
