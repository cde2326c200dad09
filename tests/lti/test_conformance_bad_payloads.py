"""Certification guide, known bad payloads: each through the whole flow, refused with its code and a page."""

from tests.fakes.lti_platform import CLAIM, sign
from tests.lti.conformance import cases

case = cases("Bad payload")


@case("No KID Sent in JWT header", sent="header without `kid`", code="kid_missing", status=401)
def test_no_kid_sent_in_jwt_header_when_launched_is_refused_kid_missing(suite):
    answer = suite.launch(sign=lambda body: sign(body, suite.platform.keys[0], {"alg": "RS256"}))
    suite.expect(answer)
    assert suite.platform.requests == [], "no key is fetched for it"


@case(
    "Incorrect KID in JWT header",
    sent="`kid` imstester_66067, which the platform does not publish",
    code="kid_unknown",
    status=401,
)
def test_incorrect_kid_in_jwt_header_when_launched_is_refused_kid_unknown(suite):
    suite.launch()
    header = {"alg": "RS256", "kid": "imstester_66067"}
    for _ in range(3):
        suite.forget()
        answer = suite.launch(sign=lambda body: sign(body, suite.platform.keys[0], header))
    suite.expect(answer)
    assert suite.platform.requests == [("GET", "/jwks")] * 2, "asked again once, not for each attempt"


@case("Wrong LTI Version", sent='version "11.3"', code="version_invalid", status=400)
def test_wrong_lti_version_when_launched_is_refused_version_invalid(suite):
    suite.expect(suite.launch(**{CLAIM + "version": "11.3"}))


@case("No LTI Version", sent="no version claim", code="version_missing", status=400)
def test_no_lti_version_when_launched_is_refused_version_missing(suite):
    suite.expect(suite.launch(remove=(CLAIM + "version",)))


@case("Invalid LTI message", sent='`{"name": "badltilaunch"}`', code="not_lti", status=400)
def test_invalid_lti_message_when_launched_is_refused_not_lti(suite):
    def token(_claims):
        suite.sent = {"name": "badltilaunch"}
        return suite.platform.id_token(suite.sent)

    suite.expect(suite.launch(sign=token))


@case(
    "Missing LTI Claims",
    sent="no aud, iss, sub, deployment_id, roles",
    code="claims_missing",
    status=400,
)
def test_missing_lti_claims_when_launched_is_refused_with_every_missing_name(suite):
    missing = ("aud", "iss", "sub", CLAIM + "deployment_id", CLAIM + "roles")
    _, line = suite.expect(suite.launch(remove=missing))
    assert set(line["detail_missing"]) == set(missing)


@case("Timestamps Incorrect", sent="iat 11111, exp 22222", code="token_expired", status=401)
def test_timestamps_incorrect_when_launched_is_refused_token_expired(suite):
    suite.expect(suite.launch(iat=11111, exp=22222))


@case("message_type Claim Missing", sent="no message_type", code="message_type_missing", status=400)
def test_message_type_claim_missing_when_launched_is_refused_message_type_missing(suite):
    suite.expect(suite.launch(remove=(CLAIM + "message_type",)))


@case("role Claim Missing", sent="no roles claim", code="roles_missing", status=400)
def test_role_claim_missing_when_launched_is_refused_roles_missing(suite):
    suite.expect(suite.launch(remove=(CLAIM + "roles",)))


@case("deployment_id Claim Missing", sent="no deployment_id", code="deployment_missing", status=400)
def test_deployment_id_claim_missing_when_launched_is_refused_deployment_missing(suite):
    suite.expect(suite.launch(remove=(CLAIM + "deployment_id",)))


@case("resource_link_id Claim Missing", sent="no resource_link", code="resource_link_missing", status=400)
def test_resource_link_id_claim_missing_when_launched_is_refused_resource_link_missing(suite):
    suite.expect(suite.launch(remove=(CLAIM + "resource_link",)))


@case("user Claim Missing", sent="no sub", code="user_missing", status=403)
def test_user_claim_missing_when_launched_is_refused_user_missing(suite):
    suite.expect(suite.launch(remove=("sub",)))
