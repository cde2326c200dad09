"""What is asked for in notes and action items."""

import marshmallow as ma
from marshmallow import validate

from rmplugin.fields import day, words
from rmplugin.texts import texts

DROP_REASONS = texts(
    {
        "not_needed": "It is not needed any more",
        "no_time": "There was no time",
        "not_possible": "It was not possible",
        "other": "Another reason",
    }
)


class NoteForm(ma.Schema):
    """A note about a session."""

    body = words(4000)
    is_shared = ma.fields.Boolean(load_default=False)


class TakeawayForm(ma.Schema):
    """One line that somebody takes along; an empty one takes it back."""

    takeaway = words(300, required=False)
    share_takeaway = ma.fields.Boolean(load_default=False)


class ItemForm(ma.Schema):
    """What somebody takes on."""

    text = words(300)
    due_on = day()


class DoneForm(ma.Schema):
    """What became of it."""

    outcome = words(500, required=False)


class DropForm(ma.Schema):
    """Why it is dropped, if the person likes to say so."""

    reason = ma.fields.String(
        load_default=None, validate=validate.OneOf(tuple(DROP_REASONS), error="Please choose one of these.")
    )
