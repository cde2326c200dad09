"""Pages of checkins."""

from rmplugin import web

pages = web.Pages("checkins", __name__)
