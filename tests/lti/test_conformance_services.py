"""Certification guide, services: what the tool asks of the platform, checked by a strict one."""

import pytest
from sqlalchemy import select

from lti import nrps
from rmplugin.credits import tasks
from rmplugin.people.models import Person
from rmplugin.tenants.models import LtiContext, LtiPlatform
from rmplugin.tenants.store import as_platform
from tests.factories.credits import confirm_session, make_pair
from tests.fakes.lti_platform import AGS_SCOPE, LINE_ITEM, MEMBERS, NRPS_SCOPE, SCORE
from tests.lti.conformance import cases

roster = cases("Names and Role Provisioning")
grades = cases("Assignment and Grade")


@pytest.fixture
def read_roster(suite, runtime, tenant):
    """Return a function that launches, then reads the members at the address that the launch left."""

    def read():
        suite.platform.members = [{"user_id": str(n), "roles": ["Learner"]} for n in range(1, 6)]
        suite.expect(suite.launch())
        with runtime.database.transaction(tenant.id, write=False) as db:
            url = db.scalars(select(LtiContext.memberships_url)).one()
            platform = as_platform(db.scalars(select(LtiPlatform)).one())
        found = list(nrps.members(tasks.service_client(runtime), platform, url))
        assert suite.platform.refusals == []
        return found, suite.platform.headers["/nrps/members"]

    return read


@roster("Request received", sent="launch with namesroleservice; all pages are read", shows="participant")
def test_nrps_request_when_roster_is_read_gets_every_page(read_roster):
    members, _ = read_roster()
    assert [member.user_id for member in members] == ["1", "2", "3", "4", "5"]


@roster("Header", sent="Accept is the membership container's type", shows="participant")
def test_nrps_header_when_roster_is_read_asks_for_the_membership_container(read_roster):
    _, headers = read_roster()
    assert headers["Accept"] == MEMBERS


@roster("Token", sent="Bearer token of the platform", shows="participant")
def test_nrps_token_when_roster_is_read_is_the_platforms(read_roster, suite):
    _, headers = read_roster()
    kind, token = headers["Authorization"].split(" ")
    assert kind == "Bearer"
    assert token in suite.platform.tokens


@roster("Scope", sent="contextmembership.readonly and nothing else", shows="participant")
def test_nrps_scope_when_roster_is_read_is_the_membership_scope_alone(read_roster, suite):
    read_roster()
    assert [scopes for scopes, _ in suite.platform.tokens.values()] == [{NRPS_SCOPE}]


@pytest.fixture
def mentor(suite, runtime, tenant, clock):
    """Return a function that launches a learner, confirms a session of theirs and lets the worker work."""

    def mentor():
        suite.platform.members = [{"user_id": "7", "roles": ["Learner"]}]
        suite.expect(suite.launch())
        with runtime.database.transaction(tenant.id) as db:
            person = db.scalars(select(Person).where(Person.employee_number == "E-1001")).one()
            context = db.scalars(select(LtiContext.id)).one()
            pair = make_pair(
                db, clock.now, mentee=person, context_id=context, min_sessions=2, min_minutes=120
            )
            confirm_session(db, pair, clock.now)
        tasks.deliver_now(runtime)
        assert suite.platform.refusals == []
        return suite.platform

    return mentor


@grades("Line item created", sent="one learner launch with `lineitems` alone", shows="participant")
def test_ags_line_item_when_a_result_comes_is_created_once(mentor, runtime):
    platform = mentor()
    tasks.deliver_now(runtime)
    (item,) = platform.line_items.values()
    assert item["scoreMaximum"] == 100
    assert (item["tag"], item["resourceLinkId"]) == ("completion", "12")
    assert platform.headers["/ags/lineitems"]["Content-Type"] == LINE_ITEM


@grades("Score posted", sent="the learner's progress, FullyGraded", shows="participant")
def test_ags_score_when_a_result_comes_is_posted_for_the_learner(mentor):
    platform = mentor()
    ((number, user),) = platform.scores
    assert (user, platform.scores[number, user]["result"]) == ("7", 50)
    assert platform.headers[f"/ags/lineitems/{number}/LineItem/scores"]["Content-Type"] == SCORE


@grades("Scopes", sent="no scope that the launch did not offer", shows="participant")
def test_ags_scopes_when_a_result_comes_are_those_offered(mentor):
    platform = mentor()
    asked = set().union(*(scopes for scopes, _ in platform.tokens.values()))
    assert AGS_SCOPE + "score" in asked
    assert asked <= platform.offered
