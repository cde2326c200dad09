"""The whole way of the protocol against a platform that somebody else wrote: the LTI consumer of Open edX."""

import base64
import json
from datetime import timedelta

import jwt
import pytest

from lti import ags, claims, deep_linking, nrps
from lti.claims import ROLES
from lti.errors import ServiceError
from lti.jwks import generate_signing_key
from tests.fakes.openedx.client import browser
from tests.lti.openedx_fixtures import now, running_site


@pytest.fixture(scope="module")
def running():
    with running_site() as site:
        yield site


@pytest.fixture
def site(running):
    running.platform.control(reset=True)
    for seen in (running.tool.launches, running.tool.refusals, running.tool.new_tabs):
        seen.clear()
    return running


@pytest.fixture
def learner_launch(site):
    return site.launch(site.platform.launch_urls["learner"])


def line_item_of(site, launch, **changes):
    """Find or create the line item that belongs to the link of a launch."""
    wanted = {
        "label": "Reverse mentoring",
        "score_maximum": 10,
        "resource_id": "programme-7",
        "tag": "credits",
        "resource_link_id": launch.resource_link.id,
        "offered_scopes": launch.ags.scopes,
    }
    return ags.find_or_create_line_item(
        site.tool.service(),
        launch.platform,
        launch.ags.lineitems,
        **(wanted | changes),
    )


def post(site, launch, line_item, given, at, *, user_id=None):
    """Post a final score of ten at most."""
    score = ags.Score(
        user_id=user_id or launch.subject,
        score_given=given,
        score_maximum=10,
        activity_progress="Completed",
        grading_progress="FullyGraded",
        timestamp=at,
        comment="Well done",
    )
    return ags.post_score(site.tool.service(), launch.platform, line_item.id, score)


def test_launch_as_instructor_is_accepted_with_course_and_services(site):
    launch = site.launch(site.platform.launch_urls["instructor"])

    assert launch.message_type == "LtiResourceLinkRequest"
    assert launch.deployment_id == "1"
    assert launch.deployment_state == "approved"
    assert launch.roles.is_instructor
    assert launch.roles.is_administrator
    assert not launch.roles.is_learner
    assert launch.context.id == site.platform.context_id
    assert launch.context.title == "Reverse mentoring - Fabrikam"
    assert launch.resource_link.id == site.platform.resource_link_id
    assert launch.target_link_uri == f"{site.tool.url}/lti/launch"
    assert launch.nrps_url.startswith(site.platform.memberships_url)
    assert launch.ags.lineitems == site.platform.lineitems_url
    assert launch.ags.lineitem is None
    assert set(launch.ags.scopes) == {ags.SCOPE_LINE_ITEM, ags.SCOPE_RESULT, ags.SCOPE_SCORE}


def test_launch_as_learner_is_accepted_with_person_and_employee_number(site, learner_launch):
    person = next(p for p in site.platform.people() if p["role"] == "student")

    assert learner_launch.roles.is_learner
    assert not learner_launch.roles.is_instructor
    assert not learner_launch.roles.is_administrator
    assert learner_launch.subject == person["external_id"]
    assert learner_launch.display_name == person["name"]
    assert learner_launch.email == person["email"]
    assert learner_launch.custom == {"employee_number": person["employee_number"]}


def test_launch_when_the_platform_shares_nothing_is_accepted_without_a_name(site):
    site.platform.control(share_in_launch=False, custom={"cohort": "2026"})

    launch = site.launch(site.platform.launch_urls["learner"])

    assert launch.subject
    assert launch.display_name is None
    assert launch.custom == {"cohort": "2026"}


def test_launch_when_the_message_is_posted_twice_is_refused_the_second_time(site):
    with browser() as session:
        action, fields = site.platform.id_token_form(site.platform.launch_urls["learner"], session)
        first = session.post(action, data=fields, timeout=10)
        second = session.post(action, data=fields, timeout=10)

    assert (first.status_code, second.status_code) == (200, 403)
    assert site.tool.refusals == ["state_unknown"]
    assert len(site.tool.launches) == 1


def test_launch_when_a_message_is_posted_with_another_state_is_refused(site):
    with browser() as session:
        action, first = site.platform.id_token_form(site.platform.launch_urls["learner"], session)
        _, second = site.platform.id_token_form(site.platform.launch_urls["learner"], session)
        answer = session.post(action, data={**second, "id_token": first["id_token"]}, timeout=10)

    assert answer.status_code == 403
    assert site.tool.refusals == ["nonce_invalid"]
    assert site.tool.launches == []


def test_launch_when_a_learner_makes_a_teacher_of_themselves_is_refused(site):
    with browser() as session:
        action, fields = site.platform.id_token_form(site.platform.launch_urls["learner"], session)
        head, body, proof = fields["id_token"].split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=="))
        claims[ROLES] = ["http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor"]
        forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        answer = session.post(action, data={**fields, "id_token": f"{head}.{forged}.{proof}"}, timeout=10)

    assert answer.status_code == 401
    assert site.tool.refusals == ["signature_invalid"]
    assert site.tool.launches == []


def test_launch_when_the_cookie_is_blocked_succeeds_in_a_new_tab(site):
    with browser() as session, browser() as stranger:
        action, fields = site.platform.id_token_form(site.platform.launch_urls["learner"], session)
        assert stranger.post(action, data=fields, timeout=10).text == "open a new tab"
        assert site.tool.launches == []

        answer = site.platform.launch(site.tool.new_tabs[0], session)

    assert answer.text == "accepted"
    assert site.tool.launches[0].roles.is_learner


def test_roster_when_it_has_several_pages_is_read_whole(site, learner_launch):
    people = site.platform.people()

    members = list(nrps.members(site.tool.service(), learner_launch.platform, learner_launch.nrps_url))

    assert [member.user_id for member in members] == [person["external_id"] for person in people]
    assert [(m.name, m.email) for m in members] == [(p["name"], p["email"]) for p in people]
    assert sum(member.roles.is_instructor for member in members) == 2
    assert sum(member.roles.is_learner for member in members) == 58
    pages = site.platform.requests_to("/memberships")
    assert [page["query"].get("page") for page in pages] == [None, "2", "3"]
    assert {page["accept"] for page in pages} == {nrps.MEMBERSHIP_TYPE}


def test_roster_when_the_platform_sends_one_page_is_read_whole(site):
    site.platform.control(roster_page_size=0)
    launch = site.launch(site.platform.launch_urls["instructor"])

    members = list(nrps.members(site.tool.service(), launch.platform, launch.nrps_url))

    assert len({member.user_id for member in members}) == 60
    assert len(site.platform.requests_to("/memberships")) == 1


def test_roster_when_the_course_shares_no_personal_data_has_ids_and_roles_only(site, learner_launch):
    site.platform.control(share_in_roster=False)

    members = list(nrps.members(site.tool.service(), learner_launch.platform, learner_launch.nrps_url))

    assert len(members) == 60
    assert {(member.name, member.email) for member in members} == {(None, None)}
    assert sum(member.roles.is_learner for member in members) == 58


def test_access_token_when_one_is_cached_is_not_asked_for_again(site, learner_launch):
    # The scope set is one that no other test asks for, because the tokens outlive a test.
    scopes = [ags.SCOPE_RESULT, nrps.SCOPE_MEMBERSHIP]

    tokens = {site.tool.service().access_token(learner_launch.platform, scopes) for _ in range(2)}

    assert len(tokens) == 1
    assert len(site.platform.requests_to("/token/")) == 1


def test_line_item_when_it_is_wanted_twice_is_created_once(site, learner_launch):
    first = line_item_of(site, learner_launch)
    second = line_item_of(site, learner_launch)
    other = line_item_of(site, learner_launch, resource_id="programme-8")

    assert first.id == second.id
    assert other.id != first.id
    assert (first.resource_id, first.tag, first.score_maximum) == ("programme-7", "credits", 10)
    assert first.resource_link_id == site.platform.resource_link_id
    written = [r for r in site.platform.requests_to("/lti-ags") if r["method"] == "POST"]
    assert [(r["status"], r["content_type"]) for r in written] == [(201, ags.LINE_ITEM_TYPE)] * 2


def test_line_item_when_changed_is_what_the_platform_has_and_deleting_is_refused(site, learner_launch):
    service, platform = site.tool.service(), learner_launch.platform
    made = line_item_of(site, learner_launch, resource_link_id=None)

    ags.update_line_item(service, platform, made, label="Renamed", score_maximum=20)
    found = ags.get_line_item(service, platform, made.id, offered_scopes=learner_launch.ags.scopes)
    assert (found.label, found.score_maximum, found.tag) == ("Renamed", 20, "credits")

    # Its permissions know an action "delete" only, and the framework calls it "destroy".
    with pytest.raises(ServiceError) as refused:
        ags.delete_line_item(service, platform, made.id)
    assert (refused.value.status, refused.value.retriable) == (403, False)


@pytest.mark.parametrize(("given", "in_gradebook"), [(8, 80), (0, 0), (12.5, 100)])
def test_score_when_the_line_item_belongs_to_the_link_reaches_the_gradebook(
    site,
    learner_launch,
    given,
    in_gradebook,
):
    receipt = post(site, learner_launch, line_item_of(site, learner_launch), given, now())

    assert receipt.status == 201
    grade = site.platform.grades()[learner_launch.subject]
    assert (grade["score"], grade["maximum"], grade["comment"]) == (in_gradebook, 100, "Well done")


def test_score_when_the_line_item_stands_alone_is_stored_but_not_published(site, learner_launch):
    line_item = line_item_of(site, learner_launch, resource_link_id=None)

    post(site, learner_launch, line_item, 8, now())

    assert site.platform.grades() == {}
    results = ags.get_results(site.tool.service(), learner_launch.platform, line_item.id)
    assert [result.score for result in results] == [8]


def test_score_when_a_newer_one_comes_replaces_the_older(site, learner_launch):
    line_item = line_item_of(site, learner_launch)
    first = now()
    post(site, learner_launch, line_item, 4, first)

    post(site, learner_launch, line_item, 9, ags.next_timestamp(first, first))

    assert site.platform.grades()[learner_launch.subject]["score"] == 90


@pytest.mark.parametrize("earlier", [timedelta(0), timedelta(seconds=1), timedelta(days=1)])
def test_score_when_its_timestamp_is_stale_is_refused_and_changes_nothing(site, learner_launch, earlier):
    line_item = line_item_of(site, learner_launch)
    first = now()
    post(site, learner_launch, line_item, 8, first)

    with pytest.raises(ServiceError) as refused:
        post(site, learner_launch, line_item, 9, first - earlier)

    assert (refused.value.code, refused.value.status, refused.value.retriable) == ("refused", 400, False)
    assert site.platform.grades()[learner_launch.subject]["score"] == 80
    results = ags.get_results(site.tool.service(), learner_launch.platform, line_item.id)
    assert [result.score for result in results] == [8]


def test_score_when_the_person_is_not_in_the_course_raises_and_is_not_stored(site, learner_launch):
    line_item = line_item_of(site, learner_launch)

    with pytest.raises(ServiceError) as failed:
        post(site, learner_launch, line_item, 8, now(), user_id="11111111-2222-3333-4444-555555555555")

    assert (failed.value.status, failed.value.retriable) == (500, True)
    assert ags.get_results(site.tool.service(), learner_launch.platform, line_item.id) == []


def test_results_when_scores_were_posted_are_read_back(site, learner_launch):
    line_item = line_item_of(site, learner_launch)
    others = [p["external_id"] for p in site.platform.people() if p["role"] == "student"][1:3]
    for given, user_id in ((7.5, learner_launch.subject), (3, others[0]), (10, others[1])):
        post(site, learner_launch, line_item, given, now(), user_id=user_id)

    service, platform = site.tool.service(), learner_launch.platform
    everybody = ags.get_results(service, platform, line_item.id)
    own = ags.get_results(service, platform, line_item.id, learner_launch.subject)

    assert {result.user_id: result.score for result in everybody} == {
        learner_launch.subject: 7.5,
        others[0]: 3,
        others[1]: 10,
    }
    assert [(result.score, result.maximum, result.comment) for result in own] == [(7.5, 10, "Well done")]


def test_deep_linking_when_a_link_is_returned_becomes_what_learners_launch(site):
    with browser() as session:
        answer = site.platform.launch(
            site.platform.launch_url("amara.okafor", message="deep_linking"), session
        )
        assert answer.text == "accepted"
        request = site.tool.launches[-1]
        assert request.message_type == "LtiDeepLinkingRequest"
        message = deep_linking.build_response(
            deep_linking.ContentRequest.of(request),
            [
                deep_linking.ResourceLinkItem(
                    title="Programme 7",
                    url=f"{site.tool.url}/lti/launch",
                    custom={"programme": "7"},
                ),
            ],
            key=site.tool.store.signing_key(),
            now=now(),
        )
        saved = session.post(request.deep_linking.return_url, data={"JWT": message}, timeout=10)

    assert saved.status_code == 200
    assert [item["title"] for item in site.platform.control()["content_items"]] == ["Programme 7"]
    assert site.launch(site.platform.launch_urls["learner"]).custom == {"programme": "7"}


def test_line_item_when_deleted_is_refused_by_this_platform_whatever_the_scopes(site, learner_launch):
    # The reason for its dialect: a column that a check makes there could not be deleted again.
    service, platform = site.tool.service(), learner_launch.platform
    column = ags.find_or_create_line_item(
        service,
        platform,
        learner_launch.ags.lineitems,
        label="self-test",
        score_maximum=100,
        resource_id="self-test",
        tag="self-test",
        offered_scopes=learner_launch.ags.scopes,
    )
    with pytest.raises(ServiceError) as caught:
        ags.delete_line_item(service, platform, column.id)
    assert caught.value.status == 403


def ask_for_content(site, session):
    """Start content selection as an instructor; return the request that the tool accepted."""
    url = site.platform.launch_url("amara.okafor", message="deep_linking")
    assert site.platform.launch(url, session).text == "accepted"
    return site.tool.launches[-1]


def items_of(site):
    return [item["title"] for item in site.platform.control()["content_items"]]


def test_deep_linking_when_several_links_are_returned_are_all_kept(site):
    items = [
        deep_linking.ResourceLinkItem(
            title,
            url=f"{site.tool.url}/lti/launch",
            text="t",
            custom={"view": title},
            line_item=deep_linking.LineItemRequest(
                100, tag="completion", submission_review=ags.REVIEWABLE["submissionReview"]
            ),
            thumbnail=deep_linking.Image(f"{site.tool.url}/i.svg", 8, 8),
            extra={"window": {"targetName": "_blank"}},
        )
        for title in ("goals", "credits", '<b>"desk"</b>')
    ]
    with browser() as session:
        request = deep_linking.ContentRequest.of(ask_for_content(site, session))
        message = deep_linking.build_response(request, items, key=site.tool.store.signing_key(), now=now())
        saved = session.post(request.return_url, data={"JWT": message}, timeout=10)
    assert saved.status_code == 200
    kept = site.platform.control()["content_items"]
    assert [item["title"] for item in kept] == ["goals", "credits", '<b>"desk"</b>']
    assert [item["custom"]["view"] for item in kept] == ["goals", "credits", '<b>"desk"</b>']
    assert kept[0]["lineItem"] == {"scoreMaximum": 100, "tag": "completion"}


def test_deep_linking_when_nothing_is_returned_clears_what_was_there(site):
    with browser() as session:
        for items in ([deep_linking.ResourceLinkItem("x")], []):
            request = deep_linking.ContentRequest.of(ask_for_content(site, session))
            message = deep_linking.build_response(
                request, items, key=site.tool.store.signing_key(), now=now(), message="Done"
            )
            saved = session.post(request.return_url, data={"JWT": message}, timeout=10)
            assert saved.status_code == 200
            assert items_of(site) == [item.title for item in items]


@pytest.mark.parametrize(
    "fault", ["foreign key", "cut", "expired", "launch instead", "other type", "learner"]
)
def test_deep_linking_when_the_answer_is_faulty_is_refused_and_adds_nothing(site, fault):
    item = deep_linking.ResourceLinkItem("x", url=f"{site.tool.url}/lti/launch")
    if fault == "other type":
        item = deep_linking.ResourceLinkItem("x", extra={"html": "<b>"})
    key = generate_signing_key() if fault == "foreign key" else site.tool.store.signing_key()
    with browser() as session, browser() as other:
        request = deep_linking.ContentRequest.of(ask_for_content(site, session))
        at = now() - timedelta(minutes=10) if fault == "expired" else now()
        message = deep_linking.build_response(request, [item], key=key, now=at)
        if fault == "cut":
            message = message[:-10]
        if fault == "launch instead":
            body = jwt.decode(message, options={"verify_signature": False})
            body[claims.MESSAGE_TYPE] = "LtiResourceLinkRequest"
            message = jwt.encode(body, key.private_key, algorithm="RS256", headers={"kid": key.kid})
        if fault == "other type":
            body = jwt.decode(message, options={"verify_signature": False})
            body[claims.DEEP_LINKING + "content_items"][0]["type"] = "unheard-of"
            message = jwt.encode(body, key.private_key, algorithm="RS256", headers={"kid": key.kid})
        poster = other if fault == "learner" else session
        if fault == "learner":
            site.platform.launch(site.platform.launch_urls["learner"], other)
        saved = poster.post(request.return_url, data={"JWT": message}, timeout=10)
    # It answers an expired message with a fault of its own. Audience, deployment and repetition it does not
    # look at; the practice LMS does.
    assert saved.status_code == 500 if fault == "expired" else saved.status_code in (400, 403)
    assert items_of(site) == []
