"""Key sets: the tool's public keys, and the platforms' keys cached through outages and rotation."""

import base64
import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import requests
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    RSAPublicNumbers,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lti.answers import read_body
from lti.claims import loggable
from lti.errors import LaunchError
from lti.platforms import SigningKey, Store
from lti.redaction import address

MINIMUM_KEY_BITS = 2048
CONNECT_AND_READ_SECONDS = (3.05, 6.0)
FRESH_SECONDS = 3600.0
RETRY_SECONDS = 30.0
# So long others may keep the tool's own set.
PUBLISHED_SECONDS = 3600
# A platform that does not answer holds back so long, and no longer, who asks for a key of it.
WAIT_SECONDS = 3.0
KEEP_LAST_GOOD = timedelta(days=7)
MAXIMUM_BYTES = 512 * 1024


def generate_signing_key() -> SigningKey:
    """Make a new 2048 bit RSA key, named by its RFC 7638 thumbprint; slow (~100 ms). **Touches** pure."""
    return signing_key(generate_private_key(public_exponent=65537, key_size=MINIMUM_KEY_BITS))


def load_signing_key(pem: bytes, kid: str | None = None) -> SigningKey:
    """Parse an unencrypted PEM key; keep the result, parsing is slow.

    :param kid: the published key id; None means the thumbprint
    :raises ValueError: no RSA key of at least 2048 bits
    **Touches** pure.
    """
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, RSAPrivateKey) or key.key_size < MINIMUM_KEY_BITS:
        raise ValueError(f"An RSA key of at least {MINIMUM_KEY_BITS} bits is needed")
    return signing_key(key, kid)


def signing_key(private_key: RSAPrivateKey, kid: str | None = None) -> SigningKey:
    """Name a parsed key; `kid` None means its thumbprint. **Touches** pure."""
    return SigningKey(kid or thumbprint(private_key.public_key()), private_key)


def public_jwk(kid: str, key: RSAPublicKey | RSAPrivateKey) -> dict[str, Any]:
    """Return the public JWK of a key.

    `alg`, `use` and `kid` are always there: Moodle refetches the set on each token request without `alg`.
    **Source** RFC 7517; LTI Security 1.0, section 6. **Touches** pure.
    """
    public = key.public_key() if isinstance(key, RSAPrivateKey) else key
    return {**_numbers(public), "alg": "RS256", "use": "sig", "kid": kid}


def thumbprint(key: RSAPublicKey) -> str:
    """Return the RFC 7638 thumbprint of a public key. **Touches** pure."""
    canonical = json.dumps(_numbers(key), separators=(",", ":"), sort_keys=True).encode()
    return _encode(hashlib.sha256(canonical).digest())


def _numbers(key: RSAPublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    n = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
    e = numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")
    return {"kty": "RSA", "n": _encode(n), "e": _encode(e)}


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode_number(text: object) -> int:
    if not isinstance(text, str):
        raise TypeError("A key number must be a string")
    return int.from_bytes(base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)), "big")


@dataclass(frozen=True, slots=True)
class _KeySet:
    """What is known of one key set; times are epoch seconds, a key that is not acceptable is None.

    :ivar problem: why the last attempt to fetch it failed; empty when it did not
    """

    keys: Mapping[str, RSAPublicKey | None] = field(default_factory=lambda: MappingProxyType({}))
    fetched_at: float = float("-inf")
    tried_at: float = float("-inf")
    refetched_at: float = float("-inf")
    problem: str = ""


class KeySets:
    """The platforms' keys, parsed once per address and kid; one object per process, shared by its threads.

    Order of look-up: this object, the store (another process may know), the network.

    :param http: session for the network; redirects are not followed
    :param fresh_seconds: how long a set is used without asking again
    :param retry_seconds: least time between two requests caused by unknown kids, and after a failure
    """

    def __init__(
        self,
        http: requests.Session,
        *,
        fresh_seconds: float = FRESH_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self.http = http
        self._fresh_seconds = fresh_seconds
        self._retry_seconds = retry_seconds
        # Entries are immutable and replaced whole, so threads need no lock to read them.
        self._sets: dict[str, _KeySet] = {}
        self._asking: dict[str, threading.Lock] = {}

    def find(self, store: Store, url: str, kid: str, now: datetime) -> RSAPublicKey:
        """Return the platform's public key.

        :raises LaunchError: kid_unknown, key_invalid, key_set_unreachable
        **Source** LTI Security 1.0, section 6.3. **Touches** the store's cache; may call the platform.
        """
        at = now.timestamp()
        known = self._sets.get(url)
        if known is None or kid not in known.keys:
            known = self._wait_and_look(store, url, kid, at)
        elif not self._is_fresh(known, at):
            known = self._look_further(store, url, kid, at)
        key = known.keys[kid]
        if key is None:
            raise LaunchError("key_invalid", kid=loggable(kid), key_set=address(url))
        return key

    def _wait_and_look(self, store: Store, url: str, kid: str, at: float) -> _KeySet:
        """Let a thread that asks for this very key finish: what comes in a moment must not be refused."""
        asking = self._asking.setdefault(url, threading.Lock())
        waited = asking.acquire(timeout=WAIT_SECONDS)
        try:
            return self._look_further(store, url, kid, at)
        finally:
            if waited:
                asking.release()

    def _is_fresh(self, known: _KeySet, at: float) -> bool:
        return at - known.fetched_at < self._fresh_seconds

    def _look_further(self, store: Store, url: str, kid: str, at: float) -> _KeySet:
        known = self._newest(store, url)
        asked = False
        if not self._is_fresh(known, at) and at - known.tried_at >= self._retry_seconds:
            known, asked = self._fetch(store, url, replace(known, tried_at=at), at), True
        if (
            kid not in known.keys
            and not asked
            and known.keys
            and at - known.refetched_at >= self._retry_seconds
        ):
            # The platform may have rotated its keys; asking is limited, because anybody can invent a kid.
            known = self._fetch(store, url, replace(known, refetched_at=at, tried_at=at), at)
        if kid in known.keys:
            return known
        reachable = known.keys and known.fetched_at >= known.tried_at
        facts: dict[str, Any] = {"kid": loggable(kid), "key_set": address(url)}
        if reachable:
            raise LaunchError("kid_unknown", **facts, published=[loggable(name) for name in known.keys][:5])
        raise LaunchError("key_set_unreachable", **facts, problem=known.problem or None)

    def _newest(self, store: Store, url: str) -> _KeySet:
        """Return this process's set or, if newer, the one that another process has shared."""
        known = self._sets.get(url, _KeySet())
        shared = store.get_cached(_cache_key(url))
        if shared is not None:
            document = json.loads(shared)
            if document["fetched_at"] > known.fetched_at:
                known = replace(
                    known,
                    keys=parse_key_set(document["body"]),
                    fetched_at=document["fetched_at"],
                    tried_at=max(known.tried_at, document["fetched_at"]),
                    refetched_at=max(known.refetched_at, document["refetched_at"] or float("-inf")),
                )
                self._sets[url] = known
        return known

    def _fetch(self, store: Store, url: str, known: _KeySet, at: float) -> _KeySet:
        """Ask the platform; on any failure the last good set stays."""
        # Written before asking, so that other threads use the old set and do not queue at a dead platform.
        self._sets[url] = known
        try:
            body = _download(self.http, url)
            keys = parse_key_set(body)
        except (requests.RequestException, ValueError, RecursionError) as error:
            # Their texts may quote the body; ours do not.
            problem = str(error) if isinstance(error, KeySetError) else type(error).__name__
            known = replace(known, problem=problem)
            self._sets[url] = known
            return known
        known = replace(known, keys=keys, fetched_at=at, problem="")
        self._sets[url] = known
        refetched_at = known.refetched_at if known.refetched_at > 0 else None
        document = json.dumps({"fetched_at": at, "refetched_at": refetched_at, "body": body})
        store.put_cached(_cache_key(url), document, datetime.fromtimestamp(at, UTC) + KEEP_LAST_GOOD)
        return known


class KeySetError(ValueError):
    """What was found at the address of a key set is none; its text holds nothing from outside."""


def _cache_key(url: str) -> str:
    return "jwks:" + hashlib.sha256(url.encode()).hexdigest()


def _download(http: requests.Session, url: str) -> Any:
    """Return the decoded body of a 200 answer; everything else raises."""
    with http.get(
        url,
        headers={"Accept": "application/json, application/jwk-set+json"},
        timeout=CONNECT_AND_READ_SECONDS,
        allow_redirects=False,
        stream=True,
    ) as answer:
        if answer.status_code != 200:
            raise KeySetError(f"HTTP {answer.status_code}")
        body = read_body(answer, MAXIMUM_BYTES)
    if body is None:
        raise KeySetError("The key set is too large")
    return json.loads(body)


def parse_key_set(body: object) -> Mapping[str, RSAPublicKey | None]:
    """Parse a key set once.

    :param body: decoded JSON
    :return: kid -> key, or None for a key that is published but not acceptable (not RSA, not for RS256
        signatures, below 2048 bits)
    :raises ValueError: the body is no key set or has no named key; such a body must never be cached
    **Source** RFC 7517, section 5. **Touches** pure.
    """
    entries = body.get("keys") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        raise KeySetError("The body is no key set")
    named = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("kid"), str)]
    if not named:
        raise KeySetError("The key set has no key with a kid")
    keys: dict[str, RSAPublicKey | None] = {}
    for entry in named:
        # Two entries may share a kid; the acceptable one wins.
        keys[entry["kid"]] = keys.get(entry["kid"]) or _parse_key(entry)
    return MappingProxyType(keys)


def _parse_key(entry: Mapping[str, Any]) -> RSAPublicKey | None:
    if (
        entry.get("kty") != "RSA"
        or (entry.get("alg") or "RS256") != "RS256"
        or (entry.get("use") or "sig") != "sig"
    ):
        return None
    try:
        key = RSAPublicNumbers(_decode_number(entry.get("e")), _decode_number(entry.get("n"))).public_key()
    except (ValueError, TypeError):
        return None
    return key if key.key_size >= MINIMUM_KEY_BITS else None
