"""Assignment and Grade Services of the practice LMS, as strict as Moodle's."""

import json
import math
import sqlite3
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, make_response, request

from rmplugin.demo.lms_context import Lms, current_lms, get_course
from rmplugin.demo.lms_messages import (
    SCOPE_LINE_ITEM,
    SCOPE_LINE_ITEM_READ,
    SCOPE_RESULT_READ,
    SCOPE_SCORE,
    TYPE_ID,
    line_item_url,
)
from rmplugin.demo.lms_roster import link_next_page, read_page_position
from rmplugin.demo.lms_settings import LmsCourse
from rmplugin.demo.lms_store import insert_line_item
from rmplugin.demo.lms_token import (
    refuse,
    require_accept,
    require_content_type,
    require_object,
    require_scope,
)

LINE_ITEM = "application/vnd.ims.lis.v2.lineitem+json"
LINE_ITEMS = "application/vnd.ims.lis.v2.lineitemcontainer+json"
SCORE = "application/vnd.ims.lis.v1.score+json"
RESULTS = "application/vnd.ims.lis.v2.resultcontainer+json"
ACTIVITY_PROGRESS = ("Initialized", "Started", "InProgress", "Submitted", "Completed")
GRADING_PROGRESS = ("FullyGraded", "Pending", "PendingManual", "Failed", "NotReady")
# Column of line_item, member of an AGS line item.
OPTIONAL_MEMBERS = (
    ("resource_id", "resourceId"),
    ("tag", "tag"),
    ("resource_link_id", "resourceLinkId"),
    ("start_at", "startDateTime"),
    ("end_at", "endDateTime"),
)

bp = Blueprint("grades", __name__)


def _answer(body: Any, media_type: str, status: int = 200) -> Response:
    response = make_response(json.dumps(body), status)
    response.headers["Content-Type"] = media_type
    return response


def _open_course(course_id: str) -> LmsCourse:
    """Return the course of a grade call; without its `type_id` a call finds nothing, as in Moodle."""
    if request.args.get("type_id") != TYPE_ID:
        raise refuse(404, "the address lacks its type_id")
    return get_course(course_id)


def _line_item(course_id: str, line_item_id: str) -> sqlite3.Row:
    row = current_lms().store.row(
        "SELECT * FROM line_item WHERE id = ? AND course_id = ?", line_item_id, course_id
    )
    if row is None:
        raise refuse(404, "there is no such line item")
    return row


def _describe(lms: Lms, course: LmsCourse, row: sqlite3.Row) -> dict[str, Any]:
    item = {
        "id": line_item_url(lms, course, row["id"]),
        "label": row["label"],
        "scoreMaximum": row["score_maximum"],
    }
    return item | {member: row[column] for column, member in OPTIONAL_MEMBERS if row[column] is not None}


def _check_line_item(lms: Lms, course: LmsCourse, item: dict[str, Any]) -> None:
    """Refuse a line item that Moodle would refuse.

    :raises HTTPException: 400 with the member that is wrong.
    """
    label = item.get("label")
    if not isinstance(label, str) or not label.strip():
        raise refuse(400, "label is missing")
    if not _is_number(item.get("scoreMaximum")) or item["scoreMaximum"] <= 0:
        raise refuse(400, "scoreMaximum must be a number above 0")
    for member, longest in (("tag", 255), ("resourceId", 512), ("resourceLinkId", 255)):
        value = item.get(member)
        if value is not None and (not isinstance(value, str) or len(value) > longest):
            raise refuse(400, f"{member} must be text of at most {longest} characters")
    link = item.get("resourceLinkId")
    if link is not None and not lms.store.row(
        "SELECT 1 FROM activity WHERE id = ? AND course_id = ?", link, course.course_id
    ):
        raise refuse(400, "resourceLinkId is no activity of this course")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@bp.get("/course/<course_id>/lineitems")
def list_line_items(course_id: str) -> Response:
    """List the grade columns; filters: resource_id, tag, resource_link_id.

    **Source**: AGS 2.0 section 3.2.4.
    """
    lms = current_lms()
    require_scope(SCOPE_LINE_ITEM, SCOPE_LINE_ITEM_READ)
    require_accept(LINE_ITEMS)
    course = _open_course(course_id)
    rows = lms.store.rows("SELECT * FROM line_item WHERE course_id = ? ORDER BY id", course_id)
    for name in ("resource_id", "tag", "resource_link_id"):
        if name in request.args:
            rows = [row for row in rows if row[name] == request.args[name]]
    return _answer([_describe(lms, course, row) for row in rows], LINE_ITEMS)


@bp.post("/course/<course_id>/lineitems")
def create_line_item(course_id: str) -> Response:
    """Add a grade column; an equal one that exists already does not stop it.

    **Source**: AGS 2.0 section 3.2.5.
    """
    lms = current_lms()
    require_scope(SCOPE_LINE_ITEM)
    require_content_type(LINE_ITEM)
    course = _open_course(course_id)
    item = require_object()
    _check_line_item(lms, course, item)
    with lms.store.transaction(write=True) as db:
        made = insert_line_item(db, course_id=course_id, item=item, coupled=False)
    return _answer(_describe(lms, course, _line_item(course_id, made)), LINE_ITEM, 201)


@bp.get("/course/<course_id>/lineitems/<line_item_id>/lineitem")
def show_line_item(course_id: str, line_item_id: str) -> Response:
    """Return one grade column."""
    require_scope(SCOPE_LINE_ITEM, SCOPE_LINE_ITEM_READ)
    require_accept(LINE_ITEM)
    course = _open_course(course_id)
    return _answer(_describe(current_lms(), course, _line_item(course_id, line_item_id)), LINE_ITEM)


@bp.put("/course/<course_id>/lineitems/<line_item_id>/lineitem")
def replace_line_item(course_id: str, line_item_id: str) -> Response:
    """Replace a grade column: what the body leaves out is wiped, but the coupling to its link stays."""
    lms = current_lms()
    require_scope(SCOPE_LINE_ITEM)
    require_content_type(LINE_ITEM)
    course = _open_course(course_id)
    row = _line_item(course_id, line_item_id)
    item = require_object()
    _check_line_item(lms, course, item)
    link = row["resource_link_id"] if row["coupled"] else item.get("resourceLinkId")
    lms.store.execute(
        "UPDATE line_item SET label = ?, score_maximum = ?, resource_id = ?, tag = ?, resource_link_id = ?,"
        " start_at = ?, end_at = ? WHERE id = ?",
        item["label"],
        float(item["scoreMaximum"]),
        item.get("resourceId"),
        item.get("tag"),
        link,
        item.get("startDateTime"),
        item.get("endDateTime"),
        row["id"],
    )
    return _answer(_describe(lms, course, _line_item(course_id, line_item_id)), LINE_ITEM)


@bp.delete("/course/<course_id>/lineitems/<line_item_id>/lineitem")
def delete_line_item(course_id: str, line_item_id: str) -> Response:
    """Remove a grade column with every grade in it."""
    require_scope(SCOPE_LINE_ITEM)
    _open_course(course_id)
    row = _line_item(course_id, line_item_id)
    current_lms().store.execute("DELETE FROM line_item WHERE id = ?", row["id"])
    return make_response("", 204)


@bp.post("/course/<course_id>/lineitems/<line_item_id>/lineitem/scores")
def receive_score(course_id: str, line_item_id: str) -> Response:
    """Take a score for one learner.

    **Source**: AGS 2.0 section 3.4.9; the refusals are those measured on Moodle 5.1.
    """
    lms = current_lms()
    require_scope(SCOPE_SCORE)
    require_content_type(SCORE)
    _open_course(course_id)
    item = _line_item(course_id, line_item_id)
    score = require_object()
    sent_at = _check_score(lms, score)
    _record_score(lms, item, score, int(sent_at.timestamp()))
    return make_response("", 200)


def _check_score(lms: Lms, score: dict[str, Any]) -> datetime:
    """Refuse a score that Moodle would refuse; return its time stamp.

    :raises HTTPException: 400 with what is wrong.
    """
    sent_at = _read_timestamp(score.get("timestamp"))
    if score.get("activityProgress") not in ACTIVITY_PROGRESS:
        raise refuse(400, f"activityProgress must be one of {', '.join(ACTIVITY_PROGRESS)}")
    if score.get("gradingProgress") not in GRADING_PROGRESS:
        raise refuse(400, f"gradingProgress must be one of {', '.join(GRADING_PROGRESS)}")
    if score.get("scoreGiven") is not None:
        if not _is_number(score["scoreGiven"]) or score["scoreGiven"] < 0:
            raise refuse(400, "scoreGiven must be a number of at least 0")
        if not _is_number(score.get("scoreMaximum")) or score["scoreMaximum"] <= 0:
            raise refuse(400, "scoreGiven needs a scoreMaximum above 0")
    if not isinstance(score.get("comment", ""), str):
        raise refuse(400, "comment must be text")
    if not isinstance(score.get("userId"), str):
        raise refuse(400, "userId is missing")
    person = lms.find_person(score["userId"])
    if person is None or person.role != "learner":
        raise refuse(400, "userId is not gradable in this course")
    return sent_at


def _read_timestamp(value: object) -> datetime:
    try:
        sent_at = datetime.fromisoformat(value) if isinstance(value, str) and "T" in value else None
    except ValueError:
        sent_at = None
    if sent_at is None or sent_at.tzinfo is None:
        raise refuse(400, "timestamp must be an ISO 8601 time with a zone")
    return sent_at


def _record_score(lms: Lms, item: sqlite3.Row, score: dict[str, Any], seconds: int) -> None:
    """Write a score that is newer, by whole seconds, than the one before.

    Anything but FullyGraded erases the grade. A score above its maximum is capped.

    :param seconds: the score's time stamp, Unix seconds.
    :raises HTTPException: 409 when it is not newer.

    **Touches**: writes result.
    """
    share = None
    if score["gradingProgress"] == "FullyGraded" and score.get("scoreGiven") is not None:
        share = min(score["scoreGiven"] / score["scoreMaximum"], 1.0)
    with lms.store.transaction(write=True) as db:
        before = db.execute(
            "SELECT timestamp_seconds, posts FROM result WHERE line_item_id = ? AND user_id = ?",
            (item["id"], score["userId"]),
        ).fetchone()
        if before is not None and before["timestamp_seconds"] >= seconds:
            raise refuse(409, "the timestamp is not newer, by whole seconds, than that of the last score")
        db.execute(
            "INSERT OR REPLACE INTO result VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                item["id"],
                score["userId"],
                share,
                score.get("comment"),
                score["activityProgress"],
                score["gradingProgress"],
                score["timestamp"],
                seconds,
                lms.now(),
                json.dumps(score),
                (before["posts"] if before else 0) + 1,
            ),
        )


@bp.get("/course/<course_id>/lineitems/<line_item_id>/lineitem/results")
def list_results(course_id: str, line_item_id: str) -> Response:
    """List the grades of a column, page by page; filter: user_id. Erased grades are left out.

    **Source**: AGS 2.0 section 3.3.
    """
    lms = current_lms()
    require_scope(SCOPE_RESULT_READ)
    require_accept(RESULTS)
    course = _open_course(course_id)
    item = _line_item(course_id, line_item_id)
    offset, limit = read_page_position(lms)
    rows = lms.store.rows(
        "SELECT * FROM result WHERE line_item_id = ? AND share IS NOT NULL ORDER BY CAST(user_id AS INTEGER)",
        item["id"],
    )
    if "user_id" in request.args:
        rows = [row for row in rows if row["user_id"] == request.args["user_id"]]
    url = line_item_url(lms, course, item["id"]).replace("/lineitem?", "/lineitem/results?")
    response = _answer([_result(url, item, row) for row in rows[offset : offset + limit]], RESULTS)
    link_next_page(response, lms, url, offset=offset, limit=limit, total=len(rows))
    return response


def _result(results_url: str, item: sqlite3.Row, row: sqlite3.Row) -> dict[str, Any]:
    own = f"{results_url}&user_id={row['user_id']}"
    result = {
        "id": own,
        "scoreOf": results_url.replace("/lineitem/results?", "/lineitem?"),
        "userId": row["user_id"],
        "resultScore": row["share"] * item["score_maximum"],
        "resultMaximum": item["score_maximum"],
        "timestamp": datetime.fromtimestamp(row["received_at"], UTC).isoformat(),
    }
    return result | ({"comment": row["comment"]} if row["comment"] else {})


def override_grade(lms: Lms, course_id: str, line_item_id: str, user_id: str, score: float | None) -> None:
    """Let a teacher give a grade by hand, in place of whatever a tool sent; None deletes the grade.

    :param score: on the scale of the column; more than its maximum counts as the maximum.

    **Touches**: writes result.
    """
    item = _line_item(course_id, line_item_id)
    share = None if score is None else min(score / item["score_maximum"], 1.0)
    with lms.store.transaction(write=True) as db:
        if share is None:
            db.execute("DELETE FROM result WHERE line_item_id = ? AND user_id = ?", (item["id"], user_id))
            return
        db.execute(
            "INSERT INTO result VALUES (?, ?, ?, NULL, 'Completed', 'FullyGraded', ?, 0, ?, ?, 0)"
            " ON CONFLICT (line_item_id, user_id) DO UPDATE SET share = excluded.share,"
            " timestamp = excluded.timestamp, received_at = excluded.received_at",
            (
                item["id"],
                user_id,
                share,
                datetime.fromtimestamp(lms.now(), UTC).isoformat(),
                lms.now(),
                json.dumps("Given by hand"),
            ),
        )


def delete_column(lms: Lms, course_id: str, line_item_id: str) -> None:
    """Let a teacher delete a column that belongs to no activity, with every grade in it.

    **Touches**: deletes from line_item, result.
    """
    item = _line_item(course_id, line_item_id)
    if item["coupled"]:
        raise refuse(400, "the column of an activity goes with its activity")
    lms.store.execute("DELETE FROM line_item WHERE id = ?", item["id"])


def is_completed(share: float | None, score_maximum: float, pass_mark: float | None) -> bool:
    """Say whether a grade completes its activity.

    :param share: grade as a part of the maximum, 0..1; None for no grade.
    :param pass_mark: on the scale of `score_maximum`; None when any grade completes.

    **Touches**: pure.
    """
    if share is None:
        return False
    return pass_mark is None or share * score_maximum >= pass_mark - 1e-9


def describe_columns(lms: Lms, course: LmsCourse) -> list[dict[str, Any]]:
    """Return every grade column of a course with what came in, for the pages and the state document.

    :return: per column its line item members, `line_item_id`, `coupled`, `pass_mark`, `score_posts` and
        `results` by user.

    **Touches**: reads line_item, activity, result.
    """
    columns = []
    items = lms.store.rows(
        "SELECT line_item.*, activity.pass_mark FROM line_item LEFT JOIN activity"
        " ON activity.id = CAST(line_item.resource_link_id AS INTEGER)"
        " WHERE line_item.course_id = ? ORDER BY line_item.id",
        course.course_id,
    )
    for item in items:
        results = [
            _describe_result(item, row)
            for row in lms.store.rows("SELECT * FROM result WHERE line_item_id = ?", item["id"])
        ]
        columns.append(
            _describe(lms, course, item)
            | {
                "line_item_id": item["id"],
                "coupled": bool(item["coupled"]),
                "pass_mark": item["pass_mark"],
                "score_posts": sum(result["posts"] for result in results),
                "results": {result["user_id"]: result for result in results},
            }
        )
    return columns


def _describe_result(item: sqlite3.Row, row: sqlite3.Row) -> dict[str, Any]:
    score = None if row["share"] is None else round(row["share"] * item["score_maximum"], 5)
    done = bool(item["coupled"]) and is_completed(row["share"], item["score_maximum"], item["pass_mark"])
    return {
        "user_id": row["user_id"],
        "score": score,
        "maximum": item["score_maximum"],
        "completed": done,
        "comment": row["comment"],
        "activity_progress": row["activity_progress"],
        "grading_progress": row["grading_progress"],
        "timestamp": row["timestamp"],
        "received_at": row["received_at"],
        "posts": row["posts"],
        "raw": json.loads(row["raw"]),
    }
