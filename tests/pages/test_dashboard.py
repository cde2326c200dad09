"""Home of a participant, desk of a manager, the page for people whom nobody knows."""

import uuid

import pytest
from sqlalchemy import select

from rmplugin import notify
from rmplugin.notify import Notice
from rmplugin.people.models import CourseMember, LtiUser
from rmplugin.programmes.operations import invite
from rmplugin.safeguards.models import ContactPerson
from tests.factories.matching import make_scene
from tests.factories.pairs import make_pair
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import make_context, make_programme


@pytest.fixture
def course(runtime, tenant):
    with runtime.database.transaction(tenant.id) as db:
        context = make_context(db)
        programme = make_programme(db, context)
    return context, programme


def visitor(runtime, tenant, context, problem: str) -> LtiUser:
    with runtime.database.transaction(tenant.id) as db:
        user = LtiUser(
            platform_id=context.platform_id,
            sub=uuid.uuid4().hex,
            link_state="unlinked",
            link_problem=problem,
            name="Robin Guest",
            last_launch_at=runtime.clock(),
        )
        db.add(user)
        db.flush()
        db.add(
            CourseMember(
                context_id=context.id,
                lti_user_id=user.id,
                roles=["Learner"],
                is_learner=True,
                launch_sha256="",
                last_launch_at=runtime.clock(),
            )
        )
    return user


def test_home_when_hr_does_not_know_the_visitor_says_so_and_tells_the_manager(
    sign_in, runtime, tenant, course
):
    context, _programme = course
    user = visitor(runtime, tenant, context, "no_match")
    page = sign_in(tenant, context=context, lti_user=user).get("/home")
    assert page.status == 200
    assert "We could not find you in the staff list" in page.says()
    assert "nobody with this employee number" in page.says()
    desk = sign_in(tenant, manager=True, context=context).get("/manage")
    assert "Robin Guest" in desk.says()
    assert "nobody with this employee number" in desk.says()


def test_home_when_course_has_no_programme_says_there_is_nothing_to_do(sign_in, runtime, tenant):
    with runtime.database.transaction(tenant.id) as db:
        context, person = make_context(db), make_person(db)
    assert (
        "No programme runs in this course yet" in sign_in(tenant, person, context=context).get("/home").says()
    )


def test_desk_when_course_has_no_programme_offers_the_templates(sign_in, runtime, tenant):
    with runtime.database.transaction(tenant.id) as db:
        context = make_context(db)
    page = sign_in(tenant, manager=True, context=context).get("/home")
    assert "Start from a template" in page.says()
    assert 'href="/programmes/new"' in page.text


def test_desk_when_programme_is_a_draft_leads_to_its_launch_check(sign_in, runtime, tenant, course):
    context, programme = course
    with runtime.database.transaction(tenant.id) as db:
        db.merge(programme).state = "draft"
    page = sign_in(tenant, manager=True, context=context).get("/home")
    assert f'href="/programmes/{programme.id}/launch">Check readiness and launch' in page.text
    assert "Nobody is invited yet." not in page.says()
    assert "You see states and counts." in page.text


def test_desk_when_nobody_can_be_asked_in_confidence_says_so(sign_in, runtime, tenant, course):
    context, programme = course
    desk = sign_in(tenant, manager=True, context=context)
    assert "No confidential contact is named" in desk.get("/manage").says()
    with runtime.database.transaction(tenant.id) as db:
        contact = make_person(db)
        row = ContactPerson(programme_id=programme.id, person_id=contact.id, created_at=runtime.clock())
        db.add(row)
    assert "No confidential contact is named" not in desk.get("/manage").says()


def test_home_when_invited_leads_to_the_enrolment(sign_in, runtime, tenant, course):
    context, programme = course
    with runtime.database.transaction(tenant.id) as db:
        person = make_leader(db)
        invite(db, programme, "command", runtime.clock(), person_ids=[person.id])
    page = sign_in(tenant, person, context=context).get("/home")
    assert "You are invited" in page.says()
    assert f'href="/enrol/{programme.id}"' in page.text


def test_home_when_session_waits_for_confirmation_says_so_first(sign_in, runtime, tenant):
    pair = make_pair(runtime, tenant)
    pair.hold()
    page = sign_in(tenant, pair.mentee).get("/home")
    assert "Did your session take place?" in page.says()
    assert pair.mentor.display_name in page.says()


def test_desk_when_pairs_are_active_shows_counts_and_no_words(sign_in, runtime, tenant, clock):
    pair = make_pair(runtime, tenant)
    pair.agree(hopes="A very private hope")
    pair.add_goal(pair.mentee, title="A very private goal")
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    pair.claim(session, pair.mentee, 45)
    with runtime.database.transaction(tenant.id) as db:
        context = make_context(db)
        db.merge(pair.programme).context_id = context.id
    page = sign_in(tenant, manager=True, context=context).get("/manage")
    assert f"{pair.mentor.display_name} → {pair.mentee.display_name}" in page.says()
    assert "1 (45 min)" in page.says()
    assert "A very private" not in page.text


def test_notice_when_its_form_was_sent_is_put_away(sign_in, runtime, tenant, clock):
    pair = make_pair(runtime, tenant)
    with runtime.database.transaction(tenant.id) as db:
        notify.tell(db, pair.mentor.id, "x", "Look at your goals", clock.now, f"{pair.path}/goals")
        notify.tell(db, pair.mentor.id, "x", "Another pairing", clock.now, f"/pairings/{uuid.uuid4()}")
    browser = sign_in(tenant, pair.mentor)
    browser.get("/home")
    assert "Look at your goals" in browser.says()
    browser.get(f"{pair.path}/goals/new")
    browser.post(
        f"{pair.path}/goals",
        theme="technology",
        title="t",
        baseline="b",
        level_minus_2="a",
        level_minus_1="a",
        level_0="a",
        level_plus_1="a",
        level_plus_2="a",
        due_on="2027-05-01",
    )
    assert browser.status == 200
    with runtime.database.transaction(tenant.id, write=False) as db:
        left = [notice.text for notice in db.scalars(select(Notice).where(Notice.read_at.is_(None)))]
    assert "Another pairing" in left
    assert "Look at your goals" not in left


def test_notice_when_of_somebody_else_cannot_be_put_away(sign_in, runtime, tenant, clock):
    pair = make_pair(runtime, tenant)
    with runtime.database.transaction(tenant.id) as db:
        notify.tell(db, pair.mentor.id, "x", "For the mentor", clock.now)
        notice = db.scalars(select(Notice).where(Notice.text == "For the mentor")).one()
    assert sign_in(tenant, pair.mentee).post(f"/notices/{notice.id}/away").status == 404
    assert "For the mentor" in sign_in(tenant, pair.mentor).get("/home").says()


def test_form_when_sent_twice_takes_effect_once_and_says_so(sign_in, runtime, tenant):
    pair = make_pair(runtime, tenant)
    browser = sign_in(tenant, pair.mentor)
    fields = {
        "minutes": "60",
        "medium": "video",
        "on": "2026-11-30",
        "at": "10:00",
        "place": "",
        "agenda": "",
    }
    first = browser.post(f"{pair.path}/sessions", _once="the-same-key", **fields).status
    second = browser.post(f"{pair.path}/sessions", _once="the-same-key", **fields)
    assert first == 200
    assert second.status == 409
    assert "It took effect once" in second.says()


def test_home_when_proposal_is_open_leads_to_it_until_it_expires(sign_in, runtime, tenant, clock):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    scene.release(scene.run())
    page = sign_in(tenant, scene.Pia).get("/home")
    assert "We propose to bring you together with Ana Junior" in page.says()
    clock.forward(days=15)
    page = sign_in(tenant, scene.Pia).get("/home")
    assert "We propose to bring you together" not in page.says()


def test_desk_when_only_mentors_wait_says_that_mentees_are_missing(sign_in, runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben")
    with runtime.database.transaction(tenant.id) as db:
        context = make_context(db)
        db.get_one(type(scene.programme), scene.programme.id).context_id = context.id
    page = sign_in(tenant, manager=True, context=context).get("/manage")
    assert "Waiting for a partner: 2 as mentor, 0 as mentee. Invite more people" in page.says()
