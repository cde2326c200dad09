"""Confidential help: only somebody outside both lines can be asked, and only they read it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.errors import InputError
from rmplugin.notify import Notice
from rmplugin.people.models import Person, SideLine
from rmplugin.safeguards import operations, queries
from rmplugin.safeguards.models import ContactPerson, SafeguardCase
from tests.factories.pairs import make_pair
from tests.factories.people import make_person

SECRET = "He shouts at me in every session"


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


def add_contact(pair, **fields):
    with pair.transaction() as db:
        person = make_person(db, **fields)
        operations.add_contact(db, pair.programme, person.employee_number, "command", pair.now)
    return person


def can_be_asked(pair):
    with pair.transaction() as db:
        return {person.id for person in queries.contacts_for(db, pair.get(db))}


def lead(pair, person, manager):
    with pair.transaction() as db:
        db.get_one(Person, person.id).manager_id = manager.id


def ask(pair, person, contact, *, nameless=False):
    with pair.transaction() as db:
        secrets = pair.runtime.database.secrets
        return operations.ask_for_help(
            db, secrets, pair.get(db), person.id, contact.id, SECRET, pair.now, nameless=nameless
        )


@pytest.mark.parametrize("side", ["mentor", "mentee"])
@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("contact_is", ["above", "below"])
def test_contact_when_in_a_reporting_line_at_any_depth_cannot_be_asked(pair, side, depth, contact_is):
    contact, outside = add_contact(pair), add_contact(pair)
    with pair.transaction() as db:
        between = [make_person(db) for _ in range(depth - 1)]
    chain = [getattr(pair, side), *between, contact]
    if contact_is == "below":
        chain.reverse()
    for person, manager in pairwise(chain):
        lead(pair, person, manager)
    assert can_be_asked(pair) == {outside.id}
    with pytest.raises(InputError, match="no_contact"):
        ask(pair, pair.mentor, contact)


@pytest.mark.parametrize("kind", ["dotted", "appraisal", "hr_partner"])
def test_contact_when_beside_the_line_cannot_be_asked(pair, kind):
    contact = add_contact(pair)
    with pair.transaction() as db:
        db.add(SideLine(person_id=pair.mentee.id, other_id=contact.id, kind=kind))
    assert can_be_asked(pair) == set()


def test_contact_when_one_of_the_two_or_of_another_programme_cannot_be_asked(runtime, tenant, pair):
    other = make_pair(runtime, tenant)
    add_contact(other)
    with pair.transaction() as db:
        operations.add_contact(db, pair.programme, pair.mentor.employee_number, "command", pair.now)
    assert can_be_asked(pair) == set()


def test_contact_when_a_colleague_of_the_same_manager_can_be_asked(pair):
    contact = add_contact(pair)
    with pair.transaction() as db:
        boss = make_person(db)
    lead(pair, contact, boss)
    lead(pair, pair.mentor, boss)
    assert can_be_asked(pair) == {contact.id}


@given(st.dictionaries(st.integers(0, 9), st.integers(0, 9)), st.integers(0, 9))
def test_line_above_when_walked_ends_even_in_a_circle(lines, person):
    above = queries.line_above(lines, person)
    assert above <= set(lines.values())
    assert all(lines.get(one, one) in above or one not in lines for one in {person, *above})


def test_request_when_sent_through_the_page_is_read_by_the_contact_alone(sign_in, tenant, pair):
    contact, other = add_contact(pair), add_contact(pair)
    browser = sign_in(tenant, pair.mentor).get(pair.path)
    assert f'href="{pair.path}/help"' in browser.text
    browser.get(f"{pair.path}/help").submit("/help", contact=str(contact.id), words=SECRET, nameless="yes")
    assert "Only the person whom you chose can read it." in browser.says()
    assert f"{contact.display_name}: sent" in browser.says()
    case = pair.rows(SafeguardCase)[0]
    assert SECRET.encode() not in case.words_locked
    reader = sign_in(tenant, contact).get(f"/help-requests/{case.id}")
    assert SECRET in reader.says()
    assert "do not tell them who asked" in reader.says()
    for person, manager in ((other, False), (pair.mentee, False), (pair.mentee, True), (pair.mentor, False)):
        assert sign_in(tenant, person, manager=manager).get(f"/help-requests/{case.id}").status == 404
    partner = sign_in(tenant, pair.mentee)
    assert contact.display_name + ": sent" not in partner.get(f"{pair.path}/help").says()
    assert SECRET not in " ".join(str(row.text) for row in pair.rows(Notice))


def test_request_when_its_state_moves_tells_who_asked_that_there_is_news(sign_in, tenant, pair):
    contact = add_contact(pair)
    case = ask(pair, pair.mentor, contact)
    reader = sign_in(tenant, contact).get("/help-requests")
    assert "Mira Junior: sent" in reader.says()
    for state in ("triaged", "acting", "closed"):
        reader.get(f"/help-requests/{case.id}").submit(f"/help-requests/{case.id}", state=state)
        assert pair.rows(SafeguardCase)[0].state == state
    told = pair.rows(Notice, person_id=pair.mentor.id, read_at=None)
    assert [(row.kind, row.path) for row in told] == [("help_news", f"{pair.path}/help")]
    assert "closed" in sign_in(tenant, pair.mentor).get(f"{pair.path}/help").says()


def test_request_when_its_contact_came_into_a_line_is_closed_to_them(sign_in, tenant, pair):
    contact = add_contact(pair)
    case = ask(pair, pair.mentor, contact)
    lead(pair, pair.mentee, contact)
    reader = sign_in(tenant, contact)
    assert reader.get(f"/help-requests/{case.id}").status == 404
    assert "Mira Junior" not in reader.get("/help-requests").says()


def test_request_when_words_or_contact_are_missing_keeps_what_was_typed(sign_in, tenant, pair):
    add_contact(pair)
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/help").submit("/help", words=SECRET)
    assert browser.status == 422
    assert SECRET in browser.text
    assert "Please choose whom you want to ask." in browser.says()


def test_help_when_nobody_can_be_asked_names_other_ways(sign_in, tenant, pair):
    assert "works council" in sign_in(tenant, pair.mentee).get(f"{pair.path}/help").says()


def test_help_when_the_pairing_has_ended_still_can_be_asked_for(sign_in, tenant, pair):
    add_contact(pair)
    pair.end()
    assert "Send it to this person alone" in sign_in(tenant, pair.mentor).get(f"{pair.path}/help").says()


@pytest.mark.parametrize(("asked", "shown"), [(0, "0 in all"), (4, "hidden in all"), (5, "5 in all")])
def test_manager_when_looking_sees_contacts_and_counts_from_five_on(sign_in, tenant, pair, asked, shown):
    contact = add_contact(pair)
    for _ in range(asked):
        ask(pair, pair.mentor, contact)
    page = sign_in(tenant, pair.mentor, manager=True).get(f"/programmes/{pair.programme.id}/contacts")
    assert contact.display_name in page.says()
    assert shown in page.says()
    assert SECRET not in page.text


def test_manager_when_naming_and_removing_contacts_sees_the_list_change(sign_in, tenant, pair):
    with pair.transaction() as db:
        person = make_person(db)
    browser = sign_in(tenant, pair.mentor, manager=True).get(f"/programmes/{pair.programme.id}/contacts")
    assert "Nobody is named yet" in browser.says()
    browser.submit("/contacts", who="nobody-has-this")
    assert "Nobody at work has exactly this" in browser.says()
    browser.get(f"/programmes/{pair.programme.id}/contacts").submit("/contacts", who=person.email)
    assert person.display_name in browser.says()
    assert [row.kind for row in pair.rows(Notice, person_id=person.id)] == ["contact_named"]
    browser.submit("/remove")
    assert "Removed." in browser.says()
    assert pair.rows(ContactPerson) == []
