"""Who an LMS user says they are: the values that can name a person of the HR roster, in order. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lti import claims
from lti.launch import Launch
from lti.nrps import Member
from lti.roles import Roles

BRIGHTSPACE = "http://www.brightspace.com"
EXTENSIONS = claims.CLAIM + "ext"
USER_NAME_PARAMS = ("username", "user_name")
# Variables that the LMS did not fill in: "$Person.sourcedId" (LTI Core), "@X@user.batch_uid@X@" (Blackboard).
UNFILLED = ("$", "@X@")
LONGEST_VALUE = 255


@dataclass(frozen=True, slots=True)
class Candidate:
    """One value that may name a person.

    :param source: a word of `records.IDENTITY_SOURCES`.
    """

    source: str
    value: str


@dataclass(frozen=True, slots=True, repr=False)
class Sighting:
    """What an LMS says about one of its users, in a launch or in a course's roster.

    :param name: for managers' lists; None when none was sent. Nobody is ever recognised by it.
    :param email: as sent, verified or not; None when none was sent.
    :param candidates: best first.
    """

    sub: str
    name: str | None
    email: str | None
    roles: Roles
    candidates: tuple[Candidate, ...]


def sighting_of_launch(launch: Launch, sources: Sequence[str], number_params: Sequence[str]) -> Sighting:
    """Read a launch that says who the user is.

    :param sources: of the registration, in its order.
    :param number_params: custom parameters that carry the employee number, best first.
    **Touches** pure.
    """
    assert launch.subject is not None
    values = {
        "custom": [launch.custom.get(name) for name in number_params],
        "sourcedid": [launch.person_sourcedid],
        "org_defined_id": [claims.part(launch.claims, BRIGHTSPACE).get("org_defined_id")],
        "username": _user_names(launch.custom, launch.claims),
        "email": [launch.email] if launch.email_verified is not False else [],
    }
    return Sighting(
        sub=launch.subject,
        name=launch.display_name,
        email=launch.email,
        roles=launch.roles,
        candidates=tuple(_in_order(values, sources)),
    )


def sighting_of_member(member: Member, sources: Sequence[str], number_params: Sequence[str]) -> Sighting:
    """Read a member of a course's roster; the claims of its `message` are read as those of a launch.

    :param sources: of the registration, in its order.
    :param number_params: custom parameters that carry the employee number, best first.
    **Source** NRPS 2.0, section 2.2 and 3.2 (message section). **Touches** pure.
    """
    body: dict[str, Any] = {}
    for part in member.message:
        body |= part
    custom = claims.part(body, claims.CUSTOM)
    lis = claims.part(body, claims.LIS)
    values = {
        "custom": [custom.get(name) for name in number_params],
        "sourcedid": [member.sourcedid, lis.get("person_sourcedid")],
        "org_defined_id": [claims.part(body, BRIGHTSPACE).get("org_defined_id")],
        "username": _user_names(custom, body),
        "email": [member.email],
    }
    parts = " ".join(part for part in (member.given_name, member.family_name) if part)
    return Sighting(
        sub=member.user_id,
        name=member.name or parts or member.email,
        email=member.email,
        roles=member.roles,
        candidates=tuple(_in_order(values, sources)),
    )


def usable(value: object) -> str | None:
    """Give a value as it can be looked up; None for what names nobody.

    :return: without blanks around; None for "", for variables that were not filled in, for overlong values.
    **Source** LTI Core 1.3, section 6.2. **Touches** pure.
    """
    text = claims.substituted(value)
    text = text.strip() if text is not None else ""
    return text if text and len(text) <= LONGEST_VALUE and not text.startswith(UNFILLED) else None


def hears(sighting: Sighting, source: str | None, sources: Sequence[str]) -> bool:
    """Tell whether a sighting says anything that may change what was found by a source before.

    A roster often says less than a launch, and one link may carry a parameter that another lacks: silence of
    the source, and any word of a weaker one, changes nothing.

    :param source: what the present link or conflict was made from; None when there is none.
    **Touches** pure.
    """
    if source is None or source not in sources:
        return bool(sighting.candidates)
    good = sources[: list(sources).index(source) + 1]
    return any(candidate.source in good for candidate in sighting.candidates)


def _user_names(custom: Mapping[str, Any], body: Mapping[str, Any]) -> list[Any]:
    return [
        *(custom.get(name) for name in USER_NAME_PARAMS),
        claims.part(body, EXTENSIONS).get("user_username"),
    ]


def _in_order(values: Mapping[str, Sequence[object]], sources: Sequence[str]) -> Iterator[Candidate]:
    for source in sources:
        for value in values.get(source, ()):
            text = usable(value)
            if text is not None:
                yield Candidate(source, text.casefold() if source in ("username", "email") else text)
