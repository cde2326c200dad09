"""Pages of sessions."""

from rmplugin import web

pages = web.Pages("sessions", __name__)
