"""Filters of SCIM: what fits, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.scim.filters import parse_filter, parse_path
from rmplugin.scim.schemas import ENTERPRISE, USER, ScimError
from rmplugin.testing import caught

ANNA = {
    "id": "7",
    "externalId": "Ab-1",
    "userName": "Anna@Example.com",
    "active": True,
    "name": {"familyName": "O'Neil", "givenName": "Anna"},
    "emails": [
        {"value": "anna@work.example", "type": "work", "primary": True},
        {"value": "anna@home.example", "type": "home"},
    ],
    ENTERPRISE: {"department": "R&D", "manager": {"value": "9"}},
    "meta": {"lastModified": "2026-11-23T09:00:00Z"},
}


def fits(condition):
    return parse_filter(USER, condition).fits(ANNA)


@pytest.mark.parametrize(
    "condition",
    [
        'userName eq "anna@example.com"',
        'USERNAME Eq "ANNA@example.com"',
        'externalId eq "Ab-1"',
        'urn:ietf:params:scim:schemas:core:2.0:User:userName sw "anna"',
        'name.familyName co "\'n"',
        'name.familyName ew "NEIL"',
        "title pr or userName pr",
        "not (title pr)",
        "title eq null",
        'title ne "Boss"',
        "active eq true",
        'active eq "True"',
        'emails eq "anna@home.example"',
        'emails.value eq "anna@home.example"',
        'emails.type eq "home" and emails.value co "work"',
        'emails[type eq "work" and value co "@work"]',
        'emails[type eq "work"].value eq "ANNA@work.example"',
        f'{ENTERPRISE}:department eq "r&d"',
        f'{ENTERPRISE}:manager.value eq "9"',
        'manager eq "9"',
        'meta.lastModified gt "2026-11-23T08:59:59.5Z"',
        'meta.lastModified ge "2026-11-23T10:00:00+01:00"',
        'meta.lastModified lt "2026-11-24"',
        'userName gt "anna" and userName lt "b"',
        'title pr and title pr or userName eq "anna@example.com"',
        'userName eq "x" or (userName pr and not (active eq false))',
    ],
)
def test_filter_when_it_describes_the_user_fits(condition):
    assert fits(condition)


@pytest.mark.parametrize(
    "condition",
    [
        'userName eq "bob"',
        'externalId eq "ab-1"',
        'emails[type eq "home" and value co "@work"]',
        'emails[type eq "home"].value eq "anna@work.example"',
        'title pr and (title pr or userName eq "anna@example.com")',
        'meta.lastModified gt "2026-11-23T09:00:00Z"',
        "active eq false",
        'phoneNumbers.value eq "1"',
        'phoneNumbers[type eq "work"].value eq "1"',
        'name.familyName eq "O\' or 1 eq 1"',
    ],
)
def test_filter_when_it_describes_somebody_else_does_not_fit(condition):
    assert not fits(condition)


@pytest.mark.parametrize(
    "condition",
    [
        "userName",
        "userName eq",
        "userName eq bob",
        'userName is "bob"',
        'userName eq "bob',
        '(userName eq "bob"',
        'userName eq "bob")',
        'userName eq "bob" and',
        'not userName eq "bob"',
        'emails[type eq "work"',
        'emails[type[x pr] eq "work"]',
        "userName eq 5",
        "active gt true",
        'active eq "perhaps"',
        'meta.lastModified gt "yesterday"',
        'meta.lastModified co "2026"',
        'name eq "Anna"',
        'userName eq "x"; drop table person',
        "userName eq {}",
        "(" * 60 + "userName pr" + ")" * 60,
        " or ".join(["userName pr"] * 600),
    ],
)
def test_filter_when_it_makes_no_sense_is_refused_as_the_standard_says(condition):
    with pytest.raises(ScimError) as caught:
        fits(condition)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidFilter")


@given(st.text(max_size=60) | st.from_regex(r'(\w{1,4}|[\[\]()". ]| eq | pr | or | and | not |emails){1,12}'))
def test_filter_when_it_is_any_text_fits_or_is_refused_and_nothing_else(text):
    found = caught(lambda: fits(text))
    assert found is None or getattr(found, "scim_type", None) == "invalidFilter"


@pytest.mark.parametrize("path", ["emails[", 'emails[type eq "work"', "name familyName", "[x pr]", "a]b"])
def test_path_when_it_makes_no_sense_is_refused_as_the_standard_says(path):
    with pytest.raises(ScimError) as caught:
        parse_path(USER, path)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidPath")
