"""The gradebook sink against a platform that somebody else wrote: the LTI consumer of Open edX."""

from datetime import timedelta

import pytest

from connectors.sinks.ags import TRIES_BEFORE_ASKING, AgsSink
from lti import ags
from rmplugin.api import CompletionRecord
from rmplugin.credits.tasks import Services
from rmplugin.plugins import Plugins
from tests.lti.openedx_fixtures import now, running_site


@pytest.fixture(scope="module")
def site():
    with running_site() as site:
        yield site


@pytest.fixture
def send(site):
    """Give a function that hands the sink a record about the learner who launched."""
    site.platform.control(reset=True)
    launch = site.launch(site.platform.launch_urls["learner"])
    column = ags.find_or_create_line_item(
        site.tool.service(),
        launch.platform,
        launch.ags.lineitems,
        label="Reverse mentoring",
        score_maximum=100,
        resource_id="programme",
        tag="completion",
        resource_link_id=launch.resource_link.id,
        offered_scopes=launch.ags.scopes,
    )

    def send(percent, at, *, user_id=None, attempts=1):
        record = CompletionRecord(
            delivery_id="d",
            platform_user_id=user_id or launch.subject,
            programme_name="Reverse",
            score_given=float(percent),
            score_maximum=100.0,
            minutes=60,
            completed=percent == 100,
            met_at=None,
            sent_at=at,
            attempts=attempts,
            target={"line_item_url": column.id},
        )
        return AgsSink().deliver(
            record, Services(site.tool.service(), launch.platform, Plugins().quirks_of("openedx")), now()
        )

    send.user = launch.subject
    return send


def test_deliver_when_progress_grows_raises_the_grade(site, send):
    start = now()
    for number, percent in enumerate((25, 50, 100)):
        assert send(percent, start + timedelta(seconds=number)).outcome == "delivered"
        assert site.platform.grades()[send.user]["score"] == percent


def test_deliver_when_sent_again_after_a_lost_answer_is_one_effect(site, send):
    at = now()
    send(75, at)
    again = send(75, at)
    assert (again.outcome, again.status) == ("delivered", 400)
    assert site.platform.grades()[send.user]["score"] == 75


def test_deliver_when_the_timestamp_is_stale_and_the_grade_another_is_sent_again_soon(site, send):
    at = now()
    send(75, at)
    answer = send(80, at - timedelta(minutes=1))
    assert (answer.outcome, answer.retry_after) == ("retry", 2.0)
    assert send(80, at + timedelta(seconds=1), attempts=2).outcome == "delivered"
    assert site.platform.grades()[send.user]["score"] == 80


def test_deliver_when_the_platform_does_not_know_the_person_ends_with_somebody_looking(send):
    stranger = "11111111-2222-3333-4444-555555555555"
    assert send(25, now(), user_id=stranger).outcome == "retry"
    assert send(25, now(), user_id=stranger, attempts=TRIES_BEFORE_ASKING).outcome == "needs_human"
