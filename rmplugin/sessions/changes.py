"""What becomes of a session after the first words about it: reminders, its lapse, another length."""

import uuid
from datetime import datetime

from sqlalchemy import select

from rmplugin import jobs, notify
from rmplugin.db import Db
from rmplugin.errors import ConflictError
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import lock_pairing
from rmplugin.sessions.evidence import LAPSE, REMIND_AFTER, can_correct, minutes_that_count
from rmplugin.sessions.models import MentoringSession
from rmplugin.sessions.operations import settle, tell_partner
from rmplugin.sessions.queries import claims_of
from rmplugin.texts import Text


def correct(
    db: Db, session: MentoringSession, person_id: uuid.UUID, minutes: int, now: datetime
) -> MentoringSession:
    """Give another length for a session that both confirmed. Its credit is taken back and counted anew.

    When the two then lie more than 15 minutes apart, both are asked again; nothing counts until they agree.

    :param minutes: 1..480; the same as before changes nothing.
    :return: the session: confirmed or disputed.
    :raises ConflictError: not confirmed by both, more than two weeks ago, or the pairing is on hold.
    **Touches** writes session_claim, mentoring_session, notice, outbox_event.
    """
    pairing = lock_pairing(db, session.pairing_id, person_id)
    db.refresh(session, with_for_update=True)
    claims = claims_of(db, session.id)
    if not can_correct(session, now) or person_id not in claims:
        raise ConflictError(
            "not_correctable",
            "The length of a session can be corrected within two weeks after both of you confirmed it. "
            "Nothing was changed.",
        )
    mine, theirs = claims[person_id], claims[pairing.partner_of(person_id)]
    if mine.minutes == minutes:
        return session
    mine.minutes, mine.claimed_at, session.updated_at = minutes, now, now
    if minutes_that_count(minutes, theirs.minutes) is not None:
        tell_partner(db, pairing, person_id, session, "%(name)s corrected the length of a session.", now)
    else:
        # The line in the ledger is taken back; a later confirmation brings another.
        jobs.enqueue(db, "session_corrected", now, session_id=str(session.id))
    settle(db, session, pairing, person_id, minutes, theirs.minutes, now)
    db.flush()
    return session


def look_after(db: Db, now: datetime) -> int:
    """Remind those whose word about a session is missing, twice; let it lapse after two weeks.

    Nobody's word is taken for granted. While a pairing is on hold, nothing of it can be confirmed, and
    nothing lapses.

    :return: how many sessions had a turn.
    **Touches** writes mentoring_session, notice.
    """
    query = (
        select(MentoringSession, Pairing)
        .join(Pairing, Pairing.id == MentoringSession.pairing_id)
        .where(
            MentoringSession.state.in_(("claimed", "disputed")),
            MentoringSession.waits_since <= now - REMIND_AFTER[0],
            Pairing.interruption.is_(None),
        )
        .order_by(MentoringSession.id)
        .with_for_update(of=MentoringSession)
    )
    return sum(_take_turn(db, session, pairing, now) for session, pairing in db.execute(query).all())


def _take_turn(db: Db, session: MentoringSession, pairing: Pairing, now: datetime) -> bool:
    assert session.waits_since is not None
    waited = now - session.waits_since
    if session.reminders < len(REMIND_AFTER):
        after = REMIND_AFTER[session.reminders]
        if waited < after:
            return False
        # When a reminder is late, what follows is late, too: nobody is hurried because a worker stood still.
        session.waits_since, session.reminders = now - after, session.reminders + 1
        _remind(db, session, pairing, now)
        return True
    if waited < LAPSE:
        return False
    session.state, session.updated_at = "lapsed", now
    _tell_lapsed(db, session, pairing, now)
    return True


def _remind(db: Db, session: MentoringSession, pairing: Pairing, now: datetime) -> None:
    said = Text("A session waits for your word: did it take place, and how long was it?")
    if session.state == "disputed":
        said = Text("The two of you gave different lengths for a session. Please look at it together.")
    heard = claims_of(db, session.id) if session.state == "claimed" else {}
    for person in (pairing.mentor_id, pairing.mentee_id):
        if person not in heard:
            notify.tell(db, person, "session_reminder", said, now, f"/sessions/{session.id}")


def _tell_lapsed(db: Db, session: MentoringSession, pairing: Pairing, now: datetime) -> None:
    page, both = f"/sessions/{session.id}", (pairing.mentor_id, pairing.mentee_id)
    notify.take_back(db, [page], now, people=both)
    said = Text(
        "A session lapsed: for two weeks the two of you did not both confirm it. It counts only if the "
        "programme manager attests it."
    )
    for person in both:
        notify.tell(db, person, "session_lapsed", said, now, page)
