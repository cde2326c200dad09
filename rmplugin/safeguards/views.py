"""Pages of safeguards."""

from rmplugin import web

pages = web.Pages("safeguards", __name__)
