"""Requests: who is asking, may they, one transaction, one answer. The only user of Flask's request state."""

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast
from zoneinfo import ZoneInfo

import flask
import itsdangerous
import marshmallow as ma
import structlog
from flask import Response, request
from sqlalchemy import Connection, ForeignKey, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as WerkzeugResponse

from rmplugin import notify
from rmplugin.db import Base, Db, HasId, new_id
from rmplugin.errors import ConflictError, InputError, NotAllowedError, SessionEndedError
from rmplugin.jobs import Runtime

log = structlog.get_logger()

IDLE = timedelta(hours=2)
ABSOLUTE = timedelta(hours=12)
ENTRY_CODE_LIFE = timedelta(seconds=60)
# The idle clock is written at most this often, so that reading pages stays reading.
TOUCH_EVERY = timedelta(minutes=5)
COOKIE = "rm-session"
TOKEN_FIELD = "_session"  # noqa: S105 - the name of a form field.
ONCE_FIELD = "_once"
HTTP_HEADER = "X-Rm-Session"

Answer = str | WerkzeugResponse | tuple[str, int]


class Role(StrEnum):
    """What a route asks of the person who opens it."""

    PUBLIC = "public"
    VISITOR = "visitor"  # launched from a course, whoever they are
    PARTICIPANT = "participant"  # and known to the HR roster
    MANAGER = "manager"  # and an instructor or administrator of the course


class WebSession(Base, HasId):
    """A signed-in browser. The token lives in the page or in a cookie; here is only its digest.

    :ivar person_id: None for somebody whom the HR roster does not know.
    :ivar frame_origins: origins that may show the tool in a frame.
    """

    __tablename__ = "web_session"
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    token_sha256: Mapped[str] = mapped_column(unique=True)
    entry_sha256: Mapped[str | None] = mapped_column(unique=True)
    lti_user_id: Mapped[uuid.UUID]
    person_id: Mapped[uuid.UUID | None]
    context_id: Mapped[uuid.UUID | None]
    is_manager: Mapped[bool]
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


@dataclass
class Visit:
    """One request of a signed-in person: all that a view is given.

    :ivar db: bound to the person's tenant; commits when the view returns.
    :ivar person_id: None unless the role is PARTICIPANT or the visitor is known.
    :ivar values: what was typed, when the page is shown again with errors.
    :ivar errors: field name -> message.
    """

    db: Db
    now: datetime
    session: WebSession
    token: str
    runtime: Runtime
    values: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tenant_id(self) -> uuid.UUID:
        """Give the person's tenant."""
        return self.session.tenant_id

    @property
    def is_manager(self) -> bool:
        """Tell whether the launch came from an instructor or administrator of the course."""
        return self.session.is_manager

    @property
    def person_id(self) -> uuid.UUID:
        """Give the HR person behind the visit.

        :raises NotAllowedError: the HR roster does not know them.
        """
        if self.session.person_id is None:
            raise NotAllowedError("not_in_roster", "This page is for people whom the HR roster knows.")
        return self.session.person_id

    @property
    def actor(self) -> str:
        """Name the doer for the audit."""
        return f"lti_user:{self.session.lti_user_id}"


View = Callable[..., Answer]


class Pages:
    """The routes of one capability. Every route names the role that it needs.

    :param name: blueprint name, also the prefix of endpoint names.
    """

    def __init__(self, name: str, import_name: str, *, template_folder: str | None = "templates") -> None:
        self.blueprint = flask.Blueprint(name, import_name, template_folder=template_folder)
        self.roles: dict[str, Role] = {}

    def get(self, rule: str, *, role: Role) -> Callable[[View], View]:
        """Register a page that only reads.

        The view is called as ``view(visit, **path_parameters)``; a public one without the visit.
        """
        return self._register(rule, "GET", role, None)

    def post(self, rule: str, *, role: Role, on_input_error: View | None = None) -> Callable[[View], View]:
        """Register a form's target.

        :param on_input_error: the view that showed the form; it is shown again with what was typed.
        """
        return self._register(rule, "POST", role, on_input_error)

    def _register(
        self, rule: str, method: str, role: Role, on_input_error: View | None
    ) -> Callable[[View], View]:
        role = Role(role)

        def register(view: View) -> View:
            endpoint = view.__name__
            run = view if role is Role.PUBLIC else _signed_in(view, method, role, on_input_error)
            self.blueprint.add_url_rule(rule, endpoint, run, methods=[method])
            self.roles[f"{self.blueprint.name}.{endpoint}"] = role
            return view

        return register


def _signed_in(view: View, method: str, role: Role, on_input_error: View | None) -> View:
    write = method == "POST"

    def run(**path: Any) -> Answer:
        try:
            try:
                return _visit(view, role, write=write, path=path)
            except IntegrityError:
                if not write:
                    raise
                # Somebody wrote the same row a moment before. Nothing of ours was kept; now theirs is seen.
                return _visit(view, role, write=write, path=path)
        except InputError as error:
            if on_input_error is None:
                raise
            errors = error.details or {"form": error.message_for_user}
            page = _visit(on_input_error, role, write=False, path=path, values=request.form, errors=errors)
            return flask.make_response(page, error.status)

    return run


def _visit(
    view: View,
    role: Role,
    *,
    write: bool,
    path: Mapping[str, Any],
    values: Mapping[str, Any] | None = None,
    errors: Mapping[str, Any] | None = None,
) -> Answer:
    runtime = get_runtime()
    now = runtime.clock()
    token = _token()
    with runtime.database.transaction(None, write=write) as db:
        session = _find_session(db, token, now)
        db.info["tenant_id"] = session.tenant_id
        # A rollback would empty the loaded row, and the page that explains the error still needs it.
        db.expunge(session)
        visit = Visit(db, now, session, token, runtime, values or MultiDict(), errors or {})
        flask.g.visit = visit
        _check_role(session, role)
        if write:
            _take_form_once(db, now)
            db.execute(update(WebSession).where(WebSession.id == session.id).values(seen_at=now))
        answer = flask.make_response(view(visit, **path))
        if write and session.person_id is not None:
            notify.settle(db, session.person_id, request.path, now)
        wake = bool(db.info.get("wake"))
    if wake:
        wake_worker()
    elif not write and now - session.seen_at > TOUCH_EVERY:
        _touch(runtime, session.id, now)
    return answer


def wake_worker() -> None:
    """Ask the worker for a round now. The outbox is the truth: a queue that is down costs only time.

    **Touches** the queue.
    """
    try:
        flask.current_app.extensions["rm_wake"]()
    except Exception as error:  # noqa: BLE001 - every queue raises its own errors, and none may undo the commit.
        log.warning("queue_down", error=type(error).__name__)


def get_runtime() -> Runtime:
    """Give the runtime of the app that serves this request."""
    return cast("Runtime", flask.current_app.extensions["rm_runtime"])


def _token() -> str:
    """Find the session token: header or form for changes; for reading the cookie will do, too.

    A cookie alone never authorises a change, so another site's form cannot make one.
    """
    token = request.headers.get(HTTP_HEADER) or request.form.get(TOKEN_FIELD)
    if token is None and request.method == "GET":
        token = request.cookies.get(COOKIE)
    if not token:
        raise SessionEndedError
    return token


def _find_session(db: Db, token: str, now: datetime) -> WebSession:
    session = db.scalars(select(WebSession).where(WebSession.token_sha256 == digest(token))).one_or_none()
    if session is None or now - session.seen_at > IDLE or now - session.created_at > ABSOLUTE:
        raise SessionEndedError
    return session


def _check_role(session: WebSession, role: Role) -> None:
    if role is Role.MANAGER and not session.is_manager:
        raise NotAllowedError(
            "manager_only",
            "This page is for the programme manager. If you manage the programme, ask the administrator of "
            "your LMS to give you the teacher role in this course.",
        )
    if role is Role.PARTICIPANT and session.person_id is None:
        raise NotAllowedError("not_in_roster", "This page is for people whom the HR roster knows.")


def _take_form_once(db: Db, now: datetime) -> None:
    key = request.form.get(ONCE_FIELD)
    if not key or len(key) > 64:
        raise InputError(
            "form_key_missing", "The form was incomplete. Nothing was lost; please send it again."
        )
    try:
        with db.begin_nested():
            db.add(PostedForm(key=digest(key), posted_at=now))
    except IntegrityError as error:
        raise ConflictError(
            "already_done", "This form was sent before. It took effect once; nothing was done twice."
        ) from error


def _touch(runtime: Runtime, session_id: uuid.UUID, now: datetime) -> None:
    with runtime.database.transaction(None) as db:
        db.execute(update(WebSession).where(WebSession.id == session_id).values(seen_at=now))


def digest(secret: str) -> str:
    """Give the SHA-256 of a secret, in hexadecimal. **Touches** pure."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_token() -> str:
    """Make an unguessable token of 256 bits. **Touches** chance."""
    return secrets.token_urlsafe(32)


def open_session(db: Db | Connection, facts: Mapping[str, Any], now: datetime) -> str:
    """Store a new session and give the one-time code that the redirect after the launch carries.

    :param facts: columns of `WebSession` but for id, digests and moments.
    :return: the code; good once, for 60 seconds.
    **Touches** writes web_session.
    """
    code = new_token()
    own = {
        "id": new_id(),
        "entry_sha256": digest(code),
        "token_sha256": digest(_token_of(code)),
        "created_at": now,
        "seen_at": now,
    }
    db.execute(_INSERT_SESSION, {**facts, **own})
    return code


def take_entry(db: Db, code: str, now: datetime) -> tuple[WebSession, str]:
    """Exchange a one-time code for its session.

    :return: the session and its token.
    :raises SessionEndedError: the code was used, is too old, or never was.
    **Touches** writes web_session.
    """
    query = select(WebSession).where(WebSession.entry_sha256 == digest(code)).with_for_update()
    session = db.scalars(query).one_or_none()
    if session is None or now - session.created_at > ENTRY_CODE_LIFE:
        raise SessionEndedError
    session.entry_sha256 = None
    return session, _token_of(code)


def _token_of(code: str) -> str:
    # Derived with our key: the token is stored nowhere, and the code in a browser's history does not give it.
    key = str(flask.current_app.secret_key).encode()
    return hmac.new(key, b"session of " + code.encode(), "sha256").hexdigest()


def set_session_cookie(response: Response, token: str) -> None:
    """Give the browser the session also as a cookie, for reading pages without JavaScript.

    **Touches** the response.
    """
    response.set_cookie(
        COOKIE,
        token,
        httponly=True,
        secure=True,
        samesite="None",
        partitioned=True,
        path="/",
        max_age=int(ABSOLUTE.total_seconds()),
    )


def render(template: str, visit: Visit | None, **values: Any) -> str:
    """Render a page.

    :param visit: None for public pages.
    """
    return flask.render_template(template, visit=visit, **values)


def go(endpoint: str, said: str | None = None, **path: Any) -> WerkzeugResponse:
    """Send the browser to a page after a change.

    :param said: what was done, shown on that page; signed, so that nobody else can put words there.
    """
    if said is not None:
        path["said"] = _signer().dumps(said)
    return flask.redirect(flask.url_for(endpoint, **path), 303)


def said() -> str | None:
    """Give what the last change wants said on this page; None when nothing, or when it is not from us."""
    signed = request.args.get("said", "")
    try:
        return str(_signer().loads(signed)) if signed else None
    except itsdangerous.BadSignature:
        return None


def _signer() -> itsdangerous.URLSafeSerializer:
    return itsdangerous.URLSafeSerializer(str(flask.current_app.secret_key), salt="said")


def load_form(schema: ma.Schema) -> dict[str, Any]:
    """Check a posted form.

    :param schema: fields by form name; a list field collects repeated names.
    :return: loaded values.
    :raises InputError: `details` maps every wrong field to a sentence; the form is shown again with them.
    **Touches** reads the request.
    """
    data: dict[str, Any] = {}
    for name in request.form:
        if name in (TOKEN_FIELD, ONCE_FIELD):
            continue
        texts = [_clean(text) for text in request.form.getlist(name)]
        loads_list = isinstance(schema.fields.get(name), ma.fields.List)
        if loads_list:
            data[name] = [text for text in texts if text]
        elif texts[0] != "":
            data[name] = texts[0]
    try:
        return cast("dict[str, Any]", schema.load(data, unknown=ma.EXCLUDE))
    except ma.ValidationError as error:
        messages = {name: _first(message) for name, message in error.messages_dict.items()}
        raise InputError(
            "form_invalid", "Some answers need a change; they are marked below. Nothing was lost.", messages
        ) from error


def _clean(text: str) -> str:
    # PostgreSQL stores no NUL character, and nobody can type one.
    return text.replace("\x00", "").strip()


def load_query(schema: ma.Schema) -> dict[str, Any]:
    """Check what the address asks for: a page number, a filter. A wrong value counts as not given.

    :param schema: fields by parameter name, each with a `load_default`.
    **Touches** reads the request.
    """
    data = {name: _clean(text) for name, text in request.args.items() if _clean(text)}
    try:
        return cast("dict[str, Any]", schema.load(data, unknown=ma.EXCLUDE))
    except ma.ValidationError as error:
        right = {name: text for name, text in data.items() if name not in error.messages_dict}
        return cast("dict[str, Any]", schema.load(right, unknown=ma.EXCLUDE))


def _first(message: Any) -> str:
    while isinstance(message, dict | list):
        message = next(iter(message.values())) if isinstance(message, dict) else message[0]
    return str(message)


def local_moment(moment: datetime, zone: str) -> str:
    """Write a moment for people, with the zone written out: "Tue 3 Dec 2026, 15:00 (Europe/Berlin)".

    :param zone: IANA name.
    **Touches** pure.
    """
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M} ({zone})"
