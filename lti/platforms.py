"""The data that the protocol needs and the store that a host application provides for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

DeploymentState = Literal["approved", "pending", "unknown"]


@dataclass(frozen=True, slots=True)
class Platform:
    """One registration of this tool at one platform.

    :param key: the host application's opaque identifier of the registration
    :param token_audience: `aud` of the client assertion; None means the token URL
    :param family: name of the product family, for quirks ("moodle", "canvas", ...)
    :param allow_anonymous: accept launches without a subject
    :param deployment_id: for calls to services: the deployment on whose behalf; None when it is not known
    """

    key: str
    issuer: str
    client_id: str
    auth_url: str
    token_url: str
    jwks_url: str
    token_audience: str | None = None
    family: str = "generic"
    allow_anonymous: bool = False
    deployment_id: str | None = None


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """A one-time row that ties state, nonce, registration and browser together.

    :param state: the key of the row
    :param flow: JSON object of strings: the login parameters as they came, for a repetition in a new tab,
        and `browser`, the digest of the cookie that the browser got
    """

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    platform_key: str
    target_link_uri: str
    issued_at: datetime
    expires_at: datetime
    flow: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The tool's current key; parsed once, because parsing costs a hundred times more than signing."""

    kid: str
    private_key: RSAPrivateKey = field(repr=False)


class Store(Protocol):
    """What a host application keeps for this package. Each call is one short transaction of its own."""

    def find_platforms(self, issuer: str, client_id: str | None) -> Sequence[Platform]:
        """Return the registrations of an issuer; with `client_id` None, those of every client.

        Always in the same order. Some share issuer and client; their deployments tell them apart.
        """

    def deployment_state(self, platform: Platform, deployment_id: str) -> DeploymentState:
        """Return what is known about a deployment; "unknown" when it was never seen."""

    def remember_login(self, attempt: LoginAttempt) -> None:
        """Keep a login attempt until it expires."""

    def take_login(self, state: str) -> LoginAttempt | None:
        """Return and remove an attempt: atomically, at most once ever, over all processes."""

    def signing_key(self) -> SigningKey:
        """Return the key that signs now. Parsed objects should be kept between calls."""

    def published_jwks(self) -> list[dict[str, Any]]:
        """Return the public JWKs of next, current and retiring keys (see `jwks.public_jwk`)."""

    def get_cached(self, key: str) -> str | None:
        """Return a value that any process put and that has not expired; keys have at most 80 characters."""

    def put_cached(self, key: str, value: str, expires_at: datetime) -> None:
        """Share a value with all processes. Access tokens are among them: encrypt at rest."""
