"""What is asked for in an agreement."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

MEDIA = ("video", "in_person", "phone", "mixed")
_NEEDED: dict[str, Any] = {"required": "Please fill this in; a few words are enough."}
_NUMBER: dict[str, Any] = {"required": "Please give a number.", "invalid": "Please give a whole number."}


def _words(most: int) -> ma.fields.String:
    length = validate.Length(max=most, error=f"Please use at most {most} characters.")
    return ma.fields.String(required=True, validate=length, error_messages=_NEEDED)


class AgreementForm(ma.Schema):
    """One version of an agreement, as it is typed."""

    cadence_weeks = ma.fields.Integer(
        required=True,
        validate=validate.Range(1, 12, error="Please choose between every week and every 12 weeks."),
        error_messages=_NUMBER,
    )
    session_minutes = ma.fields.Integer(
        required=True,
        validate=validate.Range(15, 240, error="A session is 15 to 240 minutes long."),
        error_messages=_NUMBER,
    )
    medium = ma.fields.String(
        required=True,
        validate=validate.OneOf(MEDIA, error="Please choose one of these."),
        error_messages={"required": "Please choose how you meet."},
    )
    place = _words(200)
    hopes = _words(2000)
    boundaries = _words(2000)
    confidentiality = _words(2000)
    ends_on = ma.fields.Date(
        required=True,
        error_messages={
            "required": "Please give a date.",
            "invalid": "Please give a date, such as 2027-05-31.",
        },
    )
