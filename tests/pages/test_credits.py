"""The pages of credits: one's own, and the manager's list of course records."""

import csv
import io
import re
import uuid

import pytest
from sqlalchemy import select

from rmplugin.api import SinkAnswer
from rmplugin.audit import AuditEntry
from rmplugin.credits import exports, queries, store
from rmplugin.credits.models import CreditEntry, Delivery, GradeComparison, GradeDifference
from rmplugin.credits.tasks import deliver_due
from rmplugin.destinations.models import Brake
from rmplugin.jobs import work_outbox
from rmplugin.programmes.models import Programme
from rmplugin.tenants.models import LtiContext
from tests.factories.credits import (
    confirm_session,
    join_course,
    make_course,
    make_pair,
    make_person,
    make_programme,
)
from tests.factories.programmes import make_context
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
    assert "Sessions that count: 0 of 3" in browser.says()
    assert "Nothing to send yet" in browser.says()


def test_credits_when_earned_show_total_checklist_ledger_and_why_not_sent(
    sign_in, runtime, tenant, pair, clock
):
    confirm(runtime, tenant, pair, clock, 50)
    confirm(runtime, tenant, pair, clock, 150)
    words = sign_in(tenant, pair.mentee).get("/credits").says()
    assert "2 h 50 min of mentoring count for you" in words
    assert "Sessions that count: 2 of 3" in words
    assert "Minutes that count: 170 of 120 – done" in words
    assert "Agreement signed by both: not yet" in words
    assert "0.83 hours confirmed by both" in words
    assert "2.00 hours confirmed by both; one session counts 120 minutes at most" in words
    assert "(without this limit: 2.50)" in words
    assert "Credit: 2.83 hours" in words
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


def test_credits_when_the_next_try_is_overdue_name_no_moment_that_has_passed(
    sign_in, runtime, tenant, pair, clock
):
    confirm(runtime, tenant, pair, clock)
    delivery = delivery_of(runtime, tenant, pair.mentor, state="retry", next_at=clock.now)
    manager = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair))
    listed = f"/programmes/{pair.programme.id}/deliveries?state=retry"
    browser, due = sign_in(tenant, pair.mentor), "Mon 23 Nov 2026, 09:00 (UTC)"
    assert f"Next try: {due}" in browser.get("/credits").says()
    assert f"will be tried again {due}" in manager.get(listed).says()
    clock.forward(minutes=1)
    assert "Next try:" not in browser.get("/credits").says()
    assert f"will be tried again {due}" not in manager.get(listed).says()
    assert delivery.next_at < clock.now


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
    assert "Course grade 0 0 0 2 blocked, Course grade" in words
    assert "You are not enrolled. (answer of the LMS: 400)" in words
    assert "Credits of Mia Mentor" in browser.get(f"/people/{pair.mentor.id}/credits").says()
    assert f'href="/people/{pair.mentor.id}/credits"' in browser.get(path).text
    assert "Open the activity once" in words
    assert "Nobody is in this state now" in browser.get(path + "?state=delivered").says()
    assert "Mia Mentor" in browser.get(path + "?state=blocked&sink=ags").says()
    assert "Nobody is in this state now" in browser.get(path + "?sink=elsewhere").says()


def test_deliveries_when_a_system_is_silent_for_a_day_say_when_somebody_should_look(
    sign_in, runtime, tenant, pair, clock
):
    path = f"/programmes/{pair.programme.id}/deliveries"
    confirm(runtime, tenant, pair, clock)
    for person in (pair.mentor, pair.mentee):
        delivery_of(runtime, tenant, person, state="retry", last_error="The system does not answer.")
    context = course_of(runtime, tenant, pair)
    clock.forward(hours=23)
    calm = sign_in(tenant, manager=True, context=context).get(path).says()
    assert "Nothing for you to do Whatever is not sent yet" in calm
    clock.forward(hours=2)
    words = sign_in(tenant, manager=True, context=context).get(path).says()
    assert "Waiting for more than a day: 2" in words
    with runtime.database.transaction(tenant.id) as db:
        store.reopen(db, db.scalars(select(Delivery)).first(), clock.now)
    words = sign_in(tenant, manager=True, context=context).get(path).says()
    assert "Waiting for more than a day: 1" in words, "what was set free just now was not tried yet"
    assert "tell whoever runs this tool" in words
    assert "Nothing for you to do" not in words


def test_deliveries_when_many_are_paged_and_downloaded_whole(sign_in, runtime, tenant, pair, clock):
    with runtime.database.transaction(tenant.id) as db:
        for number in range(130):
            person = make_person(db, clock.now, display_name=f"Person {number:03d}")
            make_delivery(db, pair, person, "ags", {"percent": 40}, clock.now)
            row = make_delivery(db, pair, person, "lrs", {"kind": "award", "minutes": 60}, clock.now)
            row.state, row.last_error = "needs_human", "=Refused."
    browser = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair))
    path = f"/programmes/{pair.programme.id}/deliveries"
    words = browser.get(path).says()
    assert "Somebody has to help with 130 of them" in words
    assert "Page 1 of 3" in words
    assert "60 minutes" in words
    assert "40 of 100" in browser.get(path + "?page=3").says()
    assert "Page 2 of 2" in browser.get(path + "?sink=lrs&page=9").says()
    browser.get(path).submit("deliveries.csv")
    rows = list(csv.DictReader(io.StringIO(browser.text.removeprefix("\ufeff"))))
    assert len(rows) == 260
    assert {row["message"] for row in rows} == {"", "'=Refused."}
    assert {(row["where"], row["state"]) for row in rows} == {
        ("Course grade", "on_its_way"),
        ("lrs", "needs_human"),
    }


def make_delivery(db, pair, person, sink, payload, now) -> Delivery:
    row = Delivery(
        sink=sink,
        subject=str(person.id),
        programme_id=pair.programme.id,
        person_id=person.id,
        payload=payload,
        idempotency_key=uuid.uuid4().hex,
        state="pending",
        next_at=now,
        created_at=now,
        updated_at=now,
    )
    db.add(row)
    db.flush()
    return row


def test_credits_when_another_system_takes_events_say_how_many_arrived(sign_in, runtime, tenant, pair, clock):
    confirm(runtime, tenant, pair, clock)
    account_id = connect(runtime, tenant, runtime.plugins.credit_sinks["records"], "lrs").id
    with runtime.database.transaction(tenant.id) as db:
        for number, state in enumerate(("delivered", "pending", "needs_human")):
            row = make_delivery(db, pair, pair.mentor, "records", {"kind": "award"}, clock.now)
            row.subject, row.state, row.account_id = f"entry {number}", state, account_id
            row.last_error = "Please correct it there." if state == "needs_human" else None
    words = sign_in(tenant, pair.mentor).get("/credits").says()
    assert "Records (lrs) Entries that arrived: 1. Saved here and on their way: 1." in words
    assert "not taken there: 1. The programme team looks after it. Please correct it there." in words


def test_credits_when_limits_are_set_say_what_is_left_and_download_as_csv(
    sign_in, runtime, tenant, pair, clock
):
    with runtime.database.transaction(tenant.id) as db:
        programme = db.get_one(Programme, pair.programme.id)
        programme.programme_cap, programme.year_cap, programme.preparation_percent = 200, 150, 10
    confirm(runtime, tenant, pair, clock, 100)
    confirm(runtime, tenant, pair, clock, 100)
    browser = sign_in(tenant, pair.mentor).get("/credits")
    words = browser.says()
    assert "In this programme 50 more minutes can count." in words
    assert "This year 0 more minutes can count, in all programmes together." in words
    assert "one year counts 150 minutes at most, in all programmes" in words
    assert "For preparing: 0.25 hours. That is no time together" in words
    browser.submit("/credits.csv")
    rows = list(csv.DictReader(io.StringIO(browser.text.removeprefix("\ufeff"))))
    assert sorted((row["unit"], row["minutes"]) for row in rows) == [
        ("contact_hours", "100"),
        ("contact_hours", "50"),
        ("preparation", "10"),
        ("preparation", "5"),
    ]
    assert {row["employee_number"] for row in rows} == {"'=7"}


def test_credits_when_the_policy_is_not_installed_any_more_show_what_was_kept(
    sign_in, runtime, tenant, pair, clock
):
    confirm(runtime, tenant, pair, clock)
    with runtime.database.transaction(tenant.id) as db:
        db.get_one(Programme, pair.programme.id).policy = "gone"
    browser = sign_in(tenant, pair.mentor).get("/credits")
    assert browser.status == 200
    assert "Sessions that count: 1 of 3" in browser.says()


def test_reversal_by_the_manager_needs_a_reason_that_the_person_reads(sign_in, runtime, tenant, pair, clock):
    confirm(runtime, tenant, pair, clock, 50)
    manager = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair))
    manager.get(f"/people/{pair.mentor.id}/credits")
    link = re.search(r'href="([^"]+/reverse)"', manager.text)[1]
    manager.get(link).submit("/reverse", reason=" ")
    assert manager.status == 422
    manager.submit("/reverse", reason="It was a lunch.")
    assert "0 min of mentoring" in manager.says()
    assert "Take back" not in manager.says()
    words = sign_in(tenant, pair.mentor).get("/credits").says()
    assert "-50 -0.83 hours taken back: It was a lunch." in words
    assert "50 0.83 hours confirmed by both, taken back since" in words
    assert manager.post(link, reason="Once more.").status == 409
    with runtime.database.transaction(tenant.id, write=False) as db:
        assert db.scalars(select(AuditEntry).where(AuditEntry.action == "credit.reverse")).one()


def test_credits_when_a_session_counted_nothing_and_then_some_leave_the_empty_lines_out(
    sign_in, runtime, tenant, pair, clock
):
    with runtime.database.transaction(tenant.id) as db:
        db.get_one(Programme, pair.programme.id).day_cap = 60
    store = runtime.plugins.credit_sinks["records"]
    connect(runtime, tenant, store, "Record store")
    for _ in range(2):
        confirm(runtime, tenant, pair, clock, 60)
        clock.forward(minutes=5)
    browser = sign_in(tenant, pair.mentor)
    assert (
        "0 0.00 hours confirmed by both; one day counts 60 minutes at most" in browser.get("/credits").says()
    )
    manager = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair))
    manager.get(f"/people/{pair.mentor.id}/credits")
    manager.get(re.search(r'href="([^"]+/reverse)"', manager.text)[1]).submit("/reverse", reason="A lunch.")
    words = browser.get("/credits").says()
    assert re.findall(r"(-?\d+) -?[\d.]+ hours (?:confirmed|taken)", words) == ["60", "-60", "60"]
    deliver_due(runtime)
    assert all(record.minutes for record in store.records.values() if record.kind == "award")


def test_adjustment_by_the_manager_stands_with_its_reason(sign_in, runtime, tenant, pair, clock):
    manager = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair))
    path = f"/people/{pair.mentee.id}/programmes/{pair.programme.id}/adjust"
    for minutes in ("0", "1.5", "10001"):
        manager.get(path).submit("/adjust", minutes=minutes, reason="A workshop.")
        assert manager.status == 422
    manager.get(path).submit("/adjust", minutes="45", reason="A workshop.")
    assert "45 min of mentoring" in manager.says()
    words = sign_in(tenant, pair.mentee).get("/credits").says()
    assert "45 0.75 hours adjusted by the programme manager: A workshop." in words
    assert "Minutes that count: 45 of 120" in words
    assert manager.post(path, minutes="-46", reason="Too much.").status == 409


def test_corrections_of_ones_own_or_another_courses_credit_are_refused(
    sign_in, runtime, tenant, other_tenant, pair, clock
):
    confirm(runtime, tenant, pair, clock)
    with runtime.database.transaction(tenant.id, write=False) as db:
        query = select(CreditEntry).where(CreditEntry.person_id == pair.mentor.id)
        entry = db.scalars(query).one()
    context = course_of(runtime, tenant, pair)
    paths = [
        f"/people/{pair.mentor.id}/credits/{entry.id}/reverse",
        f"/people/{pair.mentor.id}/programmes/{pair.programme.id}/adjust",
    ]
    with runtime.database.transaction(tenant.id) as db:
        elsewhere = make_context(db, "Another course")
    for path in paths:
        said = {"reason": "Because.", "minutes": "5"}
        own = sign_in(tenant, pair.mentor, manager=True, context=context)
        assert own.post(path, **said).status == 409
        assert sign_in(tenant, manager=True, context=elsewhere).post(path, **said).status == 403
        assert sign_in(other_tenant, manager=True).post(path, **said).status == 404
        assert sign_in(tenant, pair.mentee).post(path, **said).status == 403
    wrong = f"/people/{pair.mentee.id}/credits/{entry.id}/reverse"
    assert sign_in(tenant, manager=True, context=context).post(wrong, reason="Because.").status == 404


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
    assert (rows["mentor"]["minutes"], rows["mentor"]["credit"]) == ("50", "0.83")
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
    # Sent, on its way, to be tried again, blocked, needs somebody.
    assert re.search(r"Record store (2)\D+0 0 0 (1)\D", words), words
    assert "a session taken back, -60 minutes" in words
    assert words.count("Send again : Sam Senior") == 1, "only the grade: trying again cannot help the other"
    assert "Please correct there by hand what was sent for the session of 2026-11-23" in words
    with runtime.database.transaction(tenant.id) as db:
        row = db.scalars(select(Delivery).where(Delivery.state == "needs_human")).one()
    browser.submit(f"{row.id}/by-hand")
    assert "Noted. It counts as sent." in browser.says()
    assert re.search(r"Record store (3)\D+0 0 0 0", browser.says())
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
    assert "tell whoever runs this tool" in words
    browser.submit("/deliveries.csv")
    waiting = [row for row in csv.DictReader(io.StringIO(browser.text)) if row["state"] == "retry"]
    assert {row["sent_at_utc"] for row in waiting} == {""}, "they were tried, and did not arrive"
    assert "9:30" in words or "09:30" in words


def test_deliveries_when_a_system_answered_badly_say_so_while_it_is_tried(
    sign_in, runtime, tenant, pair, told, clock
):
    told.fail = lambda _records: [SinkAnswer(outcome="retry", status=500)]
    confirm(runtime, tenant, pair, clock)
    browser = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair))
    path = f"/programmes/{pair.programme.id}/deliveries"
    deliver_due(runtime)
    words = browser.get(path).says()
    assert "Record store : It answered badly 2 times in a row, the last time at" in words
    with runtime.database.transaction(tenant.id) as db:
        db.scalars(select(Brake).where(Brake.sink == "records")).one().failures = 1
    assert "Record store : It answered badly at" in browser.get(path).says()
    with runtime.database.transaction(tenant.id) as db:
        course = db.scalars(select(Brake).where(Brake.sink == "ags")).one()
        course.failures, course.shut_until, course.updated_at = 4, clock.now, clock.now
    words = browser.get(path).says()
    assert "The gradebook of your course : It answered badly 4 times in a row" in words
    clock.forward(days=2)
    assert "answered badly" not in browser.get(path).says(), "that was long ago"


def test_file_when_a_manager_wants_it_is_given_and_to_nobody_else(sign_in, runtime, tenant, pair, clock):
    confirm(runtime, tenant, pair, clock)
    page = f"/programmes/{pair.programme.id}/deliveries"
    path = f"/programmes/{pair.programme.id}/credits.csv"
    manager = sign_in(tenant, manager=True, context=course_of(runtime, tenant, pair))
    assert "Totara, Upload completion records" in manager.get(page).says()
    manager.submit("/credits.csv", shape="totara")
    assert (manager.status, manager.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert "filename=credits-totara.csv" in manager.headers["Content-Disposition"]
    assert "'=7" in manager.text
    assert manager.post(path, shape="excel").status == 422
    assert sign_in(tenant, pair.mentor).post(path, shape="totara").status == 403
