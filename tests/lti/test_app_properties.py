"""Whatever a platform or a browser sends to the whole application: a page, one line of log, never a fault.

The application runs with `testing`, so that a fault is raised here instead of becoming a page.
"""

import json
import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from lti import claims, nrps
from lti.errors import ServiceError
from rmplugin.credits import tasks
from rmplugin.tenants.models import LtiPlatform
from rmplugin.tenants.store import as_platform
from tests.factories.launches import TOOL
from tests.fakes.lti_platform import CLAIM, INSTRUCTOR, LEARNER, sign
from tests.lti.conformance import DEEP_LINKING, PERSON

some = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
few = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])

texts = st.text(max_size=20) | st.sampled_from(
    [
        "\ud800",
        "a\x00b",
        "x" * 10_000,
        "ü" * 255,
        "$Person.sourcedId",
        "",
        " ",
        "\r\nSet-Cookie: x=1",
        "🦉" * 256,
    ]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400) | texts
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
addresses = st.builds(
    "{}{}{}".format,
    st.sampled_from(["https://", "http://", "HTTPS://", "javascript:", "//", ""]),
    st.sampled_from(
        ["lms.example", "x; script-src *", "[x", "[::1]", "ü.example", "a b", "u:p@x", "x:99999", "x:y"]
    )
    | texts,
    st.sampled_from(["", "/", "/return?sesskey=x", "\\@x", "/\r\nX-A: b", "?\ud800", "#é"]),
)
odd = anything | addresses
PARTS = {
    claims.RESOURCE_LINK: ("id", "title"),
    claims.CONTEXT: ("id", "label", "title", "type"),
    claims.LIS: ("person_sourcedid",),
    claims.FOR_USER: ("user_id", "name"),
    claims.LAUNCH_PRESENTATION: ("locale", "return_url", "document_target"),
    claims.AGS_ENDPOINT: ("lineitem", "lineitems", "scope"),
    claims.NRPS_SERVICE: ("context_memberships_url", "service_versions"),
    claims.CUSTOM: ("emp", "\x00", "\ud800"),
    claims.DEEP_LINKING_SETTINGS: (
        *("deep_link_return_url", "accept_types", "accept_presentation_document_targets", "data", "title"),
        *("accept_multiple", "accept_lineitem", "auto_create", "text"),
    ),
    None: (
        *("iss", "aud", "azp", "sub", "nonce", "iat", "exp", "locale", "email_verified"),
        *("name", "given_name", "family_name", "email", "picture"),
        *(CLAIM + name for name in ("version", "message_type", "deployment_id", "target_link_uri", "roles")),
        *(
            name
            for name in (claims.CUSTOM, claims.CONTEXT, claims.RESOURCE_LINK, claims.DEEP_LINKING_SETTINGS)
        ),
        *(claims.LIS, claims.FOR_USER, claims.LAUNCH_PRESENTATION, claims.AGS_ENDPOINT, claims.NRPS_SERVICE),
    ),
}
PATHS = [(claim, key) for claim, keys in PARTS.items() for key in keys]
MESSAGES = {
    "LtiResourceLinkRequest": {},
    "LtiDeepLinkingRequest": DEEP_LINKING,
    "DataPrivacyLaunchRequest": {claims.FOR_USER: {"user_id": "9"}},
    "LtiSubmissionReviewRequest": {claims.FOR_USER: {"user_id": "9"}},
}
DIRECTIVES = {
    *("default-src", "script-src", "style-src", "img-src", "connect-src", "form-action", "base-uri"),
    "frame-ancestors",
}
SOURCE = re.compile(r"'(none|self)'|\*|data:|https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")


def hold(suite, answer):
    """Assert what every answer promises, and forget the log."""
    page = answer.get_data(as_text=True)
    assert answer.status_code in (200, 400, 401, 403, 404, 503), page
    assert page.count("<h1") == 1
    (line,) = suite.lines()
    assert line["reference"]
    suite.check_privacy(str(line))
    directives = [part.split() for part in answer.headers["Content-Security-Policy"].split(";")]
    assert {name for name, *_ in directives} <= DIRECTIVES
    assert len({name for name, *_ in directives}) == len(directives)
    assert [s for _, *sources in directives for s in sources if not SOURCE.fullmatch(s)] == []
    suite.forget()
    return page


def send(suite, changes):
    suite.forget()
    key = suite.platform.keys[0]
    return suite.launch(sign=lambda body: sign(body, key, {"alg": "RS256", "kid": "Kid-One"}), **changes)


@some
@given(
    message=st.sampled_from(sorted(MESSAGES)),
    role=st.sampled_from([INSTRUCTOR, LEARNER]),
    changes=st.lists(st.tuples(st.sampled_from(PATHS), odd), min_size=1, max_size=3),
)
@example("LtiResourceLinkRequest", LEARNER, [((claims.LAUNCH_PRESENTATION, "return_url"), "https://x; a *")])
@example("LtiResourceLinkRequest", LEARNER, [((claims.LAUNCH_PRESENTATION, "return_url"), "https://[x")])
@example("LtiResourceLinkRequest", LEARNER, [((None, "email"), "é" * 10_000), ((claims.CUSTOM, "emp"), None)])
def test_launch_when_claims_are_of_any_kind_is_a_page_and_one_line(suite, message, role, changes):
    body = {CLAIM + "message_type": message, **MESSAGES[message], CLAIM + "roles": [role]}
    if message == "DataPrivacyLaunchRequest":
        body[claims.CONTEXT] = None
    usual = suite.platform.claims({"nonce": ""})
    for (claim, key), value in changes:
        if claim is None:
            body[key] = value
        else:
            part = body.get(claim, usual.get(claim))
            body[claim] = {**(part if isinstance(part, dict) else {}), key: value}
    hold(suite, send(suite, body))


@pytest.mark.parametrize("depth", [100, 900, 950, 975, 990, 5000])
def test_launch_when_a_claim_is_nested_deeply_is_a_page_and_one_line(suite, depth):
    key, nested = suite.platform.keys[0], "[" * depth + "]" * depth

    def token(body):
        text = f'{json.dumps(body)[:-1]}, "https://lms.example/odd": {nested}}}'
        return sign(text, key, {"alg": "RS256", "kid": "Kid-One"})

    hold(suite, suite.launch(sign=token))


TEST_USER = "http://purl.imsglobal.org/vocab/lis/v2/system/person#TestUser"
spellings = st.sampled_from(
    [
        *(LEARNER, INSTRUCTOR, "Instructor", "Learner", "urn:lti:role:ims/lis/Instructor", PERSON + "Mentor"),
        "http://purl.imsglobal.org/vocab/lis/v2/membership/Instructor#TeachingAssistant",
        TEST_USER,
    ]
)


@few
@given(st.lists(spellings | anything, max_size=5) | anything)
def test_launch_when_roles_are_of_any_kind_manages_only_as_instructor_or_administrator(suite, roles):
    page = hold(suite, send(suite, {CLAIM + "roles": roles}))
    listed = roles if isinstance(roles, list) else [roles]
    allowed = {INSTRUCTOR, "Instructor", "urn:lti:role:ims/lis/Instructor"}
    # The LMS' test user is nobody, whatever else they are called.
    teaches = TEST_USER not in listed and any(isinstance(role, str) and role in allowed for role in listed)
    assert ('href="/manage"' in page) == teaches


words = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ["x" * 40_000, "a\x00b", "\r\nx: y"]
)


@some
@given(
    st.dictionaries(
        st.sampled_from(
            [
                *("iss", "login_hint", "client_id", "target_link_uri", "lti_message_hint"),
                *("lti_deployment_id", "deployment_id", "lti_storage_target"),
            ]
        ),
        words | addresses.filter(lambda address: "\ud800" not in address),
        max_size=4,
    ),
    st.booleans(),
)
def test_login_when_parameters_are_of_any_kind_goes_on_or_is_a_page_and_one_line(suite, changes, posted):
    suite.forget()
    request = {**suite.platform.login_request(TOOL + "/lti/launch"), **changes}
    client = suite.app.test_client()
    if posted:
        answer = client.post("/lti/login", data=request, base_url=TOOL)
    else:
        answer = client.get("/lti/login", query_string=request, base_url=TOOL)
    if answer.status_code == 302:
        assert answer.location.startswith(suite.platform.base + "/auth?")
        assert suite.lines() == []
    elif not suite.lines():
        # The page that puts the state into the platform's storage, and goes on.
        assert answer.status_code == 200
        assert suite.platform.base + "/auth?" in answer.get_data(as_text=True)
    else:
        hold(suite, answer)


@few
@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["User-Agent", "Accept-Language", "Referer", "Origin", "X-Rm-Session", "Cookie", "Accept"]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
        | st.sampled_from(
            ["de-DE,de;q=x", "x" * 10_000, "zh-Hant-" + "y" * 9_000, "*;q=0", "lti-x=\xff; rm-session=\x7f"]
        ),
        max_size=4,
    ),
    kind=st.sampled_from(
        [
            *("application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=x"),
            *("application/x-www-form-urlencoded; charset=x", "application/json", "text/plain", ""),
        ]
    ),
    body=st.binary(max_size=80)
    | st.sampled_from([b"state=%ff%00&id_token=a.b.c", b"error=%ff", b"x" * 600_000]),
)
def test_launch_when_headers_and_body_are_of_any_kind_is_a_page_and_one_line(suite, headers, kind, body):
    suite.forget()
    client = suite.app.test_client()
    answer = client.post("/lti/launch", data=body, content_type=kind, headers=headers, base_url=TOOL)
    hold(suite, answer)


@pytest.mark.parametrize("size", [600_000, 3_000_000])
def test_launch_when_the_post_is_too_large_is_a_page_and_one_line(suite, size):
    answer = suite.app.test_client().post("/lti/launch", data={"id_token": "x" * size}, base_url=TOOL)
    hold(suite, answer)


@few
@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60), st.booleans())
@example('<http://127.0.0.1:1/x>; rel="next"', False)
def test_roster_when_link_headers_are_of_any_kind_ends_or_is_refused(suite, runtime, tenant, link, wrapped):
    suite.platform.members = [{"user_id": str(n), "roles": ["Learner"]} for n in range(1, 6)]
    suite.platform.link_style = f"<{{url}}>{link.replace('{', '').replace('}', '')}" if wrapped else link
    with runtime.database.transaction(tenant.id, write=False) as db:
        platform = as_platform(db.scalars(select(LtiPlatform)).one())
    try:
        found = list(
            nrps.members(tasks.service_client(runtime), platform, suite.platform.base + "/nrps/members?id=3")
        )
    except ServiceError:
        return
    assert len(found) in (2, 5)
