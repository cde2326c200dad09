"""Form fields that several capabilities ask for, with the sentences that their faults are told in."""

import re
from collections.abc import Sequence
from typing import Any

import marshmallow as ma
from marshmallow import validate

from rmplugin.texts import Text, texts

# What marshmallow says by itself, and what people are told: what is expected, and what to do.
_PLAIN = texts(
    {
        r"Missing data for required field|Field may not be null": "This is needed; please fill it in.",
        r"Shorter than minimum length 1": "This must not be empty; please fill it in.",
        r"Shorter than minimum length (?P<n>\d+)": "This is too short; give at least %(n)s.",
        r"Longer than maximum length (?P<n>\d+)": "This is too long; give at most %(n)s.",
        r"Length must be between (?P<a>\d+) and (?P<b>\d+)": "Its length must be between %(a)s and %(b)s.",
        r"Length must be (?P<n>\d+)": "Its length must be %(n)s.",
        r"Must be greater than (or equal to )?(?P<a>\S+) and less than (or equal to )?(?P<b>\S+)": (
            "Please give a value between %(a)s and %(b)s."
        ),
        r"Must be greater than or equal to (?P<n>\S+)": "Please give %(n)s or more.",
        r"Must be greater than (?P<n>\S+)": "Please give more than %(n)s.",
        r"Must be less than or equal to (?P<n>\S+)": "Please give %(n)s or less.",
        r"Must be less than (?P<n>\S+)": "Please give less than %(n)s.",
        r"Must be equal to (?P<n>\S+)": "Please give %(n)s.",
        r"Must be one of: (?P<n>.*)": "Please choose one of these: %(n)s.",
        r"One or more of the choices you made was (not )?in: (?P<n>.*)": "Please choose of these: %(n)s.",
        r"Not a valid (integer|number)": "Please give a number.",
        r"Number too large|Special numeric values.*": "Please give a smaller, ordinary number.",
        r"Not a valid boolean": "Please answer yes or no.",
        r"Not a valid (naive |aware )?date|.*cannot be formatted as a date": (
            "Please give a date, such as 2027-05-31."
        ),
        r"Not a valid time|.*cannot be formatted as a time": "Please give a time, such as 09:00.",
        r"Not a valid (naive |aware )?datetime|.*cannot be formatted as a (naive |aware )?datetime": (
            "Please give a day and a time, such as 2027-05-31T09:00."
        ),
        r"Not a valid (period of time|timedelta)|.*cannot be formatted as a timedelta": (
            "Please give how long it takes, as a number."
        ),
        r"Not a valid URL": "Please give an address that begins with https://.",
        r"Not a valid email address": "Please give an e-mail address, such as mira@example.com.",
        r"Not a valid UUID": "This is not one of the ids here; please choose it anew.",
        r"Not a valid IP(v4|v6)? (address|interface)": "Please give an IP address, such as 192.0.2.1.",
        r"Not a valid (string|utf-8 string)": "Please give a text.",
        r"Not a valid list": "Please give a list.",
        r"Not a valid (mapping type|tuple)|Invalid input type|Invalid type": "This has another form.",
        r"Unknown field": "There is no such setting; please leave it out.",
        r"String does not match expected pattern": "This is not written as it has to be; please check it.",
        r"Invalid (value|input)|Not a valid choice": "This cannot be used; please choose another value.",
    }
)


def plain_words(message: str) -> Text:
    """Put what is expected into the place of marshmallow's own words; our own sentences stay.

    **Touches** pure.
    """
    if isinstance(message, Text):
        return message
    for stock, told in _PLAIN.items():
        if found := re.fullmatch(stock, message.removesuffix(".")):
            return Text(told.template, **{name: value for name, value in found.groupdict().items() if value})
    return Text(message)


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
