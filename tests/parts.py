"""A pytest plug-in: names every part of the suite that could not run here; in CI such a part is a failure.

Tests need programs that a developer may not have (PostgreSQL, Redis, Chromium …). They are skipped with a
reason. Where ``CI=true`` nothing may be missing, so every skip becomes a failure, but for tests of the other
database.
"""

import importlib.util
import os
import shutil
from collections import Counter

import pytest

from tests.connectors.directories import find_samba, find_slapd
from tests.factories.lrs import find_ralph
from tests.factories.node import find_node
from tests.postgres import find_binaries

ENGINE = os.environ.get("RM_TEST_DATABASE", "sqlite")
IN_CI = os.environ.get("CI") == "true"
# A test that is about one database only says so with this reason; the run on that database executes it.
OTHER_DATABASE = "only on "

PARTS = {
    "chromium": (lambda: shutil.which("chromium") is not None, "Chromium is not installed"),
    "firefox": (lambda: shutil.which("firefox-esr") is not None, "Firefox ESR is not installed"),
    "node": (find_node, "Node.js or the npm packages of tests/node are not installed (make environment)"),
    "numba": (lambda: importlib.util.find_spec("numba") is not None, "the extra fast is not installed"),
    "openedx": (
        lambda: importlib.util.find_spec("lti_consumer") is not None,
        "the dependency group openedx is not installed",
    ),
    "poppler": (
        lambda: all(map(shutil.which, ("pdfinfo", "pdffonts", "qpdf"))),
        "poppler-utils or qpdf is not installed",
    ),
    "postgresql": (lambda: find_binaries() is not None, "PostgreSQL's server is not installed"),
    "ralph": (find_ralph, "Ralph, a learning record store, is not installed: make environment"),
    "redis": (lambda: shutil.which("redis-server") is not None, "redis-server is not installed"),
    "samba": (find_samba, "Samba's domain controller is not installed, or the tests do not run as root"),
    "slapd": (lambda: find_slapd() is not None, "OpenLDAP's slapd is not installed"),
}


def pytest_addoption(parser):
    parser.addoption(
        "--database-only",
        action="store_true",
        help="leave out the tests that use no database, when the same tests ran already on the other one",
    )
    parser.addoption(
        "--fault-schedules",
        type=int,
        # They take long; on the second database a part of them finds what only it does differently.
        default=200 if os.environ.get("RM_TEST_DATABASE", "sqlite") == "sqlite" else 40,
        help="how many seeded schedules of faults are played (tests/flows/test_fault_schedules.py)",
    )


def pytest_configure(config):
    config.addinivalue_line(
        "markers", f"part(name): needs a program that may be missing: {', '.join(sorted(PARTS))}"
    )
    config.addinivalue_line(
        "markers",
        "conformance(suite, case, sent, code, status, shows): a certification case, a row of docs/lti.md",
    )
    config.addinivalue_line("markers", "only_on(engine): about one database: sqlite or postgresql")


def uses_database(item):
    return "_template" in item.fixturenames or item.get_closest_marker("only_on") is not None


def pytest_collection_modifyitems(config, items):
    for item in items:
        for marker in item.iter_markers("part"):
            present, reason = PARTS[marker.args[0]]
            if not present():
                item.add_marker(pytest.mark.skip(reason=reason))
        for marker in item.iter_markers("only_on"):
            if marker.args[0] != ENGINE:
                item.add_marker(pytest.mark.skip(reason=f"{OTHER_DATABASE}{marker.args[0]}"))
    if config.getoption("--database-only"):
        left_out = [item for item in items if not uses_database(item)]
        items[:] = [item for item in items if uses_database(item)]
        config.hook.pytest_deselected(items=left_out)


def _refuse_skip(report):
    """Turn a skip into a failure, unless the run on the other database executes the test."""
    if not IN_CI or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = _reason(report)
    if OTHER_DATABASE not in reason:
        report.outcome = "failed"
        report.longrepr = f"Nothing may be skipped where CI=true, but this was: {reason}"


def _reason(report):
    longrepr = report.longrepr
    return (longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)).removeprefix("Skipped: ")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    _refuse_skip(report)
    return report


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section(f"parts of the suite on {ENGINE}")
    for name, (present, reason) in sorted(PARTS.items()):
        terminalreporter.write_line(f"{name:<12} {'here' if present() else f'MISSING: {reason}'}")
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"{count} not run: {reason}")
