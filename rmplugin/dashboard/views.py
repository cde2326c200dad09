"""Pages that join capabilities."""

import flask

from rmplugin import web
from rmplugin.web import Role, Visit

pages = web.Pages("dashboard", __name__)


@pages.get("/home", role=Role.VISITOR)
def home(visit: Visit) -> web.Answer:
    """Show what to do next."""
    return first_page(visit)


def first_page(visit: Visit) -> web.Answer:
    return web.render("message.html", visit, title="Home", text="")


@pages.get("/manage", role=Role.MANAGER)
def desk(visit: Visit) -> web.Answer:
    """Show the manager's desk."""
    return web.render("message.html", visit, title="Desk", text="")


@pages.get("/help", role=Role.VISITOR)
def help_page(visit: Visit) -> web.Answer:
    """Show help."""
    return web.render("message.html", visit, title="Help", text="")


@pages.get("/entry/<code>", role=Role.PUBLIC)
def entry(code: str) -> web.Answer:
    """Exchange the one-time code for a session and show the first page in the same answer.

    No redirect follows: in a frame without cookies the next request could not say who it is.
    """
    runtime = web.get_runtime()
    if flask.request.method == "HEAD":
        return ""
    now = runtime.clock()
    with runtime.database.transaction(None) as db:
        session, token = web.take_entry(db, code, now)
        db.info["tenant_id"] = session.tenant_id
        visit = web.Visit(db, now, session, token, runtime)
        flask.g.visit = visit
        response = flask.make_response(first_page(visit))
    web.set_session_cookie(response, token)
    return response
