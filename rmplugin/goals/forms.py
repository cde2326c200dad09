"""What is asked for in a goal and on its way."""

import marshmallow as ma
from marshmallow import validate

from rmplugin.fields import choice, day, words

THEMES = ("organisation", "outside_world", "technology", "own")
UNKNOWN = "Please choose one of these."
LEVELS = (-2, -1, 0, 1, 2)
REASONS = ("time", "access", "relevance", "fit", "goal_changed", "outside_event")


class GoalForm(ma.Schema):
    """A goal's words."""

    theme = choice(THEMES, "Please choose a theme.")
    weight = ma.fields.Integer(load_default=1, validate=validate.OneOf((1, 2, 3), error=UNKNOWN))
    title = words(200)
    baseline = words(1000)
    level_minus_2 = words(500)
    level_minus_1 = words(500)
    level_0 = words(500)
    level_plus_1 = words(500)
    level_plus_2 = words(500)
    due_on = day()


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
    note = words(1000, required=False)


class ReviewForm(ProgressForm):
    """The comparison with the initial goal, half-way or at the end."""

    reason = ma.fields.String(load_default=None, validate=validate.OneOf(REASONS, error=UNKNOWN))
