"""What a plug-in that carries notices out of the tool is given, and what it answers."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

import marshmallow as ma

# sent: the other system has it. retry: not now; it is given again later.
# refused: this one will never be taken. stopped: nothing will be taken for this address or channel.
NotifierOutcome = Literal["sent", "retry", "refused", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierAnswer:
    """What became of a letter or a post.

    :param message_for_user: plain sentence for an administrator when not sent; no address, name or answer of
        the other system is in it.
    :param status: SMTP or HTTP status; None when there was none.
    :param retry_after: seconds that the other system asked for; None when it named none.
    """

    outcome: NotifierOutcome
    message_for_user: str = ""
    status: int | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail to one person. It says what kind of thing waits; nothing that a pair wrote is ever in it.

    :param message_id: with angle brackets; the same for every try, so that a mail that comes twice is seen
        as one.
    :param sender: address that it comes from when the mail server's own setting names none.
    :param unsubscribe_url: takes a POST without a login (RFC 8058); None when it cannot be switched off.
    :param invitation: an iCalendar document; None for most.
    :param method: of the invitation: "REQUEST" or "CANCEL".
    :param written_at: aware UTC.
    """

    message_id: str
    to: str = field(repr=False)
    sender: str
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)
    unsubscribe_url: str | None = field(default=None, repr=False)
    invitation: str | None = field(default=None, repr=False)
    method: str = "REQUEST"
    written_at: datetime


@runtime_checkable
class MailNotifier(Protocol):
    """Takes letters to people.

    :ivar key: name used in commands and in the log.
    :ivar title: name for people.
    :ivar schemes: what `RM_SMTP_URL` begins with when this one is meant ("smtp").
    """

    key: str
    title: str
    schemes: tuple[str, ...]

    def sender(self, url: str) -> str | None:
        """Give the address that letters come from; None when the setting names none.

        :param url: the setting `RM_SMTP_URL`.
        """
        ...

    def send(self, url: str, letters: Iterable[Letter]) -> Iterator[NotifierAnswer]:
        """Send letters one after the other, over one connection where there is such a thing.

        Yield the answer to a letter before the next one is taken: each is on record before the next is made.

        :param url: the setting `RM_SMTP_URL`, secrets included.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsPost:
    """News of a programme for a channel of a team: never about a person.

    :param url: where the button leads; the activity in the LMS when it is known.
    """

    title: str
    text: str
    button: str
    url: str


@runtime_checkable
class NewsNotifier(Protocol):
    """Posts programme news into a channel.

    :ivar key: name used in the database.
    :ivar title: name for people ("Slack").
    :ivar settings_schema: marshmallow schema of the channel's settings; all of them are kept encrypted.
    """

    key: str
    title: str
    settings_schema: type[ma.Schema]

    def post(self, settings: Mapping[str, Any], post: NewsPost) -> NotifierAnswer:
        """Post once.

        :param settings: loaded by `settings_schema`.
        """
        ...
