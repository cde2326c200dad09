"""Launches: the third-party initiated login, the authorization endpoint, and the LMS's key set.

The tool sends the browser back to `/auth` from inside a frame. A browser may then leave out the LMS's
cookie, so the launch hint is signed and names the person who opened the activity. Without the cookie it
counts for five minutes only; with the cookie it must name the person who is signed in.
"""

import secrets
import sqlite3
from typing import Any

from flask import Blueprint, Response, abort, jsonify, make_response, render_template, request
from werkzeug.datastructures import MultiDict

from rmplugin.demo.lms_context import (
    Lms,
    LmsTool,
    current_lms,
    find_signed_in,
    get_activity,
    get_course,
    get_reviewed,
)
from rmplugin.demo.lms_messages import (
    CLAIM,
    deep_linking_claims,
    history_variables,
    resource_link_claims,
    submission_review_claims,
    substitute_custom,
)
from rmplugin.demo.lms_settings import LmsCourse, LmsPerson

HINT_SECONDS = 8 * 3600.0
COOKIELESS_SECONDS = 300.0

bp = Blueprint("oidc", __name__)


def _begin(
    person: LmsPerson,
    course: LmsCourse,
    target: str,
    *,
    activity_id: object = None,
    deep_link_id: object = None,
    review: tuple[str, str] | None = None,
) -> Response:
    """Record a launch and send the browser to the tool's login address.

    :param review: user id of the learner and id of the grade column; None unless work is reviewed.
    """
    lms = current_lms()
    settings = lms.settings
    tool = lms.tool_of(activity_id)
    if tool is None:
        return _refuse_page("The tool behind this activity is not activated. See: Connect a tool.")
    launch_id = secrets.token_urlsafe(16)
    document_target = "window" if request.args.get("window") else "iframe"
    row = (launch_id, person.user_id, course.course_id, activity_id, deep_link_id, document_target, lms.now())
    with lms.store.transaction(write=True) as db:
        db.execute("INSERT INTO launch VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        if review is not None:
            db.execute("INSERT INTO review VALUES (?, ?, ?)", (launch_id, *review))
    hint = lms.seal({"launch": launch_id, "user": person.user_id}, seconds=HINT_SECONDS)
    fields = {
        "iss": settings.issuer,
        "target_link_uri": target,
        "login_hint": person.user_id,
        "lti_message_hint": hint,
        "client_id": tool.client_id,
        "lti_deployment_id": _deployment_id(tool, course),
    }
    # A window of its own has no page of ours above it.
    if course.storage_frame and document_target == "iframe":
        fields["lti_storage_target"] = course.storage_frame
    return _form(tool.login_url, fields, method=settings.launch_method)


def _deployment_id(tool: LmsTool, course: LmsCourse) -> str:
    """Return the deployment of the tool that a course uses: that of the settings may have several."""
    settings = current_lms().settings
    return settings.deployment_of(course) if tool.client_id == settings.client_id else tool.deployment_id


def _form(action: str, fields: dict[str, str], *, method: str = "post") -> Response:
    """Answer with a form that sends itself; without JavaScript its button does."""
    page = render_template("lms/send.html", action=action, fields=fields, method=method)
    response = make_response(page)
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.get("/course/<course_id>/activity/<activity_id>/launch")
def launch(course_id: str, activity_id: str) -> Response:
    """Begin a launch of an activity, in the frame of its page or in a window of its own."""
    person = find_signed_in() or abort(401)
    course = get_course(course_id)
    activity = get_activity(course_id, activity_id)
    return _begin(person, course, activity["url"], activity_id=activity["id"])


@bp.get("/course/<course_id>/column/<line_item_id>/review/<user_id>/launch")
def launch_review(course_id: str, line_item_id: str, user_id: str) -> Response:
    """Begin a launch that shows an instructor one learner's work for a grade column."""
    activity, learner = get_reviewed(course_id, line_item_id, user_id)
    return _begin(
        find_signed_in() or abort(401),
        get_course(course_id),
        activity["url"],
        activity_id=activity["id"],
        review=(learner.user_id, line_item_id),
    )


@bp.get("/course/<course_id>/add/launch")
def launch_deep_link(course_id: str) -> Response:
    """Begin a content selection; instructors only."""
    lms = current_lms()
    person = find_signed_in() or abort(401)
    course = get_course(course_id)
    if person.role != "instructor":
        abort(403)
    deep_link_id = secrets.token_urlsafe(16)
    lms.store.execute(
        "INSERT INTO deep_link VALUES (?, ?, ?, ?, NULL)",
        deep_link_id,
        person.user_id,
        course.course_id,
        lms.now(),
    )
    target = lms.settings.tool_deep_link_target
    return _begin(person, course, target, deep_link_id=deep_link_id)


@bp.route("/auth", methods=["GET", "POST"])
def authorize() -> Response:
    """Answer the tool's authentication request with an id_token, or with an OIDC error.

    **Source**: 1EdTech Security Framework 1.0 section 5.1.1.2 and 5.1.1.3; OIDC Core 3.1.2.6.
    """
    lms = current_lms()
    asked = request.values
    redirect_uri = asked.get("redirect_uri", "")
    tool = lms.find_tool(asked.get("client_id"))
    if tool is None:
        return _refuse_page("The request names a client id that is not registered here.")
    if redirect_uri not in tool.redirect_uris:
        return _refuse_page("The request names a redirect_uri that is not registered here, byte for byte.")
    fault = _find_request_fault(asked)
    row: sqlite3.Row | None = None
    if fault is None:
        row, fault = _find_launch(lms, asked.get("login_hint", ""), asked.get("lti_message_hint", ""))
    if fault is None and row is not None:
        fault = _find_misuse(lms, row, tool)
    person = lms.find_person(row["user_id"]) if row else None
    if fault or row is None or person is None:
        code, text = fault or ("login_required", "The account is suspended.")
        fields = {"error": code, "error_description": text}
        return _form(redirect_uri, fields | _state(asked))
    claims = _claims(lms, row, person, nonce=asked["nonce"])
    course = get_course(row["course_id"])
    claims |= {"aud": tool.client_id, CLAIM + "deployment_id": _deployment_id(tool, course)}
    if tool.custom:
        link_id = str(row["activity_id"]) if row["activity_id"] else None
        history = history_variables(lms, course, link_id)
        claims[CLAIM + "custom"] |= substitute_custom(lms, person, tool.custom, history)
    return _form(redirect_uri, {"id_token": lms.key.sign(claims)} | _state(asked))


def _state(asked: MultiDict[str, str]) -> dict[str, str]:
    return {"state": asked["state"]} if asked.get("state") else {}


def _find_request_fault(asked: MultiDict[str, str]) -> tuple[str, str] | None:
    """Return OIDC error code and text for the first thing wrong with an authentication request."""
    wanted = {"response_type": "id_token", "response_mode": "form_post", "prompt": "none"}
    if "openid" not in asked.get("scope", "").split():
        return "invalid_scope", "scope must contain openid"
    for name, value in wanted.items():
        if asked.get(name) != value:
            code = "unsupported_response_type" if name == "response_type" else "invalid_request"
            return code, f"{name} must be {value}"
    for name in ("nonce", "state", "login_hint", "lti_message_hint"):
        if not asked.get(name):
            return "invalid_request", f"{name} is missing"
    return None


def _find_launch(
    lms: Lms, login_hint: str, message_hint: str
) -> tuple[sqlite3.Row | None, tuple[str, str] | None]:
    """Find the launch that the hints belong to, or say why it cannot go on."""
    hint = lms.unseal(message_hint)
    row = lms.store.row("SELECT * FROM launch WHERE id = ?", hint["launch"]) if hint else None
    if row is None:
        return None, ("invalid_request", "lti_message_hint belongs to no launch of this LMS, or is too old")
    if row["user_id"] != login_hint:
        return None, ("login_required", "login_hint is not the person who opened the activity")
    signed_in = find_signed_in()
    if signed_in is not None and signed_in.user_id != login_hint:
        return None, ("login_required", "somebody else has signed in meanwhile")
    if signed_in is None and lms.now() - row["created_at"] > COOKIELESS_SECONDS:
        return None, ("login_required", "the launch is too old; open the activity again")
    return row, None


def _find_misuse(lms: Lms, row: sqlite3.Row, tool: LmsTool | None) -> tuple[str, str] | None:
    """Say why this tool cannot have the launch, or give it out.

    As Moodle, which forgets a launch with the first answer: a tool that wants it again must begin anew.
    """
    if lms.tool_of(row["activity_id"]) != tool:
        return "invalid_request", "lti_message_hint belongs to another tool's launch"
    if not lms.store.take_once("hint", row["id"], expires_at=lms.now() + HINT_SECONDS, now=lms.now()):
        return "invalid_request", "lti_message_hint was used before"
    return None


def _claims(lms: Lms, row: sqlite3.Row, person: LmsPerson, *, nonce: str) -> dict[str, Any]:
    course = get_course(row["course_id"])
    target = row["document_target"]
    if row["deep_link_id"]:
        return deep_linking_claims(
            lms, person, course, row["deep_link_id"], nonce=nonce, document_target=target
        )
    activity = get_activity(course.course_id, str(row["activity_id"]))
    review = lms.store.row("SELECT * FROM review WHERE launch_id = ?", row["id"])
    if review is not None:
        return submission_review_claims(
            lms, person, course, activity, review, nonce=nonce, document_target=target
        )
    return resource_link_claims(lms, person, course, activity, nonce=nonce, document_target=target)


def _refuse_page(text: str) -> Response:
    page = render_template("lms/message.html", title="This launch cannot go on", text=text)
    return make_response(page, 400)


@bp.get("/certs")
def key_set() -> Response:
    """Publish the LMS's public key."""
    response = jsonify(current_lms().key.key_set())
    response.headers["Cache-Control"] = "public, max-age=300"
    return response
