"""The page of a pair: the one next action, who is who, and whose it is."""

from datetime import timedelta

import pytest

from tests.factories.pairs import make_pair
from tests.factories.people import make_person


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


def test_pairing_when_new_asks_to_write_down_what_one_expects(sign_in, tenant, pair):
    page = sign_in(tenant, pair.mentor).get(pair.path)
    assert page.status == 200, page.says()
    assert "You are the mentor: you teach. Sven Senior is the mentee and learns." in page.says()
    assert f'href="{pair.path}/agreement/draft"' in page.text
    pair.expect(pair.mentor)
    assert "What do you want to take with you?" in sign_in(tenant, pair.mentor).get(pair.path).says()
    pair.expect(pair.mentee)
    page = sign_in(tenant, pair.mentor).get(pair.path)
    assert "You and Sven Senior have written down what you expect." in page.says()


def test_pairing_when_version_unsigned_asks_only_the_other_side_to_sign(sign_in, tenant, pair):
    agreement = pair.propose(pair.mentor)
    pair.sign(agreement, pair.mentor)
    assert "Read and sign it" in sign_in(tenant, pair.mentee).get(pair.path).says()
    assert "Read and sign it" not in sign_in(tenant, pair.mentor).get(pair.path).says()


def test_pairing_when_session_waits_asks_to_confirm_it_first(sign_in, tenant, pair):
    pair.agree()
    session = pair.hold()
    page = sign_in(tenant, pair.mentee).get(pair.path)
    assert "Did your session take place?" in page.says()
    assert f'href="/sessions/{session.id}">Confirm the session' in page.text


def test_pairing_step_goes_through_the_life_of_a_pair(sign_in, tenant, pair, clock):
    browser = sign_in(tenant, pair.mentee)
    pair.agree()
    assert "Set a goal of your own" in browser.get(pair.path).says()
    pair.add_goal(pair.mentee)
    assert "Plan your first session with Mira Junior" in browser.get(pair.path).says()
    pair.claim(pair.hold(), pair.mentee, 60)
    assert "Plan your next session with Mira Junior" in browser.get(pair.path).says()
    pair.plan(pair.mentor, pair.now + timedelta(days=20))
    assert "All is set." in browser.get(pair.path).says()
    clock.forward(days=14)
    browser = sign_in(tenant, pair.mentee)
    assert "A check-in of two minutes" in browser.get(pair.path).says()


def test_pairing_shows_how_to_reach_the_partner(sign_in, tenant, pair):
    page = sign_in(tenant, pair.mentor).get(pair.path)
    assert f'href="mailto:{pair.mentee.email}"' in page.text
    assert "Time zone: Europe/London" in page.says()


def test_pairing_when_ended_is_readable_and_offers_no_change(sign_in, tenant, pair):
    pair.agree()
    pair.add_goal(pair.mentor)
    pair.end()
    page = sign_in(tenant, pair.mentor).get(pair.path)
    assert "This pairing has ended" in page.says()
    assert page.forms() == []
    assert "End this pairing" not in page.text
    assert "/sessions/new" not in page.text


def paths_of(pair):
    """Give every page and form target of a pair that has one of everything."""
    agreement, goal = pair.propose(pair.mentor), pair.add_goal(pair.mentee)
    session = pair.hold()
    gets = [
        pair.path,
        f"{pair.path}/agreement",
        f"{pair.path}/agreement/new",
        f"{pair.path}/agreement/draft",
        f"{pair.path}/introduction",
        f"/goals/{goal.id}/half-way",
        f"{pair.path}/goals/new",
        f"/goals/{goal.id}",
        f"/goals/{goal.id}/change",
        f"/goals/{goal.id}/review",
        f"{pair.path}/sessions/new",
        f"/sessions/{session.id}",
        f"/sessions/{session.id}/move",
        f"{pair.path}/checkin",
    ]
    posts = [
        f"{pair.path}/agreement",
        f"{pair.path}/agreement/draft",
        f"{pair.path}/introduction",
        f"/goals/{goal.id}/half-way",
        f"/agreements/{agreement.id}/sign",
        f"{pair.path}/goals",
        f"/goals/{goal.id}/change",
        f"/goals/{goal.id}/progress",
        f"/goals/{goal.id}/review",
        f"/goals/{goal.id}/drop",
        f"{pair.path}/sessions",
        f"/sessions/{session.id}/claim",
        f"/sessions/{session.id}/move",
        f"/sessions/{session.id}/cancel",
        f"{pair.path}/checkin",
    ]
    return gets, posts


def answers_of(browser, pair):
    gets, posts = paths_of(pair)
    found = {("GET", path): browser.get(path).status for path in gets}
    return found | {("POST", path): browser.post(path, minutes="60", attainment="1").status for path in posts}


def refused(answers, status):
    return {request: got for request, got in answers.items() if got != status}


def test_pages_of_a_pair_open_for_both(sign_in, tenant, pair):
    gets, _posts = paths_of(pair)
    for person in (pair.mentor, pair.mentee):
        browser = sign_in(tenant, person)
        assert [path for path in gets if browser.get(path).status != 200] == []


def test_pages_of_a_pair_when_manager_without_hr_record_are_closed(sign_in, tenant, pair):
    assert refused(answers_of(sign_in(tenant, manager=True), pair), 403) == {}


def test_pages_of_a_pair_when_manager_known_to_hr_are_not_found(sign_in, tenant, pair):
    with pair.transaction() as db:
        boss = make_person(db)
    assert refused(answers_of(sign_in(tenant, boss, manager=True), pair), 404) == {}


def test_pages_of_a_pair_when_of_another_pair_are_not_found(sign_in, tenant, pair, runtime):
    other = make_pair(runtime, tenant)
    assert refused(answers_of(sign_in(tenant, other.mentor), pair), 404) == {}


def test_pages_of_a_pair_when_of_another_tenant_are_not_found(sign_in, other_tenant, pair, runtime):
    stranger = make_pair(runtime, other_tenant)
    assert refused(answers_of(sign_in(other_tenant, stranger.mentor), pair), 404) == {}


def test_pairing_when_it_does_not_fit_leads_to_the_way_out(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor).get(pair.path)
    assert f'href="{pair.path}/end">End this pairing' in browser.text
    assert browser.get(f"{pair.path}/end").status == 200
