"""Whatever a platform sends: a launch or a launch error, never anything else."""

import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lti import claims
from lti.ags import format_timestamp, next_timestamp
from lti.errors import LaunchError
from lti.jwks import KeySets, parse_key_set
from lti.launch import Launch, begin_login, validate
from lti.links import below, linked, parse_links, with_query
from lti.login import is_ours
from lti.platforms import Platform
from lti.roles import parse_role, parse_roles
from tests.fakes.lti_platform import CLAIM, INSTRUCTOR, LEARNER, sign
from tests.fakes.lti_store import MemoryStore

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
URL = "https://tool.example/lti/launch"
fast = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("\ud800\x00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PARTS = {
    claims.RESOURCE_LINK: ("id", "title"),
    claims.CONTEXT: ("id", "label", "title"),
    claims.LIS: ("person_sourcedid",),
    claims.FOR_USER: ("user_id",),
    claims.LAUNCH_PRESENTATION: ("locale", "return_url"),
    claims.AGS_ENDPOINT: ("lineitem", "lineitems", "scope"),
    claims.NRPS_SERVICE: ("context_memberships_url",),
    claims.DEEP_LINKING_SETTINGS: ("deep_link_return_url", "accept_types", "accept_multiple", "data"),
    claims.CUSTOM: ("a", "\ud800"),
}
NAMES = [
    *("iss", "aud", "azp", "sub", "nonce", "iat", "exp", "name", "email", "email_verified", "locale"),
    *(CLAIM + name for name in ("version", "message_type", "deployment_id", "target_link_uri", "roles")),
    *PARTS,
]
odd_claims = st.dictionaries(st.sampled_from(NAMES), anything, max_size=4)
odd_parts = st.fixed_dictionaries(
    {},
    optional={
        name: st.dictionaries(st.sampled_from(keys), anything, max_size=4) for name, keys in PARTS.items()
    },
)


@pytest.fixture(scope="module")
def world(tool_key, platform_keys):
    """A store and a key cache that already hold the platform, so that no network is needed."""
    registered = Platform(
        "p", "https://lms.example", "c", "https://lms.example/a", "https://lms.example/t", "k"
    )
    store = MemoryStore(tool_key, lambda: NOW)
    store.platforms.append(registered)

    class NoNetwork:
        def get(self, *_, **__):
            raise AssertionError("The key set is cached")

    keys = KeySets(NoNetwork())
    from lti.jwks import _KeySet

    published = parse_key_set({"keys": [platform_keys[0].export_public(as_dict=True)]})
    keys._sets["k"] = _KeySet(published, NOW.timestamp(), NOW.timestamp(), NOW.timestamp())
    return store, keys


def run(world, key, message_type, changes):
    store, keys = world
    began = begin_login({"iss": "https://lms.example", "login_hint": "1"}, store, launch_url=URL, now=NOW)
    body = {
        "iss": "https://lms.example",
        "aud": "c",
        "sub": "1",
        "nonce": store.attempts[began.state].nonce,
        "iat": NOW.timestamp(),
        "exp": NOW.timestamp() + 60,
        CLAIM + "version": "1.3.0",
        CLAIM + "message_type": message_type,
        CLAIM + "deployment_id": "1",
        CLAIM + "roles": [],
        CLAIM + "resource_link": {"id": "1"},
        **changes,
    }
    form = {"state": began.state, "id_token": sign(body, key, {"alg": "RS256", "kid": "Kid-One"})}
    return validate(form, {began.cookie_name: began.cookie_value}, store, keys, launch_url=URL, now=NOW)


TYPES = [
    "LtiResourceLinkRequest",
    "LtiDeepLinkingRequest",
    "DataPrivacyLaunchRequest",
    "LtiSubmissionReviewRequest",
]


@fast
@given(message_type=st.sampled_from(TYPES), odd=odd_claims, parts=odd_parts)
def test_launch_when_claims_are_of_any_type_is_a_launch_or_a_launch_error(
    world, platform_keys, message_type, odd, parts
):
    try:
        launch = run(world, platform_keys[0], message_type, {**parts, **odd})
    except LaunchError as error:
        assert error.claim_names  # noqa: PT017 - both outcomes are right, each has its promise.
        return
    assert isinstance(launch, Launch)
    texts = [
        *(
            launch.subject,
            launch.name,
            launch.email,
            launch.person_sourcedid,
            launch.locale,
            launch.return_url,
        ),
        *launch.custom.items(),
    ]
    for text in texts:
        "".join(text or "").encode()
        assert "\x00" not in (text or "")


def test_launch_when_nothing_is_odd_is_accepted(world, platform_keys):
    assert run(world, platform_keys[0], "LtiResourceLinkRequest", {}).subject == "1"


@fast
@given(
    token=st.text(st.characters(codec="utf-8"), max_size=60)
    | st.from_regex(r"[\w-]{0,20}\.[\w-]{0,20}\.[\w-]{0,9}")
)
def test_launch_when_token_is_any_text_is_a_launch_error(world, token):
    store, keys = world
    began = begin_login({"iss": "https://lms.example", "login_hint": "1"}, store, launch_url=URL, now=NOW)
    with pytest.raises(LaunchError):
        validate({"state": began.state, "id_token": token}, {}, store, keys, launch_url=URL, now=NOW)


@fast
@given(
    st.dictionaries(
        st.sampled_from(["iss", "login_hint", "client_id", "target_link_uri"]), st.text(max_size=30)
    )
)
def test_login_when_parameters_are_any_text_redirects_or_is_refused(world, params):
    store, _ = world
    try:
        began = begin_login(params, store, launch_url=URL, now=NOW)
    except LaunchError:
        return
    assert began.url.startswith("https://lms.example/a?")


@given(st.lists(anything | st.sampled_from([LEARNER, "Learner"]), max_size=6))
def test_roles_when_no_instructor_is_among_them_promote_nobody(values):
    roles = parse_roles(values)
    assert not roles.is_instructor
    assert not roles.is_administrator
    assert roles.is_learner == any(
        isinstance(v, str) and v.strip() in (LEARNER, "Learner", "learner") for v in values
    )


SPELLINGS = {
    "membership": [
        INSTRUCTOR,
        INSTRUCTOR.replace("http:", "https:"),
        "Instructor",
        " instructor ",
        "urn:lti:role:ims/lis/Instructor",
    ],
    "nothing": [
        "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Instructor",
        "http://purl.imsglobal.org/vocab/lis/v2/membership#Mentor",
        "http://purl.imsglobal.org/vocab/lis/v2/membership/Instructor#TeachingAssistant",
        "http://purl.imsglobal.org/vocab/lis/v2/membership/Learner#Instructor",
        "http://purl.imsglobal.org/vocab/lis/v2/membership/Mentor#Instructor",
        "urn:lti:instrole:ims/lis/Instructor",
        "urn:lti:role:ims/lis/Instructor/TeachingAssistant",
        "Mentor",
        "http://evil.example/membership#Instructor",
        INSTRUCTOR + "x\n",
    ],
}


@pytest.mark.parametrize("text", SPELLINGS["membership"])
def test_role_when_spelt_in_any_known_way_is_an_instructor(text):
    assert parse_roles([text]).is_instructor


@pytest.mark.parametrize("text", SPELLINGS["nothing"])
def test_role_when_it_only_looks_like_an_instructor_is_none(text):
    assert not parse_roles([text, LEARNER]).is_instructor


@pytest.mark.parametrize(
    ("text", "administrator"),
    [
        ("http://purl.imsglobal.org/vocab/lis/v2/system/person#Administrator", True),
        ("http://purl.imsglobal.org/vocab/lis/v2/system/person#SysAdmin", True),
        ("http://purl.imsglobal.org/vocab/lis/v2/institution/person#Administrator", True),
        ("http://purl.imsglobal.org/vocab/lis/v2/membership#Administrator", True),
        ("urn:lti:sysrole:ims/lis/Administrator", True),
        ("Administrator", True),
        ("http://purl.imsglobal.org/vocab/lis/v2/system/person#User", False),
        ("http://purl.imsglobal.org/vocab/lis/v2/institution/person#SysAdmin", False),
        ("http://purl.imsglobal.org/vocab/lis/v2/membership/Administrator#Support", False),
    ],
)
def test_role_when_administrator_is_recognised_by_kind(text, administrator):
    assert parse_roles([text]).is_administrator is administrator


def test_administrator_of_the_institution_when_learning_in_the_course_administers_nothing_there():
    system = "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Administrator"
    assert not parse_roles([system, "Learner"]).is_administrator
    assert parse_roles([system, "Instructor"]).is_administrator
    assert parse_roles([system, "Learner", "Administrator"]).is_administrator


@given(st.text(max_size=80))
def test_role_when_text_is_unknown_is_none_or_a_role(text):
    role = parse_role(text)
    assert role is None or role.name


path = st.text(string.ascii_letters + string.digits + "/?=&%,;'", min_size=1, max_size=30)
relation = st.sampled_from(["next", "prev", "last", "NEXT", "x-next"])


@given(
    st.lists(st.tuples(path, relation, st.sampled_from(['"{}"', "{}", '"first {}"'])), min_size=1, max_size=4)
)
def test_link_header_when_written_in_any_style_is_read_back(links):
    header = ", ".join(
        f'<https://lms.example/{p}>;a=b ; title="x,y;<z>"; rel={s.format(r)}' for p, r, s in links
    )
    found = list(parse_links(header))
    assert [target for target, _ in found] == [f"https://lms.example/{p}" for p, _, _ in links]
    first = next((f"https://lms.example/{p}" for p, r, _ in links if r.lower() == "next"), None)
    assert linked(header, "next", "https://lms.example/") == first


@given(st.text('<>;,="\\ \tabrelnxt/', max_size=60))
def test_link_header_when_it_is_garbage_ends_without_error(header):
    found = linked(header, "next", "https://lms.example/a")
    assert found is None or isinstance(found, str)


def test_next_page_when_relative_or_absent_is_resolved():
    assert (
        linked('</p?Page=aB>; rel="next"', "next", "https://LMS.example/x/y")
        == "https://LMS.example/p?Page=aB"
    )
    exact = "https://LMS.example/a;?Page=aB&x="
    assert linked(f"<{exact}>; rel=next", "next", "https://lms.example/") == exact
    assert linked(None, "next", "https://lms.example/") is None
    assert linked('<http://[x>; rel="next"', "next", "https://lms.example/") is None


def test_addresses_when_they_have_a_query_keep_it():
    url = "https://lms.example/li/4/lineitem?type_id=36&x=%20a"
    assert below(url, "scores") == "https://lms.example/li/4/lineitem/scores?type_id=36&x=%20a"
    assert with_query(url, tag="a b", role=None) == url + "&tag=a+b"
    assert with_query("https://lms.example/li", tag="t") == "https://lms.example/li?tag=t"
    assert with_query(url, x="other") == url


@given(st.text(max_size=40))
def test_origin_when_address_is_any_text_is_ours_only_with_our_start(url):
    if is_ours(url, URL):
        assert url.lower().startswith("https://tool.example")


micro = st.integers(0, 5_000_000)


@given(st.lists(micro, min_size=2, max_size=6))
def test_timestamps_when_scores_come_in_any_order_grow_by_whole_seconds(offsets):
    last = None
    for offset in offsets:
        at = next_timestamp(last, NOW + timedelta(microseconds=offset))
        if last is not None:
            assert int(at.timestamp()) > int(last.timestamp())
        assert at >= NOW + timedelta(microseconds=offset) - timedelta(seconds=1) or last is not None
        assert datetime.fromisoformat(format_timestamp(at)).replace(microsecond=0) == at.replace(
            microsecond=0
        )
        last = at
