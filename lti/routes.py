"""The addresses of the protocol as a Flask blueprint; what follows a launch is the host's."""

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import requests
from flask import Blueprint, jsonify, make_response, redirect, request
from markupsafe import Markup
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from lti.claims import loggable_names
from lti.errors import LaunchError
from lti.jwks import PUBLISHED_SECONDS, KeySets
from lti.launch import Launch, confirm, new_reference, validate
from lti.login import (
    LOGIN_TTL,
    LoginRedirect,
    begin_login,
    begin_relaunch,
    cookie_name,
    is_state,
    keep_login,
    offer_relaunch,
    read_flow,
    take_kept_login,
    try_cookie_name,
)
from lti.platforms import Store
from lti.redaction import redacted
from lti.storage import SCRIPT, SCRIPT_VERSION, asking_form, plain_page, putting_link

# Values of Sec-Fetch-Dest with which browsers ask for what another site's page shows.
FRAMES = frozenset({"iframe", "frame", "embed", "object"})
# So long a browser that kept a cookie once is believed; each launch is bound to its own cookie all the same.
TRY_COOKIE_SECONDS = 30 * 86400
LogLine = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class AttemptInfo:
    """What may be shown and logged about a login or launch.

    :param reference: short random text that the person can quote and the log holds
    :param stage: "login", "launch", "confirm" or "relaunch"
    :param claim_names: names, never values
    :param code: an error code, "ok" for an accepted launch
    :param details: of an accepted launch `bound_by`, see `launch.Launch`
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


def create_blueprint(  # noqa: C901, PLR0915 - short views that share their arguments.
    store_for: Callable[[], Store],
    http: requests.Session,
    *,
    on_launch: Callable[[Launch], Response],
    on_refused: Callable[[LaunchError, AttemptInfo], Response],
    on_new_tab: Callable[[str], Response],
    public_url: Callable[[], str],
    clock: Callable[[], datetime],
    on_wait: Callable[[Markup], Response] | None = None,
    login_ttl: timedelta = LOGIN_TTL,
    log: LogLine | None = None,
    on_attempt: Callable[[AttemptInfo], None] | None = None,
) -> Blueprint:
    """Make the blueprint `lti`: `/lti/login`, `/lti/launch`, `/lti/jwks`, and the ways round blocked cookies.

    Those are `/lti/confirm` with its script `/lti/storage.js`, and `/lti/relaunch/<code>`.

    :param store_for: returns the store of the current request
    :param http: session for the platforms' key sets
    :param on_launch: answers an accepted launch; its deployment may be unknown or pending. It may refuse the
        launch, too, by raising `LaunchError`; anything else that it raises is refused as "fault"
    :param on_refused: answers everything that was refused
    :param on_new_tab: answers a launch whose cookie was blocked; gets the one-time address for a new tab
    :param public_url: this tool's address without a path, such as "https://mentoring.example.com"
    :param clock: returns aware UTC
    :param on_wait: answers with a page that shows a given element for at most two seconds, in the frame of
        any LMS; the page must allow scripts and forms of its own origin. None for a page with nothing else
    :param log: gets one mapping per attempt; None means the logger `lti`
    :param on_attempt: is told of every attempt that was not accepted, before it is answered
    **Touches** nothing until a request comes.
    """
    blueprint = Blueprint("lti", __name__)
    keys = KeySets(http)
    write = log or _log_to_stdlib

    def address(path: str) -> str:
        return public_url().rstrip("/") + path

    def launch_url() -> str:
        return address("/lti/launch")

    def script_url() -> str:
        return address(f"/lti/storage.js?v={SCRIPT_VERSION}")

    def wait(element: Markup, referrer_policy: str) -> Response:
        response = on_wait(element) if on_wait else _plain_page(element)
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = referrer_policy
        return response

    def refuse(error: LaunchError, stage: str, reference: str | None = None) -> Response:
        info = _describe(stage, clock(), error, reference or new_reference())
        write(_log_fields(info))
        if error.storage is not None:
            # The attempt is not over: our own page comes back at once with what the storage gave it.
            token, confirm_url = request.form["id_token"], address("/lti/confirm")
            form = asking_form(error.storage, token, confirm_url=confirm_url, script_url=script_url())
            # Without a referrer some browsers would not say that the form came from our own page.
            return wait(form, "same-origin")
        if on_attempt is not None:
            on_attempt(info)
        if error.relaunch_code is not None:
            return on_new_tab(address(f"/lti/relaunch/{error.relaunch_code}"))
        return on_refused(error, info)

    @blueprint.route("/lti/login", methods=["GET", "POST"])
    def login() -> Response:
        """Start a launch. **Source** LTI Security 1.0, section 5.1.1."""
        try:
            _read_form()
            if request.headers.get("Sec-Fetch-Dest") in FRAMES and not keeps_cookies():
                return try_cookies(request.values)
            return go(begin(request.values))
        except LaunchError as error:
            if error.code != "request_unreadable":
                error.claims = redacted(request.values)
            return refuse(error, "login")

    def keeps_cookies() -> bool:
        return try_cookie_name(launch_url()) in request.cookies

    def try_cookies(params: Mapping[str, str]) -> Response:
        """Have the browser ask again at once; it shows the cookie that it gets here, or hides it."""
        response = _unkept(redirect(keep(params), 303))
        _set_cookie(response, try_cookie_name(launch_url()), "yes", TRY_COOKIE_SECONDS)
        return response

    def keep(params: Mapping[str, str]) -> str:
        return address("/lti/login/" + keep_login(params, store_for(), launch_url=launch_url(), now=clock()))

    def begin(params: Mapping[str, str]) -> LoginRedirect:
        return begin_login(
            params,
            store_for(),
            launch_url=launch_url(),
            now=clock(),
            login_ttl=login_ttl,
            keeps_cookies=keeps_cookies(),
        )

    def go(began: LoginRedirect, otherwise: str | None = None) -> Response:
        """Go on to the platform, where its storage is needed by way of a page that asks for it."""
        if began.storage_frame is None:
            return _redirect(began)
        secret = (began.cookie_name, began.cookie_value)
        link = putting_link(began.url, began.storage_frame, *secret, script_url(), otherwise=otherwise)
        return _with_cookie(wait(link, "no-referrer"), began)

    @blueprint.route("/lti/login/<code>", methods=["GET"])
    def tried(code: str) -> Response:
        """Go on with a login, now that the browser has shown whether it keeps our cookies."""
        if request.method == "HEAD":
            return Response()
        try:
            kept = take_kept_login(code, store_for(), clock())
            flow = read_flow(kept)
            if keeps_cookies():
                return go(begin(flow))
            if "lti_storage_target" in flow:
                without = {name: value for name, value in flow.items() if name != "lti_storage_target"}
                return go(begin(flow), otherwise=keep(without))
            error = LaunchError("cookies_hidden", relaunch_code=offer_relaunch(kept, store_for(), clock()))
            error.platform_key = kept.platform_key
        except LaunchError as refused:
            error = refused
        return refuse(error, "login")

    def take(stage: str, verify: Callable[[], Launch]) -> Response:
        """Answer a launch message: one line in the log, whatever becomes of it."""
        launched = None
        try:
            launched = verify()
            response = on_launch(launched)
        except LaunchError as error:
            response = refuse(_of(launched, error), stage, _reference_of(launched))
        except Exception as error:  # noqa: BLE001 - whatever is raised, the attempt gets its line and page.
            response = refuse(_of(launched, _fault(error)), stage, _reference_of(launched))
        else:
            names, details = loggable_names(launched.claims), {"bound_by": launched.bound_by}
            key = launched.platform.key
            write(_log_fields(AttemptInfo(launched.reference, stage, clock(), key, names, "ok", details)))
        return response

    @blueprint.route("/lti/launch", methods=["GET", "POST"])
    def launch() -> Response:
        """Take a launch message; a reload, a bookmark and the way back come without one.

        **Source** LTI Security 1.0, section 5.1.3.
        """

        def verify() -> Launch:
            return validate(
                _read_form(), request.cookies, store_for(), keys, launch_url=launch_url(), now=clock()
            )

        return _without_cookie(take("launch", verify), launch_url())

    @blueprint.route("/lti/confirm", methods=["POST"], endpoint="confirm")
    def confirm_launch() -> Response:
        """Take the launch message again, from our own page, with what the platform's storage gave it."""

        def verify() -> Launch:
            headers = dict(request.headers)
            return confirm(_read_form(), headers, store_for(), keys, launch_url=launch_url(), now=clock())

        return take("confirm", verify)

    @blueprint.route("/lti/storage.js", methods=["GET"])
    def script() -> Response:
        """Give the script that talks to a platform's storage."""
        response = Response(SCRIPT, mimetype="text/javascript")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response

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
        response.headers["Cache-Control"] = f"public, max-age={PUBLISHED_SECONDS}"
        return response

    return blueprint


def _redirect(began: LoginRedirect) -> Response:
    return _with_cookie(_unkept(redirect(began.url, 302)), began)


def _unkept(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _plain_page(element: Markup) -> Response:
    response = make_response(plain_page(element))
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; img-src data:; form-action 'self'; base-uri 'none'"
    )
    return response


def _with_cookie(response: Response, began: LoginRedirect) -> Response:
    _set_cookie(response, began.cookie_name, began.cookie_value, began.max_age)
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
