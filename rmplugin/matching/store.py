"""Between the database and the engine: the pool as candidates, and what the engine found in words."""

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, time
from typing import Any, cast

from sqlalchemy import select, update

from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError, NotFoundError
from rmplugin.matching import queries, words
from rmplugin.matching.models import MatchRun, Proposal
from rmplugin.matching.scoring import (
    Candidate,
    PairTable,
    Role,
    Rules,
    Weights,
    build,
    check_pair,
    failed_rules,
    working_hours_mask,
)
from rmplugin.people.models import Person, PersonSkill, Profile, Skill
from rmplugin.people.queries import display_names, reporting_map
from rmplugin.programmes.models import Enrolment, Programme, ProgrammeSkill

# Goes up whenever what a rule means changes, so that an old run can be explained.
RULES_VERSION = 1


@dataclass(frozen=True)
class Pool:
    """Everything that goes into a matching, as plain values.

    :param mentors: everybody enrolled who can take part, also those without a free place; `mentees` likewise.
    :param reporting: person -> manager, the whole company.
    :param blocked: (mentor, mentee) that must not be proposed.
    :param pins: (mentor, mentee) that must be in.
    :param skills: skill id -> name.
    """

    mentors: tuple[Candidate, ...]
    mentees: tuple[Candidate, ...]
    reporting: Mapping[str, str | None]
    blocked: tuple[tuple[str, str], ...]
    pins: tuple[tuple[str, str], ...]
    skills: Mapping[str, str]
    rules: Rules
    weights: Weights

    def find(self, role: Role, person_id: str) -> Candidate | None:
        """Find somebody; None when they are not in the pool in this role.

        **Touches** nothing.
        """
        side = self.mentors if role == "mentor" else self.mentees
        return next((candidate for candidate in side if candidate.id == person_id), None)

    def table(self, mentors: Iterable[Candidate], mentees: Iterable[Candidate]) -> PairTable:
        """Check and score some of the pool.

        **Touches** nothing.
        """
        return build(
            mentors,
            mentees,
            reporting=self.reporting,
            rules=self.rules,
            weights=self.weights,
            blocked=self.blocked,
        )

    def free_table(self) -> PairTable:
        """Check and score everybody who has a free place.

        **Touches** nothing.
        """
        return self.table(*([c for c in side if c.capacity] for side in (self.mentors, self.mentees)))

    def digest(self, objective: str) -> str:
        """Give a digest of everything that decides the outcome, the same for the same data in any order.

        **Touches** nothing.
        """
        sides = [sorted((_plain(c) for c in side), key=str) for side in (self.mentors, self.mentees)]
        facts = [
            sides,
            sorted(self.reporting.items()),
            sorted(self.blocked),
            sorted(self.pins),
            rules_document(self.rules),
            asdict(self.weights),
            objective,
        ]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def load_pool(db: Db, programme: Programme, now: datetime, without: uuid.UUID | None = None) -> Pool:
    """Read what a matching needs, in a handful of queries however many people there are.

    :param without: a proposal that neither takes places nor rules its pair out: the one being checked.
    **Touches** reads enrolment, person, profile, person_skill, skill, pairing, proposal.
    """
    places = {member.person_id: member.places for member in queries.list_pool(db, programme.id, without)}
    skills = _load_skills(db, programme.id)
    # The rules of summer time that hold when the pairs meet, not when the programme was written.
    on = max(now.date(), programme.starts_on)
    sides: dict[str, list[Candidate]] = {"mentor": [], "mentee": []}
    query = (
        select(Enrolment, Person, Profile)
        .join(Person, Person.id == Enrolment.person_id)
        .outerjoin(Profile, Profile.person_id == Person.id)
        .where(Enrolment.programme_id == programme.id, Enrolment.state == "submitted")
    )
    for enrolment, person, profile in db.execute(query):
        if person.id in places:
            offers, wants = skills.get(person.id, ({}, {}))
            candidate = _candidate(enrolment, person, profile, places[person.id], offers, wants, on)
            sides[enrolment.role].append(candidate)
    names = select(Skill.id, Skill.name).join(ProgrammeSkill, ProgrammeSkill.skill_id == Skill.id)
    return Pool(
        mentors=tuple(sides["mentor"]),
        mentees=tuple(sides["mentee"]),
        reporting={str(person): str(manager) for person, manager in reporting_map(db).items()},
        blocked=tuple(sorted({_texts(pair) for pair in queries.ruled_out_pairs(db, programme.id, without)})),
        pins=tuple(
            sorted(_texts((p.row.mentor_id, p.row.mentee_id)) for p in queries.list_pins(db, programme.id))
        ),
        skills={
            str(row.id): row.name
            for row in db.execute(names.where(ProgrammeSkill.programme_id == programme.id))
        },
        rules=_rules_of(programme),
        weights=Weights(),
    )


def check_pairs(pool: Pool, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """Give the rules that each of some pairs fails now; places are not looked at.

    :param pairs: (mentor id, mentee id).
    :return: pair -> codes of `PAIR_FAULTS`; an empty list when the pair may be.
    **Touches** nothing.
    """
    mentor_ids, mentee_ids = {mentor for mentor, _ in pairs}, {mentee for _, mentee in pairs}
    table = pool.table(
        [c for c in pool.mentors if c.id in mentor_ids], [c for c in pool.mentees if c.id in mentee_ids]
    )
    row = {candidate.id: k for k, candidate in enumerate(table.mentors)}
    column = {candidate.id: k for k, candidate in enumerate(table.mentees)}
    return {
        (mentor, mentee): failed_rules(int(table.bars[column[mentee], row[mentor]]))
        if mentor in row and mentee in column
        else ["not_taking_part"]
        for mentor, mentee in pairs
    }


def _rules_of(programme: Programme) -> Rules:
    return Rules(
        junior_by_tenure=programme.mentor_max_tenure_months is not None,
        min_common_minutes=programme.session_minutes,
    )


def is_junior(programme: Programme, mentor: Person, mentee: Person) -> bool:
    """Tell whether a mentor is junior to a mentee by today's roster and a programme's rule.

    **Touches** nothing.
    """
    junior = Candidate(str(mentor.id), "mentor", rank=mentor.seniority_rank, hired_on=mentor.hire_date)
    senior = Candidate(str(mentee.id), "mentee", rank=mentee.seniority_rank, hired_on=mentee.hire_date)
    return "no_junior" not in check_pair(junior, senior, reporting={}, rules=_rules_of(programme))


def rules_document(rules: Rules) -> dict[str, Any]:
    """Give the rules of a run as they are kept.

    **Touches** nothing.
    """
    return {"version": RULES_VERSION, **asdict(rules)}


def _load_skills(
    db: Db, programme_id: uuid.UUID
) -> dict[uuid.UUID, tuple[dict[str, int], dict[str, tuple[int, int]]]]:
    """Give per person of the programme what they offer and want of its catalogue."""
    query = (
        select(
            PersonSkill.person_id,
            PersonSkill.skill_id,
            PersonSkill.direction,
            PersonSkill.level,
            PersonSkill.priority,
        )
        .join(ProgrammeSkill, ProgrammeSkill.skill_id == PersonSkill.skill_id)
        .join(Enrolment, Enrolment.person_id == PersonSkill.person_id)
        .where(ProgrammeSkill.programme_id == programme_id, Enrolment.programme_id == programme_id)
    )
    found: dict[uuid.UUID, tuple[dict[str, int], dict[str, tuple[int, int]]]] = {}
    for row in db.execute(query):
        offers, wants = found.setdefault(row.person_id, ({}, {}))
        if row.direction == "offered":
            offers[str(row.skill_id)] = row.level
        else:
            wants[str(row.skill_id)] = (row.level, row.priority or 3)
    return found


def _candidate(
    enrolment: Enrolment,
    person: Person,
    profile: Profile | None,
    places: int,
    offers: Mapping[str, int],
    wants: Mapping[str, tuple[int, int]],
    on: date,
) -> Candidate:
    return Candidate(
        id=str(person.id),
        role=cast("Role", enrolment.role),
        rank=person.seniority_rank,
        hired_on=person.hire_date,
        manager_id=str(person.manager_id) if person.manager_id else None,
        department=person.department,
        site=person.location,
        languages=frozenset(profile.languages if profile else person.languages),
        hours=_hours(profile, on) if profile else 0,
        capacity=places,
        motivation=enrolment.motivation_level or 3,
        offers=offers,
        wants=wants,
    )


def _hours(profile: Profile, on: date) -> int:
    start, end = (
        time(minute // 60 % 24, minute % 60) for minute in (profile.work_from_minute, profile.work_to_minute)
    )
    try:
        return working_hours_mask(profile.work_days, start, end, profile.time_zone, on)
    except InputError:
        # One profile with a zone that no longer exists must not stop the matching of all others.
        return 0


def _plain(candidate: Candidate) -> dict[str, Any]:
    facts = {name: getattr(candidate, name) for name in candidate.__dataclass_fields__}
    return facts | {
        "hired_on": candidate.hired_on and candidate.hired_on.isoformat(),
        "languages": sorted(candidate.languages),
        "hours": hex(candidate.hours),
        "offers": sorted(candidate.offers.items()),
        "wants": sorted(candidate.wants.items()),
    }


def _texts(pair: tuple[uuid.UUID, uuid.UUID]) -> tuple[str, str]:
    return str(pair[0]), str(pair[1])


def explain(
    db: Db, run: MatchRun, mentor_id: uuid.UUID, mentee_id: uuid.UUID, now: datetime
) -> dict[str, Any]:
    """Say why two people are, or are not, a pair of a run: what `match explain --json` prints.

    For a pair that the run did not propose, rules and points are those of today's data; `same_inputs` tells
    whether they are still those of the run.

    :raises NotFoundError: one of the two is not a person of this tenant.
    **Touches** reads match_run, proposal and what `load_pool` reads.
    """
    if len(display_names(db, {mentor_id, mentee_id})) < len({mentor_id, mentee_id}):
        raise NotFoundError("person")
    found = {(pair.row.mentor_id, pair.row.mentee_id): pair for pair in queries.list_proposals(db, run.id)}
    document: dict[str, Any] = {"run_id": str(run.id), "proposed": (mentor_id, mentee_id) in found}
    if document["proposed"]:
        return document | queries.proposal_document(found[mentor_id, mentee_id])
    pool = load_pool(db, programme_of(db, run), now)
    ids = str(mentor_id), str(mentee_id)
    codes = check_pairs(pool, [ids])[ids]
    mentor, mentee = pool.find("mentor", ids[0]), pool.find("mentee", ids[1])
    document |= {
        "mentor": {"id": ids[0]},
        "mentee": {"id": ids[1]},
        "same_inputs": pool.digest(run.objective) == run.inputs_hash,
        "barred_by": codes,
        "because": [words.PAIR_FAULTS[code] for code in codes],
        "score": None,
        "contributions": {},
        "instead": [
            queries.proposal_document(pair)
            for key, pair in found.items()
            if mentor_id == key[0] or mentee_id == key[1]
        ],
    }
    if mentor and mentee and not codes:
        table = pool.table([mentor], [mentee])
        document |= {"score": int(table.score[0]), "contributions": table.contributions(0)}
        document["because"] = ["The pair is allowed, but the pairs that were chosen add up to more."]
    return document


def lock_programme(db: Db, programme_id: uuid.UUID) -> Programme:
    """Make everything that changes a programme's runs wait in line. **Touches** locks programme."""
    query = select(Programme).where(Programme.id == programme_id).with_for_update()
    return db.scalars(query.execution_options(populate_existing=True)).one()


def programme_of(db: Db, run: MatchRun) -> Programme:
    """Give the programme of a run. **Touches** reads programme."""
    return db.scalars(select(Programme).where(Programme.id == run.programme_id)).one()


def refuse_while_queued(db: Db, programme_id: uuid.UUID) -> None:
    """Leave a programme's proposals alone while a matching of it is being computed.

    :raises ConflictError: one is.
    **Touches** reads match_run.
    """
    query = select(MatchRun.id).where(MatchRun.programme_id == programme_id, MatchRun.state == "queued")
    if db.execute(query.limit(1)).first() is not None:
        raise ConflictError(
            "run_queued",
            "A matching of this programme is being computed. Nothing was changed. Wait until it is ready.",
        )


def lock_open_run(db: Db, run: MatchRun) -> None:
    """Wait for others who change the programme's runs; then the run must still be open for changes.

    :raises ConflictError: it was released, replaced, or is not ready.
    **Touches** locks programme, reads match_run.
    """
    lock_programme(db, run.programme_id)
    db.refresh(run)
    if run.state == "released":
        raise ConflictError(
            "already_released",
            "This run was released before. The proposals went out once; nothing was done twice.",
        )
    if run.state != "solved":
        raise ConflictError(
            "run_not_open", "This run was replaced by a newer one, or is not ready. Nothing was changed."
        )
    refuse_while_queued(db, run.programme_id)


def lock_proposal(db: Db, proposal: Proposal) -> None:
    """Wait for others who change a proposal, and see what they made of it. **Touches** locks proposal."""
    # Refreshing alone would throw away what this transaction has not written yet.
    db.flush()
    db.refresh(proposal, with_for_update=True)


def lock_proposed(db: Db, run: MatchRun) -> list[Proposal]:
    """Give a run's proposals that stand; whoever drops one at this moment comes before or after.

    **Touches** locks proposal.
    """
    query = select(Proposal).where(Proposal.run_id == run.id, Proposal.state == "proposed")
    query = query.order_by(Proposal.id).with_for_update()
    return list(db.scalars(query.execution_options(populate_existing=True)))


def supersede(db: Db, run: MatchRun) -> None:
    """Close earlier runs that were not released; what a manager dropped in them stays dropped.

    **Touches** writes match_run, proposal.
    """
    open_runs = select(MatchRun.id).where(
        MatchRun.programme_id == run.programme_id, MatchRun.state == "solved", MatchRun.id != run.id
    )
    ids = [row.id for row in db.execute(open_runs)]
    db.execute(
        update(Proposal)
        .where(Proposal.run_id.in_(ids), Proposal.state == "proposed")
        .values(state="void", pinned=False)
    )
    db.execute(update(MatchRun).where(MatchRun.id.in_(ids)).values(state="dropped"))


def add_proposal(
    db: Db,
    run: MatchRun,
    mentor_id: str,
    mentee_id: str,
    contributions: dict[str, int],
    reasons: dict[str, Any],
    now: datetime,
    *,
    pinned: bool,
) -> Proposal:
    """Put a pair into a run. **Touches** writes proposal."""
    proposal = Proposal(
        run_id=run.id,
        programme_id=run.programme_id,
        mentor_id=uuid.UUID(mentor_id),
        mentee_id=uuid.UUID(mentee_id),
        state="proposed",
        pinned=pinned,
        score=sum(contributions.values()),
        contributions=contributions,
        reasons=reasons,
        created_at=now,
    )
    db.add(proposal)
    return proposal


def over_places(
    db: Db, pool: Pool, run: MatchRun, mentor_id: uuid.UUID, mentee_id: uuid.UUID
) -> list[Proposal] | None:
    """List the run's proposals that would have to go for one more pair of these two, the weakest first.

    :return: None when one of the two has no place at all.
    **Touches** reads proposal, person.
    """
    places = {c.id: c.capacity for c in (*pool.mentors, *pool.mentees)}
    rows = [pair.row for pair in queries.list_proposals(db, run.id) if pair.row.state == "proposed"]
    needed: Counter[str] = Counter(str(person) for row in rows for person in (row.mentor_id, row.mentee_id))
    going: list[Proposal] = []
    for person in (str(mentor_id), str(mentee_id)):
        surplus = needed[person] + 1 - places.get(person, 0)
        theirs = [row for row in rows if person in (str(row.mentor_id), str(row.mentee_id))]
        if surplus > len(theirs):
            return None
        going += sorted(theirs, key=lambda row: (row.pinned, row.score))[: max(0, surplus)]
    return going


def make_room(db: Db, pool: Pool, run: MatchRun, mentor_id: uuid.UUID, mentee_id: uuid.UUID) -> list[str]:
    """Close the proposals of a run that stand in the way of a pinned pair of these two.

    :return: why that cannot be, as keys of `words.PAIR_FAULTS`; empty when it is done.
    **Touches** writes proposal.
    """
    going = over_places(db, pool, run, mentor_id, mentee_id)
    if going is None or any(row.pinned for row in going):
        return ["no_place"]
    for row in going:
        leave_out(row, ["gave_way"])
    return []


def leave_out(proposal: Proposal, codes: list[str]) -> None:
    """Close a proposal that may no longer be; the reason is kept with it.

    :param codes: keys of `words.PAIR_FAULTS`.
    **Touches** writes proposal.
    """
    proposal.state, proposal.pinned = "void", False
    proposal.reasons = proposal.reasons | {"left_out": codes}
