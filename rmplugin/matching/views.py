"""Pages of matching."""

from rmplugin import web

pages = web.Pages("matching", __name__)
