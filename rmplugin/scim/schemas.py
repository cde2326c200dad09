"""What the SCIM server stores of users and groups, as SCIM describes it. All else is dropped.

That keeps out telephone numbers, photographs, home addresses and passwords, which identity providers send.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rmplugin.errors import RmError

MESSAGES = "urn:ietf:params:scim:api:messages:2.0:"
CORE = "urn:ietf:params:scim:schemas:core:2.0:"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
EMPLOYMENT = "urn:ietf:params:scim:schemas:extension:rmplugin:2.0:User"
LONGEST_TEXT = 1000


class ScimError(RmError):
    """A request that cannot be fulfilled, in SCIM's words.

    :param scim_type: word of RFC 7644, table 9; None where there is none.
    :param detail: what is wrong and what to do, without anybody's data.
    """

    def __init__(self, status: int, scim_type: str | None, detail: str) -> None:
        super().__init__("scim", detail)
        self.status = status
        self.scim_type = scim_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute. **Source** RFC 7643, section 7.

    :ivar exact: compared with regard to case.
    """

    name: str
    about: str
    type: str = "string"
    subs: tuple["Attribute", ...] = ()
    many: bool = False
    required: bool = False
    exact: bool = False
    read_only: bool = False
    unique: bool = False

    def sub(self, name: str) -> "Attribute | None":
        """Give a sub-attribute by its name in any case. **Touches** pure."""
        return find(self.subs, name)

    def document(self) -> dict[str, Any]:
        """Describe it as /Schemas does. **Touches** pure."""
        described: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "multiValued": self.many,
            "description": self.about,
            "required": self.required,
            "caseExact": self.exact,
            "mutability": "readOnly" if self.read_only else "readWrite",
            "returned": "default",
            "uniqueness": "server" if self.unique else "none",
        }
        if self.subs:
            described["subAttributes"] = [sub.document() for sub in self.subs]
        return described


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attribute stands in a resource.

    :ivar urn: the extension; None for the resource itself.
    :ivar attribute: None for a whole extension.
    """

    urn: str | None
    attribute: Attribute | None
    sub: Attribute | None = None

    def values(self, document: Mapping[str, Any]) -> Iterator[Any]:
        """Give what stands there; a multi-valued attribute has several. **Touches** pure."""
        holder = document.get(self.urn, {}) if self.urn else document
        found = holder.get(self.attribute.name) if self.attribute else holder
        for one in found if isinstance(found, list) else [found]:
            yield one.get(self.sub.name) if self.sub and isinstance(one, dict) else one


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of resource.

    :ivar extensions: URN -> attributes.
    """

    name: str
    endpoint: str
    attributes: tuple[Attribute, ...]
    extensions: Mapping[str, tuple[Attribute, ...]]

    @property
    def urn(self) -> str:
        """Give the schema of the resource itself."""
        return CORE + self.name

    def schemas(self, body: Mapping[str, Any]) -> list[str]:
        """List the schemas that a resource uses. **Touches** pure."""
        return [self.urn, *(urn for urn in self.extensions if urn in body)]

    def place(self, path: str) -> Place | None:
        """Find an attribute by "name", "name.sub" or with its schema before it; in any case.

        An extension's attribute is found without its schema, too: Entra ID leaves it out at times.

        :return: None for what is not stored.
        **Touches** pure.
        """
        folded = path.casefold()
        for urn in (self.urn, *self.extensions):
            extension = urn if urn in self.extensions else None
            if folded == urn.casefold():
                return Place(extension, None)
            if folded.startswith(urn.casefold() + ":"):
                return self._in(path[len(urn) + 1 :], [extension])
        return self._in(path, [None, *self.extensions])

    def _in(self, path: str, urns: list[str | None]) -> Place | None:
        name, dot, rest = path.partition(".")
        for urn in urns:
            attribute = find(self.extensions[urn] if urn else (*self.attributes, *COMMON), name)
            if attribute is not None:
                sub = attribute.sub(rest) if dot else None
                return None if dot and sub is None else Place(urn, attribute, sub)
        return None


def find(attributes: tuple[Attribute, ...], name: str) -> Attribute | None:
    """Find an attribute by its name in any case. **Touches** pure."""
    folded = name.casefold()
    return next((one for one in attributes if one.name.casefold() == folded), None)


def _text(name: str, about: str, **more: Any) -> Attribute:
    return Attribute(name=name, about=about, **more)


PRIMARY = Attribute(name="primary", about="The preferred one.", type="boolean")
COMMON = (
    _text("id", "Our id of the resource.", exact=True, read_only=True),
    _text("externalId", "The sender's own id.", exact=True),
    _text("schemas", "Schemas that the resource uses.", many=True, exact=True, read_only=True),
    Attribute(
        name="meta",
        about="Facts about the resource.",
        type="complex",
        read_only=True,
        subs=(
            _text("resourceType", "User or Group.", exact=True, read_only=True),
            Attribute(name="created", about="When it was made.", type="dateTime", read_only=True),
            Attribute(name="lastModified", about="When it last changed.", type="dateTime", read_only=True),
            _text("location", "Its address.", exact=True, read_only=True),
            _text("version", "Its ETag.", exact=True, read_only=True),
        ),
    ),
)
USER = Kind(
    "User",
    "Users",
    (
        _text("userName", "Sign-in name.", required=True, unique=True),
        Attribute(
            name="name",
            about="Parts of the name.",
            type="complex",
            subs=(
                _text("formatted", "The whole name."),
                _text("familyName", "Family name."),
                _text("givenName", "Given name."),
            ),
        ),
        _text("displayName", "Name to show."),
        _text("nickName", "Name by which the person wants to be called."),
        _text("title", "Job title."),
        _text("userType", "Kind of employment: Employee, Contractor, Intern, Temp."),
        _text("preferredLanguage", "Language, such as en-GB."),
        _text("timezone", "Time zone, such as Europe/Berlin."),
        Attribute(
            name="active", about="False for somebody who has left. Missing means true.", type="boolean"
        ),
        Attribute(
            name="emails",
            about="E-mail addresses.",
            type="complex",
            many=True,
            subs=(_text("value", "The address."), _text("type", "work or home."), PRIMARY),
        ),
        Attribute(
            name="addresses",
            about="Where the person works: town and country.",
            type="complex",
            many=True,
            subs=(
                _text("locality", "Town."),
                _text("country", "Country, ISO 3166-1."),
                _text("type", "work or home."),
                PRIMARY,
            ),
        ),
    ),
    {
        ENTERPRISE: (
            _text("employeeNumber", "Employee number."),
            _text("costCenter", "Cost centre."),
            _text("organization", "Company."),
            _text("division", "Division."),
            _text("department", "Department."),
            Attribute(
                name="manager",
                about="The manager.",
                type="complex",
                subs=(
                    _text("value", "Id of the manager's User.", exact=True),
                    _text("displayName", "The manager's name."),
                ),
            ),
        ),
        EMPLOYMENT: (
            _text("grade", "Job grade."),
            _text("location", "Office or site."),
            _text("hireDate", "First day of work, such as 2026-01-31."),
            _text("terminationDate", "Last day of work, such as 2026-01-31."),
        ),
    },
)
GROUP = Kind(
    "Group",
    "Groups",
    (
        _text("displayName", "Name of the group.", required=True),
        Attribute(
            name="members",
            about="Who belongs to it.",
            type="complex",
            many=True,
            subs=(_text("value", "Id of the member.", exact=True), _text("display", "The member's name.")),
        ),
    ),
    {},
)
KINDS = {kind.endpoint: kind for kind in (USER, GROUP)}
SCHEMA_NAMES = {USER.urn: "User", GROUP.urn: "Group", ENTERPRISE: "Enterprise User", EMPLOYMENT: "Employment"}


def clean_resource(kind: Kind, data: Any) -> dict[str, Any]:
    """Take of a sent resource what is stored, with names and types as the schemas have them.

    :raises ScimError: it is no resource, or a value is of a wrong type.
    **Touches** pure.
    """
    if not isinstance(data, dict):
        raise ScimError(400, "invalidSyntax", "The body is no JSON object. Nothing was changed.")
    body = _clean_attributes((*kind.attributes, *COMMON), data)
    for key, value in data.items():
        place = kind.place(key)
        if place is not None and place.urn and place.attribute is None and isinstance(value, dict):
            part = _clean_attributes(kind.extensions[place.urn], value)
            if part:
                body[place.urn] = part
    return body


def check_resource(kind: Kind, body: Mapping[str, Any]) -> None:
    """Refuse a resource without what it must have.

    :raises ScimError: names the attribute.
    **Touches** pure.
    """
    for attribute in kind.attributes:
        if attribute.required and attribute.name not in body:
            raise ScimError(
                400, "invalidValue", f"{attribute.name} is missing; it is required. Nothing was changed."
            )


def _clean_attributes(attributes: tuple[Attribute, ...], data: Mapping[str, Any]) -> dict[str, Any]:
    cleaned = {}
    for key, value in data.items():
        attribute = find(attributes, key)
        if attribute is not None and not attribute.read_only:
            found = clean_value(attribute, value)
            if found is not None:
                cleaned[attribute.name] = found
    return cleaned


def clean_value(attribute: Attribute, value: Any) -> Any:
    """Give a value the type of its attribute: one for a list, "True" for true, a bare id for a manager.

    :return: None for what means "no value": null, "", [] and {}.
    :raises ScimError: it cannot be meant for this attribute.
    **Touches** pure.
    """
    if not attribute.many:
        return _clean_one(attribute, value)
    found = [_clean_one(attribute, one) for one in (value if isinstance(value, list) else [value])]
    return (
        one_primary([one for n, one in enumerate(found) if one is not None and one not in found[:n]]) or None
    )


def one_primary(values: list[Any]) -> list[Any]:
    """Leave only the last of several primary values primary.

    **Source** RFC 7643, section 2.4. **Touches** pure.
    """
    primary = [n for n, one in enumerate(values) if isinstance(one, dict) and one.get("primary")]
    return [
        {**one, "primary": False} if n in primary[:-1] else one for n, one in enumerate(values)
    ]  # fmt: skip


def _clean_one(attribute: Attribute, value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or value in ("", [], {}):
        return None
    if attribute.type == "complex":
        if not isinstance(value, dict) and attribute.sub("value") is None:
            raise wrong_value(attribute)
        part = value if isinstance(value, dict) else {"value": value}
        return _clean_attributes(attribute.subs, part) or None
    if attribute.type == "boolean":
        word = str(value).casefold()
        if word not in ("true", "false"):
            raise wrong_value(attribute)
        return word == "true"
    return _clean_text(attribute, value)


def _clean_text(attribute: Attribute, value: Any) -> str | None:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise wrong_value(attribute)
    text = str(value).strip()
    # PostgreSQL stores no NUL character, and half a character cannot be encoded at all.
    if len(text) > LONGEST_TEXT or "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise wrong_value(attribute)
    return text or None


def wrong_value(attribute: Attribute) -> ScimError:
    """Make the error for a value that does not fit. **Touches** pure."""
    text = f"The value of {attribute.name} is not usable as {attribute.type}. Nothing was changed."
    return ScimError(400, "invalidValue", text)


def read_moment(text: str) -> datetime | None:
    """Read a date and time, or a date; without a zone it is UTC. None for anything else. **Touches** pure."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def write_moment(moment: datetime) -> str:
    """Write a moment as SCIM does. **Source** RFC 7643, section 2.3.5. **Touches** pure."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
