"""Mail by SMTP, with TLS from the start (smtps) or by STARTTLS: text, HTML, and an invitation if any."""

import smtplib
import ssl
from collections.abc import Iterable, Iterator, Sequence
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from rmplugin.api import Letter, MailNotifier, NotifierAnswer, hookimpl

SECONDS = 20.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")

DOWN = "The mail server does not answer. It is tried again by itself."
BUSY = "The mail server takes no mail at the moment. It is tried again by itself."
NO_LOGIN = "The mail server refused the user or password in RM_SMTP_URL. It is tried again by itself."
NO_TLS = (
    "The mail server offers no encryption, so the password in RM_SMTP_URL was not sent. Use smtps:// or a "
    "port with STARTTLS. It is tried again by itself."
)
BAD_TLS = "The mail server's certificate cannot be trusted. It is tried again by itself."
NO_SENDER = "The mail server does not let the tool send from its address (from= in RM_SMTP_URL)."
NO_SUCH_ADDRESS = "The mail server says for good that it does not take mail for this address."
REFUSED = "The mail server refused this mail for good."
NO_RELAY = (
    "The mail server does not pass this mail on. If it says so of every address, it wants a user and "
    "password in RM_SMTP_URL, or has to be told that it may pass on mails of the tool. It is tried again "
    "by itself."
)
# Sign in first, sign in differently, encrypt first.
NOT_FOR_US, MAILBOX_FULL = (530, 534, 535, 538), 552


class Smtp:
    """A mail server."""

    key = "smtp"
    title = "E-mail"
    schemes: tuple[str, ...] = ("smtp", "smtps")

    def sender(self, url: str) -> str | None:
        """Give `from=` of the setting; None without one."""
        return next(iter(parse_qs(urlsplit(url).query).get("from", [])), None)

    def send(self, url: str, letters: Iterable[Letter]) -> Iterator[NotifierAnswer]:
        """Send letters over one connection; after a fault the next letter gets a new one."""
        server: smtplib.SMTP | None = None
        try:
            for letter in letters:
                try:
                    server = server or _connect(urlsplit(url))
                    answer = _send(server, letter)
                except _NoServerError as error:
                    answer = NotifierAnswer(outcome="retry", message_for_user=str(error), status=error.status)
                except (OSError, smtplib.SMTPException):
                    answer = NotifierAnswer(outcome="retry", message_for_user=DOWN)
                if answer.outcome == "retry" and server is not None:
                    server.close()
                    server = None
                yield answer
        finally:
            if server is not None:
                server.close()


class _NoServerError(Exception):
    """No letter at all can be sent now."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


def _connect(url: SplitResult) -> smtplib.SMTP:
    host = url.hostname or ""
    try:
        if url.scheme == "smtps":
            trusted = ssl.create_default_context()
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, url.port or 465, timeout=SECONDS, context=trusted)
        else:
            server = smtplib.SMTP(host, url.port or 587, timeout=SECONDS)
    except ssl.SSLError:
        raise _NoServerError(BAD_TLS) from None
    try:
        _sign_in(server, url)
    except BaseException:
        server.close()
        raise
    return server


def _sign_in(server: smtplib.SMTP, url: SplitResult) -> None:
    try:
        server.ehlo_or_helo_if_needed()
        if url.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=ssl.create_default_context())
            server.ehlo()
        elif url.scheme == "smtp" and url.username and url.hostname not in LOOPBACK:
            raise _NoServerError(NO_TLS)
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
    except ssl.SSLError:
        raise _NoServerError(BAD_TLS) from None
    except smtplib.SMTPAuthenticationError as error:
        raise _NoServerError(NO_LOGIN, error.smtp_code) from None


def _send(server: smtplib.SMTP, letter: Letter) -> NotifierAnswer:
    try:
        server.send_message(_message(letter), letter.sender, [letter.to])
    except smtplib.SMTPRecipientsRefused as error:
        return _refusal(*next(iter(error.recipients.values())))
    except smtplib.SMTPSenderRefused as error:
        # About the tool's own address, so an administrator mends it, and the mail is still wanted.
        return NotifierAnswer(outcome="retry", message_for_user=NO_SENDER, status=error.smtp_code)
    except (ValueError, smtplib.SMTPNotSupportedError):
        # An address that no mail can be written to, or one in letters that this server does not take.
        return NotifierAnswer(outcome="stopped", message_for_user=NO_SUCH_ADDRESS)
    except smtplib.SMTPDataError as error:
        return _answer(error.smtp_code, "refused", REFUSED)
    return NotifierAnswer(outcome="sent", status=250)


def _refusal(code: int, said: bytes) -> NotifierAnswer:
    """Tell an address that is not there from a full mailbox, and from a server that passes nothing on for us.

    The last is the same for every address, and an administrator mends it.
    **Source** RFC 3463, section 3; RFC 4954, section 6.
    """
    if code in NOT_FOR_US or said.startswith(b"5.7."):
        return NotifierAnswer(outcome="retry", message_for_user=NO_RELAY, status=code)
    is_full = code == MAILBOX_FULL or said.startswith((b"5.2.2", b"5.2.3"))
    return _answer(code, *(("refused", REFUSED) if is_full else ("stopped", NO_SUCH_ADDRESS)))


def _answer(code: int, for_good: Literal["refused", "stopped"], text: str) -> NotifierAnswer:
    """Tell a refusal for good (5xx) from one for now (4xx). **Source** RFC 5321, section 4.2.1."""
    if code < 500:
        return NotifierAnswer(outcome="retry", message_for_user=BUSY, status=code)
    return NotifierAnswer(outcome=for_good, message_for_user=text, status=code)


def _message(letter: Letter) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = letter.subject
    message["From"] = letter.sender
    message["To"] = letter.to
    message["Date"] = format_datetime(letter.written_at)
    message["Message-ID"] = letter.message_id
    # No holiday notes, please (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    if letter.unsubscribe_url:
        # RFC 8058: one click, which mail programs send as a POST.
        message["List-Unsubscribe"] = f"<{letter.unsubscribe_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    if letter.invitation:
        # The part is what mail programs act on, the attachment what people can open anywhere (RFC 6047).
        document = letter.invitation.encode()
        params = {"method": letter.method, "charset": "UTF-8"}
        message.add_alternative(document, maintype="text", subtype="calendar", cte="base64", params=params)
        message.add_attachment(document, maintype="application", subtype="ics", filename="invite.ics")
    return message


@hookimpl
def rm_register_notifiers() -> Sequence[MailNotifier]:
    """Bring mail by SMTP."""
    return (Smtp(),)
