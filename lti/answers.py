"""What platforms answer over HTTP, read with care: bodies of any length, what is no JSON, dates."""

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests


def read_body(answer: requests.Response, most: int) -> bytes | None:
    """Read the body of a streamed answer.

    :param most: bytes
    :return: None when there are more
    **Touches** the connection.
    """
    parts, size = [], 0
    for chunk in answer.iter_content(65536):
        parts.append(chunk)
        size += len(chunk)
        if size > most:
            return None
    return b"".join(parts)


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return the decoded body; None when it is no JSON object. **Touches** pure."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def http_date(header: str | None) -> datetime | None:
    """Read an HTTP date; None when there is none. **Source** RFC 9110, section 5.6.7. **Touches** pure."""
    try:
        date = parsedate_to_datetime(header or "")
    except ValueError:
        return None
    return date.astimezone(UTC) if date.tzinfo is not None else date.replace(tzinfo=UTC)
