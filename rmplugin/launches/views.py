"""The door: an accepted launch becomes a session, a refused one becomes a page that says why."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import flask
import structlog
from flask import Blueprint
from sqlalchemy import Connection
from werkzeug.wrappers import Response

from lti.deep_linking import LineItemRequest, ResourceLinkItem, build_response
from lti.errors import LaunchError
from lti.launch import Launch
from lti.routes import AttemptInfo, create_blueprint
from rmplugin import logins, web
from rmplugin.db import Db
from rmplugin.jobs import Runtime
from rmplugin.launches import operations
from rmplugin.tenants.operations import record_pending_deployment
from rmplugin.tenants.store import PlatformStore
from rmplugin.web import Role

log = structlog.get_logger()
pages = web.Pages("launches", __name__)
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
        public_url=lambda: runtime.settings.public_url,
        clock=runtime.clock,
        log=_log_attempt,
    )
    names = ("login", "launch", "relaunch", "jwks")
    return blueprint, {f"lti.{name}": Role.PUBLIC for name in names}


def _log_attempt(fields: object) -> None:
    facts = dict(fields)  # type: ignore[call-overload]
    log.info(facts.pop("event"), **facts)


def on_launch(launch: Launch) -> Response:
    """Turn an accepted launch into a session and go on to the first page.

    **Touches** what `operations.enter` touches, writes web_session.
    """
    runtime = web.get_runtime()
    now = runtime.clock()
    if launch.subject is None:
        return _message(
            "Your LMS did not say who you are",
            "Reverse mentoring needs to know who takes part. Ask the administrator of your LMS to let "
            "this activity "
            "see the user.",
            403,
        )
    if launch.message_type == "LtiDeepLinkingRequest" and launch.deployment_state == "approved":
        return pick_content(launch, now)
    if launch.message_type != "LtiResourceLinkRequest":
        return _message(
            "This kind of launch is not supported",
            f"The LMS asked for '{launch.message_type}', which this tool does not offer. Nothing was "
            f"lost. Open the "
            "activity from your course instead.",
            400,
        )
    if launch.deployment_state == "approved":
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
    if code is None:
        return _message(
            "One click of your administrator is missing",
            "The tool was added to your LMS in a new place, which an administrator of the tool has to "
            "approve. Nothing was lost. Send this to whoever runs Reverse mentoring for you: “Deployment "
            f"{launch.deployment_id} of {launch.platform.issuer} waits for approval, on the page Learning "
            "platforms or by rmplugin platform approve.” Then open the activity again.",
            403,
        )
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
        return _message(
            "Only teachers can add the activity", "Ask the people who run the course to add it.", 403
        )
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


def on_refused(error: LaunchError, info: AttemptInfo) -> Response:
    """Say in plain words why a launch was refused."""
    return _message("The activity could not be opened", error.message, error.status, info.reference)


def _message(title: str, text: str, status: int, reference: str | None = None) -> Response:
    page = web.render("message.html", None, title=title, text=text, reference=reference)
    return flask.make_response(page, status)
