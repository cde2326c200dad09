"""How far a visitor reaches: managers their own course, participants the programme that is theirs."""

from datetime import timedelta

import pytest

from rmplugin import notify
from rmplugin.matching.models import MatchRun, Proposal
from tests.factories.matching import make_scene
from tests.factories.pairs import make_pair
from tests.factories.people import make_person
from tests.factories.programmes import enrol, make_context, make_programme


@pytest.fixture
def courses(database, tenant):
    """Make two courses of one company."""
    with database.transaction(tenant.id) as db:
        return make_context(db, "Here"), make_context(db, "There")


def put(scene, course) -> None:
    with scene.transaction() as db:
        db.merge(scene.programme).context_id = course.id


def test_manager_of_another_course_reaches_nothing_of_a_programme(runtime, tenant, sign_in, courses):
    here, there = courses
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.run()
    proposal = scene.proposals(run_id)["Ana", "Pia"]
    put(scene, here)
    programme = f"/programmes/{scene.programme.id}"
    pages = [
        programme + rest for rest in ("", "/settings", "/people", "/enrolments", "/matching", "/deliveries")
    ]
    signup = ("/sign-up", "/concerns", "/readiness", "/launch", "/skills", "/endorsements")
    pages += [programme + rest for rest in signup]
    forms = [
        programme + rest
        for rest in ("/settings", "/state", "/course", "/invite-ticked", "/invite-all", "/matching")
    ]
    forms += [programme + rest for rest in ("/concerns", "/readiness", "/launch", "/skills", "/endorsements")]
    forms += [f"{programme}/sign-up/{verb}" for verb in ("nudge", "taster", "extend", "ease")]
    forms += [f"/runs/{run_id}/{verb}" for verb in ("release", "pin")]
    forms += [f"/proposals/{proposal.id}/{verb}" for verb in ("pin", "unpin", "drop", "restore")]
    for context in (there, None):
        stranger = sign_in(tenant, manager=True, context=context)
        assert {stranger.get(path).status for path in [*pages, f"/runs/{run_id}"]} == {403}
        assert "runs in another course" in stranger.says()
        answers = {
            path: stranger.post(path, role="mentor", mentor=scene.Ana.id, mentee=scene.Pia.id).status
            for path in forms
        }
        assert set(answers.values()) == {403}, answers
        assert scene.programme.name not in stranger.get("/programmes").says()
    with scene.transaction() as db:
        assert db.get_one(MatchRun, run_id).state == "solved"
        assert db.get_one(Proposal, proposal.id).state == "proposed"
    own = sign_in(tenant, manager=True, context=here)
    assert {own.get(path).status for path in [*pages, f"/runs/{run_id}"]} == {200}


def test_home_when_the_manager_drafts_the_next_programme_stays_with_the_one_that_runs(
    database, tenant, sign_in, courses, clock
):
    here, _there = courses
    with database.transaction(tenant.id) as db:
        running = make_programme(db, here, name="This year")
        person = make_person(db)
        enrol(db, running, person)
        draft = make_programme(db, here, name="Next year", state="draft")
        draft.created_at += timedelta(days=1)
    browser = sign_in(tenant, person, context=here).get("/home")
    assert "This year" in browser.says()
    assert "You are in." in browser.says()
    with database.transaction(tenant.id) as db:
        db.merge(draft).state = "enrolling"
    assert "This year" in browser.get("/home").says()
    with database.transaction(tenant.id) as db:
        stranger = make_person(db)
    assert "Next year" in sign_in(tenant, stranger, context=here).get("/home").says()


def test_home_when_only_the_partner_has_to_confirm_asks_for_nothing(runtime, tenant, sign_in, clock):
    pair = make_pair(runtime, tenant)
    clock.forward(hours=5)
    session = pair.hold()
    for person in (pair.mentor, pair.mentee):
        assert "1 session to confirm" in sign_in(tenant, person).get("/home").says()
    pair.claim(session, pair.mentor, 60)
    assert "to confirm" not in sign_in(tenant, pair.mentor).get("/home").says()
    assert "Confirm the session" in sign_in(tenant, pair.mentee).get("/home").says()


def test_home_when_a_session_waits_leads_straight_to_it_and_says_it_once(runtime, tenant, sign_in, clock):
    pair = make_pair(runtime, tenant)
    clock.forward(hours=5)
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    page = sign_in(tenant, pair.mentee).get("/home")
    assert page.text.count(f'href="/sessions/{session.id}"') == 1


def test_footer_of_a_page_with_words_of_its_own_leads_to_help_and_my_data(runtime, tenant, sign_in):
    pair = make_pair(runtime, tenant)
    page = sign_in(tenant, pair.mentee).get(f"{pair.path}/preparation")
    assert "not by whom" in page.says()
    assert 'href="/help"' in page.text
    assert 'href="/my-data"' in page.text


def test_home_when_the_pair_takes_a_break_says_until_when(runtime, tenant, sign_in):
    pair = make_pair(runtime, tenant)
    sign_in(tenant, pair.mentee).get(f"{pair.path}/no-time").submit("/no-time", choice="pause", weeks="2")
    for person in (pair.mentor, pair.mentee):
        assert "takes a break until" in sign_in(tenant, person).get("/home").says()
        assert "Go on with" not in sign_in(tenant, person).get("/home").says()
        assert "Plan a session" not in sign_in(tenant, person).get(pair.path).says()


def test_home_when_a_pairing_has_ended_asks_for_nothing_in_it(runtime, tenant, sign_in):
    pair = make_pair(runtime, tenant)
    for person in (pair.mentor, pair.mentee):
        pair.expect(person)
    assert "See where you differ" in sign_in(tenant, pair.mentor).get("/home").says()
    sign_in(tenant, pair.mentee).get(f"{pair.path}/end").submit("/end", next_choice="rematch")
    says = sign_in(tenant, pair.mentor).get("/home").says()
    assert "has ended" in says
    assert "See where you differ" not in says


def test_home_when_a_version_is_written_no_longer_asks_to_compare(runtime, tenant, sign_in):
    pair = make_pair(runtime, tenant)
    pair.propose(pair.mentee)
    says = sign_in(tenant, pair.mentor).get("/home").says()
    assert "read it and sign it" in says
    assert "See where you differ" not in says


def test_home_when_a_check_in_waits_leads_there_first_and_says_it_once(runtime, tenant, sign_in):
    pair = make_pair(runtime, tenant)
    path = f"/pairings/{pair.pairing.id}/checkin"
    with pair.transaction() as db:
        notify.tell(db, pair.mentee.id, "checkin_due", "Your check-in waits.", pair.now, path)
        notify.tell(
            db, pair.mentee.id, "message", "Somebody wrote.", pair.now, f"/pairings/{pair.pairing.id}"
        )
    page = sign_in(tenant, pair.mentee).get("/home")
    next_step = page.text.split('id="next"')[1].split("</section>")[0]
    assert f'href="{path}"' in next_step
    assert page.says().count("Your check-in waits.") == 1
    assert "Go on with" not in page.says()
