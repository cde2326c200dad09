"""Copies of courses, as an LMS makes them for the next year: what was copied, and from what."""

import sqlite3
from dataclasses import replace
from itertools import count
from typing import Literal
from urllib.parse import quote

from rmplugin.demo.lms_context import Lms
from rmplugin.demo.lms_settings import LmsCourse

# Courses of the settings have smaller numbers, so that one added there later takes no copy's place.
FIRST_ID = 1001


def copy_course(lms: Lms, original: LmsCourse) -> LmsCourse:
    """Make a new course with the activities of another; people and grades stay where they are.

    :return: the copy; its activities have new ids, and columns of their own where the originals have them.

    **Touches**: writes course, activity, line_item, copied_from.
    """
    with lms.store.transaction(write=True) as db:
        taken = {course.course_id for course in lms.settings.courses}
        taken |= {row["id"] for row in db.execute("SELECT id FROM course")}
        course_id = next(str(number) for number in count(FIRST_ID) if str(number) not in taken)
        copy = replace(
            original,
            course_id=course_id,
            label=f"{original.label}-{course_id}",
            title=f"{original.title} (copy)",
            activities=(),
        )
        db.execute(
            "INSERT INTO course (id, label, title, deployment_id, storage_frame) VALUES (?, ?, ?, ?, ?)",
            (copy.course_id, copy.label, copy.title, copy.deployment_id, copy.storage_frame),
        )
        _remember(db, "course", course_id, original.course_id)
        rows = db.execute("SELECT id FROM activity WHERE course_id = ? ORDER BY id", (original.course_id,))
        for row in rows.fetchall():
            _copy_activity(db, row["id"], course_id)
    return copy


def _copy_activity(db: sqlite3.Connection, original_id: int, course_id: str) -> None:
    made = db.execute(
        "INSERT INTO activity (course_id, title, description, url, custom, pass_mark, made_by)"
        " SELECT ?, title, description, url, custom, pass_mark, 'course copy' FROM activity WHERE id = ?",
        (course_id, original_id),
    )
    activity_id = str(made.lastrowid)
    db.execute(
        "INSERT INTO line_item (course_id, label, score_maximum, resource_id, tag, resource_link_id,"
        " start_at, end_at, coupled) SELECT ?, label, score_maximum, resource_id, tag, ?, start_at, end_at, 1"
        " FROM line_item WHERE resource_link_id = ? AND coupled = 1",
        (course_id, activity_id, str(original_id)),
    )
    _remember(db, "activity", activity_id, str(original_id))


def _remember(db: sqlite3.Connection, kind: str, copy_id: str, original_id: str) -> None:
    db.execute(
        "INSERT INTO copied_from (kind, id, original_id) VALUES (?, ?, ?)", (kind, copy_id, original_id)
    )


def describe_history(lms: Lms, kind: Literal["course", "activity"], copy_id: str) -> str:
    """List the ids that a course or activity was copied from, as the `history` variables give them.

    :return: URL-encoded ids with commas between them, the newest first; empty for an original.

    **Source**: LTI Core 1.3 appendix F, `Context.id.history` and `ResourceLink.id.history`.
    **Touches**: reads copied_from.
    """
    rows = lms.store.rows(
        "WITH RECURSIVE past (id, steps) AS (SELECT ?, 0 UNION ALL SELECT original_id, steps + 1"
        " FROM copied_from JOIN past ON copied_from.id = past.id WHERE kind = ?)"
        " SELECT id FROM past WHERE steps > 0 ORDER BY steps",
        copy_id,
        kind,
    )
    return ",".join(quote(row["id"], safe="") for row in rows)
