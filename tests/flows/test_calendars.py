"""Sessions in people's calendars, read by a program that did not write them."""

from datetime import UTC, datetime, timedelta

import pytest
import vobject

from rmplugin import notify
from rmplugin.calendars import operations, tasks
from rmplugin.calendars.models import CalendarFeed
from rmplugin.matching.ending import close_pairing
from rmplugin.matching.queries import lock_pairing
from rmplugin.people.models import Person
from rmplugin.sessions import operations as sessions
from rmplugin.sessions.models import MentoringSession
from tests.factories.mails import open_runtime, send, states, wish
from tests.factories.pairs import MEETING, make_pair
from tests.factories.rows import read_rows
from tests.fakes.mail_server import MailServer, leaves, part

SECRET = "Quicksilver"


@pytest.fixture
def server():
    with MailServer() as running:
        yield running


@pytest.fixture
def mailing(settings, server, clock):
    runtime = open_runtime(settings, server.url, clock)
    yield runtime
    runtime.database.close()
    runtime.queue.storage.close()


@pytest.fixture
def pair(mailing, tenant):
    """Give Mira in Berlin and Sven in London; it is Monday, 9:00 UTC."""
    pair = make_pair(mailing, tenant)
    for person in (pair.mentor, pair.mentee):
        wish(mailing, tenant, person)
    return pair


def move(pair, session, starts_at, **changes) -> None:
    with pair.transaction() as db:
        row = db.get_one(MentoringSession, session.id)
        sessions.reschedule(db, row, pair.mentor.id, starts_at, MEETING | changes, pair.now)


def cancel(pair, session, person) -> None:
    with pair.transaction() as db:
        sessions.cancel(db, db.get_one(MentoringSession, session.id), person.id, pair.now)


def event_of(mail):
    return vobject.readOne(part(mail, "text/calendar"))


def tomorrow(clock) -> datetime:
    return clock.now.replace(hour=13) + timedelta(days=1)


def test_session_when_planned_invites_both_once_each_in_their_own_zone(pair, mailing, server, clock):
    starts_at = tomorrow(clock)
    session = pair.plan(pair.mentor, starts_at, place=SECRET, agenda=SECRET)
    assert send(mailing) == {"sent": 2}
    assert send(mailing) == {}
    for person, zone, hour in ((pair.mentor, "Europe/Berlin", 14), (pair.mentee, "Europe/London", 13)):
        (mail,) = server.to(person.email)
        assert mail["Subject"] == "A mentoring session was planned"
        calendar = event_of(mail)
        assert calendar.method.value == "REQUEST"
        event = calendar.vevent
        assert event.dtstart.value == starts_at
        assert event.dtend.value == starts_at + timedelta(hours=1)
        assert event.dtstart.params["X-VOBJ-ORIGINAL-TZID"] == [zone]
        assert event.dtstart.value.hour == hour
        assert calendar.vtimezone.tzid.value == zone
        assert event.uid.value == f"session-{session.id}@localhost"
        assert (event.sequence.value, event.status.value) == ("0", "CONFIRMED")
        assert event.summary.value == "Mentoring session"
        assert event.organizer.value == "mailto:mentoring@tool.example"
        assert {line.value for line in event.attendee_list} == {
            f"mailto:{pair.mentor.email}",
            f"mailto:{pair.mentee.email}",
        }
        assert event.getChildValue("class") == "PRIVATE"
    assert SECRET not in server.words()


def test_invitation_when_mailed_is_a_part_with_its_method_and_an_attachment(pair, mailing, server, clock):
    pair.plan(pair.mentor, tomorrow(clock))
    send(mailing)
    kinds = [leaf.get_content_type() for leaf in leaves(server.mails[0])]
    assert kinds == ["text/plain", "text/html", "text/calendar", "application/ics"]
    calendar, attached = leaves(server.mails[0])[2:]
    assert calendar.get_param("method") == "REQUEST"
    assert attached.get_filename() == "invite.ics"
    assert attached.get_content().decode().replace("\r\n", "\n") == part(server.mails[0], "text/calendar")


def test_session_when_moved_and_cancelled_keeps_its_id_and_counts_up(pair, mailing, server, clock):
    session = pair.plan(pair.mentor, tomorrow(clock))
    send(mailing)
    move(pair, session, tomorrow(clock) + timedelta(days=1))
    send(mailing)
    move(pair, session, tomorrow(clock) + timedelta(days=1), minutes=90)
    send(mailing)
    cancel(pair, session, pair.mentee)
    send(mailing)
    calendars = [event_of(mail) for mail in server.to(pair.mentee.email)]
    assert [one.method.value for one in calendars] == ["REQUEST", "REQUEST", "REQUEST", "CANCEL"]
    assert [one.vevent.sequence.value for one in calendars] == ["0", "1", "2", "3"]
    assert len({one.vevent.uid.value for one in calendars}) == 1
    assert calendars[3].vevent.status.value == "CANCELLED"
    assert calendars[2].vevent.dtend.value - calendars[2].vevent.dtstart.value == timedelta(minutes=90)
    # Who did it knows, too, and each is told once.
    assert len(server.to(pair.mentor.email)) == 4


def test_session_when_planned_leaves_its_notice_in_the_tool_and_mails_it_once(pair, mailing, server, clock):
    pair.plan(pair.mentor, tomorrow(clock))
    send(mailing)
    with pair.transaction() as db:
        (notice,) = notify.unread(db, pair.mentee.id)
        assert notice.text == "Mira Junior planned a session."
    assert len(server.mails) == 2


def test_session_when_only_its_agenda_changes_mails_nobody(pair, mailing, server, clock):
    session = pair.plan(pair.mentor, tomorrow(clock))
    send(mailing)
    move(pair, session, tomorrow(clock), agenda="Another")
    assert send(mailing) == {}


def test_session_when_written_down_afterwards_invites_nobody_but_tells_the_partner(pair, mailing, server):
    pair.hold()
    assert send(mailing) == {"sent": 1}
    (mail,) = server.mails
    assert mail["To"] == pair.mentee.email
    assert mail["Subject"] == "Something is new about a session"


def test_invitation_when_overtaken_before_it_was_sent_gives_way(pair, mailing, server, tenant, clock):
    clock.forward(hours=11)
    session = pair.plan(pair.mentor, clock.now + timedelta(days=3))
    assert send(mailing) == {}
    move(pair, session, clock.now + timedelta(days=4))
    assert send(mailing) == {}
    clock.forward(hours=13)
    assert send(mailing) == {"sent": 2}
    assert {event_of(mail).vevent.sequence.value for mail in server.mails} == {"1"}
    assert states(mailing, tenant) == ["dropped", "dropped", "sent", "sent"]


def test_session_when_cancelled_before_its_invitation_was_sent_mails_nobody(pair, mailing, server, clock):
    clock.forward(hours=11)
    session = pair.plan(pair.mentor, clock.now + timedelta(days=3))
    send(mailing)
    cancel(pair, session, pair.mentor)
    send(mailing)
    clock.forward(hours=13)
    assert send(mailing) == {}
    assert server.mails == []


def test_session_when_it_begins_in_quiet_hours_is_told_at_once(pair, mailing, server, clock):
    clock.forward(hours=10.5)
    pair.plan(pair.mentor, clock.now + timedelta(hours=2))
    assert send(mailing) == {"sent": 2}


def test_session_when_mails_are_off_invites_nobody_but_changes_what_a_calendar_has(
    pair, mailing, server, tenant, clock
):
    session = pair.plan(pair.mentor, tomorrow(clock))
    send(mailing)
    wish(mailing, tenant, pair.mentee, sessions="off")
    cancel(pair, session, pair.mentor)
    pair.plan(pair.mentor, tomorrow(clock) + timedelta(hours=2))
    send(mailing)
    assert [event_of(mail).method.value for mail in server.to(pair.mentee.email)] == ["REQUEST", "CANCEL"]


def test_sessions_when_the_pairing_ends_leave_both_calendars(pair, mailing, server, clock):
    pair.plan(pair.mentor, tomorrow(clock))
    send(mailing)
    with pair.transaction() as db:
        close_pairing(db, lock_pairing(db, pair.pairing.id, pair.mentor.id), clock.now)
    send(mailing)
    send(mailing)
    assert [event_of(mail).method.value for mail in server.to(pair.mentor.email)] == ["REQUEST", "CANCEL"]


def test_invitation_when_the_person_reads_german_is_german(pair, mailing, server, tenant, clock):
    wish(mailing, tenant, pair.mentee, language="de")
    pair.plan(pair.mentor, tomorrow(clock))
    send(mailing)
    (mail,) = server.to(pair.mentee.email)
    assert event_of(mail).vevent.summary.value == "Mentoring-Sitzung"


@pytest.mark.parametrize(
    "starts_at",
    [
        datetime(2026, 12, 1, 9, tzinfo=UTC),
        datetime(2027, 3, 26, 9, tzinfo=UTC),
        datetime(2027, 3, 29, 9, tzinfo=UTC),
        datetime(2027, 10, 29, 9, tzinfo=UTC),
        datetime(2027, 11, 2, 9, tzinfo=UTC),
    ],
)
def test_invitation_when_the_clocks_change_means_the_same_moment(mailing, tenant, server, clock, starts_at):
    pair = make_pair(mailing, tenant, mentor_zone="America/New_York", mentee_zone="Europe/Berlin")
    pair.plan(pair.mentor, starts_at)
    clock.forward(hours=6)
    send(mailing)
    found = {event_of(mail).vevent.dtstart.value.astimezone(UTC) for mail in server.mails}
    assert found == {starts_at}
    assert len(server.mails) == 2


# ---- the feed ----


def make_feed(pair, person) -> str:
    with pair.transaction() as db:
        return operations.make_feed(db, person.id, "test", pair.now)


def test_feed_when_read_shows_own_sessions_and_nothing_else(pair, mailing, clock, app, tenant):
    pair.plan(pair.mentor, tomorrow(clock), place=SECRET, agenda=SECRET)
    another = make_pair(mailing, tenant)
    another.plan(another.mentor, tomorrow(clock))
    token = make_feed(pair, pair.mentor)
    answer = app.test_client().get(f"/calendar/{token}.ics")
    assert answer.status_code == 200
    assert answer.mimetype == "text/calendar"
    text = answer.get_data(as_text=True)
    calendar = vobject.readOne(text)
    (event,) = calendar.vevent_list
    assert event.dtstart.value == tomorrow(clock)
    assert event.status.value == "CONFIRMED"
    for word in (SECRET, "Sven", "Senior", pair.mentee.email, "ATTENDEE"):
        assert word not in text


def test_feed_when_a_session_is_cancelled_says_so_and_old_ones_go(pair, mailing, clock):
    session = pair.plan(pair.mentor, tomorrow(clock))
    cancel(pair, session, pair.mentor)
    token = make_feed(pair, pair.mentor)
    (event,) = vobject.readOne(tasks.read_feed(mailing, token)).vevent_list
    assert (event.status.value, event.sequence.value) == ("CANCELLED", "1")
    clock.forward(days=120)
    assert "VEVENT" not in tasks.read_feed(mailing, token)


def test_feed_when_made_anew_or_revoked_is_not_read_by_the_old_address(pair, mailing, app):
    old = make_feed(pair, pair.mentor)
    new = make_feed(pair, pair.mentor)
    client = app.test_client()
    assert client.get(f"/calendar/{old}.ics").status_code == 404
    assert client.get(f"/calendar/{new}.ics").status_code == 200
    with pair.transaction() as db:
        operations.revoke_feed(db, pair.mentor.id, "test", pair.now)
    assert client.get(f"/calendar/{new}.ics").status_code == 404


def test_feed_when_its_person_has_left_is_gone(pair, mailing, app):
    token = make_feed(pair, pair.mentor)
    with pair.transaction() as db:
        db.get_one(Person, pair.mentor.id).status = "terminated"
    assert app.test_client().get(f"/calendar/{token}.ics").status_code == 404


def test_feed_page_when_used_makes_shows_once_and_revokes(pair, app, sign_in, tenant):
    browser = sign_in(tenant, pair.mentor)
    browser.get("/calendar").submit("/calendar")
    assert browser.status == 200
    address = browser.text.split('value="http://localhost:5000')[1].split('"')[0]
    assert app.test_client().get(address).status_code == 200
    browser.get("/calendar")
    assert address not in browser.text
    assert "has an address" in browser.says()
    browser.submit("/calendar/revoke")
    assert "does nothing any more" in browser.says()
    assert app.test_client().get(address).status_code == 404


def test_database_when_a_feed_is_made_holds_only_the_digest_of_its_secret(pair, mailing, tenant):
    token = make_feed(pair, pair.mentor)
    (row,) = read_rows(mailing.database, tenant, CalendarFeed)
    assert token not in str(vars(row))
