"""Forms of matching, and the coded reasons that people can give."""

import marshmallow as ma
from marshmallow.validate import OneOf

from rmplugin.texts import texts

# Codes are stored and counted; nobody has to give one.
DECLINE_REASONS = tuple(
    texts(
        {
            "know_each_other": "We already know each other well",
            "relevance": "The skills are not what I am looking for",
            "conflict": "There is a conflict of interest",
            "time": "I have no time for it at the moment",
            "language_hours": "Language, time zone or working hours do not fit",
            "prefer_not_to_say": "I prefer not to say",
        }
    ).items()
)
# Eby and others (2000), the five themes of what goes wrong between two, and structural reasons.
CLOSURE_REASONS = tuple(
    texts(
        {
            "goals_met": "We reached our goals early",
            "goal_not_relevant": "The goal is no longer relevant",
            "time": "There is not enough time",
            "never_scheduled": "We never found a date",
            "role_change": "One of us changes role or place of work",
            "conflict_of_interest": "A conflict of interest came up",
            "left_organisation": "One of us leaves the company",
            "language_time_zone": "Language or time zone",
            "match_within_pair": "Our values, style or working habits differ too much",
            "distancing": "Meetings were cancelled, unprepared, or could not be arranged",
            "misuse_of_power": "Power was used in a way that it should not be",
            "lack_of_expertise": "The knowledge for this goal is missing",
            "general_difficulty": "Attitude or personal strain made it hard",
            "prefer_not_to_say": "I prefer not to say",
        }
    ).items()
)
NEXT_CHOICES = tuple(
    texts(
        {
            "rematch": "Find me another partner",
            "pause": "Pause: keep me out of the next matching",
            "leave": "Leave the programme",
        }
    ).items()
)


def codes(choices: tuple[tuple[str, str], ...]) -> list[str]:
    """Give the codes of a list of choices.

    **Touches** nothing.
    """
    return [code for code, _text in choices]


class AnswerForm(ma.Schema):
    """Yes or no to a proposal."""

    answer = ma.fields.Str(
        required=True,
        validate=OneOf(["yes", "no"], error="Choose yes or no."),
        error_messages={"required": "Choose yes or no."},
    )
    reason = ma.fields.Str(
        load_default=None,
        validate=OneOf(codes(DECLINE_REASONS), error="Choose a reason from the list, or none."),
    )


class EndForm(ma.Schema):
    """The end of a pairing, without blame."""

    reason = ma.fields.Str(
        load_default=None,
        validate=OneOf(codes(CLOSURE_REASONS), error="Choose a reason from the list, or none."),
    )
    next_choice = ma.fields.Str(
        required=True,
        validate=OneOf(codes(NEXT_CHOICES), error="Choose what should happen next for you."),
        error_messages={"required": "Choose what should happen next for you."},
    )


class PinForm(ma.Schema):
    """Two people whom the manager wants to be a pair."""

    mentor = ma.fields.UUID(
        required=True, error_messages={"required": "Choose a mentor.", "invalid_uuid": "Choose a mentor."}
    )
    mentee = ma.fields.UUID(
        required=True, error_messages={"required": "Choose a mentee.", "invalid_uuid": "Choose a mentee."}
    )
