"""Tokens, line items, scores, results, members: against a strict platform on loopback."""

import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.error import URLError

import pytest

from lti import ags, nrps, service
from lti.errors import ServiceError
from lti.service import ServiceClient
from tests.fakes.lti_platform import AGS_SCOPE, CLAIM


def member(user_id, *roles, **more):
    return {"user_id": user_id, "roles": list(roles or ["Learner"]), "status": "Active", **more}


@pytest.fixture
def course(platform):
    platform.members = [member(str(number)) for number in range(1, 6)] + [member("9", "Instructor")]
    return platform


@pytest.fixture
def line_items_url(platform):
    return platform.base + "/ags/lineitems?type_id=36"


def count(platform, path):
    return sum(url.startswith(path) for _, url in platform.requests)


def score(user_id="1", given=60.0, at=None, grading="FullyGraded", **more):
    at = at or datetime(2026, 11, 23, 12, 0, 0, 400_000, tzinfo=UTC)
    return ags.Score(user_id, given, 100, "Completed", grading, at, **more)


def test_token_when_asked_twice_is_requested_once_and_shared_between_processes(
    services, registration, platform, store, http, clock
):
    first = services.access_token(registration, [ags.SCOPE_SCORE, ags.SCOPE_RESULT])
    other_process = ServiceClient(store, http, clock)
    assert other_process.access_token(registration, [ags.SCOPE_RESULT, ags.SCOPE_SCORE]) == first
    assert services.access_token(registration, [ags.SCOPE_SCORE]) != first
    assert count(platform, "/token") == 2


@pytest.mark.parametrize(
    ("lifetime", "used"), [(3600, 3540), ("3600", 3540), (None, 540), (61, 1), ("soon", 540)]
)
def test_token_when_a_minute_before_its_expiry_is_requested_again(
    services, registration, platform, clock, lifetime, used
):
    platform.token_lifetime = lifetime
    first = services.access_token(registration, [ags.SCOPE_SCORE])
    clock.advance(seconds=used - 0.5)
    assert services.access_token(registration, [ags.SCOPE_SCORE]) == first
    clock.advance(seconds=0.5)
    assert services.access_token(registration, [ags.SCOPE_SCORE]) != first


def test_token_when_registrations_share_an_issuer_is_never_shared(services, register, registration, platform):
    second = register(key="second")
    tokens = {services.access_token(p, [ags.SCOPE_SCORE]) for p in (registration, second)}
    assert len(tokens) == 2


def test_token_when_it_is_for_a_deployment_says_so_and_is_kept_apart(services, registration, platform):
    deployed = replace(registration, deployment_id=platform.deployment_id)
    tokens = {services.access_token(p, [ags.SCOPE_SCORE]) for p in (registration, deployed, deployed)}
    assert len(tokens) == 2
    assert [claims.get(CLAIM + "deployment_id") for claims in platform.assertions] == [None, "36"]
    with pytest.raises(ServiceError, match="no access token"):
        services.access_token(replace(registration, deployment_id="other"), [ags.SCOPE_SCORE])


def test_token_when_asked_for_anew_says_what_was_granted(services, registration, platform):
    platform.granted = {ags.SCOPE_SCORE}
    token = services.request_token(registration, [ags.SCOPE_SCORE, ags.SCOPE_RESULT])
    assert token.granted == {ags.SCOPE_SCORE}
    assert token.value not in repr(token)


@pytest.mark.parametrize(
    ("body", "reason", "description"),
    [
        (
            '{"error": "invalid_scope", "error_description": "not\\n allowed"}',
            "invalid_scope",
            "not allowed",
        ),
        (
            '{"error": "invalid_client", "error_description": "bad ' + "eyJ" * 30 + '"}',
            "invalid_client",
            "bad …",
        ),
        ('{"error": 7, "error_description": "a\\u0007b"}', None, None),
        ("<html>Not found</html>", None, None),
        ("[1]", None, None),
    ],
)
def test_token_when_refused_keeps_the_platforms_words_out_of_the_text(
    services, registration, platform, body, reason, description
):
    for status in (400, 401):
        platform.token_answer = (status, body)
        with pytest.raises(ServiceError) as caught:
            services.access_token(registration, [ags.SCOPE_SCORE])
        error = pickle.loads(pickle.dumps(caught.value))
        assert (error.code, error.status, error.retriable) == ("token_refused", status, False)
        assert (error.reason, error.description) == (reason, description)
        assert "invalid_" not in str(error)


def test_token_when_the_platform_has_its_own_audience_uses_it(services, register, platform):
    registration = register(token_audience="https://api.brightspace.com/auth/token")
    with pytest.raises(ServiceError) as caught:
        services.access_token(registration, [ags.SCOPE_SCORE])
    assert (caught.value.code, platform.refusals) == ("token_refused", ["assertion_audience"])


def test_token_when_tool_keys_cannot_be_read_says_what_to_check(services, registration, platform):
    def unreachable():
        raise URLError("no route")

    platform.tool_jwks = unreachable
    with pytest.raises(ServiceError, match="can reach this tool's key set") as caught:
        services.access_token(registration, [ags.SCOPE_SCORE])
    assert (caught.value.status, caught.value.retriable) == (404, False)


def test_call_when_token_was_revoked_asks_for_one_new_token(services, registration, course, line_items_url):
    list(ags.line_items(services, registration, line_items_url))
    course.tokens.clear()
    assert list(ags.line_items(services, registration, line_items_url)) == []
    assert count(course, "/token") == 2
    course.outage["ags"] = (401, {})
    with pytest.raises(ServiceError) as caught:
        list(ags.line_items(services, registration, line_items_url))
    assert (caught.value.code, caught.value.retriable) == ("unauthorised", False)
    assert count(course, "/token") == 3


@pytest.mark.parametrize(
    ("status", "headers", "code", "retriable", "retry_after"),
    [
        (500, {}, "unavailable", True, None),
        (503, {"Retry-After": "120"}, "unavailable", True, 120),
        (429, {"Retry-After": "Mon, 23 Nov 2026 12:01:00 GMT"}, "unavailable", True, 59.6),
        (429, {"Retry-After": "soon"}, "unavailable", True, None),
        (429, {"Retry-After": "9" * 400}, "unavailable", True, 365 * 86400),
        (429, {"Retry-After": "Fri, 31 Dec 9999 23:59:59 -0100"}, "unavailable", True, None),
        (403, {}, "refused", False, None),
        (302, {"Location": "/elsewhere"}, "redirected", False, None),
    ],
)
def test_call_when_platform_refuses_is_typed_by_what_to_do_next(
    services, registration, platform, line_items_url, status, headers, code, retriable, retry_after
):
    platform.outage["ags"] = (status, headers)
    with pytest.raises(ServiceError) as caught:
        list(ags.line_items(services, registration, line_items_url, tag="personal"))
    error = caught.value
    assert (error.code, error.status, error.retriable) == (code, status, retriable)
    assert error.retry_after == pytest.approx(retry_after) if retry_after else error.retry_after is None
    assert "personal" not in str(error)
    assert count(platform, "/elsewhere") == 0
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.__dict__) == (str(error), error.__dict__)


def test_call_when_nobody_listens_is_retriable_and_keeps_the_query_out_of_the_text(
    services, registration, platform
):
    url = "http://127.0.0.1:9/ags?user=secret"
    with pytest.raises(ServiceError) as caught:
        services.request(registration, "GET", url, [ags.SCOPE_RESULT], accept=ags.RESULTS_TYPE)
    assert (caught.value.code, caught.value.retriable, caught.value.status) == ("network", True, None)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["nowhere", "ftp://x.example/", "http://[::1/"])
def test_call_when_address_is_no_web_address_is_final(services, registration, url):
    with pytest.raises(ServiceError) as caught:
        services.request(registration, "GET", url, [ags.SCOPE_RESULT], accept=ags.RESULTS_TYPE)
    assert caught.value.retriable is False


def test_line_item_when_absent_is_created_once_and_adopted_from_any_page(
    services, registration, course, line_items_url
):
    for number in range(5):
        course.add_line_item(resourceId="other", tag=str(number))
    wanted = {"label": "Mentoring", "score_maximum": 100.0, "resource_id": "programme-1", "tag": "credit"}
    created = ags.find_or_create_line_item(
        services, registration, line_items_url, **wanted, resource_link_id="12"
    )
    found = ags.find_or_create_line_item(
        services, registration, line_items_url, **{**wanted, "label": "Renamed"}
    )
    assert found == created
    assert (found.label, found.score_maximum, found.resource_link_id) == ("Mentoring", 100.0, "12")
    assert len(course.line_items) == 6
    other = ags.find_or_create_line_item(services, registration, line_items_url, **{**wanted, "tag": "bonus"})
    assert other.id != found.id
    assert course.refusals == []


def test_line_item_when_scopes_are_limited_asks_for_the_offered_ones_only(
    services, registration, course, line_items_url
):
    course.offered = {AGS_SCOPE + "lineitem.readonly"}
    found = ags.line_items(services, registration, line_items_url, offered_scopes=course.offered)
    assert list(found) == []
    with pytest.raises(ServiceError, match="scopes"):
        list(ags.line_items(services, registration, line_items_url))
    assert course.refusals == ["invalid_scope"]


@pytest.mark.parametrize("changes", [{"tag": "x" * 256}, {"resource_id": "x" * 513}])
def test_line_item_when_ids_are_too_long_is_refused_before_any_call(
    services, registration, platform, changes
):
    wanted = {"label": "x", "score_maximum": 1.0, "resource_id": "r", "tag": "t", **changes}
    with pytest.raises(ValueError, match="at most"):
        ags.find_or_create_line_item(services, registration, "http://unused.example", **wanted)
    assert platform.requests == []


def test_line_item_when_updated_keeps_tag_and_resource_id(services, registration, course):
    url = course.add_line_item(resourceId="r", tag="t", gradesReleased=False)
    item = ags.get_line_item(services, registration, url)
    changed = ags.update_line_item(services, registration, item, label="New", score_maximum=10)
    assert (changed.label, changed.score_maximum, changed.resource_id, changed.tag) == ("New", 10, "r", "t")
    assert changed.raw["gradesReleased"] is False


def test_line_item_when_deleted_twice_is_gone(services, registration, course):
    url = course.add_line_item()
    ags.delete_line_item(services, registration, url)
    ags.delete_line_item(services, registration, url)
    assert course.line_items == {}
    course.outage["ags"] = (403, {})
    with pytest.raises(ServiceError):
        ags.delete_line_item(services, registration, url)


def test_score_when_posted_arrives_and_is_read_back(services, registration, course):
    url = course.add_line_item(scoreMaximum=10)
    receipt = ags.post_score(services, registration, url, score(comment="3 sessions", extra={"userId": "x"}))
    assert (receipt.status, receipt.result_url) == (200, None)
    (result,) = ags.get_results(services, registration, url, "1")
    assert (result.user_id, result.score, result.maximum, result.comment) == ("1", 6.0, 10, "3 sessions")
    assert course.refusals == []


def test_results_when_on_several_pages_are_all_read(services, registration, course):
    url = course.add_line_item()
    for user in "12345":
        ags.post_score(services, registration, url, score(user))
    assert [r.user_id for r in ags.get_results(services, registration, url)] == list("12345")


def test_score_when_timestamp_is_not_a_second_newer_is_refused_by_the_platform(
    services, registration, course
):
    url = course.add_line_item()
    at = datetime(2026, 11, 23, 12, 0, 0, 100_000, tzinfo=UTC)
    ags.post_score(services, registration, url, score(at=at))
    now = at + timedelta(milliseconds=500)
    with pytest.raises(ServiceError) as caught:
        ags.post_score(services, registration, url, score(at=now))
    assert (caught.value.status, caught.value.retriable) == (409, False)
    ags.post_score(services, registration, url, score(given=80, at=ags.next_timestamp(at, now)))
    assert ags.get_results(services, registration, url)[0].score == 80


def test_score_when_not_fully_graded_erases_the_grade_on_a_strict_platform(services, registration, course):
    url = course.add_line_item()
    at = datetime(2026, 11, 23, 12, tzinfo=UTC)
    ags.post_score(services, registration, url, score(at=at))
    later = ags.next_timestamp(at, at)
    ags.post_score(services, registration, url, score(given=None, grading="Pending", at=later))
    assert ags.get_results(services, registration, url)[0].score is None


def test_score_when_person_is_a_teacher_is_final(services, registration, course):
    with pytest.raises(ServiceError) as caught:
        ags.post_score(services, registration, course.add_line_item(), score("9"))
    assert (caught.value.status, caught.value.retriable) == (400, False)
    assert course.refusals == ["not_gradable"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"activity_progress": "Done"},
        {"grading_progress": "Graded"},
        {"score_given": -1},
        {"score_maximum": 0},
        {"timestamp": datetime(2026, 1, 1)},  # noqa: DTZ001 - the naive time is what is refused.
    ],
)
def test_score_when_a_value_is_impossible_cannot_be_made(wrong):
    fields = {
        "user_id": "1",
        "score_given": 1,
        "score_maximum": 1,
        "activity_progress": "Completed",
        "grading_progress": "FullyGraded",
        "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
    }
    ags.Score(**fields)
    with pytest.raises(ValueError, match=r".+"):
        ags.Score(**{**fields, **wrong})


def test_timestamp_when_written_is_utc_with_milliseconds():
    at = datetime.fromisoformat("2026-11-23T14:03:00.123456+02:00")
    assert ags.format_timestamp(at) == "2026-11-23T12:03:00.123Z"
    assert ags.format_timestamp(at.replace(microsecond=0)) == "2026-11-23T12:03:00.000Z"


STYLES = [
    '<{url}>; rel="next"',
    "<{url}>; rel=next",
    '<{url}>;title="a, b; c";REL="prev Next", <x>; rel="last"',
]


@pytest.mark.parametrize("style", STYLES)
def test_members_when_on_several_pages_are_all_read(services, registration, course, style):
    course.link_style = style
    found = list(nrps.members(services, registration, course.base + "/nrps/members?id=3"))
    assert [m.user_id for m in found] == ["1", "2", "3", "4", "5", "9"]
    assert [m.roles.is_instructor for m in found] == [False] * 5 + [True]
    assert count(course, "/nrps/members?Page=aBcD") == 2


def test_members_when_a_role_is_asked_for_filters_pages_that_forgot_it(services, registration, course):
    url = course.base + "/nrps/members?id=3"
    course.members = [member("1"), member("3"), member("2", "Instructor"), member("4")]
    found = list(nrps.members(services, registration, url, role="Learner"))
    assert [m.user_id for m in found] == ["1", "3", "4"]
    with pytest.raises(ValueError, match="unknown"):
        next(nrps.members(services, registration, url, role="Boss"))


def test_members_when_asked_for_a_link_bring_its_claims(services, registration, course):
    found = nrps.members(services, registration, course.base + "/nrps/members?id=3", resource_link_id="12")
    assert next(found).message == ({CLAIM + "custom": {"link": "12"}},)


def test_members_when_data_is_partial_or_odd_are_read_as_far_as_possible(services, registration, course):
    course.page_size = 10
    course.members = [
        {
            "user_id": 7,
            "roles": ["Learner"],
            "lis_person_sourcedid": "E-1",
            "email": "a@b.example",
            "name": "A",
        },
        {"user_id": "8", "roles": None, "lis_person_sourcedid": "$Person.sourcedId", "status": "Inactive"},
        {"roles": ["Learner"]},
        {"user_id": "9" * 256, "roles": ["Learner"]},
        "x",
    ]
    first, second = nrps.members(services, registration, course.base + "/nrps/members?id=3")
    assert (first.user_id, first.sourcedid, first.email, first.status) == (
        "7",
        "E-1",
        "a@b.example",
        "Active",
    )
    assert (second.user_id, second.sourcedid, second.status, second.message) == ("8", None, "Inactive", ())
    assert "a@b" not in repr(first)


def test_members_when_the_platform_offers_differences_give_their_address_for_next_time(
    services, registration, course, clock
):
    url = course.base + "/nrps/members?id=3"
    assert nrps.read_members(services, registration, url).differences_url is None
    course.changed_members = []
    first = nrps.read_members(services, registration, url)
    assert [m.user_id for m in first.members] == ["1", "2", "3", "4", "5", "9"]
    assert first.differences_url == url + "&since=T120000"
    clock.advance(seconds=60)
    course.changed_members = [
        member("2", status="Inactive"),
        member("3", status="deleted"),
        {"user_id": "7", "roles": ["Learner"]},
    ]
    second = nrps.read_members(services, registration, first.differences_url)
    assert [(m.user_id, m.status) for m in second.members] == [
        ("2", "Inactive"),
        ("3", "Deleted"),
        ("7", "Active"),
    ]
    assert second.differences_url == url + "&since=T120100"


def test_members_when_canvas_answers_with_its_older_media_type_are_read(services, registration, course):
    course.members_type = "application/vnd.ims.lis.v2.membershipcontainer+json"
    found = nrps.read_members(services, registration, course.base + "/nrps/members?id=3", role="Instructor")
    assert [m.user_id for m in found.members] == ["9"]


def test_members_when_the_answer_is_no_list_are_not_taken_for_an_empty_course(services, registration, course):
    course._page = lambda *_: (None, {})
    with pytest.raises(ServiceError) as caught:
        nrps.read_members(services, registration, course.base + "/nrps/members?id=3")
    assert caught.value.code == "bad_answer"


def test_pages_when_there_is_no_end_of_them_end_in_an_error(services, registration, course, monkeypatch):
    monkeypatch.setattr(service, "MOST_PAGES", 20)
    course.page_size = 1
    course.members = [member(str(number)) for number in range(20)]
    address = course.base + "/nrps/members?id=3"
    assert len(list(nrps.members(services, registration, address))) == 20
    course.members.append(member("20"))
    with pytest.raises(ServiceError) as caught:
        list(nrps.members(services, registration, address))
    assert caught.value.code == "page_loop"


def test_pages_when_the_platform_sends_one_twice_end_in_an_error(services, registration, course):
    course.link_style = f'<{course.base}/nrps/members?Page=aBcD2&id=3>; rel="next"'
    with pytest.raises(ServiceError) as caught:
        list(nrps.members(services, registration, course.base + "/nrps/members?id=3"))
    assert caught.value.code == "page_loop"


def test_answer_when_it_is_no_json_is_retriable(services, registration, platform):
    platform.outage["nrps"] = (200, {})
    with pytest.raises(ServiceError) as caught:
        list(nrps.members(services, registration, platform.base + "/nrps/members?id=3"))
    assert (caught.value.code, caught.value.status, caught.value.retriable) == ("bad_answer", 200, True)
