"""A SCIM 2.0 user as a record: for the SCIM server and for connectors of SCIM systems. Pure."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Any

from rmplugin.errors import SkippableRecordError
from rmplugin.records import EmployeeRecord, EmploymentType

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
# Fields that no standard attribute holds, or that a company may keep elsewhere.
SCIM_MAPPABLE = (
    "employee_number", "grade", "level", "location", "legal_entity", "cost_center", "division", "department",
    "hire_date", "termination_date", "time_zone",
)  # fmt: skip
DATES = ("hire_date", "termination_date")
USER_TYPES: Mapping[str, EmploymentType] = {
    "employee": "employee",
    "regular": "employee",
    "contractor": "contractor",
    "external": "contractor",
    "intern": "intern",
    "trainee": "intern",
    "temp": "temp",
    "temporary": "temp",
}
EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")


def read_scim_user(user: Mapping[str, Any], mapping: Mapping[str, str] | None = None) -> EmployeeRecord:
    """Make a record of a SCIM user. A missing `active` means active; only `false` means that somebody left.

    :param user: decoded JSON.
    :param mapping: our field, one of `SCIM_MAPPABLE` -> the attribute in which it stands; one of an extension
        with the extension's URN and a colon before it.
    :raises SkippableRecordError: it has no id, or a date that is none.
    **Source** RFC 7643, section 4. **Touches** pure.
    """
    key = _text(user.get("id"))
    ref = f"user {key}"
    if key is None:
        raise SkippableRecordError("user without id", "source_key", "The user has no id.")
    extension = _part(user.get(ENTERPRISE))
    name, manager = _part(user.get("name")), extension.get("manager")
    # Entra ID writes the manager's bare id at times.
    boss = manager if isinstance(manager, dict) else {"value": manager}
    address, email = _chosen(user.get("addresses")), _text(_chosen(user.get("emails")).get("value"))
    active = str(user.get("active", True)).casefold() != "false"
    values: dict[str, Any] = {
        "user_name": user.get("userName"),
        "email": _lower_domain(email) if email and EMAIL.fullmatch(email) else None,
        "given_name": name.get("givenName"),
        "family_name": name.get("familyName"),
        "preferred_name": user.get("nickName"),
        "display_name": user.get("displayName") or name.get("formatted"),
        "job_title": user.get("title"),
        "city": address.get("locality"),
        "country": address.get("country"),
        "time_zone": user.get("timezone"),
        "employee_number": extension.get("employeeNumber"),
        "cost_center": extension.get("costCenter"),
        "legal_entity": extension.get("organization"),
        "division": extension.get("division"),
        "department": extension.get("department"),
        "manager_key": boss.get("value"),
        "manager_name": boss.get("displayName"),
    }
    for field, place in (mapping or {}).items():
        values[field] = _at(user, place)
    texts: dict[str, Any] = {field: _text(value) for field, value in values.items()}
    dates: dict[str, Any] = {field: _date(texts.pop(field, None), field, ref) for field in DATES}
    kind = _text(user.get("userType"))
    language = re.match(r"[A-Za-z]{2}\b", _text(user.get("preferredLanguage")) or "")
    return EmployeeRecord(
        source_key=key,
        ref=ref,
        status="active" if active else "terminated",
        status_raw=None if active else "active: false",
        employment_type=USER_TYPES.get(kind.casefold(), "other") if kind else None,
        languages=(language[0].lower(),) if language else (),
        **texts,
        **dates,
    )


def _part(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    """Give a value as one clean line; None for none, and for what is no text."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    text = unicodedata.normalize("NFC", " ".join(str(value).split()))
    return "".join(char for char in text if char.isprintable()).strip() or None


def _chosen(values: Any) -> Mapping[str, Any]:
    """Give the primary value of several, else the one of work, else the first."""
    found = [one for one in (values if isinstance(values, list) else [values]) if isinstance(one, dict)]
    found.sort(key=lambda one: (one.get("primary") is not True, str(one.get("type")).casefold() != "work"))
    return found[0] if found else {}


def _lower_domain(email: str) -> str:
    local, _, domain = email.rpartition("@")
    return f"{local}@{domain.lower()}"


def _at(user: Mapping[str, Any], place: str) -> Any:
    urn, colon, path = place.rpartition(":")
    found: Any = user.get(urn) if colon else user
    for name in path.split("."):
        found = _part(found).get(name)
    return found


def _date(text: str | None, field: str, ref: str) -> date | None:
    """Read a date; of a date and time the day as it is written, for a zone may move it."""
    if text is None:
        return None
    try:
        found = date.fromisoformat(text[:10])
    except ValueError:
        raise SkippableRecordError(ref, field, "This is no date of the form 2026-01-31.") from None
    return found if 1901 < found.year < 9999 else None
