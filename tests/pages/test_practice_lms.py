"""The practice LMS refuses what a strict platform refuses, and gives what the specifications promise."""

import html
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from flask.testing import FlaskClient
from jwt.algorithms import RSAAlgorithm
from werkzeug.test import TestResponse

from rmplugin.demo.practice_lms import (
    LmsCourse,
    LmsPerson,
    LmsSettings,
    create_lms,
    make_lms_server,
    platform_values,
)

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
AGS = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
NRPS = "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"
DL = "https://purl.imsglobal.org/spec/lti-dl/claim/"
SCOPE_AGS = "https://purl.imsglobal.org/spec/lti-ags/scope/"
SCOPE_NRPS = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"
ALL_SCOPES = " ".join(
    [
        SCOPE_NRPS,
        *(SCOPE_AGS + name for name in ("lineitem", "lineitem.readonly", "result.readonly", "score")),
    ]
)
MEMBERS = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
LINE_ITEM = "application/vnd.ims.lis.v2.lineitem+json"
LINE_ITEMS = "application/vnd.ims.lis.v2.lineitemcontainer+json"
SCORE = "application/vnd.ims.lis.v1.score+json"
RESULTS = "application/vnd.ims.lis.v2.resultcontainer+json"
ISSUER = "http://127.0.0.1:5001"
TOOL = "http://localhost:5000"
NOW = 1_800_000_000.0
NO_COPY = {"context_id_history": "", "resource_link_id_history": ""}

MANAGER = LmsPerson(
    user_id="11", given_name="Ina", family_name="Berg", role="instructor", employee_number="E1"
)
LEARNER = LmsPerson(
    user_id="12", given_name="Tom", family_name="Okoro", email="tom@example.com", employee_number="E2"
)
QUIET = LmsPerson(user_id="13", given_name="Lu", family_name="Chen")
SUSPENDED = LmsPerson(user_id="14", given_name="Old", family_name="Account", active=False)
CROWD = tuple(LmsPerson(user_id=str(100 + n), given_name=f"P{n}", family_name="Q") for n in range(112))

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class KeySetHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        public = json.loads(RSAAlgorithm.to_jwk(KEY.public_key()))
        body = json.dumps({"keys": [{**public, "kid": "tool-1", "alg": "RS256", "use": "sig"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def jwks_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), KeySetHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/jwks"
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Desk:
    """A browser and a tool at one practice LMS."""

    settings: LmsSettings
    client: FlaskClient
    clock: dict[str, float] = field(default_factory=dict)

    def wait(self, seconds: float) -> None:
        self.clock["now"] += seconds

    def sign_in(self, person: LmsPerson) -> None:
        assert self.client.post("/login", data={"user_id": person.user_id}).status_code == 303

    def begin(self, path: str = "/course/101/activity/1/launch") -> dict[str, str]:
        return fields(self.client.get(path))

    def authorize(self, begun: dict[str, str], **changed: str | None) -> TestResponse:
        asked = {
            "scope": "openid",
            "response_type": "id_token",
            "response_mode": "form_post",
            "prompt": "none",
            "client_id": begun["client_id"],
            "redirect_uri": f"{TOOL}/lti/launch",
            "login_hint": begun["login_hint"],
            "lti_message_hint": begun["lti_message_hint"],
            "state": "state-1",
            "nonce": "nonce-1",
        } | changed
        return self.client.get("/auth", query_string={k: v for k, v in asked.items() if v is not None})

    def launch(self, person: LmsPerson, path: str = "/course/101/activity/1/launch") -> dict[str, Any]:
        self.sign_in(person)
        token = fields(self.authorize(self.begin(path)))["id_token"]
        key_set = self.client.get("/certs").json or {}
        header = jwt.get_unverified_header(token)
        key = next(key for key in key_set["keys"] if key["kid"] == header["kid"])
        options = {"verify_exp": False, "verify_iat": False}
        claims: dict[str, Any] = jwt.decode(
            token,
            jwt.PyJWK.from_dict(key).key,
            algorithms=["RS256"],
            audience="practice-tool-1",
            options=options,
        )
        return claims

    def assertion(self, *, key: Any = KEY, kid: str | None = "tool-1", **changed: Any) -> str:
        now = int(self.clock["now"])
        claims = {
            "iss": "practice-tool-1",
            "sub": "practice-tool-1",
            "aud": f"{ISSUER}/token",
            "iat": now - 5,
            "exp": now + 60,
            "jti": str(uuid4()),
        } | changed
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, key, algorithm="RS256", headers={"kid": kid} if kid else {})

    def ask_token(self, assertion: str, scope: str = ALL_SCOPES, **changed: str) -> TestResponse:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
            "scope": scope,
        } | changed
        return self.client.post("/token", data=form)

    def bearer(self, scope: str = ALL_SCOPES) -> dict[str, str]:
        answer = self.ask_token(self.assertion(), scope)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json['access_token']}"}  # type: ignore[index]

    def post_score(self, headers: dict[str, str], **changed: Any) -> TestResponse:
        url = changed.pop("url", "/course/101/lineitems/1/lineitem/scores?type_id=1")
        media_type = changed.pop("media_type", SCORE)
        score = {
            "userId": LEARNER.user_id,
            "timestamp": stamp(self.clock["now"]),
            "activityProgress": "Completed",
            "gradingProgress": "FullyGraded",
            "scoreGiven": 40,
            "scoreMaximum": 100,
        } | changed
        body = json.dumps({name: value for name, value in score.items() if value is not None})
        return self.client.post(url, data=body, headers={**headers, "Content-Type": media_type})

    def result(self, person: LmsPerson = LEARNER) -> dict[str, Any]:
        state = self.client.get("/practice/state").json or {}
        found: dict[str, Any] = state["courses"][0]["line_items"][0]["results"][person.user_id]
        return found


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def fields(response: TestResponse) -> dict[str, str]:
    assert response.status_code == 200, response.text
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', response.text)
    action = re.search(r'action="([^"]+)"', response.text)
    assert action is not None
    return {"action": action[1]} | {name: html.unescape(value) for name, value in found}


@pytest.fixture
def settings(tmp_path: Path, jwks_url: str) -> LmsSettings:
    return LmsSettings(
        issuer=ISSUER,
        tool_url=TOOL,
        data_dir=tmp_path,
        people=(MANAGER, LEARNER, QUIET, SUSPENDED, *CROWD),
        tool_jwks_url=jwks_url,
    )


@pytest.fixture
def desk(settings: LmsSettings) -> Desk:
    return make_desk(settings)


def make_desk(settings: LmsSettings) -> Desk:
    clock = {"now": NOW}
    settings = replace(settings, clock=lambda: clock["now"])
    return Desk(settings, create_lms(settings).test_client(), clock)


# Launches


def test_launch_when_learner_opens_activity_carries_moodle_like_claims(desk: Desk) -> None:
    claims = desk.launch(LEARNER)
    assert claims["sub"] == "12"
    assert claims["exp"] - claims["iat"] == 60
    assert (claims["name"], claims["email"]) == ("Tom Okoro", "tom@example.com")
    assert claims[CLAIM + "message_type"] == "LtiResourceLinkRequest"
    assert claims[CLAIM + "custom"] == {"emp": "E2"} | NO_COPY
    assert claims[CLAIM + "lis"]["person_sourcedid"] == "E2"
    assert claims[CLAIM + "roles"][0].endswith("membership#Learner")
    assert claims[CLAIM + "launch_presentation"]["document_target"] == "iframe"
    assert claims[AGS]["lineitem"] == f"{ISSUER}/course/101/lineitems/1/lineitem?type_id=1"
    assert claims[NRPS]["context_memberships_url"] == f"{ISSUER}/course/101/memberships"


@pytest.mark.parametrize("frame", [None, "_parent", "kept_here"])
def test_launch_when_the_course_offers_platform_storage_names_its_frame(settings, frame) -> None:
    course = replace(settings.courses[0], storage_frame=frame)
    desk = make_desk(replace(settings, courses=(course,)))
    desk.sign_in(LEARNER)
    assert desk.begin().get("lti_storage_target") == frame
    # A window of its own has no page above it.
    assert "lti_storage_target" not in desk.begin("/course/101/activity/1/launch?window=1")
    page = desk.client.get("/course/101/activity/1").text
    assert ("platform_storage.js" in page) is (frame is not None)
    assert ('name="kept_here" src="/course/101/storage"' in page) is (frame == "kept_here")
    assert desk.client.get("/course/101/storage").status_code == (200 if frame == "kept_here" else 404)


def test_launch_when_person_has_no_number_or_email_leaves_them_out(desk: Desk) -> None:
    claims = desk.launch(QUIET)
    assert claims[CLAIM + "custom"] == {"emp": ""} | NO_COPY
    assert "email" not in claims


@pytest.mark.parametrize(
    ("hr_id", "custom", "lis"), [("custom", {"emp": "E2"}, None), ("lis", {}, "E2"), ("none", {}, None)]
)
def test_launch_when_hr_id_is_configured_sends_it_there_only(settings, hr_id, custom, lis) -> None:
    desk = make_desk(replace(settings, hr_id=hr_id))
    claims = desk.launch(LEARNER)
    assert claims[CLAIM + "custom"] == custom | NO_COPY
    assert claims[CLAIM + "lis"].get("person_sourcedid") == lis


def test_launch_when_names_are_private_sends_none(settings: LmsSettings) -> None:
    desk = make_desk(replace(settings, share_names=False))
    assert not {"name", "given_name", "family_name", "email"} & set(desk.launch(LEARNER))


def test_begin_when_activity_is_opened_posts_to_the_tools_login(desk: Desk) -> None:
    desk.sign_in(LEARNER)
    begun = desk.begin()
    assert begun["action"] == f"{TOOL}/lti/login"
    assert (begun["iss"], begun["login_hint"], begun["lti_deployment_id"]) == (ISSUER, "12", "1")
    assert begun["target_link_uri"] == f"{TOOL}/lti/launch"


@pytest.mark.parametrize(
    "redirect_uri", ["http://evil.example/lti/launch", f"{TOOL}/lti/launch/", f"{TOOL}/lti/launch?x=1", ""]
)
def test_authorize_when_redirect_uri_is_not_registered_shows_a_page_and_sends_nothing(desk, redirect_uri):
    desk.sign_in(LEARNER)
    answer = desk.authorize(desk.begin(), redirect_uri=redirect_uri)
    assert answer.status_code == 400
    assert "<form id=" not in answer.text


def test_authorize_when_client_is_unknown_shows_a_page(desk: Desk) -> None:
    desk.sign_in(LEARNER)
    assert desk.authorize(desk.begin(), client_id="other").status_code == 400


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"response_type": "code"}, "unsupported_response_type"),
        ({"response_mode": None}, "invalid_request"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"prompt": "login"}, "invalid_request"),
        ({"nonce": None}, "invalid_request"),
        ({"login_hint": "11"}, "login_required"),
        ({"lti_message_hint": "made.up.hint"}, "invalid_request"),
    ],
)
def test_authorize_when_request_is_faulty_posts_error_and_state_back(desk, changed, error) -> None:
    desk.sign_in(LEARNER)
    sent = fields(desk.authorize(desk.begin(), **changed))
    assert (sent["error"], sent["state"]) == (error, "state-1")
    assert "id_token" not in sent


def test_authorize_when_somebody_else_signed_in_meanwhile_refuses(desk: Desk) -> None:
    desk.sign_in(LEARNER)
    begun = desk.begin()
    desk.sign_in(QUIET)
    assert fields(desk.authorize(begun))["error"] == "login_required"


def test_authorize_when_cookie_is_blocked_works_for_five_minutes_only(desk: Desk) -> None:
    desk.sign_in(LEARNER)
    begun = desk.begin()
    desk.client.delete_cookie("practice_lms", domain="localhost")
    assert "id_token" in fields(desk.authorize(begun))
    desk.wait(301)
    assert fields(desk.authorize(begun))["error"] == "login_required"


def test_login_when_account_is_suspended_refuses(desk: Desk) -> None:
    assert desk.client.post("/login", data={"user_id": "14"}).status_code == 400


def test_login_when_form_comes_from_another_site_refuses(desk: Desk) -> None:
    answer = desk.client.post("/login", data={"user_id": "12"}, headers={"Origin": "http://localhost:5000"})
    assert answer.status_code == 403


# Tokens


def test_token_when_scopes_are_asked_grants_only_known_ones(desk: Desk) -> None:
    answer = desk.ask_token(desk.assertion(), f"{SCOPE_NRPS} https://example.com/scope/other")
    assert answer.json["scope"] == SCOPE_NRPS  # type: ignore[index]
    assert answer.json["expires_in"] == 3600  # type: ignore[index]


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": f"{ISSUER}/auth"},
        {"aud": ISSUER},
        {"iss": "other"},
        {"sub": "other"},
        {"jti": None},
        {"exp": None},
        {"exp": int(NOW) - 1},
        {"iat": int(NOW) + 2},
        {"exp": int(NOW) + 90_000},
        {"kid": None},
        {"kid": "tool-2"},
        {"key": OTHER_KEY},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_token_when_assertion_is_faulty_answers_401(desk: Desk, changed: dict[str, Any]) -> None:
    answer = desk.ask_token(desk.assertion(**changed))
    assert answer.status_code == 401
    assert answer.json["error"] == "invalid_client"  # type: ignore[index]


def test_token_when_jti_is_used_again_answers_401(desk: Desk) -> None:
    assertion = desk.assertion(jti="once")
    assert desk.ask_token(assertion).status_code == 200
    assert desk.ask_token(assertion).status_code == 401
    assert desk.ask_token(desk.assertion(jti="once")).status_code == 401


@pytest.mark.parametrize(
    "changed", [{"grant_type": "password"}, {"client_assertion_type": "x"}, {"scope": "openid"}]
)
def test_token_when_form_is_faulty_answers_400(desk: Desk, changed: dict[str, str]) -> None:
    assert desk.ask_token(desk.assertion(), **changed).status_code == 400


def test_token_when_key_set_cannot_be_read_says_so(settings: LmsSettings) -> None:
    desk = make_desk(replace(settings, tool_jwks_url="http://127.0.0.1:9/jwks"))
    answer = desk.ask_token(desk.assertion())
    assert answer.status_code == 401
    assert "127.0.0.1:9" in answer.json["error_description"]  # type: ignore[index]


def test_service_when_token_has_expired_answers_401(desk: Desk) -> None:
    headers = desk.bearer()
    desk.wait(3600)
    assert desk.post_score(headers).status_code == 401


# Roster


def linked(answer: TestResponse, relation: str) -> str:
    """Give the path of a link of an answer; empty when it has none of that relation."""
    links = requests.utils.parse_header_links(", ".join(answer.headers.getlist("Link")))
    return next((link["url"].removeprefix(ISSUER) for link in links if link["rel"] == relation), "")


def test_memberships_when_read_page_by_page_lists_everybody_active_once(desk: Desk) -> None:
    headers = {**desk.bearer(), "Accept": MEMBERS}
    url, seen, sizes = "/course/101/memberships", [], []
    while url:
        answer = desk.client.get(url, headers=headers)
        assert answer.content_type == MEMBERS
        page = json.loads(answer.data)
        seen += [member["user_id"] for member in page["members"]]
        sizes.append(len(page["members"]))
        url = linked(answer, "next")
    assert sizes == [50, 50, 15]
    assert sorted(seen, key=int) == ["11", "12", "13", *(str(100 + n) for n in range(112))]


def test_memberships_when_somebody_is_suspended_later_tells_it_to_who_asks_for_differences(
    desk: Desk,
) -> None:
    headers = {**desk.bearer(), "Accept": MEMBERS}

    def read(url: str) -> tuple[list[tuple[str, str]], str]:
        answer = desk.client.get(url, headers=headers)
        members = json.loads(answer.data)["members"]
        return [(member["user_id"], member["status"]) for member in members], linked(answer, "differences")

    def switch(user_id: str, active: str) -> int:
        url = f"/course/101/roster/{user_id}"
        return desk.client.post(url, data={"active": active}).status_code

    desk.sign_in(LEARNER)
    assert switch(QUIET.user_id, "no") == 403
    desk.sign_in(MANAGER)
    _all, since = read("/course/101/memberships")
    desk.wait(60)
    assert read(since)[0] == []
    assert (switch(QUIET.user_id, "no"), switch(MANAGER.user_id, "no"), switch("999999", "no")) == (
        303,
        403,
        404,
    )
    assert "suspended" in desk.client.get("/course/101/roster").text
    desk.wait(60)
    changed, later = read(since)
    assert changed == [(QUIET.user_id, "Inactive")]
    assert (QUIET.user_id, "Active") not in read("/course/101/memberships")[0]
    assert switch(QUIET.user_id, "yes") == 303
    assert read(later)[0] == [(QUIET.user_id, "Active")]
    assert desk.client.get("/course/101/memberships?since=x", headers=headers).status_code == 400
    switch(QUIET.user_id, "no")
    assert desk.client.post("/login", data={"user_id": QUIET.user_id}).status_code == 400


def test_memberships_when_page_token_loses_its_case_answers_400(desk: Desk) -> None:
    headers = {**desk.bearer(), "Accept": MEMBERS}
    answer = desk.client.get("/course/101/memberships", headers=headers)
    url = requests.utils.parse_header_links(answer.headers["Link"])[0]["url"].removeprefix(ISSUER)
    assert url != url.lower()
    assert desk.client.get(url.lower(), headers=headers).status_code == 400


def test_memberships_when_rlid_is_given_adds_the_custom_parameters(desk: Desk) -> None:
    headers = {**desk.bearer(), "Accept": MEMBERS}
    answer = desk.client.get("/course/101/memberships?rlid=1&limit=2", headers=headers)
    manager, learner = json.loads(answer.data)["members"]
    assert (manager["roles"], learner["roles"]) == (["Instructor"], ["Learner"])
    assert learner["lis_person_sourcedid"] == "E2"
    assert learner["message"][0][CLAIM + "custom"] == {"emp": "E2"} | NO_COPY
    assert "rlid=1" in answer.headers["Link"]
    assert desk.client.get("/course/101/memberships?rlid=77", headers=headers).status_code == 404


def test_memberships_when_accept_is_another_answers_406(desk: Desk) -> None:
    headers = {**desk.bearer(), "Accept": "application/json, */*"}
    assert desk.client.get("/course/101/memberships", headers=headers).status_code == 406


def test_memberships_when_scope_is_missing_answers_403(desk: Desk) -> None:
    headers = {**desk.bearer(f"{SCOPE_AGS}score"), "Accept": MEMBERS}
    assert desk.client.get("/course/101/memberships", headers=headers).status_code == 403


# Grades


def test_score_when_full_is_received_completes_and_shows_in_gradebook(desk: Desk) -> None:
    headers = desk.bearer()
    assert desk.post_score(headers).status_code == 200
    assert (desk.result()["score"], desk.result()["completed"]) == (40, False)
    desk.wait(1)
    assert desk.post_score(headers, scoreGiven=5, scoreMaximum=5).status_code == 200
    assert (desk.result()["score"], desk.result()["completed"], desk.result()["posts"]) == (100, True, 2)
    desk.sign_in(MANAGER)
    page = desk.client.get("/course/101/grades").text
    assert page.count("✓ Completed") == 1
    assert "100 of 100" in page


def test_score_when_above_maximum_is_capped(desk: Desk) -> None:
    desk.post_score(desk.bearer(), scoreGiven=300)
    assert desk.result()["score"] == 100


def test_score_when_timestamp_does_not_grow_by_a_second_answers_409(desk: Desk) -> None:
    headers = desk.bearer()
    assert desk.post_score(headers, timestamp=stamp(NOW + 0.1)).status_code == 200
    assert desk.post_score(headers, timestamp=stamp(NOW + 0.9), scoreGiven=90).status_code == 409
    assert desk.post_score(headers, timestamp=stamp(NOW - 60), scoreGiven=90).status_code == 409
    assert (desk.result()["score"], desk.result()["posts"]) == (40, 1)


def test_score_when_grading_is_pending_erases_grade_and_completion(desk: Desk) -> None:
    headers = desk.bearer()
    desk.post_score(headers, scoreGiven=100)
    assert desk.result()["completed"]
    desk.wait(1)
    assert desk.post_score(headers, scoreGiven=100, gradingProgress="PendingManual").status_code == 200
    assert (desk.result()["score"], desk.result()["completed"]) == (None, False)
    url = "/course/101/lineitems/1/lineitem/results?type_id=1"
    assert json.loads(desk.client.get(url, headers={**headers, "Accept": RESULTS}).data) == []


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"media_type": "application/json"}, 415),
        ({"media_type": f"{SCORE}; charset=utf-8"}, 415),
        ({"userId": "11"}, 400),
        ({"userId": "14"}, 400),
        ({"userId": "999"}, 400),
        ({"scoreMaximum": None}, 400),
        ({"scoreMaximum": 0}, 400),
        ({"scoreGiven": -1}, 400),
        ({"scoreGiven": "40"}, 400),
        ({"timestamp": "2027-01-15T08:00:00"}, 400),
        ({"timestamp": None}, 400),
        ({"activityProgress": "Done"}, 400),
        ({"gradingProgress": None}, 400),
        ({"url": "/course/101/lineitems/1/lineitem/scores"}, 404),
        ({"url": "/course/101/lineitems/9/lineitem/scores?type_id=1"}, 404),
        ({"url": "/course/102/lineitems/1/lineitem/scores?type_id=1"}, 404),
    ],
)
def test_score_when_faulty_is_refused_and_nothing_recorded(desk, changed, status) -> None:
    assert desk.post_score(desk.bearer(), **changed).status_code == status
    state = desk.client.get("/practice/state").json
    assert state["courses"][0]["score_posts"] == 0


def test_score_when_scope_is_missing_answers_403(desk: Desk) -> None:
    assert desk.post_score(desk.bearer(f"{SCOPE_AGS}lineitem")).status_code == 403


def test_line_items_when_created_twice_are_two_and_filters_find_them(desk: Desk) -> None:
    headers = desk.bearer()
    body = json.dumps({"label": "Hours", "scoreMaximum": 10, "resourceId": "hours", "tag": "t"})
    for _ in range(2):
        made = desk.client.post(
            "/course/101/lineitems?type_id=1", data=body, headers={**headers, "Content-Type": LINE_ITEM}
        )
        assert made.status_code == 201
    found = desk.client.get(
        "/course/101/lineitems?type_id=1&resource_id=hours&tag=t", headers={**headers, "Accept": LINE_ITEMS}
    )
    assert [item["label"] for item in json.loads(found.data)] == ["Hours", "Hours"]
    assert all("type_id=1" in item["id"] for item in json.loads(found.data))


def test_line_item_when_put_without_tag_loses_it_but_stays_coupled(desk: Desk) -> None:
    headers = {**desk.bearer(), "Content-Type": LINE_ITEM, "Accept": LINE_ITEM}
    url = "/course/101/lineitems/1/lineitem?type_id=1"
    desk.client.put(url, data=json.dumps({"label": "A", "scoreMaximum": 5, "tag": "t"}), headers=headers)
    assert json.loads(desk.client.get(url, headers=headers).data)["tag"] == "t"
    desk.client.put(url, data=json.dumps({"label": "A", "scoreMaximum": 5}), headers=headers)
    item = json.loads(desk.client.get(url, headers=headers).data)
    assert "tag" not in item
    assert item["resourceLinkId"] == "1"


def test_line_item_when_deleted_takes_its_scores_along(desk: Desk) -> None:
    headers = desk.bearer()
    desk.post_score(headers)
    assert (
        desk.client.delete("/course/101/lineitems/1/lineitem?type_id=1", headers=headers).status_code == 204
    )
    assert desk.client.get("/practice/state").json["courses"][0]["line_items"] == []  # type: ignore[index]


def test_results_when_many_are_paged(desk: Desk) -> None:
    headers = desk.bearer()
    for person in CROWD[:60]:
        desk.post_score(headers, userId=person.user_id)
    url = "/course/101/lineitems/1/lineitem/results?type_id=1"
    first = desk.client.get(url, headers={**headers, "Accept": RESULTS})
    following = requests.utils.parse_header_links(first.headers["Link"])[0]["url"].removeprefix(ISSUER)
    second = desk.client.get(following, headers={**headers, "Accept": RESULTS})
    found = json.loads(first.data) + json.loads(second.data)
    assert [result["userId"] for result in found] == [person.user_id for person in CROWD[:60]]
    assert found[0]["resultScore"] == 40


# Content selection


def deep_link_answer(desk: Desk, **changed: Any) -> str:
    claims: dict[str, Any] = {
        "aud": ISSUER,
        "nonce": str(uuid4()),
        CLAIM + "message_type": "LtiDeepLinkingResponse",
        CLAIM + "version": "1.3.0",
        CLAIM + "deployment_id": "1",
        DL + "content_items": [
            {
                "type": "ltiResourceLink",
                "title": "Group B",
                "url": f"{TOOL}/lti/launch",
                "custom": {"programme": "7"},
                "lineItem": {"scoreMaximum": 20, "label": "ignored", "resourceId": "r1"},
            }
        ],
    }
    return desk.assertion(**claims | changed)


def test_deep_link_when_answered_adds_activity_with_column_and_custom(desk: Desk) -> None:
    request = desk.launch(MANAGER, "/course/101/add/launch")
    assert request[CLAIM + "message_type"] == "LtiDeepLinkingRequest"
    settings = request[DL + "deep_linking_settings"]
    assert "data" not in settings
    url = settings["deep_link_return_url"].removeprefix(ISSUER)
    answer = deep_link_answer(desk)
    assert desk.client.post(url, data={"JWT": answer}).status_code == 200
    claims = desk.launch(LEARNER, "/course/101/activity/2/launch")
    assert claims[CLAIM + "custom"] == {"programme": "7", "emp": "E2"} | NO_COPY
    assert "/lineitems/2/" in claims[AGS]["lineitem"]
    again = desk.client.post(url, data={"JWT": deep_link_answer(desk)})
    assert again.status_code == 400
    assert len(desk.client.get("/practice/state").json["courses"][0]["activities"]) == 2  # type: ignore[index]


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": f"{ISSUER}/token"},
        {"nonce": None},
        {CLAIM + "deployment_id": "2"},
        {DL + "data": "unasked"},
        {DL + "content_items": [{"type": "ltiResourceLink", "title": "A", "custom": {}}]},
        {DL + "content_items": [{"type": "ltiResourceLink", "title": "A", "url": "http://evil.example/"}]},
        {"key": OTHER_KEY},
    ],
)
def test_deep_link_when_answer_is_faulty_adds_nothing(desk: Desk, changed: dict[str, Any]) -> None:
    settings = desk.launch(MANAGER, "/course/101/add/launch")[DL + "deep_linking_settings"]
    url = settings["deep_link_return_url"].removeprefix(ISSUER)
    assert desk.client.post(url, data={"JWT": deep_link_answer(desk, **changed)}).status_code == 400
    assert len(desk.client.get("/practice/state").json["courses"][0]["activities"]) == 1  # type: ignore[index]


def test_deep_link_when_learner_asks_answers_403(desk: Desk) -> None:
    desk.sign_in(LEARNER)
    assert desk.client.get("/course/101/add/launch").status_code == 403


# Several deployments, another key


@pytest.fixture
def branch(settings: LmsSettings) -> Desk:
    """An LMS in which a second course uses another deployment of the same tool."""
    other = LmsCourse(
        course_id="102",
        label="B",
        title="Branch",
        deployment_id="2",
        activities=settings.courses[0].activities,
    )
    return make_desk(replace(settings, courses=(*settings.courses, other)))


def test_launch_when_course_uses_another_deployment_names_that_one(branch: Desk) -> None:
    assert branch.launch(LEARNER)[CLAIM + "deployment_id"] == "1"
    claims = branch.launch(LEARNER, "/course/102/activity/2/launch")
    assert claims[CLAIM + "deployment_id"] == "2"
    assert branch.begin("/course/102/activity/2/launch")["lti_deployment_id"] == "2"


@pytest.mark.parametrize(("deployment_id", "status"), [("1", 400), ("2", 200)])
def test_deep_link_when_course_uses_another_deployment_takes_only_that_one(branch, deployment_id, status):
    settings = branch.launch(MANAGER, "/course/102/add/launch")[DL + "deep_linking_settings"]
    url = settings["deep_link_return_url"].removeprefix(ISSUER)
    answer = deep_link_answer(branch, **{CLAIM + "deployment_id": deployment_id})
    assert branch.client.post(url, data={"JWT": answer}).status_code == status


def test_key_when_changed_signs_at_once_and_survives_a_restart(desk: Desk) -> None:
    (before,) = desk.client.get("/certs").json["keys"]  # type: ignore[index]
    desk.sign_in(LEARNER)
    old = fields(desk.authorize(desk.begin()))["id_token"]
    assert desk.client.post("/practice/key").status_code == 303
    (after,) = desk.client.get("/certs").json["keys"]  # type: ignore[index]
    assert before["kid"] != after["kid"]
    desk.launch(LEARNER)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(old, jwt.PyJWK.from_dict(after).key, algorithms=["RS256"], audience="practice-tool-1")
    assert create_lms(desk.settings).test_client().get("/certs").json == {"keys": [after]}


def test_key_when_another_site_asks_to_change_it_stays(desk: Desk) -> None:
    before = desk.client.get("/certs").json
    answer = desk.client.post("/practice/key", headers={"Origin": "http://localhost:5000"})
    assert answer.status_code == 403
    assert desk.client.get("/certs").json == before


# Pages, outage, restart


def test_pages_when_seen_by_a_learner_show_no_other_persons_grade_or_address(desk: Desk) -> None:
    desk.post_score(desk.bearer())
    desk.sign_in(QUIET)
    assert "Tom" not in desk.client.get("/course/101/grades").text
    assert "tom@example.com" not in desk.client.get("/course/101/roster").text


def test_activity_when_opened_frames_the_tool_and_offers_a_window(desk: Desk) -> None:
    desk.sign_in(LEARNER)
    answer = desk.client.get("/course/101/activity/1")
    assert re.search(r'<iframe [^>]*src="/course/101/activity/1/launch" title="[^"]+"', answer.text)
    assert 'target="_blank"' in answer.text
    assert f"frame-src 'self' {TOOL}" in answer.headers["Content-Security-Policy"]


def test_outage_when_switched_on_fails_services_for_its_time_only(desk: Desk) -> None:
    headers = desk.bearer()
    desk.client.post("/practice/outage", data={"mode": "503", "seconds": "30", "services": "grades"})
    assert desk.post_score(headers).status_code == 503
    assert desk.ask_token(desk.assertion()).status_code == 200
    assert "Outage for practice" in desk.client.get("/").text
    desk.wait(31)
    assert desk.post_score(headers).status_code == 200


def test_lms_when_stopped_on_its_page_says_so_everywhere_and_offers_to_start_again(desk: Desk) -> None:
    assert "Stop it: answer no more" in desk.client.get("/practice").text
    desk.client.post("/practice/outage", data={"mode": "down", "seconds": "86400"})
    assert "Start them again" in desk.client.get("/").text
    assert "Start it: answer again" in desk.client.get("/practice").text
    desk.client.post("/practice/outage", data={"mode": "off"})
    assert "Start them again" not in desk.client.get("/").text


def test_server_when_down_breaks_the_connection_and_keeps_its_state_over_a_restart(
    settings, tmp_path
) -> None:
    for mode in ("down", "off"):
        server = make_lms_server(settings)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        try:
            assert requests.get(base, timeout=5).status_code == 200
            requests.post(f"{base}/practice/outage", data={"mode": mode, "seconds": "60"}, timeout=5)
            if mode == "down":
                with pytest.raises(requests.ConnectionError):
                    requests.post(f"{base}/token", timeout=5)
                first_key = requests.get(f"{base}/certs", timeout=5).json()
            else:
                assert requests.post(f"{base}/token", timeout=5).status_code == 400
                assert requests.get(f"{base}/certs", timeout=5).json() == first_key
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def test_platform_values_when_asked_name_the_live_endpoints(desk: Desk) -> None:
    values = platform_values(desk.settings)
    assert values.jwks_url == f"{ISSUER}/certs"
    assert (values.auth_url, values.token_url) == (f"{ISSUER}/auth", f"{ISSUER}/token")
    assert (values.issuer, values.client_id, values.deployment_id) == (ISSUER, "practice-tool-1", "1")


def test_grade_when_a_teacher_gives_one_by_hand_takes_the_place_of_the_tools(desk: Desk) -> None:
    headers = desk.bearer()
    assert desk.post_score(headers).status_code == 200
    path = f"/course/101/column/1/grade/{LEARNER.user_id}"
    desk.sign_in(LEARNER)
    assert desk.client.post(path, data={"score": "3"}).status_code == 403
    desk.sign_in(MANAGER)
    assert desk.client.post(path, data={"score": "much"}).status_code == 400
    assert desk.client.post(path, data={"score": "3"}).status_code == 303
    assert desk.result()["score"] == 3
    assert "Grade of" in desk.client.get("/course/101/grades").text
    assert desk.client.post(path, data={"score": ""}).status_code == 303
    desk.wait(5)
    assert desk.post_score(headers, timestamp=stamp(NOW + 5)).status_code == 200
    assert desk.client.post("/course/101/column/1/delete").status_code == 400, "it belongs to the activity"
