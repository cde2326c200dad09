"""Days, moments, numbers and languages written for people, in the language of the page."""

from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import babel
import babel.dates
import babel.numbers
import flask_babel


def local_day(day: date) -> str:
    """Write a day for people: "3 Dec 2026". **Touches** the language of the page."""
    locale = _locale()
    if locale.language == "en":
        return f"{day.day} {day:%b %Y}"
    return babel.dates.format_skeleton("yMMMd", day, locale=locale)


def sentence_case(text: str) -> str:
    """Begin a text with a capital and leave the rest: German nouns keep theirs. **Touches** pure."""
    return text[:1].upper() + text[1:]


def local_number(number: float) -> str:
    """Write a number for people: "812,300". **Touches** the language of the page."""
    return babel.numbers.format_decimal(number, locale=_locale())


def local_hundredths(amount: int) -> str:
    """Write hundredths as a number with two decimals: "1.50". **Touches** the language of the page."""
    return babel.numbers.format_decimal(Decimal(amount) / 100, format="#,##0.00", locale=_locale())


def local_percent(share: float) -> str:
    """Write a share for people, to the hundredth of a percent. **Touches** the language of the page."""
    return babel.numbers.format_percent(share, format="#,##0.## %", locale=_locale())


def language_name(code: str) -> str:
    """Name a language in the language of the page. **Touches** the language of the page."""
    return str(_locale().languages.get(code, code))


def language_of_page() -> str:
    """Give the language of the page, as an ISO 639-1 code. **Touches** the language of the page."""
    return str(_locale().language)


def _locale() -> babel.Locale:
    return flask_babel.get_locale() or babel.Locale("en")


def local_moment(moment: datetime, zone: str) -> str:
    """Write a moment for people, with the zone written out: "Tue 3 Dec 2026, 15:00 (Europe/Berlin)".

    :param zone: IANA name.
    **Touches** the language of the page.
    """
    local = moment.astimezone(ZoneInfo(zone))
    locale = _locale()
    if locale.language == "en":
        return f"{local:%a} {local.day} {local:%b %Y, %H:%M} ({zone})"
    day = babel.dates.format_skeleton("yMMMEd", local, locale=locale)
    return f"{day}, {local:%H:%M} ({zone})"
