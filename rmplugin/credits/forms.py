"""What managers type about credits, and which part of a list of deliveries they look at."""

import marshmallow as ma
from marshmallow import validate

from rmplugin.shapes import SHAPES
from rmplugin.texts import Text

# State -> group of states that a manager is shown as one.
GROUPS = {
    "delivered": ("delivered",),
    "on_its_way": ("pending", "in_flight"),
    "retry": ("retry",),
    "blocked": ("blocked",),
    "needs_human": ("needs_human", "dead"),
}
MOST_REASON = 300
MOST_MINUTES = 10_000
WHY: dict[str, str | list[str] | dict[str, str]] = {
    "required": Text("Please write why. The person reads it.")
}


def _has_words(text: str) -> str:
    text = text.strip()
    if not 3 <= len(text) <= MOST_REASON:
        raise ma.ValidationError(
            Text("Please write why, in up to %(most)s characters. The person reads it.", most=MOST_REASON)
        )
    return text


class ReasonForm(ma.Schema):
    """Why an award is taken back."""

    reason = ma.fields.String(required=True, validate=_has_words, error_messages=WHY)


class AdjustForm(ReasonForm):
    """How many minutes are added, or taken off where they are negative."""

    minutes = ma.fields.Integer(
        required=True,
        validate=[
            validate.Range(
                -MOST_MINUTES,
                MOST_MINUTES,
                error=Text("Please write a whole number from -%(most)s to %(most)s.", most=MOST_MINUTES),
            ),
            validate.NoneOf([0], error=Text("0 would change nothing.")),
        ],
        error_messages={
            "required": Text("Please fill this in."),
            "invalid": Text("Please write a whole number."),
        },
    )


class DeliveriesQuery(ma.Schema):
    """Which deliveries to show; what does not exist is left out of account."""

    state = ma.fields.String(load_default=None, validate=validate.OneOf(tuple(GROUPS)))
    sink = ma.fields.String(load_default=None, validate=validate.Length(max=100))
    page = ma.fields.Integer(load_default=1, validate=validate.Range(1, 100_000))


class FileForm(ma.Schema):
    """As which system's file to give credits."""

    shape = ma.fields.String(required=True, validate=validate.OneOf(tuple(SHAPES)))
