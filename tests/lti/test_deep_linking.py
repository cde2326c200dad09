"""The signed answer to a request for content, read by another library than the one that signed it."""

import json

import pytest
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from lti import claims
from lti.deep_linking import LineItemRequest, ResourceLinkItem, build_response
from tests.fakes.lti_platform import CLAIM

DL = "https://purl.imsglobal.org/spec/lti-dl/claim/"


@pytest.fixture
def picker(lms):
    """Return a function that launches a content request with these settings."""

    def launch(**settings):
        request = {
            "deep_link_return_url": "https://moodle.example/return?sesskey=x",
            "accept_types": ["link", "ltiResourceLink"],
            "accept_presentation_document_targets": ["iframe", "window"],
            **settings,
        }
        changes = {CLAIM + "message_type": "LtiDeepLinkingRequest", claims.DEEP_LINKING_SETTINGS: request}
        assert lms.launch(remove=(CLAIM + "resource_link",), **changes).json == {"code": "ok"}
        return lms.tool.launches[-1]

    return launch


def read(token, tool):
    """Verify as the platform does: by kid in the published key set."""
    jws = JWS()
    jws.deserialize(token)
    (key,) = tool.browser().get("/lti/jwks").json["keys"]
    assert (jws.jose_header["kid"], jws.jose_header["alg"]) == (key["kid"], "RS256")
    jws.verify(JWK(**key))
    return json.loads(jws.payload)


def test_response_when_built_has_every_required_claim(picker, tool, store, clock):
    item = ResourceLinkItem(
        "Mentoring",
        custom={"programme": "4"},
        line_item=LineItemRequest(100, tag="credit"),
        extra={"window": {}},
    )
    body = read(build_response(picker(), [item], key=store.key, now=clock(), message="Added"), tool)
    now = int(clock().timestamp())
    assert len(body.pop("nonce")) > 20
    assert body == {
        "iss": "client-1",
        "aud": "https://moodle.example",
        "iat": now,
        "exp": now + 300,
        CLAIM + "deployment_id": "36",
        CLAIM + "message_type": "LtiDeepLinkingResponse",
        CLAIM + "version": "1.3.0",
        DL + "msg": "Added",
        DL + "content_items": [
            {
                "type": "ltiResourceLink",
                "title": "Mentoring",
                "custom": {"programme": "4"},
                "lineItem": {"scoreMaximum": 100, "tag": "credit"},
                "window": {},
            }
        ],
    }


@pytest.mark.parametrize("data", ["", "csrf=1&x=\u00e9", {"a": [1, None]}, 0, False])
def test_response_when_data_was_sent_echoes_it_exactly(picker, tool, store, clock, data):
    body = read(build_response(picker(data=data), [], key=store.key, now=clock()), tool)
    assert body[DL + "data"] == data
    assert body[DL + "content_items"] == []


def test_response_when_nothing_optional_is_given_sends_no_empty_members(picker, tool, store, clock):
    body = read(build_response(picker(), [ResourceLinkItem("x")], key=store.key, now=clock()), tool)
    assert body[DL + "content_items"] == [{"type": "ltiResourceLink", "title": "x"}]
    assert not {DL + "data", DL + "msg", DL + "errormsg"} & set(body)


def test_response_when_platform_takes_one_item_refuses_two(picker, store, clock):
    items = [ResourceLinkItem("a"), ResourceLinkItem("b")]
    build_response(picker(accept_multiple=True), items, key=store.key, now=clock())
    build_response(picker(), items, key=store.key, now=clock())
    with pytest.raises(ValueError, match="one item"):
        build_response(picker(accept_multiple="false"), items, key=store.key, now=clock())


def test_response_when_launch_was_no_content_request_is_refused(lms, store, clock):
    lms.launch()
    with pytest.raises(ValueError, match="no deep linking request"):
        build_response(lms.tool.launches[0], [], key=store.key, now=clock())


def test_request_when_settings_are_full_are_all_read(picker):
    settings = picker(
        accept_lineitem=True,
        auto_create="true",
        title="T",
        text="t",
        accept_types=["ltiResourceLink", "x", 5],
    )
    link = settings.deep_linking
    assert link.return_url == "https://moodle.example/return?sesskey=x"
    assert (link.accept_types, link.accept_presentation_document_targets) == (
        ("ltiResourceLink", "x"),
        ("iframe", "window"),
    )
    assert (link.accept_multiple, link.accept_line_item, link.auto_create) == (True, True, True)
    assert (link.title, link.text, link.data) == ("T", "t", None)
