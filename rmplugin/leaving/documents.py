"""Prints lines of words as a PDF that the reader owns: no database, no request."""

from collections.abc import Iterable
from datetime import datetime

from rmplugin.printing import print_document

SOURCE = """\
#set page(paper: "a4", margin: 22mm)
#set text(size: 10pt)
#show heading.where(level: 1): set text(size: 20pt, weight: "regular")
#show heading.where(level: 2): set text(size: 14pt, weight: "regular")
#show heading.where(level: 3): set text(size: 11pt, weight: "regular")
#let lines(words) = words.split("\\n").join(linebreak())
#for (kind, words) in facts.lines {
  if kind == "title" [= #words]
  else if kind == "heading" [== #words]
  else if kind == "subheading" [=== #words]
  else if kind == "quote" [#quote(block: true, lines(words))]
  else [#par(lines(words))]
}
"""


def make_pdf(
    lines: Iterable[tuple[str, str]], *, title: str, author: str, language: str, at: datetime
) -> bytes:
    """Print lines one below the other on A4, as many pages as they need.

    :param lines: how each is printed (title, heading, subheading, text or quote), and its words.
    :param language: ISO 639-1 code of the words, for those who listen to the document.
    :param at: when it is made, aware UTC.
    **Touches** reads the font.
    """
    facts = {"title": title, "author": author, "language": language, "lines": list(lines)}
    return print_document(SOURCE, facts, at)
