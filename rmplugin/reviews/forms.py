"""What is asked for in a review: the suspected cause, the decision, and other weights to try."""

from typing import Any

import marshmallow as ma

from rmplugin.fields import day, whole, words

MOST_POINTS = 1_000_000


class AnalysisForm(ma.Schema):
    """Which cause is suspected."""

    suspected = words(1000)


class DecisionForm(ma.Schema):
    """The decision record: all of it is required."""

    finding = words(2000)
    change = words(2000)
    programme = ma.fields.UUID(
        load_default=None, error_messages={"invalid_uuid": "Please choose one of these."}
    )
    rule_set = whole(0, 1_000_000, "Please give the version as a whole number.")
    owner = words(200)
    decided_on = day()


def weights_query(factors: list[str]) -> ma.Schema:
    """Make the query of a replay: most points by factor; None for those that are not given.

    **Touches** pure.
    """
    points = ma.validate.Range(0, MOST_POINTS)
    fields: dict[str, ma.fields.Field[Any]] = {
        name: ma.fields.Integer(load_default=None, validate=points) for name in factors
    }
    return ma.Schema.from_dict(fields)()
