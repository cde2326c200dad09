"""Grades in the LMS: LTI Assignment and Grade Services 2.0, on the line item of the link that was launched.

The score rises from 0 to 100 as the programme's criteria are met. It is a state, not an event: sending it
twice is the same as sending it once.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from lti import ags
from lti.errors import ServiceError
from lti.platforms import Platform
from lti.service import ServiceClient
from rmplugin.api import CompletionRecord, CompletionSink, SinkAnswer, SinkServices, hookimpl

CANVAS_SUBMISSION = "https://canvas.instructure.com/lti/submission"
# Some platforms answer 500 for a person whom they do not know; after so many tries somebody has to look.
TRIES_AT_500 = 8
TRIES_AT_STALE = 4
# Half of the smallest step that a score can make.
SAME = 0.005

NOT_A_LEARNER = (
    "You are not enrolled as a learner in this course, so it takes no grade for you. Ask the people who run "
    "the course to enrol you as a learner, then open the activity again."
)
COLUMN_GONE = (
    "The gradebook column of this activity was deleted in your course. Ask the people who run the course to "
    "add the activity again, then open it once from there."
)
NO_RIGHT = (
    "Your LMS does not let this tool write this grade. Its administrator can allow that in the tool's "
    "settings; then open the activity again."
)
NO_SIGN_IN = (
    "Your LMS does not accept this tool's sign-in at the moment. Its administrator should check the "
    "registration. It is tried again by itself."
)
DOWN = "Your LMS does not answer at the moment. It is tried again by itself."
STALE = "Your LMS has a newer grade than the one we sent. It is sent again by itself."
REFUSED = "Your LMS refused the grade. Please tell the programme team."
UNKNOWN_500 = (
    "Your LMS fails each time we send this grade, perhaps because it does not know you in this course. Open "
    "the activity again; if that does not help, tell the programme team."
)


class AgsSink:
    """The gradebook column of the activity."""

    key = "ags"
    title = "Course grade"
    coalesces = True
    needs_line_item = True

    def deliver(self, record: CompletionRecord, services: SinkServices, now: datetime) -> SinkAnswer:  # noqa: ARG002
        """Post the score; when the platform calls it stale, read the grade back and compare.

        **Source** AGS 2.0, section 3.4. **Touches** calls the platform.
        """
        client, platform = services.lti()
        url = str(record.target["line_item_url"])
        try:
            receipt = ags.post_score(client, platform, url, make_score(record, platform))
        except ServiceError as error:
            return _judge(error, record, client, platform, url)
        return SinkAnswer(outcome="delivered", status=receipt.status, remote_ref=receipt.result_url or url)


def make_score(record: CompletionRecord, platform: Platform) -> ags.Score:
    """Make the score of a record.

    Always fully graded: Moodle erases the grade and the completion for anything else.

    **Touches** pure.
    """
    return ags.Score(
        user_id=str(record.platform_user_id),
        score_given=record.score_given,
        score_maximum=record.score_maximum,
        activity_progress="Completed" if record.completed else "InProgress",
        grading_progress="FullyGraded",
        timestamp=record.sent_at,
        extra=_extension(platform),
    )


def _extension(platform: Platform) -> dict[str, Any]:
    # Without it, Canvas counts each score as a new attempt, and refuses when the attempts are used up.
    return {CANVAS_SUBMISSION: {"new_submission": False}} if platform.family == "canvas" else {}


def _judge(
    error: ServiceError, record: CompletionRecord, client: ServiceClient, platform: Platform, url: str
) -> SinkAnswer:
    if error.code in ("unauthorised", "token_refused", "redirected"):
        return SinkAnswer(outcome="retry", message_for_user=NO_SIGN_IN, status=error.status)
    if error.status in (400, 409):
        return _compare(error.status, record, client, platform, url)
    if error.status == 404:
        return _blocked(_reason_of_404(client, platform, url), 404)
    if error.status in (403, 422):
        return _blocked(NO_RIGHT if error.status == 403 else NOT_A_LEARNER, error.status)
    unknown = error.status == 500 and platform.family == "openedx" and record.attempts >= TRIES_AT_500
    if unknown or not (error.retriable or error.code in ("network", "bad_answer")):
        sentence = UNKNOWN_500 if unknown else REFUSED
        return SinkAnswer(outcome="needs_human", message_for_user=sentence, status=error.status)
    return SinkAnswer(
        outcome="retry", message_for_user=DOWN, status=error.status, retry_after=error.retry_after
    )


def _compare(
    status: int, record: CompletionRecord, client: ServiceClient, platform: Platform, url: str
) -> SinkAnswer:
    """Find out what a refusal means: arrived before, too old by the platform's clock, or not gradable."""
    result = _read_result(record, client, platform, url)
    if result is not None and result.score is not None:
        share = result.score / (result.maximum or 1.0)
        if abs(share - record.score_given / record.score_maximum) < SAME:
            return SinkAnswer(outcome="delivered", status=status, remote_ref=url)
    # Moodle says stale with 409; Canvas and Open edX with 400, which Moodle says to people without grades.
    stale = status == 409 or (result is not None and record.attempts < TRIES_AT_STALE)
    if stale:
        pause = 2.0 if record.attempts < TRIES_AT_STALE else None
        return SinkAnswer(outcome="retry", message_for_user=STALE, status=status, retry_after=pause)
    return _blocked(NOT_A_LEARNER, status)


def _read_result(
    record: CompletionRecord, client: ServiceClient, platform: Platform, url: str
) -> ags.Result | None:
    try:
        results = ags.get_results(client, platform, url, str(record.platform_user_id))
    except ServiceError:
        return None
    return results[0] if results else None


def _reason_of_404(client: ServiceClient, platform: Platform, url: str) -> str:
    """Tell a deleted column from a person whom the platform does not know in the course (Brightspace)."""
    try:
        ags.get_line_item(client, platform, url)
    except ServiceError:
        return COLUMN_GONE
    return NOT_A_LEARNER


def _blocked(sentence: str, status: int) -> SinkAnswer:
    return SinkAnswer(outcome="blocked", message_for_user=sentence, status=status)


@hookimpl
def rm_register_completion_sinks() -> Sequence[CompletionSink]:
    """Bring the gradebook."""
    return (AgsSink(),)
