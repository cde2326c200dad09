"""What the manager's desk shows: states and counts, never words; few statements, however many pairs."""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, String, and_, case, cast, func, select, union_all
from sqlalchemy.orm import aliased

from rmplugin.checkins.queries import Health, count_open_tasks, pair_health
from rmplugin.credits.models import Completion, Delivery
from rmplugin.db import Db
from rmplugin.hours.queries import needs as hour_needs
from rmplugin.matching.models import LIVE, MatchRuleSet, MatchRun, Pairing, Proposal
from rmplugin.matching.rules import read_book, values_of
from rmplugin.matching.store import is_junior
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
# So many pairs are on a page of the desk's table, and so many at most in each list of pairs above it.
PAGE = 25
NEWCOMERS_SHOWN = 10
# A programme in one of these states can invite.
TAKES_IN = ("draft", "enrolling", "running")
# What pairs on hold ask of the manager, by the reason; the most urgent first.
HELD = texts(
    {
        "reporting_line": "Pairs that are suspended, because a reporting line joins the two now: %(n)s.",
        "line_gone": "Pairs that are suspended and could go on, because the reporting line is gone: %(n)s.",
        "not_at_work": "Pairs that are paused, because somebody is not at work: %(n)s.",
    }
)
Need = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class PairLine:
    """One pair as the manager sees it: the two, and how it stands.

    :ivar people: ids of the two as the database writes them, to tell people apart.
    :ivar is_upside_down: by today's roster the mentor is not junior to the mentee.
    """

    id: uuid.UUID
    people: tuple[str, str]
    mentor: str
    mentee: str
    state: str
    interruption: str | None
    interrupted_at: datetime | None
    is_upside_down: bool


@dataclass(frozen=True, slots=True)
class PairRow:
    """A line of the table of pairs: states and counts, never words.

    :ivar health: band of the lower satisfaction of the two; None until both answered, and in one's own pair.
    """

    line: PairLine
    confirmed: int
    minutes: int
    last_session: datetime | None
    next_session: datetime | None
    health: Health | None

    def is_of(self, person_id: uuid.UUID | None) -> bool:
        """Tell whether somebody is one of the two."""
        return person_id is not None and person_id in map(uuid.UUID, self.line.people)


@dataclass(frozen=True, slots=True)
class PairPage:
    """A page of the table of pairs.

    :ivar total: pairs that fit the filter.
    """

    rows: Sequence[PairRow] = ()
    total: int = 0
    page: int = 1

    @property
    def pages(self) -> int:
        """Give the number of pages."""
        return max(1, -(-self.total // PAGE))


@dataclass(frozen=True, slots=True)
class Desk:
    """The manager's desk for the newest programme of a course.

    :ivar original: the programme that this course, a copy, could take over; None when there is none.
    :ivar counts: enrolments by role and state.
    :ivar needs: (sentence, path, link text) of what waits for the manager.
    :ivar lines: all pairs, the newest first.
    :ivar pairs: the page of the table that was asked for.
    :ivar newcomers: the first people who joined lately, could be mentors and are not invited.
    :ivar unknown: course members whom the HR roster does not know, with the reason in words.
    """

    programme: Programme | None
    original: Programme | None = None
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    needs: Sequence[Need] = ()
    lines: Sequence[PairLine] = ()
    pairs: PairPage = PairPage()
    newcomers: Sequence[programme_queries.EligiblePerson] = ()
    unknown: Sequence[tuple[LtiUser, str]] = ()
    roster: RosterRun | None = None

    @property
    def on_hold(self) -> list[PairLine]:
        """Give the first pairs that are on hold, those first that ask most urgently."""
        order = list(HELD)
        held = [line for line in self.lines if line.interruption is not None]
        return sorted(held, key=lambda line: order.index(str(line.interruption)))[:PAGE]

    @property
    def upside_down(self) -> list[PairLine]:
        """Give the first pairs whose mentor is no longer junior."""
        return [line for line in self.lines if line.is_upside_down][:PAGE]


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
    counts = programme_queries.count_enrolments(db, programme.id)
    lines = _pair_lines(db, programme, rules)
    earlier = sorted(
        (one for one, _rules in programmes if one.starts_on < programme.starts_on),
        key=lambda one: one.starts_on,
        reverse=True,
    )
    waits = _read_counts(db, programme, _waiting_counts(programme, earlier, viewer_id, now))
    return Desk(
        programme=programme,
        counts=counts,
        numbers=_numbers(counts, lines, waits),
        needs=_needs(programme, counts, lines, waits, now)
        + _review_needs(programme, earlier, waits)
        + hour_needs(db, programme, now),
        lines=lines,
        pairs=pair_page(db, programme.id, lines, asked, viewer_id, now),
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


def _pair_lines(db: Db, programme: Programme, rule_set: MatchRuleSet | None) -> list[PairLine]:
    rules = read_book(programme, values_of(rule_set), rule_set).rules
    mentor, mentee = aliased(Person), aliased(Person)
    # Who somebody is only compared here, and making 10,000 ids takes longer than reading them.
    facts = [
        (cast(one.id, String).label(name), one.display_name, one.seniority_rank, one.hire_date)
        for name, one in (("mentor_key", mentor), ("mentee_key", mentee))
    ]
    # Plain rows, because there can be very many.
    query = (
        select(Pairing.id, Pairing.state, Pairing.interruption, Pairing.interrupted_at, *facts[0], *facts[1])
        .join(mentor, mentor.id == Pairing.mentor_id)
        .join(mentee, mentee.id == Pairing.mentee_id)
        .where(Pairing.programme_id == programme.id)
        .order_by(Pairing.started_at.desc(), Pairing.id.desc())
    )
    return [
        PairLine(
            row[0],
            (row[4], row[8]),
            row[5],
            row[9],
            *row[1:4],
            is_upside_down=row[1] in LIVE and not is_junior(rules, row[6:8], row[10:12]),
        )
        for row in db.execute(query)
    ]


def pair_page(
    db: Db,
    programme_id: uuid.UUID,
    lines: Sequence[PairLine],
    asked: Mapping[str, Any],
    viewer_id: uuid.UUID | None,
    now: datetime,
) -> PairPage:
    """Give one page of the pairs that fit a filter.

    :param asked: state, health and page, see `forms.PairsQuery`.
    :param viewer_id: see `desk_of`.
    **Touches** reads mentoring_session, checkin.
    """
    fit = [line for line in lines if asked["state"] in (None, line.state)]
    health: Mapping[uuid.UUID, Health] = {}
    if asked["health"] is not None:
        health = pair_health(db, select(Pairing.id).where(Pairing.programme_id == programme_id), viewer_id)
        fit = [
            line
            for line in fit
            if asked["health"] == (found.band if (found := health.get(line.id)) else "none")
        ]
    page = min(asked["page"], max(1, -(-len(fit) // PAGE)))
    shown = fit[(page - 1) * PAGE : page * PAGE]
    ids = [line.id for line in shown]
    if ids and asked["health"] is None:
        health = pair_health(db, ids, viewer_id)
    return PairPage(_rows(db, shown, ids, health, now), len(fit), page)


def all_pairs(
    db: Db, context_id: uuid.UUID | None, viewer_id: uuid.UUID | None, now: datetime
) -> tuple[Programme | None, list[PairRow]]:
    """Give the whole table of pairs, and the programme it is about; None where the course has none.

    :param viewer_id: see `desk_of`.
    **Touches** reads programme, pairing, person, mentoring_session, checkin.
    """
    found = next((found for found in _programmes(db, context_id) if found[0].state != "archived"), None)
    if found is None:
        return None, []
    every = select(Pairing.id).where(Pairing.programme_id == found[0].id)
    return found[0], _rows(db, _pair_lines(db, *found), every, pair_health(db, every, viewer_id), now)


def _rows(
    db: Db,
    lines: Sequence[PairLine],
    ids: Sequence[uuid.UUID] | Select[uuid.UUID],
    health: Mapping[uuid.UUID, Health],
    now: datetime,
) -> list[PairRow]:
    if not lines:
        return []
    met = MentoringSession.state == "confirmed"
    comes = and_(MentoringSession.state == "scheduled", MentoringSession.starts_at >= now)
    query = (
        select(
            MentoringSession.pairing_id,
            func.sum(case((met, 1), else_=0)),
            func.sum(case((met, func.coalesce(MentoringSession.counted_minutes, 0)), else_=0)),
            func.max(case((met, MentoringSession.starts_at))),
            func.min(case((comes, MentoringSession.starts_at))),
        )
        .where(MentoringSession.pairing_id.in_(ids))
        .group_by(MentoringSession.pairing_id)
    )
    nothing: tuple[int, int, datetime | None, datetime | None] = (0, 0, None, None)
    sessions = {row[0]: (row[1], row[2], row[3], row[4]) for row in db.execute(query)}
    return [PairRow(line, *sessions.get(line.id, nothing), health.get(line.id)) for line in lines]


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
        "again": _waiting_again(programme),
        "mentor": _waiting(programme, "mentor"),
        "mentee": _waiting(programme, "mentee"),
    }
    if programme.state in TAKES_IN:
        people: Select[int] = select(func.count(Person.id))
        counts["joined"] = programme_queries.eligible_query(
            people, programme, now.date(), "mentor", newcomers=True
        )
    counts |= {f"reviews_{number}": count_open(one.id) for number, one in enumerate((programme, *earlier))}
    return counts | signup.desk_counts(programme)


def _waiting(programme: Programme, role: str) -> Select[int]:
    """Count people who signed up and have neither a partner nor an open proposal."""
    paired, proposed = (
        table.mentor_id if role == "mentor" else table.mentee_id for table in (Pairing, Proposal)
    )
    busy = select(paired).where(Pairing.programme_id == programme.id, Pairing.state.in_(LIVE))
    asked = select(proposed).where(Proposal.programme_id == programme.id, Proposal.state == "released")
    return select(func.count(Enrolment.id)).where(
        Enrolment.programme_id == programme.id,
        Enrolment.role == role,
        Enrolment.state == "submitted",
        Enrolment.person_id.not_in(busy),
        Enrolment.person_id.not_in(asked),
    )


def _waiting_again(programme: Programme) -> Select[int]:
    """Count people in the pool whose pair has ended and who have no other one."""
    ended, others = (
        [
            select(person).where(Pairing.programme_id == programme.id, state)
            for person in (Pairing.mentor_id, Pairing.mentee_id)
        ]
        for state in (Pairing.state == "ended", Pairing.state != "ended")
    )
    return select(func.count(Enrolment.id)).where(
        Enrolment.programme_id == programme.id,
        Enrolment.state == "submitted",
        Enrolment.person_id.in_(union_all(*ended)),
        Enrolment.person_id.not_in(union_all(*others)),
    )


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


def _pair_needs(lines: Sequence[PairLine]) -> list[Need]:
    held = Counter(line.interruption for line in lines)
    needs: list[Need] = [
        (Text(template.template, n=held[reason]), "/manage#on-hold", Text("See the pairs"))
        for reason, template in HELD.items()
        if held[reason]
    ]
    if upside_down := sum(line.is_upside_down for line in lines):
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
    lines: Sequence[PairLine],
    waits: Mapping[str, int],
    now: datetime,
) -> list[Need]:
    here = f"/programmes/{programme.id}"
    needs: list[Need] = []
    if not any(counts.values()) and programme.state != "draft":
        needs.append((Text("Nobody is invited yet."), here, Text("Invite people")))
    needs += signup.desk_needs(programme, counts, waits, now)
    needs += _partner_needs(programme, waits) + _pair_needs(lines)
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
