"""Verbs of leaving: choose what comes next, thank, complete."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select

from rmplugin import audit, notify
from rmplugin.credits.models import Completion
from rmplugin.credits.queries import completion_of
from rmplugin.db import Db
from rmplugin.errors import ConflictError, NotFoundError
from rmplugin.leaving.models import Thanks
from rmplugin.matching import ending, interruptions, runs
from rmplugin.matching.models import LIVE, Pairing
from rmplugin.matching.queries import people_by_id
from rmplugin.people.canonical import LEFT
from rmplugin.people.models import Person
from rmplugin.people.queries import display_names
from rmplugin.programmes import operations as programmes
from rmplugin.programmes.models import Programme
from rmplugin.programmes.queries import find_enrolment
from rmplugin.texts import Text

# A thank-you after an end comes later than the end, so that it does not tell who ended the pairing.
THANKS_LATER = timedelta(hours=24)
# Staff lists are wrong now and then: a pair waits so long before an absence that HR calls final ends it.
GRACE = timedelta(days=14)


def choose_next(
    db: Db, pairing: Pairing, person_id: uuid.UUID, next_choice: str, weeks: int, now: datetime
) -> None:
    """Let somebody whose pairing has ended, by whomever, say what comes next; it holds at once.

    :param next_choice, weeks: as `forms.NextForm` loads them.
    :raises ConflictError: the pairing goes on, or the person has left: signing up again asks for consent.
    :raises NotAllowedError: the programme takes them in no more.
    **Touches** locks programme; what `matching.ending.choose_next` touches.
    """
    programme = runs.lock_programme(db, pairing.programme_id)
    if pairing.state in LIVE:
        raise ConflictError("pairing_goes_on", "This pairing goes on. Nothing was changed.")
    enrolment = find_enrolment(db, programme.id, person_id)
    if enrolment is None or enrolment.state not in ("submitted", "paused"):
        raise ConflictError(
            "left",
            "You are not in this programme any more, so nothing was changed. While it takes people in, you "
            "can sign up again on its page.",
        )
    if next_choice == "rematch" and enrolment.state == "paused":
        programmes.open_roles(db, programme, enrolment, person_id, now)
    ending.choose_next(db, enrolment, next_choice, weeks, now)


def end_pairs_of_leavers(db: Db, now: datetime) -> int:
    """End pairs on hold of which somebody left the company two weeks ago; the other one is free again.

    :return: how many.
    **Touches** locks programme; writes pairing, enrolment, notice, outbox_event, audit_entry.
    """
    both = Person.id.in_((Pairing.mentor_id, Pairing.mentee_id))
    has_left = or_(Person.lifecycle == "tombstoned", Person.status.in_(LEFT))
    somebody = select(Person.id).where(both, has_left).exists()
    query = select(Pairing).where(Pairing.interrupted_at <= now - GRACE, somebody)
    pairings = db.scalars(query).all()
    for pairing in pairings:
        interruptions.end_interrupted(db, pairing, "worker", now)
    return len(pairings)


def thank(db: Db, pairing: Pairing, person_id: uuid.UUID, text: str, now: datetime) -> Thanks:
    """Thank the partner, once: when the pairing is over, or the programme is completed.

    :param text: 1 to 600 characters.
    :raises ConflictError: the person thanked before, or it is too early.
    **Touches** writes thanks, notice.
    """
    runs.lock_programme(db, pairing.programme_id)
    if not may_thank(db, pairing, person_id):
        raise ConflictError(
            "too_early", "You can thank your partner when you have completed the programme, or at its end."
        )
    given = select(Thanks).where(Thanks.pairing_id == pairing.id, Thanks.giver_id == person_id)
    if db.scalars(given).one_or_none() is not None:
        raise ConflictError("already_thanked", "You thanked your partner already. It was sent once.")
    thanks = Thanks(
        pairing_id=pairing.id,
        giver_id=person_id,
        receiver_id=pairing.partner_of(person_id),
        text=text,
        created_at=now,
        deliver_at=now + THANKS_LATER if pairing.state == "ended" else now,
        delivered_at=None,
    )
    db.add(thanks)
    db.flush()
    deliver_thanks(db, now)
    return thanks


def may_thank(db: Db, pairing: Pairing, person_id: uuid.UUID) -> bool:
    """Tell whether it is time to thank the partner. **Touches** reads completion."""
    if pairing.state not in LIVE:
        return True
    completion = completion_of(db, pairing.programme_id, person_id)
    return completion is not None and completion.met_at is not None


def deliver_thanks(db: Db, now: datetime) -> int:
    """Tell the receivers of thanks that are due, each once.

    :return: how many.
    **Touches** writes thanks, notice.
    """
    query = select(Thanks).where(Thanks.delivered_at.is_(None), Thanks.deliver_at <= now)
    due = db.scalars(query.with_for_update(skip_locked=True)).all()
    names = display_names(db, {row.giver_id for row in due})
    for row in due:
        row.delivered_at = now
        text = Text("%(name)s thanks you for your time together.", name=names[row.giver_id])
        notify.tell(db, row.receiver_id, "thanks", text, now, f"/pairings/{row.pairing_id}/parting")
    return len(due)


def keep_thanks(db: Db, thanks_id: uuid.UUID, person_id: uuid.UUID, *, keep: bool) -> Thanks:
    """Take a thank-you into one's own record, or out of it.

    :raises NotFoundError: it was not given to the person, or is not delivered yet.
    **Touches** writes thanks.
    """
    thanks = db.get(Thanks, thanks_id)
    if thanks is None or thanks.receiver_id != person_id or thanks.delivered_at is None:
        raise NotFoundError("thanks")
    thanks.is_kept = keep
    return thanks


def complete_pairs(db: Db, now: datetime) -> int:
    """Complete the pairs of programmes that conclude, when both people have met every criterion.

    :return: how many.
    **Touches** locks programme; writes pairing, enrolment, notice, outbox_event, audit_entry.
    """
    query = (
        select(Pairing)
        .join(Programme, Programme.id == Pairing.programme_id)
        .where(Pairing.state == "active", Programme.state == "concluding")
        .where(*(_has_met(person) for person in (Pairing.mentor_id, Pairing.mentee_id)))
    )
    pairings = db.scalars(query).all()
    for pairing in pairings:
        complete(db, pairing, now)
    return len(pairings)


def _has_met(person: Any) -> Any:
    query = select(Completion.id).where(
        Completion.programme_id == Pairing.programme_id,
        Completion.person_id == person,
        Completion.met_at.is_not(None),
    )
    return query.exists()


def complete(db: Db, pairing: Pairing, now: datetime) -> None:
    """Bring a pairing to its good end; both are told, and may thank each other.

    :raises ConflictError: it is over already.
    **Touches** locks programme; writes pairing, enrolment, notice, outbox_event, audit_entry.
    """
    programme = runs.lock_programme(db, pairing.programme_id)
    db.refresh(pairing)
    ending.close_pairing(db, pairing, now, "completed")
    people = people_by_id(db, (pairing.mentor_id, pairing.mentee_id))
    for person_id in people:
        enrolment = find_enrolment(db, programme.id, person_id)
        if enrolment is not None and enrolment.state == "submitted" and not enrolment.active_pairings:
            enrolment.state, enrolment.updated_at = "completed", now
        name = people[pairing.partner_of(person_id)].display_name
        text = Text(
            "You and %(name)s have come to the end of your programme. Well done, both of you!", name=name
        )
        notify.tell(db, person_id, "pairing_completed", text, now, f"/programmes/{programme.id}/record")
    audit.record(db, "worker", "pairing.complete", pairing.id, now)
