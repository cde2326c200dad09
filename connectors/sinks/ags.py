"""Grades in the LMS: LTI Assignment and Grade Services 2.0, on the line item of the link that was launched.

The score rises from 0 to 100 as the programme's criteria are met. It is a state, not an event: sending it
twice is the same as sending it once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lti import ags
from lti.errors import ServiceError
from lti.platforms import Platform
from lti.service import ServiceClient
from rmplugin.api import (
    CompletionRecord,
    CompletionSink,
    PlatformQuirks,
    SinkAnswer,
    SinkServices,
    hookimpl,
)

# What a refusal means on platforms that say nothing else; 403 is an administrator's business.
STANDARD = {400: "compare", 403: "permit", 404: "look", 409: "compare", 422: "enrol"}
# Some platforms answer 500 for a person whom they do not know; after so many tries somebody has to look.
TRIES_BEFORE_ASKING = 8
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
        push = _Push(record, client, platform, services.quirks(), str(record.target["line_item_url"]))
        try:
            receipt = ags.post_score(client, platform, push.url, make_score(record, push.quirks))
        except ServiceError as error:
            return _judge(error, push)
        return SinkAnswer(
            outcome="delivered", status=receipt.status, remote_ref=receipt.result_url or push.url
        )


@dataclass(frozen=True, slots=True)
class _Push:
    """One score on its way: what it is, and where it goes."""

    record: CompletionRecord
    client: ServiceClient
    platform: Platform
    quirks: PlatformQuirks
    url: str


def make_score(record: CompletionRecord, quirks: PlatformQuirks) -> ags.Score:
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
        extra=quirks.score_members,
    )


def _judge(error: ServiceError, push: _Push) -> SinkAnswer:
    status = error.status
    if error.code in ("unauthorised", "token_refused", "redirected"):
        return SinkAnswer(outcome="retry", message_for_user=NO_SIGN_IN, status=status)
    step = {**STANDARD, **push.quirks.refusals}.get(status) if status is not None else None
    if step == "compare":
        return _compare(status, push)
    if step == "look":
        return _look(push)
    if step in ("enrol", "permit"):
        return _blocked(NOT_A_LEARNER if step == "enrol" else NO_RIGHT, status)
    unknown = step == "persist" and push.record.attempts >= TRIES_BEFORE_ASKING
    if unknown or not (error.retriable or error.code in ("network", "bad_answer")):
        sentence = UNKNOWN_500 if unknown else REFUSED
        return SinkAnswer(outcome="needs_human", message_for_user=sentence, status=status)
    return SinkAnswer(outcome="retry", message_for_user=DOWN, status=status, retry_after=error.retry_after)


def _compare(status: int | None, push: _Push) -> SinkAnswer:
    """Find out what a refusal means: arrived before, too old by the platform's clock, or not gradable."""
    record = push.record
    result = _read_result(push)
    share = result.share if result is not None else None
    if share is not None and abs(share - record.score_given / record.score_maximum) < SAME:
        return SinkAnswer(outcome="delivered", status=status, remote_ref=push.url)
    # Only 409 says without doubt that the score is stale; 400 may also mean a person without grades.
    if status == 409 or (result is not None and record.attempts < TRIES_AT_STALE):
        pause = 2.0 if record.attempts < TRIES_AT_STALE else None
        return SinkAnswer(outcome="retry", message_for_user=STALE, status=status, retry_after=pause)
    return _blocked(NOT_A_LEARNER, status)


def _read_result(push: _Push) -> ags.Result | None:
    user_id = str(push.record.platform_user_id)
    asked_for = user_id if push.quirks.results_by_user else None
    try:
        results = ags.get_results(push.client, push.platform, push.url, asked_for)
    except ServiceError:
        return None
    return next((result for result in results if result.user_id == user_id), None)


def _look(push: _Push) -> SinkAnswer:
    """Tell a deleted column from a person whom the platform does not know in the course."""
    try:
        ags.get_line_item(push.client, push.platform, push.url)
    except ServiceError as error:
        gone = error.status in (404, 410)
        return SinkAnswer(outcome="blocked", message_for_user=COLUMN_GONE, status=404, column_gone=gone)
    return _blocked(NOT_A_LEARNER, 404)


def _blocked(sentence: str, status: int | None) -> SinkAnswer:
    return SinkAnswer(outcome="blocked", message_for_user=sentence, status=status)


@hookimpl
def rm_register_completion_sinks() -> Sequence[CompletionSink]:
    """Bring the gradebook."""
    return (AgsSink(),)
