"""What is asked for when there is no time."""

import marshmallow as ma
from marshmallow import validate

from rmplugin.fields import choice
from rmplugin.texts import texts

CHOICES = ("shorten", "retime", "pause", "leave")
MOST_WEEKS = 6
REASONS = texts(
    {
        "workload": "Too much work",
        "no_protected_time": "The hour is not kept free for me",
        "schedule": "Shifts, travel or time zones",
        "priorities": "Other priorities now",
        "private": "Private reasons",
        "other": "Another reason",
    }
)
STAGES = texts({"start": "Before the first session", "early": "After one or two sessions", "later": "Later"})
CHOICE_NAMES = texts(
    {
        "shorten": "Shorter sessions",
        "retime": "Another time",
        "pause": "A break",
        "leave": "Leaving",
    }
)


class NoTimeForm(ma.Schema):
    """A way out, and the reason if the person likes to give one."""

    choice = choice(CHOICES, "Please choose one of these.")
    reason = ma.fields.String(
        load_default=None, validate=validate.OneOf(tuple(REASONS), error="Please choose one of these.")
    )
    weeks = ma.fields.Integer(
        load_default=2,
        validate=validate.Range(1, MOST_WEEKS, error="A break is one to six weeks long."),
        error_messages={"invalid": "Please give a whole number."},
    )
