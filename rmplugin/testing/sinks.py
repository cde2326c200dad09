"""The contract that every sink for credits keeps."""

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, get_args
from unittest import mock

from rmplugin.api import (
    CreditKind,
    CreditRecord,
    CreditSink,
    ExternalError,
    FatalError,
    RetriableError,
    SinkAnswer,
    http,
)
from rmplugin.testing.servers import FAMILY_NAME, FAULTS, MAIL_DOMAIN, FaultyServer, caught, names_nobody

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SPACE = uuid.UUID("5f0c6f0e-0a52-4c0b-9c9b-3f9d3c2f9a10")
# With these an administrator has to change something, so that trying again alone is no answer.
REFUSED = ("unauthorised", "forbidden", "redirected")


class ContractTarget(Protocol):
    """A stand-in for the system that a sink tells, or the system itself.

    :ivar sink: the sink under test.
    :ivar settings: the account's settings as an administrator types them.
    :ivar server: the stand-in's server; None when the system is no HTTP interface.
    """

    sink: CreditSink
    settings: Mapping[str, Any]
    server: FaultyServer | None

    def kept(self) -> Sequence[tuple[str, int]]:
        """Give what the system holds, as it came: (employee number, minutes), without what was taken back."""
        ...

    def told(self) -> str:
        """Give everything that ever reached the system, as one text."""
        ...

    def spoil(self) -> None:
        """Break the system for good, in the way that is most usual for it."""
        ...


def make_records(number: int, first: int = 1) -> list[CreditRecord]:
    """Make awards whose person no message may name: employee numbers of five digits, 31 minutes and more.

    Two neighbours are a pair and had the same session. **Touches** pure.
    """
    return [_make_record(n) for n in range(first, first + number)]


def _make_record(n: int) -> CreditRecord:
    pair = (n + 1) // 2
    started = NOW - timedelta(days=30 - pair % 28, minutes=pair)
    return CreditRecord(
        id=str(uuid.uuid5(SPACE, f"record {n}")),
        kind="award",
        reverses=None,
        person_id=str(uuid.uuid5(SPACE, f"person {n}")),
        employee_number=f"{n:05d}",
        display_name=f"Given{n} {FAMILY_NAME}",
        email=f"quill{n}@{MAIL_DOMAIN}",
        role="mentor" if n % 2 else "mentee",
        programme_id=str(uuid.uuid5(SPACE, "programme")),
        programme_name="Reverse mentoring",
        pairing_id=str(uuid.uuid5(SPACE, f"pairing {pair}")),
        session_id=str(uuid.uuid5(SPACE, f"session {pair}")),
        started_at=started,
        ended_at=started + timedelta(minutes=30 + n),
        time_zone="Europe/Berlin",
        minutes=30 + n,
        amount_hundredths=round((30 + n) * 100 / 60),
        unit="contact_hours",
        policy="contact_hours/1",
        written_at=NOW - timedelta(hours=200 - n),
        attempts=1,
    )


def take_back(record: CreditRecord) -> CreditRecord:
    """Make the record that takes another one back. **Touches** pure."""
    return replace(
        record,
        id=str(uuid.uuid5(SPACE, f"takes back {record.id}")),
        kind="withdrawal" if record.kind == "completion" else "reversal",
        reverses=record.id,
        minutes=-record.minutes,
        amount_hundredths=-record.amount_hundredths,
        written_at=record.written_at + timedelta(minutes=30),
    )


def again(records: Sequence[CreditRecord], *, unanswered: bool = False) -> list[CreditRecord]:
    """Make the same records as they are handed over once more. **Touches** pure."""
    return [replace(record, attempts=record.attempts + 1, unanswered=unanswered) for record in records]


def hand_over(target: ContractTarget, records: Sequence[CreditRecord]) -> list[SinkAnswer]:
    """Hand records over as the core does: so many at a time as the sink takes. **Touches** the system.

    :return: one answer per record; an error has become the answer of all that were handed over with it.
    """
    sink, answers = target.sink, list[SinkAnswer]()
    settings = sink.settings_schema().load(target.settings)
    for start in range(0, len(records), sink.batch):
        part = records[start : start + sink.batch]
        try:
            told = list(sink.deliver(settings, part, NOW))
        except (RetriableError, FatalError) as error:
            told = [_answer_of(error)] * len(part)
        assert len(told) == len(part)
        answers += told
    return answers


def _answer_of(error: RetriableError | FatalError) -> SinkAnswer:
    return SinkAnswer(
        outcome="retry" if isinstance(error, RetriableError) else "needs_human",
        message_for_user=error.message_for_user,
        status=error.remote_status,
        retry_after=error.retry_after if isinstance(error, RetriableError) else None,
    )


def _outcomes(answers: Sequence[SinkAnswer]) -> set[str]:
    return {answer.outcome for answer in answers}


def _entries(records: Sequence[CreditRecord]) -> list[tuple[str, int]]:
    return [(record.employee_number or "", record.minutes) for record in records]


class CreditSinkContract:
    """What every sink for credits keeps to. Derive from it and give a fixture `target`.

    :ivar many: records of the tests that need several batches.
    """

    many = 23

    def test_sink_when_registered_keeps_the_protocol(self, target: ContractTarget) -> None:
        """It says what it is."""
        sink = target.sink
        assert isinstance(sink, CreditSink)
        assert sink.key
        assert sink.title
        assert sink.batch >= 1
        assert sink.takes <= set(get_args(CreditKind))
        # What is told has to be taken back there one day, by the sink or by a person who is asked to.
        assert "award" not in sink.takes or "reversal" in sink.takes
        assert "completion" not in sink.takes or "withdrawal" in sink.takes
        assert sink.calls_per_minute is None or sink.calls_per_minute >= 1

    def test_deliver_when_all_is_well_keeps_each_once_and_in_order(self, target: ContractTarget) -> None:
        """One answer for each, and all is there."""
        records = make_records(self.many)
        assert _outcomes(hand_over(target, records)) == {"delivered"}
        assert list(target.kept()) == _entries(records)

    def test_deliver_when_a_worker_died_before_the_answer_has_one_effect(
        self, target: ContractTarget
    ) -> None:
        """The same records again, in the same company and in another: nothing is there twice."""
        records = make_records(7)
        hand_over(target, records[:4])
        told = hand_over(target, [*again(records[1:4], unanswered=True), *records[4:]])
        assert _outcomes(told[:3]) <= {"delivered", "needs_human"}
        assert _outcomes(told[3:]) == {"delivered"}
        told = hand_over(target, again(records, unanswered=True))
        assert _outcomes(told) <= {"delivered", "needs_human"}
        assert list(target.kept()) == _entries(records)

    def test_deliver_when_something_is_taken_back_takes_back_that_and_nothing_else(
        self, target: ContractTarget
    ) -> None:
        """A correction is a reversal and a new award."""
        sink = target.sink
        if not sink.corrects:
            return
        first, second, third = make_records(3)
        corrected = replace(first, id=str(uuid.uuid5(SPACE, "corrected")), minutes=45)
        assert _outcomes(hand_over(target, [first, second, third])) == {"delivered"}
        correction = [take_back(first), corrected]
        told = hand_over(target, correction)
        assert _outcomes(told) == {"delivered"}
        assert _outcomes(hand_over(target, again(correction, unanswered=True))) == {"delivered"}
        assert sorted(target.kept()) == sorted(_entries([corrected, second, third]))

    def test_deliver_when_the_roster_knows_too_little_of_one_says_so_and_sends_the_others(
        self, target: ContractTarget
    ) -> None:
        """One person costs nobody else's credit."""
        records = make_records(4)
        records[1] = replace(records[1], employee_number=None, email=None)
        told = hand_over(target, records)
        assert [answer.outcome for answer in told[:1] + told[2:]] == ["delivered"] * 3
        if told[1].outcome != "delivered":
            assert told[1].outcome in ("blocked", "needs_human")
            assert told[1].message_for_user
        names_nobody(str(told))

    def test_deliver_when_the_interface_fails_loses_and_doubles_nothing(
        self, target: ContractTarget, caplog: Any, capfd: Any
    ) -> None:
        """Throttling, outages, refusals, error pages, half answers; then all is well again."""
        if target.server is None:
            return
        caplog.set_level(logging.DEBUG)
        for number, fault in enumerate(FAULTS):
            records = make_records(3, first=1 + 4 * number)
            target.server.fail(fault)
            with mock.patch.object(http, "BACK_OFF_SECONDS", 0.001):
                told = hand_over(target, records)
            target.server.fail(None)
            self._judge(fault, told, target)
            retried = [one for one, answer in zip(records, told, strict=True) if answer.outcome == "retry"]
            after = hand_over(target, again(retried))
            assert _outcomes(after) <= {"delivered"}, (fault, after)
            kept = [entry for entry in target.kept() if entry in _entries(records)]
            assert len(kept) == len(set(kept)), fault
            pairs = list(zip(records, told, strict=True))
            sure = [one for one, answer in pairs if answer.outcome != "needs_human"]
            assert set(kept) >= set(_entries(sure)), fault
            # Else it would be sent again with everything that was refused.
            refused = [one for one, answer in pairs if answer.outcome == "needs_human" and not answer.unsure]
            assert not set(kept) & set(_entries(refused)), fault
        self._say_no_secret(target, caplog.text + "".join(capfd.readouterr()))

    def _judge(self, fault: str, told: Sequence[SinkAnswer], target: ContractTarget) -> None:
        assert not fault.endswith("_once") or "needs_human" not in _outcomes(told) or fault == "reset_once"
        if fault in REFUSED:
            assert _outcomes(told) == {"needs_human"}, (fault, told)
        elif not fault.endswith("_once"):
            assert _outcomes(told) <= {"retry", "needs_human"}, (fault, told)
        if fault == "throttled_for_a_day":
            assert {answer.retry_after for answer in told} == {86400.0}
        for answer in told:
            assert answer.outcome == "delivered" or answer.message_for_user
            self._say_no_secret(target, str(answer))

    @staticmethod
    def _say_no_secret(target: ContractTarget, text: str) -> None:
        names_nobody(text)
        for name, field in target.sink.settings_schema().fields.items():
            secret = target.settings.get(name)
            assert not (field.metadata.get("secret") and secret) or str(secret) not in text

    def test_deliver_when_the_system_is_spoilt_is_typed_and_names_nobody(
        self, target: ContractTarget
    ) -> None:
        """The core can tell what to do next."""
        target.spoil()
        settings = target.sink.settings_schema().load(target.settings)
        records = make_records(3)[: target.sink.batch]
        answers = list[SinkAnswer]()
        error = caught(lambda: answers.extend(target.sink.deliver(settings, records, NOW)))
        assert error is None or isinstance(error, ExternalError), repr(error)
        assert "delivered" not in _outcomes(answers)
        self._say_no_secret(target, f"{error}{answers}")

    def test_deliver_when_two_are_a_pair_says_nothing_that_shows_it(self, target: ContractTarget) -> None:
        """No id that both people of a pair share leaves the tool."""
        records = make_records(2)
        hand_over(target, records)
        told = target.told()
        assert str(records[0].employee_number) in told or str(records[0].email) in told
        for shared in (records[0].pairing_id, records[0].session_id):
            assert str(shared) not in told

    def test_check_when_all_is_well_is_ok_and_leaves_nothing(self, target: ContractTarget) -> None:
        """A check says what works."""
        results = target.sink.check(target.sink.settings_schema().load(target.settings))
        assert results
        assert all(result.ok for result in results), results
        assert list(target.kept()) == []

    def test_check_when_the_account_is_bad_says_what_to_change(self, target: ContractTarget) -> None:
        """A check does not raise, whatever the other system does."""
        settings = target.sink.settings_schema().load(target.settings)
        for fault in FAULTS if target.server is not None else ():
            assert target.server is not None
            target.server.fail(fault)
            with mock.patch.object(http, "BACK_OFF_SECONDS", 0.001):
                results = target.sink.check(settings)
            target.server.fail(None)
            assert fault.endswith("_once") or not all(result.ok for result in results), fault
            self._say_no_secret(target, str(results))
        target.spoil()
        wrong = [result for result in target.sink.check(settings) if not result.ok]
        assert wrong
        assert all(result.advice for result in wrong)
        self._say_no_secret(target, str(wrong))
