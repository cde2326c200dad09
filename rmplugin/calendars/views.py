"""The page about one's own feed, and the feed."""

import flask

from rmplugin import web
from rmplugin.calendars import operations, queries, tasks
from rmplugin.errors import NotFoundError
from rmplugin.web import Role, Visit

pages = web.Pages("calendars", __name__)


@pages.get("/calendar", role=Role.PARTICIPANT)
def calendar(visit: Visit) -> web.Answer:
    """Say what a feed is, and whether there is one."""
    return _page(visit)


@pages.post("/calendar", role=Role.PARTICIPANT)
def make(visit: Visit) -> web.Answer:
    """Make a feed, or a new address for it; the address is shown here and never again."""
    token = operations.make_feed(visit.db, visit.person_id, visit.actor, visit.now)
    return _page(visit, f"{visit.runtime.settings.public_url}/calendar/{token}.ics")


@pages.post("/calendar/revoke", role=Role.PARTICIPANT)
def revoke(visit: Visit) -> web.Answer:
    """Make the address worthless."""
    operations.revoke_feed(visit.db, visit.person_id, visit.actor, visit.now)
    return web.go("calendars.calendar", "The address does nothing any more.")


@pages.get("/calendar/<token>.ics", role=Role.PUBLIC)
def feed(token: str) -> web.Answer:
    """Give a calendar program the sessions of whoever the address belongs to."""
    document = tasks.read_feed(web.get_runtime(), token)
    if document is None:
        raise NotFoundError("calendar")
    return flask.Response(document, mimetype="text/calendar")


def _page(visit: Visit, address: str | None = None) -> web.Answer:
    found = queries.find_feed(visit.db, visit.person_id)
    return web.render("calendars/calendar.html", visit, feed=found, address=address, current="/notifications")
