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
    languages = [SOURCE_LANGUAGE, *available]
    if asked is not None and len(asked) <= LONGEST_TAG:
        tag = asked.partition(".")[0].partition("@")[0].strip().replace("-", "_")
        found = negotiate_locale([tag], languages)
        if found is not None:
            return found
    return accepted.best_match(languages) or SOURCE_LANGUAGE
