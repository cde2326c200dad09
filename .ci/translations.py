"""Collects what is said to people, brings every catalogue up to date, and compiles it: `make translations`.

Said to people: the words of the templates; what `lti` answers a refused launch or registration with, which
knows of no languages; what our Python says: `Text("...")`, `texts({...})`, and every whole sentence. What
nobody has translated is shown in English.
"""

import ast
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from lti.errors import LAUNCH_CODES, REGISTRATION_CODES, LaunchError, RegistrationError
from rmplugin.errors import NotFoundError

ROOT = Path(__file__).resolve().parent.parent
CATALOGUES = ROOT / "rmplugin" / "translations"
# What these say is read in a terminal or a log only, or by machines.
NOT_SHOWN = (
    *("cli", "demo", "migrations", "api", "audit", "db", "hookspecs", "http", "jobs", "plugins", "records"),
    *("notifiers", "settings", "wsgi", "programmes/imports"),
    *("tenants/checks", "tenants/keys", "tenants/tasks", "testing"),
    # SCIM's answers are read by identity providers.
    *(f"scim/{name}" for name in ("documents", "filters", "operations", "patches", "schemas", "views")),
)
# Calls of which every text is shown.
SAYING = ("Content", "Step", "Text", "map", "texts")
SENTENCE = re.compile(r"\A[A-Z“%][^`]* [^`]*[.?!]\Z")

NO_HEADERS = (
    *(b"Project-Id-Version", b"Report-Msgid-Bugs-To", b"POT-Creation-Date", b"PO-Revision-Date"),
    *(b"Last-Translator", b"Language-Team", b"Generated-By"),
)


def collect() -> Catalog:
    """Return a catalogue of everything that is said, without translations.

    The places are left out: they would change with every edit.
    """
    said = Catalog(project="rmplugin")
    methods = [("templates/**.html", "jinja2"), ("**/templates/**.html", "jinja2")]
    # As `app.py` reads them; a template that cannot be read is an error, not a page without translations.
    options = {"**.html": {"extensions": "jinja2.ext.do", "silent": "false"}}
    found = extract_from_dir(ROOT / "rmplugin", methods, options)
    for name, _line, message, _comments, context in found:
        if not name.startswith("demo"):
            said.add(message, context=context)
    for code in LAUNCH_CODES:
        said.add(LaunchError(code).message)
    for code in REGISTRATION_CODES:
        said.add(RegistrationError(code).message)
    for path in shown_modules():
        for text in texts_in(ast.parse(path.read_text(encoding="utf-8"))):
            said.add(text)
    return said


def shown_modules() -> Iterator[Path]:
    """Yield the modules whose texts pages show, or a page shows later."""
    for path in sorted((ROOT / "rmplugin").rglob("*.py")):
        name = path.relative_to(ROOT / "rmplugin").with_suffix("").as_posix()
        if not any(name == hidden or name.startswith(f"{hidden}/") for hidden in NOT_SHOWN):
            yield path
    for folder in ("sinks", "notify", "policies"):
        yield from sorted((ROOT / "connectors" / folder).glob("*.py"))
    yield ROOT / "connectors" / "channels.py"
    yield ROOT / "connectors" / "events.py"


def texts_in(tree: ast.Module) -> Iterator[str]:
    """Yield the texts for people in a module."""
    pieces = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    pieces |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from told_by(node)
        elif isinstance(node, ast.Assign) and "title" in ast.unparse(node.targets[0]).lower():
            yield from constants(node.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in pieces:
            yield from SENTENCE.findall(node.value)


def told_by(call: ast.Call) -> Iterator[str]:
    """Yield the texts that a call shows."""
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if name == "NotFoundError":
        yield from (NotFoundError(what).message_for_user for what in [*constants(*call.args)] or ["page"])
    elif name in ("NavLink", "CatalogueSkill"):
        yield from constants(call.args[0])
    elif name == "Template":
        yield from (text for word in call.keywords if word.arg == "name" for text in constants(word.value))
    elif name in SAYING:
        yield from constants(*call.args)
    yield from (text for word in call.keywords if word.arg == "title" for text in constants(word.value))


def constants(*nodes: ast.expr) -> Iterator[str]:
    """Yield the texts in expressions: no codes, which are keys; no paths and no commands."""
    for node in nodes:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and re.fullmatch(r"[^/`]+", node.value):
                yield node.value
        elif isinstance(node, ast.Dict):
            yield from constants(*node.values)
        elif isinstance(node, ast.IfExp):
            yield from constants(node.body, node.orelse)
        elif isinstance(node, ast.Tuple | ast.List):
            yield from constants(*node.elts)
        elif isinstance(node, ast.Starred):
            yield from constants(node.value)
        elif isinstance(node, ast.BoolOp):
            yield from constants(*node.values)
        elif isinstance(node, ast.Call):
            yield from constants(*node.args[1:])


def update(path: Path, said: Catalog) -> Catalog:
    """Return a language's catalogue with what is said now; what is said no longer goes."""
    known = read_po(io.BytesIO(path.read_bytes()), locale=path.parent.parent.name)
    known.update(said, no_fuzzy_matching=True, update_creation_date=False)
    known.obsolete.clear()
    return known


def as_po(catalogue: Catalog) -> bytes:
    """Write a catalogue for people, without dates and names: the history of the file has them."""
    catalogue.header_comment = "# Written by `make translations`; translate here, then run it again."
    out = io.BytesIO()
    write_po(out, catalogue, width=110, no_location=True, sort_output=True, omit_header=False)
    return re.sub(rb'(?m)^"(?:%s): .*\\n"\n' % b"|".join(NO_HEADERS), b"", out.getvalue())


def as_mo(catalogue: Catalog) -> bytes:
    """Write a catalogue for the program; the same one always gives the same file."""
    catalogue.creation_date = catalogue.revision_date = datetime(2026, 1, 1, tzinfo=UTC)
    out = io.BytesIO()
    write_mo(out, catalogue)
    return out.getvalue()


def untranslated(catalogue: Catalog) -> list[str | list[str] | tuple[str, ...]]:
    """List the texts without a translation, those with a plural of which one form is missing, too."""
    return [
        message.id
        for message in catalogue
        if message.id and not (message.string and (isinstance(message.string, str) or all(message.string)))
    ]


def main() -> None:
    """Bring all catalogues up to date and tell what is not translated."""
    said = collect()
    for path in sorted(CATALOGUES.glob("*/LC_MESSAGES/messages.po")):
        catalogue = update(path, said)
        path.write_bytes(as_po(catalogue))
        path.with_suffix(".mo").write_bytes(as_mo(catalogue))
        open_ = untranslated(catalogue)
        print(f"{path.relative_to(ROOT)}: {len(catalogue)} texts, {len(open_)} not translated")
        for text in open_:
            print(f"  {text}")


if __name__ == "__main__":
    main()
