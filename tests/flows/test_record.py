"""The record that each person owns: what is in it, what is not, and how it prints."""

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from rmplugin.goals.models import Goal
from rmplugin.goals.operations import change_goal, record_progress
from rmplugin.leaving import documents, operations
from rmplugin.leaving.models import Thanks
from rmplugin.notes import operations as notes
from rmplugin.people.models import Person
from tests.conftest import START
from tests.factories.pairs import GOAL, Pair, make_pair
from tests.factories.papers import examine
from tests.factories.people import make_person

LONG = "Prof. Dr. Annegret Wilhelmine Großmüller-Żółciński-Łukaszewska von und zu Öhringen-Überlingen"


@pytest.fixture
def pair(runtime, tenant) -> Pair:
    return make_pair(runtime, tenant)


def printed(browser, pair: Pair) -> str:
    response = browser.client.post(
        f"/programmes/{pair.programme.id}/record.pdf", headers={"X-Rm-Session": browser.token}
    )
    assert response.status_code == 200
    assert response.mimetype == "application/pdf"
    return read(response.get_data())


def finish(pair: Pair, person: Person, words: str) -> None:
    """Have somebody take something on and do it."""
    secrets = pair.runtime.database.secrets
    with pair.transaction() as db:
        values = {"text": words, "due_on": pair.now.date()}
        item = notes.take_on(db, secrets, pair.get(db), None, person.id, values, pair.now)
        notes.finish(db, secrets, item, person.id, "Es waren drei.", pair.now)


def read(pdf: bytes) -> str:
    return " ".join(" ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(pdf)).pages)


def test_pdf_when_both_wrote_much_holds_the_owners_words_alone(pair, sign_in, tenant):
    mine = pair.add_goal(
        pair.mentor, title="Einen Vortrag über Bürokratieabbau halten", baseline="Ich hörte zu."
    )
    pair.add_goal(pair.mentee, title="PARTNERGOAL", baseline="PARTNERBASE")
    with pair.transaction() as db:
        goal = db.get_one(Goal, mine.id)
        change_goal(
            db, goal, GOAL | {"title": "Zwei Vorträge halten", "baseline": "later"}, pair.mentor.id, pair.now
        )
        record_progress(db, goal, pair.mentor.id, 1, "Größer als gehofft.", pair.now)
    pair.agree(hopes="AGREEDHOPES")
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    pair.claim(session, pair.mentee, 60)
    for person, words in ((pair.mentor, "Zwei Fragen sammeln"), (pair.mentee, "PARTNERITEM")):
        finish(pair, person, words)
    text = printed(sign_in(tenant, pair.mentor), pair)
    for own in (
        "What I took on and did Zwei Fragen sammeln Es waren drei.",
        "Mira Junior",
        "The goal at first: Einen Vortrag über Bürokratieabbau halten",
        "Where it started: Ich hörte zu.",
        "Zwei Vorträge halten",
        "+1, more than hoped. Every report.",
        "Größer als gehofft.",
    ):
        assert own in text
    for theirs in ("PARTNER", "AGREEDHOPES", "Sven", "Prompts that work"):
        assert theirs not in text


def test_pdf_when_a_thank_you_is_kept_has_it_and_not_otherwise(pair, sign_in, tenant, clock):
    pair.end()
    with pair.transaction() as db:
        thanks = operations.thank(
            db, pair.get(db), pair.mentee.id, "Du hast mir die Augen geöffnet.", pair.now
        )
    clock.forward(days=1)
    with pair.transaction() as db:
        operations.deliver_thanks(db, pair.now)
    browser = sign_in(tenant, pair.mentor)
    assert "Augen" not in printed(browser, pair)
    with pair.transaction() as db:
        operations.keep_thanks(db, thanks.id, pair.mentor.id, keep=True)
    assert "Du hast mir die Augen geöffnet. Sven Senior, 23 Nov 2026" in printed(browser, pair)
    assert "Augen" not in printed(sign_in(tenant, pair.mentee), pair)
    with pair.transaction() as db:
        assert db.get_one(Thanks, thanks.id).is_kept


def test_pdf_when_the_name_is_very_long_prints_all_of_it(pair, sign_in, tenant):
    with pair.transaction() as db:
        db.get_one(Person, pair.mentor.id).display_name = LONG
    assert LONG in printed(sign_in(tenant, pair.mentor), pair)


def test_pdf_can_be_had_twice_from_one_page(pair, sign_in, tenant):
    browser = sign_in(tenant, pair.mentor).get(f"/programmes/{pair.programme.id}/record")
    form = next(form for form in browser.forms() if form["action"].endswith("/record.pdf"))
    for _ in range(2):
        answer = browser.client.post(form["action"], data=form["fields"])
        assert (answer.status_code, answer.mimetype) == (200, "application/pdf")


def test_record_of_a_programme_without_a_pairing_of_mine_is_not_found(pair, sign_in, tenant):
    with pair.transaction() as db:
        stranger = make_person(db)
    browser = sign_in(tenant, stranger)
    assert browser.get(f"/programmes/{pair.programme.id}/record").status == 404
    assert browser.post(f"/programmes/{pair.programme.id}/record.pdf").status == 404


@given(words=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=300))
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_pdf_of_whatever_was_typed_can_be_read(words):
    lines = [("title", "Title"), ("subheading", words), ("quote", words), ("text", "The end")]
    pdf = documents.make_pdf(lines, title=words, author=words, language="de", at=START)
    assert "The end" in read(pdf)


def test_pdf_when_words_look_like_markup_prints_them_as_they_are():
    pdf = documents.make_pdf(
        [("text", "1 < 2 & <b>so</b> <img src='x'/>"), ("text", "W" * 400)],
        title="T",
        author="A",
        language="en",
        at=START,
    )
    text = read(pdf)
    assert "1 < 2 & <b>so</b> <img src='x'/>" in text
    assert text.replace(" ", "").count("W") == 400


@pytest.mark.part("poppler")
def test_pdf_when_made_is_tagged_sound_and_carries_its_fonts(tmp_path):
    lines = [
        ("title", "Was ich erreicht habe"),
        ("heading", "Ünal"),
        ("quote", "Eins\nzwei"),
        ("text", "Drei"),
    ]
    seen = examine(documents.make_pdf(lines, title="T", author="A", language="de", at=START), tmp_path)
    assert seen.tagged
    assert seen.sound
    assert seen.fonts_embedded
    assert seen.language == "de"
    assert [line for line in seen.structure if line in ("H1", "H2", "BlockQuote", "P")] == [
        "H1",
        "H2",
        "BlockQuote",
        "P",
    ]


def test_record_before_completion_says_how_far_it_is(pair, sign_in, tenant):
    browser = sign_in(tenant, pair.mentor).get(f"/programmes/{pair.programme.id}/record")
    assert "What you have reached so far" in browser.says()
