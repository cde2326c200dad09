"""How somebody wants to be told; what a manager enters about a programme's mails and news."""

from urllib.parse import urlsplit

import marshmallow as ma
from marshmallow import validate

from rmplugin.fields import choice, words
from rmplugin.mailing.catalogue import GROUPS, SERVICE, WAYS

LOOPBACK = ("localhost", "127.0.0.1", "::1")
BAD_ADDRESS = (
    "Please give the address that the browser shows on the activity's page; it begins with https://."
)


def _clock() -> ma.fields.Time:
    return ma.fields.Time(
        required=True,
        error_messages={"required": "Please give a time.", "invalid": "Please give a time, such as 19:00."},
    )


def _way() -> ma.fields.String:
    return choice(tuple(WAYS), "Please choose how you want to be told.")


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not secure or not parts.hostname or parts.username or parts.password:
        raise ma.ValidationError(BAD_ADDRESS)


# A field per group that can be chosen about: "way_sessions".
_Ways = ma.Schema.from_dict({f"way_{group}": _way() for group in GROUPS if group != SERVICE})


class ChoiceForm(_Ways):  # type: ignore[valid-type, misc]
    """How a person wants to be told of each group, their quiet hours, the language of their mails."""

    quiet_from = _clock()
    quiet_to = _clock()
    # Which languages there are is looked at when it is used; an unknown one counts as none.
    language = ma.fields.String(load_default=None, validate=validate.Length(max=35))


class ActivityForm(ma.Schema):
    """Where the button of a programme's mails leads; nothing to work it out."""

    activity_url = ma.fields.String(load_default=None, validate=(validate.Length(max=2000), _check_address))


class TestMailForm(ma.Schema):
    """A language for a sample of a mail."""

    language = ma.fields.String(load_default="en", validate=validate.Length(max=35))


class ChannelForm(ma.Schema):
    """A channel of a team for a programme's news."""

    notifier = ma.fields.String(
        required=True, error_messages={"required": "Please choose where the channel is."}
    )
    name = words(60)
    url = ma.fields.String(required=True, error_messages={"required": "Please give the webhook's address."})


class NewsForm(ma.Schema):
    """News of a programme."""

    title = words(120)
    words = words(2000)
