"""What is asked for in a message."""

import marshmallow as ma
from marshmallow import validate

from rmplugin.fields import words

LONGEST = 4000


class MessageForm(ma.Schema):
    """A message: plain text."""

    body = words(LONGEST)


class PageQuery(ma.Schema):
    """Which page of the thread, 1 for the newest messages."""

    page = ma.fields.Integer(load_default=1, validate=validate.Range(1, 100_000))
