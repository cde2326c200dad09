"""The cases of the 1EdTech certification guide, each through the whole OIDC flow, really signed."""

import pytest

from lti import claims
from tests.fakes.lti_platform import CLAIM, INSTRUCTOR, LEARNER, sign

PERSON = "http://purl.imsglobal.org/vocab/lis/v2/institution/person#"


def refused(lms, response, code, status):
    """The code reaches the person, the log has it once, and no claim value or token is in the log."""
    assert (response.json["code"], response.status_code) == (code, status)
    (line,) = [entry for entry in lms.tool.log if entry["event"] == "lti.launch"]
    assert line["code"] == code
    assert len(line["reference"]) == 8
    assert "Ada" not in str(line)
    assert "company.example" not in str(line)
    assert lms.tool.launches == []
    return line


def test_bad_payload_when_header_has_no_kid_is_refused_before_any_key_is_fetched(lms, platform):
    response = lms.launch(token=lambda c: sign(c, platform.keys[0], {"alg": "RS256"}))
    refused(lms, response, "kid_missing", 401)
    assert platform.requests == []


def test_bad_payload_when_kid_is_not_published_is_refused_after_asking_once(lms, platform):
    lms.launch()
    lms.tool.log.clear()
    lms.tool.launches.clear()
    header = {"alg": "RS256", "kid": "imstester_66067"}
    response = lms.launch(token=lambda c: sign(c, platform.keys[0], header))
    refused(lms, response, "kid_unknown", 401)
    assert platform.requests == [("GET", "/jwks")] * 2


@pytest.mark.parametrize(
    ("changes", "remove", "code", "status"),
    [
        ({CLAIM + "version": "11.3"}, (), "version_invalid", 400),
        ({}, (CLAIM + "version",), "version_missing", 400),
        ({"iat": 11111, "exp": 22222}, (), "token_expired", 401),
        ({}, (CLAIM + "message_type",), "message_type_missing", 400),
        ({}, (CLAIM + "roles",), "roles_missing", 400),
        ({}, (CLAIM + "deployment_id",), "deployment_missing", 400),
        ({}, (CLAIM + "resource_link",), "resource_link_missing", 400),
        ({CLAIM + "resource_link": {"title": "no id"}}, (), "resource_link_missing", 400),
        ({}, ("sub",), "user_missing", 403),
    ],
)
def test_bad_payload_when_a_claim_is_wrong_is_refused_with_its_code(lms, changes, remove, code, status):
    line = refused(lms, lms.launch(remove=remove, **changes), code, status)
    assert line["platform"] == "moodle"
    assert set(line["claims"]) == set(lms.platform.claims({"nonce": ""})) - set(remove)


def test_bad_payload_when_message_is_not_lti_is_refused(lms):
    response = lms.launch(token=lambda _: lms.platform.id_token({"name": "badltilaunch"}))
    assert refused(lms, response, "not_lti", 400)["claims"] == ["name"]


def test_bad_payload_when_several_claims_are_missing_lists_every_one(lms):
    missing = ("aud", "iss", "sub", CLAIM + "deployment_id", CLAIM + "roles")
    line = refused(lms, lms.launch(remove=missing), "claims_missing", 400)
    assert set(line["detail_missing"]) == set(missing)


def test_bad_payload_when_two_lti_claims_are_missing_lists_both(lms):
    line = refused(lms, lms.launch(remove=("sub", CLAIM + "roles")), "claims_missing", 400)
    assert set(line["detail_missing"]) == {"sub", CLAIM + "roles"}


@pytest.mark.parametrize(
    ("roles", "instructor", "learner"),
    [
        ([INSTRUCTOR], True, False),
        ([LEARNER], False, True),
        ([INSTRUCTOR, PERSON + "Staff", PERSON + "Other"], True, False),
        ([LEARNER, PERSON + "Student", PERSON + "Mentor"], False, True),
        ([LEARNER, "http://purl.imsglobal.org/vocab/lis/v2/membership#Mentor"], False, True),
        (["Instructor"], True, False),
        (["Learner"], False, True),
        (["http://purl.imsglobal.org/vocab/lis/v2/unknown#Helper"], False, False),
        (["http://purl.imsglobal.org/vocab/lis/v2/unknown#Helper", LEARNER], False, True),
        ([""], False, False),
        ([], False, False),
    ],
)
def test_valid_launch_when_roles_vary_gives_the_right_view(lms, roles, instructor, learner):
    assert lms.launch(**{CLAIM + "roles": roles}).json == {"code": "ok"}
    (launch,) = lms.tool.launches
    assert (launch.roles.is_instructor, launch.roles.is_learner) == (instructor, learner)
    assert not launch.roles.is_administrator
    assert [line["code"] for line in lms.tool.log] == ["ok"]


NAMES = ("name", "given_name", "family_name")


@pytest.mark.parametrize(
    ("remove", "display_name", "email"),
    [
        ((), "Ada Byron", "ada@company.example"),
        (("name",), "Ada Byron", "ada@company.example"),
        (NAMES, "ada@company.example", "ada@company.example"),
        (("email",), "Ada Byron", None),
        ((*NAMES, "email"), None, None),
    ],
)
def test_valid_launch_when_personal_data_is_partial_still_launches(lms, remove, display_name, email):
    assert lms.launch(remove=remove).json == {"code": "ok"}
    (launch,) = lms.tool.launches
    assert (launch.subject, launch.display_name, launch.email) == ("7", display_name, email)


def test_valid_launch_when_context_is_absent_still_launches(lms):
    assert lms.launch(remove=(CLAIM + "context", *NAMES)).json == {"code": "ok"}
    (launch,) = lms.tool.launches
    assert launch.context is None


def test_valid_launch_when_only_the_resource_link_is_sent_still_launches(lms):
    optional = ("context", "custom", "launch_presentation")
    services = (claims.NRPS_SERVICE, claims.AGS_ENDPOINT)
    response = lms.launch(remove=(*(CLAIM + name for name in optional), *services, *NAMES, "email"))
    assert response.json == {"code": "ok"}
    (launch,) = lms.tool.launches
    assert launch.resource_link.id == "12"
    assert (launch.nrps_url, launch.ags, launch.custom) == (None, None, {})


def test_valid_launch_when_everything_is_sent_carries_everything(lms, platform):
    lms.launch(**{CLAIM + "lis": {"person_sourcedid": "E-1001"}, "email_verified": True})
    (launch,) = lms.tool.launches
    assert launch.platform.key == "moodle"
    assert (launch.deployment_id, launch.deployment_state) == ("36", "approved")
    assert launch.message_type == "LtiResourceLinkRequest"
    assert (launch.context.id, launch.context.label, launch.context.title) == ("3", "RM", "Reverse mentoring")
    assert (launch.resource_link.id, launch.resource_link.title) == ("12", "Mentoring")
    assert launch.custom == {"emp": "E-1001"}
    assert (launch.locale, launch.return_url) == ("en", platform.base + "/return?sesskey=x")
    assert launch.nrps_url == platform.base + "/nrps/members?id=3"
    assert launch.ags.lineitem is None
    assert launch.ags.lineitems == platform.base + "/ags/lineitems?type_id=36"
    assert set(launch.ags.scopes) == platform.offered
    assert (launch.person_sourcedid, launch.email_verified) == ("E-1001", True)
    assert launch.target_link_uri == "https://tool.example/lti/launch"
    assert "Ada" not in repr(launch)
