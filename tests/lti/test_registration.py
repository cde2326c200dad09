"""Dynamic Registration against four LMSs in their own dialects, and against nonsense."""

import json

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lti.errors import REGISTRATION_CODES, RegistrationError
from lti.printed import NEEDED, read_printed
from lti.registration import (
    PLATFORM_CONFIGURATION,
    TOOL_CONFIGURATION,
    Tool,
    build_request,
    canvas_configuration,
    family_of,
    parse_answer,
    parse_configuration,
    read_configuration,
    register,
)
from tests.fakes.registration_platforms import (
    ALL,
    SCOPES,
    Blackboard,
    Brightspace,
    Canvas,
    Moodle,
    RegistrationPlatform,
)

BASE = "https://tool.example:8443"
TOOL = Tool(
    name="A tool",
    description="What it does.",
    url=BASE,
    login_url=BASE + "/lti/login",
    launch_url=BASE + "/lti/launch",
    deep_link_url=BASE + "/lti/launch",
    jwks_url=BASE + "/lti/jwks",
    scopes=SCOPES,
    claims=("name", "given_name", "family_name", "email", "locale"),
    custom={
        "employee_number": ("Canvas.user.sisSourceId", "Person.sourcedId"),
        "emp": ("Person.sourcedId",),
        "history": ("Context.id.history",),
    },
    placements={
        "LtiResourceLinkRequest": ("course_navigation",),
        "LtiDeepLinkingRequest": ("assignment_selection", "link_selection"),
    },
)
fast = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("x" * 10_000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def go(platform, **options):
    with requests.Session() as http:
        platform.mount(http)
        url, token = platform.configuration_url, platform.token
        configuration = read_configuration(http, url, token, **options)
        return register(http, configuration, build_request(TOOL, configuration), token)


def code_of(platform, **options) -> str:
    with pytest.raises(RegistrationError) as caught:
        go(platform, **options)
    assert caught.value.message
    return caught.value.code


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_registration_when_the_lms_is_strict_is_accepted(kind):
    platform = kind()
    made = go(platform)
    assert made.client_id
    assert set(made.scopes) == set(SCOPES)
    [document] = platform.registered
    assert document["redirect_uris"] == [BASE + "/lti/launch"]
    assert document[TOOL_CONFIGURATION]["domain"] == "tool.example:8443"
    assert {"name", "email"} <= set(document[TOOL_CONFIGURATION]["claims"])


def test_registration_when_moodle_answers_gives_its_deployment_and_chosen_variables():
    platform = Moodle()
    made = go(platform)
    assert (made.deployment_id, made.platform.family) == ("36", "moodle")
    assert made.custom == {"employee_number": "$Person.sourcedId", "history": "$Context.id.history"}
    assert "locale" not in platform.registered[0][TOOL_CONFIGURATION]["claims"]


def test_registration_when_canvas_answers_has_placements_and_its_name():
    platform = Canvas()
    made = go(platform)
    messages = {m["type"]: m["placements"] for m in platform.registered[0][TOOL_CONFIGURATION]["messages"]}
    assert messages == {
        "LtiResourceLinkRequest": ["course_navigation"],
        "LtiDeepLinkingRequest": ["assignment_selection", "link_selection"],
    }
    assert made.platform.name == "Test University"
    assert made.platform.token_audience is None
    assert made.deployment_id is None
    assert made.custom["employee_number"] == "$Canvas.user.sisSourceId"


def test_registration_when_canvas_makes_a_deployment_at_once_gives_it():
    platform = Canvas()
    platform.answer = {"client_id": "1", "deployment_id": "1:abc", TOOL_CONFIGURATION: {}}
    assert go(platform).deployment_id == "1:abc"


def test_registration_when_canvas_gets_no_bearer_on_reading_is_refused():
    platform = Canvas()
    with requests.Session() as http, pytest.raises(RegistrationError) as caught:
        read_configuration(platform.mount(http) and http, platform.configuration_url, None)
    assert caught.value.code == "configuration_refused"


def test_registration_when_brightspace_sends_no_token_sends_none_and_keeps_the_audience():
    made = go(Brightspace())
    assert made.platform.token_audience == "https://api.brightspace.com/auth/token"
    assert made.platform.family == "brightspace"
    assert "employee_number" not in made.custom


def test_registration_when_blackboard_names_its_shared_issuer_is_accepted_from_its_portal_only():
    assert go(Blackboard()).platform.issuer == "https://blackboard.com"
    stranger = Blackboard()
    stranger.base = "https://blackboard.com.evil.example"
    assert code_of(stranger) == "issuer_mismatch"


def test_registration_when_the_platform_offers_less_asks_for_less():
    platform = RegistrationPlatform()
    platform.changes = {
        "scopes_supported": [SCOPES[4]],
        PLATFORM_CONFIGURATION: {"messages_supported": [{"type": "LtiResourceLinkRequest"}]},
    }
    assert go(platform).scopes == (SCOPES[4],)
    messages = platform.registered[0][TOOL_CONFIGURATION]["messages"]
    assert [message["type"] for message in messages] == ["LtiResourceLinkRequest"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"issuer": "https://other.example"}, "issuer_mismatch"),
        ({"issuer": "https://canvas.instructure.com"}, "issuer_mismatch"),
        ({"issuer": "https://lms.example:8443"}, "issuer_mismatch"),
        ({"issuer": None}, "configuration_invalid"),
        ({"jwks_uri": "http://lms.example/jwks"}, "configuration_invalid"),
        ({"token_endpoint": "https://user@lms.example/token"}, "configuration_invalid"),
        ({"authorization_endpoint": 7}, "configuration_invalid"),
        ({"registration_endpoint": None}, "registration_unsupported"),
        ({"registration_endpoint": "https://[broken"}, "configuration_invalid"),
        ({"padding": "x" * 600_000}, "configuration_unreachable"),
    ],
)
def test_configuration_when_something_is_wrong_says_what(changes, code):
    platform = RegistrationPlatform()
    platform.changes = changes
    assert code_of(platform) == code
    assert not platform.registered


@pytest.mark.parametrize(
    "url",
    [
        "",
        "lms.example",
        "http://lms.example/c",
        "file:///etc/passwd",
        "https://",
        "https://a b/",
        "http://127.0.0.1/",
    ],
)
def test_configuration_when_its_address_is_no_https_is_not_fetched(url):
    with requests.Session() as http, pytest.raises(RegistrationError) as caught:
        read_configuration(http, url, "t")
    assert caught.value.code == "address_invalid"


def test_configuration_when_the_lms_is_down_or_redirects_is_unreachable():
    platform = RegistrationPlatform()
    platform.down = {"GET"}
    assert code_of(platform) == "configuration_unreachable"
    moved = RegistrationPlatform()
    moved.route = lambda _request: (302, "")
    assert code_of(moved) == "configuration_unreachable"


def test_registration_when_the_token_was_used_says_so():
    platform = Moodle()
    go(platform)
    assert code_of(platform) == "token_already_used"
    assert len(platform.registered) == 1


def test_registration_when_refused_tells_the_platforms_own_word_and_nothing_else():
    platform = Moodle()
    platform.check = lambda _document: (_ for _ in ()).throw(ValueError)
    for body, reason in (
        ("missing required attribute domain", "domain"),
        ('{"error": "domain_in_use", "detail": "of Ada Byron"}', "domain_in_use"),
        ("<html>Ada Byron, ada@company.example</html>", "unreadable"),
    ):
        platform.route = lambda request, body=body: (
            (400, body) if request.method == "POST" else Moodle.route(platform, request)
        )
        with pytest.raises(RegistrationError) as caught:
            go(platform)
        assert (caught.value.code, caught.value.details["reason"]) == ("registration_refused", reason)


def test_registration_when_the_answer_never_comes_warns_of_an_entry():
    platform = Moodle()
    platform.down = {"POST"}
    assert code_of(platform) == "registration_unreachable"


@pytest.mark.parametrize(
    "answer", ["", "no json", "[]", "null", {}, {"client_id": ""}, {"client_id": "x" * 300}]
)
def test_registration_when_the_answer_has_no_client_says_so(answer):
    platform = Moodle()
    platform.answer = answer
    assert code_of(platform) == "answer_invalid"


@fast
@given(
    changes=st.dictionaries(st.sampled_from([*Moodle().configuration(), "authorization_server"]), anything),
    own=st.dictionaries(
        st.sampled_from(["product_family_code", "messages_supported", "variables"]), anything
    ),
)
def test_configuration_when_members_are_of_any_type_is_read_or_refused(changes, own):
    document = json.loads(json.dumps({**Moodle().configuration(), PLATFORM_CONFIGURATION: own, **changes}))
    try:
        found = parse_configuration(document, Moodle().configuration_url)
    except RegistrationError as error:
        assert error.code in REGISTRATION_CODES  # noqa: PT017 - both outcomes are right.
        return
    assert json.dumps(build_request(TOOL, found))
    assert found.name


@fast
@given(
    answer=st.dictionaries(
        st.sampled_from(["client_id", "scope", "deployment_id", TOOL_CONFIGURATION]), anything
    ),
    own=anything,
)
def test_answer_when_members_are_of_any_type_is_read_or_refused(answer, own):
    platform = parse_configuration(Moodle().configuration(), Moodle().configuration_url)
    document = {TOOL_CONFIGURATION: {"deployment_id": own}, **answer}
    try:
        made = parse_answer(document, platform, build_request(TOOL, platform))
    except RegistrationError as error:
        assert error.code == "answer_invalid"  # noqa: PT017 - both outcomes are right.
        return
    assert 0 < len(made.client_id) <= 255
    assert made.deployment_id is None or 0 < len(made.deployment_id) <= 255
    assert all(isinstance(scope, str) for scope in made.scopes)


def test_family_when_told_by_code_or_issuer_is_known_or_generic():
    assert family_of("desire2learn") == "brightspace"
    assert family_of("", "https://canvas.instructure.com") == "canvas"
    assert family_of("something", "https://lms.example") == "generic"


def test_canvas_configuration_when_read_has_the_documented_members():
    document = canvas_configuration(TOOL)
    needed = {"title", "description", "oidc_initiation_url", "target_link_uri", "public_jwk_url", "scopes"}
    assert needed <= set(document)
    [extension] = document["extensions"]
    assert (extension["platform"], extension["privacy_level"]) == ("canvas.instructure.com", "public")
    placements = {p["placement"]: p["message_type"] for p in extension["settings"]["placements"]}
    assert placements == {
        "course_navigation": "LtiResourceLinkRequest",
        "assignment_selection": "LtiDeepLinkingRequest",
        "link_selection": "LtiDeepLinkingRequest",
    }
    assert document["custom_fields"]["employee_number"] == "$Canvas.user.sisSourceId"


# ---- printed values ----

MOODLE = {
    "issuer": "https://moodle.school.example",
    "client_id": "AbCdEfGhIjKlMn1",
    "auth_url": "https://moodle.school.example/mod/lti/auth.php",
    "token_url": "https://moodle.school.example/mod/lti/token.php",
    "jwks_url": "https://moodle.school.example/mod/lti/certs.php",
    "deployment_ids": ("36",),
    "family": "moodle",
}
BRIGHTSPACE = {
    "issuer": "https://acme.brightspace.com",
    "client_id": "7f6d4d60-2d2d-4c63-aad6-0a5f0f7a9a7a",
    "auth_url": "https://acme.brightspace.com/d2l/lti/authenticate",
    "token_url": "https://auth.brightspace.com/core/connect/token",
    "jwks_url": "https://acme.brightspace.com/d2l/.well-known/jwks",
    "token_audience": "https://api.brightspace.com/auth/token",
    "family": "brightspace",
}
BLACKBOARD_ID = "fe3ebd13-39a4-42c4-8b83-194f08e77f8a"
BLACKBOARD = {
    "issuer": "https://blackboard.com",
    "client_id": BLACKBOARD_ID,
    "jwks_url": f"https://developer.blackboard.com/api/v1/management/applications/{BLACKBOARD_ID}/jwks.json",
    "auth_url": "https://developer.blackboard.com/api/v1/gateway/oidcauth",
    "deployment_ids": ("ea4e4459-2363-348e-bd38-048993689aa0",),
    "family": "blackboard",
}
PAGES = {
    "moodle": (
        (
            "Tool configuration details\nPlatform ID:\thttps://moodle.school.example\n"
            "Client ID:\tAbCdEfGhIjKlMn1\n"
            "Deployment ID:\t36\nPublic keyset URL:\thttps://moodle.school.example/mod/lti/certs.php\n"
            "Access token URL:\t"
            "https://moodle.school.example/mod/lti/token.php\nAuthentication request URL:\t"
            "https://moodle.school.example/mod/lti/auth.php\n"
        ),
        MOODLE,
    ),
    "moodle in German, line by line": (
        (
            "Plattform-ID\nhttps://moodle.school.example\nClient-ID\nAbCdEfGhIjKlMn1\nEinsatz-ID\n36\n"
            "URL für öffentliche Schlüssel\nhttps://moodle.school.example/mod/lti/certs.php\n"
        ),
        MOODLE,
    ),
    "brightspace": (
        (
            "Client Id\n7f6d4d60-2d2d-4c63-aad6-0a5f0f7a9a7a\nBrightspace Keyset URL\n"
            "https://acme.brightspace.com/d2l/.well-known/jwks\nBrightspace OAuth2 Access Token URL\n"
            "https://auth.brightspace.com/core/connect/token\nOpenID Connect Authentication Endpoint\n"
            "https://acme.brightspace.com/d2l/lti/authenticate\nBrightspace OAuth2 Audience\n"
            "https://api.brightspace.com/auth/token\nIssuer\nhttps://acme.brightspace.com\n"
        ),
        BRIGHTSPACE,
    ),
    "blackboard": (
        (
            f"Application ID   {BLACKBOARD_ID}\nIssuer   https://blackboard.com\nPublic keyset URL   "
            f"{BLACKBOARD['jwks_url']}\nAuth token endpoint   "
            "https://developer.blackboard.com/api/v1/gateway/oauth2/jwttoken\n"
            "Deployment ID: ea4e4459-2363-348e-bd38-048993689aa0\n"
        ),
        BLACKBOARD,
    ),
    "canvas": (
        "10000000000042\nhttps://acme.instructure.com",
        {
            "issuer": "https://canvas.instructure.com",
            "client_id": "10000000000042",
            "auth_url": "https://sso.canvaslms.com/api/lti/authorize_redirect",
            "token_url": "https://acme.instructure.com/login/oauth2/token",
            "jwks_url": "https://sso.canvaslms.com/api/lti/security/jwks",
            "family": "canvas",
        },
    ),
    "canvas, beta": (
        "10000000000042 https://acme.beta.instructure.com/accounts/1 327:" + "a" * 40,
        {
            "issuer": "https://canvas.beta.instructure.com",
            "auth_url": "https://sso.beta.canvaslms.com/api/lti/authorize_redirect",
            "deployment_ids": ("327:" + "a" * 40,),
        },
    ),
    "schoology": (
        "https://app.schoology.com\nClient ID: 6352\nDeployment ID: 6352-11",
        {
            "issuer": "https://schoology.schoology.com",
            "token_url": "https://lti-service.svc.schoology.com/lti-service/access-token",
            "client_id": "6352",
            "deployment_ids": ("6352-11",),
        },
    ),
    "sakai": (
        (
            "Platform OAuth2 Bearer Token Retrieval URL\thttps://sakai.example/imsblis/lti13/token/7\n"
            "Client ID\tabc\n"
            "Deployment ID\t1\n"
        ),
        {
            "issuer": "https://sakai.example",
            "auth_url": "https://sakai.example/imsoidc/lti13/oidc_auth",
            "jwks_url": "https://sakai.example/imsblis/lti13/keyset",
            "family": "sakai",
        },
    ),
    "json": (
        json.dumps(Brightspace().configuration() | {"client_id": "c-1"}),
        {"issuer": "https://acme.brightspace.com", "client_id": "c-1", "family": "brightspace"},
    ),
}


@pytest.mark.parametrize("page", PAGES)
def test_printed_when_copied_from_the_page_is_read(page):
    text, wanted = PAGES[page]
    found = read_printed(text)
    assert {name: getattr(found, name) for name in wanted} == wanted
    assert found.missing == ()


def test_printed_when_canvas_is_ones_own_has_addresses_below_its_host():
    found = read_printed("10000000000042 canvas.own.example", "canvas")
    assert found.auth_url == "https://canvas.own.example/api/lti/authorize_redirect"
    assert found.jwks_url == "https://canvas.own.example/api/lti/security/jwks"
    assert found.missing == ()


def test_printed_when_something_is_not_there_says_what():
    assert read_printed("good morning").missing == NEEDED
    assert read_printed("https://moodle.school.example/mod/lti/certs.php").missing == ("client_id",)


@fast
@given(
    words=st.lists(
        st.sampled_from(
            [
                "Client ID",
                "Deployment ID:",
                "Issuer",
                "Token URL",
                "https://x.instructure.com",
                "http://[",
                "https://a:b/d2l/x",
                "https://m/mod/lti/certs.php",
                "developer.anthology.com",
                "{",
                "\t",
                "\n",
                ": ",
                "36",
                '"jwks_uri"',
                "schoology.com",
                "https://s/imsblis/lti13/token/1",
                "x" * 10_000,
            ]
        )
        | st.text(max_size=10)
    ),
    family=st.none()
    | st.sampled_from(["moodle", "canvas", "brightspace", "blackboard", "sakai", "schoology", "generic"]),
)
def test_printed_when_the_text_is_anything_never_fails(words, family):
    found = read_printed("".join(words), family)
    assert set(found.missing) <= set(NEEDED)


@fast
@given(
    document=st.dictionaries(
        st.sampled_from([*Moodle().configuration(), "client_id", "deployment_id"]), anything
    )
)
def test_printed_when_the_json_is_anything_never_fails(document):
    assert set(read_printed(json.dumps(document)).missing) <= set(NEEDED)
