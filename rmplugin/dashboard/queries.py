"""What the home page shows, read in a few set-based queries."""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from rmplugin import notify
from rmplugin.credits import queries as credit_queries
from rmplugin.credits.models import Completion
from rmplugin.db import Db
from rmplugin.matching import wishes
from rmplugin.matching.models import LIVE, Pairing, Proposal
from rmplugin.matching.queries import list_pairings_of, open_proposals_of
from rmplugin.people.models import CourseMember, LtiUser, Person, Profile
from rmplugin.people.queries import zone_among
from rmplugin.programmes import queries as programme_queries
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.sessions.models import MentoringSession
from rmplugin.sessions.queries import list_open_sessions


@dataclass(frozen=True, slots=True)
class PairingCard:
    """One pairing of the person who looks.

    :ivar role: the role of the person who looks.
    """

    pairing: Pairing
    role: str
    partner: Person
    next_session: MentoringSession | None
    to_confirm: int


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
    others = {other_of(pair, person_id) for pair in (*proposals, *pairings)}
    people = people_with_zones(db, {person_id, *others})
    partners = {key: found for key, (found, _zone) in people.items()}
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
        time_zone=people[person_id][1] if person_id in people else "UTC",
    )


def other_of(pair: Proposal | Pairing, person_id: uuid.UUID) -> uuid.UUID:
    """Give the other person of two. **Touches** pure."""
    return pair.mentee_id if pair.mentor_id == person_id else pair.mentor_id


def people_with_zones(db: Db, person_ids: set[uuid.UUID]) -> dict[uuid.UUID, tuple[Person, str]]:
    """Give people, each with the time zone that `people.queries.zone_of` gives.

    **Touches** reads person, profile.
    """
    query = select(Person, Profile.time_zone).outerjoin(Profile, Profile.person_id == Person.id)
    rows = db.execute(query.where(Person.id.in_(person_ids)))
    return {person.id: (person, zone_among(zone, person.time_zone)) for person, zone in rows}


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
    waiting: Counter[uuid.UUID] = Counter()
    # While a pairing is on hold, nothing of it can be confirmed.
    free = {pairing.id for pairing in pairings if not pairing.is_on_hold}
    for story in list_open_sessions(db, [pairing.id for pairing in pairings]):
        session = story.session
        if session.state == "scheduled" and session.starts_at >= now:
            upcoming.setdefault(session.pairing_id, session)
        waiting[session.pairing_id] += session.pairing_id in free and story.waits_for(person_id, now)
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
