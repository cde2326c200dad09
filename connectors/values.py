"""What connectors do alike: texts, names, ids, addresses, where a run ended, what a sample shows."""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any, get_args
from urllib.parse import urlsplit

import marshmallow as ma

from rmplugin.api import (
    CheckResult,
    CursorExpiredError,
    EmployeeRecord,
    EmploymentStatus,
    RosterPage,
    SkippableRecordError,
    SkippedRecord,
)

LONGEST = 255
STATUSES: tuple[str, ...] = get_args(EmploymentStatus)
EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# What is made of other fields is hidden when one of them is.
MADE_OF = {"display_name": {"given_name", "family_name"}, "status_raw": {"status"}}


class Strict(ma.Schema):
    """Settings, or a part of them; what they do not know is refused, not dropped in silence."""

    class Meta:
        """Unknown words are faults."""

        unknown = ma.RAISE


def status_words(text: str) -> ma.fields.Dict:
    """Make the setting that translates words for a status.

    :param text: what it says to an administrator.
    **Touches** pure.
    """
    ours = ma.fields.String(validate=ma.validate.OneOf(STATUSES))
    return ma.fields.Dict(keys=ma.fields.String(), values=ours, load_default=dict, metadata={"help": text})


def check_address(value: str) -> None:
    """Refuse an address to which a secret would travel in the open, or that holds one.

    :raises marshmallow.ValidationError: neither https nor this machine, or with a user.
    **Touches** pure.
    """
    try:
        parts = urlsplit(value)
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        safe = safe and bool(parts.hostname) and parts.username is None
    except ValueError:
        safe = False
    if not safe:
        raise ma.ValidationError("Enter an address that begins with https://, without a user.")


def text_of(value: Any, ref: str, field: str) -> str | None:
    """Make a value fit to be stored: one line, composed Unicode, nothing that cannot be seen.

    :param value: as decoded from JSON.
    :param ref: names the record in messages.
    :param field: canonical field name.
    :return: None for nothing: null, an empty text, an empty list, false.
    :raises SkippableRecordError: it is no text, or too long.
    **Touches** pure.
    """
    if value is None or value == [] or isinstance(value, bool):
        return None
    if not isinstance(value, str | int):
        raise SkippableRecordError(ref, field, "The value is no text.")
    text = unicodedata.normalize("NFC", " ".join(str(value).split()))
    return bounded("".join(filter(str.isprintable, text)).strip(), ref, field)


def bounded(text: str, ref: str, field: str) -> str | None:
    """Give a text that is short enough to be stored; None for an empty one.

    :raises SkippableRecordError: it is too long.
    **Touches** pure.
    """
    if len(text) > LONGEST:
        raise SkippableRecordError(ref, field, f"The value is longer than {LONGEST} characters.")
    return text or None


def email_of(text: str, ref: str, field: str = "email") -> str:
    """Give an e-mail address with its domain, which knows no case, in small letters.

    :raises SkippableRecordError: it is none.
    **Touches** pure.
    """
    if not EMAIL.fullmatch(text):
        raise SkippableRecordError(ref, field, "The e-mail address is not one.")
    local, _, domain = text.rpartition("@")
    return f"{local}@{domain.lower()}"


def goes_by(values: Mapping[str, Any]) -> str:
    """Make the name that a person goes by of its parts; "" without any. **Touches** pure."""
    given = values.get("preferred_name") or values.get("given_name")
    return " ".join(filter(None, (given, values.get("family_name"))))


def with_made(ours: set[str]) -> frozenset[str]:
    """Add to hidden fields what is made of them. **Touches** pure."""
    return frozenset(ours | {made for made, parts in MADE_OF.items() if ours & parts})


def is_placeholder(day: date) -> bool:
    """Tell a day that HR systems write for "none". **Touches** pure."""
    return day.year <= 1601 or day.year >= 9999 or day in {date(1900, 1, 1), date(1899, 12, 30)}


def is_number(key: str) -> bool:
    """Tell an id of digits, so that nothing else ever stands in an address or a filter. **Touches** pure."""
    return key.isascii() and key.isdecimal()


def digest_of(settings: Mapping[str, Any], secret: str) -> str:
    """Give a digest by which a cursor tells the settings with which it was made.

    :param settings: loaded.
    :param secret: name of the one that does not count.
    **Touches** pure.
    """
    declared = {name: value for name, value in settings.items() if name != secret}
    return hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()


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


@contextmanager
def skipping(page: RosterPage, key: str | None) -> Iterator[None]:
    """Make of a record that cannot be used a skipped one.

    :param key: whose it is, as far as that is known.
    **Touches** the page.
    """
    try:
        yield
    except SkippableRecordError as error:
        page.skipped.append(SkippedRecord(error.ref, error.field, error.reason, key))


def fields_came(records: Iterable[EmployeeRecord], names: Iterable[str]) -> CheckResult:
    """Say which of these fields at least one of the records has. **Touches** pure."""
    records = list(records)
    found = sorted(name for name in names if any(getattr(record, name, None) for record in records))
    return CheckResult("Fields", ok=True, advice=", ".join(found) or "none came")


def skipped_by_reason(skipped: Iterable[SkippedRecord], what: str) -> list[CheckResult]:
    """Say why records were skipped, and how many for each reason. **Touches** pure."""
    return [
        CheckResult(what, ok=False, advice=f"{count} × {field}: {reason}")
        for (field, reason), count in Counter((bad.field, bad.reason) for bad in skipped).items()
    ]
