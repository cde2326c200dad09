"""The running practice LMS: settings, store and keys in one object, and who is signed in."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import jwt
from flask import abort, current_app, session

from rmplugin.demo.lms_keys import SigningKey, ToolKeys, load_secret
from rmplugin.demo.lms_settings import LmsCourse, LmsPerson, LmsSettings
from rmplugin.demo.lms_store import Store, insert_activity, insert_line_item

EXTENSION = "practice_lms"
TOOL_CONFIGURATION = "https://purl.imsglobal.org/spec/lti-tool-configuration"


@dataclass(frozen=True, slots=True)
class LmsTool:
    """A tool that may be launched: the one of the settings, or one that registered itself and was activated.

    :param custom: parameters of every launch; values that start with "$" are substituted.
    """

    client_id: str
    deployment_id: str
    login_url: str
    redirect_uris: tuple[str, ...]
    keys: ToolKeys
    custom: Mapping[str, str] = field(default_factory=dict)


class Lms:
    """Everything that the pages and services of one practice LMS share."""

    def __init__(self, settings: LmsSettings) -> None:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.store = Store(settings.data_dir / "practice_lms.sqlite")
        self.key = SigningKey(settings.data_dir / "practice_lms_key.pem")
        self.secret = load_secret(settings.data_dir / "practice_lms_secret.txt")
        self.tool_keys = ToolKeys(settings.tool_jwks)
        own = settings
        self._tool = LmsTool(
            own.client_id, own.deployment_id, own.tool_login_url, own.tool_redirect_uris, self.tool_keys
        )
        self._keys: dict[str, ToolKeys] = {}
        self._people = {person.user_id: person for person in settings.people}
        self._add_first_activities()

    def now(self) -> float:
        """Unix seconds by the clock of the settings."""
        return self.settings.clock()

    def find_person(self, user_id: object) -> LmsPerson | None:
        """Return the person with that user id, None when there is none or the account is suspended."""
        person = self._people.get(str(user_id))
        if person is None:
            return None
        row = self.store.row("SELECT active FROM account WHERE user_id = ?", person.user_id)
        return person if (row["active"] if row else person.active) else None

    def find_course(self, course_id: str) -> LmsCourse | None:
        """Return the course with that id or None."""
        return next((course for course in self.courses() if course.course_id == course_id), None)

    def courses(self) -> list[LmsCourse]:
        """Return every course: those of the settings, then the copies made here, oldest first."""
        copies = self.store.rows("SELECT * FROM course ORDER BY rowid")
        return [
            *self.settings.courses,
            *(
                LmsCourse(
                    course_id=row["id"],
                    label=row["label"],
                    title=row["title"],
                    deployment_id=row["deployment_id"],
                    storage_frame=row["storage_frame"],
                )
                for row in copies
            ),
        ]

    def members(self) -> list[LmsPerson]:
        """Return everybody whose account is active, in the order of their ids."""
        return [person for person, active, _changed_at in self.accounts() if active]

    def accounts(self) -> list[tuple[LmsPerson, bool, float]]:
        """Return everybody by id: person, active, Unix seconds of the last change or 0."""
        changed = {row["user_id"]: row for row in self.store.rows("SELECT * FROM account")}
        people = sorted(self._people.values(), key=lambda person: int(person.user_id))
        return [
            (person, bool(row["active"]), row["changed_at"])
            if (row := changed.get(person.user_id))
            else (person, person.active, 0.0)
            for person in people
        ]

    def set_active(self, user_id: str, *, active: bool) -> bool:
        """Suspend an account or open it again; False when there is none.

        **Touches**: writes account.
        """
        known = user_id in self._people
        if known:
            values = (user_id, int(active), self.now())
            self.store.execute("INSERT OR REPLACE INTO account VALUES (?, ?, ?)", *values)
        return known

    def find_tool(self, client_id: object) -> LmsTool | None:
        """Return the tool of that client id; None when there is none or it waits for its activation."""
        if client_id == self._tool.client_id:
            return self._tool
        found = self.store.row("SELECT * FROM tool WHERE client_id = ? AND active = 1", str(client_id))
        return self._registered(found) if found is not None else None

    def tool_of(self, activity_id: object) -> LmsTool | None:
        """Return the tool that an activity opens; None when it waits for its activation."""
        found = self.store.row(
            "SELECT tool.* FROM tool JOIN tool_activity ON tool_id = tool.id WHERE activity_id = ?",
            activity_id,
        )
        if found is None:
            return self._tool
        return self._registered(found) if found["active"] else None

    def _registered(self, row: sqlite3.Row) -> LmsTool:
        document = json.loads(row["document"])
        keys = self._keys.setdefault(document["jwks_uri"], ToolKeys(document["jwks_uri"]))
        return LmsTool(
            row["client_id"],
            deployment_id_of(row),
            document["initiate_login_uri"],
            tuple(document["redirect_uris"]),
            keys,
            document[TOOL_CONFIGURATION].get("custom_parameters") or {},
        )

    def seal(self, claims: dict[str, Any], *, seconds: float) -> str:
        """Sign a short text that only this LMS can make, such as a hint or a page token."""
        return jwt.encode({**claims, "until": self.now() + seconds}, self.secret, algorithm="HS256")

    def unseal(self, sealed: str) -> dict[str, Any] | None:
        """Read what `seal` made; None when it was altered, made elsewhere, or is too old."""
        try:
            claims: dict[str, Any] = jwt.decode(sealed, self.secret, algorithms=["HS256"])
        except jwt.PyJWTError:
            return None
        return claims if claims.get("until", 0) >= self.now() else None

    def _add_first_activities(self) -> None:
        with self.store.transaction(write=True) as db:
            for course in self.settings.courses:
                seen = db.execute("SELECT 1 FROM activity WHERE course_id = ?", (course.course_id,))
                if seen.fetchone() is None:
                    self._add_activities_of(db, course)

    def _add_activities_of(self, db: sqlite3.Connection, course: LmsCourse) -> None:
        for activity in course.activities:
            activity_id = insert_activity(
                db,
                course_id=course.course_id,
                title=activity.title,
                description=activity.description,
                url=self.settings.tool_target,
                custom=activity.custom,
                pass_mark=activity.pass_mark,
                made_by="set-up",
            )
            if activity.score_maximum is not None:
                item = {
                    "label": activity.title,
                    "scoreMaximum": activity.score_maximum,
                    "resourceLinkId": activity_id,
                }
                insert_line_item(db, course_id=course.course_id, item=item, coupled=True)


def deployment_id_of(row: sqlite3.Row) -> str:
    """Give the deployment of a registered tool: like Moodle's, the number of its type."""
    return str(100 + int(row["id"]))


def current_lms() -> Lms:
    """Return the practice LMS that serves this request."""
    return cast("Lms", current_app.extensions[EXTENSION])


def find_signed_in() -> LmsPerson | None:
    """Return who is signed in by the session cookie, None for nobody."""
    user_id = session.get("user_id")
    return current_lms().find_person(user_id) if user_id else None


def get_course(course_id: str) -> LmsCourse:
    """Return a course or answer 404."""
    return current_lms().find_course(course_id) or abort(404)


def get_reviewed(course_id: str, line_item_id: str, user_id: str) -> tuple[sqlite3.Row, LmsPerson]:
    """Return the activity of a grade column and the learner whose work is reviewed.

    Answers 401 when nobody is signed in, 403 to learners, 404 when the column belongs to no activity or
    the other is no learner.
    """
    if (find_signed_in() or abort(401)).role != "instructor":
        abort(403)
    lms = current_lms()
    column = lms.store.row(
        "SELECT resource_link_id FROM line_item WHERE id = ? AND course_id = ?", line_item_id, course_id
    )
    learner = lms.find_person(user_id)
    if column is None or learner is None or learner.role != "learner":
        abort(404)
    return get_activity(course_id, column["resource_link_id"]), learner


def get_activity(course_id: str, activity_id: str) -> sqlite3.Row:
    """Return the row of an activity of that course or answer 404."""
    found = current_lms().store.row(
        "SELECT * FROM activity WHERE id = ? AND course_id = ?", activity_id, course_id
    )
    return found or abort(404)
