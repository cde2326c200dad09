"""Places in a programme: who has one, who waits for one, who pauses; and reasons, counted without persons."""

import uuid
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from rmplugin import audit, jobs, notify
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError
from rmplugin.people import consents
from rmplugin.programmes import endorsements
from rmplugin.programmes.forms import LONGEST_PAUSE_WEEKS
from rmplugin.programmes.models import Enrolment, Programme, StageReason
from rmplugin.texts import Text

# Who has a place: also whoever pauses, because they come back by themselves.
PLACED = ("submitted", "paused", "completed")
ROLES = ("mentor", "mentee")


def move(enrolment: Enrolment, state: str, now: datetime, until: date | None = None) -> None:
    """Put an enrolment into a state.

    :param until: the last day of a pause; None for every other state.
    **Touches** writes enrolment.
    """
    enrolment.state, enrolment.paused_until, enrolment.updated_at = state, until, now


def new_enrolment(
    programme: Programme, person_id: uuid.UUID, role: str, state: str, now: datetime, **values: Any
) -> Enrolment:
    """Make an enrolment without answers; the caller adds it.

    **Touches** pure.
    """
    return Enrolment(
        programme_id=programme.id,
        person_id=person_id,
        role=role,
        state=state,
        capacity=1,
        active_pairings=0,
        created_at=now,
        updated_at=now,
        **values,
    )


def target_of(programme: Programme, role: str) -> int | None:
    """Give how many people of a role have a place; None is no limit. **Touches** pure."""
    return programme.target_mentors if role == "mentor" else programme.target_mentees


def count_placed(db: Db, programme_id: uuid.UUID, role: str) -> int:
    """Count who has a place in a role.

    **Touches** reads enrolment.
    """
    query = select(func.count(Enrolment.id)).where(
        Enrolment.programme_id == programme_id, Enrolment.role == role, Enrolment.state.in_(PLACED)
    )
    return db.scalar(query) or 0


def is_full(db: Db, programme: Programme, role: str) -> bool:
    """Tell whether nobody more of a role has a place.

    **Touches** reads enrolment.
    """
    target = target_of(programme, role)
    return target is not None and count_placed(db, programme.id, role) >= target


def admit(db: Db, programme: Programme, enrolment: Enrolment, now: datetime) -> None:
    """Let somebody who sent their answers into the pool, or say what they wait for.

    The line manager's yes comes first, where the programme asks for it; then a free place.

    **Touches** locks programme; writes enrolment, endorsement, notice.
    """
    # Two people who take the last place at the same moment stand in line.
    db.execute(select(Programme.id).where(Programme.id == programme.id).with_for_update())
    if programme.needs_endorsement and not endorsements.ask(db, programme, enrolment, now):
        move(enrolment, "endorsing", now)
    elif is_full(db, programme, enrolment.role):
        move(enrolment, "waitlisted", now)
    else:
        move(enrolment, "submitted", now)


def fill_places(db: Db, programme: Programme, now: datetime) -> int:
    """Give free places to those who wait for one, the longest first, and tell them.

    :return: how many came in.
    **Touches** writes enrolment, notice.
    """
    filled = 0
    db.flush()
    for role in ROLES:
        target = target_of(programme, role)
        query = select(Enrolment).where(
            Enrolment.programme_id == programme.id, Enrolment.role == role, Enrolment.state == "waitlisted"
        )
        query = query.order_by(Enrolment.submitted_at, Enrolment.id)
        if target is not None:
            query = query.limit(max(0, target - count_placed(db, programme.id, role)))
        for enrolment in db.scalars(query.with_for_update()).all():
            move(enrolment, "submitted", now)
            text = Text("A place in “%(name)s” is free for you now. You are in.", name=programme.name)
            notify.tell(db, enrolment.person_id, "place_free", text, now, f"/enrol/{programme.id}")
            filled += 1
    db.flush()
    return filled


def place_in_line(db: Db, enrolment: Enrolment) -> int:
    """Tell how many wait for a place, up to and with this one.

    **Touches** reads enrolment.
    """
    query = select(func.count(Enrolment.id)).where(
        Enrolment.programme_id == enrolment.programme_id,
        Enrolment.role == enrolment.role,
        Enrolment.state == "waitlisted",
        (Enrolment.submitted_at < enrolment.submitted_at)
        | ((Enrolment.submitted_at == enrolment.submitted_at) & (Enrolment.id <= enrolment.id)),
    )
    return db.scalar(query) or 0


def pause(db: Db, enrolment: Enrolment, weeks: int, now: datetime) -> None:
    """Let somebody pause; they come back by themselves, and keep their place.

    :raises InputError: longer than six weeks.
    :raises ConflictError: they are paired, so that their pairing decides; or they are not signed up.
    **Touches** writes enrolment, outbox_event.
    """
    if not 1 <= weeks <= LONGEST_PAUSE_WEEKS:
        raise InputError("pause_length", "A pause lasts one to six weeks.")
    if enrolment.active_pairings:
        raise ConflictError(
            "enrolment_paired", "You have a partner now. A pause is made on the page of your pairing."
        )
    if enrolment.state not in ("submitted", "paused"):
        raise ConflictError("enrolment_not_open", "You are not in the pool, so there is nothing to pause.")
    move(enrolment, "paused", now, now.date() + timedelta(weeks=weeks))
    _let_go(db, enrolment, now)


def _let_go(db: Db, enrolment: Enrolment, now: datetime) -> None:
    """Say that whoever keeps proposals with this person must let go of them."""
    ids = {"programme_id": str(enrolment.programme_id), "person_id": str(enrolment.person_id)}
    jobs.enqueue(db, "enrolment_withdrawn", now, **ids)


def leave(db: Db, enrolment: Enrolment, now: datetime) -> None:
    """Take somebody out of the pool or the line; the next in line has their place.

    **Touches** writes enrolment, consent, outbox_event, notice.
    """
    move(enrolment, "withdrawn", now)
    consents.withdraw(db, enrolment.person_id, "participation", now, enrolment.programme_id)
    _let_go(db, enrolment, now)
    endorsements.take_back(db, enrolment, now)
    fill_places(db, db.get_one(Programme, enrolment.programme_id), now)


def come_back(enrolment: Enrolment, now: datetime) -> None:
    """End a pause, early or on its day; one who does not pause stays as they are.

    **Touches** writes enrolment.
    """
    if enrolment.state == "paused":
        move(enrolment, "submitted", now)


def end_pauses(db: Db, now: datetime) -> int:
    """Bring those back whose pause is over, and tell them.

    :return: how many.
    **Touches** writes enrolment, notice.
    """
    query = select(Enrolment).where(Enrolment.state == "paused", Enrolment.paused_until <= now.date())
    rows = db.scalars(query.with_for_update()).all()
    for row in rows:
        move(row, "submitted", now)
        text = Text("Your pause is over and you are in the pool again. You can pause or leave at any time.")
        notify.tell(db, row.person_id, "pause_over", text, now, f"/enrol/{row.programme_id}")
    return len(rows)


def stage_of(enrolment: Enrolment) -> str:
    """Name the stage at which somebody is, for counting reasons. **Touches** pure."""
    return "paired" if enrolment.active_pairings else enrolment.state


def count_reason(db: Db, enrolment: Enrolment, reason: str, now: datetime, choice: str | None = None) -> None:
    """Count why somebody says no or has no time; who it was is written nowhere.

    :param reason: key of `forms.DECLINE_REASONS`.
    :param choice: key of `forms.TIME_CHOICES`; None for a plain no.
    **Touches** writes stage_reason.
    """
    day = now.date()
    facts: dict[str, Any] = {"programme_id": enrolment.programme_id, "role": enrolment.role}
    facts |= {"stage": stage_of(enrolment), "reason": reason, "choice": choice}
    # By chance alone: our other ids tell the moment, and with it perhaps the person.
    db.add(StageReason(id=uuid.uuid4(), week=day - timedelta(days=day.weekday()), **facts))


def answer_endorsement(
    db: Db, endorsement: endorsements.Asked, answer: str, reason: str | None, now: datetime
) -> None:
    """Keep a line manager's answer; with a yes, the person comes into the pool or into the line.

    :param answer: "yes" or "not_now".
    :param reason: key of `forms.NOT_NOW_REASONS`; None when none was given.
    :raises ConflictError: it was answered, or the person left meanwhile.
    **Touches** locks programme; writes endorsement, enrolment, notice.
    """
    endorsements.answer(db, endorsement, answer, reason, now)
    if answer == "yes" and endorsement.enrolment.state == "endorsing":
        admit(db, endorsement.programme, endorsement.enrolment, now)


def endorse_for_team(db: Db, asked: endorsements.Asked, actor: str, now: datetime) -> None:
    """Say yes for somebody whom the roster gives no manager; it is written down who did.

    **Touches** locks programme; writes endorsement, enrolment, notice, audit_entry.
    """
    answer_endorsement(db, asked, "yes", None, now)
    audit.record(db, actor, "enrolment.endorse", asked.enrolment.id, now)
