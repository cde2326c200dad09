"""What a holder may show to the public, and why a manager takes a paper back."""

import marshmallow as ma
from marshmallow.validate import OneOf

from rmplugin.fields import words
from rmplugin.texts import texts

# What the public page shows beyond whether the paper is valid, who issued it and when.
SHOWABLE = tuple(
    texts(
        {
            "name": "My name",
            "programme": "The name of the programme",
            "role": "My role, mentor or mentee",
            "dates": "When I began and when I completed it",
            "hours": "My sessions, hours and credit",
        }
    ).items()
)
REASON_LENGTH = 500


class ShowForm(ma.Schema):
    """What the public page of one's own paper shows; nothing ticked is an answer, too."""

    shows = ma.fields.List(
        ma.fields.Str(validate=OneOf([code for code, _ in SHOWABLE], error="Choose from the list.")),
        load_default=list,
    )


class RevokeForm(ma.Schema):
    """Why a paper is taken back; its holder reads it."""

    reason = words(REASON_LENGTH)
