"""The house: which files a capability has, how long a file is, where `lti` and `connectors` come from."""

import ast
import importlib
import re
import subprocess
import tomllib
from importlib.metadata import entry_points

import pytest

from tests.rules.source import PACKAGES, ROOT, parse, place, python_files

CAPABILITIES = (
    "agreements",
    "aims",
    "calendars",
    "checkins",
    "credits",
    "dashboard",
    "data_requests",
    "destinations",
    "freebusy",
    "goals",
    "hours",
    "hris",
    "introductions",
    "launches",
    "leaving",
    "mailing",
    "matching",
    "messages",
    "notes",
    "papers",
    "people",
    "preparation",
    "programmes",
    "reviews",
    "safeguards",
    "scim",
    "sessions",
    "signup",
    "skills",
    "tenants",
)
ALLOWED = {
    "__init__.py",
    "forms.py",
    "models.py",
    "operations.py",
    "queries.py",
    "store.py",
    "tasks.py",
    "templates",
    "views.py",
}
# Names of one capability's own: pure calculations.
EXTRA = {
    "agreements": {"words.py"},
    "goals": {"scoring.py"},
    "calendars": {"ics.py"},
    "dashboard": {"desk.py", "pairs.py", "steps.py"},
    "data_requests": {"catalogue.py"},
    "credits": {
        "confirming.py",
        "differences.py",
        "entries.py",
        "events.py",
        "exports.py",
        "findings.py",
        "hands.py",
        "claims.py",
        "columns.py",
        "histories.py",
        "lists.py",
        "reconciling.py",
        "words.py",
    },
    "freebusy": {"parsing.py"},
    "hours": {"ledger.py"},
    "launches": {"catalogue.py"},
    "leaving": {"documents.py", "words.py"},
    "mailing": {"catalogue.py", "letters.py", "quiet.py"},
    "matching": {
        "changes.py",
        "columns.py",
        "comparing.py",
        "compiled.py",
        "counting.py",
        "desk.py",
        "documents.py",
        "ending.py",
        "explaining.py",
        "findings.py",
        "flows.py",
        "health.py",
        "interruptions.py",
        "juniors.py",
        "kernels.py",
        "lists.py",
        "measures.py",
        "pairs.py",
        "proofs.py",
        "releasing.py",
        "resuming.py",
        "rule_sets.py",
        "rules.py",
        "runs.py",
        "scoring.py",
        "solver.py",
        "surveys.py",
        "synthetic.py",
        "trials.py",
        "verdicts.py",
        "wishes.py",
        "words.py",
        "workbench.py",
    },
    "papers": {"keys.py", "proofs.py"},
    "people": {
        "brakes.py",
        "canonical.py",
        "consents.py",
        "identity.py",
        "linking.py",
        "reading.py",
        "relations.py",
        "reporting.py",
        "roster.py",
        "side_lines.py",
    },
    "preparation": {"catalogue.py"},
    "programmes": {
        "answers.py",
        "catalogue.py",
        "copies.py",
        "endorsements.py",
        "imports.py",
        "places.py",
        "profiles.py",
        "ways.py",
    },
    "reviews": {"detection.py", "evidence.py", "outcomes.py", "replay.py", "words.py"},
    "sessions": {"changes.py", "evidence.py", "prompts.py"},
    "signup": {"outlook.py"},
    "skills": {"files.py"},
    "scim": {"documents.py", "filters.py", "patches.py", "schemas.py"},
    "tenants": {"checks.py", "faults.py", "invites.py", "keys.py"},
}
OTHER_FOLDERS = {"cli", "demo", "migrations", "static", "templates", "testing", "translations"}
LONGEST_MODULE = 500
ELSEWHERE = re.compile(r"\.\./" + r"shared\b|/" + r"work/|\bissue #?\d|\bTODO\b|\bFIXME\b|\bXXX\b")


def strange_names(capability: str) -> set[str]:
    folder = ROOT / "rmplugin" / capability
    names = {path.name for path in folder.iterdir() if path.name != "__pycache__"}
    return names - ALLOWED - EXTRA.get(capability, set())


def test_rmplugin_when_listed_holds_the_capabilities_and_nothing_unknown():
    folders = {
        p.name for p in (ROOT / "rmplugin").iterdir() if p.is_dir() and not p.name.startswith(("_", "."))
    }
    assert folders == set(CAPABILITIES) | OTHER_FOLDERS


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_capability_when_listed_has_only_the_fixed_file_names(capability):
    assert strange_names(capability) == set()


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_capability_when_it_has_templates_keeps_them_under_its_own_name(capability):
    folder = ROOT / "rmplugin" / capability / "templates"
    assert not folder.exists() or {path.name for path in folder.iterdir()} == {capability}


@pytest.mark.parametrize("path", python_files(), ids=place)
def test_module_when_counted_is_short_enough(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_MODULE, f"{place(path)} has {lines} lines: split it by subject"


@pytest.mark.parametrize("name", PACKAGES)
def test_package_when_imported_comes_from_our_tree(name):
    # Packages of the same names exist elsewhere and do something else.
    assert importlib.import_module(name).__file__ == str(ROOT / name / "__init__.py")


def test_entry_points_when_installed_are_those_that_are_declared():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["rmplugin"]
    installed = {p.name: p.value for p in entry_points(group="rmplugin") if p.value.startswith("connectors.")}
    assert installed == declared


def test_import_rules_when_a_capability_is_added_cover_it():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    inside = next(contract for contract in contracts if contract["id"] == "inside")
    assert set(inside["containers"]) == {f"rmplugin.{name}" for name in CAPABILITIES}


def test_public_functions_when_defined_have_a_docstring():
    missing = []
    for path in python_files():
        for node in ast.walk(parse(path)):
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            nested = public and node.col_offset > 0 and isinstance(node, ast.FunctionDef)
            if public and not nested and ast.get_docstring(node) is None:
                missing.append(f"{place(path, node)} {node.name}")
    assert missing == []


def tracked_text_files():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and path.suffix not in (".png", ".lock", ".sqlite3", ".mo"):
            yield path


def test_files_when_read_mention_no_place_outside_the_repository():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in tracked_text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := ELSEWHERE.search(line))
    ]
    assert found == []


def test_forbidden_words_when_written_are_found():
    for text in ("see .." + "/shared/x", "in /" + "work/main", "part of issue " + "#2", "TO" + "DO: later"):
        assert ELSEWHERE.search(text), text
    assert not ELSEWHERE.search("the issuer 2, an issue of trust, network/homework/7")
