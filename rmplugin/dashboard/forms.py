"""What the addresses of the dashboard may ask for."""

import marshmallow as ma

from rmplugin.texts import texts

PAIR_STATES = texts(
    {
        "active": "active",
        "paused": "paused",
        "suspended": "suspended",
        "ended": "ended",
        "completed": "completed",
    }
)
BANDS = texts({"good": "good", "mixed": "mixed", "low": "low", "none": "not enough yet"})


class PairsQuery(ma.Schema):
    """Which part of the table of pairs is shown; None for every state, or every health."""

    state = ma.fields.String(validate=ma.validate.OneOf(PAIR_STATES), load_default=None)
    health = ma.fields.String(validate=ma.validate.OneOf(BANDS), load_default=None)
    page = ma.fields.Integer(validate=ma.validate.Range(1, 100_000), load_default=1)
