"""Gives `lti` its data: each call is one short transaction of its own."""

import threading
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import Table, bindparam, delete, insert, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from lti.jwks import public_jwk
from lti.platforms import DeploymentState, LoginAttempt, Platform, SigningKey
from lti.service import ServiceClient
from rmplugin.db import Database
from rmplugin.jobs import Clock, Runtime
from rmplugin.tenants.models import LtiCache, LtiDeployment, LtiLogin, LtiPlatform, ToolKey

# A registration that is changed or removed takes effect on every process within this time.
REMEMBERED_FOR = timedelta(seconds=10)


# Built once: building a statement costs more than running it, and every launch runs these.
_LOGIN: Table = LtiLogin.__table__  # type: ignore[assignment]  # SQLAlchemy types it FromClause.
_LOGIN_NAMES = tuple(column.name for column in _LOGIN.columns)
_REMEMBER = insert(_LOGIN)
_TAKE = delete(_LOGIN).where(_LOGIN.c.state == bindparam("taken")).returning(*_LOGIN.c)


class PlatformStore:
    """The store of one process. Platforms and keys are found before the tenant is known.

    :param clock: tells aware UTC.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._remembered: dict[Any, tuple[datetime, Any]] = {}
        self._parsed: dict[str, RSAPrivateKey] = {}

    def find_platforms(self, issuer: str, client_id: str | None) -> Sequence[Platform]:
        """See `lti.platforms.Store`."""

        def read() -> tuple[Platform, ...]:
            query = select(LtiPlatform).where(LtiPlatform.issuer == issuer)
            if client_id is not None:
                query = query.where(LtiPlatform.client_id == client_id)
            with self._database.unbound(write=False) as db:
                return tuple(as_platform(row) for row in db.scalars(query.order_by(LtiPlatform.id)))

        found: tuple[Platform, ...] = self._remember(("platforms", issuer, client_id), read)
        return found

    def deployment_state(self, platform: Platform, deployment_id: str) -> DeploymentState:
        """See `lti.platforms.Store`."""

        def read() -> DeploymentState | None:
            query = select(LtiDeployment.state).where(
                LtiDeployment.platform_id == uuid.UUID(platform.key),
                LtiDeployment.deployment_id == deployment_id,
            )
            with self._database.unbound(write=False) as db:
                return cast("DeploymentState | None", db.scalar(query))

        state: DeploymentState = (
            self._remember(("deployment", platform.key, deployment_id), read) or "unknown"
        )
        return state

    def remember_login(self, attempt: LoginAttempt) -> None:
        """See `lti.platforms.Store`."""
        with self._database.connection() as connection:
            connection.execute(_REMEMBER, {name: getattr(attempt, name) for name in _LOGIN_NAMES})

    def take_login(self, state: str) -> LoginAttempt | None:
        """See `lti.platforms.Store`. The row is deleted by the statement that reads it, so one taker wins."""
        with self._database.connection() as connection:
            row = connection.execute(_TAKE, {"taken": state}).one_or_none()
        return None if row is None else LoginAttempt(**row._asdict())

    def signing_key(self) -> SigningKey:
        """See `lti.platforms.Store`."""

        def read() -> SigningKey:
            with self._database.transaction(None, write=False) as db:
                row = db.scalars(select(ToolKey).where(ToolKey.state == "current")).one()
                return SigningKey(row.kid, self._parse(row))

        key: SigningKey = self._remember("signing_key", read)
        return key

    def published_jwks(self) -> list[dict[str, Any]]:
        """See `lti.platforms.Store`."""

        def read() -> list[dict[str, Any]]:
            with self._database.transaction(None, write=False) as db:
                rows = db.scalars(select(ToolKey).order_by(ToolKey.created_at)).all()
                return [public_jwk(row.kid, self._parse(row)) for row in rows]

        jwks: list[dict[str, Any]] = self._remember("jwks", read)
        return jwks

    def get_cached(self, key: str) -> str | None:
        """See `lti.platforms.Store`. What another process puts anew is seen after a few seconds."""

        def read() -> tuple[str, datetime] | None:
            with self._database.transaction(None, write=False) as db:
                row = db.get(LtiCache, key)
                return (
                    None if row is None else (self._database.secrets.unlock(row.value_locked), row.expires_at)
                )

        kept: tuple[str, datetime] | None = self._remember(("cached", key), read)
        return kept[0] if kept is not None and kept[1] > self._clock() else None

    def put_cached(self, key: str, value: str, expires_at: datetime) -> None:
        """See `lti.platforms.Store`. Everything is encrypted: access tokens are among it."""
        upsert = sqlite_insert if self._database.url.startswith("sqlite") else postgresql_insert
        fields = {"value_locked": self._database.secrets.lock(value), "expires_at": expires_at}
        statement = upsert(LtiCache).values(key=key, **fields)
        with self._database.transaction(None) as db:
            db.execute(statement.on_conflict_do_update(index_elements=["key"], set_=fields))
        with self._lock:
            self._remembered.pop(("cached", key), None)

    def _parse(self, row: ToolKey) -> RSAPrivateKey:
        if row.kid not in self._parsed:
            pem = self._database.secrets.unlock(row.private_key_locked)
            # It was encrypted and signed by us; to look for faults in its numbers takes longer than a launch.
            key = load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)
            assert isinstance(key, RSAPrivateKey)
            self._parsed[row.kid] = key
        return self._parsed[row.kid]

    def _remember(self, what: Any, read: Any) -> Any:
        now = self._clock()
        with self._lock:
            until, value = self._remembered.get(what, (now, None))
        if now < until:
            return value
        value = read()
        # Only a yes is remembered, so that an approval takes effect at the next click.
        if value and value != "pending":
            with self._lock:
                self._remembered[what] = (now + REMEMBERED_FOR, value)
        return value


def as_platform(row: LtiPlatform, deployment_id: str | None = None) -> Platform:
    """Give a registration as `lti` knows it.

    :param deployment_id: for calls on behalf of a course: its deployment; None for launches.
    **Touches** pure.
    """
    return Platform(
        key=str(row.id),
        issuer=row.issuer,
        client_id=row.client_id,
        auth_url=row.auth_url,
        token_url=row.token_url,
        jwks_url=row.jwks_url,
        token_audience=row.token_audience,
        family=row.family,
        allow_anonymous=row.allow_anonymous,
        deployment_id=deployment_id,
    )


def service_client(runtime: Runtime) -> ServiceClient:
    """Give this process's client for platforms' services; it shares access tokens through the database.

    **Touches** `runtime.kept`.
    """
    if "lti_service" not in runtime.kept:
        platforms = PlatformStore(runtime.database, runtime.clock)
        runtime.kept["lti_service"] = ServiceClient(platforms, runtime.http, runtime.clock)
    client: ServiceClient = runtime.kept["lti_service"]
    return client
