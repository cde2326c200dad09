"""The one way out to other systems' HTTP interfaces: time-outs, bounded retries, typed errors."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from rmplugin.errors import FatalError, RetriableError

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
LONGEST_WAIT = 365 * 86400.0
USER_AGENT = "rmplugin (+https://pypi.org/project/rmplugin/)"


def make_session() -> requests.Session:
    """Make a session with our user agent and without following redirects to other hosts.

    **Touches** nothing yet.
    """
    session = requests.Session()
    session.headers["User-Agent"] = USER_AGENT
    session.trust_env = False
    return session


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read how long the other side wants us to wait.

    :param headers: response headers, any case that `requests` gives.
    :param now: aware UTC.
    :return: seconds, never negative, a year at most; None when nothing usable is said.
    **Source** RFC 9110 section 10.2.3. **Touches** pure.
    """
    value = headers.get("Retry-After")
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), LONGEST_WAIT)
    try:
        when = parsedate_to_datetime(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, (when - now).total_seconds()), LONGEST_WAIT)


def request(
    session: requests.Session,
    service: str,
    method: str,
    url: str,
    *,
    tries: int = 4,
    sleep: Callable[[float], None] = time.sleep,
    **options: Any,
) -> requests.Response:
    """Ask another system, trying again where that can help.

    :param service: name for messages.
    :param tries: attempts in all, at least one.
    :param options: passed to `requests`; redirects are never followed.
    :return: a response with a status below 400.
    :raises RetriableError: throttled, 5xx or no answer after the last try.
    :raises FatalError: any other 4xx, or a redirect.
    **Touches** the network.
    """
    options.setdefault("timeout", (CONNECT_SECONDS, READ_SECONDS))
    for attempt in range(1, tries + 1):
        error = _try_once(session, service, method, url, options)
        if isinstance(error, requests.Response):
            return error
        if attempt == tries or (error.retry_after or 0) > READ_SECONDS:
            raise error
        sleep(error.retry_after if error.retry_after is not None else 0.5 * 2**attempt)
    raise AssertionError("unreachable: the last try raises")


def _try_once(
    session: requests.Session, service: str, method: str, url: str, options: dict[str, Any]
) -> "requests.Response | RetriableError":
    try:
        response = session.request(method, url, allow_redirects=False, **options)
    except requests.RequestException:
        return RetriableError(service, method, url, None)
    status = response.status_code
    if status < 300:
        return response
    if status == 429 or status >= 500:
        wait = retry_after_seconds(response.headers, datetime.now(UTC))
        return RetriableError(service, method, url, status, retry_after=wait)
    raise FatalError(service, method, url, status)
