"""What a changed roster and the end of a programme mean for pairs: some pause and go on by themselves, some
wait for a manager, some end.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select

from rmplugin import audit, notify
from rmplugin.db import Db
from rmplugin.errors import ConflictError
from rmplugin.matching import queries, runs
from rmplugin.matching.ending import ask_no_more, close_pairing, tell_ended
from rmplugin.matching.models import LIVE, PROGRAMME_OVER, Closure, Pairing, Proposal
from rmplugin.matching.queries import Pair
from rmplugin.matching.releasing import close_stale_proposals, tell_closed
from rmplugin.people.models import Person
from rmplugin.people.queries import CAN_TAKE_PART
from rmplugin.programmes.models import Programme
from rmplugin.texts import Text

# The same words whatever happened: whoever reads them learns nothing of what HR knows about the other one.
NEUTRAL_ON_HOLD = (
    "Your pairing with %(name)s is on hold for the time being. That happens for many reasons, and there is "
    "nothing that you need to do. Everything that the two of you wrote and confirmed is kept."
)
NEUTRAL_GOES_ON = (
    "Your pairing with %(name)s goes on. Everything that the two of you wrote is as you left it."
)


PROGRAMME_IS_OVER = (
    "The programme “%(programme)s” is over, and your pairing with %(name)s ends with it. Thank you both for "
    "the time that you gave each other. Your confirmed sessions and credits stay yours, and sessions that "
    "you held can still be confirmed."
)


def on_roster_synced(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """Give pairs and open proposals what follows from a roster that was read.

    :param payload: of the event "roster_synced"; a run that changed nobody has no consequences.
    **Touches** what `check_firewall` and `check_presence` touch.
    """
    if payload["status"] == "complete":
        check_firewall(db, now)
        check_presence(db, now)


def on_side_lines_changed(db: Db, payload: Mapping[str, Any], now: datetime) -> None:  # noqa: ARG001 - All are looked at.
    """Look at all pairs when lines beside the reporting line changed.

    :param payload: of the event "side_lines_changed".
    **Touches** what `check_firewall` touches.
    """
    check_firewall(db, now)


def check_firewall(db: Db, now: datetime) -> int:
    """Suspend each pair of which one leads the other, at any depth; open proposals of such two are void.

    A suspended pair never goes on by itself; when its line is gone, the manager is told so. Doing it twice is
    doing it once.

    :return: how many pairings were suspended.
    **Touches** locks programme; reads person; writes pairing, proposal, notice, audit_entry.
    """
    _stand_in_line(db)
    lines = queries.in_one_line(Pairing, Pairing.state.in_(LIVE))
    told_before = Pairing.interruption == "reporting_line"
    freed = queries.lock_pairings(db, told_before, Pairing.id.not_in(lines))
    caught = queries.lock_pairings(
        db, Pairing.id.in_(lines), or_(Pairing.interruption.is_(None), ~told_before)
    )
    _tell(db, (pair for pair in caught if pair.row.state == "active"), NEUTRAL_ON_HOLD, now)
    for pair in freed:
        pair.row.interruption = "line_gone"
    suspended = [pair for pair in caught if pair.row.state != "suspended"]
    for pair in caught:
        pair.row.interrupt("suspended", "reporting_line", now)
    for pair in suspended:
        audit.record(db, "worker", "pairing.suspend", pair.row.id, now)
    _void_proposals(db, now)
    return len(suspended)


def check_presence(db: Db, now: datetime) -> int:
    """Pause each pair of which somebody is not at work, and let it go on when both are; proposals likewise.

    Doing it twice is doing it once.

    :return: how many pairings were paused or went on.
    **Touches** locks programme; reads person, enrolment; writes pairing, proposal, notice, audit_entry.
    """
    _stand_in_line(db)
    both = Person.id.in_((Pairing.mentor_id, Pairing.mentee_id))
    is_away = select(Person.id).where(both, ~CAN_TAKE_PART).exists()
    away = queries.lock_pairings(db, Pairing.state == "active", is_away)
    back = queries.lock_pairings(db, Pairing.state == "paused", ~is_away)
    _tell(db, away, NEUTRAL_ON_HOLD, now)
    _tell(db, back, NEUTRAL_GOES_ON, now)
    for pair in away:
        pair.row.interrupt("paused", "not_at_work", now)
        audit.record(db, "worker", "pairing.pause", pair.row.id, now)
    for pair in back:
        pair.row.move_on("active")
        audit.record(db, "worker", "pairing.resume", pair.row.id, now)
    close_stale_proposals(db, now)
    return len(away) + len(back)


def resume(db: Db, pairing: Pairing, actor: str, now: datetime) -> None:
    """Let a suspended pairing go on, by its manager, if today's roster allows it; both are told.

    :raises ConflictError: one still leads the other, somebody is not at work, or it has ended.
    **Touches** locks programme; writes pairing, notice, audit_entry.
    """
    pair = _take(db, pairing)
    if pairing.state == "active":
        return
    if pairing.state not in LIVE:
        raise ConflictError("pairing_ended", "This pairing has ended, so nothing was changed.")
    if db.scalars(queries.in_one_line(Pairing, Pairing.id == pairing.id)).first() is not None:
        raise ConflictError(
            "reporting_line",
            "One of the two is still in the other's reporting line, so nothing was changed. The pairing can "
            "go on when the staff list says that this is over; or end it, and both are told kindly.",
        )
    if not (pair.mentor.is_working and pair.mentee.is_working):
        raise ConflictError(
            "not_at_work",
            "The staff list says that somebody of the two is not at work, so nothing was changed. The "
            "pairing can go on when they are back.",
        )
    pairing.move_on("active")
    _tell(db, [pair], NEUTRAL_GOES_ON, now)
    audit.record(db, actor, "pairing.resume", pairing.id, now)


def end_interrupted(db: Db, pairing: Pairing, actor: str, now: datetime) -> None:
    """End a paused or suspended pairing, by its manager; both are told in fixed neutral words.

    :raises ConflictError: it goes on or has ended; only its two people end a pairing that goes on.
    **Touches** locks programme; writes pairing, enrolment, notice, outbox_event, audit_entry.
    """
    pair = _take(db, pairing)
    if pairing.state == "active":
        raise ConflictError(
            "pairing_goes_on",
            "This pairing is not on hold any more, so nothing was changed. Its two people can end it "
            "themselves.",
        )
    close_pairing(db, pairing, now)
    tell_ended(db, pairing, [one.id for one in (pair.mentor, pair.mentee) if one.is_working], now)
    audit.record(db, actor, "pairing.end", pairing.id, now)


def end_with_programme(db: Db, programme: Programme, met: Collection[uuid.UUID], now: datetime) -> int:
    """End the pairs of an archived programme kindly, and close what waits for an answer in it.

    A pair is completed when both people met the programme's criteria. Another one that went on until now has
    ended with its programme, which is no failure; one on hold has ended without a reason.

    :param met: who met the criteria.
    :return: how many pairs ended.
    **Touches** locks programme; writes pairing, closure, enrolment, proposal, notice, outbox_event.
    """
    runs.lock_programme(db, programme.id)
    live = Pairing.programme_id == programme.id, Pairing.state.in_(LIVE)
    pairs = queries.lock_pairings(db, *live, archived_too=True)
    for pair in pairs:
        row: Pairing = pair.row
        lasted = row.state == "active"
        completed = lasted and {row.mentor_id, row.mentee_id} <= set(met)
        close_pairing(db, row, now, "completed" if completed else "ended")
        ask_no_more(db, row, now)
        if lasted and not completed:
            over = {"initiator_id": None, "reasons": [PROGRAMME_OVER], "next_choice": "rematch"}
            db.add(Closure(pairing_id=row.id, created_at=now, **over))
    _tell(db, pairs, PROGRAMME_IS_OVER, now, programme=programme.name)
    close_stale_proposals(db, now)
    return len(pairs)


def _stand_in_line(db: Db) -> None:
    """Wait for everything else that changes pairs: what is read after this is the newest roster's."""
    query = select(Programme.id).where(Programme.state != "archived").order_by(Programme.id)
    # Rows that only point to a programme or pairing, such as credits, need not wait.
    db.execute(query.with_for_update(key_share=True))


def _take(db: Db, pairing: Pairing) -> Pair:
    runs.lock_programme(db, pairing.programme_id)
    db.refresh(pairing, with_for_update=True)
    people = queries.people_by_id(db, (pairing.mentor_id, pairing.mentee_id))
    return Pair(pairing, people[pairing.mentor_id], people[pairing.mentee_id])


def _tell(db: Db, pairs: Iterable[Pair], words: str, now: datetime, **known: str) -> None:
    """Tell those of each pair who are at work, each with the name of the other one."""
    told, about = [], []
    for pair in pairs:
        page = f"/pairings/{pair.row.id}"
        about.append(page)
        for person, partner in ((pair.mentor, pair.mentee), (pair.mentee, pair.mentor)):
            if person.is_working:
                told.append((person.id, Text(words, name=partner.display_name, **known), page))
    notify.tell_all(db, "pairing_state", told, now, about)


def _void_proposals(db: Db, now: datetime) -> None:
    open_ones = Proposal.state.in_(("proposed", "released"))
    query = select(Proposal).where(open_ones, Proposal.id.in_(queries.in_one_line(Proposal, open_ones)))
    # Whoever answers at this moment is not waited for: a second yes checks the rules itself.
    proposals = db.scalars(query.with_for_update(skip_locked=True)).all()
    released = [proposal for proposal in proposals if proposal.state == "released"]
    for proposal in proposals:
        runs.leave_out(proposal, ["reporting_line"])
    tell_closed(db, released, now)
