"""From a confirmed session to a learning record store, SuccessFactors and a file, by the worker."""

import csv
import io

import pytest

from connectors.sinks.csv_drop import CsvDrop
from connectors.sinks.successfactors_learning import LearningSink
from rmplugin.api import hookimpl
from rmplugin.credits import operations, queries
from rmplugin.destinations.operations import add_account
from rmplugin.destinations.queries import get_account
from rmplugin.people.models import Person
from tests.factories.lrs import PASSWORD, USER, run_ralph
from tests.fakes.successfactors_learning import SuccessFactorsLearning
from tests.flows.test_event_sinks import Ledger


class Mortal(LearningSink):
    """SuccessFactors' sink, in a worker that dies after it has sent and before it has recorded the answer."""

    key = "mortal"
    dies = True

    def deliver(self, settings, records, now):
        answers = super().deliver(settings, records, now)
        if self.dies:
            raise SystemExit
        return answers

    @hookimpl
    def rm_register_completion_sinks(self):
        return [self]


@pytest.fixture
def mortal():
    return Mortal()


@pytest.fixture
def plugins(mortal):
    return [mortal]


@pytest.fixture
def ledger(runtime, tenant, clock):
    ledger = Ledger(runtime, tenant, clock)
    with ledger.db() as db:
        for number, person in (("00001", ledger.pair.mentor), ("00002", ledger.pair.mentee)):
            db.get_one(Person, person.id).employee_number = number
    return ledger


def connect(ledger, name, key, settings):
    with ledger.db() as db:
        runtime = ledger.runtime
        sink, box = runtime.plugins.credit_sinks[key], runtime.database.secrets
        return add_account(db, name, sink, settings, box, ledger.clock())


@pytest.fixture
def learning():
    with (system := SuccessFactorsLearning()).server:
        yield system


@pytest.mark.part("ralph")
def test_session_when_confirmed_and_taken_back_is_attended_and_voided_in_the_store(ledger, tmp_path):
    (tmp_path / "lrs").mkdir()
    with run_ralph(tmp_path / "lrs") as ralph:
        settings = {
            "endpoint": ralph.url,
            "user": USER,
            "password": PASSWORD,
            "home_page": "https://acme.example",
        }
        connect(ledger, "lrs", "xapi", settings)
        ledger.confirm()
        ledger.work()
        ledger.take_back()
        ledger.work()
        statements = ralph.statements()
    assert ledger.states() == ["delivered"] * 3
    verbs = [one["verb"]["id"].rpartition("/")[2] for one in statements]
    assert verbs == ["attended", "attended", "voided"]
    mine = next(one for one in statements[:2] if one["actor"]["account"]["name"] == "00002")
    assert statements[2]["object"]["id"] == mine["id"]


def test_sessions_when_files_are_wanted_lie_in_the_folder_once(ledger, tmp_path):
    (tmp_path / "drop").mkdir()
    connect(ledger, "files", CsvDrop.key, {"path": str(tmp_path / "drop")})
    for _ in range(3):
        ledger.confirm()
        ledger.work()
        ledger.clock.forward(minutes=1)
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "drop").iterdir()]
    rows = [row for text in texts for row in csv.DictReader(io.StringIO(text))]
    assert sorted(row["person"] for row in rows) == ["00001"] * 3 + ["00002"] * 3
    assert len({row["id"] for row in rows}) == 6


def test_session_when_the_worker_dies_after_sending_is_doubled_neither_by_it_nor_by_an_administrator(
    ledger, learning, mortal, clock
):
    connect(ledger, "learning", "mortal", learning.settings)
    ledger.confirm()
    with pytest.raises(SystemExit):
        ledger.work()
    mortal.dies = False
    clock.forward(minutes=11)
    ledger.work()
    assert ledger.states() == ["needs_human"] * 2
    with ledger.db() as db:
        assert operations.resume_account(db, get_account(db, "learning"), "test", clock.now) == 0
    ledger.work()
    assert len(learning.events) == 2
    first, second = ledger.rows()
    with ledger.db() as db:
        operations.done_by_hand(db, queries.get_delivery(db, first.id), "test", clock.now)
        # Somebody has looked: this one is not there.
        learning.events.pop()
        operations.retry(db, queries.get_delivery(db, second.id), "test", clock.now)
    clock.forward(hours=1)
    ledger.work()
    assert (ledger.states(), len(learning.events)) == (["delivered"] * 2, 2)


def test_session_when_taken_back_asks_a_person_where_the_system_takes_nothing_back(ledger, learning):
    connect(ledger, "learning", "successfactors", learning.settings)
    ledger.confirm()
    ledger.work()
    ledger.take_back()
    ledger.work()
    assert ledger.states() == ["delivered"] * 2 + ["needs_human"]
    assert "by hand" in ledger.rows("needs_human")[0].last_error
    assert len(learning.events) == 2


def test_system_when_its_answers_break_off_is_left_alone_before_all_has_to_be_looked_for(
    ledger, learning, clock
):
    connect(ledger, "learning", "successfactors", learning.settings)
    ledger.confirm(10)
    # So many count on a day.
    clock.forward(days=1)
    ledger.confirm(10)
    learning.server.fail("truncated")
    ledger.work()
    assert [ledger.states().count(state) for state in ("needs_human", "delivered")] == [30, 0]
    learning.server.fail(None)
    for _ in range(20):
        clock.forward(minutes=5)
        ledger.work()
    # Each of them was kept; nobody could know.
    assert ledger.states().count("delivered") == len(ledger.states()) - 30
    assert len(learning.events) == len(ledger.states())
