"""A refused launch is explained by the values that differ; so is what an accepted one lacks."""

import json

import pytest

from lti import claims
from lti.ags import SCOPE_SCORE
from lti.diagnosis import diagnose
from lti.errors import LAUNCH_CODES, REOPEN_CODES
from lti.redaction import redacted
from tests.fakes.lti_platform import CLAIM, sign

TOOL = "https://tool.example"
WHO = ("administrator", "teacher", "You can mend this yourself", "people who run the course")


def explained(tool) -> str:
    """Explain the last refusal as a host does: from what the blueprint told it."""
    _error, info = tool.refusals[-1]
    assert json.loads(json.dumps(dict(info.details))) == dict(info.details)
    return " ".join(diagnose(info.code, info.details, info.claims))


@pytest.mark.parametrize("code", sorted(LAUNCH_CODES))
def test_refusal_when_shown_says_who_can_mend_it(code):
    _status, happened, to_do = LAUNCH_CODES[code]
    assert happened.endswith(".")
    assert any(who in to_do for who in WHO), to_do
    assert (
        ("reference below" in to_do) != (code in REOPEN_CODES) or "people who" in to_do or "yourself" in to_do
    )


@pytest.mark.parametrize("code", sorted(LAUNCH_CODES))
def test_diagnosis_when_facts_are_missing_still_says_something(code):
    (sentence,) = diagnose(code, {}, {})
    assert "refused with the code" not in sentence
    assert "{" not in sentence


def test_diagnosis_when_a_code_is_not_known_names_it():
    assert "unheard_of" in diagnose("unheard_of", {}, {})[0]


@pytest.mark.parametrize(
    ("registered", "sent", "words"),
    [
        ("https://moodle.example", "https://moodle.example/", ["https://moodle.example/ (trailing slash)"]),
        ("https://moodle.example/", "https://moodle.example", ["issuer https://moodle.example/,", "slash"]),
        (
            "https://moodle.example",
            "http://moodle.example",
            ["Registered is the issuer https://moodle.example,"],
        ),
        ("https://moodle.example", "https://Moodle.example", ["came from https://Moodle.example"]),
        (
            "https://moodle.example",
            "https://elsewhere.example",
            ["No registration has the issuer https://else"],
        ),
    ],
)
def test_diagnosis_when_the_issuer_differs_names_both(tool, lms, platform, store, registered, sent, words):
    from dataclasses import replace

    store.platforms[0] = replace(store.platforms[0], issuer=registered)
    request = platform.login_request(TOOL + "/lti/launch", iss=sent)
    tool.browser().get("/lti/login", query_string=request, base_url=TOOL)
    for word in words:
        assert word in explained(tool)


def test_diagnosis_when_the_client_differs_names_both(tool, lms, platform):
    request = platform.login_request(TOOL + "/lti/launch", client_id="typo")
    tool.browser().get("/lti/login", query_string=request, base_url=TOOL)
    assert "client id client-1, the launch names typo" in explained(tool)
    lms.launch(aud="other")
    assert "client id client-1 is registered, the launch names other" in explained(tool)


def test_diagnosis_when_login_and_launch_are_of_two_registrations_says_so(tool, lms, register):
    register(key="second", client_id="client-2")
    lms.launch(aud="client-2")
    assert "two different registrations" in explained(tool)


def test_diagnosis_when_the_key_is_not_published_names_key_and_key_set(tool, lms, platform):
    lms.launch(token=lambda body: sign(body, platform.keys[0], {"alg": "RS256", "kid": "abc"}))
    words = explained(tool)
    assert f"a key (kid 'abc') that its key set at {platform.base}/jwks does not contain" in words
    assert "it has Kid-One" in words


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((503, "{}"), "HTTP 503"),
        ((200, "[]"), "The body is no key set"),
        ((200, "<html>"), "JSONDecodeError"),
    ],
)
def test_diagnosis_when_the_key_set_cannot_be_fetched_says_why(tool, lms, platform, answer, why):
    platform.jwks_answer = answer
    lms.launch()
    assert f"{platform.base}/jwks cannot be fetched ({why})" in explained(tool)
    # The next ones within half a minute do not ask again, and know it all the same.
    lms.launch()
    assert why in explained(tool)


@pytest.mark.parametrize(
    ("issued", "expires", "words"),
    [
        (240, 300, "This server's clock is 4 minutes behind the platform's"),
        (-240, -180, "This server's clock is at least 4 minutes ahead of the platform's"),
        (-3000, 60, "This server's clock is at least 50 minutes ahead of the platform's"),
        (0, -90, "The message was good until 90 seconds before it came"),
    ],
)
def test_diagnosis_when_clocks_differ_says_by_how_much_and_which(tool, lms, clock, issued, expires, words):
    now = int(clock().timestamp())
    lms.launch(iat=now + issued, exp=now + expires)
    assert words in explained(tool)


def test_diagnosis_when_the_message_waited_and_clocks_agree_does_not_blame_the_clock(
    tool, lms, platform, clock
):
    browser = tool.browser()
    query = lms.begin(browser)
    form = {"state": query["state"], "id_token": platform.id_token(platform.claims(query))}
    clock.advance(minutes=5)
    lms.post(browser, form)
    assert "platform_behind_seconds" not in tool.refusals[-1][1].details
    assert "good until 4 minutes before it came" in explained(tool)


@pytest.mark.parametrize("value", [-(10**300), 10**15, 1e300])
def test_diagnosis_when_times_are_absurd_ends_in_words(tool, lms, value):
    lms.launch(iat=value)
    assert len(explained(tool)) < 300


def test_diagnosis_when_the_platform_refuses_the_redirect_says_so_without_its_words(tool, lms):
    form = {"error": "invalid_request", "error_description": "Unregistered redirect_uri, Ada"}
    lms.post(tool.browser(), form)
    assert "redirect URI" in explained(tool)
    assert "Ada" not in str(tool.log)


def test_diagnosis_when_the_link_leads_elsewhere_names_both_places(tool, platform):
    request = platform.login_request("https://old.example/lti/launch?x=1")
    tool.browser().get("/lti/login", query_string=request, base_url=TOOL)
    assert "leads to https://old.example/lti/launch, but this tool is at https://tool.example" in explained(
        tool
    )


def test_diagnosis_when_a_custom_parameter_came_unsubstituted_names_it(platform):
    body = platform.claims({"nonce": "n"}, **{CLAIM + "custom": {"employee_number": "$X", "emp": "E-1"}})
    (sentence,) = diagnose("ok", {}, redacted(body))
    assert "employee_number came unsubstituted: the LMS does not know the variable $X" in sentence


def test_diagnosis_when_services_are_off_says_which_to_switch_on(platform):
    body = platform.claims({"nonce": "n"})
    assert diagnose("ok", {}, redacted(body)) == []
    del body[claims.NRPS_SERVICE]
    body[claims.AGS_ENDPOINT]["scope"].remove(SCOPE_SCORE)
    roster, scores = diagnose("ok", {}, redacted(body))
    assert "Names and Role" in roster
    assert "write scores" in scores
    del body[claims.AGS_ENDPOINT], body[claims.CONTEXT]
    context, _, gradebook = diagnose("ok", {}, redacted(body))
    assert "names no course" in context
    assert "Assignment and Grade" in gradebook
    assert diagnose("ok", {}, {CLAIM + "message_type": "LtiDeepLinkingRequest"}) == []
