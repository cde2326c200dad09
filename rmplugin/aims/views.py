"""Pages of aims."""

from rmplugin import web

pages = web.Pages("aims", __name__)
