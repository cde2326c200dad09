"""The door: an accepted launch becomes a session, a refused one becomes a page that says why."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import flask
import structlog
from flask import Blueprint
from markupsafe import Markup
from sqlalchemy import Connection
from werkzeug.wrappers import Response

from lti.claims import loggable
from lti.deep_linking import LineItemRequest, ResourceLinkItem, build_response
from lti.errors import REOPEN_CODES, LaunchError
from lti.launch import Launch
from lti.routes import AttemptInfo, create_blueprint
from rmplugin import logins, web
from rmplugin.db import Db
from rmplugin.jobs import Runtime
from rmplugin.launches import operations
from rmplugin.tenants.models import LtiPlatform
from rmplugin.tenants.operations import record_attempt, record_pending_deployment
from rmplugin.tenants.queries import is_flooded
from rmplugin.tenants.store import PlatformStore
from rmplugin.web import Role

log = structlog.get_logger()
pages = web.Pages("launches", __name__)
_TITLES = {
    "deployment_pending": "One click of an administrator is missing",
    "fault": "Something went wrong on our side",
    "message_type_unsupported": "This kind of launch is not supported",
    "role_not_allowed": "Only teachers can add the activity",
    "user_missing": "Your learning platform did not say who you are",
}
LINK_TITLE = "Reverse mentoring"
LINK_TEXT = "Senior leaders learn from junior and newly joined colleagues."


@pages.get("/", role=Role.PUBLIC)
def root() -> web.Answer:
    """Say where the door is."""
    return web.render(
        "message.html",
        None,
        title="Reverse mentoring opens from your learning platform",
        text="Open the activity in your course; it brings you here, signed in. Administrators find the "
        "addresses for the platform's settings in the README.",
    )


def make_lti_blueprint(runtime: Runtime) -> tuple[Blueprint, dict[str, Role]]:
    """Make the blueprint of the protocol's addresses.

    :return: the blueprint and the role of each of its routes.
    **Touches** nothing until a request comes.
    """
    store = PlatformStore(runtime.database, runtime.clock)
    blueprint = create_blueprint(
        lambda: store,
        runtime.http,
        on_launch=on_launch,
        on_refused=on_refused,
        on_new_tab=on_new_tab,
        on_wait=on_wait,
        public_url=lambda: runtime.settings.public_url,
        clock=runtime.clock,
        log=_log_attempt,
        on_attempt=_keep_attempt,
    )
    names = ("login", "launch", "confirm", "script", "relaunch", "jwks")
    return blueprint, {f"lti.{name}": Role.PUBLIC for name in names}


def _log_attempt(fields: object) -> None:
    facts = dict(fields)  # type: ignore[call-overload]
    write = log.error if facts["code"] == "fault" else log.info
    write(facts.pop("event"), **facts)


def _keep_attempt(info: AttemptInfo) -> None:
    """Keep a refused attempt for the administrator, in a transaction of its own.

    Whatever goes wrong here, the person still gets the page that says why.
    """
    runtime = web.get_runtime()
    try:
        with runtime.database.unbound(write=False) as db:
            platform = db.get(LtiPlatform, uuid.UUID(info.platform_key)) if info.platform_key else None
            tenant_id = platform.tenant_id if platform else None
            flooded = is_flooded(db, tenant_id, info.at)
        if not flooded:
            with runtime.database.transaction(None) as db:
                record_attempt(db, tenant_id, platform.id if platform else None, info)
    except Exception as error:  # noqa: BLE001 - every driver raises its own.
        log.warning("attempt_not_kept", reference=info.reference, error=type(error).__name__)


def on_launch(launch: Launch) -> Response:
    """Turn an accepted launch into a session and go on to the first page.

    :raises LaunchError: the launch is right, and cannot be taken in all the same.
    **Touches** what `operations.enter` touches, writes web_session.
    """
    runtime = web.get_runtime()
    now = runtime.clock()
    if launch.message_type == "LtiDeepLinkingRequest" and launch.deployment_state == "approved":
        return pick_content(launch, now)
    if launch.message_type != "LtiResourceLinkRequest":
        raise LaunchError("message_type_unsupported", message_type=launch.message_type)
    if launch.deployment_state == "approved" and launch.subject is not None:
        with runtime.database.connection() as connection:
            known = operations.recognise(connection, launch, now)
            if known is not None:
                return _go_in(_open(runtime, connection, known, now))
    with runtime.database.unbound() as db:
        platform = operations.platform_of(db, launch)
        db.info["tenant_id"] = platform.tenant_id
        db.info["all_tenants"] = False
        if launch.deployment_state != "approved":
            record_pending_deployment(db, platform, launch.deployment_id, now)
            code = None
        else:
            code = _open(runtime, db, operations.enter(db, platform, launch, now), now)
        wake = bool(db.info.get("wake"))
    if wake:
        web.wake_worker()
    if code is None:
        raise LaunchError("deployment_pending", deployment_id=loggable(launch.deployment_id))
    return _go_in(code)


def _open(runtime: Runtime, db: Db | Connection, facts: Mapping[str, Any], now: datetime) -> str:
    return logins.open_session(db, facts, now, secret_key=str(runtime.settings.secret_key))


def _go_in(code: str) -> Response:
    return flask.redirect(flask.url_for("dashboard.entry", code=code), 303)


def pick_content(launch: Launch, now: datetime) -> Response:
    """Let a teacher choose which link to put into the course: with a gradebook column or without.

    Each choice is a form with the signed answer in it, so nothing of the request needs to be stored:
    its return
    address carries the teacher's session at the LMS.

    **Touches** reads tool_key.
    """
    assert launch.deep_linking is not None
    if not (launch.roles.is_instructor or launch.roles.is_administrator):
        raise LaunchError("role_not_allowed")
    runtime = web.get_runtime()
    key = PlatformStore(runtime.database, runtime.clock).signing_key()
    graded = LineItemRequest(score_maximum=100, label=LINK_TITLE, resource_id="completion", tag="completion")
    links = [("With a gradebook column", ResourceLinkItem(LINK_TITLE, text=LINK_TEXT, line_item=graded))]
    if not launch.deep_linking.accept_line_item:
        links = []
    links.append(("Without a gradebook column", ResourceLinkItem(LINK_TITLE, text=LINK_TEXT)))
    choices = [(name, build_response(launch, [item], key=key, now=now)) for name, item in links]
    return_url = launch.deep_linking.return_url
    page = web.render("launches/pick.html", None, choices=choices, return_url=return_url)
    response = flask.make_response(page)
    parts = urlsplit(return_url)
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
        f"form-action {parts.scheme}://{parts.netloc}; frame-ancestors {parts.scheme}://{parts.netloc}"
    )
    return response


def on_new_tab(relaunch_url: str) -> Response:
    """Say that the browser keeps no cookies for us in the frame, and offer the way around."""
    return flask.make_response(web.render("launches/new_tab.html", None, relaunch_url=relaunch_url), 200)


def on_wait(element: Markup) -> Response:
    """Show for a moment that the activity opens, while the platform's storage is asked."""
    return flask.make_response(web.render("launches/opening.html", None, element=element))


def on_refused(error: LaunchError, info: AttemptInfo) -> Response:
    """Say in plain words why a launch was refused, and who can mend it."""
    title = _TITLES.get(error.code, "The activity could not be opened")
    if error.code in REOPEN_CODES:
        title = "Please open the activity again from your course"
    page = web.render("message.html", None, title=title, text=error.message, reference=info.reference)
    return flask.make_response(page, error.status)
