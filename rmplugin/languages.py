"""Which language a page is in: what the launch asked for, else what the browser asks for, else English.

Days, moments and numbers are written in it.
"""

from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import babel
import babel.dates
import babel.numbers
import flask_babel
from babel import negotiate_locale
from werkzeug.datastructures import LanguageAccept

SOURCE_LANGUAGE = "en"
# The longest language tag that makes sense (RFC 5646, section 4.4.1); what is longer is no language.
LONGEST_TAG = 35


def choose(asked: str | None, accepted: LanguageAccept, available: Sequence[str]) -> str:
    """Choose the language of a page.

    :param asked: what the launch asked for, in any spelling: "de", "de-AT", "de_DE.utf8", or nonsense; None
        when it did not say.
    :param accepted: the browser's languages.
    :param available: languages that there are translations for, without regions.
    :return: one of `available`, or English.
    **Source** LTI Core 1.3, section 5.4.4 (launch_presentation.locale); RFC 4647. **Touches** pure.
    """
    wanted = [asked or "", *(tag for tag, quality in accepted if quality > 0)]
    tags = [_plain(tag) for tag in wanted if len(tag) <= LONGEST_TAG]
    return negotiate_locale(tags, [SOURCE_LANGUAGE, *available]) or SOURCE_LANGUAGE


def _plain(tag: str) -> str:
    """Take off what POSIX adds, such as ".utf8" and "@euro"."""
    return tag.partition(".")[0].partition("@")[0].strip().replace("-", "_")


def locale_of_page() -> babel.Locale:
    """Give language and country of the page that is being made; English outside of pages.

    **Touches** the language of the page.
    """
    return flask_babel.get_locale() or babel.Locale("en")


def local_day(day: date) -> str:
    """Write a day for people: "3 Dec 2026". **Touches** the language of the page."""
    locale = locale_of_page()
    if locale.language == "en":
        return f"{day.day} {day:%b %Y}"
    return babel.dates.format_skeleton("yMMMd", day, locale=locale)


def local_number(number: float) -> str:
    """Write a number for people: "812,300". **Touches** the language of the page."""
    return babel.numbers.format_decimal(number, locale=locale_of_page())


def local_percent(share: float) -> str:
    """Write a share for people, to the hundredth of a percent. **Touches** the language of the page."""
    return babel.numbers.format_percent(share, format="#,##0.## %", locale=locale_of_page())


def local_moment(moment: datetime, zone: str) -> str:
    """Write a moment for people, with the zone written out: "Tue 3 Dec 2026, 15:00 (Europe/Berlin)".

    :param zone: IANA name.
    **Touches** the language of the page.
    """
    local = moment.astimezone(ZoneInfo(zone))
    locale = locale_of_page()
    if locale.language == "en":
        return f"{local:%a} {local.day} {local:%b %Y, %H:%M} ({zone})"
    day = babel.dates.format_skeleton("yMMMEd", local, locale=locale)
    return f"{day}, {local:%H:%M} ({zone})"
