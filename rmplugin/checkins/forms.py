"""What a check-in asks."""

import marshmallow as ma
from marshmallow import validate

from rmplugin.texts import texts

# Own words. Each is answered from 1 (not at all) to 5 (fully).
ITEMS = texts(
    {
        "satisfaction": "I am satisfied with our mentoring.",
        "progress": "We are getting on with our goals.",
        "safety": "I can say openly what I think, and trust that it stays between us.",
        "heard": "I feel heard.",
        "learned": "I learned something that I can use.",
        "energy": "Our sessions give me more energy than they cost.",
    }
)


def _scale() -> ma.fields.Integer:
    wrong = "Please choose a number from 1 to 5."
    return ma.fields.Integer(
        required=True,
        validate=validate.Range(1, 5, error=wrong),
        error_messages={"required": wrong, "invalid": wrong},
    )


class CheckinForm(ma.Schema):
    """One person's answers."""

    satisfaction = _scale()
    progress = _scale()
    safety = _scale()
    heard = _scale()
    learned = _scale()
    energy = _scale()
    words = ma.fields.String(
        load_default="", validate=validate.Length(max=2000, error="Please use at most 2000 characters.")
    )
