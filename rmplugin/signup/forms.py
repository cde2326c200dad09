"""What people say before they sign up, and what the programme team does about it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import marshmallow as ma
from marshmallow import validate

from rmplugin import fields
from rmplugin.programmes.forms import whole_number
from rmplugin.texts import texts

CONCERNS = texts(
    {
        "hierarchy": "Rank: speaking openly with somebody senior, or being taught by somebody junior",
        "exposure": "Exposure: what happens with what I say",
        "relevance": "Relevance: what it is good for",
        "time": "Time: the weekly hour",
        "other": "Something else",
    }
)
# Short forms for tables.
CONCERN_NAMES = texts(
    {
        "hierarchy": "Rank",
        "exposure": "Exposure",
        "relevance": "Relevance",
        "time": "Time",
        "other": "Other",
    }
)
ITEMS = texts(
    {
        "voice": "Here I can tell people above me what I really think.",
        "trust": "What two people tell each other in such a programme would stay between them.",
        "leaders": "Leaders here would listen, and do something about it.",
        "time": "In my work there is room for about an hour a week.",
        "interest": "I would like to take part.",
    }
)
AGREEMENT = texts({1: "not at all", 2: "rather not", 3: "partly", 4: "rather", 5: "fully"})
OVERRIDES = texts(
    {
        "pilot": "We start small, as a pilot, and watch these points",
        "date": "The date is fixed; we close these gaps in the first weeks",
        "known": "We know of these points and have talked about them with the sponsor",
        "other": "Another reason",
    }
)


class ConcernForm(ma.Schema):
    """A concern, without a name."""

    code = fields.choice(tuple(CONCERNS), "Choose what it is about.")
    text = fields.words(500, required=False)


class AnswerForm(ma.Schema):
    """A public answer; `code` is of the concerns that it answers, None for a plain question."""

    code = ma.fields.String(load_default=None, validate=validate.OneOf(tuple(CONCERNS)))
    question = fields.words(300)
    answer = fields.words(2000)


class SurveyForm(ma.Schema):
    """Answers to the readiness survey."""

    voice = fields.whole(1, 5, "Please choose one of the five.")
    trust = fields.whole(1, 5, "Please choose one of the five.")
    leaders = fields.whole(1, 5, "Please choose one of the five.")
    time = fields.whole(1, 5, "Please choose one of the five.")
    interest = fields.whole(1, 5, "Please choose one of the five.")


class OpenForm(ma.Schema):
    """Whether the survey takes answers."""

    is_open = ma.fields.Boolean(load_default=False)


class LaunchForm(ma.Schema):
    """Why a programme is launched though something is not ready."""

    reason = ma.fields.String(load_default=None, validate=validate.OneOf(tuple(OVERRIDES)))


class TasterForm(ma.Schema):
    """When and where people can get to know the programme."""

    day = fields.day()
    time = ma.fields.Time(required=True, error_messages={"required": "Please give a time, such as 09:00."})
    place = fields.words(200)
    zone = ma.fields.String(required=True)

    @ma.post_load
    def join(self, data: dict[str, Any], **_: Any) -> Mapping[str, Any]:
        """Join day and time to a moment."""
        local = datetime.combine(data["day"], data["time"], ZoneInfo(data["zone"]))
        return {"starts_at": local.astimezone(UTC), "place": data["place"]}


class ExtendForm(ma.Schema):
    """A later last day of sign-up."""

    sign_up_until = fields.day()


class EaseForm(ma.Schema):
    """A smaller time ask."""

    allowance_minutes = whole_number(15, 480)
    session_minutes = whole_number(15, 240)
    cadence_weeks = whole_number(1, 12)


class NudgeForm(ma.Schema):
    """Who is written to: everybody who did not answer, of one role or both."""

    message = ma.fields.String(load_default="reminder", validate=validate.OneOf(("reminder", "sponsor")))
