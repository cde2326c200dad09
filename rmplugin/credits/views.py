"""Pages of credits."""

from rmplugin import web

pages = web.Pages("credits", __name__)
