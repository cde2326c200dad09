"""A person's own goals over all pairings: what to do next, what is open, what is over; nobody else's."""

import pytest

from rmplugin.goals.models import Goal
from tests.factories.pairs import GOAL, make_pair


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


def test_my_goals_when_there_is_no_pairing_says_when_they_come(sign_in, tenant, pair, database):
    with database.transaction(tenant.id) as db:
        for goal in db.query(Goal):
            db.delete(goal)
        db.delete(db.merge(pair.pairing))
    browser = sign_in(tenant, pair.mentee).get("/goals")
    assert "As soon as you have a partner" in browser.says()


def test_my_goals_when_there_is_none_leads_to_the_first(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentee).get("/goals")
    assert "You have no goal in your pairing with" in browser.says()
    assert f'href="{pair.path}/goals/new"' in browser.text


def test_my_goals_when_one_is_open_asks_where_the_person_stands(sign_in, tenant, pair):
    goal = pair.add_goal(pair.mentee)
    browser = sign_in(tenant, pair.mentee).get("/goals")
    assert f"Where do you stand with “{GOAL['title']}”" in browser.says()
    assert f'href="/goals/{goal.id}"' in browser.text


def test_my_goals_when_one_is_due_leads_to_its_review(sign_in, tenant, pair, clock):
    goal = pair.add_goal(pair.mentee)
    clock.forward(days=400)
    browser = sign_in(tenant, pair.mentee).get("/goals")
    assert f'href="/goals/{goal.id}/review"' in browser.text


def test_my_goals_when_the_partner_has_goals_shows_none_of_them(sign_in, tenant, pair):
    pair.add_goal(pair.mentor)
    browser = sign_in(tenant, pair.mentee).get("/goals")
    assert GOAL["title"] not in browser.says()
