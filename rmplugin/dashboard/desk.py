"""What the manager's desk shows: states and counts, never words; few statements, however many pairs."""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, select, union_all

from rmplugin.checkins.queries import count_open_tasks
from rmplugin.credits.models import Completion, Delivery
from rmplugin.dashboard.pairs import HELD, PairLine, Pairs, read_pairs
from rmplugin.db import Db
from rmplugin.hours.queries import needs as hour_needs
from rmplugin.matching.models import LIVE, MatchRuleSet, MatchRun, Pairing, Proposal
from rmplugin.people.models import CourseMember, LtiUser, Person, RosterRun
from rmplugin.people.queries import LINK_PROBLEMS
from rmplugin.privacy import safe_count
from rmplugin.programmes import queries as programme_queries
from rmplugin.programmes.copies import find_original
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.reviews.queries import count_open
from rmplugin.safeguards import queries as safeguards
from rmplugin.sessions.models import MentoringSession
from rmplugin.sessions.queries import count_asked
from rmplugin.signup import queries as signup
from rmplugin.texts import Text, texts

MONTH = timedelta(days=30)
NEWCOMERS_SHOWN = 10
# A programme in one of these states can invite.
TAKES_IN = ("draft", "enrolling", "running")
# What pairs on hold ask of the manager, by the reason.
WAITING_HELD = texts(
    {
        "reporting_line": "Pairs that are suspended, because a reporting line joins the two now: %(n)s.",
        "line_gone": "Pairs that are suspended and could go on, because the reporting line is gone: %(n)s.",
        "not_at_work": "Pairs that are paused, because somebody is not at work: %(n)s.",
    }
)
Need = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Desk:
    """The manager's desk for the newest programme of a course.

    :ivar original: the programme that this course, a copy, could take over; None when there is none.
    :ivar counts: enrolments by role and state.
    :ivar needs: (sentence, path, link text) of what waits for the manager.
    :ivar pairs: all of them briefly, and in full those that the page shows.
    :ivar newcomers: the first people who joined lately, could be mentors and are not invited.
    :ivar unknown: course members whom the HR roster does not know, with the reason in words.
    """

    programme: Programme | None
    original: Programme | None = None
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    needs: Sequence[Need] = ()
    pairs: Pairs = field(default_factory=Pairs)
    newcomers: Sequence[programme_queries.EligiblePerson] = ()
    unknown: Sequence[tuple[LtiUser, str]] = ()
    roster: RosterRun | None = None


def desk_of(
    db: Db, context_id: uuid.UUID | None, asked: Mapping[str, Any], viewer_id: uuid.UUID | None, now: datetime
) -> Desk:
    """Read the manager's desk.

    :param asked: which part of the table of pairs, see `forms.PairsQuery`.
    :param viewer_id: who looks; of their own pairs they see no health.
    **Touches** reads programme, enrolment, pairing, proposal, mentoring_session, completion, delivery,
    lti_user, roster_run, matchmaking_review.
    """
    unknown = _unknown_visitors(db, context_id)
    roster = db.scalars(select(RosterRun).order_by(RosterRun.started_at.desc()).limit(1)).first()
    programmes = _programmes(db, context_id)
    found = next(((one, rules) for one, rules in programmes if one.state != "archived"), None)
    if found is None:
        return Desk(None, find_original(db, context_id), unknown=unknown, roster=roster)
    programme, rules = found
    counts, waiting = _count_enrolments(db, programme)
    pairs = read_pairs(db, programme, rules, asked, viewer_id, now)
    earlier = sorted(
        (one for one, _rules in programmes if one.starts_on < programme.starts_on),
        key=lambda one: one.starts_on,
        reverse=True,
    )
    waits = waiting | _read_counts(db, programme, _waiting_counts(programme, earlier, viewer_id, now))
    return Desk(
        programme=programme,
        counts=counts,
        numbers=_numbers(counts, pairs.lines, waits),
        needs=_needs(programme, counts, pairs, waits, now)
        + _review_needs(programme, earlier, waits)
        + hour_needs(db, programme, now),
        pairs=pairs,
        newcomers=_newcomers(db, programme, now),
        unknown=unknown,
        roster=roster,
    )


def _programmes(db: Db, context_id: uuid.UUID | None) -> list[tuple[Programme, MatchRuleSet | None]]:
    """List the programmes of a course with the rules they go by, the newest first."""
    if context_id is None:
        return []
    live = and_(MatchRuleSet.programme_id == Programme.id, MatchRuleSet.state == "live")
    query = select(Programme, MatchRuleSet).outerjoin(MatchRuleSet, live)
    query = query.where(Programme.context_id == context_id)
    rows = db.execute(query.order_by(Programme.created_at.desc(), Programme.id.desc()))
    return [(programme, rules) for programme, rules in rows]


def _unknown_visitors(db: Db, context_id: uuid.UUID | None) -> list[tuple[LtiUser, str]]:
    query = (
        select(LtiUser)
        .join(CourseMember, CourseMember.lti_user_id == LtiUser.id)
        .where(CourseMember.context_id == context_id, CourseMember.is_learner)
        .where(CourseMember.status != "Deleted", ~LtiUser.is_test)
        .where(LtiUser.link_state != "confirmed", LtiUser.last_launch_at.is_not(None))
        .order_by(LtiUser.last_launch_at.desc())
        .limit(100)
    )
    return [(user, LINK_PROBLEMS.get(user.link_problem or "no_match", "")) for user in db.scalars(query)]


def _read_counts(db: Db, programme: Programme, counts: Mapping[str, Select[int]]) -> dict[str, int]:
    """Count many things in one statement."""
    columns = [query.correlate(None).scalar_subquery().label(name) for name, query in counts.items()]
    row = db.execute(select(Programme.id, *columns).where(Programme.id == programme.id)).one()
    return {name: getattr(row, name) or 0 for name in counts}


def _waiting_counts(
    programme: Programme, earlier: Sequence[Programme], viewer_id: uuid.UUID | None, now: datetime
) -> dict[str, Select[int]]:
    here = programme.id
    sessions = (
        select(func.count(MentoringSession.id))
        .join(Pairing, Pairing.id == MentoringSession.pairing_id)
        .where(Pairing.programme_id == here, MentoringSession.confirmed_at > now - MONTH)
    )
    completed = select(func.count(Completion.id)).where(
        Completion.programme_id == here, Completion.met_at.is_not(None)
    )
    solved = select(func.count(MatchRun.id)).where(MatchRun.programme_id == here, MatchRun.state == "solved")
    late = select(func.count(Proposal.id)).where(
        Proposal.programme_id == here,
        Proposal.state == "released",
        Proposal.expires_at < now + timedelta(days=3),
    )
    stuck = select(func.count(Delivery.id)).where(
        Delivery.programme_id == here, Delivery.state.in_(("blocked", "needs_human", "dead"))
    )
    counts = {
        "sessions": sessions,
        "completed": completed,
        "solved": solved,
        "late": late,
        "care": count_open_tasks(here, viewer_id),
        "attest": count_asked(here),
        "contacts": safeguards.count_contacts(here),
        "stuck": stuck,
    }
    if programme.state in TAKES_IN:
        people: Select[int] = select(func.count(Person.id))
        counts["joined"] = programme_queries.eligible_query(
            people, programme, now.date(), "mentor", newcomers=True
        )
    counts |= {f"reviews_{number}": count_open(one.id) for number, one in enumerate((programme, *earlier))}
    return counts | signup.desk_counts(programme)


def _count_enrolments(db: Db, programme: Programme) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Count enrolments by role and state, and of those who signed up who has nobody.

    :return: role -> state -> people; and how many wait as "mentor" and as "mentee" with neither a partner
        nor an open proposal, and "again", after their pair has ended, with no other one.
    """
    busy = _both(Pairing, programme, Pairing.state.in_(LIVE))
    asked = _both(Proposal, programme, Proposal.state == "released")
    ended = _both(Pairing, programme, Pairing.state == "ended")
    others = _both(Pairing, programme, Pairing.state != "ended")
    person = Enrolment.person_id
    free = person.not_in(union_all(*busy, *asked))
    again = and_(person.in_(union_all(*ended)), person.not_in(union_all(*others)))
    query = select(Enrolment.role, Enrolment.state, func.count(Enrolment.id)).add_columns(
        *(func.sum(case((and_(Enrolment.state == "submitted", test), 1), else_=0)) for test in (free, again))
    )
    query = query.where(Enrolment.programme_id == programme.id).group_by(Enrolment.role, Enrolment.state)
    counts: dict[str, dict[str, int]] = {"mentor": {}, "mentee": {}}
    waits = {"mentor": 0, "mentee": 0, "again": 0}
    for role, state, people, alone, once_more in db.execute(query):
        counts[role][state] = people
        waits[role] += alone
        waits["again"] += once_more
    return counts, waits


def _both(
    table: type[Pairing] | type[Proposal], programme: Programme, state: ColumnElement[bool]
) -> list[Select[uuid.UUID]]:
    """Ask for the people of pairs in a state."""
    return [
        select(person).where(table.programme_id == programme.id, state)
        for person in (table.mentor_id, table.mentee_id)
    ]


def _matched_again(lines: Sequence[PairLine], waiting: int) -> dict[str, str]:
    """Give how many of those who wanted another partner have one; nothing about fewer than five people."""
    found: set[str] = set()
    newer: set[str] = set()
    for line in lines:
        if line.state == "ended":
            found |= newer.intersection(line.people)
        newer.update(line.people)
    wanted = len(found) + waiting
    if not safe_count(wanted):
        return {}
    return {Text("Another partner, of those who wanted one"): Text("%(a)s of %(b)s", a=len(found), b=wanted)}


def _numbers(
    counts: Mapping[str, Mapping[str, int]], lines: Sequence[PairLine], waits: Mapping[str, int]
) -> dict[str, str]:
    submitted = sum(states.get("submitted", 0) for states in counts.values())
    matched = len({person for line in lines if line.state in LIVE for person in line.people})
    return {
        Text("Active pairs"): str(sum(line.state == "active" for line in lines)),
        Text("Matched, of those who signed up"): Text("%(a)s of %(b)s", a=matched, b=submitted),
        Text("Sessions confirmed in 30 days"): str(waits["sessions"]),
        Text("Met all criteria"): str(waits["completed"]),
        **_matched_again(lines, waits["again"]),
    }


def _newcomers(db: Db, programme: Programme, now: datetime) -> list[programme_queries.EligiblePerson]:
    if programme.state not in TAKES_IN:
        return []
    return programme_queries.eligible_people(
        db, programme, now.date(), "mentor", newcomers=True, limit=NEWCOMERS_SHOWN
    )


def _pair_needs(pairs: Pairs) -> list[Need]:
    held = Counter(line.interruption for line in pairs.lines)
    needs: list[Need] = [
        (Text(WAITING_HELD[reason].template, n=held[reason]), "/manage#on-hold", Text("See the pairs"))
        for reason in HELD
        if held[reason]
    ]
    if upside_down := pairs.turned:
        sentence = Text("Pairs whose mentor is no longer junior to the mentee: %(n)s.", n=upside_down)
        needs.append((sentence, "/manage#no-longer-junior", Text("See the pairs")))
    return needs


def _review_needs(programme: Programme, earlier: Sequence[Programme], waits: Mapping[str, int]) -> list[Need]:
    """Ask for the reviews of the programme and, so that the next one is made better, of those before it."""
    needs: list[Need] = []
    for number, row in enumerate((programme, *earlier)):
        said = "Matches fail regularly; reviews of the matchmaking that wait for you: %(n)s."
        if row is not programme:
            said = "Matches of “%(name)s” failed regularly; reviews of it that wait for you: %(n)s."
        if reviews := waits[f"reviews_{number}"]:
            path = f"/manage/reviews/programmes/{row.id}"
            needs.append((Text(said, n=reviews, name=row.name), path, Text("Look it over")))
    return needs


def _partner_needs(programme: Programme, waits: Mapping[str, int]) -> list[Need]:
    here = f"/programmes/{programme.id}"
    needs: list[Need] = []
    mentor, mentee = waits["mentor"], waits["mentee"]
    if mentor or mentee:
        sentence = Text(
            "Waiting for a partner: %(mentor)s as mentor, %(mentee)s as mentee.", mentor=mentor, mentee=mentee
        )
        if mentor and mentee:
            needs.append((sentence, f"{here}/matching", Text("Go to the matching")))
        else:
            needs.append((sentence, f"{here}/people", Text("Invite more people")))
    if waits["solved"]:
        sentence = Text("A matching is ready. Nobody is told before you look through it and release it.")
        needs.append((sentence, f"{here}/matching", Text("Look through the proposals")))
    if late := waits["late"]:
        sentence = Text("%(late)s proposals expire within three days.", late=late)
        needs.append((sentence, f"{here}/matching", Text("See the proposals")))
    return needs


def _needs(
    programme: Programme,
    counts: Mapping[str, Mapping[str, int]],
    pairs: Pairs,
    waits: Mapping[str, int],
    now: datetime,
) -> list[Need]:
    here = f"/programmes/{programme.id}"
    needs: list[Need] = []
    if not any(counts.values()) and programme.state != "draft":
        needs.append((Text("Nobody is invited yet."), here, Text("Invite people")))
    needs += signup.desk_needs(programme, counts, waits, now)
    needs += _partner_needs(programme, waits) + _pair_needs(pairs)
    if care := waits["care"]:
        sentence = Text("Pairs that need a quiet word: %(n)s.", n=care)
        needs.append((sentence, f"{here}/care", Text("See which")))
    if asked := waits["attest"]:
        sentence = Text("Sessions that somebody asks you to attest: %(n)s.", n=asked)
        needs.append((sentence, "/manage/attestations", Text("See the sessions")))
    if stuck := waits["stuck"]:
        sentence = Text("%(blocked)s results could not be written to the course record.", blocked=stuck)
        needs.append((sentence, f"{here}/deliveries", Text("See why")))
    if any(counts.values()) and (joined := waits.get("joined")):
        sentence = Text("New colleagues who could be mentors and are not invited: %(n)s.", n=joined)
        needs.append((sentence, "/manage#newcomers", Text("See who they are")))
    return needs + safeguards.desk_needs(programme, waits["contacts"])
