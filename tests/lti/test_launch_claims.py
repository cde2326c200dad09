"""What an accepted message becomes: the `Launch` that the package hands to its host."""

import pytest

from lti import claims
from tests.fakes.lti_platform import CLAIM

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
def test_launch_when_personal_data_is_partial_has_the_best_name(lms, remove, display_name, email):
    assert lms.launch(remove=remove).json == {"code": "ok"}
    (launch,) = lms.tool.launches
    assert (launch.subject, launch.display_name, launch.email) == ("7", display_name, email)


def test_launch_when_every_optional_claim_is_absent_has_none_of_them(lms):
    optional = (CLAIM + "context", CLAIM + "custom", CLAIM + "launch_presentation")
    services = (claims.NRPS_SERVICE, claims.AGS_ENDPOINT)
    assert lms.launch(remove=(*optional, *services)).json == {"code": "ok"}
    (launch,) = lms.tool.launches
    assert (launch.context, launch.nrps_url, launch.ags, launch.custom) == (None, None, None, {})
    assert launch.resource_link.id == "12"


def test_launch_when_two_lti_claims_are_missing_lists_both(lms):
    response = lms.launch(remove=("sub", CLAIM + "roles"))
    assert response.json == {"code": "claims_missing"}
    assert set(lms.tool.log[-1]["detail_missing"]) == {"sub", CLAIM + "roles"}


def test_launch_when_everything_is_sent_carries_everything(lms, platform):
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
