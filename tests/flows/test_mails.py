"""Notices that go by mail: once, when it suits, bundled, and never with anybody's words."""

import pytest
from sqlalchemy import select

from connectors.notify import smtp
from rmplugin import notify
from rmplugin.mailing import operations, tasks
from rmplugin.mailing.catalogue import DEFAULT_WAYS, KINDS
from rmplugin.mailing.models import BlockedAddress, Mail
from rmplugin.mailing.store import LEASE
from rmplugin.people.models import Person
from tests.factories.mails import due, open_runtime, send, states, tell, wish
from tests.factories.pairs import make_pair
from tests.factories.people import make_person
from tests.factories.rows import read_rows
from tests.fakes.mail_server import MailServer, part


@pytest.fixture
def server():
    with MailServer() as running:
        yield running


@pytest.fixture
def mailing(settings, server, clock, tenant):
    runtime = open_runtime(settings, server.url, clock)
    yield runtime
    runtime.database.close()
    runtime.queue.storage.close()


@pytest.fixture
def ada(mailing, tenant):
    with mailing.database.transaction(tenant.id) as db:
        return make_person(db, given_name="Ada", email="ada@example.com", time_zone="Europe/Berlin")


def test_notice_when_told_goes_by_mail_once(mailing, tenant, server, ada):
    tell(mailing, tenant, ada)
    assert send(mailing) == {"sent": 1}
    assert send(mailing) == {}
    (mail,) = server.mails
    assert mail["To"] == "ada@example.com"
    assert mail["From"] == "mentoring@tool.example"
    assert mail["Subject"] == "A message waits for you"
    assert "Hello Ada," in part(mail, "text/plain")
    assert "Read the message" in part(mail, "text/html")
    assert mail["Auto-Submitted"] == "auto-generated"


def test_notice_when_its_transaction_fails_makes_no_mail(mailing, tenant, server, ada):
    def fail():
        with mailing.database.transaction(tenant.id) as db:
            notify.tell(db, ada.id, "message", "x", mailing.clock())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert send(mailing) == {}


def test_notice_when_read_in_the_tool_before_its_mail_goes_makes_none(mailing, tenant, server, ada, clock):
    clock.forward(hours=11)
    tell(mailing, tenant, ada, path="/x")
    assert send(mailing) == {}
    with mailing.database.transaction(tenant.id) as db:
        notify.settle(db, ada.id, "/x", clock.now)
    clock.forward(hours=12)
    assert send(mailing) == {}
    assert states(mailing, tenant) == ["dropped"]
    assert server.mails == []


@pytest.mark.parametrize("fields", [{"status": "terminated"}, {"status": "suspended"}, {"email": None}])
def test_notice_when_the_person_cannot_get_mail_stays_in_the_tool(mailing, tenant, server, ada, fields):
    with mailing.database.transaction(tenant.id) as db:
        for name, value in fields.items():
            setattr(db.get_one(Person, ada.id), name, value)
    tell(mailing, tenant, ada)
    assert send(mailing) == {}
    assert states(mailing, tenant) == []


def test_notice_when_there_is_no_mail_server_is_not_mailed_later_either(
    runtime, settings, tenant, server, clock
):
    with runtime.database.transaction(tenant.id) as db:
        bob = make_person(db)
    tell(runtime, tenant, bob)
    assert send(runtime) == {}
    later = open_runtime(settings, server.url, clock)
    assert send(later) == {}
    later.database.close()
    later.queue.storage.close()
    assert server.mails == []


def test_mail_when_quiet_hours_are_on_waits_and_comes_with_the_others_in_one(
    mailing, tenant, server, ada, clock
):
    clock.forward(hours=9.5)  # 19:30 in Berlin
    for number, kind in enumerate(("message", "message", "proposal")):
        tell(mailing, tenant, ada, kind, f"/pairings/{number}")
    assert send(mailing) == {}
    clock.forward(hours=12)  # 7:30
    assert send(mailing) == {}
    clock.forward(hours=0.5)
    assert send(mailing) == {"sent": 1}
    (mail,) = server.mails
    assert mail["Subject"] == "3 things wait for you"
    assert "- A message waits for you (2)\n- A proposal waits for you\n" in part(mail, "text/plain")
    assert states(mailing, tenant) == ["sent"] * 3


def test_mail_when_it_is_friday_evening_waits_for_monday(mailing, tenant, ada, clock):
    clock.forward(days=4, hours=10)
    tell(mailing, tenant, ada)
    send(mailing)
    assert f"{due(mailing, tenant)[0]:%a %H:%M}" == "Mon 07:00"


def test_mail_when_wanted_once_a_day_comes_the_next_morning(mailing, tenant, server, ada, clock):
    wish(mailing, tenant, ada, messages="digest")
    tell(mailing, tenant, ada)
    clock.forward(hours=2)
    tell(mailing, tenant, ada, "proposal")
    assert send(mailing) == {"sent": 1}
    assert server.mails[0]["Subject"] == "A proposal waits for you"
    clock.forward(hours=20)
    assert send(mailing) == {"sent": 1}
    assert server.mails[1]["Subject"] == "A message waits for you"


def test_mail_when_switched_off_stays_in_the_tool_but_service_goes(mailing, tenant, server, ada):
    wish(mailing, tenant, ada, messages="off", proposals="off")
    for kind in ("message", "proposal", "pairing_ended"):
        tell(mailing, tenant, ada, kind)
    assert send(mailing) == {"sent": 1}
    (mail,) = server.mails
    assert mail["Subject"] == "Your pairing has ended"
    assert mail["List-Unsubscribe"] is None
    assert "cannot be switched off" in part(mail, "text/plain")


def test_mail_when_switched_off_while_it_waits_is_dropped(mailing, tenant, server, ada, clock):
    clock.forward(hours=11)
    tell(mailing, tenant, ada)
    send(mailing)
    wish(mailing, tenant, ada, messages="off")
    clock.forward(hours=12)
    assert send(mailing) == {}
    assert server.mails == []


def test_mail_when_the_person_reads_german_is_german(mailing, tenant, server, ada):
    wish(mailing, tenant, ada, language="de")
    tell(mailing, tenant, ada)
    send(mailing)
    (mail,) = server.mails
    assert mail["Subject"] == "Eine Nachricht wartet auf Sie"
    assert "Hallo Ada," in part(mail, "text/plain")
    assert '<html lang="de"' in part(mail, "text/html")


def test_address_when_refused_for_good_is_blocked_until_it_changes(mailing, tenant, server, ada, clock):
    server.refusals["ada@example.com"] = "550 5.1.1 No such user"
    tell(mailing, tenant, ada)
    assert send(mailing) == {"failed": 1}
    (blocked,) = read_rows(mailing.database, tenant, BlockedAddress)
    assert "for good" in blocked.reason
    server.refusals.clear()
    tell(mailing, tenant, ada, "proposal")
    assert send(mailing) == {}
    with mailing.database.transaction(tenant.id) as db:
        person = db.get_one(Person, ada.id)
        person.email = person.email_folded = "ada.byron@example.com"
    tell(mailing, tenant, ada, "session_changed")
    assert send(mailing) == {"sent": 1}
    assert server.mails[0]["To"] == "ada.byron@example.com"


@pytest.mark.parametrize(
    "said",
    ["554 5.7.1 Relay access denied", "530 5.7.0 Must issue STARTTLS first", "550 5.7.1 Not from you"],
)
def test_address_when_the_server_passes_nothing_on_is_not_blocked(mailing, tenant, server, ada, clock, said):
    server.refusals["ada@example.com"] = said
    tell(mailing, tenant, ada)
    assert send(mailing) == {"waiting": 1}
    assert read_rows(mailing.database, tenant, BlockedAddress) == []
    server.refusals.clear()
    clock.forward(minutes=1)
    assert send(mailing) == {"sent": 1}


def test_address_when_its_mailbox_is_full_loses_one_mail_and_gets_the_next(mailing, tenant, server, ada):
    server.refusals["ada@example.com"] = "552 5.2.2 Over quota"
    tell(mailing, tenant, ada)
    assert send(mailing) == {"failed": 1}
    server.refusals.clear()
    tell(mailing, tenant, ada, "proposal")
    assert send(mailing) == {"sent": 1}


def test_address_when_unblocked_gets_what_was_given_up(mailing, tenant, server, ada, clock):
    server.refusals["ada@example.com"] = "550 5.1.1 No such user"
    tell(mailing, tenant, ada)
    send(mailing)
    server.refusals.clear()
    with mailing.database.transaction(tenant.id) as db:
        operations.unblock(db, db.scalars(select(BlockedAddress)).one(), "test", clock.now)
    assert send(mailing) == {"sent": 1}


def test_mail_when_the_server_is_busy_is_tried_again_with_the_same_id(mailing, tenant, server, ada, clock):
    server.refusals["ada@example.com"] = "451 4.7.1 Try again later"
    tell(mailing, tenant, ada)
    assert send(mailing) == {"waiting": 1}
    (row,) = read_rows(mailing.database, tenant, Mail)
    assert row.attempts == 1
    assert "at the moment" in row.last_error
    assert "ada" not in row.last_error
    server.refusals.clear()
    # What is new by then makes a letter of its own: the first one stays what it was.
    tell(mailing, tenant, ada, "proposal")
    clock.forward(minutes=2)
    assert send(mailing) == {"sent": 2}
    assert f"<{row.letter_id}@localhost>" in {mail["Message-ID"] for mail in server.mails}


def test_mail_when_refused_as_such_is_given_up_and_the_address_is_not(mailing, tenant, server, ada):
    server.data_answer = "554 5.7.1 Looks like spam"
    tell(mailing, tenant, ada)
    assert send(mailing) == {"failed": 1}
    assert read_rows(mailing.database, tenant, BlockedAddress) == []
    server.data_answer = None
    with mailing.database.transaction(tenant.id) as db:
        assert operations.try_again(db, "test", mailing.clock()) == 1
    assert send(mailing) == {"sent": 1}


def test_mail_when_the_sender_is_refused_waits_for_an_administrator(mailing, tenant, server, ada):
    server.sender_answer = "550 5.7.1 Not yours"
    tell(mailing, tenant, ada)
    assert send(mailing) == {"waiting": 1}
    (row,) = read_rows(mailing.database, tenant, Mail)
    assert "from=" in row.last_error
    assert read_rows(mailing.database, tenant, BlockedAddress) == []


def test_mails_when_the_server_is_down_wait_and_after_three_nobody_else_is_tried(
    settings, tenant, clock, runtime
):
    with MailServer() as gone:
        url = gone.url
    mailing = open_runtime(settings, url, clock)
    with mailing.database.transaction(tenant.id) as db:
        people = [make_person(db) for _ in range(5)]
    for person in people:
        tell(mailing, tenant, person)
    assert send(mailing) == {"waiting": 3}
    assert {row.attempts for row in read_rows(mailing.database, tenant, Mail)} == {0, 1}
    mailing.database.close()
    mailing.queue.storage.close()


class Killed(BaseException):
    """The process ended."""


def test_mail_when_the_worker_is_killed_after_sending_comes_again_with_the_same_id(
    mailing, tenant, server, ada, clock, monkeypatch
):
    for kind in ("message", "proposal"):
        tell(mailing, tenant, ada, kind)

    class Dying(smtp.Smtp):
        def send(self, url, letters):
            for _answer in super().send(url, letters):
                raise Killed

    mailing.plugins.mailers[:] = [Dying()]
    with pytest.raises(Killed):
        send(mailing)
    mailing.plugins.mailers[:] = [smtp.Smtp()]
    tell(mailing, tenant, ada, "session_changed")
    assert send(mailing) == {"sent": 1}
    clock.forward(seconds=LEASE.total_seconds() + 1)
    assert send(mailing) == {"sent": 1}
    first, second, third = server.mails
    assert first["Message-ID"] == third["Message-ID"] != second["Message-ID"]
    assert first["Subject"] == third["Subject"] == "2 things wait for you"
    assert states(mailing, tenant) == ["sent"] * 3


def test_mailer_when_it_crashes_leaves_the_mail_for_later(mailing, tenant, server, ada, clock):
    class Breaking(smtp.Smtp):
        def send(self, _url, letters):
            next(iter(letters))
            raise RuntimeError("a plug-in's own fault")

    tell(mailing, tenant, ada)
    mailing.plugins.mailers[:] = [Breaking()]
    assert send(mailing) == {}
    mailing.plugins.mailers[:] = [smtp.Smtp()]
    clock.forward(minutes=6)
    assert send(mailing) == {"sent": 1}


def test_mails_when_there_are_many_go_over_one_connection(mailing, tenant, server):
    with mailing.database.transaction(tenant.id) as db:
        people = [make_person(db) for _ in range(12)]
        told = [(person.id, "x", None) for person in people]
        notify.tell_all(db, "news", told, mailing.clock(), ())
        notify.tell_all(db, "proposal", told, mailing.clock(), ())
    assert send(mailing) == {"sent": 12}
    assert server.connections == 1


def test_mails_when_two_companies_have_some_stay_apart(mailing, tenant, other_tenant, server, ada):
    with mailing.database.transaction(other_tenant.id) as db:
        eve = make_person(db, given_name="Eve", email="ada@example.com")
    tell(mailing, tenant, ada)
    tell(mailing, other_tenant, eve, "proposal")
    assert send(mailing) == {"sent": 2}
    assert sorted(mail["Subject"] for mail in server.mails) == [
        "A message waits for you",
        "A proposal waits for you",
    ]
    server.refusals["ada@example.com"] = "550 No"
    tell(mailing, tenant, ada)
    send(mailing)
    # The address is refused for one company; the other finds out by itself.
    assert len(read_rows(mailing.database, tenant, BlockedAddress)) == 1
    assert read_rows(mailing.database, other_tenant, BlockedAddress) == []


SECRETS = ("Violet-sunrise", "Harpsichord", "Quicksilver", "Sassafras")


@pytest.mark.parametrize("language", ["en", "de"])
def test_mails_of_every_kind_when_sent_hold_no_words_and_not_the_partner(
    mailing, tenant, server, clock, language
):
    pair = make_pair(mailing, tenant)
    secret = " ".join(SECRETS)
    pair.agree(hopes=secret, boundaries=secret, place=secret)
    pair.add_goal(pair.mentor, title=secret, baseline=secret)
    session = pair.plan(pair.mentor, clock.now.replace(hour=14), place=secret, agenda=secret)
    for kind in [*KINDS, "something_nobody_knows"]:
        tell(mailing, tenant, pair.mentee, kind, f"/sessions/{session.id}", text=secret)
    wish(mailing, tenant, pair.mentee, language=language)
    assert send(mailing)["sent"] >= 2
    # One by one, too: each kind has words of its own.
    for kind in KINDS:
        tell(mailing, tenant, pair.mentee, kind, text=f"{kind} {secret}")
        send(mailing)
    clock.forward(days=1)
    send(mailing)
    # One letter for each that goes at once, and the others in one a day.
    at_once = [kind for kind in KINDS.values() if DEFAULT_WAYS[kind.group] == "at_once"]
    assert len(server.to(pair.mentee.email)) > len(at_once)
    said = server.words(pair.mentee.email)
    for word in (*SECRETS, "Mira", "Junior"):
        assert word not in said, word
    assert not any(word in server.words() for word in SECRETS)
    assert pair.programme.name in said


def test_mail_when_its_page_opens_without_a_login_leads_there_and_goes_alone(
    mailing, tenant, server, ada, clock
):
    clock.forward(hours=11)
    tell(mailing, tenant, ada, "proposal", "/proposals/1")
    tell(mailing, tenant, ada, "endorsement_asked", "/endorse/abc")
    tell(mailing, tenant, ada, "message", "/pairings/1/messages")
    clock.forward(hours=12)
    assert send(mailing) == {"sent": 2}
    direct = next(mail for mail in server.mails if mail["Subject"] == "A colleague asks for your word")
    assert "http://localhost:5000/endorse/abc" in part(direct, "text/plain")
    assert "/endorse/" not in "".join(part(mail, "text/plain") for mail in server.mails if mail is not direct)


def test_mails_when_old_are_forgotten_unless_they_wait(mailing, tenant, server, ada, clock):
    tell(mailing, tenant, ada)
    send(mailing)
    wish(mailing, tenant, ada, messages="digest")
    server.sender_answer = "550 no"
    tell(mailing, tenant, ada)
    clock.forward(days=1)
    send(mailing)
    clock.forward(days=91)
    tasks.tidy(mailing)
    assert states(mailing, tenant) == ["waiting"]
