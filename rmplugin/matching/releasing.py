"""From the release to the end of the time to answer: release, take back, remind, expire."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Row, or_, select, update

from rmplugin import audit, jobs, notify
from rmplugin.db import Db, chunks
from rmplugin.errors import ConflictError
from rmplugin.matching import counting, queries, runs, store, words
from rmplugin.matching.models import MatchRun, Proposal
from rmplugin.matching.rules import Options, book_in_force
from rmplugin.people.models import Person
from rmplugin.people.queries import CAN_TAKE_PART
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.records import MatchCriterion
from rmplugin.texts import Text

log = structlog.get_logger()

# The columns of a proposal that waits for nobody.
UNTIMED = {"expires_at": None, "remind_at": None, "reminded_at": None}
# Fixed words: whoever reads them learns neither who decided nor why.
NEUTRAL_CLOSED = (
    "A pairing that was proposed to you did not come about. That happens for many reasons, and there is "
    "nothing that you need to do."
)
NEUTRAL_TAKEN_BACK = (
    "A proposal that you were sent was taken back before anybody had answered. It has nothing to do with "
    "you, and there is nothing that you need to do. You stay in the pool."
)


def ask_release(
    db: Db, run: MatchRun, actor: str, now: datetime, criteria: counting.Criteria = ()
) -> tuple[int, int] | None:
    """Release a run: of a small pool at once, of a large one by the worker.

    :param criteria: of plug-ins.
    :return: what `release_run` gives; None when the worker does it.
    :raises ConflictError: what `release_run` raises, or the worker was asked before.
    **Touches** what `release_run` touches; writes outbox_event.
    """
    if counting.is_small(db, run.programme_id):
        return release_run(db, run, actor, now, criteria)
    programme, _ = _lock_releasable(db, run)
    ids = {"run_id": str(run.id), "programme_id": str(programme.id)}
    jobs.enqueue(db, runs.RELEASE_WANTED, now, actor=actor, **ids)
    return None


def on_release_wanted(
    db: Db, payload: Mapping[str, Any], now: datetime, *, criteria: Iterable[MatchCriterion] = ()
) -> None:
    """Release a run that a manager had the worker release: all of it, or nothing.

    :param payload: of the event `runs.RELEASE_WANTED`.
    :param criteria: of plug-ins.
    **Touches** what `release_run` touches.
    """
    run = queries.get_run(db, uuid.UUID(payload["run_id"]))
    try:
        release_run(db, run, payload["actor"], now, criteria, asked=True)
    except ConflictError as error:
        # Others were faster, and the run's page shows what they made of it: there is nothing to do again.
        log.warning("release_not_possible", run=str(run.id), code=error.code)


def release_run(
    db: Db,
    run: MatchRun,
    actor: str,
    now: datetime,
    criteria: Iterable[MatchCriterion] = (),
    *,
    asked: bool = False,
) -> tuple[int, int]:
    """Send a run's proposals to the people. Each pair is checked against today's roster and rules first.

    :param criteria: of plug-ins.
    :param asked: the worker does what `ask_release` left to it.
    :return: how many were released, and how many were left out; the reason stands in each one's `reasons`.
    :raises ConflictError: it was released before, is not open, or has no proposal.
    **Touches** writes match_run, proposal, notice, audit_entry.
    """
    programme, pairs = _lock_releasable(db, run, asked=asked)
    book = book_in_force(db, programme)
    pool = store.load_pool(db, programme, now, book=book, criteria=criteria)
    left_out = _find_barred(pool, pairs)
    runs.leave_out_all(db, left_out)
    _let_go(db, run, book.options, now)
    released = [row for row in pairs if row.id not in left_out]
    text = invitation(now + book.options.answer_time)
    _tell_both(db, "proposal", [(row, text, f"/proposals/{row.id}") for row in released], now)
    run.state, run.released_at = "released", now
    counts = len(released), len(left_out)
    audit.record(db, actor, "match_run.release", run.id, now, released=counts[0], left_out=counts[1])
    return counts


def invitation(expires_at: datetime | None) -> Text:
    """Give what the people of a released pair are told.

    :param expires_at: the end of their time to answer.
    **Touches** nothing.
    """
    return Text(
        "We found somebody for you. Look at the proposal and answer by %(day)s.", day=_last_day(expires_at)
    )


def withdraw_run(db: Db, run: MatchRun, actor: str, now: datetime) -> int:
    """Take a release back, as long as nobody of the run answered; everybody is told so in neutral words.

    The run is open again; when a newer one is, it is dropped. What expired or was left out stays so.

    :return: how many proposals were taken back.
    :raises ConflictError: it is not released, somebody answered, or a matching is being computed.
    **Touches** locks programme; writes match_run, proposal, notice, audit_entry.
    """
    runs.lock_programme(db, run.programme_id)
    db.refresh(run)
    if run.state != "released":
        raise ConflictError("not_released", "This run is not released. Nothing was changed.")
    runs.refuse_while_queued(db, run.programme_id)
    rows = _lock_unanswered(db, Proposal.run_id == run.id)
    newer = queries.find_open_run(db, run.programme_id)
    _take_back(db, rows, now)
    if newer is None:
        waiting = Proposal.run_id == run.id, Proposal.state == "released"
        db.execute(update(Proposal).where(*waiting).values(state="proposed", **UNTIMED))
    else:
        runs.leave_out_all(db, {row.id: ["withdrawn"] for row in rows}, **UNTIMED)
    run.state, run.released_at = "solved" if newer is None else "dropped", None
    audit.record(db, actor, "match_run.withdraw", run.id, now, withdrawn=len(rows))
    return len(rows)


def withdraw_proposal(db: Db, proposal: Proposal, actor: str, now: datetime) -> None:
    """Take one released proposal back that neither of the two has answered; both are told in neutral words.

    :raises ConflictError: it is not released, or somebody answered.
    **Touches** locks programme; writes proposal, notice, audit_entry.
    """
    runs.lock_programme(db, proposal.programme_id)
    rows = _lock_unanswered(db, Proposal.id == proposal.id)
    _take_back(db, rows, now)
    runs.leave_out_all(db, {proposal.id: ["withdrawn"]}, **UNTIMED)
    db.refresh(proposal)
    audit.record(db, actor, "proposal.withdraw", proposal.id, now)


def remind(db: Db, now: datetime) -> int:
    """Remind whoever has not answered of a proposal whose time is nearly over, once.

    :return: how many people were reminded.
    **Touches** writes proposal, notice.
    """
    query = select(Proposal).where(
        Proposal.state == "released",
        Proposal.reminded_at.is_(None),
        Proposal.remind_at <= now,
        Proposal.expires_at > now,
    )
    told = []
    rows = db.scalars(query.with_for_update(skip_locked=True)).all()
    for row in rows:
        row.reminded_at = now
        text = Text("A proposal waits for you. Say yes or no by %(day)s.", day=_last_day(row.expires_at))
        answers = ((row.mentor_id, row.mentor_answer), (row.mentee_id, row.mentee_answer))
        told += [(person, text, f"/proposals/{row.id}") for person, answer in answers if answer is None]
    # The invitation, if it was not put away, gives way to the reminder.
    notify.tell_all(db, "proposal", told, now, {path for _, _, path in told if path})
    return len(told)


def expire_proposals(db: Db, now: datetime) -> int:
    """Close released proposals whose time is over; both people are back in the pool and told so.

    :return: how many were closed.
    **Touches** writes proposal, notice.
    """
    query = select(Proposal).where(Proposal.state == "released", Proposal.expires_at <= now)
    proposals = db.scalars(query.with_for_update(skip_locked=True)).all()
    for proposal in proposals:
        proposal.state = "expired"
    tell_closed(db, proposals, now)
    return len(proposals)


def on_enrolment_withdrawn(db: Db, payload: Mapping[str, Any], now: datetime) -> None:  # noqa: ARG001 - All are looked at.
    """Let go of the proposals of somebody who left the pool.

    :param payload: of the event "enrolment_withdrawn".
    **Touches** what `close_stale_proposals` touches.
    """
    close_stale_proposals(db, now)


def close_stale_proposals(db: Db, now: datetime) -> int:
    """Close released proposals of people who are no longer in the pool; the other one is told neutrally.

    Those of an archived programme are closed, too.
    :return: how many were closed.
    **Touches** reads enrolment, person, programme; writes proposal, notice.
    """
    left_pool = (
        select(Enrolment.id)
        .join(Person, Person.id == Enrolment.person_id)
        .where(
            Enrolment.programme_id == Proposal.programme_id,
            Enrolment.person_id.in_((Proposal.mentor_id, Proposal.mentee_id)),
            or_(Enrolment.state != "submitted", ~CAN_TAKE_PART),
        )
        .exists()
    )
    over = select(Programme.id).where(Programme.id == Proposal.programme_id, Programme.state == "archived")
    query = select(Proposal).where(Proposal.state == "released", or_(left_pool, over.exists()))
    proposals = db.scalars(query.with_for_update(skip_locked=True, of=Proposal)).all()
    for proposal in proposals:
        programme = db.get_one(Programme, proposal.programme_id)
        runs.leave_out(proposal, ["programme_over" if programme.state == "archived" else "not_taking_part"])
    tell_closed(db, proposals, now)
    return len(proposals)


def tell_closed(db: Db, proposals: Collection[Proposal], now: datetime) -> None:
    """Tell both people of released proposals in neutral words that nothing comes of them.

    **Touches** writes notice.
    """
    _put_away(db, proposals, now)
    _tell_both(db, "proposal_closed", [(row, NEUTRAL_CLOSED, "/home") for row in proposals], now)


def _lock_releasable(
    db: Db, run: MatchRun, *, asked: bool = False
) -> tuple[Programme, Sequence[Row[*tuple[Any, ...]]]]:
    """Give the programme of a run and the pairs that stand in it, if it can be released."""
    runs.lock_open_run(db, run, asked=asked)
    programme = queries.programme_of(db, run)
    if programme.state == "archived":
        raise ConflictError("programme_archived", "This programme is archived. Nothing was changed.")
    pairs = runs.lock_proposed(db, run)
    if not pairs:
        raise ConflictError("nothing_to_release", "This run has no proposal to release. Nothing was changed.")
    return programme, pairs


def _find_barred(pool: store.Pool, pairs: Sequence[Any]) -> dict[uuid.UUID, list[str]]:
    """Say which pairs may not be today, and why; the pinned and the best take the places first."""
    faults = store.check_pairs(pool, [(str(row.mentor_id), str(row.mentee_id)) for row in pairs])
    places = {c.id: c.capacity for c in (*pool.mentors, *pool.mentees)}
    barred = {}
    for row in sorted(pairs, key=lambda row: (not row.pinned, -row.score, row.id)):
        pair = str(row.mentor_id), str(row.mentee_id)
        codes = faults[pair] or ([] if all(places[person] > 0 for person in pair) else ["no_place"])
        if codes:
            barred[row.id] = codes
            continue
        for person in pair:
            places[person] -= 1
    return barred


def _let_go(db: Db, run: MatchRun, options: Options, now: datetime) -> None:
    """Release what stands in a run."""
    expires_at = now + options.answer_time
    values = {
        "state": "released",
        "pinned": False,
        "expires_at": expires_at,
        "remind_at": expires_at - options.last_call if options.last_call else None,
        "reminded_at": None,
    }
    standing = Proposal.run_id == run.id, Proposal.state == "proposed"
    db.execute(update(Proposal).where(*standing).values(values))


def _lock_unanswered(db: Db, which: Any) -> Sequence[Any]:
    """Take released proposals to which nobody said anything, all of them or none."""
    answered = or_(Proposal.mentor_answer.is_not(None), Proposal.mentee_answer.is_not(None))
    said = select(Proposal.id).where(which, answered).limit(1)
    waiting = select(Proposal.id, Proposal.mentor_id, Proposal.mentee_id).where(
        which, Proposal.state == "released"
    )
    count = len(db.execute(waiting).all())
    # Whoever answers at this moment holds the proposal and may wait for us: that is an answer, too.
    rows = db.execute(waiting.order_by(Proposal.id).with_for_update(skip_locked=True)).all()
    if db.execute(said).first() is not None or len(rows) < count:
        raise ConflictError(
            "answered",
            "Somebody has answered already, so nothing was changed. Proposals that nobody answered can be "
            "taken back one by one.",
        )
    if not rows:
        raise ConflictError("nothing_to_withdraw", "No proposal waits for an answer. Nothing was changed.")
    return rows


def _take_back(db: Db, rows: Collection[Any], now: datetime) -> None:
    _put_away(db, rows, now)
    _tell_both(db, "proposal_withdrawn", [(row, NEUTRAL_TAKEN_BACK, "/home") for row in rows], now)


def _put_away(db: Db, rows: Iterable[Any], now: datetime) -> None:
    """Put away what the people of some proposals were told about them."""
    for some in chunks(rows):
        people = {person for row in some for person in (row.mentor_id, row.mentee_id)}
        notify.take_back(db, [f"/proposals/{row.id}" for row in some], now, people=people)


def _tell_both(db: Db, kind: str, told: Iterable[tuple[Any, str, str]], now: datetime) -> None:
    people = [(person, text, path) for row, text, path in told for person in (row.mentor_id, row.mentee_id)]
    notify.tell_all(db, kind, people, now, ())


def _last_day(moment: datetime | None) -> Text:
    assert moment is not None
    return Text("%(day)s %(month)s", day=moment.day, month=words.MONTHS[moment.month - 1])
