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
    ("Old people are afraid of change.", "older people are, young people are"),
    ("Elderly colleagues struggle with apps.", "older people are, young people are"),
    ("Young people have no respect", "older people are, young people are"),
    ("The older generation does not get it.", "the older generation"),
    ("Not bad for someone her age.", "at your age"),
    ("Gen Zers want everything at once.", "generation Z"),
    ("I'm simply too old", "I am too old"),
    ("We need young, energetic mentors.", "young and dynamic"),
    ("Fresh young minds wanted", "fresh young minds"),
    ("He is an old fogey.", "old-timer"),
    ("Silver surfers are welcome.", "silver surfer"),
    ("She's no spring chicken.", "spring chicken"),
    ("The grey-haired board needs ideas.", "grey-haired"),
    ("Ältere Kollegen sind langsam mit Technik.", "die Älteren sind, die Jungen sind"),
    ("Junge Leute hängen nur am Handy.", "die Älteren sind, die Jungen sind"),
    ("Die ältere Generation versteht das nicht.", "die ältere Generation"),
    ("Wir suchen junge, dynamische Mentoren.", "jung und dynamisch"),
    ("Dafür bin ich zu alt.", "ich bin zu alt"),
    ("Einem alten Hund bringt man nichts bei.", "alter Hund, neue Tricks"),
    ("Was Hänschen nicht lernt, lernt Hans nimmermehr.", "Was Hänschen nicht lernt"),
    ("Die jungen Wilden bringen Schwung.", "die jungen Wilden"),
    ("Er ist noch feucht hinter den Ohren.", "grün hinter den Ohren"),
    ("Der Grufti aus dem Vorstand", "Grufti"),
    ("Silver Surfer sind willkommen.", "Silver Surfer"),
    ("He is close to retirement and does not care.", "close to retirement"),
    ("She is about to retire anyway.", "close to retirement"),
    ("Our board lives in the stone age.", "stone age"),
    ("Stone-age managers", "stone age"),
    ("Der Chef steht kurz vor der Rente.", "kurz vor der Rente"),
    ("Diese Präsentation ist aus der Steinzeit.", "aus der Steinzeit"),
    ("How boomers think", "boomers"),
    ("Wie Boomer denken", "boomers"),
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
    "We sell to older customers and want to understand them.",
    "I volunteer with elderly neighbours.",
    "Generation Z customers are our market segment.",
    "A younger generation of chips needs less power.",
    "The new generation of our software.",
    "I was a young engineer when I joined.",
    "New blood bank app.",
    "Age discrimination law is a topic I know.",
    "Die Generation Z als Kundengruppe interessiert mich.",
    "Der Server ist zu alt für das Update.",
    "Wir verkaufen an ältere Kundinnen und Kunden.",
    "Ich pflege meine alte Mutter.",
    "Die neue Generation unserer Software.",
    "Eine jüngere Generation von Geräten.",
    "Ich arbeite in der Altersvorsorge.",
    "Junior colleagues teach, senior colleagues learn.",
    "How boomers buy insurance",
    "How Gen Z and millennials bank and save",
    "Selling to millennials",
    "Wie Boomer Versicherungen kaufen",
    "How Gen Z chooses a bank",
    "Wie die Generation Z einkauft",
    "Retirement planning is a product of ours.",
    "A visit to the Stone Age museum",
    "Die Steinzeit im Museum",
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
