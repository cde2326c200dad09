"""The contract for sinks, on one that is as plain as can be; and on faulty ones, which it must find."""

from pathlib import Path

import marshmallow as ma
import pytest
from werkzeug.wrappers import Request, Response

from rmplugin import testing
from rmplugin.api import CheckResult, FatalError, RetriableError, SinkAnswer, http
from rmplugin.plugins import Plugins

FAULTS = "test_deliver_when_the_interface_fails_loses_and_doubles_nothing"
TWICE = "test_deliver_when_a_worker_died_before_the_answer_has_one_effect"


class PlainSettings(ma.Schema):
    url = ma.fields.String(required=True)
    token = ma.fields.String(required=True, metadata={"secret": True})


class Plain:
    """Adds to a list that keeps one entry per name, but does not know an entry without one again."""

    key, title, settings_schema = "plain", "Plain", PlainSettings
    takes, corrects, batch, calls_per_minute = frozenset({"award", "reversal"}), False, 4, None

    def check(self, settings):
        try:
            self.post(settings, {})
        except (RetriableError, FatalError) as error:
            return [CheckResult("Account", ok=False, advice=error.message_for_user)]
        return [CheckResult("Account", ok=True)]

    def post(self, settings, entry):
        headers = {"Authorization": settings["token"]}
        client = http.Client("Plain", settings["url"], headers, limits=http.Limits(tries=1))
        return client.post("entries", json=entry).json()

    def entry(self, record):
        return {"name": record.id, "person": record.employee_number, "minutes": record.minutes}

    def deliver(self, settings, records, _now):
        return [self.tell(settings, record) for record in records]

    def tell(self, settings, record):
        try:
            self.post(settings, self.entry(record))
        except RetriableError as error:
            return self.answer("retry", record, settings, error)
        except FatalError as error:
            return self.answer("needs_human", record, settings, error)
        return SinkAnswer(outcome="delivered")

    def answer(self, outcome, _record, _settings, error):
        wait = getattr(error, "retry_after", None)
        return SinkAnswer(outcome=outcome, message_for_user="Not now.", retry_after=wait)


class PlainTarget:
    def __init__(self, sink):
        self.sink, self.entries, self.token = sink, [], "quiet-token"
        self.server = testing.FaultyServer(self.answer)
        self.settings = {"url": self.server.url, "token": self.token}

    def answer(self, environ, start_response):
        request = Request(environ)
        if request.headers.get("Authorization") != self.token:
            return Response("{}", 401)(environ, start_response)
        entry = request.get_json()
        if entry and ("name" not in entry or entry["name"] not in {one.get("name") for one in self.entries}):
            self.entries.append(entry)
        return Response("{}", 200)(environ, start_response)

    def kept(self):
        return [(entry["person"], entry["minutes"]) for entry in self.entries]

    def told(self):
        return "".join(asked.body.decode() for asked in self.server.asked)

    def spoil(self):
        self.token = "another"


class TestPlain(testing.CreditSinkContract):
    @pytest.fixture
    def target(self):
        target = PlainTarget(Plain())
        with target.server:
            yield target


class Nameless(Plain):
    """Sends what the other system cannot know again, and says that it can be sent again."""

    def entry(self, record):
        return {"person": record.employee_number, "minutes": record.minutes}


class Hopeful(Plain):
    """Takes every answer for a yes."""

    def answer(self, _outcome, _record, _settings, _error):
        return SinkAnswer(outcome="delivered")


class Chatty(Plain):
    def answer(self, outcome, record, _settings, error):
        wait = getattr(error, "retry_after", None)
        return SinkAnswer(outcome=outcome, message_for_user=f"Not {record.display_name}.", retry_after=wait)


class Blabbing(Plain):
    def answer(self, outcome, _record, settings, error):
        wait = getattr(error, "retry_after", None)
        return SinkAnswer(outcome=outcome, message_for_user=f"Not by {settings['token']}.", retry_after=wait)


class Impatient(Plain):
    def answer(self, outcome, _record, _settings, _error):
        return SinkAnswer(outcome=outcome, message_for_user="Not now.", retry_after=1)


class Sure(Nameless):
    """Asks a person after half an answer, but as if it had been refused."""

    def answer(self, _outcome, record, settings, error):
        return super().answer("needs_human", record, settings, error)


class Telling(Plain):
    def entry(self, record):
        return super().entry(record) | {"meeting": record.session_id}


class Backwards(Plain):
    def deliver(self, settings, records, now):
        return super().deliver(settings, records[::-1], now)[::-1]


class Silent(Plain):
    def check(self, _settings):
        return [CheckResult("Account", ok=True)]


@pytest.mark.parametrize(
    ("sink", "broken"),
    [
        (Nameless, FAULTS),
        (Nameless, TWICE),
        (Hopeful, FAULTS),
        (Chatty, FAULTS),
        (Blabbing, FAULTS),
        (Impatient, FAULTS),
        (Sure, FAULTS),
        (Telling, "test_deliver_when_two_are_a_pair_says_nothing_that_shows_it"),
        (Backwards, "test_deliver_when_all_is_well_keeps_each_once_and_in_order"),
        (Silent, "test_check_when_the_account_is_bad_says_what_to_change"),
    ],
)
def test_contract_when_a_sink_breaks_it_says_so(sink, broken, caplog, capfd):
    target = PlainTarget(sink())
    more = (caplog, capfd) if broken == FAULTS else ()
    with target.server, pytest.raises(AssertionError):
        getattr(testing.CreditSinkContract(), broken)(target, *more)


def test_sink_when_registered_is_held_to_the_contract():
    folder = Path(__file__).parent
    held = "".join(
        path.read_text(encoding="utf-8") for path in folder.glob("test_*.py") if path != Path(__file__)
    )
    sinks = Plugins().credit_sinks.values()
    assert len(sinks) >= 3
    for sink in sinks:
        name = type(sink).__name__
        assert f"sink = {name}()" in held or f"sink, server = {name}()" in held, name
