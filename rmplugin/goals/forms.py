"""What is asked for in a goal and on its way."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

THEMES = ("organisation", "outside_world", "technology", "own")
LEVELS = (-2, -1, 0, 1, 2)
REASONS = ("time", "access", "relevance", "fit", "goal_changed", "outside_event")
_NEEDED: dict[str, Any] = {"required": "Please fill this in; a few words are enough."}


def _words(most: int, *, required: bool = True) -> ma.fields.String:
    length = validate.Length(max=most, error=f"Please use at most {most} characters.")
    if required:
        return ma.fields.String(required=True, validate=length, error_messages=_NEEDED)
    return ma.fields.String(load_default="", validate=length)


class GoalForm(ma.Schema):
    """A goal's words."""

    theme = ma.fields.String(
        required=True,
        validate=validate.OneOf(THEMES, error="Please choose one of these."),
        error_messages={"required": "Please choose a theme."},
    )
    title = _words(200)
    baseline = _words(1000)
    level_minus_2 = _words(500)
    level_minus_1 = _words(500)
    level_0 = _words(500)
    level_plus_1 = _words(500)
    level_plus_2 = _words(500)
    due_on = ma.fields.Date(
        required=True,
        error_messages={
            "required": "Please give a date.",
            "invalid": "Please give a date, such as 2027-05-31.",
        },
    )


class ProgressForm(ma.Schema):
    """Where a goal stands."""

    attainment = ma.fields.Integer(
        required=True,
        validate=validate.OneOf(LEVELS, error="Please choose one of the five levels."),
        error_messages={
            "required": "Please choose one of the five levels.",
            "invalid": "Please choose one of the five levels.",
        },
    )
    note = _words(1000, required=False)


class ReviewForm(ProgressForm):
    """The closing comparison with the initial goal."""

    reason = ma.fields.String(
        load_default=None, validate=validate.OneOf(REASONS, error="Please choose one of these.")
    )
