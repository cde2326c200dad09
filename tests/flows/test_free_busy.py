"""Calendars: given, fetched from a real server, kept as busy times only, forgotten; none is private."""

import threading
from collections.abc import Iterator

import pytest
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from rmplugin import http
from rmplugin.freebusy import operations, tasks
from rmplugin.freebusy.models import BusyCalendar
from rmplugin.freebusy.queries import busy_of
from tests.factories.pairs import make_pair

CALENDAR = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//x//x//EN\r
BEGIN:VEVENT\r
UID:1\r
SUMMARY:Secret words about a walrus\r
DTSTART;TZID=Europe/London:20261124T090000\r
DTEND;TZID=Europe/London:20261124T120000\r
END:VEVENT\r
END:VCALENDAR\r
"""


class Calendars:
    """Serves one calendar; says what it was asked."""

    def __init__(self) -> None:
        self.text, self.status = CALENDAR, 200
        self.asked: list[str] = []
        self.server = make_server("127.0.0.1", 0, self)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __call__(self, environ, start_response):
        request = Request(environ)
        self.asked.append(request.full_path)
        return Response(self.text, self.status, content_type="text/calendar")(environ, start_response)


@pytest.fixture
def calendars() -> Iterator[Calendars]:
    calendars = Calendars()
    thread = threading.Thread(target=calendars.server.serve_forever, daemon=True)
    thread.start()
    yield calendars
    calendars.server.shutdown()
    calendars.server.server_close()
    thread.join()


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


def give(pair, person, url):
    with pair.transaction() as db:
        operations.keep_calendar(db, pair.runtime.database.secrets, person.id, url, pair.now)


def fetch(runtime, *, loopback=True):
    if loopback:
        # The server of this test is on loopback, which the real session refuses.
        runtime.kept[tasks.OUTSIDE] = http.make_session()
    return tasks.fetch_due(runtime)


def only(pair):
    return pair.rows(BusyCalendar)[0]


def test_calendar_when_fetched_keeps_busy_times_and_moves_the_suggestion(
    pair, runtime, tenant, calendars, sign_in
):
    path = f"{pair.path}/sessions/new"
    before = sign_in(tenant, pair.mentor).get(path).forms()[0]["fields"]["at"]
    give(pair, pair.mentee, f"{calendars.url}/cal.ics?key=secret")
    assert fetch(runtime) == 1
    assert calendars.asked == ["/cal.ics?key=secret"]
    assert only(pair).busy == [["2026-11-24T09:00:00+00:00", "2026-11-24T12:00:00+00:00"]]
    page = sign_in(tenant, pair.mentor).get(path)
    assert (before, page.forms()[0]["fields"]["at"]) == (["10:00"], ["13:00"])
    assert "walrus" not in str(vars(only(pair)))
    assert b"secret" not in only(pair).url_locked


def test_calendar_when_fetched_waits_half_an_hour_and_longer_after_a_fault(pair, runtime, calendars, clock):
    give(pair, pair.mentee, f"{calendars.url}/cal.ics")
    assert (fetch(runtime), fetch(runtime)) == (1, 0)
    clock.forward(minutes=31)
    calendars.status = 404
    assert fetch(runtime) == 0
    assert (only(pair).fault, only(pair).busy) == ("http_404", [])
    clock.forward(hours=1)
    fetch(runtime)
    assert len(calendars.asked) == 2
    clock.forward(hours=6)
    calendars.status = 200
    assert fetch(runtime) == 1
    assert only(pair).fault is None


@pytest.mark.parametrize("text", ["<html>sign in</html>", "", "x" * (tasks.LIMITS.answer_bytes + 1)])
def test_calendar_when_it_is_none_or_too_large_says_so(pair, runtime, calendars, text):
    calendars.text = text
    give(pair, pair.mentee, f"{calendars.url}/cal.ics")
    assert fetch(runtime) == 0
    assert only(pair).fault


def test_calendar_when_its_address_is_private_is_never_asked(pair, runtime, calendars):
    give(pair, pair.mentee, f"{calendars.url}/cal.ics")
    assert fetch(runtime, loopback=False) == 0
    assert calendars.asked == []
    assert only(pair).fault == "unreachable"


def test_calendar_when_one_is_broken_does_not_keep_the_others(pair, runtime, calendars):
    give(pair, pair.mentor, "http://127.0.0.1:1/none.ics")
    give(pair, pair.mentee, f"{calendars.url}/cal.ics")
    assert fetch(runtime) == 1


def test_page_when_an_address_is_given_never_shows_it_again(pair, sign_in, tenant):
    browser = sign_in(tenant, pair.mentee).get("/free-busy")
    browser.submit("/free-busy", url="webcal://cal.example/private-key.ics")
    assert "Your calendar is connected" in browser.says()
    assert "private-key" not in browser.text
    assert (
        pair.runtime.database.secrets.unlock(only(pair).url_locked) == "https://cal.example/private-key.ics"
    )
    browser.submit("/forget")
    assert pair.rows(BusyCalendar) == []
    assert browser.submit("/free-busy", url="http://cal.example/a.ics").status == 422
    assert "begins with https://" in browser.says()


def test_busy_times_when_asked_for_others_are_theirs_alone(pair, runtime, calendars, other_tenant):
    give(pair, pair.mentee, f"{calendars.url}/cal.ics")
    fetch(runtime)
    with pair.transaction() as db:
        assert len(busy_of(db, [pair.mentor.id, pair.mentee.id])) == 1
        assert busy_of(db, [pair.mentor.id]) == []
    with runtime.database.transaction(other_tenant.id) as db:
        assert busy_of(db, [pair.mentee.id]) == []


def test_calendar_when_replaced_meanwhile_keeps_nothing_of_the_old_one(pair, runtime, calendars, clock):
    give(pair, pair.mentee, f"{calendars.url}/cal.ics")
    fetch(runtime)
    give(pair, pair.mentee, f"{calendars.url}/other.ics")
    assert (only(pair).busy, only(pair).fetched_at) == ([], None)
    assert only(pair).next_at == clock.now
