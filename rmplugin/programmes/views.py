"""Pages of programmes."""

from rmplugin import web

pages = web.Pages("programmes", __name__)
