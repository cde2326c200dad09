"""Rows for tests of credits: a pair in a programme, its sessions, the course that takes the grades."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import select

from rmplugin.agreements.models import Agreement
from rmplugin.credits.claims import Due, Held, select_due
from rmplugin.credits.models import Delivery
from rmplugin.goals.models import Goal
from rmplugin.jobs import enqueue
from rmplugin.matching.models import MatchRun, Pairing, Proposal
from rmplugin.people.models import CourseMember, LtiUser, Person
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.sessions.models import MentoringSession, SessionClaim
from rmplugin.tenants.models import HrAccount, LtiContext, LtiPlatform, LtiResourceLink

SCOPES = ["https://purl.imsglobal.org/spec/lti-ags/scope/" + name for name in ("score", "result.readonly")]


@dataclass
class Pair:
    programme: Programme
    pairing: Pairing
    mentor: Person
    mentee: Person


@dataclass
class Course:
    platform: LtiPlatform
    context: LtiContext
    link: LtiResourceLink


def make_person(db, now, **fields) -> Person:
    account = db.scalars(select(HrAccount).limit(1)).one_or_none()
    if account is None:
        account = HrAccount(name="hr", connector="csv_file", settings={}, grade_ranks={}, created_at=now)
        db.add(account)
        db.flush()
    number = uuid.uuid4().hex[:8]
    values = {
        "account_id": account.id,
        "source_key": number,
        "employee_number": number,
        "display_name": f"Person {number}",
        "status": "active",
        "languages": ["en"],
        "row_hash": "",
        "seen_at": now,
        "created_at": now,
        "updated_at": now,
        **fields,
    }
    person = Person(**values)
    db.add(person)
    db.flush()
    return person


def make_programme(db, now, **fields) -> Programme:
    values = {
        "name": f"Programme {uuid.uuid4().hex[:6]}",
        "template": "test",
        "purpose": "Learning",
        "state": "running",
        "starts_on": date(2026, 9, 1),
        "ends_on": date(2027, 6, 30),
        "cadence_weeks": 2,
        "allowance_minutes": 60,
        "session_minutes": 60,
        "mentee_min_rank": 60,
        "mentor_max_rank": 40,
        "topics": [],
        "min_sessions": 2,
        "min_minutes": 120,
        "day_cap": 600,
        "needs_goal_review": False,
        "needs_agreement": False,
        "created_by": "test",
        "created_at": now,
        **fields,
    }
    programme = Programme(**values)
    db.add(programme)
    db.flush()
    return programme


def make_pair(db, now, programme=None, mentor=None, mentee=None, **programme_fields) -> Pair:
    programme = programme or make_programme(db, now, **programme_fields)
    mentor = mentor or make_person(db, now, seniority_rank=10)
    mentee = mentee or make_person(db, now, seniority_rank=90)
    for person, role in ((mentor, "mentor"), (mentee, "mentee")):
        enrolled = select(Enrolment.id).where(
            Enrolment.programme_id == programme.id, Enrolment.person_id == person.id
        )
        if db.execute(enrolled).first() is None:
            db.add(
                Enrolment(
                    programme_id=programme.id,
                    person_id=person.id,
                    role=role,
                    state="submitted",
                    created_at=now,
                    updated_at=now,
                )
            )
    run = MatchRun(
        programme_id=programme.id,
        state="released",
        objective="total",
        rules={},
        weights={},
        metrics={},
        created_by="test",
        created_at=now,
    )
    db.add(run)
    db.flush()
    proposal = Proposal(
        run_id=run.id,
        programme_id=programme.id,
        mentor_id=mentor.id,
        mentee_id=mentee.id,
        state="accepted",
        score=1,
        contributions={},
        reasons={},
        created_at=now,
    )
    db.add(proposal)
    db.flush()
    pairing = Pairing(
        programme_id=programme.id,
        proposal_id=proposal.id,
        mentor_id=mentor.id,
        mentee_id=mentee.id,
        state="active",
        started_at=now,
    )
    db.add(pairing)
    db.flush()
    return Pair(programme, pairing, mentor, mentee)


def confirm_session(
    db, pair: Pair, now, minutes: int = 60, mentee_minutes: int | None = None, *, told: bool = True
):
    """Make a session that both confirmed, with the event that its confirmation writes if it is ``told``."""
    claims = {pair.mentor.id: minutes, pair.mentee.id: mentee_minutes or minutes}
    lower = min(claims.values())
    session = MentoringSession(
        pairing_id=pair.pairing.id,
        state="confirmed",
        starts_at=now - timedelta(hours=2),
        planned_minutes=60,
        medium="video",
        place="",
        agenda="",
        planned_by=pair.mentor.id,
        counted_minutes=min(lower, 120) if lower >= 15 else 0,
        confirmed_at=now,
        created_at=now,
        updated_at=now,
    )
    db.add(session)
    db.flush()
    for person_id, claimed in claims.items():
        db.add(SessionClaim(session_id=session.id, person_id=person_id, minutes=claimed, claimed_at=now))
    db.flush()
    if told:
        enqueue(db, "session_confirmed", now, session_id=str(session.id), minutes=session.counted_minutes)
    return session


def sign_agreement(db, pair: Pair, now) -> Agreement:
    agreement = Agreement(
        pairing_id=pair.pairing.id,
        version=1,
        state="signed",
        cadence_weeks=2,
        session_minutes=60,
        medium="video",
        place="",
        hopes="",
        boundaries="",
        confidentiality="",
        feedback="",
        ends_on=date(2027, 6, 30),
        written_by=pair.mentor.id,
        mentor_signed_at=now,
        mentee_signed_at=now,
        created_at=now,
    )
    db.add(agreement)
    db.flush()
    return agreement


def review_goal(db, pair: Pair, owner: Person, now) -> Goal:
    goal = Goal(
        pairing_id=pair.pairing.id, owner_id=owner.id, state="reviewed", created_at=now, reviewed_at=now
    )
    db.add(goal)
    db.flush()
    return goal


def make_course(db, now, base: str, line_item_url: str | None, *, family="moodle", scopes=None) -> Course:
    """Make a course on the platform at ``base``, with a link whose column is at ``line_item_url``."""
    platform = LtiPlatform(
        name="lms",
        issuer="https://moodle.example",
        client_id="client-1",
        auth_url=base + "/auth",
        token_url=base + "/token",
        jwks_url=base + "/jwks",
        family=family,
        employee_number_params=[],
        created_at=now,
    )
    db.add(platform)
    db.flush()
    context = LtiContext(platform_id=platform.id, deployment_id="36", context_id="3", last_launch_at=now)
    db.add(context)
    db.flush()
    link = LtiResourceLink(
        context_id=context.id,
        resource_link_id="12",
        line_item_url=line_item_url,
        scopes=SCOPES if scopes is None else scopes,
        last_launch_at=now,
    )
    db.add(link)
    db.flush()
    return Course(platform, context, link)


def join_course(db, course: Course, person: Person, sub: str, now, roles=("Learner",), *, graded=True):
    """Let a person launch once in the course."""
    user = LtiUser(
        platform_id=course.platform.id,
        sub=sub,
        person_id=person.id,
        link_state="confirmed",
        last_launch_at=now,
    )
    db.add(user)
    db.flush()
    member = CourseMember(
        context_id=course.context.id,
        lti_user_id=user.id,
        roles=list(roles),
        is_learner="Learner" in roles,
        graded_link_id=course.link.id if graded else None,
        launch_sha256="",
        last_launch_at=now,
    )
    db.add(member)
    db.flush()
    return member


def hold(db, runtime, row, now):
    """Hold a delivery as the worker does. :return: how it is due, and the books about it."""
    due = Due._make(db.execute(select_due(Delivery.id == row.id)).one())
    return due, Held(db, [due], runtime.plugins.sinks, now)
