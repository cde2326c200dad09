"""The practice LMS registers tools as strictly as Moodle; our tool registers, is activated, is launched."""

import html
import re
import threading
from dataclasses import replace

import pytest
from sqlalchemy import select

from rmplugin.demo.practice_lms import LmsPerson, LmsSettings, create_lms, make_lms_server
from rmplugin.tenants.invites import create_invite
from rmplugin.tenants.models import LtiDeployment, LtiPlatform

TOOL = "http://localhost:5000"
CONFIGURATION = "https://purl.imsglobal.org/spec/lti-tool-configuration"
PERSON = LmsPerson(
    user_id="11", given_name="Ina", family_name="Berg", role="instructor", employee_number="E1"
)


def document(**changes):
    own = {
        "domain": "localhost:5000",
        "target_link_uri": TOOL + "/lti/launch",
        "claims": ["iss", "sub", "name"],
    }
    return {
        "application_type": "web",
        "response_types": ["id_token"],
        "initiate_login_uri": TOOL + "/lti/login",
        "redirect_uris": [TOOL + "/lti/launch"],
        "client_name": "A tool",
        "jwks_uri": TOOL + "/lti/jwks",
        "token_endpoint_auth_method": "private_key_jwt",
        "scope": "",
        CONFIGURATION: {**own, **changes.pop("own", {})},
        **changes,
    }


def settings_of(path, issuer="http://127.0.0.1:5001") -> LmsSettings:
    return LmsSettings(issuer=issuer, tool_url=TOOL, data_dir=path, people=(PERSON,))


@pytest.fixture
def lms(tmp_path):
    return create_lms(settings_of(tmp_path / "lms")).test_client()


def token_for(client, address=TOOL + "/lti/register/x") -> str:
    page = html.unescape(client.post("/tools/connect", data={"address": address}).get_data(as_text=True))
    found = re.search(r"registration_token=([\w.-]+)", page)
    assert found, page
    return found[1]


def post(client, body, token):
    return client.post("/register-tool", json=body, headers={"Authorization": f"Bearer {token}"})


def test_registration_when_the_token_is_good_is_pending_and_the_token_is_used_up(lms):
    token = token_for(lms)
    answer = post(lms, document(), token)
    assert (answer.status_code, answer.json[CONFIGURATION]["deployment_id"]) == (200, "101")
    again = post(lms, document(), token)
    assert (again.status_code, again.get_data(as_text=True)) == (401, "token_already_used")
    page = lms.get("/tools").get_data(as_text=True)
    assert "pending: cannot be opened yet" in page
    for bad in ("", "made-up"):
        assert post(lms, document(), bad).status_code == 401


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "invalid_json"),
        (document(client_name=""), "missing required attribute client_name"),
        (document(own={"domain": None}), "missing required attribute domain"),
        (document(own={"domain": "localhost"}), "invalid_domain"),
        (document(response_types=7), "invalid_response_types"),
        (document(redirect_uris="x"), "invalid_redirect_uris"),
        (document(redirect_uris=["http://["]), "invalid_redirect_uris"),
        (document(token_endpoint_auth_method="client_secret_post"), "invalid_token_endpoint_auth_method"),
        (document(application_type="native"), "invalid_application_type"),
        (document(scope="everything"), "invalid_scope"),
        (document(own={"claims": ["shoe_size"]}), "invalid_claims"),
        (document(own={"messages": [{"type": "Odd"}]}), "invalid_messages"),
        (document(own={"custom_parameters": {"a": "$Moon.phase"}}), "invalid_custom_parameters"),
    ],
)
def test_registration_when_the_document_is_wrong_says_what(lms, body, code):
    answer = post(lms, body, token_for(lms))
    assert (answer.status_code, answer.get_data(as_text=True)) == (400, code)


def test_tools_when_the_address_is_none_say_so(lms):
    assert lms.post("/tools/connect", data={"address": "hello"}).status_code == 400
    assert lms.post("/tools/1/activate").status_code == 404
    foreign = {"Origin": "https://evil.example"}
    assert lms.post("/tools/connect", data={"address": TOOL}, headers=foreign).status_code == 403


@pytest.fixture
def served(tmp_path, clock):
    """A practice LMS on a port of its own, under the address that it names."""
    holder = settings_of(tmp_path / "lms")
    server = make_lms_server(holder)
    address = f"http://127.0.0.1:{server.server_port}"
    settings = replace(settings_of(tmp_path / "lms", address), clock=clock.now.timestamp)
    server.app = create_lms(settings)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield address, server.app.test_client()
    server.shutdown()
    server.server_close()
    thread.join()


def fields(page) -> dict[str, str]:
    text = page.get_data(as_text=True)
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text)
    return {name: html.unescape(value) for name, value in found}


def test_tool_when_invited_registers_itself_is_activated_and_is_launched(
    app, runtime, tenant, tool_keys, served, clock
):
    address, lms = served
    with runtime.database.transaction(tenant.id) as db:
        token, _row = create_invite(db, None, "command", clock.now)
    shown = lms.post("/tools/connect", data={"address": f"{TOOL}/lti/register/{token}"})
    source = html.unescape(re.search(r'src="(http[^"]*)"', shown.get_data(as_text=True))[1])
    assert f"frame-src 'self' {TOOL}" in shown.headers["Content-Security-Policy"]
    browser = app.test_client()
    asked = browser.get(source, base_url=TOOL)
    assert asked.status_code == 200, asked.get_data(as_text=True)
    done = browser.post(f"/lti/register/{token}", data=fields(asked), base_url=TOOL)
    assert "is connected" in done.get_data(as_text=True)
    with runtime.database.transaction(tenant.id, write=False) as db:
        platform = db.scalars(select(LtiPlatform)).one()
        deployment = db.scalars(select(LtiDeployment)).one()
        assert (platform.issuer, deployment.deployment_id, deployment.state) == (address, "101", "approved")
    lms.post("/login", data={"user_id": "11"})
    assert lms.post("/tools/1/activate").status_code == 303
    began = fields(lms.get("/course/101/activity/2/launch"))
    assert began["client_id"] == platform.client_id
    login = browser.post("/lti/login", data=began, base_url=TOOL)
    sent = fields(lms.get(login.location.removeprefix(address)))
    launched = browser.post("/lti/launch", data=sent, base_url=TOOL)
    assert launched.status_code == 303, launched.get_data(as_text=True)


def test_launch_when_another_tools_hint_is_shown_is_refused(lms):
    post(lms, document(), token_for(lms))
    lms.post("/login", data={"user_id": "11"})
    lms.post("/tools/1/activate")
    began = fields(lms.get("/course/101/activity/2/launch"))
    asked = {
        "scope": "openid", "response_type": "id_token", "response_mode": "form_post", "prompt": "none",
        "client_id": "practice-tool-1", "redirect_uri": TOOL + "/lti/launch", "login_hint": "11",
        "lti_message_hint": began["lti_message_hint"], "state": "s", "nonce": "n",
    }  # fmt: skip
    assert fields(lms.get("/auth", query_string=asked))["error"] == "invalid_request"
    asked["client_id"] = began["client_id"]
    assert "id_token" in fields(lms.get("/auth", query_string=asked))
    lms.post("/tools/1/remove")
    assert lms.get("/course/101/activity/2/launch").status_code == 404
