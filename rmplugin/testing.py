"""For authors of connectors: a contract that every connector keeps, and a server for stand-ins that can fail.

Derive a test class from `ConnectorContract`, give it a fixture `source` that makes a `ContractSource`, and
run pytest. The connectors that come with the tool are held to the same contract.
"""

import io
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Protocol, Self, get_args
from unittest import mock
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from rmplugin.api import (
    Capabilities,
    CursorExpiredError,
    EmployeeRecord,
    ExternalError,
    FatalError,
    HrisConnector,
    InputError,
    RetriableError,
    RosterPage,
    http,
)
from rmplugin.records import EmploymentStatus, EmploymentType

# Words of the people that the contract puts into a source; none of them may stand in a message.
FAMILY_NAME, MAIL_DOMAIN = "Quillfeather", "quill.example"
# Ways of failing that every HTTP interface knows, and what a reading must end with.
FAULTS: Mapping[str, type[Exception] | None] = {
    "throttled_once": None,
    "throttled_for_a_day": RetriableError,
    "down_once": None,
    "down": RetriableError,
    "reset_once": None,
    "unauthorised": FatalError,
    "forbidden": FatalError,
    "html": RetriableError,
    "truncated": RetriableError,
    "redirected": FatalError,
}


class ContractSource(Protocol):
    """A stand-in for the system that a connector reads.

    :ivar connector: the connector under test.
    :ivar settings: the account's settings as an administrator types them.
    :ivar server: the stand-in's server; None when the system is no HTTP interface.
    """

    connector: HrisConnector
    settings: Mapping[str, Any]
    server: "FaultyServer | None"

    def fill(self, people: Sequence[Mapping[str, Any]]) -> None:
        """Make these the system's people.

        :param people: canonical fields: source_key (a number of five digits), given_name, family_name, email,
            hire_date. One with ``bad=True`` has a date that no system writes, or else is not usable.
        """
        ...

    def spoil(self) -> None:
        """Break the system for good, in the way that is most usual for it."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that a stand-in got."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class _Quiet(WSGIRequestHandler):
    def log(self, *_words: object, **_more: object) -> None:
        """Say nothing."""


class FaultyServer:
    """Serves a WSGI application on loopback, and fails as it is told.

    :param app: the stand-in.
    :ivar url: its address.
    :ivar asked: the requests so far.
    :ivar spare: a path that begins so never fails: where tokens are fetched.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], *, spare: str = "\0") -> None:
        self._app = app
        self.asked: list[Asked] = []
        self.spare = spare
        self._fault: str | None = None
        self._good = 0
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        # It looks this often whether it shall stop; a test should not wait half a second for that.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fail(self, fault: str | None, *, after: int = 0) -> None:
        """Fail from now on, or once.

        :param fault: a key of `FAULTS`; None to be well again.
        :param after: so many good answers come first.
        """
        self._fault, self._good = fault, after

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        asked = Asked(
            request.method,
            request.path,
            request.query_string.decode(),
            dict(request.headers),
            request.get_data(cache=True, parse_form_data=False),
        )
        self.asked.append(asked)
        # The body can be read once only; the stand-in wants it, too.
        environ["wsgi.input"] = io.BytesIO(asked.body)
        if self._fault is not None and not request.path.startswith(self.spare):
            if self._good > 0:
                self._good -= 1
            else:
                return self._broken(self._fault, request, environ)(environ, start_response)
        return self._app(environ, start_response)

    def _broken(self, fault: str, request: Request, environ: WSGIEnvironment) -> Response:
        if fault.endswith("_once"):
            self._fault = None
        if fault in ("truncated", "reset_once"):
            whole = Response.from_app(self._app, environ).get_data()
            # Fewer bytes than were announced: the connection breaks off.
            half = iter([whole[: len(whole) // 2]])
            return Response(
                half, 200, {"Content-Length": str(len(whole)), "Content-Type": "application/json"}
            )
        answers: Mapping[str, tuple[int, dict[str, str], str]] = {
            "throttled_once": (429, {"Retry-After": "0"}, "{}"),
            "throttled_for_a_day": (429, {"Retry-After": "86400"}, "{}"),
            "down_once": (503, {"Retry-After": "0"}, "<html>down</html>"),
            "down": (500, {}, "<html>down</html>"),
            "unauthorised": (401, {}, "{}"),
            "forbidden": (403, {}, "{}"),
            "html": (200, {"Content-Type": "text/html"}, "<html>Please sign in</html>"),
            "redirected": (302, {"Location": f"http://localhost:1{request.path}"}, ""),
        }
        status, headers, body = answers[fault]
        return Response(body, status, headers)


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
        _names_nobody(f"{skipped[0].ref}{skipped[0].reason}")

    def test_read_when_the_source_is_spoilt_raises_a_typed_error_without_naming_anybody(
        self, source: ContractSource
    ) -> None:
        """The core can tell what to do next."""
        source.fill(make_people(5))
        source.spoil()
        error = caught(lambda: read_all(source.connector, source.settings))
        assert isinstance(error, ExternalError | InputError), repr(error)
        _names_nobody(f"{error}{error.details}")

    def test_check_when_all_is_well_is_ok_and_names_nobody(self, source: ContractSource) -> None:
        """A check says what works."""
        source.fill(make_people(5))
        results = source.connector.check(source.connector.settings_schema().load(source.settings))
        assert results
        assert all(result.ok for result in results), results
        _names_nobody(str(results))

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
                    _names_nobody(str(error))

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


def caught(action: Callable[[], object]) -> Any:
    """Give what an action raises; None when it raises nothing."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - the caller looks at it.
        return error
    return None


def _names_nobody(text: str) -> None:
    for word in (FAMILY_NAME, MAIL_DOMAIN, "quill"):
        assert word.lower() not in text.lower()
