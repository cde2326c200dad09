"""Which language a page is in: what the launch asked for, else what the browser asks for, else English."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from babel import Locale, negotiate_locale
from babel.support import Translations
from werkzeug.datastructures import LanguageAccept

SOURCE_LANGUAGE = "en"
# The longest language tag that makes sense (RFC 5646, section 4.4.1); what is longer is no language.
LONGEST_TAG = 35
CATALOGUES = Path(__file__).parent / "translations"


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


@cache
def translator(language: str) -> Callable[[str], str]:
    """Give what translates a text where no page is made: in a mail.

    :param language: one of `translated`, or English.
    **Touches** reads the catalogue, once.
    """
    # Of `gettext` alone the empty text would be answered with the head of the catalogue.
    known = Translations.load(CATALOGUES, [language])
    return lambda text: str(known.gettext(text)) if text else text


def first_translated(asked: Sequence[str | None]) -> str:
    """Give the first language that there are translations for; English when there is none.

    :param asked: in any spelling; None among them counts for nothing.
    **Touches** reads the folder of the catalogues.
    """
    tags = [_plain(tag) for tag in asked if tag and len(tag) <= LONGEST_TAG]
    return negotiate_locale(tags, translated()) or SOURCE_LANGUAGE


def direction(language: str) -> str:
    """Tell how a language is written: "ltr" or "rtl". **Touches** pure."""
    return Locale.parse(language).text_direction


@cache
def translated() -> tuple[str, ...]:
    """Give the languages that there are translations for, English first. **Touches** reads the folder."""
    return (SOURCE_LANGUAGE, *sorted(path.name for path in CATALOGUES.iterdir() if path.is_dir()))


def _plain(tag: str) -> str:
    """Take off what POSIX adds, such as ".utf8" and "@euro"."""
    return tag.partition(".")[0].partition("@")[0].strip().replace("-", "_")
