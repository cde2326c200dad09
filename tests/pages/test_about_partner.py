"""What people say about themselves for their partner alone; and hints about stereotypes in goals."""

import pytest

from rmplugin.programmes import profiles
from tests.factories.pairs import GOAL, make_pair
from tests.factories.people import make_person


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


def test_partner_when_both_said_yes_reads_topics_and_interests_and_nobody_else_does(sign_in, tenant, pair):
    mine = sign_in(tenant, pair.mentor).get("/about-me")
    topics = {"topic-health": "closed", "topic-career": "open"}
    mine.submit("/about-me", interests="night trains, choir", closed_topics="my exams", **topics)
    assert "Saved. Your partner reads it so from now on." in mine.says()
    theirs = sign_in(tenant, pair.mentee).get(pair.path).says()
    assert "About Mira Junior Interests night trains, choir" in theirs
    assert "Open to talk about My career so far" in theirs
    assert "Please not about Health and strain; my exams" in theirs
    assert "Ask first about My everyday work here; How leadership" in theirs
    manager = sign_in(tenant, manager=True)
    programme = pair.programme.id
    for path in ("/manage", f"/programmes/{programme}/enrolments", f"/programmes/{programme}/people"):
        page = manager.get(path)
        assert "night trains" not in page.text
        assert "my exams" not in page.text


def test_about_page_when_nobody_enrolled_yet_is_not_there(sign_in, database, tenant):
    with database.transaction(tenant.id) as db:
        person = make_person(db)
    browser = sign_in(tenant, person)
    assert browser.get("/about-me").status == 404
    assert browser.post("/about-me", interests="x").status == 404


def test_about_page_when_a_boundary_is_none_of_ours_is_refused(sign_in, tenant, pair):
    mine = sign_in(tenant, pair.mentor).get("/about-me")
    assert mine.submit("/about-me", **{"topic-health": "whatever"}).status == 422
    with pair.transaction() as db:
        assert profiles.find_profile(db, pair.mentor.id).topics == {}


def test_goal_when_it_judges_by_age_is_kept_with_a_hint(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentee).get(f"{pair.path}/goals/new")
    words = {name: str(value) for name, value in GOAL.items()} | {"title": "I am too old to code, I said"}
    browser.submit("/goals", **words)
    assert "Your goal is set." in browser.says()
    assert "“too old to” judges by age" in browser.says()
    assert "I am too old to code, I said" in browser.says()
