"""Reads about introductions. Nothing here gives one person's answer to anybody else."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from rmplugin.db import Db
from rmplugin.introductions.models import IntroAnswer
from rmplugin.matching.models import Pairing
from rmplugin.notify import Notice
from rmplugin.sessions.models import MentoringSession

# Whoever said no waits this long for the other one at most; whoever said nothing is reminded then.
WAIT = timedelta(days=7)
SESSIONS_BEFORE_AGAIN = 2
AGAIN = "intro_again"
REMINDER = "intro_reminder"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one person is in the introduction.

    :ivar answer: what the person said last; None before.
    :ivar due: the turn that waits for the person, 1 or 2; None when none does.
    :ivar waits: the person has answered, and it is not decided yet.
    """

    answer: str | None
    due: int | None
    waits: bool


def page_of(pairing_id: uuid.UUID) -> str:
    """Give the address of the page on which the two answer. **Touches** pure."""
    return f"/pairings/{pairing_id}/introduction"


def standing_of(db: Db, pairing: Pairing, person_id: uuid.UUID, confirmed: int | None = None) -> Standing:
    """Tell where one of the two is in the introduction.

    :param confirmed: how many sessions both confirmed, when it is known; None to look.
    **Touches** reads intro_answer, mentoring_session.
    """
    query = select(IntroAnswer.turn, IntroAnswer.answer).where(
        IntroAnswer.pairing_id == pairing.id, IntroAnswer.person_id == person_id
    )
    said = {row.turn: row.answer for row in db.execute(query)}
    latest = said[max(said)] if said else None
    if pairing.state != "active":
        return Standing(latest, None, waits=False)
    if pairing.introduced_at is None:
        return Standing(latest, None if said else 1, waits=bool(said))
    if latest == "unsure" and confirmed is None:
        confirmed = confirmed_sessions(db, pairing.id)
    again = latest == "unsure" and (confirmed or 0) >= SESSIONS_BEFORE_AGAIN
    return Standing(latest, 2 if again else None, waits=False)


def confirmed_sessions(db: Db, pairing_id: uuid.UUID) -> int:
    """Count the sessions that both confirmed. **Touches** reads mentoring_session."""
    query = select(func.count(MentoringSession.id)).where(
        MentoringSession.pairing_id == pairing_id, MentoringSession.state == "confirmed"
    )
    return db.scalar(query) or 0


def to_ask_again(db: Db, session_ids: Collection[uuid.UUID]) -> list[tuple[Pairing, uuid.UUID]]:
    """List who was unsure, has had enough sessions by now, and was not asked again yet.

    :param session_ids: of the pairings to look at.
    **Touches** reads mentoring_session, pairing, intro_answer, notice.
    """
    theirs = select(MentoringSession.pairing_id).where(MentoringSession.id.in_(session_ids))
    unsure = select(IntroAnswer.id).where(
        IntroAnswer.pairing_id == Pairing.id, IntroAnswer.answer == "unsure"
    )
    query = select(Pairing).where(Pairing.id.in_(theirs), unsure.exists()).order_by(Pairing.id)
    pairings = db.scalars(query).all()
    asked = select(Notice.path, Notice.person_id).where(
        Notice.kind == AGAIN, Notice.path.in_([page_of(one.id) for one in pairings])
    )
    told = {(row.path, row.person_id) for row in db.execute(asked)} if pairings else set()
    return [
        (pairing, person)
        for pairing in pairings
        for person in (pairing.mentor_id, pairing.mentee_id)
        if (page_of(pairing.id), person) not in told and standing_of(db, pairing, person).due == 2
    ]


def answers_in(db: Db, pairing_id: uuid.UUID, turn: int) -> dict[uuid.UUID, IntroAnswer]:
    """Give both people's answers of a turn, for deciding; never for showing.

    **Touches** reads intro_answer.
    """
    query = select(IntroAnswer).where(IntroAnswer.pairing_id == pairing_id, IntroAnswer.turn == turn)
    return {row.person_id: row for row in db.scalars(query.order_by(IntroAnswer.answered_at, IntroAnswer.id))}


def waiting_with_no(db: Db, now: datetime) -> Sequence[Pairing]:
    """List pairings in which somebody said no a week ago and the other one has not answered.

    **Touches** reads pairing, intro_answer.
    """
    declined = select(IntroAnswer.id).where(
        IntroAnswer.pairing_id == Pairing.id,
        IntroAnswer.answer == "no",
        IntroAnswer.answered_at <= now - WAIT,
    )
    query = select(Pairing).where(
        Pairing.state == "active", Pairing.introduced_at.is_(None), declined.exists()
    )
    return db.scalars(query.order_by(Pairing.id)).all()


def silent_people(db: Db, now: datetime) -> list[tuple[Pairing, uuid.UUID]]:
    """List who has not answered a week after the pairing began and was not reminded yet.

    **Touches** reads pairing, intro_answer, notice.
    """
    query = select(Pairing).where(
        Pairing.state == "active", Pairing.introduced_at.is_(None), Pairing.started_at <= now - WAIT
    )
    pairings = db.scalars(query.order_by(Pairing.id)).all()
    if not pairings:
        return []
    answered = {
        (row.pairing_id, row.person_id)
        for row in db.execute(select(IntroAnswer.pairing_id, IntroAnswer.person_id))
    }
    told = {
        (row.path, row.person_id)
        for row in db.execute(select(Notice.path, Notice.person_id).where(Notice.kind == REMINDER))
    }
    return [
        (pairing, person)
        for pairing in pairings
        for person in (pairing.mentor_id, pairing.mentee_id)
        if (pairing.id, person) not in answered and (page_of(pairing.id), person) not in told
    ]
