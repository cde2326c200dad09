"""The answer to a content selection: the tool's signed list becomes activities of the course."""

import sqlite3
from typing import Any

import jwt
from flask import Blueprint, Response, make_response, render_template, request

from rmplugin.demo.lms_context import Lms, current_lms, get_course
from rmplugin.demo.lms_keys import KeySetUnreadableError, verify_tool_jwt
from rmplugin.demo.lms_messages import CLAIM, DL_CLAIM
from rmplugin.demo.lms_settings import LmsCourse
from rmplugin.demo.lms_store import insert_activity, insert_line_item

REQUEST_SECONDS = 3600.0

bp = Blueprint("deep_linking", __name__)


class RefusedError(Exception):
    """The answer cannot be taken; the text says why."""


@bp.post("/course/<course_id>/deep-link/<deep_link_id>")
def receive(course_id: str, deep_link_id: str) -> Response:
    """Verify the tool's answer and add its items; an address works once.

    **Source**: Deep Linking 2.0 section 4.4.2 and 4.5.
    """
    lms = current_lms()
    course = get_course(course_id)
    try:
        claims = _verify(lms, course, request.form.get("JWT", ""))
        items = [_check_item(lms, item) for item in _items(claims)]
        titles = _add_items(lms, course, deep_link_id, items)
    except (RefusedError, jwt.PyJWTError, KeySetUnreadableError) as fault:
        lms.store.note_call("deep linking", 400, str(fault), now=lms.now())
        page = render_template("lms/message.html", title="Nothing was added", text=str(fault), course=course)
        return make_response(page, 400)
    lms.store.note_call("deep linking", 200, f"{len(titles)} added", now=lms.now())
    message = claims.get(DL_CLAIM + "msg")
    return make_response(render_template("lms/added.html", course=course, titles=titles, message=message))


def _verify(lms: Lms, course: LmsCourse, token: str) -> dict[str, Any]:
    """Check signature and envelope of the answer.

    :raises RefusedError: with the claim that is wrong.
    """
    settings = lms.settings
    claims = verify_tool_jwt(lms.tool_keys, token, audience=settings.issuer, now=lms.now())
    wanted = {
        "iss": settings.client_id,
        CLAIM + "deployment_id": settings.deployment_of(course),
        CLAIM + "message_type": "LtiDeepLinkingResponse",
        CLAIM + "version": "1.3.0",
    }
    for name, value in wanted.items():
        if claims.get(name) != value:
            raise RefusedError(f"The claim {name} must be {value}.")
    # The data must come back exactly when it was sent.
    expected = {} if settings.deep_linking_data is None else {DL_CLAIM + "data": settings.deep_linking_data}
    if {name: claims[name] for name in claims if name == DL_CLAIM + "data"} != expected:
        raise RefusedError("The data claim is not the one that was sent.")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not nonce:
        raise RefusedError("The claim nonce is missing.")
    if not lms.store.take_once("nonce", nonce, expires_at=float(claims["exp"]), now=lms.now()):
        raise RefusedError("This answer was received before.")
    return claims


def _items(claims: dict[str, Any]) -> list[Any]:
    items = claims.get(DL_CLAIM + "content_items", [])
    if not isinstance(items, list):
        raise RefusedError("content_items must be a list.")
    return items


def _check_item(lms: Lms, item: Any) -> dict[str, Any]:
    """Refuse an item that Moodle could not take.

    :raises RefusedError: with what is wrong.
    """
    if not isinstance(item, dict) or item.get("type") != "ltiResourceLink":
        raise RefusedError("Only items of the type ltiResourceLink can be added.")
    url = item.get("url", lms.settings.tool_target)
    if not isinstance(url, str) or not url.startswith(f"{lms.settings.tool_url}/"):
        raise RefusedError("The item's url does not belong to the tool.")
    custom = item.get("custom")
    # An empty `custom` object crashes Moodle.
    if "custom" in item and not (
        isinstance(custom, dict) and custom and all(isinstance(value, str) for value in custom.values())
    ):
        raise RefusedError("custom must be left out or hold at least one text value.")
    line_item = item.get("lineItem")
    if line_item is not None:
        maximum = line_item.get("scoreMaximum") if isinstance(line_item, dict) else None
        if isinstance(maximum, bool) or not isinstance(maximum, int | float) or maximum <= 0:
            raise RefusedError("lineItem.scoreMaximum must be a number above 0.")
    return item


def _add_items(lms: Lms, course: LmsCourse, deep_link_id: str, items: list[dict[str, Any]]) -> list[str]:
    """Use up the request and add its items in one transaction; return their titles.

    **Touches**: writes deep_link, activity, line_item.
    """
    now = lms.now()
    with lms.store.transaction(write=True) as db:
        taken = db.execute(
            "UPDATE deep_link SET used_at = ? WHERE id = ? AND course_id = ? AND used_at IS NULL"
            " AND created_at > ?",
            (now, deep_link_id, course.course_id, now - REQUEST_SECONDS),
        )
        if taken.rowcount != 1:
            raise RefusedError("This selection was finished before, or is too old. Start it again.")
        return [_add_item(db, lms, course, item) for item in items]


def _add_item(db: sqlite3.Connection, lms: Lms, course: LmsCourse, item: dict[str, Any]) -> str:
    title = str(item.get("title") or "Untitled activity")
    line_item = item.get("lineItem")
    activity_id = insert_activity(
        db,
        course_id=course.course_id,
        title=title,
        description=str(item.get("text") or ""),
        url=str(item.get("url") or lms.settings.tool_target),
        custom=item.get("custom") or {},
        pass_mark=float(line_item["scoreMaximum"]) if line_item else None,
        made_by="content selection",
    )
    if line_item:
        # Moodle ignores lineItem.label and names the column after the activity.
        column = {**line_item, "label": title, "resourceLinkId": activity_id}
        insert_line_item(db, course_id=course.course_id, item=column, coupled=True)
    return title
