"""Prints documents that people keep: tagged PDF, which screen readers follow, and pictures. Typst does it."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import typst

# Packages with fonts: Latin, Greek and Cyrillic; Arabic; Devanagari; Chinese, Japanese and Korean.
FONTS = (
    "fontpkg_noto_sans",
    "fontpkg_noto_sans_arabic",
    "fontpkg_noto_sans_devanagari",
    "noto_cjk_sans_jp_regular",
)
HEAD = """\
#let facts = json(bytes(sys.inputs.facts))
#set document(title: facts.title, author: facts.author)
#set text(
  font: ("Noto Sans", "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans CJK JP"),
  lang: facts.language, fill: rgb("#1d2125"),
)
"""

# Poppler takes the "false" for a fault, which is what holds without it. No byte moves its place.
SUSPECTS = b"/MarkInfo<</Marked true/Suspects false>>"
MARKED = b"/MarkInfo<</Marked true>>".ljust(len(SUSPECTS))

Form = Literal["pdf", "png", "svg"]


def print_document(source: str, facts: Mapping[str, Any], at: datetime, form: Form = "pdf") -> bytes:
    """Print a document. The same arguments give the same bytes, wherever the fonts of ours suffice.

    A PDF keeps to PDF/UA-1. Where a name is in a script that none of our fonts knows, the machine's own fonts
    are asked, and the document is tagged all the same, but promises no standard.

    :param source: Typst; it finds what is said in `facts`, never in its own text, so that no words are
        taken for commands.
    :param facts: JSON-ready; "title", "author" and "language" (ISO 639-1) are the document's own.
    :param at: when it was made, aware UTC.
    **Source** Typst 0.15; ISO 14289-1. **Touches** reads fonts.
    """
    options: dict[str, Any] = {
        "format": form,
        "font_paths": _font_folders(),
        "sys_inputs": {"facts": json.dumps(facts, ensure_ascii=False)},
        "timestamp": int(at.timestamp()),
    }
    text = (HEAD + source).encode()
    if form != "pdf":
        return bytes(typst.compile(text, ignore_system_fonts=True, **options))
    try:
        pdf = bytes(typst.compile(text, ignore_system_fonts=True, pdf_standards=["ua-1"], **options))
    except typst.TypstError:
        pdf = bytes(typst.compile(text, **options))
    return pdf.replace(SUSPECTS, MARKED, 1)


@cache
def _font_folders() -> list[str]:
    return [str(files(name)) for name in FONTS]
