"""The page on which a person gives the address of their calendar."""

from rmplugin import web
from rmplugin.freebusy import operations, queries
from rmplugin.freebusy.forms import CalendarForm
from rmplugin.people.queries import zone_of
from rmplugin.web import Role, Visit

pages = web.Pages("freebusy", __name__)


@pages.get("/free-busy", role=Role.PARTICIPANT)
def calendar_page(visit: Visit) -> web.Answer:
    """Show whether a calendar is read, and the form for its address; the address itself is never shown."""
    return web.render(
        "freebusy/calendar.html",
        visit,
        calendar=queries.find_calendar(visit.db, visit.person_id),
        zone=zone_of(visit.db, visit.person_id),
    )


@pages.post("/free-busy", role=Role.PARTICIPANT, on_input_error=calendar_page)
def keep(visit: Visit) -> web.Answer:
    """Keep the address of a calendar."""
    url = web.load_form(CalendarForm())["url"]
    operations.keep_calendar(visit.db, visit.runtime.database.secrets, visit.person_id, url, visit.now)
    said = "The address is kept. Your busy times are read within a minute or two."
    return web.go("freebusy.calendar_page", said=said)


@pages.post("/free-busy/forget", role=Role.PARTICIPANT)
def forget(visit: Visit) -> web.Answer:
    """Forget the calendar."""
    operations.forget_calendar(visit.db, visit.person_id)
    return web.go(
        "freebusy.calendar_page", said="Your calendar is forgotten, with all that was read from it."
    )
