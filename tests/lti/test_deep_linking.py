"""The signed answer to a request for content, read by another library than the one that signed it."""

import json

import pytest
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from lti import claims
from lti.deep_linking import ContentRequest, Image, LineItemRequest, ResourceLinkItem, build_response
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


@pytest.fixture
def asked(picker):
    """Return a function that gives what an answer needs of such a request."""
    return lambda **settings: ContentRequest.of(picker(**settings))


def read(token, tool):
    """Verify as the platform does: by kid in the published key set."""
    jws = JWS()
    jws.deserialize(token)
    (key,) = tool.browser().get("/lti/jwks").json["keys"]
    assert (jws.jose_header["kid"], jws.jose_header["alg"]) == (key["kid"], "RS256")
    jws.verify(JWK(**key))
    return json.loads(jws.payload)


def test_response_when_built_has_every_required_claim(asked, tool, store, clock):
    item = ResourceLinkItem(
        "Mentoring",
        custom={"programme": "4"},
        line_item=LineItemRequest(100, tag="credit"),
        thumbnail=Image("https://tool.example/icon.svg", 128, 128),
        extra={"window": {}},
    )
    body = read(build_response(asked(), [item], key=store.key, now=clock(), message="Added"), tool)
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
                "thumbnail": {"url": "https://tool.example/icon.svg", "width": 128, "height": 128},
                "window": {},
            }
        ],
    }


@pytest.mark.parametrize("data", ["", "csrf=1&x=\u00e9", {"a": [1, None]}, 0, False])
def test_response_when_data_was_sent_echoes_it_exactly(asked, tool, store, clock, data):
    body = read(build_response(asked(data=data), [], key=store.key, now=clock()), tool)
    assert body[DL + "data"] == data
    assert body[DL + "content_items"] == []


def test_response_when_nothing_optional_is_given_sends_no_empty_members(asked, tool, store, clock):
    body = read(build_response(asked(), [ResourceLinkItem("x")], key=store.key, now=clock()), tool)
    assert body[DL + "content_items"] == [{"type": "ltiResourceLink", "title": "x"}]
    assert not {DL + "data", DL + "msg", DL + "errormsg"} & set(body)


def test_response_when_platform_takes_one_item_refuses_two(asked, store, clock):
    items = [ResourceLinkItem("a"), ResourceLinkItem("b")]
    build_response(asked(accept_multiple=True), items, key=store.key, now=clock())
    build_response(asked(), items, key=store.key, now=clock())
    with pytest.raises(ValueError, match="one item"):
        build_response(asked(accept_multiple="false"), items, key=store.key, now=clock())


def test_request_when_launch_was_no_content_request_is_refused(lms):
    lms.launch()
    with pytest.raises(ValueError, match="no deep linking request"):
        ContentRequest.of(lms.tool.launches[0])


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
