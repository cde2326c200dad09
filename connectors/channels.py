"""What incoming webhooks of team channels have in common: the address is a secret, and its host is known."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import marshmallow as ma

from rmplugin.api import FatalError, NotifierAnswer, RetriableError, http

NOT_NOW = "The channel takes no posts at the moment. It is tried again by itself."
GONE = "The channel or its webhook is not there any more. Make a new webhook there and enter its address."
REFUSED = "The channel refused this post. Others may go through."


def address_field(hosts: tuple[str, ...], example: str) -> ma.fields.String:
    """Make the field for a webhook's address.

    :param hosts: that addresses of this kind lie on; one that begins with a dot stands for all below it.
    :param example: an address as people see it.
    **Touches** pure.
    """

    def check(url: str) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        fits = any(host == known or (known.startswith(".") and host.endswith(known)) for known in hosts)
        if parts.scheme != "https" or not fits or parts.username or parts.password:
            raise ma.ValidationError(f"The address has to look like {example}.")

    return ma.fields.String(required=True, validate=check, metadata={"secret": True, "help": example})


def post_json(
    service: str,
    url: str,
    body: Mapping[str, Any],
    *,
    is_sent: Callable[[http.Reply], bool] = lambda _reply: True,
) -> NotifierAnswer:
    """Post a document once, and tell what the answer comes to.

    :param is_sent: tells whether an answer below 300 means what it says.
    **Touches** the network.
    """
    client = http.Client(service, url, limits=http.Limits(seconds=30, tries=1, read_seconds=10))
    try:
        reply = client.post(url, json=body)
    except RetriableError as error:
        return NotifierAnswer(
            outcome="retry",
            message_for_user=NOT_NOW,
            status=error.remote_status,
            retry_after=error.retry_after,
        )
    except FatalError as error:
        gone = error.remote_status in (401, 403, 404, 410) or error.remote_status is None
        return NotifierAnswer(
            outcome="stopped" if gone else "refused",
            message_for_user=GONE if gone else REFUSED,
            status=error.remote_status,
        )
    if not is_sent(reply):
        return NotifierAnswer(outcome="refused", message_for_user=REFUSED, status=reply.status)
    return NotifierAnswer(outcome="sent", status=reply.status)
