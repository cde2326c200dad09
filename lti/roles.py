"""Role names in all the spellings that platforms send."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["context", "institution", "system"]

_URI = re.compile(
    # The role of test users stands in a vocabulary of its own: vocab/lti/system/person#TestUser.
    r"https?://purl\.imsglobal\.org/vocab/(?:lis/v2|lti)/"
    r"(?:(?P<scope>institution/|system/)?person|membership)(?:/(?P<principal>[A-Za-z]+))?#(?P<name>[A-Za-z]+)"
)
_URN = re.compile(
    r"urn:lti:(?P<kind>role|instrole|sysrole):ims/lis/(?P<principal>[A-Za-z]+)(?:/(?P<sub>[A-Za-z]+))?"
)
_URN_KINDS: dict[str, Kind] = {"role": "context", "instrole": "institution", "sysrole": "system"}
_SHORT = {
    name.lower(): name
    for name in (
        "Administrator",
        "ContentDeveloper",
        "Instructor",
        "Learner",
        "Manager",
        "Member",
        "Mentor",
        "Officer",
        "TestUser",
    )
}


@dataclass(frozen=True, slots=True)
class Role:
    """One role.

    :param name: the principal role, such as "Instructor"
    :param sub_role: the finer role below it, such as "TeachingAssistant", or None
    """

    kind: Kind
    name: str
    sub_role: str | None = None


@dataclass(frozen=True, slots=True)
class Roles:
    """The known roles of one person in one launch; unknown ones have been left out."""

    roles: frozenset[Role] = frozenset()

    def names(self, kind: Kind) -> frozenset[str]:
        """Return the principal roles of one kind that were sent as such. **Touches** pure."""
        return frozenset(role.name for role in self.roles if role.kind == kind and role.sub_role is None)

    @property
    def is_instructor(self) -> bool:
        """Teaches in this context. Neither an institution role nor a sub-role or a mentor role is enough."""
        return Role("context", "Instructor") in self.roles

    @property
    def is_learner(self) -> bool:
        """Learns in this context, sub-roles of learner included."""
        return any(role.kind == "context" and role.name == "Learner" for role in self.roles)

    @property
    def is_administrator(self) -> bool:
        """Administers the context, or the institution or platform without learning in the context."""
        return any(
            role.sub_role is None
            and (role.kind == "context" or not self.is_learner)
            and (role.name == "Administrator" or (role.kind, role.name) == ("system", "SysAdmin"))
            for role in self.roles
        )

    @property
    def is_test_user(self) -> bool:
        """Is the platform's own preview or test user, such as Canvas' Test Student, and no person at all."""
        return any(role.name == "TestUser" for role in self.roles)


def parse_role(text: str) -> Role | None:
    """Read one role name.

    :param text: a vocabulary URI, an LTI 1.1 URN, or a deprecated short name (then a context role)
    :return: the role; None when the spelling is unknown, which is no error

    **Source** LTI Core 1.3, section A.2. **Touches** pure.
    """
    text = text.strip()
    if match := _URI.fullmatch(text):
        scope, principal, name = match["scope"], match["principal"], match["name"]
        kind: Kind = "context" if "membership" in text else "system" if scope == "system/" else "institution"
        return Role(kind, principal, name) if principal else Role(kind, name)
    if match := _URN.fullmatch(text):
        return Role(_URN_KINDS[match["kind"]], match["principal"], match["sub"])
    short = _SHORT.get(text.lower())
    return Role("context", short) if short else None


def parse_roles(values: Iterable[object]) -> Roles:
    """Read a roles claim; whatever is no known role is left out.

    **Source** 1EdTech certification guide, section 6.1: unknown roles are ignored. **Touches** pure.
    """
    parsed = (parse_role(value) for value in values if isinstance(value, str))
    return Roles(frozenset(role for role in parsed if role is not None))
