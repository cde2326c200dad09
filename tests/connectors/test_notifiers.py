"""What carries notices out: SMTP against a real server, webhooks with the answers of Slack and Teams."""

import json
import ssl
from datetime import UTC, datetime

import marshmallow as ma
import pytest
import requests
import responses
import trustme

from connectors.notify.slack import Slack
from connectors.notify.smtp import Smtp
from connectors.notify.teams import Teams
from rmplugin.api import Letter, MailNotifier, NewsNotifier, NewsPost
from rmplugin.errors import ConfigError
from rmplugin.plugins import Plugins
from tests.fakes.mail_server import MailServer

SLACK = "https://hooks.slack.com/services/T0/B0/s3cret"
TEAMS = "https://prod-12.westeurope.logic.azure.com:443/workflows/abc/triggers/manual/paths/invoke?sig=s3cret"
POST = NewsPost(
    title="Kick-off", text="On <!channel> & [here](x)", button="Open", url="https://lms.example/a?b=1"
)


def letter(**fields) -> Letter:
    values = {
        "message_id": "<1@tool.example>",
        "to": "ada@example.com",
        "sender": "mentoring@tool.example",
        "subject": "Ein Gruß",
        "text": "Für dich\n",
        "html": "<p>Für dich</p>",
        "written_at": datetime(2026, 11, 23, 9, tzinfo=UTC),
    }
    return Letter(**(values | fields))


def outcomes(url: str, *letters: Letter) -> list[str]:
    return [answer.outcome for answer in Smtp().send(url, letters or (letter(),))]


def test_notifiers_when_installed_keep_the_protocols():
    plugins = Plugins()
    assert all(isinstance(one, MailNotifier) for one in plugins.mailers)
    assert set(plugins.news) == {"slack", "teams"}
    assert all(isinstance(one, NewsNotifier) for one in plugins.news.values())
    assert plugins.mailer(None) is None
    assert plugins.mailer("smtps://mail.example").key == "smtp"
    with pytest.raises(ConfigError, match="pigeon"):
        plugins.mailer("pigeon://coop")


# ---- SMTP ----


def test_smtp_when_it_sends_keeps_words_and_headers():
    with MailServer() as server:
        assert outcomes(server.url, letter(unsubscribe_url="https://tool.example/mails/stop/x")) == ["sent"]
    (mail,) = server.mails
    assert mail["Subject"] == "Ein Gruß"
    assert mail["Message-ID"] == "<1@tool.example>"
    assert mail["Date"].datetime == datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert mail["List-Unsubscribe"] == "<https://tool.example/mails/stop/x>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail.get_content_type() == "multipart/alternative"
    assert mail.get_body(("html",)).get_content().strip() == "<p>Für dich</p>"


def test_smtp_when_a_password_is_wanted_signs_in_and_says_when_it_is_refused():
    with MailServer(password=True) as server:
        assert outcomes(server.url) == ["sent"]
        (answer,) = Smtp().send(server.url.replace("letters", "wrong"), [letter()])
    # A refused password is tried in each way that the server offers.
    assert server.logins[0] is True
    assert not any(server.logins[1:])
    assert answer.outcome == "retry"
    assert "refused the user or password" in answer.message_for_user
    assert "wrong" not in answer.message_for_user


@pytest.fixture
def certificate(monkeypatch):
    """Give a certificate for this machine that Python trusts for the length of a test."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    return context, trusted


def test_smtp_when_the_server_offers_it_goes_by_starttls(certificate, monkeypatch):
    context, trusted = certificate
    with MailServer(tls_context=context, require_starttls=True) as server:
        (untrusted,) = Smtp().send(server.url, [letter()])
        assert untrusted.outcome == "retry"
        assert "certificate" in untrusted.message_for_user
        monkeypatch.setattr(ssl, "create_default_context", lambda: trusted)
        assert outcomes(server.url) == ["sent"]


def test_smtp_when_tls_is_wanted_from_the_start_does_it(certificate, monkeypatch):
    context, trusted = certificate
    with MailServer(ssl_context=context) as server:
        monkeypatch.setattr(ssl, "create_default_context", lambda: trusted)
        assert outcomes(server.url.replace("smtp:", "smtps:")) == ["sent"]


def test_smtp_when_a_connection_breaks_opens_another_for_the_next():
    with MailServer() as server:
        server.refusals["busy@example.com"] = "421 4.3.2 Closing"
        letters = [letter(), letter(to="busy@example.com"), letter(to="bob@example.com")]
        assert outcomes(server.url, *letters) == ["sent", "retry", "sent"]


@pytest.mark.parametrize(
    ("refusal", "outcome"),
    [("550 5.1.1 Unknown", "stopped"), ("452 4.2.2 Full", "retry"), ("552 5.2.2 Full", "refused")],
)
def test_smtp_when_an_address_is_refused_tells_for_good_from_for_now(refusal, outcome):
    with MailServer() as server:
        server.refusals["ada@example.com"] = refusal
        (answer,) = Smtp().send(server.url, [letter()])
    assert answer.outcome == outcome
    assert answer.status == int(refusal[:3])
    assert "ada" not in answer.message_for_user


def test_smtp_when_nobody_listens_tries_later():
    with MailServer() as server:
        url = server.url
    assert outcomes(url) == ["retry"]


@pytest.mark.parametrize(
    "address", ["ada@example.com\r\nBcc: eve@example.com", "no address", "ä@example.com"]
)
def test_smtp_when_an_address_makes_no_sense_sends_nothing_else(address):
    with MailServer() as server:
        (answer,) = Smtp().send(server.url, [letter(to=address)])
        assert answer.outcome in ("stopped", "sent")
        assert all("eve" not in str(mail["Bcc"]) for mail in server.mails)


# ---- Slack and Teams ----


@responses.activate
def test_slack_when_it_posts_sends_blocks_and_mentions_nobody():
    posted = responses.post(SLACK, body="ok")
    assert Slack().post({"url": SLACK}, POST).outcome == "sent"
    body = json.loads(posted.calls[0].request.body)
    assert body["text"] == "Kick-off"
    assert [block["type"] for block in body["blocks"]] == ["header", "section", "actions"]
    assert body["blocks"][1]["text"]["text"] == "On &lt;!channel&gt; &amp; [here](x)"
    assert body["blocks"][2]["elements"][0]["url"] == POST.url


@responses.activate
def test_teams_when_it_posts_sends_an_adaptive_card():
    posted = responses.post(TEAMS, status=202)
    assert Teams().post({"url": TEAMS}, POST).outcome == "sent"
    (attachment,) = json.loads(posted.calls[0].request.body)["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert card["body"][1]["text"] == "On <!channel> & \\[here\\](x)"
    assert card["actions"][0] == {"type": "Action.OpenUrl", "title": "Open", "url": POST.url}


@pytest.mark.parametrize(("notifier", "url"), [(Slack(), SLACK), (Teams(), TEAMS)], ids=["slack", "teams"])
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({"status": 404, "body": "no_service"}, "stopped"),
        ({"status": 403, "body": "action_prohibited"}, "stopped"),
        ({"status": 410, "body": "channel_is_archived"}, "stopped"),
        ({"status": 400, "body": "invalid_payload"}, "refused"),
        ({"status": 503}, "retry"),
        ({"body": requests.ConnectionError()}, "retry"),
    ],
    ids=["404", "403", "410", "400", "503", "down"],
)
@responses.activate
def test_channel_when_it_refuses_says_what_to_do_and_keeps_its_secret(notifier, url, answer, outcome):
    responses.post(url, **answer)
    got = notifier.post({"url": url}, POST)
    assert got.outcome == outcome
    assert got.message_for_user
    assert "s3cret" not in repr(got)


@pytest.mark.parametrize(("notifier", "url"), [(Slack(), SLACK), (Teams(), TEAMS)], ids=["slack", "teams"])
@responses.activate
def test_channel_when_it_is_throttled_waits_as_long_as_it_is_asked(notifier, url):
    responses.post(url, status=429, headers={"Retry-After": "77"})
    got = notifier.post({"url": url}, POST)
    assert (got.outcome, got.retry_after) == ("retry", 77)


@pytest.mark.parametrize(
    ("notifier", "url"),
    [
        (Slack(), "https://hooks.slack.com.evil.example/services/x"),
        (Slack(), "http://hooks.slack.com/services/x"),
        (Slack(), "https://evil.example/hooks.slack.com"),
        (Slack(), "https://hooks.slack.com@evil.example/x"),
        (Teams(), "https://logic.azure.com.evil.example/x"),
        (Teams(), "https://evillogic.azure.com/x"),
        (Teams(), "https://acme.webhook.office.com/webhookb2/x"),
        (Teams(), "https://127.0.0.1/x"),
    ],
)
def test_channel_when_its_address_is_elsewhere_is_not_taken(notifier, url):
    with pytest.raises(ma.ValidationError):
        notifier.settings_schema().load({"url": url})


@pytest.mark.parametrize(("notifier", "url"), [(Slack(), SLACK), (Teams(), TEAMS)], ids=["slack", "teams"])
def test_channel_when_its_address_is_right_is_taken(notifier, url):
    assert notifier.settings_schema().load({"url": url}) == {"url": url}
