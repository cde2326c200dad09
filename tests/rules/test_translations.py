"""Translations: everything that is said is in the catalogues, with the same blanks, and compiled."""

import gettext
import importlib.util
import io
import re

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from rmplugin.texts import duration
from tests.rules.source import ROOT

_spec = importlib.util.spec_from_file_location("translations", ROOT / ".ci" / "translations.py")
translations = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(translations)
FILES = sorted(translations.CATALOGUES.glob("*/LC_MESSAGES/messages.po"))
LANGUAGES = [path.parent.parent.name for path in FILES]
BLANK = re.compile(r"%\(\w+\)\d*[sd]")


def read(path):
    return read_po(io.BytesIO(path.read_bytes()))


def texts(message):
    """Give a message's text and its translation, the last of both where there are plurals."""
    if isinstance(message.id, str):
        return message.id, message.string or ""
    return message.id[-1], (message.string or ("",))[-1]


def unknown(said, catalogue):
    return [m.id for m in said if m.id and catalogue.get(m.id, m.context) is None]


def wrong_blanks(catalogue):
    pairs = [texts(message) for message in catalogue if message.id]
    return [said for said, other in pairs if other and set(BLANK.findall(said)) != set(BLANK.findall(other))]


@pytest.mark.parametrize("path", FILES, ids=LANGUAGES)
def test_catalogue_when_everything_is_collected_has_it(path):
    assert unknown(translations.collect(), read(path)) == [], "run `make translations`"


@pytest.mark.parametrize("path", FILES, ids=LANGUAGES)
def test_catalogue_when_a_text_is_said_has_its_translation_and_all_plurals(path):
    assert translations.untranslated(read(path)) == [], "translate them in messages.po"


@pytest.mark.parametrize("path", FILES, ids=LANGUAGES)
def test_catalogue_when_a_text_has_blanks_has_the_same_in_its_translation(path):
    assert wrong_blanks(read(path)) == []


def test_texts_when_they_tell_hours_and_minutes_leave_it_to_the_one_function():
    told = [
        str(message.id)
        for message in translations.collect()
        if re.search(r"%\(\w+\)\w* h\b", str(message.id))
    ]
    assert told == [duration(60).template], "write it with `texts.duration`"


@pytest.mark.parametrize("path", FILES, ids=LANGUAGES)
def test_catalogue_when_compiled_says_what_its_source_says(path):
    with path.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for message in read(path):
        if isinstance(message.id, str) and message.string and message.id:
            assert compiled.gettext(message.id) == message.string, "run `make translations`"
        elif message.id and all(message.string):
            assert [compiled.ngettext(*message.id, n) for n in (1, 2)] == list(message.string)


def test_catalogue_when_written_again_stays_the_same():
    catalogue = read(FILES[0])
    assert translations.as_po(catalogue) == translations.as_po(catalogue)
    assert translations.as_mo(catalogue) == translations.as_mo(catalogue)


def test_rules_when_a_text_is_missing_or_lost_a_blank_find_it():
    said, known = Catalog(), Catalog(locale="de")
    said.add("New")
    known.add("Old")
    known.add("%(n)d minutes", "Minuten")
    known.add(("%(n)d day", "%(n)d days"), ("%(n)d Tag", ""))
    assert translations.untranslated(known) == ["Old", ("%(n)d day", "%(n)d days")]
    assert unknown(said, known) == ["New"]
    assert wrong_blanks(known) == ["%(n)d minutes"]
    assert "Skip to the content" in [message.id for message in translations.collect()]


def test_german_when_it_speaks_of_who_teaches_says_rank_and_never_age():
    """Mentors are lower in rank or new, of whatever age; "jünger" would say another thing than "junior"."""
    (german,) = [path for path in FILES if path.parent.parent.name == "de"]
    said = [texts(message) for message in read(german) if message.id]
    speaking = [(text, other) for text, other in said if re.search(r"\b(junior|senior)", text, re.IGNORECASE)]
    assert speaking
    assert [
        other for _text, other in speaking if re.search(r"\bjünger|\bjunge|\bälter", other, re.IGNORECASE)
    ] == []
