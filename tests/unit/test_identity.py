"""Which values can name a person, in which order, and when silence changes nothing."""

import pytest

from lti.roles import parse_roles
from rmplugin.people.identity import Candidate, hears, sighting_of_member, usable
from rmplugin.records import IDENTITY_SOURCES
from tests.factories.identity import listed, see

CUSTOM = "https://purl.imsglobal.org/spec/lti/claim/custom"
EXT = "https://purl.imsglobal.org/spec/lti/claim/ext"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "  ",
        None,
        "$Person.sourcedId",
        "$Canvas.user.sisSourceId",
        "${x}",
        "$",
        "@X@user.batch_uid@X@",
        "@X@",
        " $User.username x",
        "x" * 256,
        [],
        {},
        float("nan"),
    ],
)
def test_value_when_empty_or_not_filled_in_is_not_usable(value):
    assert usable(value) is None


@pytest.mark.parametrize(
    ("value", "wanted"), [(" E-1 ", "E-1"), (17, "17"), ("a@b", "a@b"), ("E$1", "E$1"), ("0", "0")]
)
def test_value_when_filled_in_is_given_without_blanks(value, wanted):
    assert usable(value) == wanted


def test_member_when_it_says_all_gives_the_candidates_in_the_registrations_order():
    message = (
        {CUSTOM: {"emp": "C-1", "hr_id": "$Person.sourcedId", "username": "AByron"}},
        {EXT: {"user_username": "ada"}, "http://www.brightspace.com": {"org_defined_id": "O-1"}},
    )
    member = listed("7", email="Ada@Company.example", sourcedid="S-1", message=message)
    found = sighting_of_member(member, IDENTITY_SOURCES, ["hr_id", "emp"]).candidates
    assert found == (
        Candidate("custom", "C-1"),
        Candidate("sourcedid", "S-1"),
        Candidate("org_defined_id", "O-1"),
        Candidate("username", "abyron"),
        Candidate("username", "ada"),
        Candidate("email", "ada@company.example"),
    )
    only = sighting_of_member(member, ["email", "sourcedid"], ["emp"]).candidates
    assert [candidate.source for candidate in only] == ["email", "sourcedid"]


def test_member_when_its_message_is_odd_is_read_as_far_as_it_goes():
    message = ({CUSTOM: ["no object"], EXT: None, "http://www.brightspace.com": "x"},)
    member = listed("7", sourcedid="S-1", given_name="Ada", family_name="Byron", message=message)
    sighting = sighting_of_member(member, IDENTITY_SOURCES, ["emp"])
    assert sighting.candidates == (Candidate("sourcedid", "S-1"),)
    assert sighting.name == "Ada Byron"
    assert "Ada" not in repr(sighting)


@pytest.mark.parametrize(
    ("values", "source", "wanted"),
    [
        ({}, None, False),
        ({"email": "a@b"}, None, True),
        ({"email": "a@b"}, "custom", False),
        ({"custom": "1"}, "custom", True),
        ({"custom": "1"}, "email", True),
        ({"email": "a@b"}, "by_hand", True),
    ],
)
def test_silence_when_the_source_and_better_ones_say_nothing_is_not_heard(values, source, wanted):
    assert hears(see("7", **values), source, IDENTITY_SOURCES) is wanted


@pytest.mark.parametrize(
    "role",
    [
        "http://purl.imsglobal.org/vocab/lti/system/person#TestUser",
        "https://purl.imsglobal.org/vocab/lti/system/person#TestUser",
        "http://purl.imsglobal.org/vocab/lis/v2/system/person#TestUser",
        "urn:lti:sysrole:ims/lis/TestUser",
        "TestUser",
        " testuser ",
    ],
)
def test_roles_when_of_a_test_user_say_so_in_every_spelling(role):
    assert parse_roles([role, "Learner"]).is_test_user
    assert not parse_roles(["Learner", "Instructor"]).is_test_user
