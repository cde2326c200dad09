"""Authorised calls to a platform's services: access tokens, time-outs, one new token on 401, typed errors."""

import hashlib
import json
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import jwt
import requests

from lti.claims import number
from lti.errors import ServiceError
from lti.links import linked
from lti.platforms import Platform, Store

CONNECT_AND_READ_SECONDS = (5.0, 20.0)
TOKEN_MARGIN = timedelta(seconds=60)
ASSERTION_LIFE_SECONDS = 300
# Moodle and others refuse an assertion from the future, and clocks differ.
ASSERTION_BACKDATE_SECONDS = 5
DEFAULT_TOKEN_SECONDS = 600.0
MAXIMUM_BYTES = 32 * 1024 * 1024
_RETRIABLE = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: HTTP status, address asked, Link header and body."""

    status: int
    url: str
    link: str | None
    body: bytes

    def json(self, method: str) -> Any:
        """Return the decoded body.

        :raises ServiceError: bad_answer
        **Touches** pure.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            # A maintenance page with status 200 goes away, so trying again makes sense.
            raise ServiceError(
                "bad_answer",
                "The platform answered with something that is no JSON",
                method=method,
                url=self.url,
                status=self.status,
                retriable=True,
            ) from error


class ServiceClient:
    """Calls services of platforms on behalf of this tool.

    Access tokens are cached in the store, so that all processes share them.

    :param clock: returns aware UTC
    """

    def __init__(self, store: Store, http: requests.Session, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._http = http
        self._clock = clock

    def access_token(self, platform: Platform, scopes: Collection[str], *, renew: bool = False) -> str:
        """Return a token for exactly these scopes.

        :param renew: ask the platform even when a token is cached
        :raises ServiceError: token_refused, network, unavailable, bad_answer
        **Source** LTI Security 1.0, section 4.1. **Touches** the store's cache; may call the token endpoint.
        """
        names = " ".join(sorted(set(scopes)))
        # The address and client are part of the key, so that an edited registration starts afresh.
        identity = f"{platform.key}\n{platform.token_url}\n{platform.client_id}\n{names}"
        key = "token:" + hashlib.sha256(identity.encode()).hexdigest()
        cached = None if renew else self._store.get_cached(key)
        if cached is not None:
            kept = json.loads(cached)
            if kept["until"] > self._clock().timestamp():
                return str(kept["token"])
        token, lifetime = self._request_token(platform, names)
        until = self._clock() + lifetime - TOKEN_MARGIN
        if until > self._clock():
            self._store.put_cached(key, json.dumps({"token": token, "until": until.timestamp()}), until)
        return token

    def request(
        self,
        platform: Platform,
        method: str,
        url: str,
        scopes: Collection[str],
        *,
        accept: str,
        content_type: str | None = None,
        body: Any = None,
    ) -> Answer:
        """Call a service with a bearer token; a 401 is answered with one new token.

        :param accept: exact media type, platforms compare it byte for byte
        :param body: encoded as JSON; None sends no body
        :raises ServiceError: every failure, every answer outside 200..299
        **Source** LTI Security 1.0, section 4. **Touches** calls the platform.
        """
        headers = {"Accept": accept}
        if content_type is not None:
            headers["Content-Type"] = content_type
        data = None if body is None else json.dumps(body).encode()
        status = 0
        for renew in (False, True):
            headers["Authorization"] = "Bearer " + self.access_token(platform, scopes, renew=renew)
            status, answer_headers, content = self._send(method, url, headers, data)
            if status != HTTPStatus.UNAUTHORIZED:
                break
        if 200 <= status < 300:
            return Answer(status, url, answer_headers.get("Link"), content)
        raise self._refusal(method, url, status, answer_headers.get("Retry-After"))

    def pages(
        self, platform: Platform, url: str, scopes: Collection[str], *, accept: str
    ) -> Iterator[tuple[Any, Answer]]:
        """Yield a collection's pages, decoded and as they came, following `rel=next` without a limit.

        :raises ServiceError: page_loop when a page comes twice, and what `request` raises
        **Source** RFC 8288; NRPS 2.0, section 2.4.2. **Touches** calls the platform.
        """
        seen: set[str] = set()
        following: str | None = url
        while following is not None:
            if following in seen:
                raise ServiceError(
                    "page_loop", "The platform sends the same page again", method="GET", url=following
                )
            seen.add(following)
            answer = self.request(platform, "GET", following, scopes, accept=accept)
            yield answer.json("GET"), answer
            following = linked(answer.link, "next", following)

    def _request_token(self, platform: Platform, scopes: str) -> tuple[str, timedelta]:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self._assertion(platform),
            "scope": scopes,
        }
        url = platform.token_url
        status, headers, content = self._send("POST", url, {"Accept": "application/json"}, form)
        if status not in (HTTPStatus.OK, HTTPStatus.CREATED):
            error = self._refusal("POST", url, status, headers.get("Retry-After"))
            if error.code == "refused":
                # Moodle answers 404 when it cannot reach the tool's own key set.
                raise ServiceError(
                    "token_refused",
                    "The platform gives no access token: check the registration and its scopes, and that the "
                    "platform can reach this tool's key set",
                    method="POST",
                    url=url,
                    status=status,
                )
            raise error
        # Moodle labels this JSON as text/html, so the media type is not looked at.
        return _read_token(Answer(status, url, None, content))

    def _assertion(self, platform: Platform) -> str:
        key = self._store.signing_key()
        issued = int(self._clock().timestamp()) - ASSERTION_BACKDATE_SECONDS
        payload = {
            "iss": platform.client_id,
            "sub": platform.client_id,
            "aud": platform.token_audience or platform.token_url,
            "iat": issued,
            "exp": issued + ASSERTION_LIFE_SECONDS,
            "jti": secrets.token_urlsafe(24),
        }
        return jwt.encode(payload, key.private_key, algorithm="RS256", headers={"kid": key.kid})

    def _send(
        self, method: str, url: str, headers: dict[str, str], data: bytes | dict[str, str] | None
    ) -> tuple[int, "requests.structures.CaseInsensitiveDict[str]", bytes]:
        try:
            with closing(
                self._http.request(
                    method,
                    url,
                    headers=headers,
                    data=data,
                    timeout=CONNECT_AND_READ_SECONDS,
                    allow_redirects=False,
                    stream=True,
                )
            ) as answer:
                return answer.status_code, answer.headers, _read(answer)
        except (requests.RequestException, ValueError) as error:
            # The cause is not chained: its text holds the whole address, query included.
            permanent = isinstance(error, ValueError)
            raise ServiceError(
                "network",
                f"The platform cannot be reached ({type(error).__name__})",
                method=method,
                url=url,
                retriable=not permanent,
            ) from None

    def _refusal(self, method: str, url: str, status: int, retry_after: str | None) -> ServiceError:
        if status in _RETRIABLE or status >= 500:
            code, text = "unavailable", "The platform is not available at the moment"
        elif status == HTTPStatus.UNAUTHORIZED:
            code, text = "unauthorised", "The platform accepts no access token of this tool"
        elif 300 <= status < 400:
            code, text = "redirected", "The platform redirects a service address, which is not followed"
        else:
            code, text = "refused", "The platform refused the request"
        return ServiceError(
            code,
            text,
            method=method,
            url=url,
            status=status,
            retriable=code == "unavailable",
            retry_after=_seconds(retry_after, self._clock()),
        )


def _read(answer: requests.Response) -> bytes:
    parts, size = [], 0
    for chunk in answer.iter_content(65536):
        parts.append(chunk)
        size += len(chunk)
        if size > MAXIMUM_BYTES:
            raise requests.exceptions.ContentDecodingError("The answer is too large")
    return b"".join(parts)


def _read_token(answer: Answer) -> tuple[str, timedelta]:
    body = answer.json("POST")
    token = body.get("access_token") if isinstance(body, dict) else None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise ServiceError(
            "bad_answer",
            "The platform's answer holds no access token",
            method="POST",
            url=answer.url,
            status=200,
        )
    given = body.get("expires_in")
    seconds = number(float(given)) if isinstance(given, str) and given.isdecimal() else number(given)
    return token, timedelta(seconds=min(max(seconds or DEFAULT_TOKEN_SECONDS, 0.0), 86400.0))


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """Read a Retry-After header: seconds or an HTTP date (RFC 9110, section 10.2.3)."""
    if not retry_after:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    aware = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return max((aware - now).total_seconds(), 0.0)
