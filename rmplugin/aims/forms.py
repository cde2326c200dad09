"""Aims to choose from, the steps of a rating, and what is asked."""

import marshmallow as ma
from marshmallow import validate

from rmplugin.fields import choice, words
from rmplugin.texts import texts

AIMS = texts(
    {
        "lead_talks": "Lead a conversation with somebody more senior",
        "speak_up": "Say what I think when it is uncomfortable",
        "explain": "Explain my subject so that others decide on it",
        "influence": "Win people over without having a say over them",
        "feedback": "Give and take feedback",
        "overview": "See how decisions are made in the whole company",
        "confidence": "Trust my own judgement",
        "own": "Something else",
    }
)
# What each number means, so that two people mean the same by it.
STEPS = texts(
    {
        1: "1: I avoid it",
        2: "2: I do it when I have to, and it is hard",
        3: "3: I do it, with preparation",
        4: "4: I do it well, mostly",
        5: "5: I do it well and help others to do it",
    }
)
OBSERVED = texts(
    {
        1: "1: avoids it",
        2: "2: does it when needed, and it is hard",
        3: "3: does it, with preparation",
        4: "4: does it well, mostly",
        5: "5: does it well and helps others to do it",
    }
)
MOMENTS = texts({"start": "at the start", "mid": "half-way", "end": "at the end"})


class AimForm(ma.Schema):
    """What a mentor wants to grow in."""

    aim = choice(tuple(AIMS), "Please choose an aim.")
    words = words(500, required=False)


class RatingForm(ma.Schema):
    """How far somebody is."""

    rating = ma.fields.Integer(
        required=True,
        validate=validate.OneOf(tuple(STEPS), error="Please choose one of the five steps."),
        error_messages={
            "required": "Please choose one of the five steps.",
            "invalid": "Please choose one of the five steps.",
        },
    )
    note = words(1000, required=False)


class AgreeForm(ma.Schema):
    """Whether the mentee wants to observe."""

    answer = choice(("yes", "no"), "Choose yes or no.")
