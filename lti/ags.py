"""Assignment and Grade Services 2.0: line items, scores, results."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from lti.claims import number
from lti.errors import ServiceError
from lti.links import below, with_query
from lti.platforms import Platform
from lti.service import Answer, ServiceClient

SCOPE = "https://purl.imsglobal.org/spec/lti-ags/scope/"
SCOPE_LINE_ITEM = SCOPE + "lineitem"
SCOPE_LINE_ITEM_READ = SCOPE + "lineitem.readonly"
SCOPE_RESULT = SCOPE + "result.readonly"
SCOPE_SCORE = SCOPE + "score"
LINE_ITEM_TYPE = "application/vnd.ims.lis.v2.lineitem+json"
LINE_ITEMS_TYPE = "application/vnd.ims.lis.v2.lineitemcontainer+json"
SCORE_TYPE = "application/vnd.ims.lis.v1.score+json"
RESULTS_TYPE = "application/vnd.ims.lis.v2.resultcontainer+json"
ACTIVITY_PROGRESS = frozenset({"Initialized", "Started", "InProgress", "Submitted", "Completed"})
# A teacher can look at a learner's work whatever its state (Submission Review 1.0: `reviewableStatus`).
REVIEWABLE = {"submissionReview": {"reviewableStatus": sorted(ACTIVITY_PROGRESS)}}
GRADING_PROGRESS = frozenset({"FullyGraded", "Pending", "PendingManual", "Failed", "NotReady"})


@dataclass(frozen=True, slots=True)
class Score:
    """A score to post.

    :param user_id: the launch's subject
    :param score_given: None posts progress without a score; then the maximum is left out too
    :param grading_progress: on Moodle anything but FullyGraded erases the grade
    :param timestamp: aware; must grow by whole seconds per user and line item, see `next_timestamp`
    :param extra: further members, such as a platform's extension; they never replace the ones above
    """

    user_id: str
    score_given: float | None
    score_maximum: float
    activity_progress: str
    grading_progress: str
    timestamp: datetime
    comment: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.activity_progress not in ACTIVITY_PROGRESS or self.grading_progress not in GRADING_PROGRESS:
            raise ValueError("Unknown activity or grading progress")
        if self.score_maximum <= 0 or (self.score_given is not None and self.score_given < 0):
            raise ValueError("A score is not negative and its maximum is positive")
        if self.timestamp.tzinfo is None:
            raise ValueError("The timestamp must be aware")

    def to_json(self) -> dict[str, Any]:
        """Return the request body. **Source** AGS 2.0, section 3.4. **Touches** pure."""
        body = {
            **self.extra,
            "userId": self.user_id,
            "activityProgress": self.activity_progress,
            "gradingProgress": self.grading_progress,
            "timestamp": format_timestamp(self.timestamp),
        }
        if self.score_given is not None:
            body |= {"scoreGiven": self.score_given, "scoreMaximum": self.score_maximum}
        if self.comment is not None:
            body["comment"] = self.comment
        return body


@dataclass(frozen=True, slots=True)
class ScoreReceipt:
    """The platform's answer to a score; `result_url` is None when it named none."""

    status: int
    result_url: str | None


@dataclass(frozen=True, slots=True)
class LineItem:
    """A column of the gradebook; `id` is its address. `raw` is what the platform sent."""

    id: str
    label: str
    score_maximum: float | None
    resource_id: str | None
    tag: str | None
    resource_link_id: str | None
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """A grade as the platform has it; `score` is None when it was erased or never given.

    :param at: when the platform says that it was changed; aware UTC, None where it does not say (the standard
        knows no such member; Moodle sends one)
    """

    user_id: str
    score: float | None
    maximum: float | None
    comment: str | None
    raw: Mapping[str, Any] = field(repr=False)
    at: datetime | None = None

    @property
    def share(self) -> float | None:
        """Give the grade as a part of its maximum, 0..1; None for no grade."""
        return None if self.score is None else self.score / (self.maximum or 1.0)


def next_timestamp(last: datetime | None, now: datetime) -> datetime:
    """Return a timestamp for the next score of one user on one line item.

    :param last: the timestamp of the score before, None for the first
    :param now: aware UTC
    :return: `now`, or later when the whole second of `last` is not over: Moodle compares whole seconds

    **Source** AGS 2.0, section 3.4.6: a timestamp must be later than the stored one. **Touches** pure.
    """
    if last is None or now.replace(microsecond=0) > last.replace(microsecond=0):
        return now
    return last.replace(microsecond=0) + timedelta(seconds=1)


def format_timestamp(at: datetime) -> str:
    """Return ISO 8601 in UTC with milliseconds and "Z", as AGS demands. **Touches** pure."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def post_score(client: ServiceClient, platform: Platform, line_item_url: str, score: Score) -> ScoreReceipt:
    """Post one score.

    :raises ServiceError: 409: the timestamp is not newer; 400, 422: the person gets no grades
    **Source** AGS 2.0, section 3.4. **Touches** calls the platform.
    """
    answer = client.request(
        platform,
        "POST",
        below(line_item_url, "scores"),
        [SCOPE_SCORE],
        accept=SCORE_TYPE,
        content_type=SCORE_TYPE,
        body=score.to_json(),
    )
    return ScoreReceipt(answer.status, _result_url(answer))


def _result_url(answer: Answer) -> str | None:
    """Canvas names the result; most platforms send no body or one that is no JSON."""
    try:
        body = answer.json()
    except ServiceError:
        return None
    url = body.get("resultUrl") if isinstance(body, dict) else None
    return url if isinstance(url, str) else None


def line_items(
    client: ServiceClient,
    platform: Platform,
    line_items_url: str,
    *,
    resource_id: str | None = None,
    tag: str | None = None,
    offered_scopes: Collection[str] | None = None,
) -> Iterator[LineItem]:
    """Yield the line items of all pages.

    :param resource_id: None means any; filtered by the platform and again here; likewise `tag`
    :param offered_scopes: scopes of the launch claim; None when they are not known
    **Source** AGS 2.0, section 3.2.4. **Touches** calls the platform.
    """
    url = with_query(line_items_url, resource_id=resource_id, tag=tag)
    for page, _answer in client.pages(
        platform, url, _line_item_scopes(offered_scopes), accept=LINE_ITEMS_TYPE
    ):
        for entry in page if isinstance(page, list) else []:
            item = _read_line_item(entry)
            if item is not None and resource_id in (None, item.resource_id) and tag in (None, item.tag):
                yield item


def find_or_create_line_item(
    client: ServiceClient,
    platform: Platform,
    line_items_url: str,
    *,
    label: str,
    score_maximum: float,
    resource_id: str,
    tag: str,
    resource_link_id: str | None = None,
    extra: Mapping[str, Any] = MappingProxyType({}),
    offered_scopes: Collection[str] | None = None,
) -> LineItem:
    """Return the line item with this resource id and tag; make it only when no page has one.

    An existing one is adopted as it is, whatever its label. Platforms create duplicates silently, so two
    processes must not call this at once for the same course: take a lock in the host application.

    :param resource_id: at most 512 characters
    :param tag: at most 255 characters
    :param extra: further members of a new line item, such as `submissionReview`
    :param resource_link_id: couples a new line item to this link; None makes one of its own
    :param offered_scopes: scopes of the launch claim; None when they are not known
    :raises ServiceError: what the platform refuses
    **Source** AGS 2.0, section 3.2. **Touches** calls the platform.
    """
    if len(tag) > 255 or len(resource_id) > 512:
        raise ValueError("A tag has at most 255 characters, a resource id at most 512")
    found = next(
        line_items(
            client, platform, line_items_url, resource_id=resource_id, tag=tag, offered_scopes=offered_scopes
        ),
        None,
    )
    if found is not None:
        return found
    body = {**extra, "label": label, "scoreMaximum": score_maximum, "resourceId": resource_id, "tag": tag}
    if resource_link_id is not None:
        body["resourceLinkId"] = resource_link_id
    answer = client.request(
        platform,
        "POST",
        line_items_url,
        _line_item_scopes(offered_scopes),
        accept=LINE_ITEM_TYPE,
        content_type=LINE_ITEM_TYPE,
        body=body,
    )
    return _demand_line_item(answer)


def get_line_item(
    client: ServiceClient,
    platform: Platform,
    line_item_url: str,
    *,
    offered_scopes: Collection[str] | None = None,
) -> LineItem:
    """Return one line item. **Source** AGS 2.0, section 3.2.5. **Touches** calls the platform."""
    answer = client.request(
        platform, "GET", line_item_url, _line_item_scopes(offered_scopes), accept=LINE_ITEM_TYPE
    )
    return _demand_line_item(answer)


def update_line_item(
    client: ServiceClient, platform: Platform, item: LineItem, *, label: str, score_maximum: float
) -> LineItem:
    """Change label and maximum of a line item.

    Everything else is sent as it was, because a PUT without tag or resourceId wipes them.
    **Source** AGS 2.0, section 3.2.6. **Touches** calls the platform.
    """
    # Open edX writes null for what a column has not, and refuses to take it back.
    kept = {name: value for name, value in item.raw.items() if value is not None}
    body = {**kept, "label": label, "scoreMaximum": score_maximum}
    answer = client.request(
        platform,
        "PUT",
        item.id,
        [SCOPE_LINE_ITEM],
        accept=LINE_ITEM_TYPE,
        content_type=LINE_ITEM_TYPE,
        body=body,
    )
    return _demand_line_item(answer)


def delete_line_item(client: ServiceClient, platform: Platform, line_item_url: str) -> None:
    """Delete a line item that this tool made; one that is already gone is fine.

    Never for a graded link's own line item.
    **Source** AGS 2.0, section 3.2.7. **Touches** calls the platform.
    """
    try:
        client.request(platform, "DELETE", line_item_url, [SCOPE_LINE_ITEM], accept=LINE_ITEM_TYPE)
    except ServiceError as error:
        if error.status not in (404, 410):
            raise


def result_pages(
    client: ServiceClient, platform: Platform, line_item_url: str, user_id: str | None = None
) -> Iterator[list[Result]]:
    """Yield the grades of a line item, page by page.

    :param user_id: only this person's; None means everybody's
    :raises ServiceError: bad_answer when a page is no list of results: who is missing in one that could not
        be read must not be taken for somebody without a grade
    **Source** AGS 2.0, section 3.3. **Touches** calls the platform.
    """
    url = with_query(below(line_item_url, "results"), user_id=user_id)
    for page, answer in client.pages(platform, url, [SCOPE_RESULT], accept=RESULTS_TYPE):
        results = [_read_result(entry) for entry in page] if isinstance(page, list) else [None]
        read = [result for result in results if result is not None]
        if len(read) < len(results):
            raise answer.fault("The platform's answer is no list of results", retriable=True)
        yield [result for result in read if user_id in (None, result.user_id)]


def get_results(
    client: ServiceClient, platform: Platform, line_item_url: str, user_id: str | None = None
) -> list[Result]:
    """Return the grades of a line item, all pages; see `result_pages`.

    **Source** AGS 2.0, section 3.3. **Touches** calls the platform.
    """
    return [result for page in result_pages(client, platform, line_item_url, user_id) for result in page]


def _line_item_scopes(offered: Collection[str] | None) -> list[str]:
    # Moodle wants the read scope for GET; Canvas refuses all for one scope that it did not offer.
    wanted = [SCOPE_LINE_ITEM, SCOPE_LINE_ITEM_READ]
    return [scope for scope in wanted if offered is None or scope in offered] or wanted


def _read_line_item(entry: object) -> LineItem | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        return None
    return LineItem(
        id=entry["id"],
        label=_text(entry.get("label")) or "",
        score_maximum=number(entry.get("scoreMaximum")),
        resource_id=_text(entry.get("resourceId")),
        tag=_text(entry.get("tag")),
        resource_link_id=_text(entry.get("resourceLinkId")),
        raw=MappingProxyType(entry),
    )


def _demand_line_item(answer: Answer) -> LineItem:
    item = _read_line_item(answer.json())
    if item is None:
        raise answer.fault("The platform's answer is no line item")
    return item


def _read_result(entry: object) -> Result | None:
    user_id = _text(entry.get("userId")) if isinstance(entry, dict) else None
    if user_id is None or not isinstance(entry, dict):
        return None
    score = _score(entry.get("resultScore"))
    if score is None and entry.get("resultScore") not in (None, ""):
        return None
    return Result(
        user_id=user_id,
        score=score,
        maximum=_score(entry.get("resultMaximum")),
        comment=_text(entry.get("comment")),
        raw=MappingProxyType(entry),
        at=_moment(entry.get("timestamp")),
    )


def _score(value: object) -> float | None:
    """Return a number; some platforms send their decimals as texts."""
    try:
        return number(float(value) if isinstance(value, str) else value)
    except ValueError:
        return None


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment is not None and moment.tzinfo is not None else None


def _text(value: object) -> str | None:
    """Return a text; some platforms send ids as numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None
