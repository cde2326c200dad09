"""Collects what is said to people, brings every catalogue up to date, and compiles it: `make translations`.

Said to people: the words of the templates; what a refused launch is answered with, which `lti` writes without
knowing of languages; titles and texts that the pages for errors are given; the menu. What nobody has
translated is shown in English.
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

from lti.errors import LAUNCH_CODES, LaunchError

ROOT = Path(__file__).resolve().parent.parent
CATALOGUES = ROOT / "rmplugin" / "translations"
# Modules whose titles and texts are shown by the template `message.html` or in the menu.
MODULES = ("rmplugin/app.py", "rmplugin/errors.py", "rmplugin/launches/views.py")

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
    for name, _line, message, _comments, context in extract_from_dir(ROOT / "rmplugin", methods):
        if not name.startswith("demo"):
            said.add(message, context=context)
    for code in LAUNCH_CODES:
        said.add(LaunchError(code).message)
    for module in MODULES:
        for text in texts_in(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
            said.add(text)
    return said


def texts_in(tree: ast.Module) -> Iterator[str]:
    """Yield the plain texts that a module hands to a page or an error."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            named = [keyword.value for keyword in node.keywords if keyword.arg in ("title", "text")]
            yield from (text for value in (*node.args, *named) for text in sentences(value))
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id.lower() for target in targets if isinstance(target, ast.Name)]
            if any(name.endswith(("title", "titles")) or name == "text" for name in names):
                yield from sentences(node.value)


def sentences(node: ast.expr) -> Iterator[str]:
    """Yield the texts for people in an expression: they begin with a capital letter."""
    choices = ast.iter_child_nodes(node) if isinstance(node, ast.Dict | ast.IfExp) else [node]
    for part in choices:
        text = part.value if isinstance(part, ast.Constant) else None
        if isinstance(text, str) and re.match(r"[A-Z][a-z]+( |$)", text) and "\n" not in text:
            yield text


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


def main() -> None:
    """Bring all catalogues up to date and tell what is not translated."""
    said = collect()
    for path in sorted(CATALOGUES.glob("*/LC_MESSAGES/messages.po")):
        catalogue = update(path, said)
        path.write_bytes(as_po(catalogue))
        path.with_suffix(".mo").write_bytes(as_mo(catalogue))
        open_ = [message.id for message in catalogue if message.id and not message.string]
        print(f"{path.relative_to(ROOT)}: {len(catalogue)} texts, {len(open_)} not translated")
        for text in open_:
            print(f"  {text}")


if __name__ == "__main__":
    main()
