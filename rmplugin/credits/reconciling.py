"""Reads gradebooks back and compares them with what they were told: repairs what is ours, reports the rest.

The network comes first, outside any transaction. What was sent since is left to the next comparison.
"""

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import delete, or_, select

from lti import ags
from lti.errors import ServiceError
from lti.platforms import Platform
from lti.service import ServiceClient
from rmplugin.credits import findings, store
from rmplugin.credits.columns import find_place
from rmplugin.credits.differences import ColumnState, Shown, Told, Verdict, judge
from rmplugin.credits.models import Completion, Delivery, GradeComparison, GradeDifference
from rmplugin.credits.tasks import COLUMN_TAG
from rmplugin.db import Db, chunks
from rmplugin.errors import ConflictError
from rmplugin.jobs import Runtime
from rmplugin.programmes.models import Programme
from rmplugin.sinks import CompletionSink
from rmplugin.tenants.models import LtiContext, LtiPlatform, LtiResourceLink
from rmplugin.tenants.queries import may_make_column
from rmplugin.tenants.store import as_platform, service_client

log = structlog.get_logger()

GONE = (404, 410)
UNDER_WAY = ("pending", "in_flight", "retry")
# Differences after which the same grade is not sent once more.
RESENT = ("lost", "stale", "ignored")
# So often a column is read whose pages change meanwhile.
READINGS = 3


@dataclass(frozen=True, slots=True)
class _Column:
    """A gradebook column as it was read.

    :ivar shown: LMS user -> grade.
    :ivar ours: made by this tool.
    """

    state: ColumnState
    url: str | None = None
    shown: Mapping[str, Shown] = field(default_factory=dict)
    ours: bool = False


EQUAL = Verdict()
# Where the grade of somebody is who has no place in the course any more.
NOWHERE = _Column("read")


@dataclass(slots=True)
class _Course:
    """One course while it is compared.

    :ivar began: when the reading of its columns began.
    :ivar columns: link -> its column.
    :ivar strays: columns of this tool that belong to no activity of the course.
    :ivar before: (programme, person) -> what the comparison before found.
    :ivar known: LMS users whose grade was compared.
    """

    context: LtiContext
    began: datetime
    columns: dict[uuid.UUID, _Column]
    strays: int
    before: Mapping[tuple[uuid.UUID | None, uuid.UUID | None], GradeDifference]
    people: Counter[str] = field(default_factory=Counter)
    found: list[GradeDifference] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def note(self, kind: str, *, repaired: bool = False, times: int = 1, **about: Any) -> None:
        """Add a difference."""
        about |= {"context_id": self.context.id, "kind": kind, "repaired": repaired, "times": times}
        self.found.append(GradeDifference(**about))


def compare_all(runtime: Runtime) -> int:
    """Compare every platform of every tenant; one that cannot be read keeps no other from being compared.

    :return: how many platforms were compared.
    **Touches** see `compare_platform`.
    """
    with runtime.database.unbound(write=False) as db:
        query = select(LtiPlatform.id, LtiPlatform.tenant_id).join(LtiContext).join(Programme)
        platforms = db.execute(query.distinct()).all()
    done = 0
    for platform_id, tenant_id in platforms:
        try:
            compare_platform(runtime, tenant_id, platform_id)
            done += 1
        except Exception as error:  # noqa: BLE001 - one platform's trouble must not keep the others waiting.
            log.error("grades_not_compared", platform=str(platform_id), error=type(error).__name__)
    return done


def compare_platform(
    runtime: Runtime, tenant_id: uuid.UUID, platform_id: uuid.UUID, *, dry_run: bool = False
) -> dict[str, Any]:
    """Compare what a platform's gradebooks show with what they were told, and repair what is ours to repair.

    :param dry_run: change and keep nothing; what would be repaired counts as repaired.
    :return: the document of ``credits reconcile --json``.
    :raises ConflictError: another process is at it.
    **Touches** calls the platform; writes delivery, lti_resource_link, grade_comparison, grade_difference.
    """
    with runtime.database.hold("grades", platform_id) as mine:
        if not mine:
            raise ConflictError("comparing", "This platform is being compared right now. Wait a minute.")
        courses = [
            _compare_course(runtime, tenant_id, context, dry_run=dry_run)
            for context in _courses_of(runtime, tenant_id, platform_id)
        ]
        people = sum((course.people for course in courses), Counter[str]())
        comparison = GradeComparison(
            platform_id=platform_id, people=dict(people), compared_at=runtime.clock()
        )
        differences = [difference for course in courses for difference in course.found]
        with runtime.database.transaction(tenant_id, write=not dry_run) as db:
            if not dry_run:
                _keep(db, comparison, differences)
            document = findings.report(db, comparison, differences)
    log.info("grades_compared", platform=str(platform_id), dry_run=dry_run, **document["people"])
    return {**document, "dry_run": dry_run}


def _keep(db: Db, comparison: GradeComparison, differences: Sequence[GradeDifference]) -> None:
    db.execute(delete(GradeComparison).where(GradeComparison.platform_id == comparison.platform_id))
    db.add(comparison)
    db.flush()
    for difference in differences:
        difference.comparison_id = comparison.id
    db.add_all(differences)
    db.flush()


def _courses_of(runtime: Runtime, tenant_id: uuid.UUID, platform_id: uuid.UUID) -> Sequence[LtiContext]:
    with runtime.database.transaction(tenant_id, write=False) as db:
        query = select(LtiContext).where(
            LtiContext.platform_id == platform_id, LtiContext.id.in_(select(Programme.context_id))
        )
        return db.scalars(query.order_by(LtiContext.id)).all()


# -- reading -----------------------------------------------------------------------------------------------


def _compare_course(runtime: Runtime, tenant_id: uuid.UUID, context: LtiContext, *, dry_run: bool) -> _Course:
    began = runtime.clock()
    with runtime.database.transaction(tenant_id, write=False) as db:
        row = db.get_one(LtiPlatform, context.platform_id)
        query = select(LtiResourceLink).where(LtiResourceLink.context_id == context.id)
        links = db.scalars(query.order_by(LtiResourceLink.id)).all()
        before = {(one.programme_id, one.person_id): one for one in findings.differences_of(db, context.id)}
    client, platform = service_client(runtime), as_platform(row, context.deployment_id)
    columns = {link.id: _read_column(client, platform, link, links) for link in links}
    course = _Course(context, began, columns, _count_strays(client, platform, links), before)
    for sink in runtime.plugins.sinks.values():
        if sink.needs_line_item:
            _compare_people(runtime, tenant_id, course, sink, dry_run=dry_run)
    for column in columns.values():
        times = sum(
            shown.percent is not None for user, shown in column.shown.items() if user not in course.known
        )
        if times:
            course.note("stranger", times=times)
    if course.strays:
        course.note("stray_column", times=course.strays)
    return course


def _read_column(
    client: ServiceClient, platform: Platform, link: LtiResourceLink, links: Sequence[LtiResourceLink]
) -> _Column:
    """Read one column, page by page. All of it at once: asked for one person, some platforms say less.

    Only the column itself can say that it is gone: a platform that keeps no results answers 404 for them.

    **Source** AGS 2.0, section 3.3.
    """
    if link.line_item_url is None:
        # One that the tool may make, and has made before if anybody's grade arrived.
        return _Column("gone" if may_make_column(link) else "unreadable", ours=may_make_column(link))
    url, ours = link.line_item_url, link.line_item_is_ours
    if link.scopes and ags.SCOPE_RESULT not in link.scopes:
        return _Column("unreadable", url)
    may_look = not link.scopes or {ags.SCOPE_LINE_ITEM, ags.SCOPE_LINE_ITEM_READ} & {*link.scopes}
    is_there = False
    try:
        if may_look:
            item = ags.get_line_item(client, platform, url, offered_scopes=link.scopes or None)
            if _is_anothers(item, link, links):
                return _Column("copied", url)
            is_there = True
        shown = _read_results(client, platform, url)
    except ServiceError as error:
        if error.status in GONE and not is_there:
            return _Column("gone", url, ours=ours)
        log.warning("column_not_read", link=str(link.id), code=error.code, status=error.status)
        return _Column("unreadable", url, ours=ours)
    return _Column("read", url, shown, ours)


def _read_results(client: ServiceClient, platform: Platform, url: str) -> Mapping[str, Shown]:
    """Read the grades of a column. What is kept of them is small: 100,000 at once must fit into memory.

    :raises ServiceError: also when pages moved while they were read: who comes twice has pushed somebody else
        out, who would then seem to have no grade.
    """
    for _attempt in range(READINGS):
        shown: dict[str, Shown] = {}
        steady = True
        for page in ags.result_pages(client, platform, url):
            read = {one.user_id: _shown(one) for one in page}
            steady = steady and shown.keys().isdisjoint(read)
            shown.update(read)
        if steady:
            return shown
    raise ServiceError("bad_answer", "The pages changed while they were read", method="GET", url=url)


def _shown(result: ags.Result) -> Shown:
    return Shown(None if result.share is None else result.share * 100, result.at)


def _is_anothers(item: ags.LineItem, link: LtiResourceLink, links: Sequence[LtiResourceLink]) -> bool:
    others = [other for other in links if other.id != link.id]
    if item.tag == COLUMN_TAG and item.resource_id is not None:
        return _is_id(item.resource_id) and item.resource_id != str(link.id)
    return item.resource_link_id in {other.resource_link_id for other in others}


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _count_strays(client: ServiceClient, platform: Platform, links: Sequence[LtiResourceLink]) -> int:
    """Count columns that the tool made for another course's activity and that came along with a copy."""
    places = {link.line_items_url: link for link in links if may_make_column(link)}
    mine, strays = {str(link.id) for link in links}, set()
    for url, link in places.items():
        try:
            found = list(
                ags.line_items(client, platform, str(url), tag=COLUMN_TAG, offered_scopes=link.scopes)
            )
        except ServiceError:
            continue
        strays |= {
            i.id for i in found if i.resource_id and _is_id(i.resource_id) and i.resource_id not in mine
        }
    return len(strays - {link.line_item_url for link in links})


# -- comparing ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known of some people of a course.

    :ivar rows: person -> programme -> deliveries of the sink, oldest first.
    :ivar seats: person -> (LMS user, link of their grade).
    """

    rows: Mapping[uuid.UUID, Mapping[uuid.UUID, list[Delivery]]]
    seats: Mapping[uuid.UUID, tuple[str, uuid.UUID | None]]


def _compare_people(
    runtime: Runtime, tenant_id: uuid.UUID, course: _Course, sink: CompletionSink, *, dry_run: bool
) -> None:
    with runtime.database.transaction(tenant_id, write=False) as db:
        told = select(Delivery.person_id).join(Programme, Programme.id == Delivery.programme_id)
        told = told.where(Programme.context_id == course.context.id, Delivery.sink == sink.key)
        query = select(Completion.id).join(Programme, Programme.id == Completion.programme_id)
        query = query.where(
            Programme.context_id == course.context.id,
            or_(Completion.percent > 0, Completion.person_id.in_(told)),
        )
        ids = db.scalars(query.order_by(Completion.person_id, Completion.id)).all()
    gone: set[uuid.UUID] = set()
    for some in chunks(ids):
        with runtime.database.transaction(tenant_id, write=not dry_run) as db:
            pairs = db.execute(
                select(Completion, Programme)
                .join(Programme, Programme.id == Completion.programme_id)
                .where(Completion.id.in_(some))
                .order_by(Completion.person_id, Completion.id)
            ).all()
            facts = _facts(db, course, sink, {completion.person_id for completion, _programme in pairs})
            for completion, programme in pairs:
                case = _make_case(db, course, sink, completion, programme, facts)
                course.people.update([_settle(db, course, case, gone, runtime.clock(), dry_run=dry_run)])
    for link_id in [] if dry_run else gone:
        url = str(course.columns[link_id].url)
        with runtime.database.transaction(tenant_id) as db:
            store.forget_column(db, link_id, url, sink.key, runtime.clock())


def _facts(db: Db, course: _Course, sink: CompletionSink, people: set[uuid.UUID]) -> _Facts:
    query = (
        select(Delivery)
        .join(Programme, Programme.id == Delivery.programme_id)
        .where(
            Programme.context_id == course.context.id,
            Delivery.sink == sink.key,
            Delivery.person_id.in_(people),
        )
    )
    rows: dict[uuid.UUID, dict[uuid.UUID, list[Delivery]]] = defaultdict(lambda: defaultdict(list))
    for row in db.scalars(query.order_by(Delivery.created_at, Delivery.id)):
        rows[row.person_id][row.programme_id].append(row)
    return _Facts(rows, findings.seats_of(db, course.context.id, people))


@dataclass(frozen=True, slots=True)
class _Case:
    """One completion, and what is to be made of it.

    :ivar standing: its class when nothing differs or can be compared; None when `verdict` says it.
    :ivar newest: the word that the gradebook should show; None before one.
    :ivar shown: what it shows, in percent.
    """

    completion: Completion
    programme: Programme
    sink: CompletionSink
    standing: str | None = None
    verdict: Verdict = EQUAL
    newest: Delivery | None = None
    shown: float | None = None
    link_id: uuid.UUID | None = None


def _make_case(
    db: Db, course: _Course, sink: CompletionSink, completion: Completion, programme: Programme, facts: _Facts
) -> _Case:
    """Find out how one completion stands.

    Several programmes of one course share a person's column: the word that was sent last is the one to see.
    """
    words = facts.rows.get(completion.person_id, {})
    newest = {of: current[-1] for of, rows in words.items() if (current := _current(rows))}
    mine = newest.get(programme.id)
    user, link_id = facts.seats.get(completion.person_id, (None, None))
    course.known |= {user} if user is not None else set()
    case = _Case(completion, programme, sink, link_id=link_id)
    if mine is None and completion.percent == 0:
        return replace(case, standing="equal")
    if mine is None or mine.payload != store.payload_of(completion):
        if find_place(db, programme, completion.person_id).problem is not None:
            return replace(case, standing="blocked")
        return replace(case, verdict=Verdict("unsent", repair=True))
    if mine.state in ("blocked", "needs_human", "dead"):
        return replace(case, standing="blocked")
    if any(row.state in UNDER_WAY or row.updated_at >= course.began for row in newest.values()):
        return replace(case, standing="on_its_way")
    arrived = [row for row in newest.values() if row.state == "delivered" and row.sent_timestamp]
    seen = max(arrived, key=lambda row: row.sent_timestamp or row.updated_at)
    column = course.columns.get(link_id, NOWHERE) if link_id is not None else NOWHERE
    shown = column.shown.get(str(user))
    told = Told(
        seen.payload["percent"],
        seen.sent_timestamp or seen.updated_at,
        frozenset(_sent(row for rows in words.values() for row in rows)),
    )
    before = course.before.get((programme.id, completion.person_id))
    tried = before is not None and before.kind in RESENT and before.ours == told.percent
    verdict = judge(told, shown, column.state, ours=column.ours, tried=tried)
    if verdict.kind is not None:
        obstacle = find_place(db, programme, completion.person_id).problem is not None
        verdict = judge(told, shown, column.state, ours=column.ours, tried=tried, obstacle=obstacle)
    percent = shown.percent if shown is not None else None
    return replace(case, verdict=verdict, newest=seen, shown=percent)


def _current(rows: Sequence[Delivery]) -> list[Delivery]:
    return [row for row in rows if row.state != "superseded"]


def _sent(rows: Iterable[Delivery]) -> Iterator[int]:
    """Give the percentages that may have reached the other system."""
    return (row.payload["percent"] for row in rows if row.sent_timestamp and "percent" in row.payload)


def _settle(
    db: Db, course: _Course, case: _Case, gone: set[uuid.UUID], now: datetime, *, dry_run: bool
) -> str:
    """Repair what is ours, note what differs, and give the class.

    :param gone: gets the links whose column has to be made again.
    """
    verdict = case.verdict
    if case.standing is not None or verdict.kind is None:
        return case.standing or "equal"
    if verdict.repair and not dry_run and not _repair(db, course, case, gone, now):
        return "on_its_way"
    ours = case.newest.payload["percent"] if case.newest is not None else case.completion.percent
    course.note(
        verdict.kind,
        repaired=verdict.repair,
        programme_id=case.programme.id,
        person_id=case.completion.person_id,
        ours=ours,
        theirs=None if case.shown is None else round(case.shown, 2),
    )
    return "repaired" if verdict.repair else "reported"


def _repair(db: Db, course: _Course, case: _Case, gone: set[uuid.UUID], now: datetime) -> bool:
    """Send again. :return: False when somebody else did meanwhile."""
    if case.newest is None:
        completion = store.hold_completion(db, case.programme.id, case.completion.person_id, now)
        return store.write_deliveries(db, [completion], case.sink, now) > 0
    if case.verdict.kind == "column_gone" and case.link_id and course.columns[case.link_id].url is not None:
        gone.add(case.link_id)
        return True
    return store.send_again(db, case.newest, now)
