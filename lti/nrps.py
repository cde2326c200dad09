"""Names and Role Provisioning Services 2.0: who is in the course."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lti import claims
from lti.links import with_query
from lti.platforms import Platform
from lti.roles import Roles, parse_roles
from lti.service import ServiceClient

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
    wanted = parse_roles([role]).roles if role is not None else frozenset()
    if role is not None and not wanted:
        raise ValueError("The role is unknown")
    first = with_query(url, rlid=resource_link_id, role=role)
    for page in client.pages(platform, first, [SCOPE_MEMBERSHIP], accept=MEMBERSHIP_TYPE):
        entries = page.get("members") if isinstance(page, dict) else None
        for entry in entries if isinstance(entries, list) else []:
            member = _read_member(entry)
            if member is not None and wanted <= member.roles.roles:
                yield member


def _read_member(entry: object) -> Member | None:
    """Read one member; one without a usable id is left out, as nothing can be done with it."""
    if not isinstance(entry, dict):
        return None
    user_id = entry.get("user_id")
    if isinstance(user_id, int) and not isinstance(user_id, bool):
        user_id = str(user_id)
    if claims.text(user_id) is None:
        return None
    message = entry.get("message")
    return Member(
        user_id=str(user_id),
        roles=parse_roles(claims.texts(entry.get("roles"))),
        status=claims.text(entry.get("status")) or "Active",
        name=claims.text(entry.get("name")),
        given_name=claims.text(entry.get("given_name")),
        family_name=claims.text(entry.get("family_name")),
        email=claims.text(entry.get("email")),
        sourcedid=claims.substituted(entry.get("lis_person_sourcedid")),
        message=tuple(part for part in message if isinstance(part, dict))
        if isinstance(message, list)
        else (),
    )
