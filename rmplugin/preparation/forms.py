"""What is asked for in the preparation."""

from datetime import UTC, date, datetime, time
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import marshmallow as ma
from marshmallow.validate import OneOf

from rmplugin.fields import choice, day, whole
from rmplugin.preparation.catalogue import ANSWERS, BOTH
from rmplugin.programmes.answers import known_zones

LINK_LENGTH = 500


class PracticeForm(ma.Schema):
    """An answer to the question of a module. It is not kept."""

    answer = choice(ANSWERS, "Choose one of the three answers.")


class AnswerQuery(ma.Schema):
    """Which answer the page explains; None before one is chosen."""

    answer = ma.fields.Str(load_default=None, validate=OneOf(ANSWERS))


class GateForm(ma.Schema):
    """Whether the first session waits for the preparation."""

    gate = ma.fields.Bool(load_default=False)


def _is_web_address(text: str) -> None:
    # Anything but a page of the web, such as javascript:, must not become a link that people press.
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname or len(text) > LINK_LENGTH:
        raise ma.ValidationError("Write the address of the meeting, beginning with https://.")


def _is_zone(name: str) -> None:
    if name not in known_zones():
        raise ma.ValidationError("Choose a time zone from the list.")


class GroupForm(ma.Schema):
    """A supervision group; local date and time in `zone`."""

    role = choice(BOTH, "Choose whom the group is for.")
    on = day()
    at = ma.fields.Time(
        required=True,
        error_messages={"required": "Please give a time.", "invalid": "Please give a time, such as 14:30."},
    )
    zone = ma.fields.Str(required=True, validate=_is_zone)
    minutes = whole(15, 240, "A group meets for 15 to 240 minutes.")
    capacity = whole(2, 100, "A group has 2 to 100 places.")
    link = ma.fields.Str(
        required=True,
        validate=_is_web_address,
        error_messages={"required": "Write the address of the meeting, beginning with https://."},
    )

    @ma.post_load
    def gather(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Make one moment of day, time and zone."""
        data["starts_at"] = moment_of(data.pop("on"), data.pop("at"), data.pop("zone"))
        return data


def moment_of(on: date, at: time, zone: str) -> datetime:
    """Turn a local date and time into aware UTC; a time that comes twice is the first. **Touches** pure."""
    return datetime.combine(on, at.replace(tzinfo=None), ZoneInfo(zone)).astimezone(UTC)
