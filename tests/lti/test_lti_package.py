"""`lti` is ours, although a package of this name exists elsewhere, and it is a leaf."""

import subprocess
import sys
from pathlib import Path

import lti

ROOT = Path(__file__).resolve().parents[2]


def test_lti_when_imported_comes_from_our_tree():
    assert Path(lti.__file__).resolve().parents[1] == ROOT


def test_lti_when_imported_whole_loads_neither_database_nor_mentoring():
    modules = [f"lti.{path.stem}" for path in (ROOT / "lti").glob("*.py") if path.stem != "__init__"]
    assert "lti.routes" in modules
    program = (
        f"import sys, {', '.join(modules)}\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('rmplugin', 'connectors', 'sqlalchemy')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
