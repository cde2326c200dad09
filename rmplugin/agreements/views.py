"""Pages of agreements."""

from rmplugin import web

pages = web.Pages("agreements", __name__)
