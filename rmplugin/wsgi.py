"""For WSGI servers: `gunicorn "rmplugin.wsgi:make_app()"`."""

from flask import Flask

from rmplugin.app import create_app
from rmplugin.settings import read_settings


def make_app() -> Flask:
    """Make the app from the process's settings.

    :raises ConfigError: what is missing or wrong.
    **Touches** what `create_app` touches.
    """
    return create_app(read_settings())
