"""What a check-in asks."""

import marshmallow as ma
from marshmallow import validate

from rmplugin.fields import words
from rmplugin.texts import texts

# Own words. Each is answered from 1 (not at all) to 5 (fully); the next step follows in free words.
ITEMS = texts(
    {
        "progress": "We are getting on with our goals.",
        "relevance": "What we talk about is of use for my work.",
        "trust": "I trust that what I say stays between us.",
        "safety": "I can say openly what I think, even when it is uncomfortable.",
        "heard": "I feel heard.",
        "learned": "I learned something that I can use.",
        "energy": "Our sessions give me more energy than they cost.",
        "time": "I find the time for it without trouble.",
        "fit": "All in all, I am satisfied with this pairing.",
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

    progress = _scale()
    relevance = _scale()
    trust = _scale()
    safety = _scale()
    heard = _scale()
    learned = _scale()
    energy = _scale()
    time = _scale()
    fit = _scale()
    words = words(2000, required=False)
    shared = ma.fields.Boolean(load_default=False, truthy={"yes"}, falsy={"no"})
