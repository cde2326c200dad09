"""Wiring of the pages: settings in, an app out. Errors become pages here and nowhere else."""

import gzip
import importlib.resources
import uuid
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import flask
import flask_babel
import structlog
from flask import Flask, Response, request
from flask.sessions import SessionInterface
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from rmplugin import formats, languages, logins, web
from rmplugin.errors import ConfigError, NotFoundError, RmError, SessionEndedError
from rmplugin.jobs import Runtime
from rmplugin.records import NavLink
from rmplugin.settings import Settings
from rmplugin.texts import Text, duration
from rmplugin.wiring import configure_logging, make_runtime, make_worker

log = structlog.get_logger()


class NoFlaskSession(SessionInterface):
    """Keeps Flask from opening a session of its own for each request: `logins` has ours."""

    def open_session(self, app: Flask, request: flask.Request) -> None:
        """Open none; Flask then never asks to save one. **Touches** pure."""


# The order is the order of the house: a capability's pages are in its own folder.
PAGES = (
    "tenants",
    "people",
    "hris",
    "scim",
    "launches",
    "dashboard",
    "programmes",
    "matching",
    "reviews",
    "signup",
    "skills",
    "agreements",
    "goals",
    "freebusy",
    "notes",
    "sessions",
    "messages",
    "hours",
    "checkins",
    "aims",
    "safeguards",
    "introductions",
    "credits",
    "papers",
    "mailing",
    "calendars",
    "data_requests",
    "leaving",
    "preparation",
)
ASSETS = {
    "bootstrap.min.css": ("flask_bootstrap", "static/bootstrap5/css/bootstrap.min.css", "text/css"),
    "htmx.min.js": ("js_lib_htmx", "static/htmx/htmx.min.js", "text/javascript"),
    "rm.css": ("rmplugin", "static/rm.css", "text/css"),
    "rm.js": ("rmplugin", "static/rm.js", "text/javascript"),
    "mentoring.svg": ("rmplugin", "static/mentoring.svg", "image/svg+xml"),
    "lti_close.js": ("rmplugin", "static/lti_close.js", "text/javascript"),
}


def create_app(settings: Settings, plugins: Iterable[Any] = (), runtime: Runtime | None = None) -> Flask:
    """Make the app.

    :param runtime: opened already; None opens one from the settings.
    :raises ConfigError: what is missing or wrong.
    **Touches** what `make_runtime` touches.
    """
    configure_logging(settings.log_format)
    runtime = runtime or make_runtime(settings, plugins=plugins)
    app = Flask("rmplugin", static_folder=None)
    app.secret_key = settings.secret_key
    app.session_interface = NoFlaskSession()
    app.config.update(MAX_CONTENT_LENGTH=2_000_000, TRAP_HTTP_EXCEPTIONS=False)
    app.extensions["rm_runtime"] = runtime
    app.extensions["rm_wake"] = make_worker(runtime)["work"]
    babel = flask_babel.Babel(app, locale_selector=_language)
    with app.app_context():
        found = {locale.language for locale in babel.list_translations()}
    app.extensions["rm_languages"] = sorted(found - {languages.SOURCE_LANGUAGE})
    _add_pages(app, runtime)
    _add_template_words(app, runtime)
    app.register_error_handler(RmError, _explain)
    app.register_error_handler(HTTPException, _explain_http)
    app.register_error_handler(Exception, _explain_fault)
    app.after_request(_protect)
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    return app


def _language() -> str:
    """Choose the language of the page that is being made."""
    visit: web.Visit | None = flask.g.get("visit")
    asked = visit.session.locale if visit else flask.g.get("locale")
    return languages.choose(asked, request.accept_languages, flask.current_app.extensions["rm_languages"])


def _add_pages(app: Flask, runtime: Runtime) -> None:
    roles: dict[str, web.Role] = {"asset": web.Role.PUBLIC}
    views: dict[str, web.View] = {}
    for name in PAGES:
        pages: web.Pages = import_module(f"rmplugin.{name}.views").pages
        app.register_blueprint(pages.blueprint)
        roles |= pages.roles
        views |= pages.views
    app.add_url_rule("/assets/<name>", "asset", _asset)
    lti_blueprint, lti_roles = import_module("rmplugin.launches.views").make_lti_blueprint(runtime)
    app.register_blueprint(lti_blueprint)
    roles |= lti_roles
    for brought in runtime.plugins.gather("rm_register_blueprints", pages=web.Pages):
        if not isinstance(brought, web.Pages):
            raise ConfigError(["A plug-in brings pages that name no role: make them with the given `pages`."])
        app.register_blueprint(brought.blueprint)
        roles |= brought.roles
        views |= brought.views
    app.extensions["rm_roles"] = roles
    app.extensions["rm_views"] = views


def _add_template_words(app: Flask, runtime: Runtime) -> None:
    links: list[NavLink] = list(runtime.plugins.gather("rm_nav_links"))

    def navigation() -> list[NavLink]:
        visit: web.Visit = flask.g.visit
        if visit.session.is_administrator:
            return [
                NavLink("Learning platforms", "/admin", "administrator"),
                NavLink("HR systems", "/admin/hr", "administrator"),
                NavLink("Skills", "/admin/skills", "administrator"),
                NavLink("Launches", "/admin/launches", "administrator"),
                NavLink("Mails", "/admin/mails", "administrator"),
                NavLink("Personal data", "/admin/people", "administrator"),
            ]
        own = []
        if visit.session.person_id is not None:
            own += [
                NavLink("Home", "/home", "participant"),
                NavLink("My goals", "/goals", "participant"),
                NavLink("My credits", "/credits", "participant"),
                NavLink("Notifications", "/notifications", "participant"),
            ]
        if visit.is_manager:
            own.append(NavLink("Programme desk", "/manage", "manager"))
        return own + [link for link in links if link.role != "manager" or visit.is_manager]

    app.jinja_env.globals.update(
        asset=_asset_url,
        get_locale=flask_babel.get_locale,
        say=web.say,
        navigation=navigation,
        new_token=logins.new_token,
        said=web.said,
        request=request,
    )
    app.jinja_env.finalize = lambda value: web.say(value) if isinstance(value, Text) else value
    app.jinja_env.filters.update(
        moment=formats.local_moment,
        day=formats.local_day,
        duration=duration,
        number=formats.local_number,
        hundredths=formats.local_hundredths,
        percent=formats.local_percent,
        sentence=formats.sentence_case,
        say=web.say,
    )
    app.jinja_env.add_extension("jinja2.ext.do")


@cache
def _asset_path(name: str) -> Path:
    package, inside, _kind = ASSETS[name]
    return Path(str(importlib.resources.files(package))) / inside


def _asset_url(name: str) -> str:
    # The size changes with nearly every change of a file; a stale copy would be seen at once in the demo.
    return flask.url_for("asset", name=name, v=int(_asset_path(name).stat().st_mtime))


def _asset(name: str) -> Response:
    if name not in ASSETS:
        raise NotFoundError("file")
    path, kind = _asset_path(name), ASSETS[name][2]
    if request.accept_encodings["gzip"]:
        response = Response(_packed(path, path.stat().st_mtime), mimetype=kind)
        response.headers["Content-Encoding"] = "gzip"
    else:
        response = flask.send_file(path, mimetype=kind)
    # Only files that are the same for everybody are packed. A page holds the session beside words of others'
    # choice, and the length of the two packed together would give the one away by the other (BREACH).
    response.vary.add("Accept-Encoding")
    response.cache_control.public, response.cache_control.max_age = True, 31_536_000
    return response


@lru_cache(maxsize=len(ASSETS))
def _packed(path: Path, _changed_at: float) -> bytes:
    return gzip.compress(path.read_bytes(), mtime=0)


def _explain(error: RmError) -> Any:
    typed: list[tuple[str, str]] = []
    if isinstance(error, SessionEndedError) and request.method == "POST":
        hidden = (web.TOKEN_FIELD, web.ONCE_FIELD)
        typed = [
            (name, value) for name, value in request.form.items(multi=True) if name not in hidden and value
        ]
    titles = {
        401: "Please reopen the activity from your course",
        403: "This page is not for you",
        404: "Not found",
        409: "That is not possible now",
        422: "Some answers need a change",
    }
    if error.code == "administrator_session_ended":
        titles[401] = "This needs a new link"
    title = "Already done" if error.code.startswith("already_") else titles.get(error.status)
    page = web.render(
        "message.html",
        flask.g.get("visit"),
        title=title or "That did not work",
        text=error.message_for_user,
        typed=typed,
        back=_way_back(),
    )
    return flask.make_response(page, error.status)


def _way_back() -> str | None:
    """Give the page to go back to; None for somebody who is not signed in."""
    visit: web.Visit | None = flask.g.get("visit")
    if visit is None:
        return None
    return "/admin" if visit.session.is_administrator else "/home"


def _explain_http(error: HTTPException) -> Any:
    if error.code == 404:
        return _explain(NotFoundError())
    page = web.render(
        "message.html", flask.g.get("visit"), title=error.name, text=error.description or "", back=None
    )
    return flask.make_response(page, error.code or 500)


def _explain_fault(error: Exception) -> Any:
    if flask.current_app.testing:
        raise error
    reference = uuid.uuid4().hex[:12]
    # The traceback is wanted for mending; its text is not, because exceptions quote rows.
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else ""
    log.error("fault", reference=reference, kind=type(error).__name__, where=where, route=_route())
    page = web.render(
        "message.html",
        None,
        title="Something went wrong on our side",
        text="Your last step was not saved; everything before it is safe. Please try again. If it happens "
        "again, give your administrator the reference below.",
        reference=reference,
    )
    return flask.make_response(page, 500)


def _route() -> str | None:
    """Give the pattern of the request's address: the address itself may hold a secret code."""
    return request.url_rule.rule if request.url_rule else None


def _protect(response: Response) -> Response:
    visit: web.Visit | None = flask.g.get("visit")
    # Pages without a session carry nothing that a click could change, and must show inside any LMS.
    ancestors = " ".join(["'self'", *visit.session.frame_origins]) if visit else "*"
    response.headers.setdefault(
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        f"form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}",
    )
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers["X-Content-Type-Options"] = "nosniff"
    if request.endpoint not in ("asset", "lti.jwks", "lti.script"):
        response.headers["Cache-Control"] = "no-store"
    return response
