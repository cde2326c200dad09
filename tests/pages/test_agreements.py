"""The agreement: what each expects, versions, signatures, what stays in force."""

from datetime import date

import pytest

from rmplugin.agreements import operations
from rmplugin.agreements.models import Agreement, AgreementDraft
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


def send_both(pair, **mentees):
    pair.expect(pair.mentor)
    pair.expect(pair.mentee, **mentees)


def test_draft_form_when_new_is_prefilled_from_the_programme(sign_in, tenant, pair):
    form = sign_in(tenant, pair.mentor).get(f"{pair.path}/agreement/draft").forms()[0]["fields"]
    assert form["cadence_weeks"] == [str(pair.programme.cadence_weeks)]
    assert form["session_minutes"] == [str(pair.programme.session_minutes)]
    assert form["ends_on"] == ["2027-06-04"]
    assert "stays between the two of us" in form["confidentiality"][0]


def test_draft_form_warns_against_the_mentees_own_office(sign_in, tenant, pair):
    page = sign_in(tenant, pair.mentor).get(f"{pair.path}/agreement/draft").text
    assert "Better not Sven Senior's own office" in page


def test_draft_when_kept_and_sent_through_the_page_is_shown_when_both_have_sent(sign_in, tenant, pair):
    mentor, mentee = sign_in(tenant, pair.mentor), sign_in(tenant, pair.mentee)
    mentor.get(f"{pair.path}/agreement/draft").submit("/draft", do="keep", hopes="To be heard")
    assert "Saved." in mentor.says()
    assert "To be heard" in mentor.says()
    assert "To be heard" not in mentee.get(f"{pair.path}/agreement").says()
    mentor.submit("/draft", do="send", place="Café", boundaries="None for now", cadence_weeks=3)
    assert "As soon as Sven Senior has sent theirs" in mentor.says()
    assert "To be heard" not in mentee.get(f"{pair.path}/agreement").says()
    mentee.get(f"{pair.path}/agreement/draft")
    mentee.submit("/draft", do="send", place="café ", hopes="AI tools", boundaries="None for now")
    page = mentee.says()
    assert "You differ in 2 parts" in page
    assert "How often differs every 3 weeks every 2 weeks" in page
    assert "Hopes differs To be heard AI tools" in page
    assert "Where Café café" in page


def test_draft_when_the_partners_is_not_sent_shows_the_partner_nothing_of_it(sign_in, tenant, pair):
    mentee = sign_in(tenant, pair.mentee)
    paths = ("", "/agreement", "/agreement/draft", "/agreement/new")
    pair.expect(pair.mentor, hopes="My secret hope")
    pair.expect(pair.mentee, send=False)
    said = " ".join(mentee.get(pair.path + path).says() for path in paths)
    assert "My secret hope" not in said


def test_draft_when_sent_never_changes(pair):
    pair.expect(pair.mentor, hopes="At first")
    with pytest.raises(ConflictError, match="draft_sent"):
        pair.expect(pair.mentor, hopes="Later")
    pair.expect(pair.mentee)
    pair.agree(hopes="Something else")
    with pytest.raises(ConflictError, match="draft_sent"):
        pair.expect(pair.mentor, hopes="Later")
    assert pair.rows(AgreementDraft, person_id=pair.mentor.id)[0].hopes == "At first"


def test_draft_when_words_are_missing_can_be_kept_but_not_sent(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/agreement/draft")
    browser.submit("/draft", do="send", place="Under the big clock", hopes="")
    assert browser.status == 422
    assert "Under the big clock" in browser.text
    assert pair.rows(AgreementDraft) == []
    browser.submit("/draft", do="keep", hopes="")
    assert browser.status == 200
    assert pair.rows(AgreementDraft)[0].submitted_at is None


@pytest.mark.parametrize(("place", "warned"), [("Sven's office", True), ("Café", False)])
def test_draft_when_the_place_is_the_seniors_office_suggests_neutral_ground(
    sign_in, tenant, pair, place, warned
):
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/agreement/draft")
    browser.submit("/draft", do="send", place=place, hopes="h", boundaries="b")
    assert browser.status == 200
    assert ("it is harder to talk openly" in browser.says()) is warned
    assert len(pair.rows(AgreementDraft)) == 1


def test_agreement_when_only_one_has_sent_a_draft_cannot_be_proposed(sign_in, tenant, pair):
    pair.expect(pair.mentor)
    with pair.transaction() as db, pytest.raises(ConflictError, match="drafts_first"):
        operations.propose(db, pair.get(db), AGREED, pair.mentor.id, pair.now)
    browser = sign_in(tenant, pair.mentee).get(f"{pair.path}/agreement/new")
    assert "Send what I expect" in browser.text


def test_agreement_form_when_both_drafts_are_sent_is_made_of_them(sign_in, tenant, pair):
    send_both(pair, hopes="AI tools", cadence_weeks=4, session_minutes=90)
    form = sign_in(tenant, pair.mentor).get(f"{pair.path}/agreement/new").forms()[0]["fields"]
    assert form["cadence_weeks"] == ["4"]
    assert form["session_minutes"] == ["60"]
    hopes = "Mira Junior: Mira wants to see how decisions are made.\nSven Senior: AI tools"
    assert sorted(form["hopes"][0].strip().splitlines()) == hopes.splitlines()
    assert form["boundaries"][0].strip() == "No talk about salaries."


def test_agreement_when_both_sign_through_the_pages_is_in_force(sign_in, tenant, pair):
    mentor, mentee = sign_in(tenant, pair.mentor), sign_in(tenant, pair.mentee)
    send_both(pair)
    mentor.get(f"{pair.path}/agreement/new")
    mentor.submit("/agreement", place="The CEO's office", cadence_weeks=3)
    assert mentor.status == 200
    assert "Version 1 is saved" in mentor.says()
    assert "it is harder to talk openly" in mentor.says()
    mentor.submit("/sign")
    assert "takes effect when the other side has signed" in mentor.says()
    assert in_force(pair) is None
    mentee.get(f"{pair.path}/agreement").submit("/sign")
    assert "Both of you have signed" in mentee.says()
    assert "A session every 3 weeks" in mentee.says()
    assert in_force(pair).place == "The CEO's office"
    assert "What each of you expected at first" in mentee.get(f"{pair.path}/agreement").says()


def test_agreement_when_fields_wrong_keeps_what_was_typed(sign_in, tenant, pair):
    send_both(pair)
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/agreement/new")
    browser.submit("/agreement", place="Under the big clock", hopes="", session_minutes="5")
    assert browser.status == 422
    assert "Under the big clock" in browser.text
    assert "A session is 15 to 240 minutes long." in browser.text
    assert "a few words are enough" in browser.text
    assert pair.rows(Agreement) == []


@pytest.mark.parametrize("day", ["2026-11-23", "2029-01-01"])
def test_agreement_when_end_out_of_range_is_refused_at_the_field(sign_in, tenant, pair, day):
    send_both(pair)
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
