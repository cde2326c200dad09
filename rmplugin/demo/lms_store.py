"""SQLite file of the practice LMS: copied courses, activities, launches, tokens, grade columns, scores."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS course (
  id TEXT PRIMARY KEY, label TEXT NOT NULL, title TEXT NOT NULL, deployment_id TEXT, storage_frame TEXT);
CREATE TABLE IF NOT EXISTS copied_from (
  kind TEXT NOT NULL, id TEXT NOT NULL, original_id TEXT NOT NULL, PRIMARY KEY (kind, id));
CREATE TABLE IF NOT EXISTS activity (
  id INTEGER PRIMARY KEY AUTOINCREMENT, course_id TEXT NOT NULL, title TEXT NOT NULL,
  description TEXT NOT NULL, url TEXT NOT NULL, custom TEXT NOT NULL, pass_mark REAL, made_by TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS line_item (
  id INTEGER PRIMARY KEY AUTOINCREMENT, course_id TEXT NOT NULL, label TEXT NOT NULL,
  score_maximum REAL NOT NULL, resource_id TEXT, tag TEXT, resource_link_id TEXT,
  start_at TEXT, end_at TEXT, coupled INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS result (
  line_item_id INTEGER NOT NULL REFERENCES line_item (id) ON DELETE CASCADE, user_id TEXT NOT NULL,
  share REAL, comment TEXT, activity_progress TEXT NOT NULL, grading_progress TEXT NOT NULL,
  timestamp TEXT NOT NULL, timestamp_seconds INTEGER NOT NULL, received_at REAL NOT NULL,
  raw TEXT NOT NULL, posts INTEGER NOT NULL, PRIMARY KEY (line_item_id, user_id));
CREATE TABLE IF NOT EXISTS service_call (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, what TEXT NOT NULL, status INTEGER NOT NULL,
  reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS launch (
  id TEXT PRIMARY KEY, user_id TEXT NOT NULL, course_id TEXT NOT NULL, activity_id INTEGER,
  deep_link_id TEXT, document_target TEXT NOT NULL, created_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS review (
  launch_id TEXT PRIMARY KEY REFERENCES launch (id), user_id TEXT NOT NULL, line_item_id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS deep_link (
  id TEXT PRIMARY KEY, user_id TEXT NOT NULL, course_id TEXT NOT NULL,
  created_at REAL NOT NULL, used_at REAL);
CREATE TABLE IF NOT EXISTS access_token (
  digest TEXT PRIMARY KEY, scopes TEXT NOT NULL, expires_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS used_once (
  kind TEXT NOT NULL, value TEXT NOT NULL, expires_at REAL NOT NULL, PRIMARY KEY (kind, value));
CREATE TABLE IF NOT EXISTS account (
  user_id TEXT PRIMARY KEY, active INTEGER NOT NULL, changed_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS tool (
  id INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT NOT NULL UNIQUE, active INTEGER NOT NULL,
  document TEXT NOT NULL, registered_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS tool_activity (
  activity_id INTEGER PRIMARY KEY, tool_id INTEGER NOT NULL REFERENCES tool (id) ON DELETE CASCADE);
CREATE TABLE IF NOT EXISTS outage (
  id INTEGER PRIMARY KEY CHECK (id = 1), mode TEXT NOT NULL, services TEXT NOT NULL, until REAL NOT NULL);
"""


class Store:
    """One SQLite file in WAL mode for any number of threads: each transaction has its own connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self.transaction() as db:
            db.execute("PRAGMA journal_mode = WAL")
        with self.transaction() as db:
            for statement in SCHEMA.split(";\n"):
                db.execute(statement)

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """Give a connection; commit at the end, roll back when an error leaves the block.

        :param write: take the write lock at once, so that what is read stays true until the commit.

        **Touches**: the SQLite file.
        """
        db = sqlite3.connect(self._path, timeout=15, isolation_level=None)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA synchronous = NORMAL")
        try:
            if write:
                db.execute("BEGIN IMMEDIATE")
            yield db
            if db.in_transaction:
                db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        finally:
            db.close()

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Read rows in a transaction of their own."""
        with self.transaction() as db:
            return db.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """Read one row or None in a transaction of its own."""
        found = self.rows(sql, *values)
        return found[0] if found else None

    def execute(self, sql: str, *values: Any) -> int:
        """Run one writing statement in a transaction of its own; return the number of rows touched."""
        with self.transaction(write=True) as db:
            return db.execute(sql, values).rowcount

    def take_once(self, kind: str, value: str, *, expires_at: float, now: float) -> bool:
        """Say whether a value is seen for the first time, and remember it until `expires_at`.

        :param kind: what it is, such as "jti"; values of different kinds do not collide.

        **Touches**: writes used_once.
        """
        with self.transaction(write=True) as db:
            db.execute("DELETE FROM used_once WHERE expires_at < ?", (now,))
            made = db.execute("INSERT OR IGNORE INTO used_once VALUES (?, ?, ?)", (kind, value, expires_at))
            return made.rowcount == 1

    def note_call(self, what: str, status: int, reason: str, *, now: float) -> None:
        """Remember a call of a service for the page that shows what happened; keeps the newest 1000."""
        with self.transaction(write=True) as db:
            cursor = db.execute(
                "INSERT INTO service_call (at, what, status, reason) VALUES (?, ?, ?, ?)",
                (now, what, status, reason),
            )
            db.execute("DELETE FROM service_call WHERE id <= ?", ((cursor.lastrowid or 0) - 1000,))


def insert_activity(
    db: sqlite3.Connection,
    *,
    course_id: str,
    title: str,
    description: str,
    url: str,
    custom: Mapping[str, str],
    pass_mark: float | None,
    made_by: str,
) -> str:
    """Add an activity to a course and return its id (a number as text).

    **Touches**: writes activity.
    """
    cursor = db.execute(
        "INSERT INTO activity (course_id, title, description, url, custom, pass_mark, made_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (course_id, title, description, url, json.dumps(dict(custom)), pass_mark, made_by),
    )
    return str(cursor.lastrowid)


def insert_line_item(
    db: sqlite3.Connection, *, course_id: str, item: Mapping[str, Any], coupled: bool
) -> str:
    """Add a grade column and return its id (a number as text). A second equal one is added without a word.

    :param item: an AGS line item: label, scoreMaximum and the optional members.
    :param coupled: True for the link's own column, the only one that drives completion.

    **Touches**: writes line_item.
    """
    cursor = db.execute(
        "INSERT INTO line_item (course_id, label, score_maximum, resource_id, tag, resource_link_id,"
        " start_at, end_at, coupled) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            course_id,
            item["label"],
            float(item["scoreMaximum"]),
            item.get("resourceId"),
            item.get("tag"),
            item.get("resourceLinkId"),
            item.get("startDateTime"),
            item.get("endDateTime"),
            int(coupled),
        ),
    )
    return str(cursor.lastrowid)
