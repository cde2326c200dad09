"""Which language a page is in: what the launch asked for, else what the browser asks for, else English."""

from collections.abc import Sequence

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
