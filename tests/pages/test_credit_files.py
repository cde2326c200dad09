"""Credits as files for learning systems: what is in them, and what is left out."""

import csv
import io
import uuid

import pytest

from rmplugin.credits import exports, operations
from rmplugin.people.models import Person
from rmplugin.programmes.models import Programme
from rmplugin.shapes import SHAPES
from tests.factories.sinks import entries_of, reverse
from tests.flows.test_event_sinks import Ledger


@pytest.fixture
def ledger(runtime, tenant, clock):
    ledger = Ledger(runtime, tenant, clock, min_sessions=2, min_minutes=60)
    with ledger.db() as db:
        db.get_one(Person, ledger.pair.mentor.id).employee_number = "=1"
        db.get_one(Person, ledger.pair.mentee.id).employee_number = None
    ledger.confirm(2)
    return ledger


def export(ledger, shape, **options):
    with ledger.db() as db:
        content, left_out = exports.export_shape(db, shape, **options)
    return list(csv.DictReader(io.StringIO(content.decode(), newline=""))), left_out


def test_export_when_made_has_sessions_and_completions_of_whom_the_roster_knows_enough(ledger):
    rows, left_out = export(ledger, "generic", programme_id=ledger.pair.programme.id)
    kinds = [row["kind"] for row in rows]
    assert (kinds.count("award"), left_out) == (2, 2 + kinds.count("completion"))
    assert {row["person"] for row in rows} == {"'=1"}
    assert export(ledger, "generic", programme_id=uuid.uuid4()) == ([], 0)
    assert all("@" in row["person"] for row in export(ledger, "totara", by_mail=True)[0][1:])


ADJUSTED = {
    # What is taken off is told where the system can be told so; elsewhere somebody corrects it by hand.
    "generic": [("45", "0.75"), ("-30", "-0.5")],
    "totara": ["one line that adds"],
    "cornerstone": [("0.75", "0.75")],
    "successfactors": [("0.75", "0.75")],
}


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_export_when_a_manager_adjusted_says_so_as_the_system_wants_it(ledger, runtime, clock, shape):
    before = export(ledger, shape)
    for minutes in (45, -30):
        with ledger.db() as db:
            programme = db.get_one(Programme, ledger.pair.programme.id)
            operations.adjust(
                db, programme, ledger.pair.mentor.id, minutes, "command", "A workshop.",
                clock.forward(minutes=1), policies=runtime.plugins.policies,
            )  # fmt: skip
    rows, left_out = export(ledger, shape)
    new = [row for row in rows if row not in before[0] and row.get("kind") != "completion"]
    if shape == "generic":
        assert [(row["kind"], row["takes_back"]) for row in new] == [("adjustment", "")] * 2
        told = [(row["minutes"], row["credit"]) for row in new]
    elif shape == "cornerstone":
        assert [row["Training Title"].endswith(": adjustment") for row in new] == [True]
        told = [(row["Training Hours"], row["Credits"]) for row in new]
    elif shape == "successfactors":
        told = [(row["totalHours"], row["contactHours"]) for row in new]
    else:
        told = ["one line that adds"] * len(new)
    assert told == ADJUSTED[shape]
    assert left_out - before[1] == (0 if shape == "generic" else 1)
    assert "A workshop" not in str(rows), "why is between the person and the manager"


def test_own_file_when_a_manager_adjusted_has_the_line_with_its_reason(ledger, runtime, clock):
    with ledger.db() as db:
        programme = db.get_one(Programme, ledger.pair.programme.id)
        operations.adjust(
            db, programme, ledger.pair.mentor.id, -30, "command", "=Counted twice.", clock.now,
            policies=runtime.plugins.policies,
        )  # fmt: skip
        file = io.StringIO()
        exports.export_csv(db, file, ledger.pair.mentor.id)
    file.seek(0)
    (line,) = [row for row in csv.DictReader(file) if row["kind"] == "adjustment"]
    assert (line["minutes"], line["credit"], line["session_at_utc"]) == ("-30", "-0.50", "")
    assert line["reason"] == "'=Counted twice."


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_export_when_something_was_taken_back_says_so_as_the_system_wants_it(ledger, clock, shape):
    with ledger.db() as db:
        reverse(db, entries_of(db, ledger.pair.mentor.id)[0], clock.now)
    rows, _left_out = export(ledger, shape)
    texts = [str(row) for row in rows if "Completed" not in str(row) or shape == "cornerstone"]
    if shape == "generic":
        assert sum(row["kind"] == "reversal" and row["takes_back"] != "" for row in rows) == 1
    elif shape == "cornerstone":
        assert sum("Withdrawn" in text for text in texts) == 1
    else:
        # Of two sessions the one that stands.
        sessions = [row for row in rows if row.get("grade") == ""]
        assert len(sessions) == 1
