"""Tools that register themselves: the openid configuration, the registration endpoint, the page for both.

As in Moodle a new tool is pending until somebody activates it; here that also adds an activity that opens it.
"""

import json
import secrets
import sqlite3
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import (
    Blueprint,
    Response,
    abort,
    g,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from rmplugin.demo.lms_context import TOOL_CONFIGURATION, Lms, current_lms, deployment_id_of
from rmplugin.demo.lms_messages import SCOPES
from rmplugin.demo.lms_pages import refuse_foreign_posts
from rmplugin.demo.lms_store import insert_activity, insert_line_item

PLATFORM_CONFIGURATION = "https://purl.imsglobal.org/spec/lti-platform-configuration"
TOKEN_SECONDS = 3600.0
CLAIMS = ("iss", "sub", "name", "given_name", "family_name", "email")
VARIABLES = ("Person.sourcedId", "User.id", "User.username")
MESSAGES = ("LtiResourceLinkRequest", "LtiDeepLinkingRequest")

bp = Blueprint("tools", __name__)
bp.before_request(refuse_foreign_posts)


class RefusedError(Exception):
    """The registration cannot be taken; the text is the code that Moodle would answer with."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.status = status


def other_origins() -> list[str]:
    """Give the origins of registered tools, and of the one that registers now, for the page's policy."""
    found = [g.registering] if "registering" in g else []
    rows = current_lms().store.rows("SELECT document FROM tool")
    found += [_origin(json.loads(row["document"])["initiate_login_uri"]) for row in rows]
    return sorted(set(found))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@bp.get("/.well-known/openid-configuration")
def configuration() -> Response:
    """Say what a tool must know to register.

    **Source**: LTI Dynamic Registration 1.0 section 3.4.
    """
    settings = current_lms().settings
    return jsonify(
        {
            "issuer": settings.issuer,
            "authorization_endpoint": f"{settings.issuer}/auth",
            "token_endpoint": settings.token_url,
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
            "jwks_uri": f"{settings.issuer}/certs",
            "registration_endpoint": f"{settings.issuer}/register-tool",
            "scopes_supported": [*SCOPES, "openid"],
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": list(CLAIMS),
            PLATFORM_CONFIGURATION: {
                "product_family_code": "practice-lms",
                "version": "1",
                "messages_supported": [{"type": name} for name in MESSAGES],
                "variables": list(VARIABLES),
            },
        }
    )


@bp.post("/register-tool")
def register() -> Response:
    """Take a tool's registration; each token is good for one tool.

    **Source**: LTI Dynamic Registration 1.0 section 3.5 and 3.6; Moodle 5.1, mod/lti/openid-registration.php.
    **Touches**: writes tool.
    """
    lms = current_lms()
    try:
        client_id = _client_of_token(lms)
        document = _check(request.get_json(force=True, silent=True))
        row = _store(lms, client_id, document)
    except RefusedError as fault:
        lms.store.note_call("registration", fault.status, str(fault), now=lms.now())
        return make_response(str(fault), fault.status, {"Content-Type": "text/plain"})
    lms.store.note_call("registration", 200, "", now=lms.now())
    own = {**document[TOOL_CONFIGURATION], "deployment_id": deployment_id_of(row)}
    # Moodle answers 200, where the specification says 201.
    return jsonify({**document, "client_id": client_id, TOOL_CONFIGURATION: own})


def _client_of_token(lms: Lms) -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind != "Bearer":
        raise RefusedError("missing_registration_token", 401)
    claims = lms.unseal(token)
    if claims is None or claims.get("kind") != "registration":
        raise RefusedError("invalid_registration_token", 401)
    return str(claims["client"])


def _check(document: Any) -> dict[str, Any]:
    """Refuse a document that Moodle would refuse, or that names what this LMS does not offer."""
    if not isinstance(document, dict):
        raise RefusedError("invalid_json")
    own = document.get(TOOL_CONFIGURATION)
    _need(document, "response_types", "initiate_login_uri", "redirect_uris", "client_name", "jwks_uri")
    _need(document, "token_endpoint_auth_method", TOOL_CONFIGURATION)
    if not isinstance(own, dict):
        raise RefusedError("invalid_tool_configuration")
    _need(own, "domain", "target_link_uri")
    if "id_token" not in _words(document["response_types"]):
        raise RefusedError("invalid_response_types")
    uris = document["redirect_uris"]
    if not isinstance(uris, list) or not all(map(_is_address, uris)):
        raise RefusedError("invalid_redirect_uris")
    if document["token_endpoint_auth_method"] != "private_key_jwt":  # noqa: S105
        raise RefusedError("invalid_token_endpoint_auth_method")
    if document.get("application_type", "web") != "web":
        raise RefusedError("invalid_application_type")
    for name in ("initiate_login_uri", "jwks_uri"):
        if not _is_address(document[name]):
            raise RefusedError(f"invalid_{name}")
    if not _is_address(own["target_link_uri"]) or own["domain"] != urlsplit(own["target_link_uri"]).netloc:
        raise RefusedError("invalid_domain")
    _check_wishes(document, own)
    return document


def _check_wishes(document: dict[str, Any], own: dict[str, Any]) -> None:
    if not set(str(document.get("scope", "")).split()) <= {*SCOPES, "openid"}:
        raise RefusedError("invalid_scope")
    if not _words(own.get("claims", [])) <= set(CLAIMS):
        raise RefusedError("invalid_claims")
    messages = own.get("messages", [])
    if not isinstance(messages, list) or not all(
        isinstance(message, dict) and message.get("type") in MESSAGES for message in messages
    ):
        raise RefusedError("invalid_messages")
    custom = own.get("custom_parameters", {})
    known = {f"${name}" for name in VARIABLES}
    if not isinstance(custom, dict) or not all(
        isinstance(value, str) and (not value.startswith("$") or value in known) for value in custom.values()
    ):
        raise RefusedError("invalid_custom_parameters")


def _need(holder: dict[str, Any], *names: str) -> None:
    for name in names:
        if not holder.get(name):
            raise RefusedError(f"missing required attribute {name}")


def _words(value: object) -> set[str]:
    return set(map(str, value)) if isinstance(value, list) else {"no list"}


def _is_address(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _store(lms: Lms, client_id: str, document: dict[str, Any]) -> sqlite3.Row:
    with lms.store.transaction(write=True) as db:
        added = db.execute(
            "INSERT OR IGNORE INTO tool (client_id, active, document, registered_at) VALUES (?, 0, ?, ?)",
            (client_id, json.dumps(document), lms.now()),
        )
        if added.rowcount != 1:
            raise RefusedError("token_already_used", 401)
        row: sqlite3.Row = db.execute("SELECT * FROM tool WHERE client_id = ?", (client_id,)).fetchone()
        return row


@bp.get("/tools")
def tools() -> str:
    """List the tools, and ask for the registration address of another one."""
    lms = current_lms()
    rows = [
        {
            "id": row["id"],
            "name": json.loads(row["document"])["client_name"],
            "description": json.loads(row["document"])[TOOL_CONFIGURATION].get("description", ""),
            "active": row["active"],
            "client_id": row["client_id"],
            "deployment_id": deployment_id_of(row),
        }
        for row in lms.store.rows("SELECT * FROM tool ORDER BY id")
    ]
    return render_template("lms/tools.html", tools=rows, course=None)


@bp.post("/tools/connect")
def connect() -> str:
    """Show the tool's own page in a frame, with what it needs to register."""
    lms = current_lms()
    address = request.form.get("address", "").strip()
    if not _is_address(address):
        abort(400, "This is no address. Copy the whole registration address, which begins with http.")
    client_id = secrets.token_urlsafe(12)
    token = lms.seal({"kind": "registration", "client": client_id}, seconds=TOKEN_SECONDS)
    query = urlencode(
        {
            "openid_configuration": f"{lms.settings.issuer}/.well-known/openid-configuration",
            "registration_token": token,
        }
    )
    g.registering = _origin(address)
    source = address + ("&" if "?" in address else "?") + query
    return render_template("lms/connect.html", source=source, course=None)


@bp.post("/tools/<int:tool_id>/activate")
def activate(tool_id: int) -> AnyResponse:
    """Let a pending tool launch, and add an activity that opens it to the last course.

    **Touches**: writes tool, activity, line_item, tool_activity.
    """
    lms = current_lms()
    course_id = lms.settings.courses[-1].course_id
    with lms.store.transaction(write=True) as db:
        row = db.execute("SELECT * FROM tool WHERE id = ? AND active = 0", (tool_id,)).fetchone() or abort(
            404
        )
        document = json.loads(row["document"])
        title = f"{str(document['client_name'])[:80]} (newly connected)"
        db.execute("UPDATE tool SET active = 1 WHERE id = ?", (tool_id,))
        activity_id = insert_activity(
            db,
            course_id=course_id,
            title=title,
            description="Opens the tool through the registration that was just made.",
            url=document[TOOL_CONFIGURATION]["target_link_uri"],
            custom={},
            pass_mark=None,
            made_by="registration",
        )
        item = {"label": title, "scoreMaximum": 100, "resourceLinkId": activity_id}
        insert_line_item(db, course_id=course_id, item=item, coupled=True)
        db.execute("INSERT INTO tool_activity VALUES (?, ?)", (activity_id, tool_id))
    return redirect(url_for("tools.tools"), 303)


@bp.post("/tools/<int:tool_id>/remove")
def remove(tool_id: int) -> AnyResponse:
    """Forget a tool and its activities. **Touches**: deletes tool, activity, line_item."""
    with current_lms().store.transaction(write=True) as db:
        mine = "SELECT activity_id FROM tool_activity WHERE tool_id = ?"
        db.execute(f"DELETE FROM line_item WHERE resource_link_id IN ({mine})", (tool_id,))  # noqa: S608
        db.execute(f"DELETE FROM activity WHERE id IN ({mine})", (tool_id,))  # noqa: S608 - our own words.
        db.execute("DELETE FROM tool WHERE id = ?", (tool_id,))
    return redirect(url_for("tools.tools"), 303)
