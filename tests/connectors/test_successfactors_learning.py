"""Learning events of SuccessFactors: never more than ten, never twice, never the partner."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connectors.sinks.successfactors_learning import LearningSink, make_event
from rmplugin import testing
from rmplugin.testing import hand_over, make_records, take_back
from rmplugin.testing.sinks import again
from tests.fakes.successfactors_learning import TOKEN, SuccessFactorsLearning


class Learning:
    """The stand-in, as the contract wants it."""

    sink = LearningSink()

    def __init__(self):
        self.system = SuccessFactorsLearning()
        self.server, self.settings = self.system.server, self.system.settings

    def kept(self):
        return [(one["studentID"], round(one["totalHours"] * 60)) for one in self.system.events]

    def told(self):
        return "".join(asked.body.decode() for asked in self.server.asked)

    def spoil(self):
        self.system.secret = "another"


@pytest.fixture
def target():
    learning = Learning()
    with learning.server:
        yield learning


class TestSuccessFactorsLearning(testing.CreditSinkContract):
    pass


def outcomes(answers):
    return [answer.outcome for answer in answers]


def events_posted(target):
    return [asked for asked in target.server.asked if asked.path.endswith("/ExternalLearningEvents")]


def test_deliver_when_there_are_many_sends_ten_at_a_time(target):
    assert set(outcomes(hand_over(target, make_records(25)))) == {"delivered"}
    assert len(events_posted(target)) == 3


def test_deliver_when_the_limit_of_calls_is_reached_waits_as_told(target):
    settings = target.sink.settings_schema().load(target.settings)
    for n in range(1, 101):
        target.sink.deliver(settings, make_records(1, first=n), datetime.now(UTC))
    (answer,) = target.sink.deliver(settings, make_records(1, first=101), datetime.now(UTC))
    assert (answer.outcome, answer.status, answer.retry_after) == ("retry", 429, 60.0)
    target.system.now = 61.0
    assert outcomes(hand_over(target, again(make_records(1, first=101)))) == ["delivered"]
    assert len(target.kept()) == 101


@pytest.mark.parametrize("fault", ["truncated", "down", "html"])
def test_deliver_when_the_outcome_is_unknown_asks_a_person_and_tries_nothing_itself(target, fault):
    target.server.fail(fault)
    told = hand_over(target, make_records(3))
    assert outcomes(told) == ["needs_human"] * 3
    assert len(events_posted(target)) == 1
    assert "Send it again only if it is not there" in told[0].message_for_user


def test_deliver_when_a_worker_died_sends_nothing_until_a_person_has_looked(target):
    (record,) = make_records(1)
    assert outcomes(hand_over(target, again([record], unanswered=True))) == ["needs_human"]
    assert target.server.asked == []
    # The person says that it is not there: it comes again, as one whose answer is known.
    assert outcomes(hand_over(target, again([record]))) == ["delivered"]


@pytest.mark.parametrize("fault", ["down", "truncated", "throttled_for_a_day"])
def test_deliver_when_no_token_is_given_has_sent_nothing_and_is_tried_again(target, fault):
    target.server.spare = "\0"
    target.server.fail(fault)
    assert outcomes(hand_over(target, make_records(2))) == ["retry"] * 2
    assert events_posted(target) == []


def test_deliver_when_one_is_no_member_keeps_the_others_and_says_which(target):
    target.system.members.discard("00002")
    told = hand_over(target, make_records(3))
    assert outcomes(told) == ["delivered", "needs_human", "delivered"]
    assert "00002" not in told[1].message_for_user
    assert [number for number, _minutes in target.kept()] == ["00001", "00003"]


def test_deliver_when_the_answer_does_not_say_which_was_refused_asks_about_all(target):
    target.system.members.discard("00002")
    target.system.in_rows = False
    told = hand_over(target, make_records(3))
    assert outcomes(told) == ["needs_human"] * 3
    assert "without saying which" in told[0].message_for_user
    # One alone is certain.
    assert outcomes(hand_over(target, make_records(1, first=4))) == ["delivered"]
    assert [number for number, _minutes in target.kept()] == ["00001", "00003", "00004"]


def test_deliver_when_credit_is_taken_away_asks_a_person(target):
    (award,) = make_records(1)
    less = replace(take_back(award), kind="adjustment", reverses=None)
    assert outcomes(hand_over(target, [award, less])) == ["delivered", "needs_human"]
    assert len(target.kept()) == 1


def test_event_when_made_has_milliseconds_the_zone_and_hours_where_the_unit_wants_them():
    (award,) = make_records(1)
    award = replace(
        award, ended_at=datetime(2026, 11, 23, 10, 30, tzinfo=UTC), minutes=50, amount_hundredths=83
    )
    event = make_event(award)
    assert event["completionDate"] == 1795429800000
    assert event["completionTimeZoneID"] == "Europe/Berlin"
    assert (event["totalHours"], event["contactHours"]) == (0.83, 0.83)
    assert make_event(replace(award, unit="cpe50", amount_hundredths=100))["cpeHours"] == 1.0
    assert make_event(replace(award, unit="ceu", amount_hundredths=10))["creditHours"] == 0.1
    assert "instructorName" not in event
    done = make_event(replace(award, kind="completion", minutes=600))
    assert done["grade"] == "Completed"
    assert "totalHours" not in done


def test_deliver_when_refused_says_neither_secret_nor_token(target):
    target.spoil()
    told = hand_over(target, make_records(1))
    assert told[0].outcome == "needs_human"
    assert target.settings["client_secret"] not in str(told)
    assert TOKEN not in str(told)
