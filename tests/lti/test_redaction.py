"""What is kept of a message: machine values and shapes, never anything about a person."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lti import claims
from lti.redaction import MAXIMUM_CHARACTERS, address, host, redacted, shape
from tests.fakes.lti_platform import CLAIM, INSTRUCTOR, LEARNER

# Letters that no machine value has, so that finding one means that a person's value got through.
MARK = "Ж"
personal_text = st.text(st.characters(codec="utf-8"), max_size=30).map(lambda text: f"{text}{MARK}")
personal = st.recursive(
    personal_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(personal_text, inner, max_size=3),
    max_leaves=6,
)
odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("\ud800\x00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PERSONAL = [
    *("sub", "name", "given_name", "family_name", "email", "picture", "nonce", "address", "login_hint"),
    *(
        claims.LIS,
        claims.FOR_USER,
        CLAIM + "ext",
        CLAIM + "lti1p1",
        "https://vendor.example/claim",
        "id_token",
    ),
]
EVERY_CLAIM = [
    *PERSONAL, *("iss", "aud", "azp", "iat", "exp", "locale", "client_id", "target_link_uri"),
    *(CLAIM + name for name in ("version", "message_type", "deployment_id", "target_link_uri", "roles")),
    *(CLAIM + name for name in ("context", "resource_link", "custom", "launch_presentation")),
    CLAIM + "tool_platform",
    claims.AGS_ENDPOINT, claims.NRPS_SERVICE, claims.DEEP_LINKING_SETTINGS,
]  # fmt: skip


def written(body) -> str:
    return json.dumps(redacted(body), ensure_ascii=False)


@given(st.dictionaries(st.sampled_from(EVERY_CLAIM) | personal_text, personal, max_size=8))
@example({CLAIM + "launch_presentation": {"return_url": f"https://lms.example/{MARK}?sesskey={MARK}"}})
@example({claims.NRPS_SERVICE: {"context_memberships_url": f"https://{MARK}@lms.example/m?t={MARK}#{MARK}"}})
def test_redaction_when_any_claim_is_about_a_person_shows_nothing_of_it(body):
    assert MARK not in written(body)


@given(st.sampled_from(PERSONAL), st.from_regex(r"Zq[A-Za-z0-9_.@-]{3,20}", fullmatch=True))
def test_redaction_when_a_person_looks_like_a_machine_word_shows_nothing_of_it(name, value):
    for body in ({name: value}, {name: [value]}, {name: {"id": value}}, {CLAIM + "custom": {"emp": value}}):
        assert "Zq" not in written(body)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(EVERY_CLAIM) | st.text(max_size=8), odd, max_size=6) | odd)
def test_redaction_when_values_are_of_any_type_is_ascii_json_of_bounded_size(body):
    text = json.dumps(redacted(body), allow_nan=False)
    assert text.isascii()
    assert "\\u0000" not in text
    assert len(text) <= MAXIMUM_CHARACTERS


def test_redaction_when_the_message_is_huge_is_cut():
    many = {f"https://vendor.example/{n}": {f"key_{m}": "x" for m in range(500)} for n in range(500)}
    for body in (many, {CLAIM + "roles": ["Learner"] * 100_000}, {CLAIM + "custom": {"a" * 60: "b" * 10**6}}):
        assert len(json.dumps(redacted(body))) <= MAXIMUM_CHARACTERS
    assert redacted(many)["(more)"] == "440 entries"


def test_redaction_when_a_launch_is_shown_keeps_what_tells_its_faults():
    shown = redacted(
        {
            "iss": "https://lms.example/",
            "aud": ["client-1", "client-2"],
            "iat": 1_795_000_000,
            "exp": "soon",
            "sub": "7",
            "name": "Ada Byron",
            "email": "",
            "nonce": "secret-nonce",
            "locale": "de",
            CLAIM + "version": "1.3.0",
            CLAIM + "deployment_id": 36,
            CLAIM + "target_link_uri": "https://tool.example/lti/launch?token=secret",
            CLAIM + "roles": [LEARNER, INSTRUCTOR],
            CLAIM + "context": {"id": "3", "title": "Course of Ada", "type": ["CourseSection"]},
            CLAIM + "resource_link": {"id": "12", "title": "T", "description": None},
            CLAIM + "custom": {
                "emp": "E-1001", "hr": "$Person.sourcedId", "bb": "@X@user.batch_uid@X@",
                "price": "$5 for Ada", "n": 5, "yes": True, "gone": None,
            },
            CLAIM + "lis": {"person_sourcedid": "$Person.sourcedId"},
            CLAIM + "launch_presentation": {
                "document_target": "iframe", "return_url": "https://lms.example/course?sesskey=secret",
            },
            CLAIM + "tool_platform": {"product_family_code": "moodle", "version": "2024", "name": "Acme's"},
            claims.AGS_ENDPOINT: {"scope": ["https://s.example/score"], "lineitems": "https://lms.example/l?t=1"},
        }
    )  # fmt: skip
    assert shown == {
        "iss": "https://lms.example/",
        "aud": ["client-1", "client-2"],
        "iat": 1_795_000_000,
        "exp": "text, 4 characters",
        "sub": "text, 1 character",
        "name": "text, 9 characters",
        "email": "empty",
        "nonce": "text, 12 characters",
        "locale": "de",
        CLAIM + "version": "1.3.0",
        CLAIM + "deployment_id": 36,
        CLAIM + "target_link_uri": "https://tool.example/lti/launch",
        CLAIM + "roles": [LEARNER, INSTRUCTOR],
        CLAIM + "context": {"id": "3", "title": "text, 13 characters", "type": ["CourseSection"]},
        CLAIM + "resource_link": {"id": "12", "title": "text, 1 character", "description": "null"},
        CLAIM + "custom": {
            "emp": "text, 6 characters", "hr": "$Person.sourcedId", "bb": "@X@user.batch_uid@X@",
            "price": "text, 10 characters", "n": "number", "yes": "true or false", "gone": "null",
        },
        CLAIM + "lis": {"person_sourcedid": "$Person.sourcedId"},
        CLAIM + "launch_presentation": {"document_target": "iframe", "return_url": "https://lms.example"},
        CLAIM + "tool_platform": {
            "product_family_code": "moodle", "version": "2024", "name": "text, 6 characters",
        },
        claims.AGS_ENDPOINT: {"scope": ["https://s.example/score"], "lineitems": "https://lms.example/l"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"), (False, "true or false"), (0.5, "number"), (" ", "empty"), ("a", "text, 1 character"),
        ([1, 2], "list of 2"), ({"a": 1}, "object of 1"), (object(), "unknown"),
    ],
)  # fmt: skip
def test_shape_when_asked_says_the_kind_in_words(value, words):
    assert shape(value) == words


@pytest.mark.parametrize(
    ("url", "shown", "origin"),
    [
        ("https://ada:pw@lms.example:8443/a/b?c#d", "https://lms.example:8443/a/b", "https://lms.example:8443"),
        ("https://[x", "text, 10 characters", "text, 10 characters"),
        ("javascript:alert(1)", "text, 19 characters", "text, 19 characters"),
        (5, "number", "number"),
    ],
)  # fmt: skip
def test_address_when_shown_has_no_user_query_or_fragment(url, shown, origin):
    assert address(url) == shown
    assert host(url) == origin
