"""What sinks for credits have in common: who somebody is elsewhere, hours, and what an error comes to."""

from collections.abc import Mapping, Sequence
from typing import Any

from rmplugin.api import CheckResult, CreditKind, CreditRecord, FatalError, RetriableError, SinkAnswer

EVERYTHING: frozenset[CreditKind] = frozenset({"award", "reversal", "adjustment", "completion", "withdrawal"})
TAKES_BACK: frozenset[CreditKind] = frozenset({"reversal", "withdrawal"})

DOWN = "The other system does not answer at the moment. It is tried again by itself."
NO_SIGN_IN = (
    "The other system refuses this tool's account. An administrator should check the account, then send this "
    "again."
)
REFUSED = "The other system refused this record. An administrator should look there, then send it again."
NO_NUMBER = "The roster has no employee number for this person, by which the other system knows people."
NO_MAIL = "The roster has no e-mail address for this person, by which the other system knows people."


def answer_of(error: RetriableError | FatalError) -> SinkAnswer:
    """Make an error the answer for one record. **Touches** pure."""
    status = error.remote_status
    if isinstance(error, RetriableError):
        wait = error.retry_after
        return SinkAnswer(outcome="retry", message_for_user=DOWN, status=status, retry_after=wait)
    sentence = REFUSED if status in (400, 413, 422) else NO_SIGN_IN
    return SinkAnswer(outcome="needs_human", message_for_user=sentence, status=status)


def name_person(record: CreditRecord, settings: Mapping[str, Any]) -> str | SinkAnswer:
    """Give the name by which the other system knows the person.

    :param settings: "person" says which: "number" or "email".
    :return: the answer to give when the roster does not know it.
    **Touches** pure.
    """
    by_mail = settings["person"] == "email"
    name = record.email if by_mail else record.employee_number
    return name or SinkAnswer(outcome="blocked", message_for_user=NO_MAIL if by_mail else NO_NUMBER)


def check_failed(what: str, error: RetriableError | FatalError) -> list[CheckResult]:
    """Say of an account what does not work. **Touches** pure."""
    return [CheckResult(what, ok=False, advice=error.message_for_user)]


def batches(records: Sequence[CreditRecord]) -> list[list[CreditRecord]]:
    """Split records so that none takes back another of its own part. **Touches** pure."""
    parts: list[list[CreditRecord]] = []
    for record in records:
        if not parts or record.reverses in {one.id for one in parts[-1]}:
            parts.append([])
        parts[-1].append(record)
    return parts
