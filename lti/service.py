"""Authorised calls to a platform's services: access tokens, time-outs, one new token on 401, typed errors."""

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import jwt
import requests

from lti.answers import http_date, json_object, read_body
from lti.claims import DEPLOYMENT_ID, number
from lti.errors import ServiceError
from lti.links import linked
from lti.platforms import Platform, Store

CONNECT_AND_READ_SECONDS = (5.0, 20.0)
TOKEN_MARGIN = timedelta(seconds=60)
ASSERTION_LIFE_SECONDS = 300
# Moodle and others refuse an assertion from the future, and clocks differ.
ASSERTION_BACKDATE_SECONDS = 5
DEFAULT_TOKEN_SECONDS = 600.0
LONGEST_WAIT = 365 * 86400.0
MOST_PAGES = 20_000
MAXIMUM_BYTES = 32 * 1024 * 1024
_RETRIABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
# Some platforms quote the assertion in their explanation.
_LONG_WORD = re.compile(r"\S{60,}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: what was asked for, HTTP status, Link header and body."""

    method: str
    status: int
    url: str
    link: str | None
    body: bytes

    def json(self) -> Any:
        """Return the decoded body.

        :raises ServiceError: bad_answer
        **Touches** pure.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            # A maintenance page with status 200 goes away, so trying again makes sense.
            text = "The platform answered with something that is no JSON"
            raise self.fault(text, retriable=True) from error

    def fault(self, text: str, *, retriable: bool = False) -> ServiceError:
        """Make the error `bad_answer`. **Touches** pure."""
        return ServiceError(
            "bad_answer", text, method=self.method, url=self.url, status=self.status, retriable=retriable
        )


@dataclass(frozen=True, slots=True)
class Token:
    """A platform's answer to a request for an access token.

    :param lifetime: counted from the answer
    :param granted: scopes that the platform names in its answer; None when it names none, which means that
        all were granted (RFC 6749, section 5.1)
    """

    value: str = field(repr=False)
    lifetime: timedelta
    granted: frozenset[str] | None


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
        identity = "\n".join(
            (platform.key, platform.token_url, platform.client_id, platform.deployment_id or "", names)
        )
        key = "token:" + hashlib.sha256(identity.encode()).hexdigest()
        cached = None if renew else self._store.get_cached(key)
        if cached is not None:
            kept = json.loads(cached)
            if kept["until"] > self._clock().timestamp():
                return str(kept["token"])
        token = self.request_token(platform, scopes)
        until = self._clock() + token.lifetime - TOKEN_MARGIN
        if until > self._clock():
            kept = {"token": token.value, "until": until.timestamp()}
            self._store.put_cached(key, json.dumps(kept), until)
        return token.value

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
            return Answer(method, status, url, answer_headers.get("Link"), content)
        raise self._refusal(method, url, status, answer_headers.get("Retry-After"))

    def pages(
        self, platform: Platform, url: str, scopes: Collection[str], *, accept: str
    ) -> Iterator[tuple[Any, Answer]]:
        """Yield a collection's pages, decoded and as they came, following `rel=next`.

        :raises ServiceError: page_loop when a page comes twice or there is no end, and what `request` raises
        **Source** RFC 8288; NRPS 2.0, section 2.4.2. **Touches** calls the platform.
        """
        seen: set[str] = set()
        following: str | None = url
        while following is not None:
            if following in seen or len(seen) >= MOST_PAGES:
                raise ServiceError(
                    "page_loop", "The platform sends the same page again", method="GET", url=following
                )
            seen.add(following)
            answer = self.request(platform, "GET", following, scopes, accept=accept)
            yield answer.json(), answer
            following = linked(answer.link, "next", following)

    def request_token(self, platform: Platform, scopes: Collection[str]) -> Token:
        """Ask the platform for a token, whatever is cached; `access_token` is for calls.

        :raises ServiceError: token_refused, network, unavailable, redirected, bad_answer
        **Source** LTI Security 1.0, section 4.1. **Touches** calls the token endpoint.
        """
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self._assertion(platform),
            "scope": " ".join(sorted(set(scopes))),
        }
        url = platform.token_url
        status, headers, content = self._send("POST", url, {"Accept": "application/json"}, form)
        if status not in (HTTPStatus.OK, HTTPStatus.CREATED):
            error = self._refusal("POST", url, status, headers.get("Retry-After"))
            if error.code in ("refused", "unauthorised"):
                # Moodle answers 404 when it cannot reach the tool's own key set.
                reason, description = _oauth_error(content)
                raise ServiceError(
                    "token_refused",
                    "The platform gives no access token: check the registration and its scopes, and that the "
                    "platform can reach this tool's key set",
                    method="POST",
                    url=url,
                    status=status,
                    reason=reason,
                    description=description,
                )
            raise error
        # Moodle labels this JSON as text/html, so the media type is not looked at.
        return _read_token(Answer("POST", status, url, None, content))

    def _assertion(self, platform: Platform) -> str:
        key = self._store.signing_key()
        issued = int(self._clock().timestamp()) - ASSERTION_BACKDATE_SECONDS
        payload: dict[str, Any] = {
            "iss": platform.client_id,
            "sub": platform.client_id,
            "aud": platform.token_audience or platform.token_url,
            "iat": issued,
            "exp": issued + ASSERTION_LIFE_SECONDS,
            "jti": secrets.token_urlsafe(24),
        }
        if platform.deployment_id is not None:
            # A client may be shared by many deployments, and the token is for one of them (LTI Core 1.3,
            # "Token endpoint claim and services").
            payload[DEPLOYMENT_ID] = platform.deployment_id
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
                body = read_body(answer, MAXIMUM_BYTES)
                if body is None:
                    raise requests.exceptions.ContentDecodingError("The answer is too large")
                return answer.status_code, answer.headers, body
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


def _read_token(answer: Answer) -> Token:
    body = answer.json()
    token = body.get("access_token") if isinstance(body, dict) else None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise answer.fault("The platform's answer holds no access token")
    given, scope = body.get("expires_in"), body.get("scope")
    seconds = number(float(given)) if isinstance(given, str) and given.isdecimal() else number(given)
    lifetime = timedelta(seconds=min(max(seconds or DEFAULT_TOKEN_SECONDS, 0.0), 86400.0))
    granted = frozenset(scope.split()) if isinstance(scope, str) and scope.strip() else None
    return Token(token, lifetime, granted)


def _oauth_error(content: bytes) -> tuple[str | None, str | None]:
    """Read error and description (RFC 6749, section 5.2), as far as they are fit to be shown."""
    body = json_object(content) or {}
    found: list[str | None] = []
    for name in ("error", "error_description"):
        text = body.get(name)
        plain = " ".join(text.split()) if isinstance(text, str) else ""
        found.append(_LONG_WORD.sub("…", plain)[:200] if plain.isprintable() and plain else None)
    return found[0], found[1]


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """Read a Retry-After header: seconds or an HTTP date (RFC 9110, section 10.2.3); a year at most."""
    if retry_after and retry_after.strip().isdecimal():
        return min(float(retry_after), LONGEST_WAIT)
    until = http_date(retry_after)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT) if until is not None else None
