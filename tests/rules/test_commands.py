"""Commands start soon: each module of them loads what it needs, all of that, and little else."""

import subprocess
import sys
from importlib import import_module

import pytest

from rmplugin.cli import COMMANDS

# What takes long to load, and is for pages, for computing or for files that few commands read.
SLOW = {
    "alembic",
    "flask",
    "huey",
    "numba",
    "openpyxl",
    "ortools",
    "scipy.sparse",
    "scipy.special",
    "scipy.stats",
}
# Commands that make pages themselves, or name an address of theirs.
PAGES = {"demo", "scim"}

# Each module in a process of its own; what all have in common is loaded once.
LOADING = """
import os, sys
from importlib import import_module
from rmplugin.db import Base

slow = sys.argv[2].split()
for name in sys.argv[1].split():
    if os.fork():
        os.wait()
        continue
    import_module(f"rmplugin.cli.{name}")
    for table in Base.metadata.tables.values():
        for key in table.foreign_keys:
            try:
                key.column
            except Exception as error:
                print(f"{name}: {error}")
    for module in set(slow) & set(sys.modules):
        print(f"{name} loads {module}")
    break
"""


def load(*names: str) -> set[str]:
    """Load modules of commands, and give what is wrong with that."""
    command = [sys.executable, "-c", LOADING, " ".join(names), " ".join(SLOW)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.splitlines())


@pytest.mark.parametrize("module", sorted(set(COMMANDS.values())))
def test_command_when_listed_is_in_the_module_that_is_named_for_it(module):
    names = {command.name for command in import_module(f"rmplugin.cli.{module}").commands}
    assert names == {name for name, place in COMMANDS.items() if place == module}


def test_modules_of_commands_when_loaded_know_all_tables_of_their_rows_and_load_nothing_slow():
    assert load(*sorted(set(COMMANDS.values()) - PAGES)) == set()


def test_module_that_loads_pages_is_found():
    assert "demo loads flask" in load("demo")
