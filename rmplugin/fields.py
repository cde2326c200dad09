"""Form fields that several capabilities ask for, with the sentences that their faults are told in."""

from collections.abc import Sequence
from typing import Any

import marshmallow as ma
from marshmallow import validate

from rmplugin.texts import Text


def words(most: int, *, required: bool = True) -> ma.fields.String:
    """Make a field for own words; an optional one loads as "" when it is empty.

    :param most: characters.
    **Touches** pure.
    """
    length = validate.Length(max=most, error=Text("Please use at most %(most)s characters.", most=most))
    if not required:
        return ma.fields.String(load_default="", validate=length)
    needed: dict[str, Any] = {"required": "Please fill this in; a few words are enough."}
    return ma.fields.String(required=True, validate=length, error_messages=needed)


def whole(low: int, high: int, wrong: str) -> ma.fields.Integer:
    """Make a required field for a whole number.

    :param wrong: what to say when it lies outside of low..high.
    **Touches** pure.
    """
    return ma.fields.Integer(
        required=True,
        validate=validate.Range(low, high, error=wrong),
        error_messages={"required": "Please give a number.", "invalid": "Please give a whole number."},
    )


def day() -> ma.fields.Date:
    """Make a required field for a date. **Touches** pure."""
    return ma.fields.Date(
        required=True,
        error_messages={
            "required": "Please give a date.",
            "invalid": "Please give a date, such as 2027-05-31.",
        },
    )


def choice(options: Sequence[str], missing: str) -> ma.fields.String:
    """Make a required field for one of several codes.

    :param missing: what to say when nothing was chosen.
    **Touches** pure.
    """
    return ma.fields.String(
        required=True,
        validate=validate.OneOf(options, error="Please choose one of these."),
        error_messages={"required": missing},
    )
