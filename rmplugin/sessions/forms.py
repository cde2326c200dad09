"""What is asked for in a session, and local time."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import marshmallow as ma
from marshmallow import validate

from rmplugin.errors import InputError
from rmplugin.fields import choice, day, whole, words
from rmplugin.texts import Text, texts

MEDIA = ("video", "in_person", "phone")
MOST_AGENDA = 1000
# The link of a video call is often longer than 250 characters.
MOST_PLACE = 1000
# As long as a programme writes its topics.
MOST_TOPIC = 500
KINDS = ("first", "regular", "briefing", "review")
# What took the hour. The partner and the programme team read "another reason" for an illness.
CAUSES = texts(
    {
        "urgent_work": "Urgent work",
        "meeting": "Another meeting",
        "travel": "Travel",
        "illness": "Illness",
        "other": "Another reason",
    }
)


def cause() -> ma.fields.String:
    """Make an optional field for a code of `CAUSES`. **Touches** pure."""
    return ma.fields.String(
        load_default=None, validate=validate.OneOf(tuple(CAUSES), error="Please choose one of these.")
    )


class PlanForm(ma.Schema):
    """When, how long, how and where; local date and time in the person's own zone."""

    on = day()
    at = ma.fields.Time(
        required=True,
        error_messages={"required": "Please give a time.", "invalid": "Please give a time, such as 14:30."},
    )
    which = ma.fields.String(load_default=None, validate=validate.OneOf(("first", "second")))
    minutes = whole(15, 240, "A session is 15 to 240 minutes long.")
    medium = choice(MEDIA, "Please choose how you meet.")
    place = words(MOST_PLACE, required=False)
    agenda = words(MOST_AGENDA, required=False)
    kind = ma.fields.String(
        load_default="regular", validate=validate.OneOf(KINDS, error="Please choose one of these.")
    )
    topic = words(MOST_TOPIC, required=False)
    reason = cause()


class ClaimForm(ma.Schema):
    """How long a session was."""

    minutes = whole(1, 480, "Please give between 1 and 480 minutes.")


class CancelForm(ma.Schema):
    """Why a session is cancelled, if the person likes to say so."""

    reason = cause()


LEAST_REASON = 3


class AttestForm(ma.Schema):
    """A manager's word about a session."""

    answer = choice(("yes", "no"), "Please choose one of these.")
    reason = ma.fields.String(load_default="", validate=ma.validate.Length(max=300))

    @ma.validates_schema
    def check_reason(self, data: Mapping[str, Any], **_: Any) -> None:
        """Ask a yes for its reason; a letter or two are none."""
        if data["answer"] == "yes" and len(data["reason"].strip()) < LEAST_REASON:
            raise ma.ValidationError({"reason": ["Please write how you know. Both of them read it."]})


class PointForm(ma.Schema):
    """A point for the agenda."""

    point = words(200)


class SlotQuery(ma.Schema):
    """A suggested start that was chosen from a list."""

    start = ma.fields.AwareDateTime(
        load_default=None,
        default_timezone=UTC,
        validate=validate.Range(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)),
    )


def starts_at(values: dict[str, Any], zone: str) -> datetime:
    """Give the moment that a filled-in `PlanForm` means.

    :param zone: IANA name of the person's own zone.
    :return: aware UTC.
    :raises InputError: see `local_to_utc`.
    **Touches** pure.
    """
    return local_to_utc(values["on"], values["at"], zone, values["which"])


def local_to_utc(on: date, at: time, zone: str, which: str | None) -> datetime:
    """Turn a local date and time into a moment.

    :param zone: IANA name.
    :param which: "first" or "second", for a time that comes twice in the night when the clocks go back; None
        when the person was not asked.
    :return: aware UTC.
    :raises InputError: the time does not exist that day (clocks go forward), or comes twice, `which` None.
    **Source** PEP 495, fold. **Touches** pure.
    """
    here = ZoneInfo(zone)
    wall = datetime.combine(on, at.replace(second=0, microsecond=0, tzinfo=None))
    first = wall.replace(tzinfo=here, fold=0)
    second = wall.replace(tzinfo=here, fold=1)
    if first.astimezone(UTC).astimezone(here).replace(tzinfo=None) != wall:
        after = first.astimezone(UTC).astimezone(here)
        raise InputError(
            "time_skipped",
            "The time needs a change. Nothing was lost.",
            {
                "at": Text(
                    "The clocks go forward that day: %(wall)s does not exist in %(zone)s. You could choose "
                    "%(after)s.",
                    wall=f"{wall:%H:%M}",
                    zone=zone,
                    after=f"{after:%H:%M}",
                )
            },
        )
    if first.utcoffset() != second.utcoffset() and which is None:
        raise InputError(
            "time_twice",
            "One answer is missing. Nothing was lost.",
            {
                "which": Text(
                    "The clocks go back that day: %(wall)s comes twice in %(zone)s. Which is it?",
                    wall=f"{wall:%H:%M}",
                    zone=zone,
                )
            },
        )
    return (second if which == "second" else first).astimezone(UTC)
