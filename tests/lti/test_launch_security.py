"""What must never start a session: replays, foreign browsers, wrong signatures, stale clocks."""

import json
import time
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwcrypto.jwk import JWK

from lti import claims
from lti.errors import LAUNCH_CODES
from lti.launch import begin_login
from tests.fakes.lti_platform import CLAIM, make_key, sign
from tests.lti.conftest import Lms, Tool

TOOL = "https://tool.example"
DEEP_LINKING = {
    CLAIM + "message_type": "LtiDeepLinkingRequest",
    claims.DEEP_LINKING_SETTINGS: {
        "deep_link_return_url": "https://moodle.example/return",
        "accept_types": ["ltiResourceLink"],
        "accept_presentation_document_targets": ["iframe"],
    },
}


def code_of(response) -> str:
    assert response.status_code == LAUNCH_CODES[response.json["code"]][0]
    return response.json["code"]


def test_launch_when_posted_twice_is_refused_the_second_time(lms, tool):
    browser = tool.browser()
    query = lms.begin(browser)
    form = {"state": query["state"], "id_token": lms.platform.id_token(lms.platform.claims(query))}
    assert lms.post(browser, form).json == {"code": "ok"}
    assert code_of(lms.post(browser, form)) == "state_unknown"
    assert len(tool.launches) == 1


def test_launch_when_posted_twice_at_once_is_accepted_once(lms, tool, platform):
    query = lms.begin(tool.browser())
    form = {"state": query["state"], "id_token": platform.id_token(platform.claims(query))}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: lms.post(tool.browser(), form).json, range(4)))
    assert [answer.get("code") for answer in answers].count("state_unknown") == 3


def test_launch_when_two_frames_start_at_once_accepts_both(lms, tool):
    browser = tool.browser()
    queries = [lms.begin(browser), lms.begin(browser)]
    for query in queries:
        form = {"state": query["state"], "id_token": lms.platform.id_token(lms.platform.claims(query))}
        assert lms.post(browser, form).json == {"code": "ok"}


def start_without_cookie(lms, tool):
    query = lms.begin(tool.browser())
    form = {"state": query["state"], "id_token": lms.platform.id_token(lms.platform.claims(query))}
    return lms.post(tool.browser(), form)


def test_launch_when_browser_is_another_one_is_offered_a_new_tab_only(lms, tool):
    response = start_without_cookie(lms, tool)
    assert response.json["new_tab"].startswith(TOOL + "/lti/relaunch/")
    assert tool.launches == []
    assert tool.log[-1]["code"] == "state_mismatch"


def test_launch_when_cookie_has_another_value_is_offered_a_new_tab_only(lms, tool):
    browser = tool.browser()
    query = lms.begin(browser)
    (name,) = [cookie.key for cookie in browser._cookies.values()]
    browser.set_cookie(name, query["state"], domain="tool.example")
    form = {"state": query["state"], "id_token": lms.platform.id_token(lms.platform.claims(query))}
    assert "new_tab" in lms.post(browser, form).json
    assert tool.launches == []


def test_relaunch_when_opened_in_a_new_tab_launches_with_the_same_parameters(lms, tool, platform):
    url = start_without_cookie(lms, tool).json["new_tab"]
    tab = tool.browser()
    response = tab.get(urlsplit(url).path, base_url=TOOL)
    query = platform.read_authorisation(response.location)
    assert query["lti_message_hint"] == '{"cmid":5}'
    form = {"state": query["state"], "id_token": platform.id_token(platform.claims(query))}
    assert lms.post(tab, form).json == {"code": "ok"}


def test_relaunch_when_opened_twice_is_refused(lms, tool):
    path = urlsplit(start_without_cookie(lms, tool).json["new_tab"]).path
    assert tool.browser().head(path, base_url=TOOL).status_code == 200
    assert tool.browser().get(path, base_url=TOOL).status_code == 302
    assert code_of(tool.browser().get(path, base_url=TOOL)) == "relaunch_unknown"


def test_relaunch_when_a_minute_has_passed_is_refused(lms, tool, clock):
    path = urlsplit(start_without_cookie(lms, tool).json["new_tab"]).path
    clock.advance(seconds=60)
    assert code_of(tool.browser().get(path, base_url=TOOL)) == "relaunch_unknown"


def test_relaunch_when_cookies_stay_blocked_is_refused_and_not_repeated(lms, tool, platform):
    path = urlsplit(start_without_cookie(lms, tool).json["new_tab"]).path
    query = platform.read_authorisation(tool.browser().get(path, base_url=TOOL).location)
    form = {"state": query["state"], "id_token": platform.id_token(platform.claims(query))}
    assert code_of(lms.post(tool.browser(), form)) == "cookies_blocked"


def test_relaunch_code_when_posted_as_a_state_is_refused(lms, tool, platform):
    code = start_without_cookie(lms, tool).json["new_tab"].rpartition("/")[2]
    token = platform.id_token(platform.claims({"nonce": ""}))
    for state in (code, "relaunch." + code):
        assert code_of(lms.post(tool.browser(), {"state": state, "id_token": token})) == "state_unknown"


def test_login_sets_a_host_cookie_for_this_launch_that_frames_may_send(lms, tool, platform):
    request = platform.login_request(TOOL + "/lti/launch")
    for response in (
        tool.browser().get("/lti/login", query_string=request, base_url=TOOL),
        tool.browser().post("/lti/login", data=request, base_url=TOOL),
    ):
        assert platform.read_authorisation(response.location)["redirect_uri"] == TOOL + "/lti/launch"
        cookie = response.headers["Set-Cookie"]
        assert cookie.startswith("__Host-lti-")
        attributes = {part.strip() for part in cookie.split(";")[1:]}
        assert {"Secure", "HttpOnly", "SameSite=None", "Partitioned", "Path=/", "Max-Age=600"} <= attributes
        assert not any(attribute.startswith("Domain") for attribute in attributes)


def test_login_when_tool_runs_without_https_uses_a_cookie_name_that_browsers_accept(tool, platform, clock):
    request = platform.login_request("http://localhost:5000/x")
    began = begin_login(request, tool.store, launch_url="http://localhost:5000/lti/launch", now=clock())
    assert began.cookie_name == "lti-" + began.state[:12]


def test_launch_when_it_ends_removes_its_cookie(lms, tool):
    browser = tool.browser()
    lms.launch(browser)
    assert browser._cookies == {}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"login_hint": None}, "login_incomplete"),
        ({"iss": None}, "login_incomplete"),
        ({"iss": "https://elsewhere.example"}, "issuer_unknown"),
        ({"client_id": "other"}, "client_unknown"),
        ({"client_id": "a\x00b"}, "login_incomplete"),
        ({"login_hint": "x" * 40_000}, "login_incomplete"),
        ({"target_link_uri": "https://evil.example/lti/launch"}, "target_link_uri_foreign"),
        ({"target_link_uri": "http://tool.example/lti/launch"}, "target_link_uri_foreign"),
        ({"target_link_uri": "https://tool.example:444/"}, "target_link_uri_foreign"),
        ({"target_link_uri": "https://tool.example@evil.example/"}, "target_link_uri_foreign"),
        ({"target_link_uri": "https://evil.example\\@tool.example/"}, "target_link_uri_foreign"),
        ({"target_link_uri": "https://tool.example:x/"}, "target_link_uri_foreign"),
        ({"target_link_uri": "//tool.example/"}, "target_link_uri_foreign"),
    ],
)
def test_login_when_a_parameter_is_wrong_is_refused_with_its_code(tool, platform, changes, code):
    request = platform.login_request(TOOL + "/lti/launch", **changes)
    response = tool.browser().post("/lti/login", data=request, base_url=TOOL)
    assert code_of(response) == code
    assert tool.store.attempts == {}


@pytest.mark.parametrize(
    "changes", [{"client_id": None}, {"target_link_uri": None}, {"lti_message_hint": None}]
)
def test_login_when_an_optional_parameter_is_absent_goes_on(lms, tool, changes):
    assert lms.begin(tool.browser(), **changes)["client_id"] == "client-1"


def test_login_when_clients_share_an_issuer_needs_the_client_or_a_known_deployment(
    lms, tool, register, store
):
    register(key="second", client_id="client-2", auth_url="https://second.example/auth?tenant=2")
    register(key="third", client_id="client-2", auth_url="https://third.example/auth")
    store.deployments["second", "d2"] = "approved"
    browser = tool.browser()
    request = lms.platform.login_request(TOOL + "/lti/launch", client_id=None, lti_deployment_id=None)
    assert code_of(browser.get("/lti/login", query_string=request, base_url=TOOL)) == "client_ambiguous"
    request |= {"client_id": "client-2", "deployment_id": "d2"}
    response = browser.get("/lti/login", query_string=request, base_url=TOOL)
    assert response.location.startswith("https://second.example/auth?tenant=2&scope=openid&")


def test_launch_when_registrations_share_issuer_and_client_is_decided_by_the_signed_deployment(
    lms, tool, register, store
):
    register(key="second")
    store.deployments["second", "d2"] = "approved"
    deployment = CLAIM + "deployment_id"
    # The hint of the login is not signed: a wrong one changes nothing.
    for hint in ("36", "d2", None):
        browser = tool.browser()
        query = lms.begin(browser, lti_deployment_id=hint)
        token = lms.platform.id_token(lms.platform.claims(query, **{deployment: "d2"}))
        assert lms.post(browser, {"state": query["state"], "id_token": token}).status_code == 200
        assert tool.launches[-1].platform.key == "second"
    lms.launch()
    assert tool.launches[-1].platform.key == "moodle"
    lms.launch(**{deployment: "nobody's"})
    assert (tool.launches[-1].platform.key, tool.launches[-1].deployment_state) == ("moodle", "unknown")


def test_launch_when_a_deployment_waits_here_and_is_approved_there_goes_there(lms, tool, register, store):
    register(key="second")
    store.deployments |= {("moodle", "d2"): "pending", ("second", "d2"): "approved"}
    lms.launch(**{CLAIM + "deployment_id": "d2"})
    assert tool.launches[-1].platform.key == "second"


def test_launch_when_another_registration_has_other_keys_never_goes_there(
    lms, tool, register, store, platform
):
    register(key="second", jwks_url=platform.base + "/other-jwks")
    store.deployments["second", "d2"] = "approved"
    lms.launch(**{CLAIM + "deployment_id": "d2"})
    assert (tool.launches[-1].platform.key, tool.launches[-1].deployment_state) == ("moodle", "unknown")


def test_launch_when_only_the_deciding_registration_takes_anonymous_people_follows_it(
    lms, tool, register, store
):
    register(key="second", allow_anonymous=True)
    store.deployments["second", "d2"] = "approved"
    lms.launch(remove=("sub",), **{CLAIM + "deployment_id": "d2"})
    assert tool.launches[-1].platform.key == "second"
    assert code_of(lms.launch(remove=("sub",))) == "user_missing"


def hmac_token(body, _platform):
    secret = JWK(kty="oct", k="c2VjcmV0" * 8)
    return sign(body, secret, {"alg": "HS256", "kid": "Kid-One"})


def other_header(**changes):
    return lambda body, platform: sign(body, platform.keys[0], {"alg": "RS256", "kid": "Kid-One", **changes})


def critical_token(body, platform):
    """Sign by hand: the libraries refuse to write an extension that nobody knows."""
    parts = ({"alg": "RS256", "kid": "Kid-One", "crit": ["x"], "x": 1}, body)
    signed = ".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    key = load_pem_private_key(platform.keys[0].export_to_pem(private_key=True, password=None), None)
    signature = key.sign(signed.encode(), PKCS1v15(), SHA256())
    return f"{signed}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (other_header(kid=7), "kid_unknown"),
        (critical_token, "token_malformed"),
        (other_header(kid=""), "kid_missing"),
        (lambda _, __: "a.b.c", "token_malformed"),
        (lambda _, __: "é.b.c", "token_malformed"),
        (lambda _, __: "", "id_token_missing"),
        (lambda _, __: "x" * 300_000, "token_malformed"),
        (lambda _, platform: other_header()("[1]", platform), "not_lti"),
        (lambda _, platform: other_header()("[" * 100_000, platform), "token_malformed"),
        (lambda _, platform: other_header()('{"iat": ' + "9" * 5000 + "}", platform), "token_malformed"),
        (lambda body, platform: other_header()(body, platform)[:-8] + "AAAAAAAA", "signature_invalid"),
    ],
)
def test_launch_when_the_token_is_forged_or_broken_is_refused(lms, platform, token, code):
    assert code_of(lms.launch(token=lambda body: token(body, platform))) == code


@pytest.mark.parametrize(
    ("issued", "expires", "code"),
    [
        (0, 60, "ok"),
        (3, 60, "ok"),
        (59, 120, "ok"),
        (62, 120, "iat_in_future"),
        (-300, -59, "ok"),
        (-300, -61, "token_expired"),
        (-650, 60, "ok"),
        (-662, 60, "iat_too_old"),
        (0, None, "exp_missing"),
        (None, 60, "iat_missing"),
    ],
)
def test_launch_when_clocks_differ_has_a_minute_of_leeway(lms, clock, issued, expires, code):
    now = int(clock().timestamp())
    times = {"iat": issued, "exp": expires}
    response = lms.launch(
        **{name: now + value if value is not None else None for name, value in times.items()}
    )
    assert response.json["code"] == code


@pytest.mark.parametrize("value", ["soon", True, float("inf"), [1], {}])
def test_launch_when_expiry_is_no_number_is_refused(lms, value):
    assert code_of(lms.launch(exp=value)) == "exp_missing"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aud": ["client-1"]}, "ok"),
        ({"aud": ["client-1"], "azp": "client-1"}, "ok"),
        ({"aud": "client-1", "azp": "other"}, "azp_invalid"),
        ({"aud": "other"}, "audience_invalid"),
        ({"aud": []}, "claims_missing"),
        ({"aud": {"a": 1}}, "claim_invalid"),
        ({"iss": 5}, "claim_invalid"),
        ({"nonce": ["mine"]}, "nonce_invalid"),
        ({"nonce": ""}, "nonce_missing"),
        ({CLAIM + "message_type": ["LtiResourceLinkRequest"]}, "message_type_unknown"),
        ({CLAIM + "target_link_uri": 5}, "target_link_uri_foreign"),
        ({CLAIM + "resource_link": "12"}, "claim_invalid"),
        ({CLAIM + "roles": {"a": 1}}, "claim_invalid"),
        ({"sub": ["7"]}, "claim_invalid"),
        ({"sub": "7\x00"}, "claim_invalid"),
        ({CLAIM + "context": []}, "ok"),
        ({CLAIM + "custom": []}, "ok"),
        (DEEP_LINKING, "ok"),
        ({**DEEP_LINKING, claims.DEEP_LINKING_SETTINGS: {}}, "deep_link_return_url_missing"),
        (
            {**DEEP_LINKING, claims.DEEP_LINKING_SETTINGS: {"deep_link_return_url": "javascript:x"}},
            "deep_link_return_url_missing",
        ),
        (
            {**DEEP_LINKING, claims.DEEP_LINKING_SETTINGS: {"deep_link_return_url": "https://x.example"}},
            "message_invalid",
        ),
    ],
)
def test_launch_when_claims_are_unusual_ends_with_the_right_code(lms, register, changes, code):
    register(key="second", client_id="client-2")
    assert lms.launch(**changes).json["code"] == code


def test_launch_when_privacy_request_is_complete_names_the_person(lms):
    response = lms.launch(
        remove=(CLAIM + "context", CLAIM + "resource_link"),
        **{CLAIM + "message_type": "DataPrivacyLaunchRequest", CLAIM + "for_user": {"user_id": 9}},
    )
    assert response.json == {"code": "ok"}
    assert lms.tool.launches[0].for_user_id == "9"


def test_launch_when_registration_allows_anonymous_people_needs_no_subject(lms, store):
    store.platforms[0] = replace(store.platforms[0], allow_anonymous=True)
    assert lms.launch(remove=("sub",)).json == {"code": "ok"}
    assert lms.tool.launches[0].subject is None


def test_launch_when_deployment_is_new_is_handed_to_the_host_as_unknown(lms):
    assert lms.launch(**{CLAIM + "deployment_id": 99}).json == {"code": "ok"}
    launch = lms.tool.launches[0]
    assert (launch.deployment_id, launch.deployment_state) == ("99", "unknown")


def test_launch_when_target_is_a_page_of_ours_goes_there_by_the_signed_claim(lms):
    lms.launch(**{CLAIM + "target_link_uri": "https://TOOL.example:443/programmes/4?x=1"})
    assert lms.tool.launches[0].target_link_uri == "https://TOOL.example:443/programmes/4?x=1"


def test_launch_when_custom_values_are_odd_keeps_only_usable_text(lms):
    values = {
        "number": 5,
        "half": 0.5,
        "yes": True,
        "null": None,
        "empty": "",
        "blank": " ",
        "canvas": "$Person.sourcedId",
        "braces": "${Person.sourcedId}",
        "blackboard": "@X@user.batch_uid@X@",
        "price": "$5",
        "text": "E-1",
        "list": [1],
    }
    lms.launch(**{CLAIM + "custom": values, CLAIM + "lis": {"person_sourcedid": "$Person.sourcedId"}})
    launch = lms.tool.launches[0]
    assert launch.custom == {"number": "5", "half": "0.5", "yes": "true", "price": "$5", "text": "E-1"}
    assert launch.person_sourcedid is None


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, "state_missing"),
        ({"id_token": "x"}, "state_missing"),
        ({"id_token": "x", "state": "short"}, "state_unknown"),
        ({"id_token": "x", "state": "A" * 43}, "state_unknown"),
        ({"state": "A" * 43}, "id_token_missing"),
        ({"error": "login_required", "error_description": "Ada", "state": "A" * 43}, "oidc_error"),
        ({"error": "Ada Byron <ada@company.example>"}, "oidc_error"),
    ],
)
def test_launch_when_the_post_is_incomplete_is_refused_with_its_code(lms, tool, form, code):
    assert code_of(lms.post(tool.browser(), form)) == code
    assert "Ada" not in str(tool.log)


def test_keys_when_rotated_are_fetched_again_without_a_pause(lms, platform, platform_keys):
    assert lms.launch().json == {"code": "ok"}
    platform.keys.append(platform_keys[1])
    assert lms.launch().json == {"code": "ok"}
    assert lms.launch().json == {"code": "ok"}
    assert platform.requests == [("GET", "/jwks")] * 2


def test_keys_when_unknown_kids_come_in_a_row_are_fetched_once_in_half_a_minute(lms, platform, clock):
    lms.launch()
    for number in range(5):
        header = {"alg": "RS256", "kid": f"invented-{number}"}
        assert code_of(lms.launch(token=lambda c, h=header: sign(c, platform.keys[0], h))) == "kid_unknown"
    assert len(platform.requests) == 2
    clock.advance(seconds=30)
    lms.launch(token=lambda c: sign(c, platform.keys[0], {"alg": "RS256", "kid": "again"}))
    assert len(platform.requests) == 3


@pytest.mark.parametrize(
    "answer",
    [
        (503, "{}"),
        (200, "<html>"),
        (200, "{}"),
        (200, '{"keys": []}'),
        (200, "[]"),
        (302, '{"keys": [{"kid": "redirected"}]}'),
        (200, '{"keys": [{"kid": "too-large"}]}' + " " * 600_000),
    ],
)
def test_keys_when_platform_is_down_stay_the_last_good_ones(lms, platform, clock, answer):
    assert lms.launch().json == {"code": "ok"}
    platform.jwks_answer = answer
    clock.advance(hours=2)
    assert lms.launch().json == {"code": "ok"}
    assert lms.launch().json == {"code": "ok"}
    assert len(platform.requests) == 2
    unknown = lms.launch(token=lambda c: sign(c, platform.keys[0], {"alg": "RS256", "kid": "new"}))
    assert code_of(unknown) == "key_set_unreachable"


def test_keys_when_several_launches_need_them_at_once_are_fetched_once_for_all(
    store, clock, registration, platform, platform_keys
):
    class SlowNetwork(requests.Session):
        def get(self, *args, **kwargs):
            time.sleep(0.3)
            return super().get(*args, **kwargs)

    with SlowNetwork() as http, ThreadPoolExecutor(4) as pool:
        lms = Lms(Tool(store, http, clock), platform)
        for fetched in (1, 2):
            answers = list(pool.map(lambda _: lms.launch().json, range(4)))
            assert answers == [{"code": "ok"}] * 4
            assert platform.requests == [("GET", "/jwks")] * fetched
            platform.keys.append(platform_keys[1])


def test_keys_when_platform_was_never_reached_are_asked_for_again_after_a_pause(lms, platform, clock):
    platform.jwks_answer = (500, "no")
    assert code_of(lms.launch()) == "key_set_unreachable"
    platform.jwks_answer = None
    assert code_of(lms.launch()) == "key_set_unreachable"
    clock.advance(seconds=30)
    assert lms.launch().json == {"code": "ok"}


def test_keys_when_another_process_has_them_are_taken_from_the_store(lms, platform, http, store, clock):
    lms.launch()
    other = type(lms.tool)(store, http, clock)
    assert type(lms)(other, platform).launch().json == {"code": "ok"}
    assert platform.requests == [("GET", "/jwks")]


def test_keys_when_another_process_asked_a_moment_ago_are_not_asked_for_again(
    lms, platform, http, store, clock
):
    lms.launch()
    header = {"alg": "RS256", "kid": "invented"}
    assert code_of(lms.launch(token=lambda c: sign(c, platform.keys[0], header))) == "kid_unknown"
    other = type(lms)(type(lms.tool)(store, http, clock), platform)
    assert code_of(other.launch(token=lambda c: sign(c, platform.keys[0], header))) == "kid_unknown"
    assert platform.requests == [("GET", "/jwks")] * 2


def test_keys_when_platform_is_down_outlive_a_restart_of_the_tool(lms, platform, http, store, clock):
    assert lms.launch().json == {"code": "ok"}
    platform.jwks_answer = (503, "down")
    clock.advance(days=6)
    restarted = type(lms)(type(lms.tool)(store, http, clock), platform)
    assert restarted.launch().json == {"code": "ok"}
    clock.advance(days=2)
    restarted = type(lms)(type(lms.tool)(store, http, clock), platform)
    assert code_of(restarted.launch()) == "key_set_unreachable"


def test_keys_when_rotated_are_found_by_a_process_that_another_one_told(
    lms, platform, platform_keys, http, store, clock
):
    other = type(lms)(type(lms.tool)(store, http, clock), platform)
    assert [each.launch().json for each in (lms, other)] == [{"code": "ok"}] * 2
    platform.keys.append(platform_keys[1])
    clock.advance(seconds=1)
    assert [each.launch().json for each in (lms, other)] == [{"code": "ok"}] * 2
    assert platform.requests == [("GET", "/jwks")] * 2


@pytest.mark.parametrize(
    "change", [{"alg": "RS384"}, {"use": "enc"}, {"kty": "EC"}, {"n": "%%"}, {"n": None}]
)
def test_keys_when_published_key_is_not_for_rs256_signatures_are_refused(lms, platform, change):
    entry = {**platform.keys[0].export_public(as_dict=True), **change}
    platform.jwks_answer = (200, json.dumps({"keys": [entry, "x", {}]}))
    assert code_of(lms.launch()) == "key_invalid"


def test_keys_when_shorter_than_2048_bits_are_refused(lms, platform):
    platform.keys = [make_key("short", 1024)]
    assert code_of(lms.launch()) == "key_invalid"


def test_log_when_a_sender_writes_lines_of_its_own_does_not_repeat_them(lms, platform):
    header = {"alg": "RS256", "kid": "a\ncode=ok Ada"}
    assert code_of(lms.launch(token=lambda c: sign(c, platform.keys[0], header))) == "kid_unknown"
    assert lms.tool.log[-1]["detail_kid"] == "unreadable"


def test_log_when_nothing_is_injected_goes_to_the_standard_logger(caplog, store, http, clock, registration):
    from flask import Flask, jsonify

    from lti.routes import create_blueprint

    def answer(*_):
        return jsonify()

    app = Flask("plain")
    app.register_blueprint(
        create_blueprint(
            lambda: store,
            http,
            on_launch=answer,
            on_refused=answer,
            on_new_tab=answer,
            public_url=lambda: TOOL,
            clock=clock,
        )
    )
    app.test_client().post("/lti/launch", data={"error": "login_required"}, base_url=TOOL)
    assert "event=lti.launch" in caplog.text
    assert "code=oidc_error" in caplog.text


def test_jwks_publishes_the_tool_keys_and_may_be_cached(tool, store):
    response = tool.browser().get("/lti/jwks", base_url=TOOL)
    (key,) = response.json["keys"]
    assert {name: key[name] for name in ("kty", "alg", "use", "kid")} == {
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "kid": store.key.kid,
    }
    assert "d" not in key
    assert JWK(**key).thumbprint() == store.key.kid
    assert response.headers["Cache-Control"] == "public, max-age=3600"
