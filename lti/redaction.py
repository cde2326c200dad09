"""What an administrator may see of a message: machine values, names of claims, the shape of all the rest."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from lti import claims

MAXIMUM_CHARACTERS = 16_000
_MOST_ENTRIES = 60
_DEEPEST = 4
_VARIABLE = re.compile(r"\$\{?[A-Za-z][A-Za-z0-9_.]{0,60}\}?|@X@[A-Za-z0-9_.]{1,60}@X@", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,60}|https?://[A-Za-z0-9./_-]{1,120}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_.:/#+=~-]{1,200}", re.ASCII)

Show = Callable[[Any], Any]


def redacted(body: object) -> dict[str, Any]:
    """Give a message's claims, or a login's parameters, with nothing in them about a person.

    The structure stays. Shown are values that machines chose and that say which registration, course and
    service is meant; variables that the platform did not replace are shown, too, because they are the
    commonest fault. Of everything else there is the shape: "text, 12 characters", "number", "empty".

    :param body: decoded JSON; anything but an object gives nothing.
    :return: JSON-ready, at most about `MAXIMUM_CHARACTERS` long, only ASCII.
    **Touches** pure.
    """
    if not isinstance(body, Mapping):
        return {}
    shown = _entries(body, _claim)
    if len(json.dumps(shown)) <= MAXIMUM_CHARACTERS:
        return shown
    return _entries(body, lambda _name, value: shape(value))


def shape(value: object) -> str:
    """Say what kind of value it is, in words, without its content. **Touches** pure."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "number"
        case str():
            return f"text, {len(value)} character{'s'[: len(value) > 1]}" if value.strip() else "empty"
        case list():
            return f"list of {len(value)}"
        case _:
            return f"object of {len(value)}" if isinstance(value, Mapping) else "unknown"


def address(value: object) -> str:
    """Give an address without its query, fragment and user, which may carry secrets. **Touches** pure."""
    parts = _split(value)
    return shape(value) if parts is None else str(_word("".join((parts[0], "://", *parts[1:]))))


def host(value: object) -> str:
    """Give only scheme and host of an address: the rest leads back into a person's session.

    **Touches** pure.
    """
    parts = _split(value)
    return shape(value) if parts is None else str(_word(f"{parts[0]}://{parts[1]}"))


def _split(value: object) -> tuple[str, str, str] | None:
    if not isinstance(value, str):
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return None
    return parts.scheme, parts.netloc.rpartition("@")[2], parts.path


def _word(value: object) -> Any:
    """Show a machine's word or number; people's names have spaces, addresses an @, and neither is a word."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        number = claims.number(value)
        return "number" if number is None or abs(number) > 1e15 else value
    if isinstance(value, list):
        return [_word(item) for item in value[:_MOST_ENTRIES]]
    return value if isinstance(value, str) and _WORD.fullmatch(value) else shape(value)


def _issuer(value: object) -> Any:
    # An issuer need not be an address.
    return _word(value) if _split(value) is None else address(value)


def _variable(value: object) -> Any:
    """Show a variable that the platform left as it was."""
    return value if isinstance(value, str) and _VARIABLE.fullmatch(value.strip()) else shape(value)


def _number_claim(value: object) -> Any:
    return _word(value) if claims.number(value) is not None else shape(value)


def _parts(**shown: Show) -> Show:
    """Show an object entry by entry; entries that are not named keep their name and lose their value."""

    def show(value: object) -> Any:
        if not isinstance(value, Mapping):
            return shape(value)
        return _entries(value, lambda name, item: shown.get(name, shape)(item))

    return show


def _custom(value: object) -> Any:
    if not isinstance(value, Mapping):
        return shape(value)
    return _entries(value, lambda _name, item: _variable(item))


def _vendor(value: object, depth: int = 0) -> Any:
    """Show the names of a vendor's own claim, whatever it holds."""
    if not isinstance(value, Mapping) or depth == _DEEPEST:
        return _variable(value)
    return _entries(value, lambda _name, item: _vendor(item, depth + 1))


def _entries(value: Mapping[Any, Any], show: Callable[[str, Any], Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, item in list(value.items())[:_MOST_ENTRIES]:
        # A name of odd form may be a person's.
        known = isinstance(name, str) and _NAME.fullmatch(name) is not None
        shown[name if known else f"(name of {len(str(name))} characters)"] = show(name, item)
    if len(value) > _MOST_ENTRIES:
        shown["(more)"] = f"{len(value) - _MOST_ENTRIES} entries"
    return shown


def _claim(name: object, value: object) -> Any:
    if not isinstance(name, str):
        return shape(value)
    if name in _SHOWN:
        return _SHOWN[name](value)
    return _vendor(value) if name.startswith(("http://", "https://")) else shape(value)


_SHOWN: Mapping[str, Show] = {
    # Parameters of the login request.
    **dict.fromkeys(("client_id", "lti_deployment_id", "deployment_id", "lti_storage_target"), _word),
    "target_link_uri": address,
    "iss": _issuer,
    **dict.fromkeys(("aud", "azp", "locale"), _word),
    **dict.fromkeys(("iat", "exp", "nbf"), _number_claim),
    claims.VERSION: _word,
    claims.MESSAGE_TYPE: _word,
    claims.DEPLOYMENT_ID: _word,
    claims.TARGET_LINK_URI: address,
    claims.ROLES: _word,
    claims.CONTEXT: _parts(id=_word, type=_word),
    claims.RESOURCE_LINK: _parts(id=_word),
    claims.CUSTOM: _custom,
    claims.LIS: _custom,
    claims.FOR_USER: _parts(roles=_word),
    claims.LAUNCH_PRESENTATION: _parts(
        document_target=_word, height=_word, width=_word, locale=_word, return_url=host
    ),
    claims.CLAIM + "tool_platform": _parts(product_family_code=_word, version=_word, guid=_word, url=address),
    claims.AGS_ENDPOINT: _parts(scope=_word, lineitem=address, lineitems=address),
    claims.NRPS_SERVICE: _parts(context_memberships_url=address, service_versions=_word),
    claims.DEEP_LINKING_SETTINGS: _parts(
        deep_link_return_url=host,
        accept_types=_word,
        accept_presentation_document_targets=_word,
        accept_media_types=_word,
        accept_multiple=_word,
        accept_lineitem=_word,
        auto_create=_word,
    ),
}
