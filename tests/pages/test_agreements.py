"""The agreement: versions, signatures, what stays in force."""

from datetime import date

import pytest

from rmplugin.agreements.models import Agreement
from rmplugin.agreements.queries import current_agreement, open_agreement
from rmplugin.errors import ConflictError
from rmplugin.jobs import OutboxEvent
from rmplugin.notify import Notice
from tests.factories.pairs import AGREED, make_pair


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


def states(pair):
    return [(row.version, row.state) for row in pair.rows(Agreement)]


def in_force(pair):
    with pair.transaction() as db:
        return current_agreement(db, pair.pairing.id)


def test_agreement_form_when_new_is_prefilled_from_the_programme(sign_in, tenant, pair):
    form = sign_in(tenant, pair.mentor).get(f"{pair.path}/agreement/new").forms()[0]["fields"]
    assert form["cadence_weeks"] == [str(pair.programme.cadence_weeks)]
    assert form["session_minutes"] == [str(pair.programme.session_minutes)]
    assert form["ends_on"] == ["2027-06-04"]
    assert "stays between the two of us" in form["confidentiality"][0]


def test_agreement_form_warns_against_the_mentees_own_office(sign_in, tenant, pair):
    page = sign_in(tenant, pair.mentor).get(f"{pair.path}/agreement/new").text
    assert "Better not Sven Senior's own office" in page


def test_agreement_when_both_sign_through_the_pages_is_in_force(sign_in, tenant, pair):
    mentor, mentee = sign_in(tenant, pair.mentor), sign_in(tenant, pair.mentee)
    mentor.get(f"{pair.path}/agreement/new")
    mentor.submit(
        "/agreement",
        place="Café",
        hopes="To learn from each other",
        boundaries="None for now",
        cadence_weeks=3,
    )
    assert mentor.status == 200
    assert "Version 1 is saved" in mentor.says()
    mentor.submit("/sign")
    assert "takes effect when the other side has signed" in mentor.says()
    assert in_force(pair) is None
    mentee.get(f"{pair.path}/agreement").submit("/sign")
    assert "Both of you have signed" in mentee.says()
    assert "A session every 3 weeks" in mentee.says()
    assert in_force(pair).place == "Café"


def test_agreement_when_fields_wrong_keeps_what_was_typed(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/agreement/new")
    browser.submit("/agreement", place="Under the big clock", hopes="", session_minutes="5")
    assert browser.status == 422
    assert "Under the big clock" in browser.text
    assert "A session is 15 to 240 minutes long." in browser.text
    assert "a few words are enough" in browser.text
    assert pair.rows(Agreement) == []


@pytest.mark.parametrize("day", ["2026-11-23", "2029-01-01"])
def test_agreement_when_end_out_of_range_is_refused_at_the_field(sign_in, tenant, pair, day):
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/agreement/new")
    browser.submit("/agreement", place="Café", hopes="h", boundaries="b", ends_on=day)
    assert browser.status == 422
    assert "within the next two years" in browser.says()


def test_agreement_when_changed_keeps_the_signed_one_in_force_until_both_sign(pair):
    first = pair.agree()
    second = pair.propose(pair.mentee, cadence_weeks=4)
    pair.sign(second, pair.mentee)
    assert in_force(pair).id == first.id
    pair.sign(second, pair.mentor)
    assert in_force(pair).id == second.id
    assert states(pair) == [(1, "superseded"), (2, "signed")]


def test_agreement_when_open_version_is_rewritten_asks_for_signatures_again(pair):
    first = pair.propose(pair.mentor)
    pair.sign(first, pair.mentor)
    pair.propose(pair.mentee, place="Library")
    assert states(pair) == [(1, "superseded"), (2, "open")]
    with pair.transaction() as db:
        waiting = open_agreement(db, pair.pairing.id)
    assert waiting.mentor_signed_at is None
    assert waiting.mentee_signed_at is None


def test_sign_when_superseded_meanwhile_says_to_read_the_newer(pair):
    first = pair.propose(pair.mentor)
    pair.propose(pair.mentee, place="Library")
    with pytest.raises(ConflictError, match="newer_version"):
        pair.sign(first, pair.mentee)


def test_sign_when_done_twice_has_one_effect(pair, clock):
    agreement = pair.propose(pair.mentor)
    pair.sign(agreement, pair.mentor)
    before = pair.rows(Agreement)[0].mentor_signed_at
    clock.forward(hours=1)
    assert pair.sign(agreement, pair.mentor) is False
    assert pair.rows(Agreement)[0].mentor_signed_at == before
    pair.sign(agreement, pair.mentee)
    assert pair.sign(agreement, pair.mentee) is True
    told = {event.payload["person_id"] for event in pair.rows(OutboxEvent, kind="progress_changed")}
    assert told == {str(pair.mentor.id), str(pair.mentee.id)}
    assert len(pair.rows(OutboxEvent, kind="progress_changed")) == 2


def test_propose_when_nothing_changed_makes_no_version(pair):
    pair.agree()
    with pytest.raises(ConflictError, match="nothing_changed"):
        pair.propose(pair.mentee)
    assert states(pair) == [(1, "signed")]


def test_propose_tells_the_other_side_without_quoting_it(pair):
    pair.propose(pair.mentor)
    notice = pair.rows(Notice, person_id=pair.mentee.id, kind="agreement_to_sign")[0]
    assert notice.path == f"{pair.path}/agreement"
    assert AGREED["hopes"] not in notice.text


def test_propose_when_pairing_ended_is_refused(pair):
    pair.end()
    with pytest.raises(ConflictError, match="pairing_ended"):
        pair.propose(pair.mentor)


def test_agreement_page_shows_what_changed_and_all_earlier_versions(sign_in, tenant, pair):
    pair.agree(place="The old café")
    pair.agree(place="The garden", ends_on=date(2027, 5, 1))
    pair.propose(pair.mentee, place="Library", ends_on=date(2027, 5, 1))
    says = sign_in(tenant, pair.mentor).get(f"{pair.path}/agreement").says()
    assert "Version 3 waits for your signature" in says
    assert "Where changed Library" in says
    assert "How often every 2 weeks" in says
    assert "In force: version 2" in says
    assert "The old café" in says
