"""What Python says to people: English where it is written, another language where a page shows it.

A page translates every `Text` that it is given (`web.say`). `make translations` collects the texts from the
source: see `.ci/translations.py`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, TypeVar

from babel import Locale

Code = TypeVar("Code")


class Text(str):  # noqa: SLOT000 - texts are few, and pickling needs no care.
    """An English text that still knows its blanks, so that it can be translated before they are filled.

    :param template: a constant, with blanks such as %(name)s when there are values.
    :param values: fill the blanks; one that is a `Text` is translated, too.
    """

    template: str
    values: Mapping[str, Any]

    def __new__(cls, template: str, /, **values: Any) -> Self:
        """Fill the blanks in English. **Touches** pure."""
        if isinstance(template, cls):
            return template
        text = super().__new__(cls, template % values if values else template)
        text.template, text.values = template, values
        return text

    def format(self, *_args: object, **_kwargs: object) -> "Text":
        """Stay the same: marshmallow fills its own blanks into all messages. **Touches** pure."""
        return self


class Language(str):  # noqa: SLOT000 - as above.
    """A language by its English name, for a blank of a `Text`; a page names it in its own language.

    :param code: ISO 639-1.
    """

    code: str

    def __new__(cls, code: str, /) -> Self:
        """Name it in English; a code that nobody knows stays. **Touches** pure."""
        name = super().__new__(cls, Locale("en").languages.get(code, code))
        name.code = code
        return name


def say(text: str, gettext: Callable[[str], str], name_language: Callable[[str], str] = str) -> str:
    """Say a text in another language: itself first, then what fills its blanks.

    :param gettext: translates a template.
    :param name_language: names a language by its code.
    **Touches** pure, as far as these are.
    """
    if not isinstance(text, Text):
        # The empty text would be answered with the head of the catalogue.
        return gettext(text) if text else text

    def say_value(value: Any) -> Any:
        if isinstance(value, Language):
            return name_language(value.code)
        return say(value, gettext, name_language) if isinstance(value, Text) else value

    values = {name: say_value(value) for name, value in text.values.items()}
    translated = gettext(text.template) if text else text
    return translated % values if values else translated


def pack(text: Any) -> Any:
    """Make a text, and the texts in its blanks, fit for JSON. **Touches** pure."""
    if isinstance(text, Language):
        return {"language": text.code}
    if isinstance(text, Text):
        return [text.template, {name: pack(value) for name, value in text.values.items()}]
    return text


def unpack(packed: Any) -> Any:
    """Undo `pack`. **Touches** pure."""
    if isinstance(packed, list):
        template, values = packed
        return Text(template, **{name: unpack(value) for name, value in values.items()})
    return Language(packed["language"]) if isinstance(packed, dict) else packed


def joined(parts: Iterable[str], between: str = " ") -> Text:
    """Make one text of several, of which each is translated for itself. **Touches** pure."""
    values = {f"part_{n}": Text(part) for n, part in enumerate(parts)}
    return Text(between.join(f"%({name})s" for name in values), **values)


def duration(minutes: int) -> Text:
    """Write how long something took, the same everywhere: "1 h 30 min", "45 min". **Touches** pure."""
    if abs(minutes) < 60:
        return Text("%(m)s min", m=minutes)
    return Text("%(h)s h %(m)s min", h=int(minutes / 60), m=abs(minutes) % 60)


def texts(words: Mapping[Code, str]) -> dict[Code, Text]:
    """Make the words for codes texts that pages translate. **Touches** pure."""
    return {code: Text(text) for code, text in words.items()}
