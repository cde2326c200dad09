"""Reads about match runs, proposals and pairings."""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, or_, select, union_all
from sqlalchemy.orm import aliased

from rmplugin.db import Db, chunks
from rmplugin.errors import ConflictError, NotFoundError
from rmplugin.matching.models import LIVE, MatchRun, Pairing, Proposal
from rmplugin.people.models import LtiUser, Person, SideLine
from rmplugin.people.queries import CAN_TAKE_PART
from rmplugin.privacy import Counts, safe_tally
from rmplugin.programmes.models import Enrolment, Programme

# A participant never sees what a manager has not released.
SHOWN_TO_PEOPLE = Proposal.expires_at.is_not(None)
FEWEST_SHOWN = 5
MOST_PLACES = 3  # What an enrolment can offer at most.
# People to which a reading is restricted: ids, or a query of them; None for everybody.
Only = Collection[uuid.UUID] | Select[uuid.UUID] | None


@dataclass(frozen=True)
class Pair:
    """A proposal or pairing with both people."""

    row: Any
    mentor: Person
    mentee: Person


@dataclass(frozen=True)
class PoolMember:
    """Somebody who has enrolled in a programme and can take part.

    :param places: how many partners they can still take, 0 or more.
    """

    person_id: uuid.UUID
    role: str
    places: int


def get_run(db: Db, run_id: uuid.UUID) -> MatchRun:
    """Give a match run.

    :raises NotFoundError: this tenant has no such run.
    **Touches** reads match_run.
    """
    run = db.scalars(select(MatchRun).where(MatchRun.id == run_id)).one_or_none()
    if run is None:
        raise NotFoundError("match run", typed=str(run_id))
    return run


def list_runs(db: Db, programme_id: uuid.UUID) -> Sequence[MatchRun]:
    """List the runs of a programme, newest first.

    **Touches** reads match_run.
    """
    query = select(MatchRun).where(MatchRun.programme_id == programme_id)
    return db.scalars(query.order_by(MatchRun.created_at.desc(), MatchRun.id.desc())).all()


def find_open_run(db: Db, programme_id: uuid.UUID) -> MatchRun | None:
    """Find the run of a programme that waits for its release; there is one at most.

    **Touches** reads match_run.
    """
    query = select(MatchRun).where(MatchRun.programme_id == programme_id, MatchRun.state == "solved")
    return db.scalars(query).one_or_none()


def get_proposal(db: Db, proposal_id: uuid.UUID) -> Proposal:
    """Give a proposal, for a manager.

    :raises NotFoundError: this tenant has no such proposal.
    **Touches** reads proposal.
    """
    proposal = db.scalars(select(Proposal).where(Proposal.id == proposal_id)).one_or_none()
    if proposal is None:
        raise NotFoundError("proposal")
    return proposal


def get_proposal_of(db: Db, proposal_id: uuid.UUID, person_id: uuid.UUID) -> Pair:
    """Give a released proposal to one of its two people.

    :raises NotFoundError: it is not theirs, or not released.
    **Touches** reads proposal, person.
    """
    pairs = _pairs(db, Proposal, Proposal.id == proposal_id, SHOWN_TO_PEOPLE, _is_one_of(Proposal, person_id))
    if not pairs:
        raise NotFoundError("proposal")
    return pairs[0]


def open_proposals_of(db: Db, person_id: uuid.UUID) -> Sequence[Proposal]:
    """List the proposals that a person can answer, or has answered and the other has not; oldest first.

    **Touches** reads proposal.
    """
    query = select(Proposal).where(Proposal.state == "released", _is_one_of(Proposal, person_id))
    return db.scalars(query.order_by(Proposal.created_at, Proposal.id)).all()


def list_proposals(db: Db, run_id: uuid.UUID) -> list[Pair]:
    """List the proposals of a run with both people, the best first.

    **Touches** reads proposal, person.
    """
    pairs = _pairs(db, Proposal, Proposal.run_id == run_id)
    return sorted(pairs, key=lambda pair: (-pair.row.score, pair.mentee.display_name, str(pair.row.id)))


def get_pairing(db: Db, pairing_id: uuid.UUID) -> Pairing:
    """Give a pairing, for a manager.

    :raises NotFoundError: this tenant has no such pairing.
    **Touches** reads pairing.
    """
    return _only(db, select(Pairing).where(Pairing.id == pairing_id))


def get_pairing_of(db: Db, pairing_id: uuid.UUID, person_id: uuid.UUID) -> Pairing:
    """Give a pairing to one of its two people.

    :raises NotFoundError: it is not theirs.
    **Touches** reads pairing.
    """
    return _only(db, select(Pairing).where(Pairing.id == pairing_id, _is_one_of(Pairing, person_id)))


def _only(db: Db, query: Select[Pairing]) -> Pairing:
    pairing: Pairing | None = db.scalars(query).one_or_none()
    if pairing is None:
        raise NotFoundError("pairing")
    return pairing


def lock_active_pairing(
    db: Db, pairing_id: uuid.UUID, person_id: uuid.UUID, *, on_hold_too: bool = False
) -> Pairing:
    """Take an active pairing for a change by one of its two people; others wait until the transaction ends.

    :param on_hold_too: the change is possible while the pairing is paused or suspended, too.
    :raises NotFoundError: it is not theirs.
    :raises ConflictError: it has ended, or is paused or suspended.
    **Touches** locks pairing.
    """
    pairing = lock_pairing(db, pairing_id, person_id, on_hold_too=on_hold_too)
    if pairing.state not in LIVE:
        raise ConflictError(
            "pairing_ended", "This pairing has ended, so nothing was changed. What you wrote before is kept."
        )
    return pairing


def lock_pairing(
    db: Db, pairing_id: uuid.UUID, person_id: uuid.UUID, *, on_hold_too: bool = False
) -> Pairing:
    """Take a pairing, ended or not, for a change by one of its two people.

    :param on_hold_too: the change is possible while the pairing is paused or suspended, too.
    :raises NotFoundError: it is not theirs.
    :raises ConflictError: it is paused or suspended.
    **Touches** locks pairing.
    """
    query = select(Pairing).where(Pairing.id == pairing_id, _is_one_of(Pairing, person_id))
    pairing = _only(db, query.with_for_update().execution_options(populate_existing=True))
    if pairing.is_on_hold and not on_hold_too:
        raise ConflictError(
            "pairing_on_hold",
            "This pairing is on hold for the time being, so nothing was changed. What you wrote and what "
            "both of you confirmed is kept. You hear from us when it goes on.",
        )
    return pairing


def lock_pairings(db: Db, *conditions: Any, archived_too: bool = False) -> list[Pair]:
    """Take the pairings of programmes that are not archived for a change, with both people, in one query.

    :param conditions: on `Pairing`.
    :param archived_too: those of archived programmes as well.
    **Touches** locks pairing; reads person, programme.
    """
    mentor, mentee = aliased(Person), aliased(Person)
    query = (
        select(Pairing, mentor, mentee)
        .join(mentor, mentor.id == Pairing.mentor_id)
        .join(mentee, mentee.id == Pairing.mentee_id)
        .join(Programme, Programme.id == Pairing.programme_id)
        .where(*conditions if archived_too else (Programme.state != "archived", *conditions))
        .order_by(Pairing.id)
        .with_for_update(of=Pairing, key_share=True)
    )
    return [Pair(*row) for row in db.execute(query.execution_options(populate_existing=True))]


def in_one_line(table: type[Pairing | Proposal], *conditions: Any) -> Select[tuple[uuid.UUID]]:
    """Select the ids of pairs of which one person stands above the other, at any depth or beside the tree.

    It walks up from the pairs' people only, so that a large company costs no more than a small one. A circle
    of managers ends, because `UNION` keeps each step once.

    :param conditions: on `table`: the pairs to look at.
    **Touches** nothing yet; the query reads person, side_line.
    """
    both = [(table.mentor_id, table.mentee_id), (table.mentee_id, table.mentor_id)]
    sides = union_all(
        *(
            select(table.id.label("id"), low.label("person_id"), high.label("other_id")).where(*conditions)
            for low, high in both
        )
    ).subquery()
    line = select(sides.c.id, sides.c.person_id, sides.c.other_id).cte(recursive=True)
    above = select(line.c.id, Person.manager_id, line.c.other_id).join_from(
        line, Person, Person.id == line.c.person_id
    )
    above = above.where(
        Person.lifecycle == "present",
        Person.manager_id.is_not(None),
        line.c.person_id != line.c.other_id,
    )
    line = line.union(above)
    beside = (
        select(table.id)
        .join(
            SideLine,
            or_(
                and_(SideLine.person_id == table.mentor_id, SideLine.other_id == table.mentee_id),
                and_(SideLine.person_id == table.mentee_id, SideLine.other_id == table.mentor_id),
            ),
        )
        .where(*conditions)
    )
    return select(line.c.id).where(line.c.person_id == line.c.other_id).union(beside)  # type: ignore[return-value]


def list_pairings_of(
    db: Db, person_id: uuid.UUID, programme_id: uuid.UUID | None = None
) -> Sequence[Pairing]:
    """List a person's pairings, active ones first, then those on hold, then the newest first.

    :param programme_id: None for all programmes.
    **Touches** reads pairing.
    """
    query = select(Pairing).where(_is_one_of(Pairing, person_id))
    if programme_id is not None:
        query = query.where(Pairing.programme_id == programme_id)
    pairings = db.scalars(query.order_by(Pairing.started_at.desc(), Pairing.id)).all()
    return sorted(pairings, key=lambda pairing: (pairing.state != "active", pairing.state not in LIVE))


def list_pairings(db: Db, programme_id: uuid.UUID) -> list[Pair]:
    """List the pairings of a programme with both people, the newest first.

    **Touches** reads pairing, person.
    """
    pairs = _pairs(db, Pairing, Pairing.programme_id == programme_id)
    return sorted(pairs, key=lambda pair: (pair.row.started_at, str(pair.row.id)), reverse=True)


def find_pairing_of_proposal(db: Db, proposal_id: uuid.UUID) -> Pairing | None:
    """Find the pairing that came of a proposal; None before both said yes.

    **Touches** reads pairing.
    """
    return db.scalars(select(Pairing).where(Pairing.proposal_id == proposal_id)).one_or_none()


def list_pool(
    db: Db,
    programme_id: uuid.UUID,
    without: uuid.UUID | None = None,
    *,
    mentee_cap: int = MOST_PLACES,
    scope: str = "all",
    only: Only = None,
) -> list[PoolMember]:
    """List everybody who has enrolled and can take part, with their free places.

    Pairings that have not ended and released proposals take a place each.

    :param without: a proposal that takes no place in this count.
    :param mentee_cap: most partners at once of a mentee.
    :param scope: all, or waiting: who has a partner or an open proposal has no free place then.
    :param only: person ids, or a query of them; None for everybody.
    **Touches** reads enrolment, person, pairing, proposal.
    """
    taken: Counter[uuid.UUID] = Counter()
    for pair in taken_pairs(db, programme_id, without, only):
        taken.update(pair)
    query = (
        select(Enrolment.person_id, Enrolment.role, Enrolment.capacity)
        .join(Person, Person.id == Enrolment.person_id)
        .where(Enrolment.programme_id == programme_id, Enrolment.state == "submitted", CAN_TAKE_PART)
    )
    if only is not None:
        query = query.where(Enrolment.person_id.in_(only))

    def places(row: Any) -> int:
        most: int = min(row.capacity, mentee_cap) if row.role == "mentee" else row.capacity
        if scope == "waiting" and taken[row.person_id]:
            return 0
        return max(0, most - taken[row.person_id])

    return [PoolMember(row.person_id, row.role, places(row)) for row in db.execute(query)]


def taken_pairs(
    db: Db, programme_id: uuid.UUID, without: uuid.UUID | None = None, only: Only = None
) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """List (mentor, mentee) of each pairing that has not ended and each released proposal of a programme.

    :param without: a proposal that is left out.
    :param only: person ids, or a query of them, one of which is in the pair; None for all pairs.
    **Touches** reads pairing, proposal.
    """
    live = select(Pairing.mentor_id, Pairing.mentee_id).where(
        Pairing.programme_id == programme_id, Pairing.state.in_(LIVE)
    )
    waiting = select(Proposal.mentor_id, Proposal.mentee_id).where(
        Proposal.programme_id == programme_id, Proposal.state == "released"
    )
    if without is not None:
        waiting = waiting.where(Proposal.id != without)
    if only is not None:
        live = live.where(or_(Pairing.mentor_id.in_(only), Pairing.mentee_id.in_(only)))
        waiting = waiting.where(or_(Proposal.mentor_id.in_(only), Proposal.mentee_id.in_(only)))
    return _pairs_of(db, live, waiting)


def ruled_out_pairs(
    db: Db, programme_id: uuid.UUID, without: uuid.UUID | None = None, only: Only = None
) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """List the pairs that must not be proposed: declined, ended, together or waiting now, dropped here.

    What two people said or lived through counts in every programme; what a manager dropped, in this one.

    :param without: a proposal that is left out.
    :param only: person ids, or a query of them, that both are among; None for all pairs.
    **Touches** reads pairing, proposal.
    """
    pairings = select(Pairing.mentor_id, Pairing.mentee_id).where(
        or_(Pairing.state != "completed", Pairing.programme_id == programme_id)
    )
    dropped_here = (Proposal.state == "dropped") & (Proposal.programme_id == programme_id)
    proposals = select(Proposal.mentor_id, Proposal.mentee_id).where(
        or_(Proposal.state.in_(("declined", "released")), dropped_here)
    )
    if without is not None:
        proposals = proposals.where(Proposal.id != without)
    if only is not None:
        pairings = pairings.where(Pairing.mentor_id.in_(only), Pairing.mentee_id.in_(only))
        proposals = proposals.where(Proposal.mentor_id.in_(only), Proposal.mentee_id.in_(only))
    return _pairs_of(db, pairings, proposals)


def _pairs_of(db: Db, *queries: Select[uuid.UUID, uuid.UUID]) -> list[tuple[uuid.UUID, uuid.UUID]]:
    rows = union_all(*queries).subquery()
    return [(row.mentor_id, row.mentee_id) for row in db.execute(select(rows))]


def proposed_pairs(
    db: Db, programme_id: uuid.UUID, *conditions: ColumnElement[bool]
) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """List (mentor, mentee) of the pairs that stand in the open run of a programme.

    :param conditions: on `Proposal`.
    **Touches** reads proposal.
    """
    query = select(Proposal.mentor_id, Proposal.mentee_id).where(
        Proposal.programme_id == programme_id, Proposal.state == "proposed", *conditions
    )
    return [(row.mentor_id, row.mentee_id) for row in db.execute(query)]


def decline_counts(db: Db, programme_id: uuid.UUID) -> Counts[str]:
    """Count the reasons that people gave when they said no, from five on and five at a time.

    **Touches** reads proposal.
    """
    return safe_tally([code for _version, code in _declines(db, programme_id)])


def decline_counts_by_version(db: Db, programme_id: uuid.UUID) -> dict[int | None, dict[str, int]]:
    """Count the reasons of `decline_counts` by the version of the rules that proposed the pairs.

    :return: version -> code -> how often, as far as it may be told; a version is left out while it has fewer
        than five, and another with it while the difference to all would still tell them.
    **Touches** reads proposal, match_run.
    """
    codes: dict[int | None, list[str]] = {}
    for version, code in _declines(db, programme_id):
        codes.setdefault(version, []).append(code)
    by_size = sorted(codes, key=lambda version: (len(codes[version]), version or 0))
    hidden = 0
    # The smallest go first, until what is not shown is nobody or again enough people.
    while by_size and (len(codes[by_size[0]]) < FEWEST_SHOWN or 0 < hidden < FEWEST_SHOWN):
        hidden += len(codes[by_size.pop(0)])
    return {
        version: {code: n for code, n in safe_tally(codes[version]).cells.items() if n is not None}
        for version in sorted(by_size, key=lambda version: version or 0)
    }


def _declines(db: Db, programme_id: uuid.UUID) -> list[tuple[int | None, str]]:
    """Give versions of the rules and codes of reasons, in the order in which people said no."""
    answered_at = case(
        (Proposal.mentor_answer == "no", Proposal.mentor_answered_at), else_=Proposal.mentee_answered_at
    )
    query = (
        select(MatchRun.rule_set_version, Proposal.decline_reason)
        .outerjoin(MatchRun, MatchRun.id == Proposal.run_id)
        .where(Proposal.programme_id == programme_id, Proposal.decline_reason.is_not(None))
    )
    return [(row[0], str(row[1])) for row in db.execute(query.order_by(answered_at, Proposal.id))]


def people_by_id(db: Db, person_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Person]:
    """Give persons by id, also those who have left.

    **Touches** reads person.
    """
    found: dict[uuid.UUID, Person] = {}
    for chunk in chunks(sorted(set(person_ids))):
        found.update({person.id: person for person in db.scalars(select(Person).where(Person.id.in_(chunk)))})
    return found


def actor_names(db: Db, actors: Iterable[str]) -> dict[str, str]:
    """Name who did something, by the name that the LMS gives them.

    :param actors: as `audit` writes them.
    :return: without those whom no LMS knows: commands, the worker.
    **Touches** reads lti_user.
    """
    ids = {uuid.UUID(actor.partition(":")[2]): actor for actor in actors if actor.startswith("lti_user:")}
    query = select(LtiUser.id, LtiUser.name).where(LtiUser.id.in_(ids))
    return {ids[row.id]: row.name for row in db.execute(query) if row.name}


def programme_of(db: Db, run: MatchRun) -> Programme:
    """Give the programme of a run. **Touches** reads programme."""
    return db.scalars(select(Programme).where(Programme.id == run.programme_id)).one()


def _is_one_of(table: Any, person_id: uuid.UUID) -> Any:
    return or_(table.mentor_id == person_id, table.mentee_id == person_id)


def _pairs(db: Db, table: Any, *conditions: Any) -> list[Pair]:
    mentor, mentee = aliased(Person), aliased(Person)
    query = (
        select(table, mentor, mentee)
        .join(mentor, mentor.id == table.mentor_id)
        .join(mentee, mentee.id == table.mentee_id)
        .where(*conditions)
    )
    return [Pair(*row) for row in db.execute(query)]
