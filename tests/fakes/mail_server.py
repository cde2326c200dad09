"""A mail server that keeps what it is sent, and refuses what it is told to refuse."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

PASSWORD = "letters/only"


class FreePort(Controller):
    """Listens on a port that the machine chooses."""

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class MailServer:
    """A real SMTP server on a free port of this machine.

    :ivar mails: what was taken, oldest first.
    :ivar refusals: address -> answer to RCPT TO ("550 …", "451 …").
    :ivar logins: whether the password was right, per login.
    :ivar data_answer: answer to every mail's data; None takes it.
    """

    def __init__(self, *, password: bool = False, **options: Any) -> None:
        self.mails: list[EmailMessage] = []
        self.refusals: dict[str, str] = {}
        self.sender_answer: str | None = None
        self.data_answer: str | None = None
        self.connections = 0
        self.logins: list[bool] = []
        self._password = password
        if password:
            options |= {"authenticator": self._check, "auth_require_tls": False}
        self._controller = FreePort(self, hostname="127.0.0.1", port=0, **options)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._controller.stop()

    @property
    def port(self) -> int:
        return self._controller.port

    @property
    def url(self) -> str:
        login = "rm:letters%2Fonly@" if self._password else ""
        return f"smtp://{login}127.0.0.1:{self.port}?from=mentoring@tool.example"

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail in self.mails if mail["To"] == address]

    def words(self, address: str | None = None) -> str:
        """Give everything that was sent (to an address), decoded: headers and every part."""
        said = []
        for mail in self.mails if address is None else self.to(address):
            said += [f"{name}: {value}" for name, value in mail.items()]
            said += [part.get_content() for part in leaves(mail)]
        return "\n".join(str(text) for text in said)

    def _check(self, _server, _session, _envelope, _mechanism, data) -> AuthResult:
        right = (data.login, data.password) == (b"rm", PASSWORD.encode())
        self.logins.append(right)
        return AuthResult(success=right, handled=False)

    async def handle_EHLO(self, _server, session, _envelope, hostname, responses):  # noqa: N802
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(self, _server, _session, envelope, address, _options):  # noqa: N802
        if self.sender_answer:
            return self.sender_answer
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802
        if self.data_answer:
            return self.data_answer
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"


def leaves(mail: EmailMessage) -> list[EmailMessage]:
    """Give the parts of a mail that hold something."""
    return [part for part in mail.walk() if not part.is_multipart()]


def part(mail: EmailMessage, kind: str) -> str:
    """Give the content of the part of that kind."""
    content = next(leaf for leaf in leaves(mail) if leaf.get_content_type() == kind).get_content()
    return (content.decode() if isinstance(content, bytes) else content).replace("\r\n", "\n")
