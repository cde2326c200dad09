"""Pages: how I am told, one click in a mail, previews, news and channels, what became of mails."""

import dataclasses
import re

import pytest
import responses
from sqlalchemy import event

from rmplugin import notify
from rmplugin.jobs import work_outbox
from rmplugin.mailing import queries, store, tasks
from rmplugin.mailing.catalogue import GROUPS, KINDS
from rmplugin.mailing.models import BlockedAddress, Mail, MailChoice, NewsChannel
from rmplugin.tenants.models import LtiContext, LtiPlatform, LtiResourceLink
from tests.factories.mails import send, tell, wish
from tests.factories.pairs import make_pair
from tests.factories.people import make_person
from tests.factories.programmes import make_context
from tests.factories.rows import read_rows
from tests.fakes.mail_server import MailServer, part

SLACK = "https://hooks.slack.com/services/T0/B0/s3cret"


@pytest.fixture
def server():
    with MailServer() as running:
        yield running


@pytest.fixture
def settings(settings, server):
    """Give an installation with a mail server."""
    return dataclasses.replace(settings, smtp_url=server.url)


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


@pytest.fixture
def course(database, tenant, pair):
    """Put the pair's programme into a course."""
    with database.transaction(tenant.id) as db:
        context = make_context(db, "Course")
        db.merge(pair.programme).context_id = context.id
        return context


# ---- how I am told ----


def test_notifications_when_chosen_are_kept_and_followed(sign_in, tenant, pair, runtime, server, clock):
    browser = sign_in(tenant, pair.mentee).get("/notifications")
    assert "Only you see these choices." in browser.says()
    browser.submit(
        "/notifications", way_messages="off", way_news="at_once", quiet_from="20:30", language="de"
    )
    assert browser.status == 200
    (row,) = read_rows(runtime.database, tenant, MailChoice)
    assert row.ways["messages"] == "off"
    assert (row.quiet_from_minute, row.quiet_to_minute, row.language) == (1230, 480, "de")
    assert 'value="20:30"' in browser.text
    tell(runtime, tenant, pair.mentee)
    tell(runtime, tenant, pair.mentee, "news")
    assert send(runtime) == {"sent": 1}


@pytest.mark.parametrize(
    ("field", "value"), [("quiet_from", "25:00"), ("way_messages", "sometimes"), ("quiet_to", "")]
)
def test_notifications_when_an_answer_is_wrong_say_which(sign_in, tenant, pair, field, value):
    browser = sign_in(tenant, pair.mentee).get("/notifications")
    browser.submit("/notifications", **{field: value})
    assert browser.status == 422
    assert f'id="e-{field}"' in browser.text


def test_notifications_when_no_mail_can_reach_somebody_say_so(sign_in, tenant, pair, database, clock):
    with database.transaction(tenant.id) as db:
        store.block(db, pair.mentee.id, "No such address.", clock.now)
    assert "do not reach you" in sign_in(tenant, pair.mentee).get("/notifications").says()
    assert "do not reach you" not in sign_in(tenant, pair.mentor).get("/notifications").says()


def test_service_notices_when_posted_as_off_stay_on(sign_in, tenant, pair, runtime, server):
    sign_in(tenant, pair.mentee).get("/notifications").submit("/notifications", way_service="off")
    tell(runtime, tenant, pair.mentee, "pairing_ended")
    assert send(runtime) == {"sent": 1}


# ---- one click ----


def stop_url(server) -> str:
    return server.mails[-1]["List-Unsubscribe"].strip("<>").removeprefix("http://localhost:5000")


def test_one_click_when_a_mail_program_posts_switches_off_and_names_it(app, runtime, tenant, pair, server):
    tell(runtime, tenant, pair.mentee)
    send(runtime)
    path = stop_url(server)
    client = app.test_client()
    # Mail programs and scanners open links; only a POST does something (RFC 8058).
    shown = client.get(path).get_data(as_text=True)
    assert "Messages of your partner" in shown
    assert read_rows(runtime.database, tenant, MailChoice) == []
    answer = client.post(path, data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    assert "no more mails of this kind" in answer.get_data(as_text=True)
    assert "Messages of your partner" in answer.get_data(as_text=True)
    assert client.post(path, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    tell(runtime, tenant, pair.mentee)
    tell(runtime, tenant, pair.mentee, "proposal")
    send(runtime)
    assert [mail["Subject"] for mail in server.mails] == [
        "A message waits for you",
        "A proposal waits for you",
    ]


def test_one_click_when_a_letter_bundles_switches_off_what_is_in_it(app, runtime, tenant, pair, server):
    for kind in ("message", "proposal", "pairing_ended"):
        tell(runtime, tenant, pair.mentee, kind)
    send(runtime)
    text = app.test_client().post(stop_url(server)).get_data(as_text=True)
    assert {name for name in GROUPS.values() if name in text} == {
        "Messages of your partner",
        "Invitations and proposals",
    }


@pytest.mark.parametrize("method", ["get", "post"])
def test_one_click_when_the_address_is_not_ours_does_nothing(app, runtime, tenant, pair, server, method):
    tell(runtime, tenant, pair.mentee)
    send(runtime)
    forged = stop_url(server)[:-3] + "abc"
    assert getattr(app.test_client(), method)(forged).status_code == 404
    assert read_rows(runtime.database, tenant, MailChoice) == []


def test_one_click_when_it_is_about_another_company_reaches_nobody(
    app, runtime, tenant, other_tenant, pair, server
):
    post = tasks.make_post(runtime.settings, runtime.plugins)
    url = post.stop_url(other_tenant.id, pair.mentee.id, ["messages"])
    answer = app.test_client().post(url.removeprefix("http://localhost:5000"))
    assert answer.status_code == 200
    for company in (tenant, other_tenant):
        assert read_rows(runtime.database, company, MailChoice) == []


# ---- previews ----


def test_previews_when_opened_show_every_kind_in_both_languages(sign_in, tenant, pair, course):
    browser = sign_in(tenant, manager=True, context=course)
    path = f"/programmes/{pair.programme.id}/mails"
    assert all(kind.subject in browser.get(path).says() for kind in KINDS.values())
    for kind, words in KINDS.items():
        browser.get(f"{path}/{kind}")
        assert browser.status == 200
        assert words.sentence.split(".")[0] in browser.says()
        assert "Hello Kim," in browser.says()
        assert "Hallo Kim," in browser.says()
        assert browser.text.count("<iframe") == 2
        assert "sandbox" in browser.text
        # Shown under a policy without inline styles, so the mail must have none.
        assert not re.search(r"style=|<script", browser.text.split("srcdoc")[1])


def test_test_mail_when_asked_for_goes_to_the_manager_alone(
    sign_in, tenant, pair, course, runtime, server, database
):
    with database.transaction(tenant.id) as db:
        boss = make_person(db, email="boss@example.com")
    browser = sign_in(tenant, boss, manager=True, context=course)
    browser.get(f"/programmes/{pair.programme.id}/mails/proposal")
    browser.submit("/mails/proposal", language="de")
    assert "on its way" in browser.says()
    assert send(runtime) == {"sent": 1}
    (mail,) = server.mails
    assert mail["To"] == "boss@example.com"
    assert mail["Subject"] == "Ein Vorschlag wartet auf Sie"


def test_test_mail_when_the_manager_has_no_address_says_so(sign_in, tenant, pair, course):
    browser = sign_in(tenant, manager=True, context=course)
    browser.post(f"/programmes/{pair.programme.id}/mails/proposal", language="en")
    assert browser.status == 422
    assert "says your mail address" in browser.says()


@pytest.mark.parametrize(
    ("family", "course_id", "link_id", "address"),
    [
        ("moodle", "4", "17", "/mod/lti/view.php?l=17"),
        (
            "openedx",
            "course-v1:Acme+RM+2027",
            "block-v1:Acme+RM+2027+type@lti_consumer+block@1",
            "/courses/course-v1:Acme+RM+2027/jump_to/block-v1:Acme+RM+2027+type@lti_consumer+block@1",
        ),
        (
            "canvas",
            "4dde05e8",
            "4dde05e8",
            "/courses/42/external_tools/retrieve?display=borderless&amp;url=http%3A%2F%2Flocalhost%3A5000%2Flti%2F",
        ),
    ],
)
def test_button_when_the_platform_says_how_leads_to_the_activity(
    runtime, tenant, pair, course, server, family, course_id, link_id, address
):
    with runtime.database.transaction(tenant.id) as db:
        context = db.get_one(LtiContext, course.id)
        platform = db.get_one(LtiPlatform, context.platform_id)
        platform.family, platform.issuer, context.context_id = family, "https://lms.example/", course_id
        context.course_url = "https://lms.example/courses/42"
        link = {"resource_link_id": link_id, "title": None, "line_item_url": None, "line_items_url": None}
        db.add(LtiResourceLink(context_id=context.id, scopes=[], last_launch_at=runtime.clock(), **link))
    tell(runtime, tenant, pair.mentee)
    send(runtime)
    assert f"https://lms.example{address}" in part(server.mails[0], "text/html")
    assert "opens from your course" not in part(server.mails[0], "text/plain")


def test_button_when_canvas_never_named_the_course_leads_to_the_tool(runtime, tenant, pair, course, server):
    with runtime.database.transaction(tenant.id) as db:
        context = db.get_one(LtiContext, course.id)
        db.get_one(LtiPlatform, context.platform_id).family = "canvas"
        link = {"resource_link_id": "4dde", "title": None, "line_item_url": None, "line_items_url": None}
        db.add(LtiResourceLink(context_id=context.id, scopes=[], last_launch_at=runtime.clock(), **link))
    tell(runtime, tenant, pair.mentee)
    send(runtime)
    assert "opens from your course" in part(server.mails[0], "text/plain")


def test_button_when_the_manager_enters_an_address_leads_there(
    sign_in, tenant, pair, course, runtime, server
):
    browser = sign_in(tenant, manager=True, context=course)
    path = f"/programmes/{pair.programme.id}/mails"
    browser.get(path).submit(path, activity_url="javascript:alert(1)")
    assert browser.status == 422
    browser.submit(path, activity_url="https://lms.example/a/1")
    assert browser.status == 200
    tell(runtime, tenant, pair.mentee)
    send(runtime)
    assert "https://lms.example/a/1" in part(server.mails[0], "text/plain")


# ---- news ----


@responses.activate
def test_news_when_told_reach_everybody_and_the_channel_once(
    sign_in, tenant, pair, course, runtime, server, clock
):
    posted = responses.post(SLACK, body="ok")
    browser = sign_in(tenant, manager=True, context=course)
    path = f"/programmes/{pair.programme.id}/news"
    browser.get(path).submit("/news/channels", notifier="slack", name="#mentoring", url=SLACK)
    assert "#mentoring" in browser.says()
    assert "s3cret" not in browser.text
    browser.submit(path, title="Kick-off", words="On Monday at ten.")
    assert "Everybody is told." in browser.says()
    for _ in range(2):
        work_outbox(runtime, slow=True)
    assert len(posted.calls) == 2
    assert b"On Monday at ten." in posted.calls[1].request.body
    wish(runtime, tenant, pair.mentee, news="at_once")
    send(runtime)
    assert "Monday" not in server.words()
    reader = sign_in(tenant, pair.mentee).get("/home")
    (news_path,) = set(re.findall(r"/news/[0-9a-f-]{36}", reader.text))
    assert "On Monday at ten." in reader.get(news_path).says()
    with runtime.database.transaction(tenant.id) as db:
        outsider = make_person(db)
    assert sign_in(tenant, outsider).get(news_path).status == 404


@responses.activate
def test_channel_when_it_is_gone_stops_and_is_shown(sign_in, tenant, pair, course, runtime):
    posted = responses.post(SLACK, status=404, body="no_service")
    browser = sign_in(tenant, manager=True, context=course)
    path = f"/programmes/{pair.programme.id}/news"
    browser.get(path).submit("/news/channels", notifier="slack", name="#mentoring", url=SLACK)
    work_outbox(runtime, slow=True)
    assert "stopped" in browser.get(path).says()
    assert "Make a new webhook" in browser.says()
    browser.submit(path, title="Kick-off", words="On Monday.")
    work_outbox(runtime, slow=True)
    assert len(posted.calls) == 1
    browser.get(path).submit("/remove")
    assert read_rows(runtime.database, tenant, NewsChannel) == []


@responses.activate
def test_channel_when_it_is_throttled_is_tried_when_it_asks(sign_in, tenant, pair, course, runtime, clock):
    responses.post(SLACK, status=429, headers={"Retry-After": "240"})
    browser = sign_in(tenant, manager=True, context=course)
    path = f"/programmes/{pair.programme.id}/news"
    browser.get(path).submit("/news/channels", notifier="slack", name="#mentoring", url=SLACK)
    work_outbox(runtime, slow=True)
    responses.replace("POST", SLACK, body="ok")
    clock.forward(minutes=3)
    assert work_outbox(runtime, slow=True) == 0
    clock.forward(minutes=2)
    assert work_outbox(runtime, slow=True) == 1


@pytest.mark.parametrize("fields", [{"url": "https://evil.example/x"}, {"notifier": "pigeon"}, {"name": ""}])
def test_channel_when_entered_wrongly_is_not_kept(sign_in, tenant, pair, course, runtime, fields):
    browser = sign_in(tenant, manager=True, context=course)
    values = {"notifier": "slack", "name": "#mentoring", "url": SLACK} | fields
    browser.get(f"/programmes/{pair.programme.id}/news").submit("/news/channels", **values)
    assert browser.status == 422
    assert read_rows(runtime.database, tenant, NewsChannel) == []


def test_channel_secret_when_kept_is_encrypted(sign_in, tenant, pair, course, runtime):
    browser = sign_in(tenant, manager=True, context=course)
    values = {"notifier": "slack", "name": "#mentoring", "url": SLACK}
    browser.get(f"/programmes/{pair.programme.id}/news").submit("/news/channels", **values)
    (row,) = read_rows(runtime.database, tenant, NewsChannel)
    assert b"s3cret" not in row.settings_locked


def test_manager_of_another_course_when_asking_gets_nothing(sign_in, tenant, pair, course, database):
    with database.transaction(tenant.id) as db:
        there = make_context(db, "There")
    browser = sign_in(tenant, manager=True, context=there)
    programme = f"/programmes/{pair.programme.id}"
    for path in ("/mails", "/mails/proposal", "/news"):
        assert browser.get(programme + path).status == 403, path
    for path in ("/mails", "/mails/proposal", "/news", "/news/channels"):
        assert browser.post(programme + path, title="x", words="x", language="en").status in (403, 422), path


# ---- the administrator ----


def test_admin_page_when_mails_fail_shows_why_and_lets_them_be_tried_again(
    admin, runtime, tenant, pair, server, clock
):
    server.refusals[pair.mentee.email] = "550 5.1.1 No such user"
    tell(runtime, tenant, pair.mentee)
    tell(runtime, tenant, pair.mentor)
    server.refusals[pair.mentor.email] = "451 4.2.1 Later"
    send(runtime)
    admin.get("/admin/mails")
    assert pair.mentee.email in admin.says()
    assert "for good" in admin.says()
    # Of what only waits, nobody's name or address is shown.
    assert pair.mentor.email not in admin.text
    assert pair.mentor.display_name not in admin.text
    assert "takes no mail at the moment" in admin.says()
    server.refusals.clear()
    admin.submit("/unblock")
    assert read_rows(runtime.database, tenant, BlockedAddress) == []
    admin.submit("/admin/mails/again")
    send(runtime)
    assert {row.state for row in read_rows(runtime.database, tenant, Mail)} == {"sent"}
    assert "Nothing." in admin.get("/admin/mails").says()


@pytest.mark.parametrize("page", ["/notifications", "/calendar", "mails", "mails/proposal", "news"])
def test_pages_when_opened_ask_the_database_few_questions(
    sign_in, tenant, pair, course, runtime, clock, page
):
    with runtime.database.transaction(tenant.id) as db:
        for n in range(30):
            notify.tell(db, pair.mentee.id, "message", "x", clock.now, f"/x/{n}")
    asked = []
    person, manager = sign_in(tenant, pair.mentee), sign_in(tenant, pair.mentee, manager=True, context=course)
    event.listen(runtime.database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    browser = person if page.startswith("/") else manager
    browser.get(page if page.startswith("/") else f"/programmes/{pair.programme.id}/{page}")
    assert browser.status == 200
    assert len(asked) <= 12, asked


def test_wishes_when_asked_for_many_come_in_few_questions(runtime, tenant):
    with runtime.database.transaction(tenant.id) as db:
        people = [make_person(db).id for _ in range(40)]
        asked = []
        event.listen(runtime.database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
        found = queries.wishes_of(db, people)
    assert set(found) == set(people)
    assert len(asked) == 1
