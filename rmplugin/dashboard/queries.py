"""What the home page shows, read in a few set-based queries."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, func, select

from rmplugin import notify
from rmplugin.agreements.models import AgreementDraft
from rmplugin.aims.models import LeadershipAim
from rmplugin.checkins.models import Checkin
from rmplugin.checkins.queries import ROLES, current_wave
from rmplugin.credits import queries as credit_queries
from rmplugin.credits.models import Completion
from rmplugin.db import Db
from rmplugin.matching import wishes
from rmplugin.matching.models import LIVE, Pairing, Proposal
from rmplugin.matching.queries import list_pairings_of, open_proposals_of
from rmplugin.messages.queries import count_unread
from rmplugin.people.models import CourseMember, LtiUser, Person, Profile
from rmplugin.people.queries import zone_among
from rmplugin.preparation.models import PreparationRule
from rmplugin.programmes import queries as programme_queries
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.sessions.models import MentoringSession
from rmplugin.sessions.queries import list_open_sessions


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
    programme, enrolment = programme_queries.programme_of_person(db, context_id, person_id)
    fit = completion = None
    if programme is not None:
        completion = credit_queries.completion_of(db, programme.id, person_id)
        if enrolment is None:
            fit = programme_queries.find_fit(db, programme, person_id, now.date())
    proposals = [row for row in open_proposals_of(db, person_id) if row.expires_at and row.expires_at > now]
    pairings = [row for row in list_pairings_of(db, person_id) if row.state in LIVE]
    others = {other_of(row, person_id) for row in proposals} | {row.partner_of(person_id) for row in pairings}
    people = known_people(db, {person_id, *others})
    partners = {key: found.person for key, found in people.items()}
    idle = programme is not None and not proposals and not pairings
    return Home(
        programme=programme,
        enrolment=enrolment,
        fit=fit,
        short_list=idle and programme is not None and wishes.is_open(db, programme, enrolment),
        proposals=proposals,
        partners=partners,
        cards=_cards(db, pairings, partners, person_id, now),
        completion=completion,
        notices=notify.unread(db, person_id),
        time_zone=people[person_id].zone if person_id in people else "UTC",
    )


def other_of(pair: Proposal | Pairing, person_id: uuid.UUID) -> uuid.UUID:
    """Give the other person of two. **Touches** pure."""
    return pair.mentee_id if pair.mentor_id == person_id else pair.mentor_id


@dataclass(frozen=True, slots=True)
class Known:
    """A person, and what they said about themselves: None before their first answer."""

    person: Person
    profile: Profile | None

    @property
    def zone(self) -> str:
        """Give the time zone that `people.queries.zone_of` gives."""
        return zone_among(self.profile.time_zone if self.profile else None, self.person.time_zone)


def known_people(db: Db, person_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Known]:
    """Give people with their profiles.

    **Touches** reads person, profile.
    """
    query = select(Person, Profile).outerjoin(Profile, Profile.person_id == Person.id)
    rows = db.execute(query.where(Person.id.in_(person_ids)))
    return {person.id: Known(person, profile) for person, profile in rows}


@dataclass(frozen=True, slots=True)
class PairFacts:
    """What the page of a pairing shows of many places, for one of the two.

    :ivar completion: None before anything happened.
    :ivar observation: how far the observation of the mentor's aim is; None without an aim.
    :ivar wave: the check-in that waits for the person's answers; None when none does.
    :ivar stage: what somebody without an agreement does next: write, wait or compare.
    :ivar gate: the first session waits until both are prepared.
    :ivar unread: messages.
    """

    programme: Programme
    completion: Completion | None
    observation: str | None
    wave: int | None
    stage: str
    gate: bool
    unread: int


def pair_facts(db: Db, pairing: Pairing, person_id: uuid.UUID, now: datetime) -> PairFacts:
    """Read much about a pairing in one statement.

    **Touches** reads programme, completion, leadership_aim, checkin, agreement_draft, preparation_rule,
    message.
    """
    wave = current_wave(pairing, now)
    sent = select(func.count(AgreementDraft.id)).where(
        AgreementDraft.pairing_id == pairing.id, AgreementDraft.submitted_at.is_not(None)
    )
    answered = select(func.count(Checkin.id)).where(
        Checkin.pairing_id == pairing.id, Checkin.person_id == person_id, Checkin.wave == (wave or 0)
    )
    parts: tuple[Select[Any], ...] = (
        select(LeadershipAim.observation).where(LeadershipAim.pairing_id == pairing.id),
        answered,
        sent.where(AgreementDraft.person_id == person_id),
        sent,
        select(PreparationRule.gate).where(PreparationRule.programme_id == pairing.programme_id),
        count_unread(person_id, pairing.id),
    )
    of_mine = and_(Completion.programme_id == Programme.id, Completion.person_id == person_id)
    query = (
        select(Programme, Completion, *(part.correlate(None).scalar_subquery() for part in parts))
        .outerjoin(Completion, of_mine)
        .where(Programme.id == pairing.programme_id)
    )
    programme, completion, observation, answers, mine, both, gate, unread = db.execute(query).one()
    stage = "write" if not mine else "compare" if both == len(ROLES) else "wait"
    due = None if answers else wave
    return PairFacts(programme, completion, observation, due, stage, bool(gate), unread)


def _cards(
    db: Db,
    pairings: Sequence[Pairing],
    people: Mapping[uuid.UUID, Person],
    person_id: uuid.UUID,
    now: datetime,
) -> list[PairingCard]:
    if not pairings:
        return []
    upcoming: dict[uuid.UUID, MentoringSession] = {}
    waiting: dict[uuid.UUID, list[MentoringSession]] = {pairing.id: [] for pairing in pairings}
    # While a pairing is on hold, nothing of it can be confirmed.
    free = {pairing.id for pairing in pairings if not pairing.is_on_hold}
    for story in list_open_sessions(db, [pairing.id for pairing in pairings]):
        session = story.session
        if session.state == "scheduled" and session.starts_at >= now:
            upcoming.setdefault(session.pairing_id, session)
        if session.pairing_id in free and story.waits_for(person_id, now):
            waiting[session.pairing_id].append(session)
    return [
        PairingCard(
            pairing,
            str(pairing.role_of(person_id)),
            people[pairing.partner_of(person_id)],
            upcoming.get(pairing.id),
            waiting[pairing.id],
        )
        for pairing in pairings
    ]


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
