"""Certification guide, deep linking: the answer is read by another library than the one that signed it."""

import json

import pytest
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from lti import claims
from tests.factories.launches import TARGET, TOOL
from tests.fakes.lti_platform import CLAIM, LEARNER
from tests.lti.conformance import DEEP_LINKING, cases

case = cases("Deep linking")
DL = claims.DEEP_LINKING
RETURN = DEEP_LINKING[claims.DEEP_LINKING_SETTINGS]["deep_link_return_url"]


@pytest.fixture
def ask(suite):
    """Return a function that sends a content request and gives (header, body) of what is sent back."""

    def ask(**settings):
        asked = {**DEEP_LINKING[claims.DEEP_LINKING_SETTINGS], **settings}
        asked = {name: value for name, value in asked.items() if value is not None}
        message = {**DEEP_LINKING, claims.DEEP_LINKING_SETTINGS: asked}
        answer = suite.launch(remove=(CLAIM + "resource_link",), **message)
        suite.expect(answer)
        address, token = suite.choose(answer.get_data(as_text=True))
        assert address == RETURN
        return read(suite, token)

    return ask


def read(suite, token):
    """Verify as the platform does: by the kid in the published key set."""
    jws = JWS()
    jws.deserialize(token)
    published = suite.app.test_client().get("/lti/jwks", base_url=TOOL).json["keys"]
    (key,) = [key for key in published if key["kid"] == jws.jose_header["kid"]]
    jws.verify(JWK(**key))
    return jws.jose_header, json.loads(jws.payload)


@case("Request received", sent="LtiDeepLinkingRequest of a teacher", shows="picker")
def test_deep_linking_request_when_sent_shows_the_choice_of_links(suite):
    answer = suite.launch(remove=(CLAIM + "resource_link",), **DEEP_LINKING)
    suite.expect(answer)
    assert "form-action" in answer.headers["Content-Security-Policy"]


@case(
    "Request of a student",
    sent="LtiDeepLinkingRequest of a learner",
    code="role_not_allowed",
    status=403,
)
def test_deep_linking_request_of_a_student_when_sent_offers_nothing(suite):
    answer = suite.launch(**{**DEEP_LINKING, CLAIM + "roles": [LEARNER]})
    suite.expect(answer)
    assert "JWT" not in answer.get_data(as_text=True)


@case("Response received", sent="the choice, posted by the browser to deep_link_return_url", shows="picker")
def test_deep_linking_response_when_chosen_goes_to_the_return_address(ask):
    assert ask()


@case("Is a deep linking response", sent="message_type and version of the answer", shows="picker")
def test_deep_linking_response_when_read_is_a_deep_linking_response(ask):
    _, body = ask()
    assert (body[CLAIM + "message_type"], body[CLAIM + "version"]) == ("LtiDeepLinkingResponse", "1.3.0")


@case("Timestamps", sent="iat now, exp within five minutes", shows="picker")
def test_deep_linking_response_when_read_has_right_timestamps(ask, clock):
    now = int(clock().timestamp())
    _, body = ask()
    assert body["iat"] == now
    assert now < body["exp"] <= now + 300


@case("Signature", sent="RS256 by a key of our key set, named by kid", shows="picker")
def test_deep_linking_response_when_read_is_signed_by_a_published_key(ask):
    header, _ = ask()
    assert header["alg"] == "RS256"
    assert header["kid"]


@case("Required claims", sent="iss, aud, nonce, deployment_id, content_items", shows="picker")
def test_deep_linking_response_when_read_has_the_required_claims(ask):
    _, body = ask()
    assert {"iss", "aud", "iat", "exp", "nonce", CLAIM + "deployment_id", DL + "content_items"} <= set(body)
    assert len(body["nonce"]) > 20


@case(
    "Values affirmed", sent="iss = client id, aud = issuer, the same deployment, data echoed", shows="picker"
)
def test_deep_linking_response_when_read_has_the_requests_values(ask, suite):
    _, body = ask()
    audience = [body["aud"]] if isinstance(body["aud"], str) else body["aud"]
    assert (body["iss"], audience) == (suite.platform.client_id, [suite.platform.issuer])
    assert body[CLAIM + "deployment_id"] == suite.platform.deployment_id
    assert body[DL + "data"] == "csrf=1&echo=é"
    (item,) = body[DL + "content_items"]
    assert item["type"] == "ltiResourceLink"
    assert item.get("custom") != {}, "an empty object crashes Moodle"


@case("No data sent", sent="a request without `data`: the answer has none", shows="picker")
def test_deep_linking_response_when_no_data_was_sent_has_none(ask):
    _, body = ask(data=None)
    assert DL + "data" not in body


@case(
    "Launch of the passed link", sent="a core launch with the item's own url and custom", shows="participant"
)
def test_passed_link_when_launched_opens(suite):
    page = suite.launch(remove=(CLAIM + "resource_link",), **DEEP_LINKING).get_data(as_text=True)
    (item,) = read(suite, suite.choose(page)[1])[1][DL + "content_items"]
    suite.forget()
    custom = {**item.get("custom", {}), "emp": "E-1001"}
    changes = {TARGET: item.get("url", TOOL + "/lti/launch"), CLAIM + "custom": custom}
    suite.expect(suite.launch(**changes))
