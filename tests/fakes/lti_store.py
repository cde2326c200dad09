"""An in-memory store for the `lti` package: the contract of `lti.platforms.Store`, nothing more."""

import threading
from collections.abc import Callable
from datetime import datetime

from lti.jwks import public_jwk
from lti.platforms import LoginAttempt, Platform, SigningKey


class MemoryStore:
    """Everything in dictionaries behind one lock; expired cache entries are not returned."""

    def __init__(self, key: SigningKey, clock: Callable[[], datetime]) -> None:
        self.platforms: list[Platform] = []
        self.deployments: dict[tuple[str, str], str] = {}
        self.attempts: dict[str, LoginAttempt] = {}
        self.cache: dict[str, tuple[str, datetime]] = {}
        self.key = key
        self._clock = clock
        self._lock = threading.Lock()

    def find_platforms(self, issuer, client_id):
        return [p for p in self.platforms if p.issuer == issuer and client_id in (None, p.client_id)]

    def deployment_state(self, platform, deployment_id):
        return self.deployments.get((platform.key, deployment_id), "unknown")

    def remember_login(self, attempt):
        with self._lock:
            self.attempts[attempt.state] = attempt

    def take_login(self, state):
        with self._lock:
            return self.attempts.pop(state, None)

    def signing_key(self):
        return self.key

    def published_jwks(self):
        return [public_jwk(self.key.kid, self.key.private_key)]

    def get_cached(self, key):
        assert len(key) <= 80
        value, expires_at = self.cache.get(key, (None, None))
        return value if expires_at is not None and expires_at > self._clock() else None

    def put_cached(self, key, value, expires_at):
        assert len(key) <= 80
        assert expires_at.tzinfo is not None
        self.cache[key] = (value, expires_at)
