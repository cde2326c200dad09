"""The single examinations of a connected LMS: each says what was found, and which setting to change."""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

import requests

from lti import ags, nrps
from lti.answers import http_date
from lti.claims import origin
from lti.errors import ServiceError
from lti.platforms import Platform
from lti.service import ServiceClient
from rmplugin.jobs import Runtime
from rmplugin.records import PlatformQuirks, SettingTopic
from rmplugin.tenants.models import LtiContext, LtiPlatform, LtiResourceLink
from rmplugin.tenants.queries import may_make_column

CLOCK_TOLERANCE = timedelta(seconds=30)
WAIT_SECONDS = (5, 10)
# Label, resource id and tag of the column that is made, written, read and deleted again.
SELF_TEST = "self-test"
ENOUGH_MEMBERS = 10
# Scope -> what it lets the tool do, for people.
WORDS = {
    nrps.SCOPE_MEMBERSHIP: "read the roster",
    ags.SCOPE_SCORE: "write scores",
    ags.SCOPE_RESULT: "read results",
    ags.SCOPE_LINE_ITEM: "make columns",
    ags.SCOPE_LINE_ITEM_READ: "read columns",
}
_UNREACHED = "See whether the LMS runs, and whether this machine reaches it."
_ABOUT_TIME = re.compile(r"\b(iat|nbf|exp|expired|future|clock|too (old|early|late))\b", re.IGNORECASE)


class Finding(NamedTuple):
    """One line of an examination.

    :param advice: what was found; when not ok, what to do.
    """

    what: str
    ok: bool
    advice: str


@dataclass(frozen=True, kw_only=True)
class Exam:
    """What is examined.

    :param course: where somebody launched last; None when nobody has. Likewise `link`.
    """

    runtime: Runtime
    client: ServiceClient
    row: LtiPlatform
    platform: Platform
    quirks: PlatformQuirks
    course: LtiContext | None
    link: LtiResourceLink | None

    def setting(self, *topics: SettingTopic) -> str:
        """Name the settings to change, in the words of this LMS."""
        return " ".join(self.runtime.plugins.setting(self.quirks, topic) for topic in topics)

    @property
    def key_set_url(self) -> str:
        """Where this tool publishes its keys."""
        return f"{self.runtime.settings.public_url}/lti/jwks"


def examine_key_set(exam: Exam) -> Iterator[Finding]:
    """Read the LMS' keys and compare clocks. **Touches** calls the platform."""
    url = exam.row.jwks_url
    try:
        answer = exam.runtime.http.get(url, timeout=WAIT_SECONDS, allow_redirects=False)
        keys = len(answer.json()["keys"]) if answer.status_code == 200 else 0
    except (requests.RequestException, ValueError, KeyError, TypeError):
        advice = f"{url} does not answer with a key set: check the address. {exam.setting('platform_keys')}"
        yield Finding("key set", ok=False, advice=advice)
        return
    if not keys:
        advice = f"{url} answered {answer.status_code} without keys. {exam.setting('platform_keys')}"
        yield Finding("key set", ok=False, advice=advice)
        return
    yield Finding("key set", ok=True, advice=f"{keys} keys")
    theirs = http_date(answer.headers.get("Date"))
    skew = theirs - exam.runtime.clock() if theirs is not None else timedelta()
    if abs(skew) > CLOCK_TOLERANCE:
        seconds = int(abs(skew).total_seconds())
        behind = "behind" if skew > timedelta() else "ahead of"
        yield Finding("clock", ok=False, advice=_about_clock(f"This machine's clock is {seconds} s {behind}"))


def _about_clock(found: str) -> str:
    return f"{found} the LMS' clock. Let both machines follow a time server (NTP)."


def examine_scopes(exam: Exam) -> Iterator[Finding]:
    """Compare what the LMS offers the tool with what the tool needs. **Touches** pure."""
    offered = _offered(exam)
    if offered is None:
        return
    missing = [scope for scope in _needed(exam) if not _is_met(scope, offered)]
    if not missing:
        yield Finding("scopes", ok=True, advice="everything that the tool needs is offered")
        return
    granted = set(exam.row.scopes or ())
    withdrawn = " It was granted when the tool was registered." if granted & set(missing) else ""
    advice = (
        f"The LMS does not let the tool {_in_words(missing)}.{withdrawn} {exam.setting(*_topics(missing))}"
    )
    yield Finding("scopes", ok=False, advice=advice)


def _offered(exam: Exam) -> set[str] | None:
    """Give the scopes of the last launch, else of the registration; None when neither is known."""
    if exam.course is None or exam.link is None:
        return None if exam.row.scopes is None else set(exam.row.scopes)
    roster = {nrps.SCOPE_MEMBERSHIP} if exam.course.memberships_url is not None else set()
    return roster | set(exam.link.scopes)


def _needed(exam: Exam) -> list[str]:
    columns = ags.SCOPE_LINE_ITEM_READ if exam.quirks.column_by_teacher else ags.SCOPE_LINE_ITEM
    return [nrps.SCOPE_MEMBERSHIP, ags.SCOPE_SCORE, ags.SCOPE_RESULT, columns]


def _is_met(scope: str, offered: Iterable[str]) -> bool:
    # Who may make columns may read them.
    return scope in offered or (scope == ags.SCOPE_LINE_ITEM_READ and ags.SCOPE_LINE_ITEM in offered)


def _topics(scopes: Iterable[str]) -> list[SettingTopic]:
    found: dict[SettingTopic, None] = {}
    for scope in scopes:
        found["roster" if scope == nrps.SCOPE_MEMBERSHIP else "grades"] = None
    return list(found)


def _in_words(scopes: Iterable[str]) -> str:
    return ", ".join(WORDS.get(scope, scope) for scope in scopes)


def examine_token(exam: Exam) -> Finding:
    """Ask for an access token for everything that is offered. **Touches** calls the platform."""
    offered = _offered(exam)
    needed = _needed(exam)
    wanted = needed if offered is None else [scope for scope in WORDS if scope in offered]
    try:
        token = exam.client.request_token(exam.platform, wanted or needed)
    except ServiceError as error:
        return Finding("access token", ok=False, advice=explain(exam, error))
    refused = [scope for scope in wanted if token.granted is not None and not _is_met(scope, token.granted)]
    if refused:
        advice = (
            f"The LMS gave a token with which the tool may not {_in_words(refused)}. "
            f"{exam.setting(*_topics(refused))}"
        )
        return Finding("access token", ok=False, advice=advice)
    return Finding("access token", ok=True, advice="given")


def explain(exam: Exam, error: ServiceError, *topics: SettingTopic) -> str:
    """Say why a call failed, in the LMS' own words where it has some, and which setting to change.

    :param topics: settings to name when the call as such was refused; token troubles have their own.
    **Touches** pure.
    """
    if error.code != "token_refused":
        if error.code == "unavailable":
            return f"{error}. Try again later."
        at_token = error.url == exam.platform.token_url.partition("?")[0]
        # Whatever is no token address, the LMS itself named.
        advice = _UNREACHED if error.code == "network" and not at_token else None
        return f"{error}. {advice or exam.setting(*(('token',) if at_token else topics))}".strip()
    if _ABOUT_TIME.search(error.description or ""):
        return _about_clock(f'The LMS refuses the time of our request ("{error.description}"): compare with')
    words = ": ".join(filter(None, (error.reason, error.description)))
    found = f"The LMS gave no access token ({error.status})" + (f'; it says "{words}".' if words else ".")
    if error.reason == "invalid_scope":
        return f"{found} {exam.setting('roster', 'grades')}"
    if error.reason is None and error.status == 404:
        # Moodle's page of that kind: it could not read our keys.
        found += f" Either it cannot read this tool's keys at {exam.key_set_url}, or the address is wrong."
        return f"{found} {exam.setting('tool_keys', 'token')}"
    found += (
        f" It must know the client id {exam.row.client_id} and read this tool's keys at {exam.key_set_url}."
    )
    return f"{found} {exam.setting('client', 'tool_keys')}"


def examine_roster(exam: Exam) -> tuple[Finding, str | None]:
    """Read the beginning of the course's roster.

    :return: the finding, and the id of a learner to try a score with; None when there is none.
    **Touches** calls the platform.
    """
    what = "roster (NRPS)"
    if exam.course is None or exam.course.memberships_url is None:
        advice = f"The launch offered no roster. {exam.setting('roster')}"
        return Finding(what, ok=False, advice=advice), None
    count, learner = 0, None
    try:
        for member in nrps.members(exam.client, exam.platform, exam.course.memberships_url):
            count += 1
            if learner is None and member.status == "Active" and member.roles.is_learner:
                learner = member.user_id
            if learner is not None and count >= ENOUGH_MEMBERS:
                break
    except ServiceError as error:
        return Finding(what, ok=False, advice=explain(exam, error, "roster")), None
    return Finding(what, ok=True, advice=f"read; {count} or more members"), learner


def examine_gradebook(exam: Exam) -> Finding:
    """Read the activity's own column, if it has one. **Touches** calls the platform."""
    what, link = "gradebook (AGS)", exam.link
    if link is None or not (link.line_item_url or link.line_items_url or link.scopes):
        advice = f"The launch offered no gradebook. {exam.setting('grades')}"
        return Finding(what, ok=False, advice=advice)
    if link.line_item_url is None:
        if may_make_column(link) and not exam.quirks.column_by_teacher:
            advice = "The activity has no column yet; the tool makes one with the first grade."
            return Finding(what, ok=True, advice=advice)
        advice = f"The activity has no gradebook column of its own. {exam.setting('column')}"
        return Finding(what, ok=False, advice=advice)
    try:
        item = ags.get_line_item(exam.client, exam.platform, link.line_item_url, offered_scopes=link.scopes)
    except ServiceError as error:
        topic: SettingTopic = "column" if error.status in (404, 410) else "grades"
        return Finding(what, ok=False, advice=explain(exam, error, topic))
    return Finding(what, ok=True, advice=f"column '{item.label}', maximum {item.score_maximum}")


def try_gradebook(exam: Exam, learner: str | None) -> Finding:
    """Make a column, write a score for one learner, read it back and delete the column.

    :param learner: the learner's id on the LMS; None when the roster named none.
    **Source** AGS 2.0. **Touches** calls the platform; leaves nothing behind there.
    """
    what, link = SELF_TEST, exam.link
    if exam.quirks.no_test_column:
        advice = f"Not tried. {exam.quirks.no_test_column} What can be read without it was read."
        return Finding(what, ok=True, advice=advice)
    if link is None or link.line_items_url is None or not may_make_column(link):
        advice = "Not tried: the LMS lets the tool make no column of its own, which it does not need here."
        return Finding(what, ok=True, advice=advice)
    if learner is None:
        advice = "No score could be tried: the roster names no learner. Enrol one, a test account will do."
        return Finding(what, ok=False, advice=advice)
    try:
        column = ags.find_or_create_line_item(
            exam.client,
            exam.platform,
            link.line_items_url,
            label=SELF_TEST,
            score_maximum=100,
            resource_id=SELF_TEST,
            tag=SELF_TEST,
            offered_scopes=link.scopes,
        )
    except ServiceError as error:
        return Finding(what, ok=False, advice=f"No column can be made: {explain(exam, error, 'grades')}")
    fault = _write_and_read(exam, column, learner)
    try:
        ags.delete_line_item(exam.client, exam.platform, column.id)
    except ServiceError as error:
        fault = (
            f"The column '{SELF_TEST}' could not be deleted; do it by hand. {explain(exam, error, 'grades')}"
        )
    done = f"a column '{SELF_TEST}' was made, written, read and deleted"
    return Finding(what, ok=fault is None, advice=fault or done)


def _write_and_read(exam: Exam, column: ags.LineItem, learner: str) -> str | None:
    """Say what went wrong; None when the score came back as it was written."""
    score = ags.Score(
        user_id=learner,
        score_given=1,
        score_maximum=100,
        activity_progress="Completed",
        grading_progress="FullyGraded",
        timestamp=exam.runtime.clock(),
        extra=exam.quirks.score_members,
    )
    try:
        ags.post_score(exam.client, exam.platform, column.id, score)
    except ServiceError as error:
        return f"No score can be written: {explain(exam, error, 'grades')}"
    asked_for = learner if exam.quirks.results_by_user else None
    try:
        results = ags.get_results(exam.client, exam.platform, column.id, asked_for)
    except ServiceError as error:
        return f"A score was written, but cannot be read: {explain(exam, error, 'grades')}"
    found = next((result.score for result in results if result.user_id == learner), None)
    if found is None or abs(found - (column.score_maximum or 100) / 100) > 0.005:
        return "A score was written, but another one came back. Look at the column's settings in the LMS."
    return None


def examine_door(
    runtime: Runtime, quirks: PlatformQuirks, origins: Iterable[str], published: Iterable[str]
) -> Iterator[Finding]:
    """Call the tool's own address as an outsider does: is it there, and may the LMS show it in a frame?

    :param quirks: names the settings.
    :param origins: of the LMSs, "https://moodle.example.com".
    :param published: ids of the keys that this tool publishes.
    **Touches** calls the tool's public address.
    """
    what = "public URL"
    address, frame = (runtime.plugins.setting(quirks, topic) for topic in ("address", "frame"))
    base = runtime.settings.public_url
    if not runtime.settings.https and not runtime.settings.is_loopback:
        advice = f"{base} is not https, and inside an LMS browsers keep no cookies for it. Set RM_PUBLIC_URL."
        yield Finding(what, ok=False, advice=f"{advice} {address}")
    try:
        keys = runtime.http.get(f"{base}/lti/jwks", timeout=WAIT_SECONDS, allow_redirects=False)
        page = runtime.http.get(f"{base}/", timeout=WAIT_SECONDS, allow_redirects=False)
        shown = {key["kid"] for key in keys.json()["keys"]} if keys.status_code == 200 else set()
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        advice = (
            f"{base} does not answer this machine as this tool ({type(error).__name__}). Start the server, "
            "or check RM_PUBLIC_URL, DNS, certificate and proxy."
        )
        yield Finding(what, ok=False, advice=advice)
        return
    if not shown & set(published):
        advice = f"{base}/lti/jwks answered {keys.status_code} without this tool's keys."
        yield Finding(what, ok=False, advice=f"{advice} Check RM_PUBLIC_URL and the proxy.")
        return
    alone = " for this machine alone; LMSs elsewhere want https" if runtime.settings.is_loopback else ""
    yield Finding(what, ok=True, advice=f"{base}{alone}")
    fault = _frame_fault(page.headers, base, origins)
    if fault is None:
        yield Finding("frame", ok=True, advice="the LMS may show the tool in its pages")
    else:
        told = "A proxy in front of the tool adds that; remove it there, the tool sends its own."
        yield Finding("frame", ok=False, advice=f"{fault} {told} {frame}")


def _frame_fault(headers: Mapping[str, str], base: str, origins: Iterable[str]) -> str | None:
    """Say which header keeps the tool out of the frame of an LMS; None when none does."""
    if "X-Frame-Options" in headers:
        return f"The tool's pages carry 'X-Frame-Options: {headers['X-Frame-Options'][:60]}'."
    # Several policies stand in one header with commas between them, and each of them counts.
    for policy in headers.get("Content-Security-Policy", "").split(","):
        for directive in policy.split(";"):
            name, *sources = directive.split() or [""]
            if name.lower() != "frame-ancestors":
                continue
            out = [o for o in origins if not any(_allows(source, o, base) for source in sources)]
            if out:
                named = f"Content-Security-Policy: frame-ancestors {' '.join(sources)}"
                return (
                    f"The tool's pages may not be shown inside {', '.join(out)}: they carry '{named[:200]}'."
                )
    return None


def _allows(source: str, origin: str, base: str) -> bool:
    """Match one source of frame-ancestors. **Source** CSP 3, section 6.7.2."""
    if source == "*" or source.lower() == "'self'":
        return source == "*" or origin == base
    wanted, ours = urlsplit(origin), source.lower()
    if ours.endswith(":"):
        return f"{wanted.scheme}:" == ours
    scheme, _, host = ours.rpartition("://")
    return (not scheme or scheme == wanted.scheme) and fnmatch.fnmatchcase(wanted.netloc, host.rstrip("/"))


def origins_of(exam: Exam) -> set[str]:
    """Give the origins whose pages show the tool: that of the course's services, else that of the issuer.

    Hosted platforms share one issuer, which shows no pages.

    **Touches** pure.
    """
    roster = exam.course.memberships_url if exam.course is not None else None
    columns = exam.link.line_items_url or exam.link.line_item_url if exam.link is not None else None
    urls = [url for url in (roster, columns) if url] or [exam.row.issuer]
    return {found for found in map(origin, urls) if found is not None}
