"""What programs that did not make a PDF say about it: poppler and qpdf."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pypdf import PdfReader


@dataclass
class Seen:
    """What was found out about a PDF.

    :ivar structure: kinds of the tagged parts, in reading order.
    """

    tagged: bool
    sound: bool
    fonts_embedded: bool
    language: str
    structure: list[str]
    text: str


def examine(pdf: bytes, folder: Path) -> Seen:
    path = folder / "examined.pdf"
    path.write_bytes(pdf)
    tags = _say("pdfinfo", "-struct-text", path)
    fonts = [line.split() for line in _say("pdffonts", path).splitlines()[2:]]
    return Seen(
        tagged=re.search(r"^Tagged: +yes$", _say("pdfinfo", path), re.MULTILINE) is not None,
        sound=subprocess.run(["qpdf", "--check", path], capture_output=True, check=False).returncode == 0,
        fonts_embedded=bool(fonts) and all(font[-5] == "yes" for font in fonts),
        language=str(PdfReader(path).root_object["/Lang"]),
        structure=[line.split()[0].rstrip(":") for line in tags.splitlines() if line.strip()],
        text=" ".join(_say("pdftotext", path, "-").split()),
    )


def _say(program: str, *arguments: object) -> str:
    done = subprocess.run(
        [program, *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=True,
    )
    # What these programs only grumble about is a fault, too.
    assert not done.stderr, done.stderr
    return done.stdout
