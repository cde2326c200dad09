"""Aims: choose one, agree on being observed, rate."""

import uuid
from datetime import datetime

from sqlalchemy import select

from rmplugin import notify
from rmplugin.aims import queries
from rmplugin.aims.models import AimRating, LeadershipAim
from rmplugin.db import Db
from rmplugin.errors import ConflictError, NotAllowedError
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import lock_active_pairing
from rmplugin.notify import Notice

# Kinds of notices: one for each time, so that each is sent once.
DUE = {"mid": "aim_due_mid", "end": "aim_due_end"}


def choose_aim(
    db: Db, pairing: Pairing, person_id: uuid.UUID, aim: str, words: str, now: datetime
) -> LeadershipAim:
    """Choose what one wants to grow in; until it is rated, it can be chosen anew.

    :param aim: a code of `forms.AIMS`.
    :raises NotAllowedError: only mentors have one.
    :raises ConflictError: it is rated already, or the pairing has ended.
    **Touches** writes leadership_aim.
    """
    _take_as(db, pairing, person_id, "mentor")
    story = queries.find_aim(db, pairing.id)
    if story is None:
        row = LeadershipAim(
            pairing_id=pairing.id,
            person_id=person_id,
            aim=aim,
            words=words,
            observation="none",
            created_at=now,
        )
        db.add(row)
        db.flush()
        return row
    if story.ratings:
        raise ConflictError(
            "aim_rated", "You have rated this aim, so it stays: only so you see what changes until the end."
        )
    story.aim.aim, story.aim.words = aim, words
    return story.aim


def ask_to_observe(db: Db, pairing: Pairing, person_id: uuid.UUID, now: datetime) -> None:
    """Ask one's mentee to rate, too. Asking twice is asking once; a no is final.

    :raises NotAllowedError: it is not the mentor who asks.
    :raises ConflictError: there is no aim, the mentee has answered, or the pairing has ended.
    **Touches** writes leadership_aim, notice.
    """
    _take_as(db, pairing, person_id, "mentor")
    story = queries.find_aim(db, pairing.id)
    if story is None or story.aim.observation not in ("none", "asked"):
        raise ConflictError("cannot_ask", "That cannot be asked now. Nothing was changed.")
    if story.aim.observation == "asked":
        return
    story.aim.observation = "asked"
    text = "Your mentor asks whether you would say now and then how they do with an aim of theirs."
    notify.tell(db, pairing.mentee_id, "aim_observation", text, now, _page(pairing))


def answer_observation(db: Db, pairing: Pairing, person_id: uuid.UUID, now: datetime, *, yes: bool) -> None:
    """Say whether one observes, as the mentee.

    :raises NotAllowedError: it is not the mentee who answers.
    :raises ConflictError: nothing is asked, or the pairing has ended.
    **Touches** writes leadership_aim, notice.
    """
    _take_as(db, pairing, person_id, "mentee")
    story = queries.find_aim(db, pairing.id)
    if story is None or story.aim.observation != "asked":
        raise ConflictError("nothing_asked", "Nothing is asked of you here now. Nothing was changed.")
    story.aim.observation = "agreed" if yes else "declined"
    text = "Your mentee has answered whether they observe your aim."
    notify.tell(db, pairing.mentor_id, "aim_observation", text, now, _page(pairing))


def stop_observing(db: Db, pairing: Pairing, person_id: uuid.UUID, now: datetime) -> None:
    """Take back, as either of the two, that the mentee observes. What was rated stays the mentor's.

    :raises ConflictError: the mentee is not observing, or the pairing has ended.
    **Touches** writes leadership_aim, notice.
    """
    pairing = lock_active_pairing(db, pairing.id, person_id)
    story = queries.find_aim(db, pairing.id)
    if story is None or story.aim.observation not in ("asked", "agreed"):
        raise ConflictError("not_observed", "The aim is not observed. Nothing was changed.")
    story.aim.observation = "declined"
    notify.take_back(db, [_page(pairing)], now, people=[pairing.mentee_id])
    if person_id == pairing.mentee_id:
        text = "Your mentee does not observe your aim any more. What was rated stays yours."
        notify.tell(db, pairing.mentor_id, "aim_observation", text, now, _page(pairing))


def rate(db: Db, pairing: Pairing, person_id: uuid.UUID, rating: int, note: str, now: datetime) -> AimRating:
    """Say how far the mentor is now: at the start, half-way or at the end. Said again, it counts anew.

    :param rating: 1..5, by `forms.STEPS`.
    :raises NotAllowedError: a mentee rates without both having agreed.
    :raises ConflictError: there is no aim, or the pairing has ended.
    **Touches** writes aim_rating.
    """
    pairing = lock_active_pairing(db, pairing.id, person_id)
    role = str(pairing.role_of(person_id))
    story = queries.find_aim(db, pairing.id)
    if role == "mentee" and (story is None or story.aim.observation != "agreed"):
        raise NotAllowedError("not_agreed", "You observe this only when both of you agree to it.")
    if story is None:
        raise ConflictError("no_aim", "Please choose an aim first. Nothing was changed.")
    moment = queries.moment_in(db, pairing, now.date())
    row = story.ratings.get((moment, role))
    if row is None:
        row = AimRating(aim_id=story.aim.id, moment=moment, rater=role)
        db.add(row)
    row.rating, row.note, row.rated_at = rating, note, now
    db.flush()
    return row


def remind(db: Db, now: datetime) -> int:
    """Remind of a rating half-way and at the end, once each.

    :return: how many people were reminded.
    **Touches** writes notice.
    """
    due = queries.unrated(db, now.date())
    query = select(Notice.kind, Notice.path, Notice.person_id).where(Notice.kind.in_(DUE.values()))
    told = {tuple(row) for row in db.execute(query)} if due else set()
    new = [row for row in due if (DUE[row[2]], _page(row[0]), row[1]) not in told]
    for pairing, person, moment in new:
        text = "A leadership aim waits for a rating. It takes a minute, and no manager ever sees it."
        notify.tell(db, person, DUE[moment], text, now, _page(pairing))
    return len(new)


def _take_as(db: Db, pairing: Pairing, person_id: uuid.UUID, role: str) -> None:
    if lock_active_pairing(db, pairing.id, person_id).role_of(person_id) != role:
        raise NotAllowedError("other_role", "This is the other side's to do. Nothing was changed.")


def _page(pairing: Pairing) -> str:
    return f"/pairings/{pairing.id}/aim"
