"""The tool's signing keys: made, published ahead, rotated, forgotten."""

import secrets
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import delete, select

from lti.jwks import PUBLISHED_SECONDS
from rmplugin.db import Db, Secrets
from rmplugin.errors import ConflictError
from rmplugin.tenants.models import ToolKey
from rmplugin.tenants.store import REMEMBERED_FOR

RETIRING_FOR = timedelta(days=14)
# A platform may use the key set that it has for so long, so a key signs only when it was in the set before.
PUBLISHED_FIRST = timedelta(seconds=PUBLISHED_SECONDS) + REMEMBERED_FOR


def ensure_tool_keys(db: Db, secrets_box: Secrets, now: datetime) -> None:
    """Make sure that a current and a next signing key exist.

    **Source** LTI Security 1.0 section 6.3. **Touches** writes tool_key.
    """
    states = set(db.scalars(select(ToolKey.state)))
    for state in ("current", "next"):
        if state not in states:
            _add_key(db, secrets_box, state, now)


def rotate_tool_keys(db: Db, secrets_box: Secrets, now: datetime, *, hasty: bool = False) -> None:
    """Let the next key sign, go on publishing the old one for a while, and make a new next one.

    :param hasty: even when platforms may not have seen the next key yet.
    :raises ConflictError: the next key was published a short time ago.
    **Source** LTI Security 1.0 section 6.3. **Touches** writes tool_key.
    """
    ensure_tool_keys(db, secrets_box, now)
    db.flush()
    _forget_retired_keys(db, now)
    ready_at = next_key_ready_at(db)
    if now < ready_at and not hasty:
        raise ConflictError(
            "key_too_young",
            f"Nothing was changed: platforms may keep the key set for an hour, so the next key can sign from "
            f"{ready_at:%H:%M} UTC on. With --now it signs at once, and platforms that have not fetched it "
            "refuse the tool until they do.",
        )
    follows = {"current": "retiring", "next": "current"}
    for key in db.scalars(select(ToolKey).where(ToolKey.state.in_(follows))).all():
        key.state, key.state_since = follows[key.state], now
    _add_key(db, secrets_box, "next", now)


def next_key_ready_at(db: Db) -> datetime:
    """Tell from when on every platform has seen the next key. **Touches** reads tool_key."""
    made = db.scalars(select(ToolKey.created_at).where(ToolKey.state == "next")).one()
    return made + PUBLISHED_FIRST


def rotate_due_keys(db: Db, secrets_box: Secrets, now: datetime, every_days: int) -> bool:
    """Forget keys that have retired, and rotate when the current one has signed for long enough.

    :param every_days: 0 for never.
    :return: whether another key signs now.
    **Touches** writes tool_key.
    """
    _forget_retired_keys(db, now)
    # Locked, so that two workers do not rotate one after the other.
    current = select(ToolKey).where(ToolKey.state == "current").with_for_update()
    key = db.scalars(current).one_or_none()
    if not every_days or key is None or now < key.state_since + timedelta(days=every_days):
        return False
    ensure_tool_keys(db, secrets_box, now)
    db.flush()
    if now < next_key_ready_at(db):
        return False
    rotate_tool_keys(db, secrets_box, now)
    return True


def _forget_retired_keys(db: Db, now: datetime) -> None:
    retired = (ToolKey.state == "retiring", ToolKey.state_since < now - RETIRING_FOR)
    db.execute(delete(ToolKey).where(*retired))


def _add_key(db: Db, secrets_box: Secrets, state: str, now: datetime) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    db.add(
        ToolKey(
            kid=secrets.token_urlsafe(9),
            state=state,
            private_key_locked=secrets_box.lock(pem),
            created_at=now,
            state_since=now,
        )
    )
