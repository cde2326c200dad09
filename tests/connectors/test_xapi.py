"""Statements in an LRS that others wrote (Ralph), judged by rules that others wrote (Learning Locker's)."""

import json
import uuid
from dataclasses import replace
from datetime import timedelta

import marshmallow as ma
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.wrappers import Request, Response

from connectors.sinks.xapi import XapiSettings, XapiSink, holds, make_statement
from rmplugin import testing
from rmplugin.testing import FaultyServer, hand_over, make_records, take_back
from tests.factories.lrs import PASSWORD, USER, run_ralph
from tests.factories.node import run_node

SETTINGS = {"user": USER, "password": PASSWORD, "home_page": "https://acme.example"}
LOADED = XapiSettings().load({**SETTINGS, "endpoint": "https://lrs.example"})


class Store:
    """Ralph behind a server that can fail."""

    sink = XapiSink()

    def __init__(self, ralph):
        self.ralph, self.refuses, self.spoilt = ralph, {}, False
        self.server = FaultyServer(self.forward)
        self.settings = {**SETTINGS, "endpoint": f"{self.server.url}/xAPI"}

    def forward(self, environ, start_response):
        request = Request(environ)
        body = request.get_data()
        headers = {
            n: v
            for n, v in request.headers
            if n in ("Authorization", "Content-Type", "X-Experience-Api-Version")
        }
        if self.spoilt:
            del headers["Authorization"]
        statements = json.loads(body) if body else []
        for one in statements:
            if one["id"] in self.refuses:
                return Response("{}", self.refuses[one["id"]])(environ, start_response)
        base = self.ralph.url.removesuffix("/xAPI")
        reply = requests.request(
            request.method,
            base + request.path,
            params=request.query_string,
            data=body,
            headers=headers,
            timeout=30,
        )
        answer = Response(reply.content, reply.status_code, {"Content-Type": "application/json"})
        return answer(environ, start_response)

    def kept(self):
        statements = self.ralph.statements()
        voided = {one["object"]["id"] for one in statements if one["verb"]["id"].endswith("/voided")}
        return [
            (one["actor"]["account"]["name"], int(one["result"]["duration"][2:-1]))
            for one in statements
            if one["id"] not in voided and "result" in one
        ]

    def told(self):
        return "".join(asked.body.decode() for asked in self.server.asked)

    def spoil(self):
        self.spoilt = True


@pytest.fixture(scope="module")
def ralph(tmp_path_factory):
    with run_ralph(tmp_path_factory.mktemp("ralph")) as ralph:
        yield ralph


@pytest.fixture
def target(ralph):
    ralph.forget()
    store = Store(ralph)
    with store.server:
        yield store


@pytest.mark.part("ralph")
class TestXapi(testing.CreditSinkContract):
    many = 70


@pytest.mark.part("ralph")
def test_deliver_when_one_record_is_refused_sends_the_others(target):
    records = make_records(4)
    target.refuses = {records[2].id: 400}
    told = hand_over(target, records)
    assert [answer.outcome for answer in told] == ["delivered", "delivered", "needs_human", "delivered"]
    assert told[2].status == 400
    assert [number for number, _minutes in target.kept()] == ["00001", "00002", "00004"]


@pytest.mark.part("ralph")
def test_deliver_when_the_store_has_other_words_under_the_id_asks_a_person(target):
    first, second = make_records(2)
    hand_over(target, [first, second])
    told = hand_over(target, [replace(first, minutes=99), second])
    assert [(answer.outcome, answer.status) for answer in told] == [("needs_human", 409), ("delivered", 204)]
    assert [minutes for _number, minutes in target.kept()] == [31, 32]


@pytest.mark.part("ralph")
def test_deliver_when_a_store_calls_the_same_statement_a_conflict_compares(target):
    """Learning Locker does."""
    records = make_records(3)
    hand_over(target, records)
    target.refuses = {record.id: 409 for record in records}
    assert {(a.outcome, a.status) for a in hand_over(target, records)} == {("delivered", 409)}
    (new,) = make_records(1, first=9)
    target.refuses[new.id] = 409
    assert hand_over(target, [new])[0].outcome == "retry"


@pytest.mark.part("ralph")
def test_deliver_when_an_award_waits_keeps_its_reversal_back(target):
    award, other = make_records(2)
    target.refuses = {award.id: 503}
    told = hand_over(target, [award, other, take_back(award)])
    assert {answer.outcome for answer in told} == {"retry"}
    assert target.kept() == []


# -- statements --------------------------------------------------------------------------------------------

records = st.builds(
    lambda record, kind, minutes, seconds, programme, email: replace(
        record,
        kind=kind,
        minutes=minutes if kind in ("award", "completion") else -minutes,
        reverses=str(uuid.uuid4()) if kind in ("reversal", "withdrawal") else None,
        session_id=None if kind in ("completion", "withdrawal") else record.session_id,
        pairing_id=None if kind in ("completion", "withdrawal") else record.pairing_id,
        ended_at=record.ended_at + timedelta(microseconds=seconds),
        programme_name=programme,
        email=email,
    ),
    st.sampled_from(make_records(6)),
    st.sampled_from(["award", "reversal", "adjustment", "completion", "withdrawal"]),
    st.integers(1, 10_000),
    st.integers(0, 10**12),
    st.text(min_size=1),
    st.sampled_from(["ada@example.com", "o'neil+x@example.co.uk"]),
)


@pytest.mark.part("node")
def test_statements_when_judged_by_others_have_no_fault():
    made = []

    @given(records, st.sampled_from(["number", "email"]))
    def collect(record, person):
        made.append(make_statement(record, LOADED | {"person": person}))

    collect()
    good = run_node("validate_statements.mjs", made)
    assert [faults for faults in good if faults] == []
    assert len(good) > 50
    bad = [
        {**made[0], "actor": {"name": "x"}},
        {**made[0], "result": {"duration": "45 minutes"}},
        {**made[0], "id": "1"},
    ]
    assert all(run_node("validate_statements.mjs", bad))


@given(records)
def test_statement_when_made_twice_is_the_same_and_names_nobody_else(record):
    statement = make_statement(record, LOADED)
    assert json.dumps(statement) == json.dumps(make_statement(record, LOADED))
    text = json.dumps(statement)
    assert record.display_name not in text
    assert record.email not in text
    assert str(record.pairing_id) not in text
    assert holds({**statement, "stored": "2026-11-23T09:00:00Z", "authority": {}}, statement)


def test_statement_when_of_a_session_says_who_what_how_long_and_under_which_registration():
    award, partner = make_records(2)
    statement, other = make_statement(award, LOADED), make_statement(partner, LOADED)
    assert statement["id"] == award.id
    assert statement["actor"]["account"] == {"homePage": "https://acme.example", "name": "00001"}
    assert statement["verb"]["id"] == "http://adlnet.gov/expapi/verbs/attended"
    assert statement["object"]["definition"]["type"] == "http://adlnet.gov/expapi/activities/meeting"
    assert statement["result"]["duration"] == "PT31M"
    registration = uuid.uuid5(uuid.UUID(award.pairing_id), award.person_id)
    assert statement["context"]["registration"] == str(registration) != other["context"]["registration"]
    assert statement["object"]["id"] != other["object"]["id"]
    mail = make_statement(award, LOADED | {"person": "email"})
    assert mail["actor"] == {"objectType": "Agent", "mbox": f"mailto:{award.email}"}


def test_statement_when_it_takes_back_voids_that_one_and_names_no_person():
    (award,) = make_records(1)
    statement = make_statement(take_back(award), LOADED)
    assert statement["verb"]["id"] == "http://adlnet.gov/expapi/verbs/voided"
    assert statement["object"] == {"objectType": "StatementRef", "id": award.id}
    assert award.employee_number not in json.dumps(statement)


def test_holds_when_the_store_writes_moments_and_types_otherwise_still_compares():
    (award,) = make_records(1)
    ours = make_statement(award, LOADED)
    theirs = json.loads(json.dumps(ours))
    theirs["timestamp"] = theirs["timestamp"].replace(".000Z", "+00:00")
    del theirs["actor"]["objectType"]
    assert holds(theirs, ours)
    for path in ("result", "actor", "context"):
        assert not holds({**theirs, path: {}}, ours)


def test_settings_when_the_address_is_open_or_a_word_is_strange_are_refused():
    for wrong in (
        {"endpoint": "http://lrs.example"},
        {"person": "name"},
        {"version": "0.9"},
        {"colour": "1"},
    ):
        with pytest.raises(ma.ValidationError):
            XapiSettings().load({**SETTINGS, "endpoint": "https://lrs.example", **wrong})
