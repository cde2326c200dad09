"""A certificate on one page: who completed what, in which role, when and for what credit; how to check it."""

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import segno
from babel.dates import format_date
from babel.numbers import format_decimal

from rmplugin.api import PaperRecord, PaperServices, PaperSink, Text, duration, hookimpl, print_document

ROLES = {
    "mentor": Text("as a mentor: as the junior who taught a senior colleague."),
    "mentee": Text("as a mentee: as the senior who learned from a junior colleague."),
}
# Key of a unit -> an amount of it.
UNITS = {
    "contact_hours": Text("%(n)s hours of 60 minutes"),
    "ceu": Text("%(n)s continuing education units"),
    "cpe50": Text("%(n)s credits of 50 minutes"),
}
SOURCE = """\
#set page(paper: "a4", margin: (x: 26mm, y: 24mm), background: {
  place(center + horizon, rect(width: 100% - 22mm, height: 100% - 22mm, stroke: 1.2pt + rgb("#0b5c7d")))
  place(center + horizon, rect(width: 100% - 26mm, height: 100% - 26mm, stroke: .4pt + rgb("#0b5c7d")))
})
#set text(size: 11pt, hyphenate: false)
#set par(leading: .7em)
#show heading: set text(size: 26pt, weight: "regular", fill: rgb("#0b5c7d"))
#align(center)[
  // A word that is longer than the line is broken, not cut off.
  #show regex("\\S{28}"): part => part + sym.zws
  #v(8mm)
  = #facts.title
  #v(8mm)
  #facts.lead
  #v(3mm)
  #text(size: if facts.author.clusters().len() > 48 { 16pt } else { 22pt }, facts.author)
  #v(3mm)
  #facts.completed
  #v(3mm)
  #text(size: 16pt, facts.programme)
  #v(3mm)
  #facts.role
]
#v(10mm)
#show terms.item: item => block(grid(columns: (45%, 1fr), column-gutter: 6mm,
  align(right, text(fill: rgb("#5a6268"), item.term)), item.description))
#for (label, value) in facts.rows [/ #label: #value
]
#v(1fr)
#grid(columns: (30mm, 1fr), column-gutter: 8mm, align: horizon,
  image(bytes(facts.code), format: "svg", width: 30mm, alt: facts.code_says),
  [#facts.check \\
   // A long address is broken before the certificate's number, not within it.
   #let parts = facts.address.split("/")
   #text(size: if facts.address.len() > 60 { 8.5pt } else { 11pt },
     link(facts.address)[#parts.slice(0, -1).join("/")/#box(parts.last())])])
"""


class Certificate:
    """Prints certificates."""

    key = "certificate"
    title: str = Text("Certificate")
    forms: Mapping[str, str] = {"pdf": "application/pdf"}

    def make(self, record: PaperRecord, services: PaperServices, form: str) -> bytes:  # noqa: ARG002 - there is one.
        """See `PaperSink`."""

        def say(text: Text) -> str:
            return services.say(text, record.language)

        facts = {
            "title": say(Text("Certificate of completion")),
            "author": record.holder_name,
            "language": record.language,
            "lead": say(Text("This confirms that")),
            "completed": say(Text("has completed the reverse-mentoring programme")),
            "programme": record.programme_name,
            "role": say(ROLES[record.role]),
            "rows": [(say(label), value) for label, value in self._rows(record, services)],
            "code": _code(record.verify_url),
            "code_says": say(Text("Code that leads to the page that says whether this certificate is valid")),
            "check": say(Text("Check here whether this certificate is valid:")),
            "address": record.verify_url,
        }
        return print_document(SOURCE, facts, record.issued_at)

    def _rows(self, record: PaperRecord, services: PaperServices) -> Iterator[tuple[Text, str]]:
        def day(moment: datetime) -> str:
            # The day comes first wherever this tool writes English.
            language = "en_GB" if record.language == "en" else record.language
            return format_date(moment.date(), "long", locale=language)

        amount = format_decimal(Decimal(record.amount_hundredths) / 100, locale=record.language)
        unit = UNITS.get(record.unit)
        credit = f"{amount} {record.unit}"
        if unit is not None:
            credit = services.say(Text(unit.template, n=amount), record.language)
        yield Text("Began on"), day(record.started_at)
        yield Text("Completed on"), day(record.completed_at)
        yield Text("Sessions that count"), format_decimal(record.sessions, locale=record.language)
        yield Text("Time given"), services.say(duration(record.minutes), record.language)
        yield Text("Credit"), credit
        yield Text("Issued by"), record.issuer_name
        yield Text("Issued on"), day(record.issued_at)
        yield Text("Number of this certificate"), record.id


def _code(address: str) -> str:
    out = io.BytesIO()
    segno.make(address, error="m").save(out, kind="svg", border=1)
    return out.getvalue().decode()


@hookimpl
def rm_register_completion_sinks() -> Sequence[PaperSink]:
    """See `hookspecs`."""
    return (Certificate(),)
