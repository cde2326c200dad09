"""The contract that every HR connector keeps."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date
from typing import Any, Protocol, get_args
from unittest import mock

from rmplugin.api import (
    Capabilities,
    CursorExpiredError,
    EmployeeRecord,
    ExternalError,
    HrisConnector,
    InputError,
    RosterPage,
    http,
)
from rmplugin.records import EmploymentStatus, EmploymentType
from rmplugin.testing.servers import FAMILY_NAME, FAULTS, MAIL_DOMAIN, FaultyServer, caught, names_nobody


class ContractSource(Protocol):
    """A stand-in for the system that a connector reads.

    :ivar connector: the connector under test.
    :ivar settings: the account's settings as an administrator types them.
    :ivar server: the stand-in's server; None when the system is no HTTP interface.
    """

    connector: HrisConnector
    settings: Mapping[str, Any]
    server: FaultyServer | None

    def fill(self, people: Sequence[Mapping[str, Any]]) -> None:
        """Make these the system's people.

        :param people: canonical fields: source_key (a number of five digits), given_name, family_name, email,
            hire_date. One with ``bad=True`` has a date that no system writes, or else is not usable.
        """
        ...

    def spoil(self) -> None:
        """Break the system for good, in the way that is most usual for it."""
        ...


def read_all(
    connector: HrisConnector, settings: Mapping[str, Any], cursor: str | None = None
) -> list[RosterPage]:
    """Read everything, with settings as an administrator types them. **Touches** the connector's system."""
    return list(connector.read(connector.settings_schema().load(settings), cursor))


def make_people(number: int) -> list[dict[str, Any]]:
    """Make people whom no message may name. **Touches** pure."""
    return [
        {
            "source_key": f"{n:05d}",
            "given_name": f"Given{n}",
            "family_name": FAMILY_NAME,
            "email": f"quill{n}@{MAIL_DOMAIN}",
            "hire_date": date(2020, 1, 1 + n % 28),
        }
        for n in range(1, number + 1)
    ]


class ConnectorContract:
    """What every connector keeps to. Derive from it and give a fixture `source`.

    :ivar many: people of the tests that need several pages; fewer where each person costs requests.
    """

    many = 230

    def test_connector_when_registered_keeps_the_protocol(self, source: ContractSource) -> None:
        """It says what it is."""
        connector = source.connector
        assert isinstance(connector, HrisConnector)
        assert connector.key
        assert connector.title
        assert isinstance(connector.capabilities, Capabilities)

    def test_read_when_all_is_well_gives_valid_records(self, source: ContractSource) -> None:
        """Every record is fit to be stored."""
        people = make_people(5)
        source.fill(people)
        records = [r for page in read_all(source.connector, source.settings) for r in page.records]
        assert sorted(r.email or "" for r in records) == sorted(p["email"] for p in people)
        assert len({r.source_key for r in records}) == len(records)
        for record in records:
            check_record(record)

    def test_read_when_paging_ends_and_loses_nobody(self, source: ContractSource) -> None:
        """Nobody is lost or doubled at the end of a page."""
        for number in (0, 1, 2, 3, 4, 5, 6, 7, self.many):
            source.fill(make_people(number))
            keys = [
                r.source_key for page in read_all(source.connector, source.settings) for r in page.records
            ]
            assert (len(keys), len(set(keys))) == (number, number)

    def test_read_when_one_record_is_bad_skips_it_without_naming_anybody(
        self, source: ContractSource
    ) -> None:
        """One bad record costs nobody else's."""
        people = make_people(5)
        source.fill([*people[:2], {**people[2], "bad": True}, *people[3:]])
        pages = read_all(source.connector, source.settings)
        skipped = [s for page in pages for s in page.skipped]
        assert sum(len(page.records) for page in pages) == 4
        assert len(skipped) == 1
        assert skipped[0].ref
        assert skipped[0].field
        assert skipped[0].source_key
        names_nobody(f"{skipped[0].ref}{skipped[0].reason}")

    def test_read_when_the_source_is_spoilt_raises_a_typed_error_without_naming_anybody(
        self, source: ContractSource
    ) -> None:
        """The core can tell what to do next."""
        source.fill(make_people(5))
        source.spoil()
        error = caught(lambda: read_all(source.connector, source.settings))
        assert isinstance(error, ExternalError | InputError), repr(error)
        names_nobody(f"{error}{error.details}")

    def test_check_when_all_is_well_is_ok_andnames_nobody(self, source: ContractSource) -> None:
        """A check says what works."""
        source.fill(make_people(5))
        results = source.connector.check(source.connector.settings_schema().load(source.settings))
        assert results
        assert all(result.ok for result in results), results
        names_nobody(str(results))

    def test_check_when_the_source_is_spoilt_reports_and_does_not_raise(self, source: ContractSource) -> None:
        """A check says what does not work, and what to do."""
        source.fill(make_people(5))
        source.spoil()
        results = source.connector.check(source.connector.settings_schema().load(source.settings))
        wrong = [result for result in results if not result.ok]
        assert wrong
        assert all(result.advice for result in wrong)

    def test_read_when_the_interface_fails_ends_as_the_fault_asks(self, source: ContractSource) -> None:
        """Throttling, outages, refusals, error pages, half answers: at the first request and further on."""
        if source.server is None:
            return
        people = make_people(self.many)
        source.fill(people)
        read_all(source.connector, source.settings)
        requests = sum(not a.path.startswith(source.server.spare) for a in source.server.asked)
        for fault, expected in FAULTS.items():
            for after in {0, requests // 2}:
                source.server.fail(fault, after=after)
                pages: list[RosterPage] = []

                def read(into: list[RosterPage] = pages) -> None:
                    into.extend(read_all(source.connector, source.settings))

                with mock.patch.object(http, "BACK_OFF_SECONDS", 0.001):
                    error = caught(read)
                source.server.fail(None)
                if expected is None:
                    assert error is None, (fault, after, repr(error))
                    assert len({r.source_key for p in pages for r in p.records}) == len(people), (
                        fault,
                        after,
                    )
                else:
                    assert isinstance(error, expected), (fault, after, repr(error))
                    names_nobody(str(error))

    def test_read_when_only_changes_are_asked_gives_at_least_these(self, source: ContractSource) -> None:
        """A cursor loses no change, whatever else it repeats."""
        if not source.connector.capabilities.incremental:
            return
        people = make_people(9)
        source.fill(people[:6])
        cursor = read_all(source.connector, source.settings)[-1].cursor
        assert cursor
        time.sleep(0.01)
        changed = {**people[0], "given_name": "Changed"}
        source.fill([changed, *people[1:]])
        pages = read_all(source.connector, source.settings, cursor)
        found = {r.email for page in pages for r in page.records}
        assert found >= {p["email"] for p in (changed, *people[6:])}
        assert pages[-1].cursor

    def test_read_when_the_cursor_is_not_ours_does_not_take_part_of_the_roster_for_all(
        self, source: ContractSource
    ) -> None:
        """A cursor that the source has forgotten is said to be, so that the core reads everything."""
        if not source.connector.capabilities.incremental:
            return
        source.fill(make_people(3))
        error = caught(lambda: read_all(source.connector, source.settings, "no-such-place"))
        assert isinstance(error, CursorExpiredError), repr(error)


def check_record(record: EmployeeRecord) -> None:
    """Assert that a record is fit to be stored."""
    assert isinstance(record, EmployeeRecord)
    assert record.ref
    assert record.source_key
    assert record.status in get_args(EmploymentStatus)
    assert record.employment_type is None or record.employment_type in get_args(EmploymentType)
    for name in ("hire_date", "termination_date"):
        assert getattr(record, name) is None or type(getattr(record, name)) is date
    texts = [v for f in fields(record) if isinstance(v := getattr(record, f.name), str)]
    assert all(text and text == text.strip() and text.isprintable() for text in texts)
    assert record.withheld <= {f.name for f in fields(EmployeeRecord)}
