"""The gradebook sink alone: what it makes of each answer of a platform."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.sinks.ags import AgsSink, make_score
from lti.platforms import Platform
from lti.service import ServiceClient
from rmplugin.api import CompletionRecord, CompletionSink
from rmplugin.credits.tasks import Services
from rmplugin.plugins import Plugins
from rmplugin.tenants.store import PlatformStore
from tests.fakes.ags_platform import AgsPlatform

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
RECORD = CompletionRecord(
    delivery_id="d",
    platform_user_id="u-1",
    programme_name="Reverse",
    score_given=40.0,
    score_maximum=100.0,
    minutes=120,
    completed=False,
    met_at=None,
    sent_at=AT,
    attempts=1,
    target={},
)


FAMILY_WORDS = [
    ("moodle", 400, "not enrolled as a learner"),
    ("blackboard", 400, "not enrolled as a learner"),
    ("brightspace", 403, "not enrolled as a learner"),
    ("canvas", 403, "does not let this tool"),
]


def count_results(lms) -> int:
    return sum("/results" in path for _method, path in lms.requests)


@pytest.fixture
def lms(runtime, tool_keys, clock):
    with AgsPlatform(runtime, clock) as platform:
        platform.enrol("u-1")
        yield platform


@pytest.fixture
def send(runtime, lms, clock):
    """Give a function that hands the sink one record; ``family`` and fields of the record can be changed."""
    client = ServiceClient(PlatformStore(runtime.database, clock), runtime.http, clock)

    def send(family="moodle", **changes):
        platform = Platform(
            key="p",
            issuer=lms.issuer,
            client_id=lms.client_id,
            auth_url=lms.base + "/auth",
            token_url=lms.base + "/token",
            jwks_url=lms.base + "/jwks",
            family=family,
        )
        record = replace(RECORD, target={"line_item_url": lms.line_item_url}, **changes)
        services = Services(client, platform, runtime.plugins.quirks_of(family))
        return AgsSink().deliver(record, services, clock.now)

    return send


def test_sink_when_registered_keeps_the_protocol():
    sink = Plugins().sinks["ags"]
    assert isinstance(sink, CompletionSink)
    assert (sink.title, sink.coalesces, sink.needs_line_item) == ("Course grade", True, True)


def test_score_when_in_progress_or_completed_is_always_fully_graded():
    quirks = Plugins().quirks_of("moodle")
    for completed, progress in ((False, "InProgress"), (True, "Completed")):
        score = make_score(replace(RECORD, completed=completed), quirks)
        assert (score.activity_progress, score.grading_progress) == (progress, "FullyGraded")
        assert (score.score_given, score.score_maximum, score.comment) == (40, 100, None)


def test_deliver_when_all_is_well_puts_the_score_into_the_gradebook(send, lms):
    answer = send()
    assert (answer.outcome, answer.status) == ("delivered", 200)
    assert lms.grades == {"u-1": 40}


def test_deliver_when_repeated_with_the_same_timestamp_is_one_effect(send, lms):
    send()
    again = send()
    assert (again.outcome, again.status) == ("delivered", 409)
    assert lms.grades == {"u-1": 40}


def test_deliver_when_the_platform_says_400_to_a_stale_score_compares(send, lms):
    send()
    lms.refuse_scores = 400
    assert send(family="canvas").outcome == "delivered"
    other = send(family="canvas", score_given=60.0)
    assert (other.outcome, other.retry_after) == ("retry", 2.0)
    given_up = send(family="canvas", score_given=60.0, attempts=4)
    assert given_up.outcome == "blocked"


def test_deliver_when_the_person_gets_no_grades_is_blocked(send, lms):
    lms.members[0]["roles"] = ["Instructor"]
    answer = send()
    assert (answer.outcome, answer.status) == ("blocked", 400)
    assert "not enrolled as a learner" in answer.message_for_user


@pytest.mark.parametrize(
    ("status", "outcome", "words"),
    [
        (403, "blocked", "does not let this tool"),
        (404, "blocked", "not enrolled as a learner"),
        (422, "blocked", "not enrolled as a learner"),
        (418, "needs_human", "refused the grade"),
        (429, "retry", "tried again"),
        (500, "retry", "tried again"),
        (503, "retry", "tried again"),
    ],
)
def test_deliver_when_refused_says_what_to_do(send, lms, status, outcome, words):
    lms.refuse_scores = status
    answer = send()
    assert (answer.outcome, answer.status) == (outcome, status)
    assert words in answer.message_for_user


def test_deliver_when_the_column_is_gone_says_so(send, lms):
    lms.line_items.clear()
    answer = send()
    assert "was deleted" in answer.message_for_user
    assert (answer.outcome, answer.column_gone) == ("blocked", True)


def test_deliver_when_only_the_person_is_not_known_does_not_call_the_column_gone(send, lms):
    lms.refuse_scores = 404
    assert send().column_gone is False


@pytest.mark.parametrize(("family", "status", "words"), FAMILY_WORDS)
def test_deliver_when_a_platform_means_something_else_by_a_status_says_so(send, lms, family, status, words):
    lms.refuse_scores = status
    answer = send(family=family)
    assert (answer.outcome, answer.status) == ("blocked", status)
    assert words in answer.message_for_user
    assert count_results(lms) == 0


def test_deliver_when_results_are_not_asked_for_one_person_finds_theirs_among_all(send, lms):
    lms.enrol("u-0")
    send(platform_user_id="u-0", score_given=10.0)
    send()
    again = send(family="blackboard")
    assert (again.outcome, again.status) == ("delivered", 409)
    asked = [path for _method, path in lms.requests if "/results" in path]
    assert asked
    assert not any("user_id" in path for path in asked)


def test_deliver_when_the_family_is_not_known_keeps_to_the_standard(send, lms):
    send()
    lms.refuse_scores = 400
    assert send(family="totara").outcome == "delivered"
    assert "https://canvas.instructure.com/lti/submission" not in lms.bodies[-1]


def test_deliver_when_open_edx_fails_for_one_person_again_and_again_asks_for_somebody(send, lms):
    lms.refuse_scores = 500
    assert send(family="openedx", attempts=7).outcome == "retry"
    assert send(family="openedx", attempts=8).outcome == "needs_human"
    assert send(family="moodle", attempts=100).outcome == "retry"


def test_deliver_when_told_to_wait_passes_it_on(send, lms):
    lms.outage["ags"] = (429, {"Retry-After": "90"})
    assert send().retry_after == 90


def test_deliver_when_nobody_answers_is_tried_again(send, lms, clock):
    send()
    lms._server.server_close()
    answer = send(sent_at=AT + timedelta(seconds=1))
    assert (answer.outcome, answer.status) == ("retry", None)


def test_deliver_when_the_token_expired_gets_a_new_one(send, lms):
    send()
    lms.tokens.clear()
    assert send(sent_at=AT + timedelta(seconds=5), score_given=50.0).outcome == "delivered"
    assert lms.grades == {"u-1": 50}


def test_deliver_when_anything_fails_names_no_person_and_no_address(send, lms):
    for status in (400, 403, 404, 409, 418, 422, 429, 500):
        lms.refuse_scores = status
        message = send(score_given=77.0).message_for_user
        assert message
        assert "u-1" not in message
        assert "http" not in message
