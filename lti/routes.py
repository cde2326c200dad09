"""The four addresses of the protocol as a Flask blueprint; what follows a launch is the host's."""

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import requests
from flask import Blueprint, jsonify, redirect, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from lti.claims import loggable_names
from lti.errors import LaunchError
from lti.jwks import KeySets
from lti.launch import Launch, new_reference, validate
from lti.login import LOGIN_TTL, LoginRedirect, begin_login, begin_relaunch, cookie_name, is_state
from lti.platforms import Store
from lti.redaction import redacted

JWKS_SECONDS = 3600
LogLine = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class AttemptInfo:
    """What may be shown and logged about a login or launch.

    :param reference: short random text that the person can quote and the log holds
    :param stage: "login", "launch" or "relaunch"
    :param claim_names: names, never values
    :param code: an error code, "ok" for an accepted launch
    :param claims: the message or the login's parameters as `redaction.redacted` shows them; empty for "ok"
    """

    reference: str
    stage: str
    at: datetime
    platform_key: str | None
    claim_names: tuple[str, ...]
    code: str
    details: Mapping[str, object]
    claims: Mapping[str, object] = field(default_factory=dict)


def create_blueprint(  # noqa: C901 - four short views that share their arguments.
    store_for: Callable[[], Store],
    http: requests.Session,
    *,
    on_launch: Callable[[Launch], Response],
    on_refused: Callable[[LaunchError, AttemptInfo], Response],
    on_new_tab: Callable[[str], Response],
    public_url: Callable[[], str],
    clock: Callable[[], datetime],
    login_ttl: timedelta = LOGIN_TTL,
    log: LogLine | None = None,
    on_attempt: Callable[[AttemptInfo], None] | None = None,
) -> Blueprint:
    """Make the blueprint `lti` with `/lti/login`, `/lti/launch`, `/lti/jwks` and `/lti/relaunch/<code>`.

    :param store_for: returns the store of the current request
    :param http: session for the platforms' key sets
    :param on_launch: answers an accepted launch; its deployment may be unknown or pending. It may refuse the
        launch, too, by raising `LaunchError`; anything else that it raises is refused as "fault"
    :param on_refused: answers everything that was refused
    :param on_new_tab: answers a launch whose cookie was blocked; gets the one-time address for a new tab
    :param public_url: this tool's address without a path, such as "https://mentoring.example.com"
    :param clock: returns aware UTC
    :param log: gets one mapping per attempt; None means the logger `lti`
    :param on_attempt: is told of every attempt that was not accepted, before it is answered
    **Touches** nothing until a request comes.
    """
    blueprint = Blueprint("lti", __name__)
    keys = KeySets(http)
    write = log or _log_to_stdlib

    def launch_url() -> str:
        return public_url().rstrip("/") + "/lti/launch"

    def refuse(error: LaunchError, stage: str, reference: str | None = None) -> Response:
        info = _describe(stage, clock(), error, reference or new_reference())
        write(_log_fields(info))
        if on_attempt is not None:
            on_attempt(info)
        if error.relaunch_code is not None:
            return on_new_tab(f"{public_url().rstrip('/')}/lti/relaunch/{error.relaunch_code}")
        return on_refused(error, info)

    @blueprint.route("/lti/login", methods=["GET", "POST"])
    def login() -> Response:
        """Start a launch. **Source** LTI Security 1.0, section 5.1.1."""
        try:
            _read_form()
            began = begin_login(
                request.values, store_for(), launch_url=launch_url(), now=clock(), login_ttl=login_ttl
            )
        except LaunchError as error:
            if error.code != "request_unreadable":
                error.claims = redacted(request.values)
            return refuse(error, "login")
        return _redirect(began)

    @blueprint.route("/lti/launch", methods=["POST"])
    def launch() -> Response:
        """Take a launch message. **Source** LTI Security 1.0, section 5.1.3."""
        launched = None
        try:
            launched = validate(
                _read_form(), request.cookies, store_for(), keys, launch_url=launch_url(), now=clock()
            )
            response = on_launch(launched)
        except LaunchError as error:
            response = refuse(_of(launched, error), "launch", _reference_of(launched))
        except Exception as error:  # noqa: BLE001 - whatever is raised, the attempt gets its line and page.
            response = refuse(_of(launched, _fault(error)), "launch", _reference_of(launched))
        else:
            names = loggable_names(launched.claims)
            key = launched.platform.key
            write(_log_fields(AttemptInfo(launched.reference, "launch", clock(), key, names, "ok", {})))
        return _without_cookie(response, launch_url())

    @blueprint.route("/lti/relaunch/<code>", methods=["GET"])
    def relaunch(code: str) -> Response:
        """Repeat a login in a tab of its own, where cookies are first-party."""
        if request.method == "HEAD":
            # Link checkers must not use the code up.
            return Response()
        try:
            began = begin_relaunch(
                code, store_for(), launch_url=launch_url(), now=clock(), login_ttl=login_ttl
            )
        except LaunchError as error:
            return refuse(error, "relaunch")
        return _redirect(began)

    @blueprint.route("/lti/jwks", methods=["GET"])
    def jwks() -> Response:
        """Publish the tool's keys. **Source** LTI Security 1.0, section 6.3."""
        response = jsonify({"keys": store_for().published_jwks()})
        response.headers["Cache-Control"] = f"public, max-age={JWKS_SECONDS}"
        return response

    return blueprint


def _redirect(began: LoginRedirect) -> Response:
    response = redirect(began.url, 302)
    _set_cookie(response, began.cookie_name, began.cookie_value, began.max_age)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _set_cookie(response: Response, name: str, value: str, max_age: int) -> None:
    response.set_cookie(
        name, value, max_age=max_age, path="/", secure=True, httponly=True, samesite="None", partitioned=True
    )


def _read_form() -> Mapping[str, str]:
    """Return the posted form; one that cannot be read is refused like any other attempt."""
    try:
        return request.form
    except HTTPException as error:
        raise LaunchError("request_unreadable", status=error.code) from error


def _without_cookie(response: Response, launch_url: str) -> Response:
    """Remove the cookie of the launch that has ended, however it ended."""
    try:
        state = _read_form().get("state", "")
    except LaunchError:
        return response
    name = cookie_name(state, launch_url)
    if is_state(state) and name in request.cookies:
        _set_cookie(response, name, "", 0)
    return response


def _of(launched: Launch | None, error: LaunchError) -> LaunchError:
    """Tie an error that came after the message was accepted to that message."""
    if launched is not None:
        error.platform_key = launched.platform.key
        error.claim_names = loggable_names(launched.claims)
        error.claims = redacted(launched.claims)
        error.details = {"alg": "RS256", "kid": launched.kid, **error.details}
    return error


def _fault(error: Exception) -> LaunchError:
    # The place is wanted for mending; the text is not, because exceptions quote data.
    place = traceback.extract_tb(error.__traceback__)[-1]
    return LaunchError("fault", kind=type(error).__name__, where=f"{place.filename}:{place.lineno}")


def _reference_of(launched: Launch | None) -> str:
    return new_reference() if launched is None else launched.reference


def _describe(stage: str, at: datetime, error: LaunchError, reference: str) -> AttemptInfo:
    return AttemptInfo(
        reference,
        stage,
        at,
        error.platform_key,
        error.claim_names,
        error.code,
        error.details,
        error.claims,
    )


def _log_fields(info: AttemptInfo) -> Mapping[str, object]:
    return {
        "event": f"lti.{info.stage}",
        "reference": info.reference,
        "code": info.code,
        "platform": info.platform_key,
        "claims": list(info.claim_names),
        **{f"detail_{name}": value for name, value in info.details.items()},
    }


def _log_to_stdlib(fields: Mapping[str, object]) -> None:
    level = logging.INFO if fields["code"] == "ok" else logging.WARNING
    logging.getLogger("lti").log(level, "%s", " ".join(f"{name}={value}" for name, value in fields.items()))
