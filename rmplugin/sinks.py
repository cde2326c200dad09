"""What a plug-in that tells other systems of learning, or makes papers of it, is given, and what it answers.

Three shapes, all brought by `rm_register_completion_sinks`:

* `CompletionSink` takes a *state*: how far somebody has come; the newest word counts (a gradebook column).
* `CreditSink` takes *events*: each line of the ledger and each completion, once (a statement, a record).
* `PaperSink` makes what a person takes along: a certificate, a badge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

import marshmallow as ma

from rmplugin.records import CheckResult, PlatformQuirks
from rmplugin.texts import Text


class SinkServices(Protocol):
    """What the core hands to a sink: a signed-in client for the platform that the target lies on."""

    def lti(self) -> tuple[Any, Any]:
        """Give `(lti.service.ServiceClient, lti.platforms.Platform)` for the record's platform."""
        ...

    def quirks(self) -> PlatformQuirks:
        """Give the dialect of the record's platform."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRecord:
    """How far one person has come in one programme: what a sink tells another system.

    Nothing about the partner or about what was said is in it.

    :param delivery_id: idempotency key, stable over resends.
    :param platform_user_id: the person's id (`sub`) on the LMS; None when the LMS does not know them.
    :param score_given: progress towards completion, 0..score_maximum.
    :param minutes: confirmed minutes so far.
    :param completed: whether the policy's criteria are met.
    :param sent_at: the timestamp to send, aware UTC. It grows by whole seconds from one call to the next for
        the same person and place, and was stored before this call, so a crash cannot use it twice.
    :param attempts: how often this record was handed to the sink, this time included.
    :param target: what the sink needs to find the place: ``line_item_url`` when it asked for one.
    """

    delivery_id: str
    platform_user_id: str | None
    programme_name: str
    score_given: float
    score_maximum: float
    minutes: int
    completed: bool
    met_at: datetime | None
    sent_at: datetime
    attempts: int
    target: Mapping[str, Any]


DeliveryOutcome = Literal["delivered", "retry", "blocked", "needs_human"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkAnswer:
    """What the other system said.

    :param outcome: what to do next.
    :param message_for_user: plain sentence when not delivered.
    :param status: HTTP status; None when there was none.
    :param remote_ref: the other system's id of what it keeps; None when it names none.
    :param retry_after: seconds; None when the other system named none.
    :param column_gone: the gradebook column is not there any more. One that this tool had made is then made
        again and the record is sent once more; else the answer stands as it is.
    :param unsure: with "needs_human": the other system may have the record, and would not know it again. It
        is sent again only when somebody who has looked there says so, not when the account is resumed.
    """

    outcome: DeliveryOutcome
    message_for_user: str = ""
    status: int | None = None
    remote_ref: str | None = None
    retry_after: float | None = None
    column_gone: bool = False
    unsure: bool = False


@runtime_checkable
class CompletionSink(Protocol):
    """A system that takes completions.

    :ivar key: name used in commands and in the database.
    :ivar title: name for people ("Course grade").
    :ivar coalesces: True when the newest state replaces older ones (a score), False for events.
    :ivar needs_line_item: True when it writes into the gradebook column of the person's course; the record's
        target then holds ``line_item_url`` and `SinkServices.lti` works.
    """

    key: str
    title: str
    coalesces: bool
    needs_line_item: bool

    def deliver(self, record: CompletionRecord, services: SinkServices, now: datetime) -> SinkAnswer:
        """Send one record. It may be called again with the same record; the effect must be one.

        :param services: the outside world, ready to use.
        :param now: aware UTC.
        """
        ...


# award: minutes of a confirmed session, never 0. reversal: takes one award back. adjustment: by a manager.
# completion: every criterion of a programme is met. withdrawal: takes one completion back.
CreditKind = Literal["award", "reversal", "adjustment", "completion", "withdrawal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditRecord:
    """One line of a person's ledger, or one completion: told to each system exactly once.

    Nothing about the partner or about what was said is in it.

    :param id: a UUID, derived from the line and the sink: the same at every try, another for every sink.
    :param reverses: id of the record that this one takes back, as this sink was given it; None for others.
    :param person_id: our id of the person, opaque.
    :param employee_number, email: None when the roster has none.
    :param pairing_id, session_id: opaque; None where the record is about a whole programme.
    :param started_at, ended_at: of the session, or of the person's time in the programme; aware UTC.
    :param time_zone: IANA name of the person's zone.
    :param minutes: whole minutes; negative in a reversal.
    :param amount_hundredths: credit in hundredths of `unit`; negative in a reversal.
    :param unit: key of the policy's unit ("contact_hours", "ceu", "cpe50").
    :param policy: its key and version ("contact_hours/1").
    :param written_at: when the line was written, aware UTC.
    :param attempts: how often this record was handed to the sink, this time included.
    :param unanswered: the last time it was handed over, no answer came back, because the worker died: the
        other system may have it already. Only a sink whose system cannot tell a repeated record has to look.
    """

    id: str
    kind: CreditKind
    reverses: str | None
    person_id: str
    employee_number: str | None
    display_name: str = field(repr=False)
    email: str | None = field(repr=False)
    role: Literal["mentor", "mentee"]
    programme_id: str
    programme_name: str
    pairing_id: str | None
    session_id: str | None
    started_at: datetime
    ended_at: datetime
    time_zone: str
    minutes: int
    amount_hundredths: int
    unit: str
    policy: str
    written_at: datetime
    attempts: int
    unanswered: bool = False


@runtime_checkable
class CreditSink(Protocol):
    """A system that takes lines of the ledger as events.

    A company connects it with settings of its own; several accounts of one sink are possible.

    :ivar key: name used in commands and in the database.
    :ivar title: name for people ("Learning record store").
    :ivar settings_schema: what an account needs; fields with ``metadata={"secret": True}`` are encrypted.
    :ivar takes: the kinds that it is told of. Who is told of awards is told of reversals, too, and who of
        completions, of withdrawals: they are given to the sink, or to a person.
    :ivar corrects: False when the other system cannot take anything back: the core then asks a person to
        correct it there by hand, instead of giving it reversals and withdrawals.
    :ivar batch: how many records it is given at a time, at most.
    :ivar calls_per_minute: how often it is called at most, per account; None for as often as needed.
    """

    key: str
    title: str
    settings_schema: type[ma.Schema]
    takes: frozenset[CreditKind]
    corrects: bool
    batch: int
    calls_per_minute: int | None

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Try the account without leaving anything there; say what to change. Never raises for a bad account.

        :param settings: loaded by `settings_schema`.
        """
        ...

    def deliver(
        self, settings: Mapping[str, Any], records: Sequence[CreditRecord], now: datetime
    ) -> Sequence[SinkAnswer]:
        """Send records, oldest first; one answer for each, in their order.

        It may be called again with the same records, and in other company; the effect must be one. What it
        raises becomes the answer for all: `RetriableError` is tried again, `FatalError` waits for a person.
        An answer "retry" therefore promises that the other system either does not have the record or will
        know it again; where neither is sure, the answer is "needs_human" and `unsure`.

        :param now: aware UTC.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRecord:
    """What a person has reached in one programme, for a paper that they take along.

    :param id: UUID of the paper; part of `verify_url`.
    :param holder_email: None when the roster has none.
    :param programme_id: UUID, the same in all papers of the programme.
    :param started_at, completed_at: aware UTC.
    :param sessions, minutes: confirmed ones that count.
    :param amount_hundredths: credit in hundredths of `unit`.
    :param criteria: what had to be met, a sentence each, in `language`.
    :param evidence_sha256: digest of the digests of all sessions that count, in hexadecimal digits.
    :param issuer_name: the company.
    :param issuer_url: the tool's own address, without a slash at the end.
    :param verify_url: public page that says whether the paper is valid.
    :param status_index: the paper's place in the issuer's list of revoked ones.
    :param language: ISO 639-1 code for its words.
    """

    id: str
    holder_name: str = field(repr=False)
    holder_email: str | None = field(repr=False)
    role: Literal["mentor", "mentee"]
    programme_id: str
    programme_name: str
    started_at: datetime
    completed_at: datetime
    sessions: int
    minutes: int
    amount_hundredths: int
    unit: str
    criteria: Sequence[str]
    evidence_sha256: str
    issued_at: datetime
    issuer_name: str
    issuer_url: str
    verify_url: str
    status_index: int
    language: str


class PaperServices(Protocol):
    """What the core hands to a `PaperSink`."""

    def seal(
        self, document: Mapping[str, Any], contexts: Mapping[str, Mapping[str, Any]], at: datetime
    ) -> dict[str, Any]:
        """Give a verifiable credential with the issuer's proof (Data Integrity, eddsa-rdfc-2022).

        Nothing is fetched: the terms of the W3C's own context are known, others are explained.

        :param contexts: address of a context -> term -> its meaning, for each term that is used.
        :param at: when it is signed, aware UTC; the same moment gives the same proof.
        :raises ValueError: a term is explained nowhere.
        """
        ...

    def say(self, text: Text, language: str) -> str:
        """Say a text in a language; what nobody translated stays English.

        :param language: ISO 639-1 code.
        """
        ...

    def issuer_id(self) -> str:
        """Give the issuer's DID."""
        ...

    def status_list_url(self) -> str:
        """Give the public address of the issuer's list of revoked papers."""
        ...


@runtime_checkable
class PaperSink(Protocol):
    """Makes papers: the same record and form give the same content.

    :ivar key: name used in addresses and in the database.
    :ivar title: name for people ("Certificate").
    :ivar forms: ending of the file -> media type ({"pdf": "application/pdf"}).
    """

    key: str
    title: str
    forms: Mapping[str, str]

    def make(self, record: PaperRecord, services: PaperServices, form: str) -> bytes:
        """Make the paper.

        :param form: one of `forms`.
        """
        ...
