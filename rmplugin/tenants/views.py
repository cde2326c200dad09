"""The administrator's pages: the company's learning platforms."""

from rmplugin import web
from rmplugin.tenants import queries
from rmplugin.web import Role, Visit

pages = web.Pages("tenants", __name__)


@pages.get("/admin", role=Role.ADMINISTRATOR)
def platforms(visit: Visit) -> web.Answer:
    """List the registered learning platforms and the deployments that wait for approval."""
    rows = [(row, queries.list_deployments(visit.db, row.id)) for row in queries.list_platforms(visit.db)]
    return web.render("tenants/platforms.html", visit, rows=rows)
