"""Verbs of matching: run it and change what it found; answer a proposal; end a pairing."""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import select

from rmplugin import audit, jobs, notify
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError, NotFoundError
from rmplugin.matching import queries, rule_sets, rules, runs, store, words
from rmplugin.matching.findings import Findings
from rmplugin.matching.forms import OBJECTIVES
from rmplugin.matching.models import LIVE, Closure, MatchRun, Pairing, Proposal
from rmplugin.matching.pairs import find_contributions, find_points
from rmplugin.matching.releasing import NEUTRAL_CLOSED, close_stale_proposals, tell_closed
from rmplugin.matching.scoring import FACTORS
from rmplugin.people.queries import display_names
from rmplugin.programmes import operations as programmes
from rmplugin.programmes.models import Programme
from rmplugin.programmes.queries import find_enrolment
from rmplugin.records import MatchCriterion
from rmplugin.texts import Text, joined

NEUTRAL_ENDED = (
    "Your pairing with %(name)s has ended. Pairings end for many reasons and nobody is to blame. Your "
    "confirmed sessions and credits stay yours."
)
NOBODY_TO_PLACE = "Nobody of those who wait could be placed anew. Nothing was changed."
COULD_NOT_SOLVE = (
    "The matching could not be computed because of a fault on our side. Nothing was changed. Run it again; "
    "if it fails again, tell your administrator the number of this run."
)


def start_run(
    db: Db,
    programme: Programme,
    actor: str,
    now: datetime,
    objective: str | None = None,
    scope: str = "all",
    *,
    takes_over: bool = False,
) -> MatchRun:
    """Ask for a matching; the worker computes it after the commit, from the data as they are then.

    :param objective: one of `forms.OBJECTIVES`; None for that of the live rule set.
    :param scope: all with a free place, or waiting: only those who have no partner and no proposal.
    :param takes_over: the caller holds the matching of the programme, so that nobody computes a run that is
        queued: it is given back when it is what is asked for, else it is thrown away.
    :return: the run, state "queued".
    :raises ConflictError: one is queued already, the programme is archived, or nobody waits on one side.
    :raises InputError: the objective is unknown.
    **Touches** writes match_run, match_rule_set, audit_entry; wakes the worker.
    """
    if objective is not None and objective not in OBJECTIVES:
        raise InputError(
            "unknown_objective",
            "This objective is not known. Nothing was changed.",
            {"objective": Text("Choose one of: %(objectives)s.", objectives=", ".join(OBJECTIVES))},
        )
    programme = runs.lock_programme(db, programme.id)
    if programme.state == "archived":
        raise ConflictError("programme_archived", "This programme is archived. Nothing was changed.")
    if not takes_over:
        runs.refuse_while_queued(db, programme.id)
    runs.refuse_while_asked(db, programme.id)
    rule_set = rule_sets.ensure_live(db, programme, actor, now)
    if scope == "waiting":
        _refuse_when_nobody_waits(db, programme)
    objective = objective or rule_set.objective
    left = _take_over(db, programme, actor, now, objective, scope)
    if left is not None:
        return left
    run = MatchRun(
        programme_id=programme.id,
        state="queued",
        scope=scope,
        objective=objective,
        rule_set_id=rule_set.id,
        rule_set_version=rule_set.version,
        rules={},
        weights={},
        metrics={},
        created_by=actor,
        created_at=now,
    )
    db.add(run)
    db.flush()
    audit.record(db, actor, "match_run.start", run.id, now, objective=run.objective, scope=scope)
    # A queued run is its own outbox row: the worker's round looks for it.
    db.info["wake"] = True
    return run


def _take_over(
    db: Db, programme: Programme, actor: str, now: datetime, objective: str, scope: str
) -> MatchRun | None:
    """Give the queued run that nobody computes if it is what is asked for; throw another one away."""
    left = runs.find_queued(db, programme.id)
    if left is None or (left.objective, left.scope) == (objective, scope):
        return left
    left.state, left.finished_at, left.metrics = "dropped", now, {}
    audit.record(db, actor, "match_run.drop", left.id, now)
    return None


def _refuse_when_nobody_waits(db: Db, programme: Programme) -> None:
    members = queries.list_pool(db, programme.id, scope="waiting")
    if {member.role for member in members if member.places} != {"mentor", "mentee"}:
        raise ConflictError(
            "nobody_waits",
            "On one side nobody waits: everybody has a partner or a proposal. Nothing was changed.",
        )


def note_progress(db: Db, run_id: uuid.UUID, now: datetime, **facts: float) -> None:
    """Keep with a queued run that the worker is at it, for the page that watches it.

    :param facts: what is known by now, none at the start: "mentors" and "mentees" that are read, "round" and
        "gap" of the solver.
    **Touches** writes match_run.
    """
    run = queries.get_run(db, run_id)
    if run.state == "queued":
        # Without facts somebody begins, maybe once more after another one was killed.
        run.metrics = {**run.metrics, **facts} if facts else {"since": now.isoformat()}


def record_proposals(
    db: Db,
    run_id: uuid.UUID,
    pool: store.Pool,
    found: Findings,
    *,
    seconds: float,
    now: datetime,
) -> bool:
    """Write down what a run found, with reasons; unreleased proposals of earlier runs give way.

    A run of those who wait that places nobody changes nothing and fails with that reason.

    :param seconds: how long reading and solving took.
    :return: False when the run is no longer queued: somebody else wrote it down, and nothing is changed.
    **Touches** writes match_run, proposal, match_left_out.
    """
    run = queries.get_run(db, run_id)
    runs.lock_programme(db, run.programme_id)
    db.refresh(run)
    if run.state != "queued":
        return False
    solution = found.solution
    if run.scope == "waiting" and not solution.pairs:
        fail_run(db, run_id, NOBODY_TO_PLACE, {}, now)
        return True
    before = {(str(mentor), str(mentee)) for mentor, mentee in queries.proposed_pairs(db, run.programme_id)}
    kept = sum((pair.mentor_id, pair.mentee_id) in before for pair in solution.pairs)
    runs.supersede(db, run)
    runs.add_proposals(db, _proposal_rows(run, pool, found, now))
    left_out = (words.describe_unmatched(pool.skills, pool.rules, left) for left in found.unmatched)
    runs.add_left_out(db, run, left_out)
    run.state, run.finished_at, run.seconds = "solved", now, round(seconds, 3)
    run.rules, run.weights = store.rules_document(pool.rules), asdict(pool.weights)
    run.inputs_hash = pool.digest(run.objective)
    run.mentors, run.mentees = found.metrics["mentors"], found.metrics["mentees"]
    run.total_score, run.proved, run.gap = solution.total_score, solution.proved, solution.gap
    run.metrics = found.metrics | {"seconds": round(seconds, 3), "kept": kept, "kept_of": len(before)}
    return True


def _proposal_rows(
    run: MatchRun, pool: store.Pool, found: Findings, now: datetime
) -> Iterator[dict[str, Any]]:
    problem, pairs = found.problem, found.solution.pairs
    points = find_points(
        problem,
        np.array([pair.mentor for pair in pairs], dtype=np.int64),
        np.array([pair.mentee for pair in pairs], dtype=np.int64),
    )
    rows = {name: values.tolist() for name, values in points.items()}
    for k, pair in enumerate(pairs):
        contributions = {name: rows[name][k] for name in rows if name in FACTORS or rows[name][k]}
        mentor, mentee = problem.mentors.people[pair.mentor], problem.mentees.people[pair.mentee]
        reasons = words.describe_pair(pool.skills, pool.rules, mentor, mentee) | found.standing(k)
        yield runs.proposal_values(run, mentor.id, mentee.id, contributions, reasons, now, pinned=pair.pinned)


def fail_run(db: Db, run_id: uuid.UUID, why: str, facts: dict[str, Any], now: datetime) -> None:
    """Close a queued run that could not be computed; earlier runs stay as they are.

    :param why: what happened, that nothing was changed, what to do; no names.
    :param facts: ids for the page, e.g. the pins at fault.
    **Touches** writes match_run.
    """
    run = queries.get_run(db, run_id)
    if run.state == "queued":
        run.state, run.failure, run.metrics, run.finished_at = "failed", why, facts, now


def drop_proposal(db: Db, proposal: Proposal, actor: str, now: datetime) -> None:
    """Take a pair out of a run before it is released; no further run proposes it until it is brought back.

    :raises ConflictError: it was released or replaced already.
    **Touches** writes proposal, audit_entry.
    """
    runs.lock_proposal(db, proposal)
    if proposal.state == "dropped":
        return
    if proposal.state != "proposed":
        raise ConflictError("not_open", "This proposal was released or replaced before. Nothing was changed.")
    proposal.state, proposal.pinned = "dropped", False
    audit.record(db, actor, "proposal.drop", proposal.id, now)


def restore_proposal(
    db: Db, proposal: Proposal, actor: str, now: datetime, criteria: Iterable[MatchCriterion] = ()
) -> None:
    """Bring a dropped pair back: into its run while that is open, else only into what may be proposed.

    :param criteria: of plug-ins.
    :raises ConflictError: it is not dropped, the rules bar it by now, or one of the two has another proposal
        in the run.
    **Touches** writes proposal, audit_entry.
    """
    runs.lock_proposal(db, proposal)
    if proposal.state != "dropped":
        raise ConflictError("not_dropped", "This pair is not dropped. Nothing was changed.")
    run = queries.get_run(db, proposal.run_id)
    if run.state == "solved":
        _refuse_restored(db, run, proposal, now, criteria)
    proposal.state = "proposed" if run.state == "solved" else "void"
    audit.record(db, actor, "proposal.restore", proposal.id, now)


def _refuse_restored(
    db: Db, run: MatchRun, proposal: Proposal, now: datetime, criteria: Iterable[MatchCriterion]
) -> None:
    only, programme = (proposal.mentor_id, proposal.mentee_id), queries.programme_of(db, run)
    pool = store.load_pool(db, programme, now, without=proposal.id, only=only, criteria=criteria)
    ids = str(proposal.mentor_id), str(proposal.mentee_id)
    if codes := store.check_pairs(pool, [ids])[ids]:
        why = joined(words.PAIR_FAULTS[code] for code in codes)
        text = Text("This pair cannot be brought back. %(why)s Nothing was changed.", why=why)
        raise ConflictError("restore_not_allowed", text)
    if runs.over_places(db, pool, run, *only) != []:
        raise ConflictError(
            "no_place",
            "One of the two has another proposal in this run by now. Nothing was changed. Drop that one "
            "first, or run the matching again.",
        )


def pin_pair(
    db: Db,
    run: MatchRun,
    mentor_id: uuid.UUID,
    mentee_id: uuid.UUID,
    actor: str,
    now: datetime,
    criteria: Iterable[MatchCriterion] = (),
) -> Proposal:
    """Keep a pair in this run and in every further one. Proposals that need its places give way.

    :param criteria: of plug-ins.
    :raises InputError: the rules bar the pair; `details` says in words why.
    :raises ConflictError: the run is not open.
    **Touches** writes proposal, audit_entry.
    """
    runs.lock_open_run(db, run)
    query = select(Proposal).where(
        Proposal.run_id == run.id, Proposal.mentor_id == mentor_id, Proposal.mentee_id == mentee_id
    )
    proposal = db.scalars(query).one_or_none()
    if proposal is None or proposal.state != "proposed":
        proposal = _pin_new(db, run, proposal, mentor_id, mentee_id, now, criteria)
    proposal.pinned = True
    audit.record(db, actor, "proposal.pin", proposal.id, now)
    return proposal


def unpin(db: Db, proposal: Proposal, actor: str, now: datetime) -> None:
    """Let further runs decide about a pair again.

    **Touches** writes proposal, audit_entry.
    """
    runs.lock_proposal(db, proposal)
    if proposal.pinned:
        proposal.pinned = False
        audit.record(db, actor, "proposal.unpin", proposal.id, now)


def answer(
    db: Db,
    proposal: Proposal,
    person_id: uuid.UUID,
    yes: bool,  # noqa: FBT001 - It is the answer itself.
    reason: str | None,
    now: datetime,
    criteria: Iterable[MatchCriterion] = (),
) -> Proposal:
    """Say yes or no to a proposal. Two yes start the pairing, one no returns both people to the pool.

    :param yes: the same answer twice is harmless; a yes can become a no until the pairing starts.
    :param reason: a code of `forms.DECLINE_REASONS`, only kept with a no; None when none was given.
    :return: the proposal; state "void" when the rules no longer allow the pair.
    :raises NotFoundError: it is not the person's, or not released.
    :raises ConflictError: it is closed, or its time is over.
    **Touches** writes proposal, pairing, notice, outbox_event.
    """
    runs.lock_proposal(db, proposal)
    role = {proposal.mentor_id: "mentor", proposal.mentee_id: "mentee"}.get(person_id)
    if role is None or proposal.expires_at is None:
        raise NotFoundError("proposal")
    word = "yes" if yes else "no"
    if proposal.state != "released":
        _check_repeated(proposal, getattr(proposal, f"{role}_answer"), word)
        return proposal
    if proposal.expires_at <= now:
        raise ConflictError(
            "expired",
            "The time to answer this proposal is over, so nothing was changed. You stay in the pool, and the "
            "next matching looks for you again.",
        )
    setattr(proposal, f"{role}_answer", word)
    setattr(proposal, f"{role}_answered_at", now)
    if not yes:
        proposal.state, proposal.decline_reason = "declined", reason
        other = proposal.mentee_id if role == "mentor" else proposal.mentor_id
        notify.take_back(db, [f"/proposals/{proposal.id}"], now)
        notify.tell(db, other, "proposal_closed", NEUTRAL_CLOSED, now, "/home")
    elif proposal.mentor_answer == proposal.mentee_answer == "yes":
        _start_pairing(db, proposal, now, criteria)
    return proposal


def end_pairing(
    db: Db, pairing: Pairing, person_id: uuid.UUID, reason: str | None, next_choice: str, now: datetime
) -> Closure:
    """End a pairing without blame, by either of the two; the partner is told in fixed neutral words.

    :param reason: a code of `forms.CLOSURE_REASONS`; None when none was given.
    :param next_choice: "rematch" keeps the person in the pool, "pause" and "leave" take them out.
    :raises NotFoundError: it is not the person's.
    :raises ConflictError: it has ended already.
    **Touches** writes pairing, closure, enrolment, proposal, notice, outbox_event.
    """
    runs.lock_programme(db, pairing.programme_id)
    db.refresh(pairing)
    if pairing.role_of(person_id) is None:
        raise NotFoundError("pairing")
    close_pairing(db, pairing, now)
    closure = Closure(
        pairing_id=pairing.id,
        initiator_id=person_id,
        reason=reason,
        next_choice=next_choice,
        created_at=now,
    )
    db.add(closure)
    enrolment = find_enrolment(db, pairing.programme_id, person_id)
    if next_choice != "rematch" and enrolment is not None:
        # Another pairing of the same person goes on; only new partners are no longer looked for.
        enrolment.state, enrolment.updated_at = "withdrawn", now
        close_stale_proposals(db, now)
    name = display_names(db, {person_id})[person_id]
    notify.tell(
        db, pairing.partner_of(person_id), "pairing_ended", Text(NEUTRAL_ENDED, name=name), now, "/home"
    )
    return closure


def close_pairing(db: Db, pairing: Pairing, now: datetime) -> None:
    """Put an end to a pairing whose programme the caller has locked; nobody is told.

    :raises ConflictError: it has ended already.
    **Touches** writes pairing, enrolment, outbox_event.
    """
    if pairing.state not in LIVE:
        raise ConflictError("already_ended", "This pairing has ended already. Nothing was done twice.")
    pairing.move_on("ended")
    pairing.ended_at = now
    for person in (pairing.mentor_id, pairing.mentee_id):
        programmes.count_pairing(db, pairing.programme_id, person, -1)
    jobs.enqueue(db, "pairing_closed", now, pairing_id=str(pairing.id))


def _pin_new(
    db: Db,
    run: MatchRun,
    earlier: Proposal | None,
    mentor_id: uuid.UUID,
    mentee_id: uuid.UUID,
    now: datetime,
    criteria: Iterable[MatchCriterion],
) -> Proposal:
    """Bring a pair into a run that the solver did not choose, or that left it."""
    programme, only = queries.programme_of(db, run), (mentor_id, mentee_id)
    pool = store.load_pool(db, programme, now, only=only, criteria=criteria)
    ids = str(mentor_id), str(mentee_id)
    mentor, mentee = pool.find("mentor", ids[0]), pool.find("mentee", ids[1])
    codes = store.check_pairs(pool, [ids])[ids]
    if not codes:
        codes = runs.make_room(db, pool, run, mentor_id, mentee_id)
    if codes or mentor is None or mentee is None:
        why = joined(words.PAIR_FAULTS[code] for code in codes)
        text = Text("This pair cannot be. %(why)s Nothing was changed.", why=why)
        raise InputError(
            "pin_not_allowed",
            text,
            {"mentee": why, "form": text},
        )
    reasons = words.describe_pair(pool.skills, pool.rules, mentor, mentee)
    contributions = find_contributions(pool.problem([mentor], [mentee]).without_extras(), 0, 0)
    if earlier is None:
        earlier = Proposal(**runs.proposal_values(run, *ids, contributions, reasons, now, pinned=True))
        db.add(earlier)
        db.flush()
    earlier.state, earlier.reasons, earlier.contributions = "proposed", reasons, contributions
    earlier.score = sum(contributions.values())
    return earlier


def _tell_both(db: Db, proposal: Proposal, kind: str, text: str, now: datetime, path: str) -> None:
    for person in (proposal.mentor_id, proposal.mentee_id):
        notify.tell(db, person, kind, text, now, path)


def _check_repeated(proposal: Proposal, answered: str | None, word: str) -> None:
    """Let the same answer pass again; a closed proposal takes no other."""
    if proposal.state == "accepted" and word == "no":
        raise ConflictError(
            "pairing_started",
            "You both said yes and the pairing has started. Nothing was changed. You can end it on its own "
            "page without giving a reason.",
        )
    if answered != word or proposal.state in ("expired", "void"):
        raise ConflictError(
            "proposal_closed",
            "This proposal is closed, so nothing was changed. You stay in the pool, and the next matching "
            "looks for you again.",
        )


def _start_pairing(db: Db, proposal: Proposal, now: datetime, criteria: Iterable[MatchCriterion]) -> None:
    """Make the pairing, if the rules still allow it today."""
    programme = runs.lock_programme(db, proposal.programme_id)
    only = (proposal.mentor_id, proposal.mentee_id)
    book = rules.book_in_force(db, programme)
    pool = store.load_pool(db, programme, now, without=proposal.id, book=book, only=only, criteria=criteria)
    ids = str(proposal.mentor_id), str(proposal.mentee_id)
    codes = ["programme_over"] if programme.state == "archived" else store.check_pairs(pool, [ids])[ids]
    # Another proposal that is still open takes no place from one to which both said yes.
    enrolments = [find_enrolment(db, programme.id, uuid.UUID(person)) for person in ids]
    if not codes and any(
        e is None or e.active_pairings >= book.places(e.role, e.capacity) for e in enrolments
    ):
        codes = ["no_place"]
    if codes:
        runs.leave_out(proposal, codes)
        tell_closed(db, [proposal], now)
        return
    pairing = Pairing(
        programme_id=proposal.programme_id,
        proposal_id=proposal.id,
        mentor_id=proposal.mentor_id,
        mentee_id=proposal.mentee_id,
        state="active",
        started_at=now,
    )
    db.add(pairing)
    proposal.state = "accepted"
    db.flush()
    for person in (pairing.mentor_id, pairing.mentee_id):
        programmes.count_pairing(db, programme.id, person, 1)
    text = "You both said yes: your pairing has started. Begin with the agreement."
    _tell_both(db, proposal, "pairing_started", text, now, f"/pairings/{pairing.id}")
    jobs.enqueue(db, "pairing_started", now, pairing_id=str(pairing.id))
