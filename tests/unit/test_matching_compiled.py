"""The compiled kernel where nothing can be written."""

import os
import subprocess
import sys

import pytest

CHECK = """
from rmplugin.matching import solver
from rmplugin.matching.columns import build
from rmplugin.matching.synthetic import make_company
company = make_company(20)
problem = build(company.mentors, company.mentees, reporting=company.reporting)
assert solver.solve(problem, kernel="numba").pairs == solver.solve(problem, kernel="numpy").pairs
"""


@pytest.mark.part("numba")
def test_compiled_when_no_folder_for_the_cache_can_be_written_still_computes():
    environ = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    # Of all folders only that of a setting which is not made.
    environ["NUMBA_CACHE_LOCATOR_CLASSES"] = "UserProvidedCacheLocator"
    subprocess.run([sys.executable, "-c", CHECK], check=True, env=environ, timeout=150)
