"""Errors, typed by what the caller must do next; translated in `app.py` and in the task runner only."""

from collections.abc import Mapping, Sequence
from typing import Any

from rmplugin.texts import Text


class RmError(Exception):
    """Root of every error that this product raises on purpose.

    :param code: stable word for logs and tests, never translated.
    :param message_for_user: what happened, that nothing was lost, what to do. No personal data.
    :param details: JSON-ready facts for forms and commands.
    """

    status = 500

    def __init__(self, code: str, message_for_user: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message_for_user}")
        self.code = code
        self.message_for_user = Text(message_for_user)
        self.details = dict(details or {})


class InputError(RmError):
    """The person gave something that cannot be used; `details` maps field names to messages."""

    status = 422


class NotAllowedError(RmError):
    """The person may not do this."""

    status = 403


class NotFoundError(RmError):
    """There is no such thing here. Another tenant's object is answered in the same words.

    :param what: kind of thing.
    :param typed: what somebody typed to name it. Commands alone say it again; it is in no message and no log.
    """

    status = 404

    def __init__(self, what: str = "page", *, typed: str | None = None) -> None:
        self.what = what
        self.typed = typed
        super().__init__("not_found", f"This {what} does not exist, or it is not yours to open.")


class SessionEndedError(RmError):
    """Nobody is signed in: the session ended, or the page was opened outside the LMS.

    :param administrator: it is about an administrator's page or link.
    """

    status = 401

    def __init__(self, *, administrator: bool = False) -> None:
        text = "Your session has ended. Nothing was lost. Reopen the activity from your course to go on."
        if administrator:
            text = (
                "This link was used or is too old, or your session has ended. Nothing was lost. To go on, "
                "run the command rmplugin admin-link again and open the new link."
            )
        super().__init__("administrator_session_ended" if administrator else "session_ended", text)


class ConflictError(RmError):
    """Somebody, or the same person in another window, was faster; the state is as they left it."""

    status = 409


class ConfigError(RmError):
    """The installation is misconfigured. Lists every fault at once."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(
            "config", "The settings have faults:\n" + "\n".join(f"- {fault}" for fault in faults)
        )
        self.faults = list(faults)


class ExternalError(RmError):
    """Another system did not do what we asked of it.

    :param service: short name of the other system.
    :param method: HTTP method or verb.
    :param url: cut at its query before it is kept, because queries carry tokens.
    :param status: HTTP status; None when there was no answer.
    """

    status = 502

    def __init__(
        self, service: str, method: str, url: str, status: int | None, message_for_user: str = ""
    ) -> None:
        self.service = service
        self.method = method
        self.url = url.split("?", 1)[0]
        self.remote_status = status
        answer = f"answered {status}" if status else "did not answer"
        super().__init__(
            "external",
            message_for_user or f"{service} {answer} ({method} {self.url}).",
            {"service": service, "status": status},
        )


class RetriableError(ExternalError):
    """Try again later.

    :param retry_after: seconds that the other system asked for; None when it named none.
    """

    def __init__(
        self,
        service: str,
        method: str,
        url: str,
        status: int | None,
        message_for_user: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(service, method, url, status, message_for_user)
        self.retry_after = retry_after


class FatalError(ExternalError):
    """Trying again is useless until an administrator changes something."""


class CursorExpiredError(RetriableError):
    """The other system does not know the place any more from which changes were asked; read everything."""


class SkippableRecordError(RmError):
    """One record cannot be used; count it, list it, go on with the rest.

    :param ref: where the record stands in the source ("row 17"), never a name.
    :param field: canonical field name.
    """

    def __init__(self, ref: str, field: str, reason: str) -> None:
        super().__init__("record_skipped", reason, {"ref": ref, "field": field, "reason": reason})
        self.ref = ref
        self.field = field
        self.reason = reason
