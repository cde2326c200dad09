"""Prints lines of words as a PDF that the reader owns: no database, no request."""

import io
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Paragraph, SimpleDocTemplate

FONT = "NotoSans"
MARGIN = 22 * mm


def make_pdf(lines: Iterable[tuple[str, str]], *, title: str, author: str, language: str) -> bytes:
    """Print lines one below the other on A4, as many pages as they need.

    :param lines: how each is printed (title, heading, subheading, text or quote), and its words.
    :param language: ISO 639-1 code of the words, for those who listen to the document.
    **Touches** reads the font.
    """
    styles = _styles()
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        title=title,
        author=author,
        lang=language,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
    )
    document.build([Paragraph(escape(words).replace("\n", "<br/>"), styles[kind]) for kind, words in lines])
    return out.getvalue()


@cache
def _styles() -> Mapping[str, ParagraphStyle]:
    path = files("fontpkg_noto_sans") / "files" / "NotoSans[wdth,wght].ttf"
    pdfmetrics.registerFont(TTFont(FONT, str(path)))
    ink = HexColor("#1d2125")

    def style(name: str, size: int, before: int, after: int, indent: int = 0) -> ParagraphStyle:
        return ParagraphStyle(
            name,
            fontName=FONT,
            fontSize=size,
            leading=size * 1.4,
            spaceBefore=before,
            spaceAfter=after,
            leftIndent=indent,
            textColor=ink,
            # A word that is longer than the line is broken, not cut off.
            splitLongWords=1,
            keepWithNext=name in ("heading", "subheading"),
        )

    return {
        "title": style("title", 20, 0, 10),
        "heading": style("heading", 14, 14, 4),
        "subheading": style("subheading", 11, 8, 2),
        "text": style("text", 10, 0, 3),
        "quote": style("quote", 10, 2, 5, indent=12),
    }
