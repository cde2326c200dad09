"""Brings a played programme into the demo's course, and says as whom a visitor finds something to do."""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from lti.launch import AgsEndpoint, Context, Launch, ResourceLink
from lti.platforms import Platform
from lti.roles import parse_roles
from rmplugin.checkins.queries import due_checkin
from rmplugin.cli.seed import PROGRAMME, launch_by_hand
from rmplugin.cli.seed_pilot import ACTOR
from rmplugin.credits.models import Completion
from rmplugin.db import Db
from rmplugin.demo.company_pilot import PILOT
from rmplugin.demo.lms_messages import ROLES
from rmplugin.demo.lms_settings import LmsCourse, LmsPerson, LmsSettings
from rmplugin.introductions.queries import standing_of
from rmplugin.jobs import Runtime
from rmplugin.launches.operations import enter
from rmplugin.matching.models import Pairing, Proposal
from rmplugin.people.models import LtiUser, Person
from rmplugin.programmes import operations
from rmplugin.programmes.queries import find_programme, list_programmes
from rmplugin.sessions.models import MentoringSession, SessionClaim
from rmplugin.signup import operations as signup
from rmplugin.signup.forms import ITEMS
from rmplugin.tenants.models import LtiContext, LtiPlatform, LtiResourceLink, Tenant
from rmplugin.tenants.store import as_platform

# So many people open the activity with a browser; the others who have come somewhere are let in without.
VISITORS = 12


@dataclass(frozen=True, slots=True)
class Scene:
    """Somebody in the LMS, and what waits for them."""

    person: LmsPerson
    what: str


def open_course(runtime: Runtime, tenant: Tenant, lms: LmsSettings, course: LmsCourse) -> None:
    """Let the manager open the activity, put what was played into the course, let some people visit it.

    Does nothing when that was done before.

    **Touches** launches at the practice LMS; writes programme, readiness, audit_entry, what a launch writes.
    """
    with runtime.database.transaction(tenant.id, write=False) as db:
        programme = find_programme(db, PROGRAMME)
        if programme.context_id is not None:
            return
        visitors = [scene.person for scene in find_scenes(db, programme.id, lms.people, runtime.clock())]
    launch_by_hand(lms, next(person.user_id for person in lms.people if person.role == "instructor"), course)
    now = runtime.clock()
    with runtime.database.transaction(tenant.id) as db:
        context = db.scalars(select(LtiContext).where(LtiContext.context_id == course.course_id)).one()
        names = {row.name for row in list_programmes(db)}
        for name in (PILOT, PROGRAMME) if PILOT in names else (PROGRAMME,):
            played = find_programme(db, name)
            operations.put_into_course(db, played, context.id, ACTOR, now)
        signup.switch_survey(db, played, ACTOR, now, is_open=True)
    learners = [person for person in lms.people if person.employee_number and person.role == "learner"]
    for person in list(dict.fromkeys([*visitors, *learners]))[:VISITORS]:
        launch_by_hand(lms, person.user_id, course)
    with runtime.database.transaction(tenant.id) as db:
        _let_in(db, played.id, learners, context.id, now)
    with runtime.database.transaction(tenant.id) as db:
        played = find_programme(db, PROGRAMME)
        linked = select(LtiUser.id).where(LtiUser.person_id.is_not(None)).order_by(LtiUser.id)
        for number, user_id in enumerate(db.scalars(linked).all()):
            answers = {item: 2 + (number + place) % 4 for place, item in enumerate(ITEMS)}
            signup.answer_survey(db, played, user_id, answers)


def _let_in(
    db: Db, programme_id: uuid.UUID, people: Iterable[LmsPerson], context_id: uuid.UUID, now: datetime
) -> None:
    """Let those whose time counts have opened the activity, so that the course takes their results.

    Their browsers would take minutes; what a verified launch says is given to the tool all the same.
    """
    link = db.scalars(select(LtiResourceLink).where(LtiResourceLink.context_id == context_id)).one()
    context = db.get_one(LtiContext, context_id)
    platform = db.get_one(LtiPlatform, context.platform_id)
    query = select(Person.employee_number).join(Completion, Completion.person_id == Person.id)
    counted = set(db.scalars(query.where(Completion.programme_id == programme_id)))
    for person in people:
        if person.employee_number in counted:
            enter(db, platform, _launch_of(person, as_platform(platform), context, link), now)


def _launch_of(person: LmsPerson, platform: Platform, context: LtiContext, link: LtiResourceLink) -> Launch:
    return Launch(
        platform=platform,
        deployment_id=context.deployment_id,
        deployment_state="approved",
        message_type="LtiResourceLinkRequest",
        target_link_uri="",
        subject=person.user_id,
        roles=parse_roles(ROLES["learner"]),
        name=person.name,
        given_name=person.given_name,
        family_name=person.family_name,
        email=person.email,
        email_verified=None,
        person_sourcedid=person.employee_number,
        context=Context(context.context_id, None, context.title),
        resource_link=ResourceLink(link.resource_link_id, link.title),
        custom={},
        locale=person.locale,
        return_url=None,
        nrps_url=None,
        ags=AgsEndpoint(link.line_item_url, link.line_items_url, tuple(link.scopes)),
        deep_linking=None,
        for_user_id=None,
        claims={},
    )


def find_scenes(db: Db, programme_id: uuid.UUID, people: Iterable[LmsPerson], now: datetime) -> list[Scene]:
    """Find people of the LMS for whom something waits, one for each thing.

    **Touches** reads what the pages of these people read.
    """
    numbers = {person.employee_number: person for person in people if person.employee_number}
    query = select(Person.id, Person.employee_number).where(Person.employee_number.in_(numbers))
    accounts = {row.id: numbers[row.employee_number] for row in db.execute(query)}
    found: dict[str, LmsPerson] = {}
    for person_id, what in _waiting(db, programme_id, now):
        person = accounts.get(person_id)
        if person is not None and person not in found.values():
            found.setdefault(what, person)
    return [Scene(person, what) for what, person in found.items()]


def _waiting(db: Db, programme_id: uuid.UUID, now: datetime) -> Iterator[tuple[uuid.UUID, str]]:
    proposals = select(Proposal).where(
        Proposal.programme_id == programme_id, Proposal.state == "released", Proposal.expires_at > now
    )
    for proposal in db.scalars(proposals.order_by(Proposal.id)):
        for role in ("mentor", "mentee"):
            if getattr(proposal, f"{role}_answer") is None:
                yield getattr(proposal, f"{role}_id"), f"a proposal to answer, as a {role}"
    pairings = select(Pairing).where(Pairing.programme_id == programme_id).order_by(Pairing.id)
    for pairing in db.scalars(pairings).all():
        for role, person in (("mentor", pairing.mentor_id), ("mentee", pairing.mentee_id)):
            for what in _of_pair(db, pairing, person, now):
                yield person, f"{what}, as a {role}"


def _of_pair(db: Db, pairing: Pairing, person: uuid.UUID, now: datetime) -> Iterator[str]:
    if pairing.state == "suspended":
        yield "a pair on hold after the reorganisation"
    if pairing.state in ("ended", "completed"):
        yield "a pair that has ended" if pairing.state == "ended" else "a pair that reached its goals"
    if pairing.state != "active":
        return
    if standing_of(db, pairing, person).due is not None:
        yield "a first call to have" if pairing.introduced_at is None else "asked again whether to go on"
    rows = select(MentoringSession).where(MentoringSession.pairing_id == pairing.id)
    for session in db.scalars(rows.order_by(MentoringSession.starts_at.desc())):
        claimed = select(SessionClaim.id).where(
            SessionClaim.session_id == session.id, SessionClaim.person_id == person
        )
        if session.state == "claimed" and db.scalars(claimed).first() is None:
            yield "a session to confirm"
        if session.state == "scheduled" and session.starts_at > now:
            yield "a session ahead"
    if due_checkin(db, pairing, person, now) is not None:
        yield "a check-in to answer"
