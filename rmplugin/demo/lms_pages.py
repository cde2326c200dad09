"""Pages that people click: who to be, the course, an activity in its frame, participants, gradebook."""

import json
import secrets
from collections.abc import Container, Iterable
from datetime import UTC, datetime

from flask import (
    Blueprint,
    Response,
    abort,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from rmplugin.demo.lms_context import (
    current_lms,
    find_signed_in,
    get_activity,
    get_course,
    get_reviewed,
)
from rmplugin.demo.lms_copies import copy_course
from rmplugin.demo.lms_grades import delete_column, describe_columns, override_grade
from rmplugin.demo.lms_settings import LmsPerson

SHOWN_FIRST = 8

bp = Blueprint("pages", __name__)


@bp.before_request
def refuse_foreign_posts() -> None:
    """Refuse a form that another site sent; a client without an `Origin` header is no browser."""
    origin = request.headers.get("Origin")
    own = {request.host_url.rstrip("/"), current_lms().settings.issuer}
    if request.method == "POST" and origin is not None and origin not in own:
        abort(403)


@bp.app_context_processor
def add_common_values() -> dict[str, object]:
    """Give every page the site's name, the person and the outage banner."""
    lms = current_lms()
    return {"site": lms.settings, "me": find_signed_in(), "outage": read_outage(), "show_time": show_time}


def show_time(seconds: float | None) -> str:
    """Write Unix seconds as UTC time for people; empty for None."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %b %Y, %H:%M:%S UTC") if seconds else ""


@bp.get("/")
def home() -> str:
    """Ask who to be: everybody by group, with a search."""
    lms = current_lms()
    words = request.args.get("q", "").casefold().split()
    active = {person.user_id for person in lms.members()}
    groups: dict[str, list[LmsPerson]] = {}
    found = 0
    for person in lms.settings.people:
        text = f"{person.name} {person.about} {person.email or ''} {person.employee_number or ''}".casefold()
        if person.user_id in active and all(word in text for word in words):
            groups.setdefault(person.group, []).append(person)
            found += 1
    return render_template(
        "lms/home.html",
        groups=groups,
        courses=lms.settings.courses,
        query=request.args.get("q", ""),
        found=found,
        first=SHOWN_FIRST,
    )


@bp.post("/login")
def log_in() -> AnyResponse:
    """Become the chosen person and go to the first course. There are no passwords here."""
    lms = current_lms()
    person = lms.find_person(request.form.get("user_id", "")) or abort(400)
    session.clear()
    session["user_id"] = person.user_id
    session["sid"] = secrets.token_urlsafe(8)
    return redirect(url_for("pages.course", course_id=lms.settings.courses[0].course_id), 303)


@bp.post("/logout")
def log_out() -> AnyResponse:
    """Forget who was signed in."""
    session.clear()
    return redirect(url_for("pages.home"), 303)


@bp.get("/course/<course_id>")
def course(course_id: str) -> str | AnyResponse:
    """Show the course's activities, each with the grade of the person who looks."""
    person = find_signed_in()
    if person is None:
        return redirect(url_for("pages.home"))
    lms = current_lms()
    found = get_course(course_id)
    activities = lms.store.rows("SELECT * FROM activity WHERE course_id = ? ORDER BY id", course_id)
    own = {
        column.get("resourceLinkId"): column["results"].get(person.user_id)
        for column in describe_columns(lms, found)
        if column["coupled"]
    }
    others = [other for other in lms.courses() if other.course_id != course_id]
    return render_template("lms/course.html", course=found, activities=activities, own=own, others=others)


@bp.post("/course/<course_id>/copy")
def copy(course_id: str) -> AnyResponse:
    """Copy a course with its activities and go to the copy; instructors only."""
    if (find_signed_in() or abort(401)).role != "instructor":
        abort(403)
    made = copy_course(current_lms(), get_course(course_id))
    return redirect(url_for("pages.course", course_id=made.course_id), 303)


@bp.get("/course/<course_id>/activity/<activity_id>")
def activity(course_id: str, activity_id: str) -> str | AnyResponse:
    """Show one activity: the tool in a frame."""
    if find_signed_in() is None:
        return redirect(url_for("pages.home"))
    found = get_course(course_id)
    row = get_activity(course_id, activity_id)
    source = url_for("oidc.launch", course_id=course_id, activity_id=row["id"])
    return render_template("lms/activity.html", course=found, title=row["title"], source=source)


@bp.get("/course/<course_id>/storage")
def storage(course_id: str) -> str:
    """Be the named frame that holds a course's platform storage."""
    frame = get_course(course_id).storage_frame
    if frame in (None, "_parent"):
        abort(404)
    return render_template("lms/storage.html", frame=frame)


@bp.get("/course/<course_id>/add")
def add(course_id: str) -> str | AnyResponse:
    """Let an instructor choose activities inside the tool."""
    person = find_signed_in()
    if person is None:
        return redirect(url_for("pages.home"))
    if person.role != "instructor":
        abort(403)
    found = get_course(course_id)
    source = url_for("oidc.launch_deep_link", course_id=course_id)
    return render_template("lms/activity.html", course=found, title="Add an activity", source=source)


@bp.get("/course/<course_id>/roster")
def roster(course_id: str) -> str | AnyResponse:
    """Show the participants; e-mail addresses and numbers to instructors only."""
    person = find_signed_in()
    if person is None:
        return redirect(url_for("pages.home"))
    sees_all = person.role == "instructor"
    accounts = [(p, active) for p, active, _changed_at in current_lms().accounts() if active or sees_all]
    return render_template("lms/roster.html", course=get_course(course_id), accounts=accounts)


@bp.post("/course/<course_id>/roster/<user_id>")
def switch_account(course_id: str, user_id: str) -> AnyResponse:
    """Suspend another one's account or open it again; field `active` (yes, no). For instructors."""
    person = find_signed_in()
    if person is None or person.role != "instructor" or person.user_id == user_id:
        abort(403)
    if not current_lms().set_active(user_id, active=request.form.get("active") == "yes"):
        abort(404)
    return redirect(url_for("pages.roster", course_id=get_course(course_id).course_id), 303)


@bp.get("/course/<course_id>/grades")
def grades(course_id: str) -> str | AnyResponse:
    """Show the gradebook: everybody to an instructor, the own row to a learner."""
    person = find_signed_in()
    if person is None:
        return redirect(url_for("pages.home"))
    lms = current_lms()
    found = get_course(course_id)
    sees_all = person.role == "instructor"
    learners = [p for p in lms.members() if p.role == "learner"] if sees_all else [person]
    columns = describe_columns(lms, found)
    return render_template(
        "lms/grades.html", course=found, learners=learners, columns=columns, dump=_dump, in_order=_in_order
    )


@bp.post("/course/<course_id>/column/<line_item_id>/grade/<user_id>")
def give_grade(course_id: str, line_item_id: str, user_id: str) -> AnyResponse:
    """Give a learner a grade by hand; field `score`, empty to delete the grade. For instructors."""
    if (find_signed_in() or abort(401)).role != "instructor":
        abort(403)
    typed = request.form.get("score", "").strip()
    if typed and not typed.replace(".", "", 1).isdecimal():
        abort(400)
    score = float(typed) if typed else None
    lms, found = current_lms(), get_course(course_id)
    learner = lms.find_person(user_id) or abort(404)
    override_grade(lms, found.course_id, line_item_id, learner.user_id, score)
    return redirect(url_for("pages.grades", course_id=found.course_id), 303)


@bp.post("/course/<course_id>/column/<line_item_id>/delete")
def drop_column(course_id: str, line_item_id: str) -> AnyResponse:
    """Delete a column of its own with all grades. For instructors."""
    if (find_signed_in() or abort(401)).role != "instructor":
        abort(403)
    found = get_course(course_id)
    delete_column(current_lms(), found.course_id, line_item_id)
    return redirect(url_for("pages.grades", course_id=found.course_id), 303)


@bp.get("/course/<course_id>/column/<line_item_id>/review/<user_id>")
def review(course_id: str, line_item_id: str, user_id: str) -> str | AnyResponse:
    """Show an instructor one learner's work: the tool in a frame."""
    if find_signed_in() is None:
        return redirect(url_for("pages.home"))
    found = get_course(course_id)
    row, learner = get_reviewed(course_id, line_item_id, user_id)
    source = url_for(
        "oidc.launch_review", course_id=course_id, line_item_id=line_item_id, user_id=learner.user_id
    )
    title = f"{row['title']}: {learner.name}"
    return render_template("lms/activity.html", course=found, title=title, source=source)


def _in_order(learners: Iterable[LmsPerson], results: Container[str]) -> list[LmsPerson]:
    """Sort by family name, those of whom something came in first."""
    return sorted(learners, key=lambda person: (person.user_id not in results, person.family_name))


def _dump(raw: object) -> str:
    return json.dumps(raw, indent=2, ensure_ascii=False)


def read_outage() -> dict[str, object] | None:
    """Return the outage that is on, or None.

    :return: mode ("500", "503", "down"), services ("all", "token", "roster", "grades"), until (Unix seconds).

    **Touches**: reads outage.
    """
    lms = current_lms()
    row = lms.store.row("SELECT mode, services, until FROM outage WHERE until > ?", lms.now())
    return dict(row) if row else None


@bp.get("/practice")
def practice() -> str:
    """Show what the services received, and the switch that makes them fail."""
    lms = current_lms()
    calls = lms.store.rows("SELECT * FROM service_call ORDER BY id DESC LIMIT 100")
    return render_template("lms/practice.html", calls=calls)


@bp.post("/practice/outage")
def switch_outage() -> AnyResponse:
    """Make services fail for a while; fields `mode` (500, 503, down, off), `seconds`, `services`."""
    lms = current_lms()
    mode = request.form.get("mode", "off")
    services = request.form.get("services", "all")
    seconds = request.form.get("seconds", "60")
    known = mode in ("500", "503", "down", "off") and services in ("all", "token", "roster", "grades")
    if not known or not seconds.isdecimal():
        abort(400)
    with lms.store.transaction(write=True) as db:
        db.execute("DELETE FROM outage")
        if mode != "off":
            until = lms.now() + int(seconds)
            db.execute("INSERT INTO outage VALUES (1, ?, ?, ?)", (mode, services, until))
    return redirect(url_for("pages.practice"), 303)


@bp.post("/practice/key")
def rotate_key() -> AnyResponse:
    """Sign with a new key from now on, and publish the old one no longer."""
    current_lms().key.rotate()
    return redirect(url_for("pages.practice"), 303)


@bp.get("/practice/state")
def state() -> Response:
    """Describe everything that tests ask for, as JSON: activities, columns, scores, calls."""
    lms = current_lms()
    courses = []
    for found in lms.courses():
        rows = lms.store.rows("SELECT * FROM activity WHERE course_id = ? ORDER BY id", found.course_id)
        columns = describe_columns(lms, found)
        courses.append(
            {
                "id": found.course_id,
                "activities": [{**dict(row), "id": str(row["id"])} for row in rows],
                "line_items": columns,
                "score_posts": sum(column["score_posts"] for column in columns),
            }
        )
    calls = lms.store.rows(
        "SELECT what, status, reason, COUNT(*) AS times FROM service_call GROUP BY 1, 2, 3"
    )
    launches = lms.store.rows("SELECT COUNT(*) AS n FROM launch")[0]["n"]
    body = {
        "courses": courses,
        "calls": [dict(row) for row in calls],
        "launches": launches,
        "outage": read_outage(),
    }
    response = make_response(json.dumps(body))
    response.headers["Content-Type"] = "application/json"
    return response
