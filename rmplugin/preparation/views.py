"""Pages of the preparation."""

from rmplugin import web

pages = web.Pages("preparation", __name__)
