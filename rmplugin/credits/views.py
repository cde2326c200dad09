"""Pages of credits: one's own ledger, and what became of everybody's course records."""

from dataclasses import dataclass
from uuid import UUID

import flask

from rmplugin import web
from rmplugin.credits import exports, findings, operations, queries
from rmplugin.credits.models import Completion, Delivery
from rmplugin.destinations.models import Brake, SinkAccount
from rmplugin.destinations.queries import list_accounts, shut_brakes
from rmplugin.errors import NotFoundError
from rmplugin.policies import PolicyProgress
from rmplugin.programmes.models import Programme
from rmplugin.programmes.queries import get_managed_programme
from rmplugin.shapes import SHAPES
from rmplugin.texts import texts
from rmplugin.web import Role, Visit

pages = web.Pages("credits", __name__)
PAGE_SIZE = 100
# State -> words for a manager.
STATES = texts(
    {
        "delivered": "sent",
        "pending": "on its way",
        "in_flight": "being sent",
        "retry": "will be tried again",
        "blocked": "blocked",
        "needs_human": "needs somebody",
        "dead": "given up",
    }
)


# Kind of event -> words for a manager.
KINDS = texts(
    {
        "award": "a session",
        "reversal": "a session taken back",
        "adjustment": "an adjustment",
        "completion": "the completion",
        "withdrawal": "the completion taken back",
    }
)


@dataclass(frozen=True, slots=True)
class System:
    """A system that is told each line of the ledger, as a manager sees it.

    :ivar counts: state -> deliveries of the programme.
    :ivar brake: None while it answers.
    """

    account: SinkAccount
    counts: dict[str, int]
    brake: Brake | None


@dataclass(frozen=True, slots=True)
class SinkLine:
    """What one system was told about a person.

    :ivar newest: None before there was anything to tell.
    :ivar arrived: the newest that arrived; None when none did.
    """

    title: str
    newest: Delivery | None
    arrived: Delivery | None


@dataclass(frozen=True, slots=True)
class ProgrammeCard:
    """How far a person is in one programme, and which systems know."""

    programme: Programme
    progress: PolicyProgress
    completion: Completion | None
    sinks: list[SinkLine]


@pages.get("/credits", role=Role.PARTICIPANT)
def own_credits(visit: Visit) -> web.Answer:
    """Show a person's own credits."""
    entries = queries.credits_of(visit.db, visit.person_id)
    return web.render(
        "credits/credits.html",
        visit,
        entries=entries,
        minutes=sum(entry.minutes for entry, _session in entries),
        cards=[
            _card(visit, programme, visit.person_id)
            for programme in queries.programmes_of(visit.db, visit.person_id)
        ],
        zone=queries.time_zone_of(visit.db, visit.person_id),
    )


@pages.get("/people/<uuid:person_id>/credits", role=Role.MANAGER)
def person_credits(visit: Visit, person_id: UUID) -> web.Answer:
    """Show the manager how far one person of the course is: states and counts, no partner, no words."""
    context_id = visit.session.context_id
    person = queries.get_person_of_course(visit.db, person_id, context_id)
    visit.note_access(person.id)
    programmes = [p for p in queries.programmes_of(visit.db, person_id) if p.context_id == context_id]
    entries = [row for p in programmes for row in queries.credits_of(visit.db, person_id, p.id)]
    return web.render(
        "credits/credits.html",
        visit,
        person=person,
        entries=entries,
        minutes=sum(entry.minutes for entry, _session in entries),
        cards=[_card(visit, programme, person_id) for programme in programmes],
        zone=queries.time_zone_of(visit.db, visit.session.person_id),
        current="/manage",
    )


def _card(visit: Visit, programme: Programme, person_id: UUID) -> ProgrammeCard:
    newest = queries.latest_deliveries(visit.db, programme.id, person_id)
    lines = []
    for sink in visit.runtime.plugins.sinks.values():
        rows = newest.get(sink.key, [])
        arrived = next((row for row in rows if row.state == "delivered"), None)
        lines.append(SinkLine(sink.title, rows[0] if rows else None, arrived))
    return ProgrammeCard(
        programme,
        operations.progress_of(visit.db, programme, person_id, visit.runtime.plugins.policies),
        queries.completion_of(visit.db, programme.id, person_id),
        lines,
    )


@pages.get("/programmes/<uuid:programme_id>/deliveries", role=Role.MANAGER)
def deliveries(visit: Visit, programme_id: UUID) -> web.Answer:
    """Show what each sink was told about each person of a programme."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    visit.note_access(programme_id=programme_id)
    rows = queries.current_deliveries(visit.db, programme_id)
    counts = {state: sum(row.state == state for row, _person in rows) for state in STATES}
    wanted = flask.request.args.get("state")
    shown = [pair for pair in rows if wanted in (None, pair[0].state)]
    last = max(1, -(-len(shown) // PAGE_SIZE))
    page = min(max(1, flask.request.args.get("page", 1, type=int)), last)
    systems = _systems(visit, programme_id)
    titles = {key: sink.title for key, sink in visit.runtime.plugins.sinks.items()}
    places = [programme.context_id] if programme.context_id is not None else []
    return web.render(
        "credits/deliveries.html",
        visit,
        programme=programme,
        rows=shown[(page - 1) * PAGE_SIZE : page * PAGE_SIZE],
        counts={state: count for state, count in counts.items() if count},
        total=len(rows),
        wanted=wanted,
        page=page,
        last=last,
        states=STATES,
        shapes=SHAPES.values(),
        titles={**titles, **{one.account.id: one.account.name for one in systems}},
        kinds=KINDS,
        systems=systems,
        course_brake=next(iter(shut_brakes(visit.db, visit.now, places)), None),
        compared=findings.compared(visit.db, programme),
        words_of=findings.words_of,
        stuck=sum(counts[state] for state in ("blocked", "needs_human", "dead")),
        zone=queries.time_zone_of(visit.db, visit.session.person_id),
    )


@pages.get("/programmes/<uuid:programme_id>/credits.csv", role=Role.MANAGER)
def download(visit: Visit, programme_id: UUID) -> web.Answer:
    """Give the programme's credits and completions as a file that a learning system imports."""
    get_managed_programme(visit.db, programme_id, visit.session.context_id)
    visit.note_access(programme_id=programme_id)
    shape = flask.request.args.get("shape", "generic")
    if shape not in SHAPES:
        raise NotFoundError
    content, _left_out = exports.export_shape(visit.db, shape, programme_id=programme_id)
    answer = flask.make_response(content)
    answer.headers["Content-Type"] = "text/csv; charset=utf-8"
    answer.headers["Content-Disposition"] = f'attachment; filename="credits-{shape}.csv"'
    return answer


def _systems(visit: Visit, programme_id: UUID) -> list[System]:
    accounts = list_accounts(visit.db)
    brakes = {one.place_id: one for one in shut_brakes(visit.db, visit.now, [row.id for row in accounts])}
    found = queries.count_by_account(visit.db, programme_id)
    systems = []
    for row in accounts:
        counts = {state: found[row.id][state] for state in STATES if state in found.get(row.id, {})}
        systems.append(System(row, counts, brakes.get(row.id)))
    return systems


def _delivery(visit: Visit, programme_id: UUID, delivery_id: UUID) -> Delivery:
    get_managed_programme(visit.db, programme_id, visit.session.context_id)
    delivery = queries.get_delivery(visit.db, delivery_id)
    if delivery.programme_id != programme_id:
        raise NotFoundError("delivery")
    return delivery


@pages.post("/programmes/<uuid:programme_id>/deliveries/<uuid:delivery_id>/by-hand", role=Role.MANAGER)
def by_hand(visit: Visit, programme_id: UUID, delivery_id: UUID) -> web.Answer:
    """Note that somebody did in the other system what it cannot do."""
    operations.done_by_hand(visit.db, _delivery(visit, programme_id, delivery_id), visit.actor, visit.now)
    return web.go("credits.deliveries", said="Noted. It counts as sent.", programme_id=programme_id)


@pages.post("/programmes/<uuid:programme_id>/deliveries/<uuid:delivery_id>/retry", role=Role.MANAGER)
def retry(visit: Visit, programme_id: UUID, delivery_id: UUID) -> web.Answer:
    """Send one again."""
    operations.retry(visit.db, _delivery(visit, programme_id, delivery_id), visit.actor, visit.now)
    said = "It is being sent again. Look here in a minute to see what became of it."
    return web.go("credits.deliveries", said=said, programme_id=programme_id)
