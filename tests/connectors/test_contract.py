"""What every registered HR connector must keep to."""

from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from rmplugin.api import Capabilities, EmployeeRecord, ExternalError, HrisConnector, InputError
from rmplugin.plugins import Plugins
from rmplugin.records import EmploymentStatus, EmploymentType

NAMES = ("Quillfeather", "quill@example.com")


def csv_source(folder, *, people: int, bad: bool, broken: bool) -> dict:
    """Make a source for the CSV connector; every new connector adds a function like this."""
    path = folder / "roster.csv"
    rows = [f"{n:05d};Quillfeather;quill{n}@example.com;2020-01-01" for n in range(people)]
    if bad:
        rows.insert(1, "99999;Quillfeather;quill@example.com;yesterday")
    path.write_text("Employee Number;Name;Email;Hire Date\n" + "\n".join(rows) + "\n", encoding="utf-8")
    if broken:
        path.write_bytes(path.read_bytes() + b"77777;Quillfeather\xff;quill@example.com;2020-01-01\n")
    return {"path": str(path)}


SOURCES = {"csv_file": csv_source}
CONNECTORS = Plugins().connectors


def kept_elsewhere(key: str) -> bool:
    """Tell whether the connector's own tests derive from `rmplugin.testing.ConnectorContract`."""
    tests = Path(__file__).with_name(f"test_{key}.py")
    return tests.exists() and "ConnectorContract" in tests.read_text(encoding="utf-8")


@pytest.fixture(params=sorted(SOURCES))
def connector(request) -> HrisConnector:
    return CONNECTORS[request.param]


@pytest.fixture
def source(connector, tmp_path):
    def source(people: int = 5, bad: bool = False, broken: bool = False):
        given = SOURCES[connector.key](tmp_path, people=people, bad=bad, broken=broken)
        return connector.settings_schema().load(given)

    return source


def test_connector_when_registered_is_held_to_a_contract():
    assert [key for key in CONNECTORS if key not in SOURCES and not kept_elsewhere(key)] == []


def test_connector_when_registered_keeps_the_protocol(connector):
    assert isinstance(connector, HrisConnector)
    assert connector.key
    assert connector.title
    assert isinstance(connector.capabilities, Capabilities)


def test_read_when_all_is_well_gives_valid_records(connector, source):
    records = [r for page in connector.read(source(), None) for r in page.records]
    assert len({r.source_key for r in records}) == len(records) == 5
    for record in records:
        assert isinstance(record, EmployeeRecord)
        assert record.ref
        assert record.display_name
        assert record.status in get_args(EmploymentStatus)
        assert record.employment_type is None or record.employment_type in get_args(EmploymentType)
        for name in ("hire_date", "termination_date"):
            assert getattr(record, name) is None or type(getattr(record, name)) is date
        texts = [v for f in fields(record) if isinstance(v := getattr(record, f.name), str)]
        assert all(text and text == text.strip() for text in texts)


@pytest.mark.parametrize("people", [0, 1, 2000, 2001, 6000])
def test_read_when_paging_ends_and_loses_nobody(connector, source, people):
    pages = list(connector.read(source(people=people), None))
    assert sum(len(page.records) for page in pages) == people
    assert max(len(page.records) for page in pages) <= 5000


def test_read_when_one_record_is_bad_skips_it_without_naming_anybody(connector, source):
    pages = list(connector.read(source(bad=True), None))
    skipped = [s for page in pages for s in page.skipped]
    assert sum(len(page.records) for page in pages) == 5
    assert len(skipped) == 1
    assert skipped[0].ref
    assert skipped[0].field
    assert skipped[0].source_key == "99999"
    assert not any(name in f"{skipped[0].ref}{skipped[0].reason}" for name in NAMES)


def test_read_when_the_source_is_broken_raises_a_typed_error_without_naming_anybody(connector, source):
    settings = source(people=3000, broken=True)
    with pytest.raises((ExternalError, InputError)) as caught:
        list(connector.read(settings, None))
    assert not any(name in f"{caught.value} {caught.value.details}" for name in NAMES)


def test_check_when_all_is_well_is_ok_and_names_nobody(connector, source):
    results = connector.check(source())
    assert results
    assert all(result.ok for result in results)
    assert not any(name in f"{result.what}{result.advice}" for result in results for name in NAMES)


def test_check_when_the_source_is_broken_reports_and_does_not_raise(connector, source, tmp_path):
    settings = source()
    for file in tmp_path.iterdir():
        file.unlink()
    assert not all(result.ok for result in connector.check(settings))
