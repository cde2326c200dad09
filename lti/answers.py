"""What platforms answer over HTTP, read with care: bodies of any length, what is no JSON, dates."""

import json
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3

LONGEST_READ = 30.0


def read_body(answer: requests.Response, most: int, seconds: float = LONGEST_READ) -> bytes | None:
    """Read the body of a streamed answer, as it comes, so that one that drips holds nobody for long.

    :param most: bytes
    :param seconds: for the whole body; each read has the session's time-out besides
    :return: None when there are more bytes
    :raises requests.RequestException: the connection broke, or the time is over
    **Touches** the connection.
    """
    until = time.monotonic() + seconds
    body = bytearray()
    try:
        while piece := answer.raw.read1(65536, decode_content=True):
            body += piece
            if len(body) > most:
                return None
            if time.monotonic() > until:
                raise requests.exceptions.ReadTimeout("The answer takes too long")
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ConnectionError(type(error).__name__) from None
    return bytes(body)


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
        return date.astimezone(UTC) if date.tzinfo is not None else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
