"""The pages of credits: one's own, and the manager's list of course records."""

import csv
import io
import uuid

import pytest
from sqlalchemy import select

from rmplugin.api import SinkAnswer
from rmplugin.audit import AuditEntry
from rmplugin.credits import exports, queries
from rmplugin.credits.models import Delivery, GradeComparison, GradeDifference
from rmplugin.credits.tasks import deliver_due
from rmplugin.jobs import work_outbox
from rmplugin.tenants.models import LtiContext
from tests.factories.credits import (
    confirm_session,
    join_course,
    make_course,
    make_pair,
    make_person,
    make_programme,
)
from tests.factories.sinks import RecordStore, connect, entries_of, reverse


@pytest.fixture
def pair(runtime, tenant, clock):
    with runtime.database.transaction(tenant.id) as db:
        course = make_course(db, clock.now, "http://127.0.0.1:9", "http://127.0.0.1:9/column?type_id=36")
        mentor = make_person(db, clock.now, display_name="Mia Mentor", employee_number="=7")
        mentee = make_person(db, clock.now, display_name="Sam Senior")
        programme = make_programme(
            db,
            clock.now,
            name="Reverse 2026",
            context_id=course.context.id,
            needs_agreement=True,
            min_sessions=3,
        )
        pair = make_pair(db, clock.now, programme, mentor, mentee)
        join_course(db, course, mentor, "u-mentor", clock.now)
    return pair


def confirm(runtime, tenant, pair, clock, minutes=60):
    with runtime.database.transaction(tenant.id) as db:
        confirm_session(db, pair, clock.now, minutes)
    work_outbox(runtime)


def delivery_of(runtime, tenant, person, **changes) -> Delivery:
    with runtime.database.transaction(tenant.id) as db:
        query = select(Delivery).where(Delivery.person_id == person.id, Delivery.state != "superseded")
        row = db.scalars(query.order_by(Delivery.id.desc())).first()
        for name, value in changes.items():
            setattr(row, name, value)
        return row


def test_credits_when_empty_say_what_to_do_next(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor).get("/credits")
    assert browser.status == 200
    assert "Credits appear after both of you confirm your first session" in browser.says()
    assert "Sessions that you both confirmed: 0 of 3" in browser.says()
    assert "Nothing to send yet" in browser.says()


def test_credits_when_earned_show_total_checklist_ledger_and_why_not_sent(
    sign_in, runtime, tenant, pair, clock
):
    confirm(runtime, tenant, pair, clock, 50)
    confirm(runtime, tenant, pair, clock, 150)
    words = sign_in(tenant, pair.mentee).get("/credits").says()
    assert "2 h 50 min of mentoring" in words
    assert "Sessions that you both confirmed: 2 of 3" in words
    assert "Confirmed minutes: 170 of 120 – done" in words
    assert "Agreement signed by both: not yet" in words
    assert "0.83 confirmed by both" in words
    assert "2.00 confirmed by both; one session counts 120 minutes at most" in words
    assert "not in your course record yet. Open the activity once from your course" in words


def test_credits_when_sent_say_when_with_the_zone(sign_in, runtime, tenant, pair, clock):
    confirm(runtime, tenant, pair, clock)
    browser = sign_in(tenant, pair.mentor)
    assert "on its way" in browser.get("/credits").says()
    delivery_of(runtime, tenant, pair.mentor, state="delivered", sent_timestamp=clock.now)
    assert "of 100, sent Mon 23 Nov 2026, 09:00 (UTC)" in browser.get("/credits").says()
    confirm(runtime, tenant, pair, clock)
    delivery_of(runtime, tenant, pair.mentor, state="retry", last_error="Your LMS does not answer.")
    words = browser.get("/credits").says()
    assert "Saved here, not sent yet. Your LMS does not answer. Next try:" in words
    assert "The last that arrived: 27 of 100, sent Mon 23 Nov 2026, 09:00 (UTC)" in words


def test_credits_when_of_another_person_are_not_shown(sign_in, runtime, tenant, pair, clock):
    confirm(runtime, tenant, pair, clock)
    with runtime.database.transaction(tenant.id) as db:
        stranger = make_person(db, clock.now)
    words = sign_in(tenant, stranger).get("/credits").says()
    assert "Reverse 2026" not in words
    assert "Nothing here yet" in words


def course_of(runtime, tenant, pair) -> LtiContext | None:
    with runtime.database.transaction(tenant.id, write=False) as db:
        return db.get(LtiContext, pair.programme.context_id) if pair.programme.context_id else None


def test_deliveries_when_seen_by_the_manager_tell_state_reason_and_counts(
    sign_in, runtime, tenant, pair, clock
):
    browser = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair))
    path = f"/programmes/{pair.programme.id}/deliveries"
    assert "Nothing was sent yet" in browser.get(path).says()
    confirm(runtime, tenant, pair, clock)
    delivery_of(
        runtime, tenant, pair.mentor, state="blocked", last_error="You are not enrolled.", last_status=400
    )
    words = browser.get(path).says()
    assert "Somebody has to help with 2 of them" in words
    assert "All: 2" in words
    assert "blocked: 2" in words
    assert "You are not enrolled. (answer of the LMS: 400)" in words
    assert "Open the activity once" in words
    assert "Nobody is in this state now" in browser.get(path + "?state=delivered").says()


def test_retry_when_pressed_sends_again_and_is_audited(sign_in, runtime, tenant, pair, clock):
    confirm(runtime, tenant, pair, clock)
    row = delivery_of(runtime, tenant, pair.mentor, state="needs_human", last_error="Refused.")
    browser = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair)).get(
        f"/programmes/{pair.programme.id}/deliveries"
    )
    browser.submit(f"{row.id}/retry")
    assert browser.status == 200
    assert "It is being sent again" in browser.says()
    again = delivery_of(runtime, tenant, pair.mentor)
    assert (again.id, again.state) == (row.id, "pending")
    with runtime.database.transaction(tenant.id, write=False) as db:
        deed = db.scalars(select(AuditEntry).where(AuditEntry.action == "delivery.retry")).one()
    assert deed.subject_id == row.id


def test_retry_when_it_arrived_already_is_a_clear_conflict(sign_in, runtime, tenant, pair, clock):
    confirm(runtime, tenant, pair, clock)
    row = delivery_of(runtime, tenant, pair.mentor, state="delivered", sent_timestamp=clock.now)
    browser = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair))
    browser.post(f"/programmes/{pair.programme.id}/deliveries/{row.id}/retry")
    assert browser.status == 409
    assert "has arrived already" in browser.says()


def test_retry_when_the_programme_or_tenant_is_another_is_not_found(
    sign_in, runtime, tenant, other_tenant, pair, clock
):
    confirm(runtime, tenant, pair, clock)
    row = delivery_of(runtime, tenant, pair.mentor)
    browser = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair))
    assert browser.post(f"/programmes/{uuid.uuid4()}/deliveries/{row.id}/retry").status == 404
    stranger = sign_in(other_tenant, manager=True)
    assert stranger.post(f"/programmes/{pair.programme.id}/deliveries/{row.id}/retry").status == 404
    assert stranger.get(f"/programmes/{pair.programme.id}/deliveries").status == 404


def test_deliveries_when_opened_by_a_participant_are_refused(sign_in, tenant, pair):
    assert sign_in(tenant, pair.mentor).get(f"/programmes/{pair.programme.id}/deliveries").status == 403


def test_reports_when_asked_give_the_documented_shape(runtime, tenant, pair, clock):
    confirm(runtime, tenant, pair, clock)
    with runtime.database.transaction(tenant.id, write=False) as db:
        rows = queries.report_deliveries(db)
        shown = queries.report_person(db, pair.mentor)
        blocked = queries.report_deliveries(db, "blocked")
    names = {
        "id",
        "sink",
        "person",
        "state",
        "attempts",
        "last_status",
        "last_error",
        "remote_ref",
        "sent_at",
    }
    assert all(names <= set(row) for row in rows)
    assert {row["state"] for row in rows} == {"pending", "blocked"}
    assert [row["person"] for row in blocked] == [pair.mentee.employee_number]
    assert (shown["person"], shown["minutes"], len(shown["entries"])) == ("=7", 60, 1)
    assert shown["programmes"][0]["deliveries"]["ags"]["state"] == "pending"


def test_export_when_a_value_looks_like_a_formula_is_defused(runtime, tenant, pair, clock):
    confirm(runtime, tenant, pair, clock, 50)
    out = io.StringIO()
    with runtime.database.transaction(tenant.id, write=False) as db:
        assert exports.export_csv(db, out) == 2
    out.seek(0)
    rows = {row["role"]: row for row in csv.DictReader(out)}
    assert rows["mentor"]["employee_number"] == "'=7"
    assert (rows["mentor"]["minutes"], rows["mentor"]["hours"]) == ("50", "0.83")
    assert rows["mentee"]["name"] == "Sam Senior"


def test_deliveries_page_when_the_gradebook_was_compared_lists_what_differs(
    sign_in, runtime, tenant, pair, clock
):
    confirm(runtime, tenant, pair, clock)
    browser = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair))
    path = f"/programmes/{pair.programme.id}/deliveries"
    assert "That has not happened yet" in browser.get(path).says()
    with runtime.database.transaction(tenant.id) as db:
        context = db.get(LtiContext, pair.programme.context_id)
        comparison = GradeComparison(
            platform_id=context.platform_id, people={"equal": 3}, compared_at=clock.now
        )
        db.add(comparison)
        db.flush()
        about = {"comparison_id": comparison.id, "context_id": context.id}
        mine = {**about, "programme_id": pair.programme.id, "person_id": pair.mentor.id, "ours": 25}
        db.add(GradeDifference(**mine, kind="overridden", repaired=False, theirs=80.0))
        db.add(GradeDifference(**about, kind="stranger", repaired=False, times=3))
    words = browser.get(path).says()
    assert "Mia Mentor" in words
    assert "25 80 Somebody gave another grade in the LMS" in words
    assert "3 others" in words


@pytest.fixture
def told(runtime, tenant, pair, clock):
    """Connect a system that takes nothing back, and let it be told of a session that is then taken back."""
    sink = runtime.plugins.credit_sinks["records"]
    connect(runtime, tenant, sink, "Record store")
    confirm(runtime, tenant, pair, clock)
    deliver_due(runtime)
    with runtime.database.transaction(tenant.id) as db:
        reverse(db, entries_of(db, pair.mentee.id)[0], clock.now)
    deliver_due(runtime)
    return sink


@pytest.fixture
def plugins():
    return [RecordStore(corrects=False, batch=1)]


def test_deliveries_when_a_system_takes_nothing_back_ask_for_a_hand(
    sign_in, runtime, tenant, pair, told, clock
):
    browser = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair))
    words = browser.get(f"/programmes/{pair.programme.id}/deliveries").says()
    assert "Record store : sent 2, needs somebody 1" in words
    assert "a session taken back needs somebody" in words
    assert words.count("Send again for Sam Senior") == 1, "only the grade: trying again cannot help the other"
    assert "Please correct there by hand what was sent for the session of 2026-11-23" in words
    with runtime.database.transaction(tenant.id) as db:
        row = db.scalars(select(Delivery).where(Delivery.state == "needs_human")).one()
    browser.submit(f"{row.id}/by-hand")
    assert "Noted. It counts as sent." in browser.says()
    assert "Record store : sent 3" in browser.says()
    browser.post(f"/programmes/{pair.programme.id}/deliveries/{row.id}/by-hand")
    assert browser.status == 409


def test_deliveries_when_a_system_does_not_answer_say_when_it_is_tried(
    sign_in, runtime, tenant, pair, told, clock
):
    told.fail = lambda _records: [SinkAnswer(outcome="retry", status=503, retry_after=1800)]
    confirm(runtime, tenant, pair, clock)
    deliver_due(runtime)
    browser = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair))
    words = browser.get(f"/programmes/{pair.programme.id}/deliveries").says()
    assert "It does not answer at the moment and is tried again at" in words
    assert "9:30" in words or "09:30" in words


def test_file_when_a_manager_wants_it_is_given_and_to_nobody_else(sign_in, runtime, tenant, pair, clock):
    confirm(runtime, tenant, pair, clock)
    path = f"/programmes/{pair.programme.id}/credits.csv?shape="
    manager = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair))
    page = manager.get(f"/programmes/{pair.programme.id}/deliveries").says()
    assert "Totara, Upload completion records" in page
    answer = manager.get(path + "totara")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert 'filename="credits-totara.csv"' in answer.headers["Content-Disposition"]
    assert "'=7" in answer.text
    assert manager.get(path + "excel").status == 404
    assert sign_in(tenant, pair.mentor).get(path + "totara").status == 403
