"""The main pages in a made-up language whose texts are longer and marked, written from left and from right.

Whatever on a page is neither marked nor somebody's own words was never given to the translators.
"""

import html
import re

import pytest

from tests.factories.pseudo import LANGUAGES, make_main_pages, pseudo, write_catalogues

MARKED = re.compile(r"⟦[^⟦⟧]*⟧")
# Babel writes days and moments by the language itself; a time zone has its name everywhere.
MOMENT = re.compile(r"(\w\w, )?\d+ \w+ \d{4}|\(?\w+/\w+\)?")


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory):
    return write_catalogues(tmp_path_factory.mktemp("translations"))


@pytest.fixture
def main_pages(app, runtime, tenant, catalogues):
    return make_main_pages(app, runtime, tenant, catalogues)


def unmarked(page: str, own: set[str]) -> list[str]:
    """Give the English sentences on a page that nobody could translate."""
    page = re.sub(r"<(script|style|textarea|option|title)[^>]*>.*?</\1>", " ", page, flags=re.DOTALL)
    found = []
    for text in re.findall(r">([^<]+)<", page):
        plain = html.unescape(text)
        while MARKED.search(plain):
            plain = MARKED.sub(" ", plain)
        for words in sorted(own, key=len, reverse=True):
            plain = plain.replace(words, " ")
        plain = MOMENT.sub(" ", plain)
        if len(re.findall(r"[A-Za-z]{2,}", plain)) > 1 and "⟦" not in plain:
            found.append(" ".join(plain.split()))
    return found


@pytest.mark.parametrize(("language", "direction"), LANGUAGES.items())
def test_main_pages_when_the_language_is_made_up_leave_nothing_in_english(main_pages, language, direction):
    # Marks that markup divides are seen as one when the markup inside sentences is taken out.
    found = {}
    for who, addresses in main_pages.paths.items():
        for path in addresses:
            browser = main_pages.browsers[who].get(path, query_string={"_": 1})
            page = browser.client.get(
                path, headers={"X-Rm-Session": browser.token, "Accept-Language": language}
            ).get_data(as_text=True)
            assert f'lang="{language}" dir="{direction}"' in page
            if left := unmarked(page, main_pages.typed):
                found[path] = left
    assert found == {}


def test_mark_when_a_text_was_not_given_to_translators_is_missed():
    assert pseudo("%(n)d hours") == "⟦%(n)d hóúrs lóng⟧"
    assert unmarked("<p>⟦Yés ⟦ńo⟧ lóng⟧ Mira Junior</p>", {"Mira Junior"}) == []
    assert unmarked("<p>This was forgotten.</p>", set()) == ["This was forgotten."]
