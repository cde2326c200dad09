"""The linter of age stereotypes: what it finds, what it leaves alone, what it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin import wording
from rmplugin.programmes.catalogue import SKILLS, TEMPLATES

SEEDED = [
    ("Our digital natives explain it to the rest.", "digital native"),
    ("He is too young to understand budgets.", "too young to"),
    ("She is too old for TikTok.", "too old to"),
    ("That is quite good, at your age!", "at your age"),
    ("We keep it old-school here.", "old school"),
    ("Boomers will not get it.", "boomers"),
    ("Baby boomers lead, Gen Z follows.", "generation Z"),
    ("Millennials want everything now", "millennials"),
    ("So simple that even your grandmother gets it", "even your grandmother"),
    ("Leaders who are set in their ways", "set in their ways"),
    ("We need young blood.", "young blood"),
    ("Young people today do not read.", "young people today"),
    ("I am a technophobe", "technophobe"),
    ("Du bist zu jung, um das zu verstehen.", "zu jung, um"),
    ("Sie ist zu alt für so etwas.", "zu alt, um"),
    ("In deinem Alter war ich schon Leiter.", "in deinem Alter"),
    ("Er ist von der alten Schule.", "alte Schule"),
    ("Ein alter Hase im Vertrieb", "alter Hase"),
    ("Wir sind ein junges, dynamisches Team.", "jung und dynamisch"),
    ("Die Jugend von heute", "die Jugend von heute"),
    ("Der Grünschnabel soll warten", "Grünschnabel"),
    ("So einfach, dass selbst meine Oma es kann", "sogar die Oma"),
    ("Die gehören zum alten Eisen", "altes Eisen"),
]
HARMLESS = [
    "I went back to my old school to speak about our apprenticeships.",
    "Our product is too young to have reviews.",
    "This laptop is too old for the update.",
    "We talked about the myth of the digital native.",
    "A boomerang flies back.",
    "At your agency everybody is welcome.",
    "I care for my grandmother on Fridays.",
    "We store it in Snowflake.",
    "The team visited a dinosaur museum.",
    "Meine alte Schule liegt in Köln.",
    "Die Daten sind noch zu jung, um etwas zu sagen.",
    "Der Begriff „Digital Native“ hilft niemandem.",
    "Alter Wein in neuen Schläuchen.",
    "Mein Großvater hat hier gearbeitet.",
    "Junior colleagues teach, senior colleagues learn.",
    "",
]


@pytest.mark.parametrize(("text", "phrase"), SEEDED)
def test_find_when_a_phrase_judges_by_age_names_it_with_a_rewrite(text, phrase):
    found = {one.phrase: one.rewrite for one in wording.find(text)}
    assert phrase in found
    assert wording.find(found[phrase]) == []


@pytest.mark.parametrize("text", HARMLESS)
def test_find_when_the_words_are_harmless_finds_nothing(text):
    assert wording.find(text) == []


def test_every_rewrite_is_itself_neutral():
    assert [rewrite for _pattern, _phrase, rewrite in wording.PHRASES if wording.find(rewrite)] == []


def test_what_ships_with_the_product_judges_nobody_by_age():
    said = [skill.name for skill in SKILLS]
    said += [part for row in TEMPLATES for part in (row.name, row.summary, row.purpose, *row.topics)]
    assert [text for text in said if wording.find(text)] == []


@given(st.text())
def test_find_when_given_anything_stays_inside_the_text(text):
    assert all(0 <= one.start < len(text) for one in wording.find(text))


def test_hint_when_there_is_much_to_say_stops_at_three_and_quotes_nobody():
    told = wording.hint("Secretname: digital natives, boomers", "too old to learn, over the hill")
    assert told is not None
    assert told.count("A hint") == wording.SHOWN
    assert "Secretname" not in told


def test_with_hint_when_nothing_is_found_says_only_what_was_done():
    assert wording.with_hint("Saved.", "A calm sentence", None) == "Saved."
