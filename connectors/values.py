"""What connectors to web services read in the same way: texts, ids, addresses, where a run ended."""

import unicodedata
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import marshmallow as ma

from rmplugin.api import CursorExpiredError, SkippableRecordError

LONGEST = 255


def check_address(value: str) -> None:
    """Refuse an address to which a secret would travel in the open.

    :raises marshmallow.ValidationError: neither https nor this machine.
    **Touches** pure.
    """
    parts = urlsplit(value)
    local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise ma.ValidationError("Enter an address that begins with https://.")


def text_of(value: Any, ref: str, field: str) -> str | None:
    """Make a value fit to be stored: one line, composed Unicode, nothing that cannot be seen.

    :param value: as decoded from JSON.
    :param ref: names the record in messages.
    :param field: canonical field name.
    :return: None for nothing: null, an empty text, an empty list, false.
    :raises SkippableRecordError: it is no text.
    **Touches** pure.
    """
    if value is None or value == [] or isinstance(value, bool):
        return None
    if not isinstance(value, str | int):
        raise SkippableRecordError(ref, field, "The value is no text.")
    text = unicodedata.normalize("NFC", " ".join(str(value).split()))
    text = "".join(char for char in text if char.isprintable()).strip()
    if len(text) > LONGEST:
        raise SkippableRecordError(ref, field, f"The value is longer than {LONGEST} characters.")
    return text or None


def is_number(key: str) -> bool:
    """Tell an id of digits, so that nothing else ever stands in an address or a filter. **Touches** pure."""
    return key.isascii() and key.isdecimal()


def moment_of(cursor: str | None, service: str) -> datetime | None:
    """Read a cursor that is a moment; None for none.

    :return: aware UTC.
    :raises CursorExpiredError: it is no moment.
    **Touches** pure.
    """
    if cursor is None:
        return None
    try:
        return datetime.fromisoformat(cursor).astimezone(UTC)
    except (ValueError, OverflowError):
        text = "The place of the last run is not known any more. Everything is read instead."
        raise CursorExpiredError(service, "GET", "", None, text) from None
