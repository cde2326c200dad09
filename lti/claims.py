"""Claim names and the careful reading of their values: numbers, nulls, unsubstituted variables."""

import math
import re
from collections.abc import Mapping
from typing import Any

from lti.errors import LaunchError

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
MESSAGE_TYPE = CLAIM + "message_type"
VERSION = CLAIM + "version"
DEPLOYMENT_ID = CLAIM + "deployment_id"
TARGET_LINK_URI = CLAIM + "target_link_uri"
RESOURCE_LINK = CLAIM + "resource_link"
ROLES = CLAIM + "roles"
CONTEXT = CLAIM + "context"
CUSTOM = CLAIM + "custom"
LIS = CLAIM + "lis"
FOR_USER = CLAIM + "for_user"
LAUNCH_PRESENTATION = CLAIM + "launch_presentation"
AGS_ENDPOINT = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
NRPS_SERVICE = "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"
DEEP_LINKING = "https://purl.imsglobal.org/spec/lti-dl/claim/"
DEEP_LINKING_SETTINGS = DEEP_LINKING + "deep_linking_settings"

MAXIMUM_ID_LENGTH = 255
_LTI_PREFIX = "https://purl.imsglobal.org/spec/lti"
_LOGGABLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,30}|https?://[A-Za-z0-9./_-]{1,120}")
_LOGGABLE_VALUE = re.compile(r"[A-Za-z0-9_.:/+=~-]{1,120}")
_ORIGIN = re.compile(
    r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?=[/?#]|$)", re.IGNORECASE
)
_UNSUBSTITUTED = re.compile(r"\$\{?[A-Za-z][\w.]*\}?|@X@.*", re.DOTALL)


def is_lti(body: Mapping[str, Any]) -> bool:
    """Say whether a token carries any LTI claim at all. **Touches** pure."""
    return any(name.startswith(_LTI_PREFIX) for name in body)


def loggable_names(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the claims, sorted; names of odd form are left out, they may be personal data.

    **Touches** pure.
    """
    return tuple(sorted(name for name in body if _LOGGABLE_NAME.fullmatch(name))[:80])


def loggable(value: object) -> str:
    """Return a machine word; free text could hold personal data or forge log lines. **Touches** pure."""
    return value if isinstance(value, str) and _LOGGABLE_VALUE.fullmatch(value) else "unreadable"


def object_claim(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a claim that must be an object; absent, null and an empty list are empty.

    :raises LaunchError: claim_invalid
    **Touches** pure.
    """
    value = body.get(name)
    if value is None or value == []:
        # PHP platforms encode an empty object as an empty list.
        return {}
    if not isinstance(value, dict):
        raise LaunchError("claim_invalid", claim=name)
    return value


def part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a member that is an object; empty for anything else. **Touches** pure."""
    value = body.get(name)
    return value if isinstance(value, Mapping) else {}


def text(value: object) -> str | None:
    """Return a string without characters that databases refuse; None for anything but a non-empty string.

    **Touches** pure.
    """
    if not isinstance(value, str) or not value:
        return None
    if value.isprintable():
        return value
    # Lone surrogates cannot be encoded and PostgreSQL takes no NUL.
    return value.encode("utf-8", "replace").decode().replace("\x00", "") or None


def identifier(value: object, name: str) -> str | None:
    """Return an identifier as text; some platforms send numbers.

    :return: None when the claim is absent, null or empty
    :raises LaunchError: claim_invalid, id_too_long (255 characters, LTI Core 1.3 section 5.3)
    **Touches** pure.
    """
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**30:
        value = str(value)
    if not isinstance(value, str) or not value.isprintable():
        raise LaunchError("claim_invalid", claim=name)
    if len(value) > MAXIMUM_ID_LENGTH:
        raise LaunchError("id_too_long", claim=name)
    return value


def substituted(value: object) -> str | None:
    """Return the value of a custom parameter or source id as text.

    :return: None for null, "", and variables that were not replaced ("$Person.sourcedId", "@X@user.id@X@")
    **Source** LTI Core 1.3, section 6.2. **Touches** pure.
    """
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, int | float):
        value = _printed(value)
    value = text(value)
    return None if value is None or not value.strip() or _UNSUBSTITUTED.fullmatch(value.strip()) else value


def _printed(value: float) -> str | None:
    # Python refuses to print integers of thousands of digits, and infinity is no value.
    return str(value) if number(value) is not None else None


def web_address(value: object) -> str | None:
    """Return an http(s) address, None for anything else. **Touches** pure."""
    address = text(value)
    return address if address is not None and address.isprintable() and origin(address) else None


def origin(address: str) -> str | None:
    """Return scheme, host and port of an http(s) address, fit for a header; None when it has none.

    User information and hosts of other letters than a header's are none: they could end a policy and begin
    another.
    **Source** RFC 6454. **Touches** pure.
    """
    match = _ORIGIN.match(address)
    return match[0] if match else None


def number(value: object) -> float | None:
    """Return a finite number (JWT NumericDate), None for anything else. **Touches** pure."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        converted = float(value)
    except OverflowError:
        return None
    return converted if math.isfinite(converted) else None


def texts(value: object) -> tuple[str, ...]:
    """Return the strings of a list, or of a comma-separated text. **Touches** pure."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list):
        return ()
    return tuple(item.strip() for item in value if isinstance(item, str) and item.strip())


def flag(value: object) -> bool | None:
    """Return a boolean, also one sent as text; None when there is none. **Touches** pure."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None
