"""The one way out to other systems' HTTP interfaces: bounded in tries, time and size, with typed errors.

A connector makes one `Client` per reading. It signs requests, waits when it is told to, tries again where
that can help, keeps credentials on their own host, and never takes HTML or half a document for an answer.
"""

import json
import random
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, Any, TypeVar, cast
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from rmplugin.errors import FatalError, RetriableError

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
LONGEST_WAIT = 365 * 86400.0
# Doubled with each try when the other side names no time.
BACK_OFF_SECONDS = 1.0
USER_AGENT = "rmplugin (+https://pypi.org/project/rmplugin/)"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 3
# Headers that say when a limit is over: seconds from now, or seconds since 1970 (Okta, HiBob).
RESET_HEADERS = ("X-RateLimit-Reset", "X-Rate-Limit-Reset", "RateLimit-Reset")
EPOCH = 1_000_000_000
Taken = TypeVar("Taken")


def make_session() -> requests.Session:
    """Make a session with our user agent, that takes no proxy or password from the machine.

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
    **Source** RFC 9110 section 10.2.3; vendors' reset headers. **Touches** pure.
    """
    value = (headers.get("Retry-After") or "").strip()
    if value:
        if re.fullmatch(r"\d+(\.\d+)?", value, re.ASCII):
            return min(float(value), LONGEST_WAIT)
        try:
            when = parsedate_to_datetime(value).astimezone(UTC)
        except (ValueError, OverflowError):
            return None
        return min(max(0.0, (when - now).total_seconds()), LONGEST_WAIT)
    for name in RESET_HEADERS:
        value = (headers.get(name) or "").strip()
        if re.fullmatch(r"\d{1,15}(\.\d+)?", value, re.ASCII):
            moment = float(value)
            # Milliseconds, seconds since 1970, or seconds from now.
            moment = moment / 1000 if moment > EPOCH * 1000 else moment
            return min(max(0.0, moment - now.timestamp() if moment > EPOCH else moment), LONGEST_WAIT)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far a client goes.

    :param seconds: for everything it does, waits included.
    :param tries: attempts per request.
    :param longest_wait: seconds; when the other side wants more, the reading ends and a later one goes on.
    :param answer_seconds: for one answer, from its first to its last byte.
    :param answer_bytes: for one answer that is not streamed, after decompression.
    :param read_seconds: without a single byte; longer where a system computes before it answers.
    """

    seconds: float = 3600.0
    tries: int = 5
    longest_wait: float = 300.0
    answer_seconds: float = 120.0
    answer_bytes: int = 64 * 1024 * 1024
    read_seconds: float = READ_SECONDS


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. Its body is never part of an error's text.

    :param url: the address that was asked.
    :param headers: names in any case.
    """

    service: str
    method: str
    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Give the decoded body; None for an empty one.

        :raises RetriableError: it is no JSON: a login page, an error page, or half a document.
        **Touches** pure.
        """
        if not self.body.strip():
            return None
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise self.broken("answered with something that is no JSON") from None

    def link(self, relation: str) -> str | None:
        """Give the target of a Link header. **Source** RFC 8288. **Touches** pure."""
        for found in requests.utils.parse_header_links(self.headers.get("Link", "")):
            if found.get("rel") == relation:
                return urljoin(self.url, found["url"])
        return None

    def broken(self, what: str) -> RetriableError:
        """Make the error for an answer that makes no sense; it may be a passing disturbance."""
        text = f"{self.service} {what} ({self.method} {self.url.split('?', 1)[0]})."
        return RetriableError(self.service, self.method, self.url, self.status, text)

    def refused(self, text: str) -> FatalError:
        """Make the error for an answer that an administrator has to change something about.

        :param text: a whole sentence without anything that the other side wrote about a person.
        """
        return FatalError(self.service, self.method, self.url, self.status, text)


@dataclass(slots=True)
class Client:
    """One system's HTTP interface for the length of one reading.

    :param service: name for messages.
    :param base: address below which all requests lie; credentials go to its origin only.
    :param headers: of every request, credentials among them.
    :param auth: as `requests` takes it: (user, password), or an `AuthBase`.
    :param bearer: gives a token for `Authorization`; it is asked again once when a token is refused.
    :param is_throttled: tells a limit that hides behind another status, such as Google's 403 or a 200; it is
        asked about every answer of `request` that is no plain throttling.
    :param cert: client certificate, as `requests` takes it.
    :param now, monotonic, sleep: the clocks.
    """

    service: str
    base: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth: Any = field(default=None, repr=False)
    bearer: Callable[[], str] | None = field(default=None, repr=False)
    is_throttled: Callable[[Reply], bool] | None = None
    cert: Any = None
    limits: Limits = Limits()
    session: requests.Session = field(default_factory=make_session, repr=False)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _until: float = field(init=False)
    _token: str | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Start the clock of the reading."""
        self._until = self.monotonic() + self.limits.seconds

    def get(self, path: str, **options: Any) -> Reply:
        """Ask with GET. See `request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Reply:
        """Ask with POST. See `request`."""
        return self.request("POST", path, **options)

    def url(self, path: str) -> str:
        """Give the whole address of a path or of a link that the other side gave.

        :raises FatalError: it leads to another origin, where our credentials must not go.
        **Touches** pure.
        """
        url = urljoin(self.base.rstrip("/") + "/", path if "//" in path[:9] else path.lstrip("/"))
        if origin(url) != origin(self.base):
            text = (
                f"{self.service} points to another host ({urlsplit(url).hostname}). It was not followed, "
                "because the credentials are for one host only. Check the address in the account's settings."
            )
            raise FatalError(self.service, "GET", url, None, text)
        return url

    def request(
        self,
        method: str,
        path: str,
        *,
        expect: Collection[int] = (),
        **options: Any,
    ) -> Reply:
        """Ask, trying again where that can help.

        :param path: below `base`, or a whole address of the same origin.
        :param expect: statuses of 300 and more that are answers, too.
        :param options: passed to `requests`: params, json, data, headers.
        :raises RetriableError: throttled, 5xx, no or a broken answer after the last try, or the time is over.
        :raises FatalError: any other status of 300 and more.
        **Touches** the network.
        """

        def take(reply: Reply, response: requests.Response) -> Reply:
            whole = self._read(reply, response)
            if self.is_throttled is not None and self.is_throttled(whole):
                wait = retry_after_seconds(reply.headers, self.now())
                raise RetriableError(self.service, method, reply.url, reply.status, retry_after=wait)
            return whole

        return self._ask(method, path, expect, options, take)

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[IO[bytes]]:
        """Ask, and read the answer as a file: for documents that are too large to hold.

        :return: a binary file, decompressed; reading it raises `RetriableError` when the answer breaks off.
        :raises RetriableError, FatalError: see `request`.
        **Touches** the network.
        """
        reply, response = self._ask(method, path, (), options, lambda *answer: answer)
        with response:
            yield cast("IO[bytes]", _Stream(self, reply, response))

    def download(self, path: str, into: IO[bytes], most: int, **options: Any) -> Reply:
        """Ask with GET and write the answer into a file, trying again like `request`.

        :param into: binary file; it holds nothing but the last answer afterwards.
        :param most: bytes of it, after decompression.
        :param options: see `request`.
        :raises RetriableError, FatalError: see `request`; also when the answer is larger than `most`.
        **Touches** the network; writes the file.
        """

        def take(reply: Reply, response: requests.Response) -> Reply:
            into.seek(0)
            into.truncate()
            with response:
                body = _Stream(self, reply, response)
                while piece := body.read(65536):
                    if into.tell() + len(piece) > most:
                        raise reply.refused(f"{self.service} sent an answer that is too large.")
                    into.write(piece)
            return reply

        return self._ask("GET", path, options.pop("expect", ()), options, take)

    def _ask(
        self,
        method: str,
        path: str,
        expect: Collection[int],
        options: dict[str, Any],
        take: Callable[[Reply, requests.Response], Taken],
    ) -> Taken:
        """Ask until there is an answer.

        :param take: what to make of it; a `RetriableError` of it counts as no answer.
        """
        url, renewed, redirects, attempt = self.url(path), False, 0, 0
        while True:
            attempt += 1
            try:
                response = self._send(method, url, options)
                reply = Reply(self.service, method, url, response.status_code, response.headers, b"")
                if reply.status < 300 or reply.status in expect:
                    return take(reply, response)
                with response:
                    if reply.status in REDIRECTS and redirects < MOST_REDIRECTS and method == "GET":
                        redirects, attempt = redirects + 1, attempt - 1
                        url = self.url(urljoin(url, response.headers.get("Location", "")))
                        continue
                    if reply.status == 401 and self.bearer is not None and not renewed:
                        renewed, self._token, attempt = True, None, attempt - 1
                        continue
                    raise self._refusal(reply, response)
            except RetriableError as error:
                self._wait(error, attempt)

    def _send(self, method: str, url: str, options: dict[str, Any]) -> requests.Response:
        left = self._until - self.monotonic()
        if left <= 0:
            raise _over(self.service, method, url)
        headers = {**self.headers, **options.get("headers", {})}
        if self.bearer is not None:
            self._token = self._token or self.bearer()
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            return self.session.request(
                method,
                url,
                **{**options, "headers": headers},
                auth=self.auth,
                cert=self.cert,
                allow_redirects=False,
                stream=True,
                timeout=(CONNECT_SECONDS, min(self.limits.read_seconds, max(left, 0.1))),
            )
        except requests.exceptions.SSLError:
            text = (
                f"The certificate of {urlsplit(url).hostname} cannot be trusted, or it refused ours. Check "
                "the address, the certificates' dates and the machine's clock."
            )
            raise FatalError(self.service, method, url, None, text) from None
        except requests.RequestException:
            raise RetriableError(self.service, method, url, None) from None

    def _refusal(self, reply: Reply, response: requests.Response) -> RetriableError | FatalError:
        status = reply.status
        throttled = status in (408, 425, 429) or status >= 500
        if not throttled and self.is_throttled is not None:
            throttled = self.is_throttled(self._read(reply, response))
        if throttled:
            wait = retry_after_seconds(reply.headers, self.now())
            return RetriableError(self.service, reply.method, reply.url, status, retry_after=wait)
        return FatalError(self.service, reply.method, reply.url, status, _advice(reply))

    def _wait(self, error: RetriableError, attempt: int) -> None:
        """Wait before the next try, or raise when there is none."""
        if attempt >= self.limits.tries:
            raise error
        # Spread, so that what failed together does not come back together.
        wait = error.retry_after
        wait = BACK_OFF_SECONDS * 2 ** (attempt - 1) * random.uniform(0.8, 1.2) if wait is None else wait  # noqa: S311 - no secret.
        if wait > self.limits.longest_wait or self.monotonic() + wait > self._until:
            raise error
        self.sleep(wait)

    def _read(self, reply: Reply, response: requests.Response) -> Reply:
        with response:
            body = _Stream(self, reply, response).read()
        return Reply(reply.service, reply.method, reply.url, reply.status, reply.headers, body)


class _Stream:
    """The body of an answer as a binary file, with a clock and a size.

    :raises RetriableError: it breaks off, or takes too long.
    """

    def __init__(self, client: Client, reply: Reply, response: requests.Response) -> None:
        self._client = client
        self._reply = reply
        self._raw = response.raw
        self._answer_until = client.monotonic() + client.limits.answer_seconds

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, less at the end; all of a body of ordinary length when `size` is negative."""
        whole = size < 0
        most = self._client.limits.answer_bytes if whole else size
        body = bytearray()
        try:
            while len(body) < most and (
                piece := self._raw.read1(min(65536, most - len(body)), decode_content=True)
            ):
                body += piece
                self._check_time(whole=whole)
            if whole and len(body) >= most:
                raise self._reply.refused(f"{self._client.service} sent an answer that is too large.")
        except (urllib3.exceptions.HTTPError, OSError):
            raise self._reply.broken("broke off in the middle of an answer") from None
        return bytes(body)

    def _check_time(self, *, whole: bool) -> None:
        moment = self._client.monotonic()
        if moment > self._client._until or (whole and moment > self._answer_until):  # noqa: SLF001 - its own stream.
            raise _over(self._client.service, self._reply.method, self._reply.url)


class BearerToken:
    """A token of OAuth's client credentials, for `Client.bearer`. **Source** RFC 6749, section 4.4.

    :param client: for the token's address; its `auth` or the form carries the credentials.
    :param url: below the client's base.
    :param form: fields of the form besides grant_type.
    """

    def __init__(self, client: Client, url: str, form: Mapping[str, str]) -> None:
        self._client, self._url, self._form = client, url, dict(form)

    def __call__(self) -> str:
        """Fetch a new token.

        :raises FatalError: the credentials are refused.
        :raises RetriableError: no or a broken answer.
        """
        form = {"grant_type": "client_credentials", **self._form}
        reply = self._client.post(
            self._url, data=form, headers={"Accept": "application/json"}, expect=(400, 401)
        )
        if reply.status >= 400:
            raise reply.refused(f"{reply.service} refused the client id or secret. Enter them again.")
        body = reply.json()
        token = body.get("access_token") if isinstance(body, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise reply.broken("gave no access token")
        return token


class Pages:
    """Follows links or cursors, and stops when one comes again or there is no end.

    :param service: name for messages.
    """

    MOST = 1_000_000

    def __init__(self, service: str) -> None:
        self._service = service
        self._seen: set[str] = set()

    def once(self, place: str) -> str:
        """Give the place back when it is new.

        :raises RetriableError: it was read before in this reading; going on would never end.
        """
        if place in self._seen or len(self._seen) >= self.MOST:
            text = f"{self._service} leads to a page that was read before, so the reading would never end."
            raise RetriableError(self._service, "GET", "", None, text)
        self._seen.add(place)
        return place


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Give scheme, host and port. **Touches** pure."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _over(service: str, method: str, url: str) -> RetriableError:
    text = f"{service} took too long. Nobody was changed. It is tried again at the next run."
    return RetriableError(service, method, url, None, text)


def _advice(reply: Reply) -> str:
    where = f"({reply.method} {reply.url.split('?', 1)[0]})"
    if reply.status == 401:
        return f"{reply.service} refused the credentials {where}. Enter them again; they may have expired."
    if reply.status == 403:
        return f"{reply.service} does not permit this {where}. Give the account the permissions it needs."
    if reply.status in REDIRECTS:
        return f"{reply.service} redirects {where}. Check the address in the account's settings."
    return ""
