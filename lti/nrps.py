"""Names and Role Provisioning Services 2.0: who is in the course."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lti import claims
from lti.links import linked, with_query
from lti.platforms import Platform
from lti.roles import Roles, parse_roles
from lti.service import Answer, ServiceClient

SCOPE_MEMBERSHIP = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"
MEMBERSHIP_TYPE = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"


@dataclass(frozen=True, slots=True, repr=False)
class Member:
    """One member of a course. The repr shows no personal data.

    :param status: "Active", "Inactive" or "Deleted"
    :param sourcedid: the HR id; None when absent or not substituted
    :param message: claims of the link, only when asked with a resource link id
    """

    user_id: str
    roles: Roles
    status: str
    name: str | None
    given_name: str | None
    family_name: str | None
    email: str | None
    sourcedid: str | None
    message: tuple[Mapping[str, Any], ...]

    def __repr__(self) -> str:
        return f"<Member {self.status}>"


@dataclass(frozen=True, slots=True)
class Membership:
    """The members of a course, all pages.

    :param differences_url: address that later gives what changed since this reading, for `read_members`;
        None when the platform offers none
    """

    members: tuple[Member, ...]
    differences_url: str | None


def members(
    client: ServiceClient,
    platform: Platform,
    url: str,
    *,
    resource_link_id: str | None = None,
    role: str | None = None,
) -> Iterator[Member]:
    """Yield the members of a course, page by page, without a limit.

    :param url: the launch's `nrps_url`
    :param resource_link_id: only people who can see this link, with its claims; None means all
    :param role: only this role, a URI or a short name; filtered here too, because Moodle's next link drops it
    :raises ValueError: the role is unknown
    :raises ServiceError: the list is then incomplete and must not be used to remove anybody
    **Source** NRPS 2.0, section 2.4. **Touches** calls the platform.
    """
    for page, _answer in _pages(client, platform, url, resource_link_id, role):
        yield from page


def read_members(
    client: ServiceClient,
    platform: Platform,
    url: str,
    *,
    resource_link_id: str | None = None,
    role: str | None = None,
) -> Membership:
    """Return the members of a course and where to ask for what changes from now on.

    :param url: the launch's `nrps_url`, or the `differences_url` of an earlier reading: then only who joined,
        changed or left since is returned, who left with the status "Deleted" or "Inactive"
    :param resource_link_id, role: as for `members`
    :raises ServiceError: as for `members`; a platform may forget a differences address, so read all then
    **Source** NRPS 2.0, sections 2.4 and 2.4.3. **Touches** calls the platform.
    """
    found: list[Member] = []
    differences: str | None = None
    for page, answer in _pages(client, platform, url, resource_link_id, role):
        found += page
        # The first one offered is the oldest: what changes while pages are read is told again, not lost.
        differences = differences or linked(answer.link, "differences", answer.url)
    return Membership(tuple(found), differences)


def _pages(
    client: ServiceClient, platform: Platform, url: str, resource_link_id: str | None, role: str | None
) -> Iterator[tuple[list[Member], Answer]]:
    wanted = parse_roles([role]).roles if role is not None else frozenset()
    if role is not None and not wanted:
        raise ValueError("The role is unknown")
    first = with_query(url, rlid=resource_link_id, role=role)
    for page, answer in client.pages(platform, first, [SCOPE_MEMBERSHIP], accept=MEMBERSHIP_TYPE):
        entries = page.get("members") if isinstance(page, dict) else None
        if not isinstance(entries, list):
            # Taken for an empty course, it would remove everybody.
            raise answer.fault("The platform's answer is no list of members")
        read = (_read_member(entry) for entry in entries)
        yield [member for member in read if member is not None and wanted <= member.roles.roles], answer


def _read_member(entry: object) -> Member | None:
    """Read one member; one without a usable id is left out, as nothing can be done with it."""
    if not isinstance(entry, dict):
        return None
    user_id = entry.get("user_id")
    if isinstance(user_id, int) and not isinstance(user_id, bool):
        user_id = str(user_id)
    if claims.text(user_id) is None or len(str(user_id)) > claims.MAXIMUM_ID_LENGTH:
        return None
    message = entry.get("message")
    return Member(
        user_id=str(user_id),
        roles=parse_roles(claims.texts(entry.get("roles"))),
        # Some platforms write "active".
        status=(claims.text(entry.get("status")) or "Active").capitalize(),
        name=claims.text(entry.get("name")),
        given_name=claims.text(entry.get("given_name")),
        family_name=claims.text(entry.get("family_name")),
        email=claims.text(entry.get("email")),
        sourcedid=claims.substituted(entry.get("lis_person_sourcedid")),
        message=tuple(part for part in message if isinstance(part, dict))
        if isinstance(message, list)
        else (),
    )
