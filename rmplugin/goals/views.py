"""Pages of goals."""

from rmplugin import web

pages = web.Pages("goals", __name__)
