"""Platforms differ in their dialects only: nowhere else does the code ask which family one belongs to."""

import ast

import pytest

from rmplugin.plugins import STANDARD, Plugins
from tests.rules.source import parse, place, python_files

DIALECTS = "connectors/lms/"
# Reads what the LMSs print about themselves, each in its own way: there the family is what is found out.
READERS = ("lti/printed.py",)
FAMILIES = frozenset(Plugins().quirks) - {STANDARD}


def names_a_family(node: ast.AST) -> bool:
    """Tell whether a piece of code asks for the family of a platform or names one."""
    return any(
        (isinstance(item, ast.Attribute) and item.attr == "family")
        or (isinstance(item, ast.Name) and item.id == "family")
        or (isinstance(item, ast.Constant) and item.value in FAMILIES)
        for item in ast.walk(node)
    )


def chosen_by_family(tree: ast.AST) -> list[ast.AST]:
    """Find comparisons, look-ups and `match` by family."""
    found: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            # Whether a family is known at all is no difference between two of them.
            known = any(
                (isinstance(side, ast.Attribute) and side.attr == "quirks")
                or (isinstance(side, ast.Name) and side.id == "known")
                for side in node.comparators
            )
            asked = not known and names_a_family(node)
        elif isinstance(node, ast.Subscript):
            asked = names_a_family(node.slice)
        elif isinstance(node, ast.Match):
            asked = names_a_family(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            asked = node.func.attr in ("get", "startswith", "endswith") and any(
                map(names_a_family, node.args)
            )
        else:
            asked = False
        if asked:
            found.append(node)
    return found


def test_code_when_read_asks_for_no_family_outside_the_dialects():
    found = [
        place(path, node)
        for path in python_files()
        if DIALECTS not in path.as_posix() and not path.as_posix().endswith(READERS)
        for node in chosen_by_family(parse(path))
    ]
    assert found == []


@pytest.mark.parametrize(
    "fault",
    [
        'x = 1 if platform.family == "canvas" else 2',
        'if row.family in ("moodle", "canvas"): pass',
        "if family not in COLUMNS_BY_TEACHERS: pass",
        'if quirks.key == "moodle": pass',
        "text = TEXTS[platform.family]",
        "text = TEXTS.get(platform.family)",
        'match platform.family:\n    case "moodle": pass',
        'if code.startswith("canvas"): pass',
    ],
)
def test_code_when_it_asks_for_a_family_is_found(fault):
    assert chosen_by_family(ast.parse(fault))


def test_code_when_it_asks_the_dialect_is_let_pass():
    good = "quirks = plugins.quirks_of(platform.family)\nif quirks.column_by_teacher: pass"
    assert chosen_by_family(ast.parse(good)) == []
