"""Writing letters: subject, plain text and HTML, in the reader's language. Nothing private is in them."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import jinja2

from rmplugin import languages
from rmplugin.mailing.catalogue import SERVICE, find_kind
from rmplugin.texts import Text, say


class Reader(NamedTuple):
    """Who a letter is for.

    :param given_name: None for somebody whose name is not known.
    :param language: one of `languages.translated`.
    :param programme: its name; None when they are in none.
    :param url: where the button leads.
    :param in_lms: the button leads to the activity itself, and not to the tool's own address.
    """

    given_name: str | None
    language: str
    programme: str | None
    url: str
    in_lms: bool


class Draft(NamedTuple):
    """A letter's words."""

    subject: str
    text: str
    html: str


def groups_of(kinds: Sequence[str]) -> list[str]:
    """Give the groups of some kinds that can be switched off, sorted. **Touches** pure."""
    return sorted({find_kind(kind).group for kind in kinds} - {SERVICE})


def write(kinds: Sequence[str], reader: Reader, unsubscribe_url: str | None) -> Draft:
    """Write a letter about one thing, or one that bundles several.

    :param kinds: kinds of notices, the oldest first; not empty.
    :param unsubscribe_url: None when all of them are such as cannot be switched off.
    **Touches** pure, but for the catalogues of translations.
    """
    gettext = languages.translator(reader.language)
    parts = {name: say(text, gettext) for name, text in _parts(kinds, reader).items()}
    lines = _lines(kinds, gettext) if len(kinds) > 1 else []
    template = _templates().get_template("letter.html")
    direction = languages.direction(reader.language)
    html = template.render(
        parts,
        lines=lines,
        url=reader.url,
        unsubscribe_url=unsubscribe_url,
        language=reader.language,
        direction=direction,
    )
    said = [parts["hello"], parts["sentence"], *(["\n".join(f"- {line}" for line in lines)] if lines else [])]
    said += [f"{parts['button']}: {reader.url}", *([parts["way"]] if parts["way"] else [])]
    foot = [f"{parts['why']} {parts['discreet']}"]
    foot.append(f"{parts['stop']}: {unsubscribe_url}" if unsubscribe_url else parts["unstoppable"])
    foot.append(parts["change"])
    return Draft(parts["subject"], "\n\n".join([*said, "-- \n" + "\n\n".join(foot)]) + "\n", html)


def _parts(kinds: Sequence[str], reader: Reader) -> dict[str, Text]:
    single = find_kind(kinds[0])
    if len(kinds) > 1:
        single = single._replace(
            subject=Text("%(n)s things wait for you", n=len(kinds)),
            sentence=Text("This is new in your mentoring programme:"),
            button=Text("Open the programme"),
        )
    name = Text("Hello %(name)s,", name=reader.given_name) if reader.given_name else Text("Hello,")
    return {
        "subject": single.subject,
        "hello": name,
        "sentence": single.sentence,
        "button": single.button,
        "way": Text("")
        if reader.in_lms
        else Text("The tool opens from your course in the learning platform. Open the activity there."),
        "why": Text("You get this mail because you take part in “%(name)s”.", name=reader.programme)
        if reader.programme
        else Text("You get this mail because you have to do with reverse mentoring in your company."),
        "discreet": Text("It says what kind of thing waits, and never what anybody wrote."),
        "stop": Text("No more mails of this kind"),
        "unstoppable": Text("Such mails are few and cannot be switched off."),
        "change": Text("Which mails you get, and when, you choose in the tool under “Notifications”."),
    }


def _lines(kinds: Sequence[str], gettext: Callable[[str], str]) -> list[str]:
    """Say each kind once, with how often."""
    counts = Counter(kinds)
    return [
        say(find_kind(kind).subject, gettext) + (f" ({count})" if count > 1 else "")
        for kind, count in counts.items()
    ]


@cache
def _templates() -> jinja2.Environment:
    loader = jinja2.PackageLoader("rmplugin.mailing", "templates/mailing")
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
