"""The token endpoint, and the check of access tokens by the services."""

import hashlib
import secrets
from typing import Any

import jwt
from flask import Blueprint, Response, jsonify, make_response, request
from werkzeug.exceptions import HTTPException

from rmplugin.demo.lms_context import Lms, current_lms
from rmplugin.demo.lms_keys import KeySetUnreadableError, verify_tool_jwt
from rmplugin.demo.lms_messages import SCOPES

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

bp = Blueprint("token", __name__)


def refuse(status: int, reason: str, *, headers: dict[str, str] | None = None) -> HTTPException:
    """Make the exception that ends a service call with a status and a JSON reason."""
    response = jsonify({"status": status, "reason": reason})
    response.status_code = status
    response.headers.update(headers or {})
    # The reason is kept for the page that lists the calls.
    fault = HTTPException(description=reason, response=response)
    fault.code = status
    return fault


def _token_error(code: str, text: str, status: int = 400) -> Response:
    lms = current_lms()
    lms.store.note_call("token", status, text, now=lms.now())
    response = make_response(jsonify({"error": code, "error_description": text}), status)
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.post("/token")
def issue() -> Response:
    """Exchange a signed client assertion for an access token.

    **Source**: 1EdTech Security Framework 1.0 section 4.1; RFC 7523.
    **Touches**: writes access_token and used_once; reads the tool's key set.
    """
    lms = current_lms()
    if request.mimetype != "application/x-www-form-urlencoded":
        return _token_error("invalid_request", "the request must be form-encoded")
    form = request.form
    if form.get("grant_type") != "client_credentials":
        return _token_error("unsupported_grant_type", "grant_type must be client_credentials")
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        return _token_error("invalid_request", f"client_assertion_type must be {ASSERTION_TYPE}")
    try:
        _check_assertion(lms, form.get("client_assertion", ""))
    except (jwt.PyJWTError, KeySetUnreadableError) as fault:
        return _token_error("invalid_client", str(fault), 401)
    asked = form.get("scope", "").split()
    granted = [scope for scope in SCOPES if scope in asked]
    if not granted:
        return _token_error("invalid_scope", "none of the scopes asked for is granted to this tool")
    return _grant(lms, granted)


def _check_assertion(lms: Lms, assertion: str) -> None:
    """Check a client assertion and use up its `jti`.

    :raises jwt.PyJWTError: with what is wrong.
    """
    now = lms.now()
    said = jwt.decode(assertion, options={"verify_signature": False})
    tool = lms.find_tool(said.get("sub"))
    # A stranger's assertion is looked at with the keys of the tool in the settings, to say what is wrong.
    keys = tool.keys if tool is not None else lms.tool_keys
    claims = verify_tool_jwt(keys, assertion, audience=lms.settings.token_url, now=now)
    for name in ("iss", "sub"):
        if tool is None or claims.get(name) != tool.client_id:
            raise jwt.InvalidIssuerError(f"{name} must be the client id")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        raise jwt.MissingRequiredClaimError("jti")
    if not lms.store.take_once("jti", jti, expires_at=float(claims["exp"]), now=now):
        raise jwt.InvalidTokenError("jti was used before")


def _grant(lms: Lms, scopes: list[str]) -> Response:
    token = secrets.token_urlsafe(32)
    expires_at = lms.now() + lms.settings.token_seconds
    with lms.store.transaction(write=True) as db:
        db.execute("DELETE FROM access_token WHERE expires_at < ?", (lms.now(),))
        db.execute(
            "INSERT INTO access_token VALUES (?, ?, ?)", (_digest(token), " ".join(scopes), expires_at)
        )
    lms.store.note_call("token", 200, "", now=lms.now())
    answer: dict[str, Any] = {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": lms.settings.token_seconds,
        "scope": " ".join(scopes),
    }
    response = jsonify(answer)
    response.headers["Cache-Control"] = "no-store"
    return response


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def require_scope(*any_of: str) -> None:
    """Let a service call pass when its access token has one of these scopes.

    :raises HTTPException: 401 without a valid token, 403 without the scope.

    **Touches**: reads access_token.
    """
    lms = current_lms()
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    row = None
    if kind.lower() == "bearer" and token:
        row = lms.store.row("SELECT * FROM access_token WHERE digest = ?", _digest(token))
    if row is None or row["expires_at"] <= lms.now():
        raise refuse(
            401, "the access token is missing, unknown or expired", headers={"WWW-Authenticate": "Bearer"}
        )
    if not set(any_of) & set(row["scopes"].split()):
        raise refuse(403, "the access token lacks the scope for this call")


def require_accept(media_type: str) -> None:
    """Let a call pass when it accepts exactly this media type; a wildcard is not enough, as in Moodle.

    :raises HTTPException: 406 otherwise.
    """
    offered = [part.partition(";")[0].strip() for part in request.headers.get("Accept", "").split(",")]
    if media_type not in offered:
        raise refuse(406, f"Accept must name {media_type}")


def require_content_type(media_type: str) -> None:
    """Let a call pass when its body has exactly this media type, without parameters, as in Moodle.

    :raises HTTPException: 415 otherwise.
    """
    if request.headers.get("Content-Type", "").strip() != media_type:
        raise refuse(415, f"Content-Type must be {media_type}")


def require_object() -> dict[str, Any]:
    """Read the body as a JSON object.

    :raises HTTPException: 400 when it is something else.
    """
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise refuse(400, "the body must be a JSON object")
    return body
