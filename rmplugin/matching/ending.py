"""How a pairing ends: without blame, with the same words to the partner whoever ended it and why."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from rmplugin import jobs, notify
from rmplugin.db import Db
from rmplugin.errors import ConflictError, NotFoundError
from rmplugin.matching import runs
from rmplugin.matching.models import LIVE, Closure, Pairing
from rmplugin.matching.releasing import close_stale_proposals
from rmplugin.people.queries import display_names
from rmplugin.programmes import operations as programmes
from rmplugin.programmes import places
from rmplugin.programmes.forms import LONGEST_PAUSE_WEEKS
from rmplugin.programmes.models import Enrolment
from rmplugin.programmes.queries import find_enrolment
from rmplugin.texts import Text

NEUTRAL_ENDED = (
    "Your pairing with %(name)s has ended. Pairings end for many reasons and nobody is to blame. Your "
    "confirmed sessions and credits stay yours."
)


def end_pairing(
    db: Db,
    pairing: Pairing,
    person_id: uuid.UUID,
    reasons: Sequence[str],
    next_choice: str,
    now: datetime,
    weeks: int = LONGEST_PAUSE_WEEKS,
) -> Closure:
    """End a pairing without blame, by either of the two; the partner is told in fixed neutral words.

    :param reasons: up to three codes of `forms.CLOSURE_REASONS`; empty when none was given.
    :param next_choice: "rematch" keeps the person in the pool, "pause" and "leave" take them out.
    :param weeks: how long a pause lasts.
    :raises NotFoundError: it is not the person's.
    :raises ConflictError: it has ended already.
    **Touches** writes pairing, closure, enrolment, consent, proposal, notice, outbox_event.
    """
    runs.lock_programme(db, pairing.programme_id)
    db.refresh(pairing)
    if pairing.role_of(person_id) is None:
        raise NotFoundError("pairing")
    close_pairing(db, pairing, now)
    closure = Closure(
        pairing_id=pairing.id,
        initiator_id=person_id,
        reasons=list(reasons),
        next_choice=next_choice,
        created_at=now,
    )
    db.add(closure)
    enrolment = find_enrolment(db, pairing.programme_id, person_id)
    if enrolment is not None:
        choose_next(db, enrolment, next_choice, weeks, now)
    tell_ended(db, pairing, [pairing.partner_of(person_id)], now)
    return closure


def choose_next(db: Db, enrolment: Enrolment, next_choice: str, weeks: int, now: datetime) -> None:
    """Let somebody stay in the pool, pause or leave after a pairing; who is in it no more stays as they are.

    Another pairing of the same person goes on; only new partners are no longer looked for.
    :param weeks: how long a pause lasts.
    **Touches** writes enrolment, consent, endorsement, proposal, notice, outbox_event.
    """
    if enrolment.state not in ("submitted", "paused"):
        return
    if next_choice == "leave":
        places.leave(db, enrolment, now)
    elif next_choice == "pause":
        places.move(enrolment, "paused", now, now.date() + timedelta(weeks=weeks))
    else:
        places.come_back(enrolment, now)
    close_stale_proposals(db, now)


def tell_ended(db: Db, pairing: Pairing, person_ids: Iterable[uuid.UUID], now: datetime) -> None:
    """Tell people of a pairing that it has ended: in the same words, whoever ended it and why.

    **Touches** writes notice.
    """
    names = display_names(db, {pairing.mentor_id, pairing.mentee_id})
    ask_no_more(db, pairing, now)
    for person in person_ids:
        text = Text(NEUTRAL_ENDED, name=names[pairing.partner_of(person)])
        notify.tell(db, person, "pairing_ended", text, now, f"/pairings/{pairing.id}/parting")


def ask_no_more(db: Db, pairing: Pairing, now: datetime) -> None:
    """Put away what asks the two of an ended pairing for something.

    **Touches** writes notice.
    """
    here, both = f"/pairings/{pairing.id}", (pairing.mentor_id, pairing.mentee_id)
    pages = (here, *(f"{here}/{page}" for page in ("introduction", "agreement", "checkin")))
    notify.take_back(db, pages, now, people=both)


def close_pairing(db: Db, pairing: Pairing, now: datetime, state: str = "ended") -> None:
    """Put an end to a pairing whose programme the caller has locked; nobody is told.

    :param state: ended (early) or completed.
    :raises ConflictError: it has ended already.
    **Touches** writes pairing, enrolment, outbox_event.
    """
    if pairing.state not in LIVE:
        raise ConflictError("already_ended", "This pairing has ended already. Nothing was done twice.")
    pairing.move_on(state)
    pairing.ended_at = now
    for person in (pairing.mentor_id, pairing.mentee_id):
        programmes.count_pairing(db, pairing.programme_id, person, -1)
    jobs.enqueue(db, "pairing_closed", now, pairing_id=str(pairing.id))
