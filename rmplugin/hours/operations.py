"""Say that there is no time; take a break; go on."""

import uuid
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from rmplugin import notify
from rmplugin.db import Db
from rmplugin.errors import ConflictError
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import lock_active_pairing
from rmplugin.people.queries import display_names
from rmplugin.sessions import operations as sessions
from rmplugin.sessions.models import MentoringSession, TimeNeed
from rmplugin.sessions.queries import current_break
from rmplugin.texts import Text

EARLY = 2
# Between the end of one break and the beginning of the next.
APART = timedelta(weeks=4)


def say_no_time(
    db: Db, pairing: Pairing, person_id: uuid.UUID, values: Mapping[str, Any], now: datetime
) -> TimeNeed:
    """Write down that there is no time, and which way out was chosen; a break begins at once.

    :param values: choice, reason (None for none), weeks (of a break).
    :raises ConflictError: the pairing has ended or is on hold, or takes a break or took one lately.
    **Touches** writes time_need, mentoring_session, session_change, notice.
    """
    lock_active_pairing(db, pairing.id, person_id)
    need = TimeNeed(
        programme_id=pairing.programme_id,
        pairing_id=pairing.id,
        person_id=person_id,
        stage=_stage(db, pairing.id),
        choice=values["choice"],
        reason=values["reason"],
        created_at=now,
    )
    if need.choice == "pause":
        need.pause_until = (now + timedelta(weeks=values["weeks"])).date()
        _begin_break(db, pairing, person_id, need.pause_until, now)
    db.add(need)
    db.flush()
    return need


def go_on(db: Db, pairing: Pairing, person_id: uuid.UUID, now: datetime) -> None:
    """End a break before its last day; when there is none, nothing changes.

    :raises ConflictError: the pairing has ended or is on hold.
    **Touches** writes time_need, notice.
    """
    lock_active_pairing(db, pairing.id, person_id)
    need = current_break(db, pairing.id, now.date())
    if need is not None:
        need.ended_at = now
        _tell_partner(db, pairing, person_id, "Your break with %(name)s is over. You can plan again.", now)


def _stage(db: Db, pairing_id: uuid.UUID) -> str:
    query = select(func.count(MentoringSession.id)).where(
        MentoringSession.pairing_id == pairing_id, MentoringSession.state == "confirmed"
    )
    held = db.scalar(query) or 0
    return "start" if not held else "early" if held <= EARLY else "later"


def _begin_break(db: Db, pairing: Pairing, person_id: uuid.UUID, until: date, now: datetime) -> None:
    query = select(TimeNeed).where(TimeNeed.pairing_id == pairing.id, TimeNeed.choice == "pause")
    for before in db.scalars(query):
        ended = before.ended_at.date() if before.ended_at else before.pause_until
        if ended and now.date() < ended + APART:
            raise ConflictError(
                "break_lately",
                "The two of you take a break or took one within the last four weeks, so no other was begun. "
                "Shorter sessions or another time may help; or end the pairing, without blame.",
            )
    planned = select(MentoringSession).where(
        MentoringSession.pairing_id == pairing.id,
        MentoringSession.state == "scheduled",
        MentoringSession.starts_at > now,
    )
    for session in db.scalars(planned).all():
        if session.starts_at.date() <= until:
            sessions.cancel(db, session, person_id, now, "pause")
    said = "Your pairing takes a break until %(day)s. Nothing is lost, and either of you can go on earlier."
    notify.tell(
        db,
        pairing.partner_of(person_id),
        "pairing_break",
        Text(said, day=until.isoformat()),
        now,
        f"/pairings/{pairing.id}",
    )


def _tell_partner(db: Db, pairing: Pairing, person_id: uuid.UUID, words: str, now: datetime) -> None:
    name = display_names(db, {person_id}).get(person_id, Text("Your partner"))
    said = Text(words, name=name)
    notify.tell(db, pairing.partner_of(person_id), "pairing_break", said, now, f"/pairings/{pairing.id}")
