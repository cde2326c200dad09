"""What the home page and the manager's desk show, read in a few set-based queries."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from rmplugin import notify
from rmplugin.checkins.queries import count_open_tasks, pair_health
from rmplugin.credits import queries as credit_queries
from rmplugin.credits.models import Completion, Delivery
from rmplugin.db import Db
from rmplugin.hours.queries import needs as hour_needs
from rmplugin.matching import wishes
from rmplugin.matching.models import LIVE, Pairing, Proposal
from rmplugin.matching.queries import find_open_run, list_pairings, list_pairings_of, open_proposals_of
from rmplugin.matching.rules import book_in_force
from rmplugin.matching.store import is_junior
from rmplugin.people.models import CourseMember, LtiUser, Person, RosterRun
from rmplugin.people.queries import LINK_PROBLEMS
from rmplugin.programmes import queries as programme_queries
from rmplugin.programmes.copies import find_original
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.reviews.queries import count_open, earlier_programmes
from rmplugin.safeguards import queries as safeguards
from rmplugin.sessions.models import MentoringSession
from rmplugin.sessions.queries import count_asked, to_confirm
from rmplugin.signup import queries as signup
from rmplugin.texts import Text, texts

MONTH = timedelta(days=30)
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


@dataclass(frozen=True, slots=True)
class PairingCard:
    """One pairing of the person who looks.

    :ivar role: the role of the person who looks.
    :ivar to_confirm: sessions that wait for the word of the person who looks, oldest first.
    """

    pairing: Pairing
    role: str
    partner: Person
    next_session: MentoringSession | None
    to_confirm: Sequence[MentoringSession]


@dataclass(frozen=True, slots=True)
class Home:
    """The home page of one person in one course.

    :ivar fit: None when the person is enrolled already or there is no programme.
    :ivar short_list: whether the person can put a short list in order now.
    """

    programme: Programme | None
    enrolment: Enrolment | None
    fit: Any
    short_list: bool
    proposals: Sequence[Proposal]
    partners: dict[uuid.UUID, Person]
    cards: Sequence[PairingCard]
    completion: Completion | None
    notices: Sequence[notify.Notice]
    time_zone: str


def home_of(db: Db, context_id: uuid.UUID | None, person_id: uuid.UUID, now: datetime) -> Home:
    """Read the home page of a person.

    **Touches** reads programme, enrolment, proposal, pairing, mentoring_session, completion, notice.
    """
    programme = programme_queries.programme_of_person(db, context_id, person_id)
    enrolment = fit = completion = None
    if programme is not None:
        enrolment = programme_queries.find_enrolment(db, programme.id, person_id)
        completion = credit_queries.completion_of(db, programme.id, person_id)
        if enrolment is None:
            fit = programme_queries.find_fit(db, programme, person_id, now.date())
    proposals = [row for row in open_proposals_of(db, person_id) if row.expires_at and row.expires_at > now]
    return Home(
        programme=programme,
        enrolment=enrolment,
        fit=fit,
        short_list=programme is not None and wishes.is_open(db, programme, enrolment),
        proposals=proposals,
        partners=_people(db, {other_of(proposal, person_id) for proposal in proposals}),
        cards=_cards(db, person_id, now),
        completion=completion,
        notices=notify.unread(db, person_id),
        time_zone=credit_queries.time_zone_of(db, person_id),
    )


def other_of(pair: Proposal | Pairing, person_id: uuid.UUID) -> uuid.UUID:
    """Give the other person of two. **Touches** pure."""
    return pair.mentee_id if pair.mentor_id == person_id else pair.mentor_id


def _people(db: Db, person_ids: set[uuid.UUID]) -> dict[uuid.UUID, Person]:
    if not person_ids:
        return {}
    return {person.id: person for person in db.scalars(select(Person).where(Person.id.in_(person_ids)))}


def _cards(db: Db, person_id: uuid.UUID, now: datetime) -> list[PairingCard]:
    pairings = [row for row in list_pairings_of(db, person_id) if row.state in LIVE]
    if not pairings:
        return []
    partners = _people(db, {pairing.partner_of(person_id) for pairing in pairings})
    upcoming: dict[uuid.UUID, MentoringSession] = {}
    of_mine = MentoringSession.pairing_id.in_([pairing.id for pairing in pairings])
    for session in db.scalars(select(MentoringSession).where(of_mine).order_by(MentoringSession.starts_at)):
        if session.state == "scheduled" and session.starts_at >= now:
            upcoming.setdefault(session.pairing_id, session)
    waiting = [story.session for story in to_confirm(db, person_id, now)]
    return [
        PairingCard(
            pairing,
            str(pairing.role_of(person_id)),
            partners[pairing.partner_of(person_id)],
            upcoming.get(pairing.id),
            [session for session in waiting if session.pairing_id == pairing.id],
        )
        for pairing in pairings
    ]


@dataclass(frozen=True, slots=True)
class PairRow:
    """One pairing as the manager sees it: states and counts, never words.

    :ivar health: band of the lower satisfaction of the two; None before both answered.
    :ivar is_upside_down: by today's roster the mentor is not junior to the mentee.
    """

    pairing: Pairing
    mentor: Person
    mentee: Person
    confirmed: int
    minutes: int
    last_session: datetime | None
    next_session: datetime | None
    health: Any
    is_upside_down: bool


@dataclass(frozen=True, slots=True)
class Desk:
    """The manager's desk for the newest programme of a course.

    :ivar original: the programme that this course, a copy, could take over; None when there is none.
    :ivar counts: enrolments by role and state.
    :ivar needs: (sentence, path, link text) of what waits for the manager.
    :ivar newcomers: the first people who joined lately, could be mentors and are not invited.
    :ivar unknown: course members whom the HR roster does not know, with the reason in words.
    """

    programmes: Sequence[Programme]
    programme: Programme | None
    original: Programme | None = None
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    needs: Sequence[tuple[str, str, str]] = ()
    pairs: Sequence[PairRow] = ()
    newcomers: Sequence[programme_queries.EligiblePerson] = ()
    unknown: Sequence[tuple[LtiUser, str]] = ()
    roster: RosterRun | None = None


def desk_of(db: Db, context_id: uuid.UUID | None, now: datetime) -> Desk:
    """Read the manager's desk.

    **Touches** reads programme, enrolment, pairing, proposal, mentoring_session, completion, delivery,
    lti_user, roster_run, matchmaking_review.
    """
    programmes = programme_queries.managed_programmes(db, context_id)
    unknown = _unknown_visitors(db, context_id)
    roster = db.scalars(select(RosterRun).order_by(RosterRun.started_at.desc()).limit(1)).first()
    programme = programme_queries.programme_of_course(db, context_id)
    if programme is None:
        original = find_original(db, context_id)
        return Desk(programmes, None, original, unknown=unknown, roster=roster)
    counts = programme_queries.count_enrolments(db, programme.id)
    pairs = _pair_rows(db, programme, now)
    return Desk(
        programmes=programmes,
        programme=programme,
        counts=counts,
        numbers=_numbers(db, programme, counts, pairs, now),
        needs=_needs(db, programme, counts, pairs, now),
        pairs=pairs,
        newcomers=_newcomers(db, programme, now),
        unknown=unknown,
        roster=roster,
    )


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


def people_not_in_course(
    db: Db, context_id: uuid.UUID | None, text: str, *, offset: int, limit: int
) -> tuple[list[tuple[Enrolment, Programme, Person]], int]:
    """List people of the course's programmes who are, as far as we know, no members of the course.

    :param text: part of the name; "" for everybody.
    :return: the rows of the page by name, and how many there are.
    **Touches** reads enrolment, programme, person, course_member, lti_user.
    """
    here = (
        select(LtiUser.person_id)
        .join(CourseMember, CourseMember.lti_user_id == LtiUser.id)
        .where(CourseMember.context_id == context_id, CourseMember.status == "Active")
        .where(LtiUser.link_state == "confirmed", LtiUser.person_id == Enrolment.person_id)
    )

    def chosen(*columns: Any) -> Any:
        return (
            select(*columns)
            .select_from(Enrolment)
            .join(Programme, Programme.id == Enrolment.programme_id)
            .join(Person, Person.id == Enrolment.person_id)
            .where(Programme.context_id == context_id, Programme.state != "archived")
            .where(Enrolment.state.not_in(("declined", "withdrawn", "completed")), ~here.exists())
            .where(Person.display_name.icontains(text, autoescape=True))
        )

    rows = chosen(Enrolment, Programme, Person).order_by(Person.display_name, Enrolment.id)
    found = [(row[0], row[1], row[2]) for row in db.execute(rows.offset(offset).limit(limit))]
    return found, db.scalar(chosen(func.count())) or 0


def _numbers(
    db: Db, programme: Programme, counts: dict[str, dict[str, int]], pairs: Sequence[PairRow], now: datetime
) -> dict[str, str]:
    live = [row for row in pairs if row.pairing.state in LIVE]
    active = sum(row.pairing.state == "active" for row in live)
    submitted = sum(states.get("submitted", 0) for states in counts.values())
    matched = len({person for row in live for person in (row.pairing.mentor_id, row.pairing.mentee_id)})
    sessions = (
        select(func.count(MentoringSession.id))
        .join(Pairing, Pairing.id == MentoringSession.pairing_id)
        .where(Pairing.programme_id == programme.id, MentoringSession.confirmed_at > now - MONTH)
    )
    completed = select(func.count(Completion.id)).where(
        Completion.programme_id == programme.id, Completion.met_at.is_not(None)
    )
    return {
        Text("Active pairs"): str(active),
        Text("Matched, of those who signed up"): Text("%(a)s of %(b)s", a=matched, b=submitted),
        Text("Sessions confirmed in 30 days"): str(db.scalar(sessions) or 0),
        Text("Completed"): str(db.scalar(completed) or 0),
    }


def _newcomers(db: Db, programme: Programme, now: datetime) -> list[programme_queries.EligiblePerson]:
    if programme.state not in TAKES_IN:
        return []
    return programme_queries.eligible_people(
        db, programme, now.date(), "mentor", newcomers=True, limit=NEWCOMERS_SHOWN
    )


def _matching_needs(db: Db, programme: Programme, now: datetime) -> list[tuple[str, str, str]]:
    here = f"/programmes/{programme.id}/matching"
    needs: list[tuple[str, str, str]] = []
    if find_open_run(db, programme.id) is not None:
        sentence = Text("A matching is ready. Nobody is told before you look through it and release it.")
        needs.append((sentence, here, Text("Look through the proposals")))
    late = db.scalar(_released(programme).where(Proposal.expires_at < now + timedelta(days=3))) or 0
    if late:
        sentence = Text("%(late)s proposals expire within three days.", late=late)
        needs.append((sentence, here, Text("See the proposals")))
    return needs


def _pair_needs(pairs: Sequence[PairRow]) -> list[tuple[str, str, str]]:
    held = Counter(row.pairing.interruption for row in pairs)
    needs: list[tuple[str, str, str]] = [
        (Text(template.template, n=held[reason]), "/manage#on-hold", Text("See the pairs"))
        for reason, template in HELD.items()
        if held[reason]
    ]
    if upside_down := sum(row.is_upside_down for row in pairs):
        sentence = Text("Pairs whose mentor is no longer junior to the mentee: %(n)s.", n=upside_down)
        needs.append((sentence, "/manage#no-longer-junior", Text("See the pairs")))
    return needs


def _review_needs(db: Db, programme: Programme) -> list[tuple[str, str, str]]:
    """Ask for the reviews of the programme and, so that the next one is made better, of those before it."""
    needs: list[tuple[str, str, str]] = []
    for row in (programme, *reversed(earlier_programmes(db, programme))):
        said = "Matches fail regularly; reviews of the matchmaking that wait for you: %(n)s."
        if row is not programme:
            said = "Matches of “%(name)s” failed regularly; reviews of it that wait for you: %(n)s."
        if reviews := count_open(db, row.id):
            path = f"/manage/reviews/programmes/{row.id}"
            needs.append((Text(said, n=reviews, name=row.name), path, Text("Look it over")))
    return needs


def _needs(
    db: Db, programme: Programme, counts: dict[str, dict[str, int]], pairs: Sequence[PairRow], now: datetime
) -> list[tuple[str, str, str]]:
    here = f"/programmes/{programme.id}"
    needs: list[tuple[str, str, str]] = []
    if not any(counts.values()) and programme.state != "draft":
        needs.append((Text("Nobody is invited yet."), f"{here}", Text("Invite people")))
    needs += signup.desk_needs(db, programme, counts, now)
    waiting = _count_waiting(db, programme)
    if any(waiting.values()):
        sentence = Text(
            "Waiting for a partner: %(mentor)s as mentor, %(mentee)s as mentee.",
            mentor=waiting["mentor"],
            mentee=waiting["mentee"],
        )
        if all(waiting.values()):
            needs.append((sentence, f"{here}/matching", Text("Go to the matching")))
        else:
            needs.append((sentence, f"{here}/people", Text("Invite more people")))
    needs += _matching_needs(db, programme, now)
    needs += _pair_needs(pairs)
    if care := count_open_tasks(db, programme.id):
        sentence = Text("Pairs that need a quiet word: %(n)s.", n=care)
        needs.append((sentence, f"{here}/care", Text("See which")))
    needs += _review_needs(db, programme)
    if asked := count_asked(db, programme.id):
        sentence = Text("Sessions that somebody asks you to attest: %(n)s.", n=asked)
        needs.append((sentence, "/manage/attestations", Text("See the sessions")))
    needs += hour_needs(db, programme, now)
    stuck = select(func.count(Delivery.id)).where(
        Delivery.programme_id == programme.id, Delivery.state.in_(("blocked", "needs_human", "dead"))
    )
    blocked = db.scalar(stuck) or 0
    if blocked:
        sentence = Text("%(blocked)s results could not be written to the course record.", blocked=blocked)
        needs.append((sentence, f"{here}/deliveries", Text("See why")))
    if programme.state in TAKES_IN:
        joined = programme_queries.count_eligible_people(db, programme, now.date(), "mentor", newcomers=True)
        if joined and any(counts.values()):
            sentence = Text("New colleagues who could be mentors and are not invited: %(n)s.", n=joined)
            needs.append((sentence, "/manage#newcomers", Text("See who they are")))
    return needs + safeguards.desk_needs(db, programme)


def _released(programme: Programme) -> Any:
    return select(func.count(Proposal.id)).where(
        Proposal.programme_id == programme.id, Proposal.state == "released"
    )


def _count_waiting(db: Db, programme: Programme) -> dict[str, int]:
    """Count people who signed up and have neither a partner nor an open proposal, by role."""
    waiting: dict[str, int] = {}
    for role, paired, proposed in (
        ("mentor", Pairing.mentor_id, Proposal.mentor_id),
        ("mentee", Pairing.mentee_id, Proposal.mentee_id),
    ):
        busy = select(paired).where(Pairing.programme_id == programme.id, Pairing.state.in_(LIVE))
        asked = select(proposed).where(Proposal.programme_id == programme.id, Proposal.state == "released")
        query = select(func.count(Enrolment.id)).where(
            Enrolment.programme_id == programme.id,
            Enrolment.role == role,
            Enrolment.state == "submitted",
            Enrolment.person_id.not_in(busy),
            Enrolment.person_id.not_in(asked),
        )
        waiting[role] = db.scalar(query) or 0
    return waiting


def _pair_rows(db: Db, programme: Programme, now: datetime) -> list[PairRow]:
    pairs = list_pairings(db, programme.id)
    pairings: list[Pairing] = [pair.row for pair in pairs]
    confirmed: dict[uuid.UUID, list[MentoringSession]] = {}
    coming: dict[uuid.UUID, datetime] = {}
    of_these = MentoringSession.pairing_id.in_([pairing.id for pairing in pairings])
    for session in db.scalars(select(MentoringSession).where(of_these).order_by(MentoringSession.starts_at)):
        if session.state == "confirmed":
            confirmed.setdefault(session.pairing_id, []).append(session)
        elif session.state == "scheduled" and session.starts_at >= now:
            coming.setdefault(session.pairing_id, session.starts_at)
    health = pair_health(db, [pairing.id for pairing in pairings])
    rules = book_in_force(db, programme).rules
    return [
        PairRow(
            pairing=pairing,
            mentor=pair.mentor,
            mentee=pair.mentee,
            confirmed=len(confirmed.get(pairing.id, ())),
            minutes=sum(session.counted_minutes or 0 for session in confirmed.get(pairing.id, ())),
            last_session=confirmed[pairing.id][-1].starts_at if pairing.id in confirmed else None,
            next_session=coming.get(pairing.id),
            health=health.get(pairing.id),
            is_upside_down=pairing.state in LIVE and not is_junior(rules, pair.mentor, pair.mentee),
        )
        for pair, pairing in zip(pairs, pairings, strict=True)
    ]
