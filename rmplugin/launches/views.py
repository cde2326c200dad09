"""The door: an accepted launch becomes a session, a refused one becomes a page that says why."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import flask
import itsdangerous
import structlog
from flask import Blueprint
from markupsafe import Markup
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from lti.ags import REVIEWABLE
from lti.claims import loggable, origin
from lti.deep_linking import ContentRequest, Image, LineItemRequest, ResourceLinkItem, build_response
from lti.errors import REOPEN_CODES, LaunchError
from lti.launch import Launch
from lti.routes import AttemptInfo, create_blueprint
from rmplugin import logins, web
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError, NotFoundError
from rmplugin.jobs import Runtime
from rmplugin.launches import operations
from rmplugin.launches.catalogue import CONTENTS, HISTORY, VIEW
from rmplugin.launches.forms import PickForm
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
# What is taken in, or waits for the approval of its deployment.
MESSAGE_TYPES = ("LtiResourceLinkRequest", "LtiSubmissionReviewRequest", "LtiDeepLinkingRequest")
# A teacher may take a while to choose.
PICK_WITHIN = timedelta(hours=1)
ICON_SIZE = 128


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
        on_launch=on_launch_beside_others,
        on_refused=on_refused,
        on_new_tab=on_new_tab,
        on_wait=on_wait,
        public_url=lambda: runtime.settings.public_url,
        clock=runtime.clock,
        log=_log_attempt,
        on_attempt=_keep_attempt,
    )
    names = ("login", "tried", "launch", "confirm", "script", "relaunch", "jwks")
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
            flooded = is_flooded(db, tenant_id, info.code, info.at)
        if not flooded:
            with runtime.database.transaction(None) as db:
                record_attempt(db, tenant_id, platform.id if platform else None, info)
    except Exception as error:  # noqa: BLE001 - every driver raises its own.
        log.warning("attempt_not_kept", reference=info.reference, error=type(error).__name__)


def on_launch_beside_others(launch: Launch) -> Response:
    """Do as `on_launch`, also when others open the same new course at the same moment.

    **Touches** what `on_launch` touches.
    """
    try:
        return on_launch(launch)
    except IntegrityError:
        # Somebody wrote the course's row a moment before. Nothing of ours was kept; now theirs is seen.
        return on_launch(launch)


def on_launch(launch: Launch) -> Response:
    """Turn an accepted launch into a session and go on to the first page.

    :raises LaunchError: the launch is right, and cannot be taken in all the same.
    **Touches** what `operations.enter` touches, writes web_session.
    """
    # A page that is shown without a session, such as a refusal, is in the person's language, too.
    flask.g.locale = launch.locale
    runtime = web.get_runtime()
    now = runtime.clock()
    if launch.message_type == "LtiDeepLinkingRequest" and launch.deployment_state == "approved":
        page = pick_content(launch, now)
        _record(runtime, launch, now)
        return page
    if launch.message_type == "DataPrivacyLaunchRequest":
        _record(runtime, launch, now)
        return flask.make_response(web.render("launches/privacy.html", None))
    if launch.message_type not in MESSAGE_TYPES:
        raise LaunchError("message_type_unsupported", message_type=launch.message_type)
    is_recognisable = launch.message_type == "LtiResourceLinkRequest" and launch.subject is not None
    if launch.deployment_state == "approved" and is_recognisable:
        with runtime.database.connection() as connection:
            known = operations.recognise(connection, launch, now)
            if known is not None:
                return _go_in(launch, _open(runtime, connection, launch, known, now))
    with runtime.database.unbound() as db:
        platform = operations.platform_of(db, launch)
        db.info["tenant_id"] = platform.tenant_id
        db.info["all_tenants"] = False
        if launch.deployment_state != "approved":
            record_pending_deployment(db, platform, launch.deployment_id, now)
            code = None
        else:
            code = _open(runtime, db, launch, operations.enter(db, platform, launch, now), now)
        wake = bool(db.info.get("wake"))
    if wake:
        web.wake_worker()
    if code is None:
        raise LaunchError("deployment_pending", deployment_id=loggable(launch.deployment_id))
    return _go_in(launch, code)


def _record(runtime: Runtime, launch: Launch, now: datetime) -> None:
    with runtime.database.unbound() as db:
        operations.record_launch(db, operations.platform_of(db, launch), launch, None, now)


def _open(
    runtime: Runtime, db: Db | Connection, launch: Launch, facts: Mapping[str, Any], now: datetime
) -> str:
    tie: logins.Tie = "page" if launch.bound_by == "storage" else "cookie"
    return logins.open_session(db, facts, now, secret_key=str(runtime.settings.secret_key), tie=tie)


def _go_in(launch: Launch, code: str) -> Response:
    response = flask.make_response(flask.redirect(flask.url_for("dashboard.entry", code=code), 303))
    if launch.bound_by != "storage":
        settings = web.get_runtime().settings
        cookie = logins.entry_cookie(code, str(settings.secret_key), settings.public_url)
        web.set_cookie(response, *cookie, logins.ENTRY_CODE_LIFE)
    return response


def pick_content(launch: Launch, now: datetime) -> Response:
    """Let a teacher choose what links in the course shall show.

    The request travels through the form, signed, so that nothing of it is stored: its return address carries
    the teacher's session at the LMS.

    **Touches** nothing.
    """
    wanted = launch.deep_linking
    assert wanted is not None
    if not (launch.roles.is_instructor or launch.roles.is_administrator):
        raise LaunchError("role_not_allowed")
    asked = ContentRequest.of(launch)
    offer = {
        "request": asdict(asked),
        "columns": wanted.accept_line_item,
        "targets": [t for t in ("iframe", "window") if t in wanted.accept_presentation_document_targets],
        "until": (now + PICK_WITHIN).timestamp(),
        "locale": launch.locale,
    }
    return _pick_page(offer, _seal().dumps(offer))


def _pick_page(offer: Mapping[str, Any], sealed: str, errors: Mapping[str, Any] | None = None) -> Response:
    filled = SimpleNamespace(values=flask.request.form if errors else MultiDict(), errors=errors or {})
    chosen = filled.values.getlist("views") if errors else ["home"]
    page = web.render(
        "launches/pick.html",
        None,
        offer=offer,
        sealed=sealed,
        contents=CONTENTS,
        filled=filled,
        chosen=chosen,
    )
    return flask.make_response(page, 422 if errors else 200)


def _seal() -> itsdangerous.URLSafeSerializer:
    return itsdangerous.URLSafeSerializer(str(flask.current_app.secret_key), salt="content")


@pages.post("/lti/deep-link", role=Role.PUBLIC)
def deep_link() -> web.Answer:
    """Sign what a teacher picked, and have the browser carry it back to the LMS."""
    runtime = web.get_runtime()
    now = runtime.clock()
    sealed = flask.request.form.get("sealed", "")
    try:
        offer = _seal().loads(sealed)
    except itsdangerous.BadSignature as error:
        raise NotFoundError("selection") from error
    flask.g.locale = offer.get("locale")
    if offer["until"] <= now.timestamp():
        raise ConflictError(
            "selection_expired",
            "The selection is too old. Nothing was added. Start it again in your course.",
        )
    asked = ContentRequest(**offer["request"])
    items: list[ResourceLinkItem] = []
    if "cancel" not in flask.request.form:
        try:
            picked = web.load_form(PickForm(one_only=not asked.accept_multiple))
        except InputError as error:
            return _pick_page(offer, sealed, error.details)
        items = [_item(view, picked, offer) for view in CONTENTS if view in picked["views"]]
    with runtime.database.transaction(None) as db:
        # One launch gives one answer, also from a second copy of the page.
        web.take_once(db, sealed, now)
    return _give_back(asked, items, now)


def _item(view: str, picked: Mapping[str, Any], offer: Mapping[str, Any]) -> ResourceLinkItem:
    content = CONTENTS[view]
    base = web.get_runtime().settings.public_url.rstrip("/")
    graded = content.is_gradable and picked["graded"] and offer["columns"]
    in_window = picked["target"] == "window" and "window" in offer["targets"]
    column = LineItemRequest(
        100,
        label=content.title,
        resource_id="completion",
        tag="completion",
        submission_review=REVIEWABLE["submissionReview"],
    )
    return ResourceLinkItem(
        picked[f"title_{view}"] or content.title,
        url=f"{base}/lti/launch",
        text=web.say(content.text),
        custom={VIEW: view, **HISTORY},
        line_item=column if graded else None,
        thumbnail=Image(f"{base}/assets/mentoring.svg", ICON_SIZE, ICON_SIZE),
        extra={"window": {"targetName": "_blank"}} if in_window else {},
    )


def _give_back(asked: ContentRequest, items: Sequence[ResourceLinkItem], now: datetime) -> Response:
    """Answer with a form that sends itself to the LMS; without JavaScript its button does."""
    runtime = web.get_runtime()
    key = PlatformStore(runtime.database, runtime.clock).signing_key()
    answer = build_response(asked, items, key=key, now=now)
    page = web.render("launches/picked.html", None, answer=answer, return_url=asked.return_url)
    response = flask.make_response(page)
    lms = origin(asked.return_url)
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
        f"form-action {lms}; frame-ancestors *"
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
