"""Requests: who is asking, may they, one transaction, one answer. The only user of Flask's request state."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

import flask
import flask_babel
import itsdangerous
import marshmallow as ma
import structlog
from flask import Response, request
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from rmplugin import audit, notify, texts
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError, NotAllowedError, NotFoundError, SessionEndedError
from rmplugin.fields import plain_words
from rmplugin.formats import language_name
from rmplugin.jobs import Runtime
from rmplugin.logins import ABSOLUTE, PostedForm, WebSession, digest, find_session
from rmplugin.texts import Text, pack, unpack

log = structlog.get_logger()

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
    ADMINISTRATOR = "administrator"  # came by a one-time link of `rmplugin admin-link`


@dataclass
class Visit:
    """One request of a signed-in person: all that a view is given.

    :ivar db: bound to the person's tenant; commits when the view returns.
    :ivar person_id: None unless the role is PARTICIPANT or the visitor is known.
    :ivar values: what was typed, when the page is shown again with errors.
    :ivar errors: field name -> message.
    :ivar afterwards: what a page wants noted once it is made, in a transaction of its own.
    """

    db: Db
    now: datetime
    session: WebSession
    token: str
    runtime: Runtime
    values: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, Any] = field(default_factory=dict)
    afterwards: list[Callable[[Db], None]] = field(default_factory=list)

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

    def note_access(self, *people: uuid.UUID, programme_id: uuid.UUID | None = None) -> None:
        """Have it kept that the programme team opened a page about people, or a list of a programme.

        **Touches** writes access_entry, once the page is made and in a transaction of its own.
        """
        opened = [(person, None) for person in people] if people else [(None, programme_id)]
        page = request.endpoint or ""
        self.afterwards.append(lambda db: audit.record_accesses(db, self.actor, page, opened, self.now))

    @property
    def actor(self) -> str:
        """Name the doer for the audit."""
        if self.session.is_administrator:
            return f"administrator:{self.session.id}"
        return f"lti_user:{self.session.lti_user_id}"


View = Callable[..., Answer]


class Pages:
    """The routes of one capability. Every route names the role that it needs.

    :param name: blueprint name, also the prefix of endpoint names.
    """

    def __init__(self, name: str, import_name: str, *, template_folder: str | None = "templates") -> None:
        self.blueprint = flask.Blueprint(name, import_name, template_folder=template_folder)
        self.roles: dict[str, Role] = {}
        self.views: dict[str, View] = {}

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

    def download(self, rule: str, *, role: Role) -> Callable[[View], View]:
        """Register a form's target that only reads and answers with a file; it may be sent again and again.

        A form, because a link could not say who asks in a frame without cookies.
        """
        return self._register(rule, "POST", role, None, write=False)

    def calls(self, rule: str, *, methods: Sequence[str]) -> Callable[[View], View]:
        """Register an address that other programs call; public, because the view looks at their token."""

        def register(view: View) -> View:
            endpoint = view.__name__
            self.blueprint.add_url_rule(rule, endpoint, view, methods=methods)
            self.roles[f"{self.blueprint.name}.{endpoint}"] = Role.PUBLIC
            return view

        return register

    def _register(
        self, rule: str, method: str, role: Role, on_input_error: View | None, *, write: bool | None = None
    ) -> Callable[[View], View]:
        role = Role(role)
        writes = method == "POST" if write is None else write

        def register(view: View) -> View:
            endpoint = view.__name__
            run = view if role is Role.PUBLIC else _signed_in(view, role, on_input_error, write=writes)
            self.blueprint.add_url_rule(rule, endpoint, run, methods=[method])
            self.roles[f"{self.blueprint.name}.{endpoint}"] = role
            self.views[f"{self.blueprint.name}.{endpoint}"] = view
            return view

        return register


def _signed_in(view: View, role: Role, on_input_error: View | None, *, write: bool) -> View:
    def run(**path: Any) -> Answer:
        try:
            try:
                return _visit(view, role, write=write, path=path)
            except SessionEndedError as error:
                raise SessionEndedError(administrator=role is Role.ADMINISTRATOR) from error
            except IntegrityError:
                if not write:
                    raise
                # Somebody wrote the same row a moment before. Nothing of ours was kept; now theirs is seen.
                return _visit(view, role, write=write, path=path)
        except InputError as error:
            if on_input_error is None:
                raise
            faults = error.details or {"form": error.message_for_user}
            errors = {name: Text(fault) for name, fault in faults.items()}
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
        session = find_session(db, token, now)
        db.info["tenant_id"] = session.tenant_id
        # A rollback would empty the loaded row, and the page that explains the error still needs it.
        db.expunge(session)
        visit = Visit(db, now, session, token, runtime, values or MultiDict(), errors or {})
        flask.g.visit = visit
        _check_role(session, role)
        flask.g.role = role
        if write:
            take_form_once(db, now)
            db.execute(update(WebSession).where(WebSession.id == session.id).values(seen_at=now))
        answer = flask.make_response(view(visit, **path))
        if write and session.person_id is not None:
            notify.settle(db, session.person_id, request.path, now)
        wake = bool(db.info.get("wake"))
    if visit.afterwards:
        with runtime.database.transaction(session.tenant_id) as db:
            for note in visit.afterwards:
                note(db)
    if wake:
        wake_worker()
    elif not write and now - session.seen_at > TOUCH_EVERY:
        _touch(runtime, session.id, now)
    return answer


def show(visit: Visit, path: str) -> Answer:
    """Show another page in the answer to this request: without cookies, a redirect would lose the session.

    :param path: of a page that is read with GET, without a query.
    :raises NotFoundError: there is no such page.
    :raises NotAllowedError: it is not for this visitor.
    **Touches** what the page touches.
    """
    try:
        endpoint, found = flask.current_app.url_map.bind("").match(path, method="GET")
    except HTTPException as error:
        raise NotFoundError from error
    role = flask.current_app.extensions["rm_roles"].get(endpoint, Role.PUBLIC)
    if role is Role.PUBLIC:
        raise NotFoundError
    _check_role(visit.session, role)
    flask.g.role = role
    # The browser's address becomes the page's own, so that reloading works.
    flask.g.settle = path
    view: View = flask.current_app.extensions["rm_views"][endpoint]
    return view(visit, **found)


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


def _check_role(session: WebSession, role: Role) -> None:
    if role is Role.MANAGER and not session.is_manager:
        raise NotAllowedError(
            "manager_only",
            "This page is for the programme manager. If you manage the programme, ask the administrator of "
            "your LMS to give you the teacher role in this course.",
        )
    if role is Role.ADMINISTRATOR and not session.is_administrator:
        raise NotAllowedError(
            "administrator_only",
            "This page is for the tool's administrator. Who runs the tool gets a link to it with the command "
            "rmplugin admin-link.",
        )
    if role is Role.PARTICIPANT and session.person_id is None:
        raise NotAllowedError("not_in_roster", "This page is for people whom the HR roster knows.")
    if role is Role.VISITOR and session.is_administrator:
        raise NotAllowedError("launch_only", "This page opens from a course. Your pages are under /admin.")


def take_form_once(db: Db, now: datetime) -> None:
    """Take the form's one-time key.

    :raises InputError: the form has none.
    :raises ConflictError: it took effect before.
    **Touches** writes posted_form.
    """
    key = request.form.get(ONCE_FIELD)
    if not key or len(key) > 64:
        raise InputError(
            "form_key_missing", "The form was incomplete. Nothing was lost; please send it again."
        )
    take_once(db, key, now)


def take_once(db: Db, key: str, now: datetime) -> None:
    """Take a key that is good for one deed.

    :raises ConflictError: it was taken before.
    **Touches** writes posted_form.
    """
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


def set_session_cookie(response: Response, token: str) -> None:
    """Give the browser the session also as a cookie, for reading pages without JavaScript.

    **Touches** the response.
    """
    set_cookie(response, COOKIE, token, ABSOLUTE)


def set_cookie(response: Response, name: str, value: str, life: timedelta) -> None:
    """Give the browser a cookie that also works in an LMS' frame and that no script can read.

    **Source** Cookies Having Independent Partitioned State. **Touches** the response.
    """
    response.set_cookie(
        name,
        value,
        httponly=True,
        secure=True,
        samesite="None",
        partitioned=True,
        path="/",
        max_age=int(life.total_seconds()),
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
        path["said"] = _signer().dumps(pack(Text(said)))
    return flask.redirect(flask.url_for(endpoint, **path), 303)


def say(text: str) -> str:
    """Say in the language of the page what Python wrote in English; what nobody translated stays English.

    **Touches** the language of the page.
    """
    return texts.say(text, flask_babel.gettext, language_name)


def said() -> Text | None:
    """Give what the last change wants said on this page; None when nothing, or when it is not from us."""
    signed = request.args.get("said", "")
    try:
        return Text(unpack(_signer().loads(signed))) if signed else None
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


def read_upload(name: str) -> str:
    """Read a text file that was sent with a form.

    :raises InputError: there is none, or it is not UTF-8.
    **Touches** reads the request.
    """
    sent = request.files.get(name)
    if sent is None or not sent.filename:
        raise InputError("file_missing", "Choose a file first.", {name: "Choose a file first."})
    try:
        return _clean(sent.read().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        text = "The file is not UTF-8 text. Save it as “CSV UTF-8”."
        raise InputError("not_utf8", text, {name: text}) from error


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


def _first(message: Any) -> Text:
    while isinstance(message, dict | list):
        message = next(iter(message.values())) if isinstance(message, dict) else message[0]
    return plain_words(message)
