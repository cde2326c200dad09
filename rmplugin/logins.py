"""Signed-in browsers: the session that a launch or an administrator's link opens, and its one-time code."""

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, ForeignKey, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, Db, HasId, new_id
from rmplugin.errors import SessionEndedError

if TYPE_CHECKING:
    from werkzeug.wrappers import Request

IDLE = timedelta(hours=2)
ABSOLUTE = timedelta(hours=12)
# The browser asks at once, but when a whole company comes at the same moment its request waits in line.
ENTRY_CODE_LIFE = timedelta(minutes=5)
# What a one-time code needs besides itself, so that nobody is signed in by somebody else's link: a cookie of
# the browser that launched; without cookies, that our own page asks; nothing for a link that is sent.
Tie = Literal["cookie", "page", "link"]


class WebSession(Base, HasId):
    """A signed-in browser. The token lives in the page or in a cookie; here is only its digest.

    :ivar entry_until: until when the one-time code is good.
    :ivar lti_user_id: None for an administrator and for a launch that does not say who the user is.
    :ivar person_id: None for somebody whom the HR roster does not know.
    :ivar is_administrator: may see and change the company's connections, and nothing of the programmes.
    :ivar start_path: the page that the launched link is about; None for the one that fits the person.
    :ivar locale: language that the launch asked for; None when it named none.
    :ivar frame_origins: origins that may show the tool in a frame.
    """

    __tablename__ = "web_session"
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    token_sha256: Mapped[str] = mapped_column(unique=True)
    entry_sha256: Mapped[str | None] = mapped_column(unique=True)
    entry_until: Mapped[datetime]
    lti_user_id: Mapped[uuid.UUID | None]
    person_id: Mapped[uuid.UUID | None]
    context_id: Mapped[uuid.UUID | None]
    is_manager: Mapped[bool]
    is_administrator: Mapped[bool] = mapped_column(default=False)
    start_path: Mapped[str | None]
    locale: Mapped[str | None]
    display_name: Mapped[str]
    frame_origins: Mapped[list[str]]
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime] = mapped_column(index=True)


# Built once: building a statement costs more than running it.
_INSERT_SESSION = insert(WebSession)


class PostedForm(Base):
    """A form that took effect; the same form posted again is told so."""

    __tablename__ = "posted_form"
    key: Mapped[str] = mapped_column(primary_key=True)
    posted_at: Mapped[datetime] = mapped_column(index=True)


def find_session(db: Db, token: str, now: datetime) -> WebSession:
    """Give the session of a token.

    :raises SessionEndedError: there is none, or it was idle or lasted too long.
    **Touches** reads web_session.
    """
    session = db.scalars(select(WebSession).where(WebSession.token_sha256 == digest(token))).one_or_none()
    if session is None or now - session.seen_at > IDLE or now - session.created_at > ABSOLUTE:
        raise SessionEndedError
    return session


def digest(secret: str) -> str:
    """Give the SHA-256 of a secret, in hexadecimal. **Touches** pure."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_token() -> str:
    """Make an unguessable token of 256 bits. **Touches** chance."""
    return secrets.token_urlsafe(32)


def open_session(
    db: Db | Connection,
    facts: Mapping[str, Any],
    now: datetime,
    *,
    secret_key: str,
    life: timedelta = ENTRY_CODE_LIFE,
    tie: Tie = "link",
) -> str:
    """Store a new session and give the one-time code that the redirect after the launch carries.

    :param facts: columns of `WebSession` but for id, digests and moments.
    :param secret_key: of the settings.
    :param life: how long the code is good.
    :param tie: what the code needs besides itself; it begins with this word.
    :return: the code; good once.
    **Touches** writes web_session.
    """
    code = f"{tie}.{new_token()}"
    own = {
        "id": new_id(),
        "entry_sha256": digest(code),
        "entry_until": now + life,
        "token_sha256": digest(_token_of(code, secret_key)),
        "created_at": now,
        "seen_at": now,
    }
    db.execute(_INSERT_SESSION, {**facts, **own})
    return code


def take_entry(db: Db, code: str, now: datetime, *, secret_key: str) -> tuple[WebSession, str]:
    """Exchange a one-time code for its session.

    :param secret_key: of the settings.
    :return: the session and its token.
    :raises SessionEndedError: the code was used, is too old, or never was.
    **Touches** writes web_session.
    """
    query = select(WebSession).where(WebSession.entry_sha256 == digest(code)).with_for_update()
    session = db.scalars(query).one_or_none()
    if session is None or now > session.entry_until:
        # The session of a used code is still there, so that its person is told the right way to a new one.
        token_sha256 = digest(_token_of(code, secret_key))
        used = db.scalars(select(WebSession).where(WebSession.token_sha256 == token_sha256)).one_or_none()
        raise SessionEndedError(administrator=used is not None and used.is_administrator)
    session.entry_sha256 = None
    # The link may have waited for long; the session begins now.
    session.created_at = session.seen_at = now
    return session, _token_of(code, secret_key)


def entry_cookie(code: str, secret_key: str, public_url: str) -> tuple[str, str]:
    """Give name and value of the cookie that a code with the tie "cookie" needs.

    :param public_url: of the settings; the `__Host-` prefix needs https.
    **Touches** pure.
    """
    prefix = "__Host-" if public_url.startswith("https:") else ""
    value = hmac.new(secret_key.encode(), b"browser of " + code.encode(), "sha256").hexdigest()
    return f"{prefix}entry-{digest(code)[:12]}", value


def is_right_browser(code: str, cookie: tuple[str, str], request: "Request") -> bool:
    """Tell whether the browser that brings a code is the one that launched.

    :param cookie: from `entry_cookie`.
    **Source** Fetch Metadata Request Headers, section 2.3; browsers before March 2023 send none.
    **Touches** pure.
    """
    tie = code.partition(".")[0]
    name, value = cookie
    if tie == "cookie":
        return hmac.compare_digest(request.cookies.get(name, "").encode(), value.encode())
    return tie != "page" or request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"


def _token_of(code: str, secret_key: str) -> str:
    # Derived with our key: the token is stored nowhere, and the code in a browser's history does not give it.
    return hmac.new(secret_key.encode(), b"session of " + code.encode(), "sha256").hexdigest()
