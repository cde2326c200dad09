"""The practice LMS: a small, strict LTI 1.3 platform that one can click. For trying out only.

It signs launches, keeps a roster and a gradebook, and refuses what Moodle would refuse. There are no
passwords: bind it to the loopback address.
"""

import logging
import socket
from pathlib import Path

from flask import Flask, Response, make_response, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from rmplugin.demo import (
    lms_deep_linking,
    lms_grades,
    lms_oidc,
    lms_pages,
    lms_registration,
    lms_roster,
    lms_token,
)
from rmplugin.demo.lms_context import EXTENSION, Lms, current_lms
from rmplugin.demo.lms_settings import (
    LmsActivity,
    LmsCourse,
    LmsPerson,
    LmsSettings,
    PlatformValues,
    platform_values,
)

__all__ = [
    "LmsActivity",
    "LmsCourse",
    "LmsPerson",
    "LmsSettings",
    "PlatformValues",
    "create_lms",
    "make_lms_server",
    "platform_values",
    "serve",
]

# Blueprints that machines call, and their names in the outage switch and the list of calls.
SERVICES = {"token": "token", "roster": "roster", "grades": "grades"}


def create_lms(settings: LmsSettings) -> Flask:
    """Make the WSGI application of a practice LMS.

    :param settings: people, courses, and where the tool is.
    :return: application; its state lives in `settings.data_dir`, so it survives a restart.

    **Touches**: makes the SQLite file and the keys when they are absent.
    """
    app = Flask("rmplugin.demo.practice_lms", root_path=str(Path(__file__).parent))
    lms = Lms(settings)
    app.extensions[EXTENSION] = lms
    app.config.update(
        SECRET_KEY=lms.secret,
        SESSION_COOKIE_NAME="practice_lms",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SECURE=settings.issuer.startswith("https:"),
        MAX_CONTENT_LENGTH=1_000_000,
    )
    modules = (lms_pages, lms_oidc, lms_token, lms_roster, lms_grades, lms_deep_linking, lms_registration)
    for module in modules:
        app.register_blueprint(module.bp)
    app.before_request(fail_on_purpose)
    app.after_request(note_service_call)
    app.after_request(add_security_headers)
    app.register_error_handler(HTTPException, show_error)
    return app


def fail_on_purpose() -> Response | None:
    """Answer a service call as the outage switch says; pages and launches keep working."""
    service = SERVICES.get(request.blueprint or "")
    outage = lms_pages.read_outage() if service else None
    if outage is None or outage["services"] not in ("all", service):
        return None
    if outage["mode"] == "down":
        connection = request.environ.get("werkzeug.socket")
        if isinstance(connection, socket.socket):
            # The client sees a connection that breaks without an answer.
            connection.shutdown(socket.SHUT_RDWR)
    status = 500 if outage["mode"] == "500" else 503
    response = make_response("switched off for practice", status)
    response.headers["Content-Type"] = "text/plain; charset=utf-8"
    if outage["mode"] == "503":
        response.headers["Retry-After"] = "1"
    return response


def note_service_call(response: Response) -> Response:
    """Remember calls of the roster and the grades; the token endpoint notes its own, with the reason."""
    service = SERVICES.get(request.blueprint or "")
    if service and (service != "token" or response.status_code >= 500):
        lms = current_lms()
        reason = ""
        if response.status_code >= 400:
            reason = response.json["reason"] if response.is_json and response.json else "switched off"
        what = f"{request.method} {(request.endpoint or '').rpartition('.')[2].replace('_', ' ')}"
        lms.store.note_call(what, response.status_code, reason, now=lms.now())
    return response


def add_security_headers(response: Response) -> Response:
    """Let pages load only their own files, frame only the tools, and be framed only by themselves."""
    tool = " ".join([current_lms().settings.tool_origin, *lms_registration.other_origins()])
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; frame-src 'self' {tool};"
        f" form-action 'self' {tool}; frame-ancestors 'self'; base-uri 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    # With "no-referrer" browsers would send `Origin: null` with the LMS's own forms.
    response.headers["Referrer-Policy"] = "same-origin"
    if request.blueprint in ("pages", "tools"):
        response.headers["Cache-Control"] = "no-store"
    return response


ERROR_TEXTS = {
    401: "You are not signed in. Go to the front page and choose who to be.",
    403: "This page is for instructors.",
    404: "There is no such page here.",
}


def show_error(fault: HTTPException) -> Response | HTTPException:
    """Show an error: as it is to a machine, as a page to a person."""
    if request.blueprint in SERVICES:
        return fault if fault.response is not None else service_error(fault)
    text = ERROR_TEXTS.get(fault.code or 500, fault.description or "")
    page = render_template("lms/message.html", title=fault.name, text=text)
    return make_response(page, fault.code or 500)


def service_error(fault: HTTPException) -> HTTPException:
    """Turn an error of the framework, such as an unknown course, into a JSON answer."""
    return lms_token.refuse(fault.code or 500, fault.name)


class QuietHandler(WSGIRequestHandler):
    """Writes no line per request: the addresses carry hints, and the terminal belongs to the demo."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing."""


def make_lms_server(settings: LmsSettings, host: str = "127.0.0.1", port: int = 0) -> BaseWSGIServer:
    """Bind a threaded server for a practice LMS without starting it.

    :param port: 0 for a free one; `server.server_port` then says which.
    :return: server; call `serve_forever()`, and `shutdown()` from another thread to stop it.

    **Touches**: binds a socket; the files of `create_lms`.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    return make_server(host, port, create_lms(settings), threaded=True, request_handler=QuietHandler)


def serve(settings: LmsSettings, host: str = "127.0.0.1", port: int = 5001) -> None:
    """Run a practice LMS until the process is told to stop.

    **Touches**: binds a socket; blocks.
    """
    make_lms_server(settings, host, port).serve_forever()
