"""From completion to a paper that others can check, and to its end."""

import csv
import dataclasses
import hashlib
import io
import json
from datetime import timedelta

import pytest
from openbadgeslib.ob3 import OB3LdpVerifier, OB3VerificationError
from pypdf import PdfReader
from sqlalchemy import select

from rmplugin.credits import operations as credits
from rmplugin.credits.exports import export_shape
from rmplugin.credits.models import CreditEntry
from rmplugin.data_requests.operations import erase_person
from rmplugin.jobs import enqueue, work_outbox
from rmplugin.leaving.queries import record_of
from rmplugin.notify import Notice
from rmplugin.papers import operations, queries
from rmplugin.papers.keys import rotate_issuer_key
from rmplugin.papers.models import IssuerKey, Paper
from rmplugin.people.models import Person
from tests.factories.credits import confirm_session, make_course, make_pair
from tests.factories.node import run_node
from tests.factories.rows import read_rows

REASON = "ISSUED-BY-MISTAKE-91"


@pytest.fixture
def pair(runtime, tenant, clock):
    """Give a pair of whom both have met every criterion of a programme that runs in a course."""
    with runtime.database.transaction(tenant.id) as db:
        made = make_pair(db, clock.now)
        made.course = make_course(db, clock.now, "http://127.0.0.1:1", None)
        made.programme.context_id = made.course.context.id
        made.mentor.display_name, made.mentor.email = "Mira Junior", "Mira@acme.example"
        made.mentee.display_name = "SVENSENIOR"
        for _ in range(2):
            confirm_session(db, made, clock.now)
    work_outbox(runtime)
    return made


def papers(database, tenant, person) -> list[Paper]:
    return [row for row in read_rows(database, tenant, Paper) if row.person_id == person.id]


def only_paper(database, tenant, person) -> Paper:
    (paper,) = papers(database, tenant, person)
    return paper


def download(browser, paper: Paper, maker: str, form: str):
    return browser.client.post(f"/papers/{paper.id}/{maker}/{form}", headers={"X-Rm-Session": browser.token})


def take_back(runtime, tenant, pair, person, now):
    """Reverse one award of a person, as a correction does."""
    with runtime.database.transaction(tenant.id) as db:
        award = db.scalars(select(CreditEntry).where(CreditEntry.person_id == person.id)).first()
        values = {column.name: getattr(award, column.name) for column in CreditEntry.__table__.columns}
        values |= {"kind": "reversal", "reverses_id": values.pop("id"), "minutes": -award.minutes}
        values |= {"amount_hundredths": -award.amount_hundredths, "created_at": now}
        db.add(CreditEntry(**values))
        db.flush()
        credits.update_completion(db, pair.programme, person.id, (), now, policies=runtime.plugins.policies)
    work_outbox(runtime)


def public(app, path: str):
    return app.test_client().get(path)


def revoked(app, tenant, paper: Paper) -> bool:
    """Ask the company's public list, read by somebody else's library."""
    listed = public(app, f"/papers/status/{tenant.id}").get_json()
    encoded = listed["credentialSubject"]["encodedList"]
    return run_node("read_status_list.mjs", {"encodedList": encoded, "indexes": [paper.status_index]})["set"][
        0
    ]


def test_paper_when_all_criteria_are_met_is_issued_once_with_what_was_reached(
    runtime, database, tenant, pair, clock
):
    paper = only_paper(database, tenant, pair.mentor)
    assert paper.state == "valid"
    assert (paper.says["name"], paper.says["role"], paper.says["minutes"]) == ("Mira Junior", "mentor", 120)
    assert only_paper(database, tenant, pair.mentee).says["role"] == "mentee"
    assert "SVENSENIOR" not in json.dumps(paper.says)
    with database.transaction(tenant.id) as db:
        # The event comes again, and more is confirmed.
        ids = {"programme_id": str(pair.programme.id), "person_id": str(pair.mentor.id)}
        enqueue(db, "completion_met", clock.now, **ids)
        confirm_session(db, pair, clock.now)
    work_outbox(runtime)
    assert only_paper(database, tenant, pair.mentor).says == paper.says


def test_beginning_when_a_session_lies_before_the_pairing_is_that_session_everywhere(
    runtime, database, tenant, pair, clock
):
    began = clock.now - timedelta(hours=2)
    assert only_paper(database, tenant, pair.mentor).says["started_at"] == began.isoformat()
    with database.transaction(tenant.id) as db:
        assert record_of(db, pair.programme.id, pair.mentor.id).began_at == began
        content, _left_out = export_shape(db, "generic", programme_id=pair.programme.id)
    lines = csv.DictReader(io.StringIO(content.decode()))
    told = {line["started_at_utc"] for line in lines if line["kind"] == "completion"}
    assert told == {f"{began:%Y-%m-%d %H:%M:%S}"}


def test_papers_when_many_are_issued_at_once_say_each_what_its_own_holder_did(
    runtime, database, tenant, clock
):
    with database.transaction(tenant.id) as db:
        first = make_pair(db, clock.now, min_minutes=90)
        # The mentee of the first is in another programme, too, in which other minutes count in another unit.
        second = make_pair(db, clock.now, mentee=first.mentee, policy="cpe50", min_minutes=50)
        not_yet = make_pair(db, clock.now, programme=second.programme)
        for pair, minutes in ((first, 60), (first, 30), (second, 100), (second, 25), (not_yet, 50)):
            confirm_session(db, pair, clock.now, minutes)
    work_outbox(runtime)
    with database.transaction(tenant.id, write=False) as db:
        entries = db.scalars(select(CreditEntry)).all()
    issued = read_rows(database, tenant, Paper)
    assert sorted(
        (paper.person_id, paper.programme_id, paper.says["role"], paper.says["minutes"], paper.says["unit"])
        for paper in issued
    ) == sorted(
        (person.id, pair.programme.id, role, minutes, unit)
        for pair, minutes, unit in ((first, 90, "contact_hours"), (second, 125, "cpe50"))
        for person, role in ((pair.mentor, "mentor"), (pair.mentee, "mentee"))
    )
    assert len({paper.status_index for paper in issued}) == 4
    for paper in issued:
        mine = [
            one
            for one in entries
            if (one.person_id, one.programme_id) == (paper.person_id, paper.programme_id)
        ]
        counted = [one for one in mine if one.unit == paper.says["unit"]]
        assert paper.says["sessions"] == 2
        assert paper.says["amount_hundredths"] == sum(one.amount_hundredths for one in counted)
        digests = "\n".join(sorted(one.evidence_sha256 for one in mine))
        assert paper.says["evidence_sha256"] == hashlib.sha256(digests.encode()).hexdigest()
    told = [row.person_id for row in read_rows(database, tenant, Notice) if row.kind == "programme_completed"]
    assert sorted(told) == sorted(paper.person_id for paper in issued)


def test_paper_when_issued_in_words_of_old_says_its_criteria_in_those_of_today(database, tenant, pair):
    paper = only_paper(database, tenant, pair.mentor)
    paper.says["criteria"] = [["Sessions that both confirmed", 2], ["Confirmed minutes", 1]]
    with database.transaction(tenant.id, write=False) as db:
        record = queries.record_of(db, paper, "https://mentoring.acme.example", "en", str)
    assert list(record.criteria) == ["Sessions that count: 2", "Minutes that count"]


def test_paper_when_credit_is_taken_back_is_revoked_and_met_again_brings_another(
    runtime, database, tenant, pair, clock
):
    clock.forward(days=1)
    take_back(runtime, tenant, pair, pair.mentor, clock.now)
    first = only_paper(database, tenant, pair.mentor)
    assert (first.state, first.revoked_at) == ("revoked", clock.now)
    assert only_paper(database, tenant, pair.mentee).state == "valid"
    with database.transaction(tenant.id) as db:
        confirm_session(db, pair, clock.now)
    work_outbox(runtime)
    states = sorted(paper.state for paper in papers(database, tenant, pair.mentor))
    assert states == ["revoked", "valid"]


def test_credits_when_the_paper_was_revoked_still_lead_to_it_and_it_says_why(
    runtime, tenant, pair, clock, sign_in
):
    browser = sign_in(tenant, pair.mentor)
    link = f"/programmes/{pair.programme.id}/papers"
    assert f'class="btn btn-outline-primary" href="{link}"' in browser.get("/credits").text
    take_back(runtime, tenant, pair, pair.mentor, clock.now)
    assert f'<a href="{link}">' in browser.get("/credits").text
    assert "Credit was taken back, so the programme is not completed." in browser.get(link).says()


def test_paper_when_unmet_comes_late_and_it_is_met_again_stays_valid(runtime, database, tenant, pair, clock):
    with database.transaction(tenant.id) as db:
        ids = {"programme_id": str(pair.programme.id), "person_id": str(pair.mentor.id)}
        operations.on_completion_unmet(db, ids, clock.now)
    assert only_paper(database, tenant, pair.mentor).state == "valid"


def test_certificate_when_downloaded_says_the_holders_numbers_and_no_partner(
    database, tenant, pair, sign_in, tmp_path
):
    paper = only_paper(database, tenant, pair.mentor)
    browser = sign_in(tenant, pair.mentor)
    page = browser.get(f"/programmes/{pair.programme.id}/papers")
    assert f"http://localhost:5000/verify/{paper.id}" in page.text
    answer = download(browser, paper, "certificate", "pdf")
    assert (answer.status_code, answer.mimetype) == (200, "application/pdf")
    (tmp_path / "one.pdf").write_bytes(answer.get_data())
    text = " ".join(PdfReader(tmp_path / "one.pdf").pages[0].extract_text().split())
    for part in (
        "Mira Junior",
        pair.programme.name,
        "2 h 0 min",
        "2 hours of 60 minutes",
        "Acme",
        str(paper.id),
    ):
        assert part in text
    assert "SVENSENIOR" not in text
    assert download(browser, paper, "certificate", "pdf").get_data() == answer.get_data()


@pytest.mark.part("node")
def test_badge_when_downloaded_is_accepted_and_after_revocation_shows_as_revoked(
    app, database, tenant, pair, sign_in, clock
):
    paper = only_paper(database, tenant, pair.mentor)
    badge = download(sign_in(tenant, pair.mentor), paper, "openbadge", "json").get_json(force=True)
    lists = {badge["credentialStatus"]["statusListCredential"]: f"/papers/status/{tenant.id}"}

    def judge() -> dict:
        documents = {url: public(app, path).get_json() for url, path in lists.items()}
        (judged,) = run_node("verify_credentials.mjs", {"credentials": [badge], "documents": documents})
        return judged

    before = judge()
    assert before["vc"]
    assert before["core"] | {"registered_issuer": None} == {
        "valid_signature": True,
        "revocation_status": True,
        "expiration": True,
        "registered_issuer": None,
        "errors": [],
    }
    assert not revoked(app, tenant, paper)
    manager = sign_in(tenant, manager=True, context=pair.course.context)
    manager.get(f"/papers/{paper.id}/revoke").submit("/revoke", reason=REASON)
    assert "is revoked" in manager.says()
    after = judge()
    assert (after["core"]["valid_signature"], after["core"]["revocation_status"]) == (True, False)
    assert revoked(app, tenant, paper)
    assert not revoked(app, tenant, only_paper(database, tenant, pair.mentee))


def test_paper_when_the_manager_revokes_it_tells_the_holder_why_and_nobody_else(
    app, database, tenant, pair, sign_in
):
    paper = only_paper(database, tenant, pair.mentor)
    manager = sign_in(tenant, manager=True, context=pair.course.context)
    assert "1 issued" not in manager.get(f"/manage/programmes/{pair.programme.id}/papers").says()
    assert "2 issued" in manager.says()
    assert "Mira" not in manager.text
    assert f"/papers/{paper.id}/revoke" in manager.get(f"/people/{pair.mentor.id}/papers").text
    page = manager.get(f"/papers/{paper.id}/revoke")
    assert page.submit("/revoke", reason="").status == 422
    page.submit("/revoke", reason=REASON)
    assert manager.post(f"/papers/{paper.id}/revoke", reason=REASON).status == 409
    holder = sign_in(tenant, pair.mentor).get(f"/programmes/{pair.programme.id}/papers")
    assert REASON in holder.text
    assert download(holder, paper, "certificate", "pdf").status_code == 409
    assert "paper_revoked" in [
        n.kind for n in read_rows(database, tenant, Notice) if n.person_id == pair.mentor.id
    ]
    shown = public(app, f"/verify/{paper.id}").get_data(as_text=True)
    assert "not valid any more" in shown
    assert "Revoked on" in shown
    assert REASON not in shown


def test_paper_of_another_course_when_a_manager_asks_is_out_of_reach(database, tenant, pair, sign_in):
    paper = only_paper(database, tenant, pair.mentor)
    stranger = sign_in(tenant, manager=True)
    assert stranger.get(f"/people/{pair.mentor.id}/papers").status == 404
    assert stranger.get(f"/manage/programmes/{pair.programme.id}/papers").status == 403
    assert stranger.get(f"/papers/{paper.id}/revoke").status == 403
    assert stranger.post(f"/papers/{paper.id}/revoke", reason=REASON).status == 403
    assert only_paper(database, tenant, pair.mentor).state == "valid"


def test_paper_of_somebody_else_when_asked_for_is_not_found(database, tenant, pair, sign_in):
    paper = only_paper(database, tenant, pair.mentor)
    partner = sign_in(tenant, pair.mentee)
    assert download(partner, paper, "certificate", "pdf").status_code == 404
    assert partner.post(f"/papers/{paper.id}/shows", shows="name").status == 404
    mine = sign_in(tenant, pair.mentor)
    assert download(mine, paper, "certificate", "exe").status_code == 404
    assert download(mine, paper, "ags", "pdf").status_code == 404


def test_public_page_when_nothing_was_agreed_to_shows_the_least_and_then_what_was(
    app, database, tenant, pair, sign_in
):
    paper = only_paper(database, tenant, pair.mentor)
    answer = public(app, f"/verify/{paper.id}")
    least = answer.get_data(as_text=True)
    assert answer.headers["X-Robots-Tag"] == "noindex"
    assert "This certificate is valid" in least
    assert "Acme" in least
    hidden = ("Mira", pair.programme.name, "mentor", "2 h 0 min")
    assert [word for word in hidden if word in least] == []
    holder = sign_in(tenant, pair.mentor).get(f"/programmes/{pair.programme.id}/papers")
    holder.submit("/shows", shows=["name", "hours"])
    more = public(app, f"/verify/{paper.id}").get_data(as_text=True)
    assert [word for word in hidden if word in more] == ["Mira", "2 h 0 min"]
    assert "2 hours of 60 minutes" in more
    # Nothing ticked takes it back.
    holder.get(f"/programmes/{pair.programme.id}/papers").submit("/shows", shows=[])
    assert "Mira" not in public(app, f"/verify/{paper.id}").get_data(as_text=True)


@pytest.mark.parametrize("asked", ["x", "00000000-0000-4000-8000-000000000000", "%20", "a" * 4000])
def test_public_page_when_nothing_is_known_is_the_same_page(app, tool_keys, asked):
    answer = public(app, f"/verify/{asked}")
    assert answer.status_code == 404
    assert answer.headers["X-Robots-Tag"] == "noindex"
    assert "There is no such certificate" in answer.get_data(as_text=True)


@pytest.mark.part("node")
def test_public_page_when_the_holder_was_erased_says_no_more_than_that_it_is_not_valid(
    app, database, tenant, pair, sign_in, clock
):
    paper = only_paper(database, tenant, pair.mentor)
    sign_in(tenant, pair.mentor).get(f"/programmes/{pair.programme.id}/papers").submit(
        "/shows", shows=["name"]
    )
    with database.transaction(tenant.id) as db:
        erase_person(db, db.get_one(Person, pair.mentor.id), "command", clock.now)
    answer = public(app, f"/verify/{paper.id}")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "not valid any more" in text
    assert "Mira" not in text
    assert revoked(app, tenant, paper)
    left = only_paper(database, tenant, pair.mentor)
    assert (left.says, left.shows, left.state) == ({}, [], "erased")


def test_key_when_first_needed_is_made_once_and_kept_encrypted(app, database, tenant, tool_keys):
    assert read_rows(database, tenant, IssuerKey) == []
    first = public(app, "/.well-known/did.json").get_json()
    (row,) = read_rows(database, tenant, IssuerKey)
    assert row.public_multibase == first["verificationMethod"][0]["publicKeyMultibase"]
    private = database.secrets.unlock(row.private_key_locked)
    assert len(bytes.fromhex(private)) == 32
    assert private.encode() not in row.private_key_locked
    assert public(app, "/.well-known/did.json").get_json() == first


@pytest.mark.part("node")
@pytest.mark.parametrize("address", ["http://localhost:5000", "https://mentoring.acme.example"])
def test_key_when_another_takes_its_place_signs_and_what_the_old_one_signed_is_still_accepted(
    app, database, tenant, pair, sign_in, clock, monkeypatch, address
):
    runtime = app.extensions["rm_runtime"]
    settings = dataclasses.replace(runtime.settings, public_url=address)
    monkeypatch.setitem(app.extensions, "rm_runtime", dataclasses.replace(runtime, settings=settings))
    paper = only_paper(database, tenant, pair.mentor)

    def take():
        return download(sign_in(tenant, pair.mentor), paper, "openbadge", "json").get_json(force=True)

    def accepted(*badges):
        documents = {
            f"{address}/.well-known/did.json": public(app, "/.well-known/did.json").get_json(),
            badges[0]["credentialStatus"]["statusListCredential"]: public(
                app, f"/papers/status/{tenant.id}"
            ).get_json(),
        }
        given = {"credentials": list(badges), "documents": documents}
        judged = run_node("verify_credentials.mjs", given)

        def fetch(url, *_more, **_options):
            return json.dumps(documents[url]).encode()

        def by_python(badge):
            try:
                OB3LdpVerifier().verify(
                    badge, download=lambda url, *_, **__: json.dumps(documents[url]).encode()
                )
            except OB3VerificationError:
                return False
            return True

        found = [
            (one["vc"], one["core"].get("valid_signature", False), by_python(badge))
            for one, badge in zip(judged, badges, strict=True)
        ]
        assert all(len(set(one)) == 1 for one in found), (found, judged)
        return [one[0] for one in found]

    def rotate(**options):
        clock.forward(minutes=1)
        with database.transaction(None) as db:
            rotate_issuer_key(db, database.secrets, clock.now, **options)

    first = take()
    rotate()
    second = take()
    assert method_of(first) != method_of(second)
    assert method_of(take()) == method_of(second)
    changed = first | {"validFrom": "2020-01-01T00:00:00Z"}
    assert accepted(first, second, changed) == [True, True, False]
    keys = read_rows(database, tenant, IssuerKey)
    assert sorted((one.purpose is None, one.private_key_locked is None) for one in keys) == [
        (False, False), (True, True)
    ]  # fmt: skip
    # Whoever has the stolen key could go on signing with it: its site stops answering for it.
    rotate(stolen=True)
    third = take()
    by_site = address.startswith("https")
    assert accepted(first, second, third) == [True, not by_site, True]


def method_of(badge):
    return badge["proof"][0]["verificationMethod"]


def test_status_list_of_a_company_that_is_not_there_is_not_found(app, tool_keys):
    assert public(app, "/papers/status/00000000-0000-4000-8000-000000000000").status_code == 404
