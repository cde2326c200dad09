"""What the rules look at: our own Python files, parsed."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("rmplugin", "connectors", "lti")


def python_files(*folders: str) -> list[Path]:
    """List the Python files of the folders, without the migrations' generated ones."""
    found = (path for name in folders or PACKAGES for path in (ROOT / name).rglob("*.py"))
    return sorted(path for path in found if "versions" not in path.parts and "__pycache__" not in path.parts)


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def place(path: Path, node: ast.AST | None = None) -> str:
    line = f":{node.lineno}" if hasattr(node, "lineno") else ""
    return f"{path.relative_to(ROOT).as_posix()}{line}"


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Give every function and method, inner ones as part of the outer one."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from (item for item in node.body if isinstance(item, ast.FunctionDef))


def names_in(node: ast.AST) -> set[str]:
    """Give every name, attribute and keyword that a piece of code mentions."""
    found = set()
    for item in ast.walk(node):
        if isinstance(item, ast.Name):
            found.add(item.id)
        elif isinstance(item, ast.Attribute):
            found.add(item.attr)
        elif isinstance(item, ast.keyword) and item.arg:
            found.add(item.arg)
        elif isinstance(item, ast.Constant) and isinstance(item.value, str):
            found.add(item.value)
    return found
