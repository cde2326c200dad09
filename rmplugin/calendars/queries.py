"""Reads about calendars."""

import uuid
from datetime import datetime, timedelta

from sqlalchemy import or_, select

from rmplugin.calendars.ics import Meeting
from rmplugin.calendars.models import CalendarFeed
from rmplugin.db import Db
from rmplugin.matching.models import Pairing
from rmplugin.sessions.models import MentoringSession
from rmplugin.sessions.queries import ends_at

# Older sessions are in nobody's way, and a feed is fetched every hour.
SHOWN_BACK = timedelta(days=90)


def meeting_of(session: MentoringSession) -> Meeting:
    """Give what calendars are told of a session. **Touches** pure."""
    return Meeting(
        session_id=session.id,
        sequence=session.sequence,
        starts_at=session.starts_at,
        ends_at=ends_at(session),
        changed_at=session.updated_at,
        cancelled=session.state == "cancelled",
    )


def meetings_of(db: Db, person_id: uuid.UUID, now: datetime) -> list[Meeting]:
    """List a person's sessions of the last 90 days and all later ones, cancelled ones included.

    **Touches** reads mentoring_session, pairing.
    """
    query = (
        select(MentoringSession)
        .join(Pairing, Pairing.id == MentoringSession.pairing_id)
        .where(or_(Pairing.mentor_id == person_id, Pairing.mentee_id == person_id))
        .where(MentoringSession.starts_at > now - SHOWN_BACK)
    )
    query = query.order_by(MentoringSession.starts_at, MentoringSession.id)
    return [meeting_of(session) for session in db.scalars(query)]


def find_feed(db: Db, person_id: uuid.UUID) -> CalendarFeed | None:
    """Give a person's feed; None when they have none. **Touches** reads calendar_feed."""
    return db.scalars(select(CalendarFeed).where(CalendarFeed.person_id == person_id)).one_or_none()
