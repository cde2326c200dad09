"""Pages of credits: one's own ledger, a manager's corrections, what became of everybody's course records."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import flask

from rmplugin import web
from rmplugin.credits import exports, findings, lists, operations, queries
from rmplugin.credits.forms import AdjustForm, DeliveriesQuery, FileForm, ReasonForm
from rmplugin.credits.models import Completion, CreditEntry, Delivery
from rmplugin.credits.words import GROUPS, KINDS, why_capped
from rmplugin.destinations.models import Brake, SinkAccount
from rmplugin.destinations.queries import brakes_of, list_accounts
from rmplugin.errors import ConflictError, NotFoundError
from rmplugin.people.models import Person
from rmplugin.people.queries import zone_of
from rmplugin.policies import PREPARATION, History, PolicyProgress
from rmplugin.programmes.models import Programme
from rmplugin.programmes.queries import get_managed_programme
from rmplugin.shapes import SHAPES, spreadsheet_text
from rmplugin.texts import Text
from rmplugin.web import Role, Visit

pages = web.Pages("credits", __name__)
PAGE_SIZE = 100
ANY_SYSTEM = Text("a spreadsheet, or any other system (CSV)")


@dataclass(frozen=True, slots=True)
class System:
    """A system that is told each line of the ledger, as a manager sees it.

    :ivar brake: None while it answers well.
    """

    account: SinkAccount
    brake: Brake | None


@dataclass(frozen=True, slots=True)
class SinkLine:
    """What one system that takes states was told about a person.

    :ivar newest: None before there was anything to tell.
    :ivar arrived: the newest that arrived; None when none did.
    """

    title: str
    newest: Delivery | None
    arrived: Delivery | None


@dataclass(frozen=True, slots=True)
class ProgrammeCard:
    """How far a person is in one programme, and which systems know.

    :ivar credit: name of a unit -> hundredths of it, contact time first.
    :ivar preparation: hundredths of an hour for it; 0 for none.
    :ivar left: what still counts under the programme's limits, in words.
    :ivar events: (what a system that takes events is, its name, what it was told).
    """

    programme: Programme
    progress: PolicyProgress
    completion: Completion | None
    credit: Mapping[str, int]
    preparation: int
    left: Sequence[Text]
    sinks: Sequence[SinkLine]
    events: Sequence[tuple[str, str, lists.Told]]


@pages.get("/credits", role=Role.PARTICIPANT)
def own_credits(visit: Visit) -> web.Answer:
    """Show a person's own credits."""
    programmes = queries.programmes_of(visit.db, visit.person_id)
    entries = queries.credits_of(visit.db, visit.person_id)
    return _show(visit, visit.person_id, programmes, entries)


@pages.download("/credits.csv", role=Role.PARTICIPANT)
def own_file(visit: Visit) -> web.Answer:
    """Give a person's own ledger as a CSV file."""
    file = io.StringIO()
    exports.export_csv(visit.db, file, visit.person_id)
    return _csv(file.getvalue(), "credits.csv")


@pages.get("/people/<uuid:person_id>/credits", role=Role.MANAGER)
def person_credits(visit: Visit, person_id: UUID) -> web.Answer:
    """Show the manager how far one person of the course is: states and counts, no partner, no words."""
    context_id = visit.session.context_id
    person = queries.get_person_of_course(visit.db, person_id, context_id)
    visit.note_access(person.id)
    programmes = [p for p in queries.programmes_of(visit.db, person_id) if p.context_id == context_id]
    entries = queries.credits_of(visit.db, person_id, [p.id for p in programmes])
    return _show(visit, person_id, programmes, entries, person)


def _show(
    visit: Visit,
    person_id: UUID,
    programmes: Sequence[Programme],
    entries: Sequence[lists.Line],
    person: Person | None = None,
) -> web.Answer:
    """Show a ledger: to the person, or to the manager whom `person` is shown to."""
    zone = zone_of(visit.db, person_id)
    sums = lists.sum_up(entries, visit.now)
    told, newest = lists.told_of(visit.db, person_id), queries.latest_deliveries(visit.db, person_id)
    completions = queries.own_completions(visit.db, person_id)
    histories = queries.own_histories(visit.db, person_id, [one.id for one in programmes], entries, zone)
    cards = [
        _card(
            visit,
            one,
            (completions.get(one.id), histories[one.id]),
            sums,
            _sink_lines(visit, newest.get(one.id, {})),
            told.get(one.id, {}),
        )
        for one in programmes
    ]
    more = {"person": person, "current": "/manage"} if person else {}
    return web.render(
        "credits/credits.html",
        visit,
        entries=lists.without_empty(entries),
        reasons=queries.reasons_of(visit.db, person_id),
        sums=sums,
        units=_units(visit),
        why_capped=why_capped,
        cards=cards,
        taken={entry.reverses_id for entry, _session in entries},
        zone=zone_of(visit.db, visit.session.person_id),
        **more,
    )


def _units(visit: Visit) -> dict[str, str]:
    """Give the names of the units that credit is told in."""
    units: dict[str, str] = {
        one.unit: Text(one.unit_title) for one in visit.runtime.plugins.policies.values()
    }
    return units | {PREPARATION: Text("hours of preparation")}


def _card(
    visit: Visit,
    programme: Programme,
    reached: tuple[Completion | None, History],
    sums: lists.Sums,
    sinks: Sequence[SinkLine],
    told: Mapping[str, lists.Told],
) -> ProgrammeCard:
    units = _units(visit)
    credit, known = sums.credit.get(programme.id, {}), visit.runtime.plugins.credit_sinks
    return ProgrammeCard(
        programme,
        operations.progress_of(programme, *reached, visit.runtime.plugins.policies),
        reached[0],
        {str(units.get(unit, unit)): amount for unit, amount in credit.items() if unit != PREPARATION},
        credit.get(PREPARATION, 0),
        lists.left_of(programme, sums) if programme.state != "archived" else (),
        sinks,
        [(known[one.sink].title if one.sink in known else one.sink, name, one) for name, one in told.items()],
    )


def _sink_lines(visit: Visit, newest: Mapping[str, Sequence[Delivery]]) -> list[SinkLine]:
    lines = []
    for sink in visit.runtime.plugins.sinks.values():
        rows = newest.get(sink.key, [])
        arrived = next((row for row in rows if row.state == "delivered"), None)
        lines.append(SinkLine(sink.title, rows[0] if rows else None, arrived))
    return lines


def _titles(visit: Visit) -> dict[str, str]:
    """Give the names of all systems that are told something, by their place in the lists."""
    accounts = {str(one.id): one.name for one in list_accounts(visit.db)}
    return {key: sink.title for key, sink in visit.runtime.plugins.sinks.items()} | accounts


@pages.get("/people/<uuid:person_id>/credits/<uuid:entry_id>/reverse", role=Role.MANAGER)
def reverse_page(visit: Visit, person_id: UUID, entry_id: UUID) -> web.Answer:
    """Ask a manager why an award is to be taken back."""
    entry = _managed_entry(visit, person_id, entry_id)
    visit.note_access(person_id)
    return web.render(
        "credits/reverse.html",
        visit,
        person=queries.get_person_of_course(visit.db, person_id, visit.session.context_id),
        entry=entry,
        session=queries.session_of(visit.db, entry),
        zone=zone_of(visit.db, visit.session.person_id),
        current="/manage",
    )


@pages.post(
    "/people/<uuid:person_id>/credits/<uuid:entry_id>/reverse", role=Role.MANAGER, on_input_error=reverse_page
)
def reverse(visit: Visit, person_id: UUID, entry_id: UUID) -> web.Answer:
    """Take an award back."""
    entry = _managed_entry(visit, person_id, entry_id)
    reason = web.load_form(ReasonForm())["reason"].strip()
    operations.reverse(visit.db, entry, visit.actor, reason, visit.now, **_counting(visit))
    said = "It is taken back. The person reads your reason."
    return web.go("credits.person_credits", said=said, person_id=person_id)


def _managed_entry(visit: Visit, person_id: UUID, entry_id: UUID) -> CreditEntry:
    entry = queries.get_entry_of(visit.db, entry_id, person_id)
    get_managed_programme(visit.db, entry.programme_id, visit.session.context_id)
    _refuse_own(visit, person_id)
    return entry


def _refuse_own(visit: Visit, person_id: UUID) -> None:
    if visit.session.person_id == person_id:
        raise ConflictError(
            "own_credit", "This is credit of your own. Somebody else who manages the programme can change it."
        )


def _counting(visit: Visit) -> dict[str, Any]:
    plugins = visit.runtime.plugins
    return {"sinks": tuple(plugins.sinks.values()), "policies": plugins.policies}


@pages.get("/people/<uuid:person_id>/programmes/<uuid:programme_id>/adjust", role=Role.MANAGER)
def adjust_page(visit: Visit, person_id: UUID, programme_id: UUID) -> web.Answer:
    """Ask a manager how many minutes are added or taken off, and why."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    _refuse_own(visit, person_id)
    visit.note_access(person_id)
    return web.render(
        "credits/adjust.html",
        visit,
        person=queries.get_person_of_course(visit.db, person_id, visit.session.context_id),
        programme=programme,
        current="/manage",
    )


@pages.post(
    "/people/<uuid:person_id>/programmes/<uuid:programme_id>/adjust",
    role=Role.MANAGER,
    on_input_error=adjust_page,
)
def adjust(visit: Visit, person_id: UUID, programme_id: UUID) -> web.Answer:
    """Add minutes, or take some off."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    _refuse_own(visit, person_id)
    values = web.load_form(AdjustForm())
    minutes, reason = values["minutes"], values["reason"].strip()
    operations.adjust(
        visit.db, programme, person_id, minutes, visit.actor, reason, visit.now, **_counting(visit)
    )
    said = "It is written down. The person reads your reason."
    return web.go("credits.person_credits", said=said, person_id=person_id)


@pages.get("/programmes/<uuid:programme_id>/deliveries", role=Role.MANAGER)
def deliveries(visit: Visit, programme_id: UUID) -> web.Answer:
    """Show the manager what became of the course records of a programme."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    visit.note_access(programme_id=programme_id)
    counts, overdue = lists.count_deliveries(visit.db, programme_id, visit.now)
    wanted = web.load_query(DeliveriesQuery())
    chosen = [
        (place, group, count)
        for place, groups in counts.items()
        for group, count in groups.items()
        if wanted["sink"] in (None, place) and wanted["state"] in (None, group)
    ]
    last = max(1, -(-sum(count for _place, _group, count in chosen) // PAGE_SIZE))
    page = min(wanted["page"], last)
    places = [programme.context_id] if programme.context_id is not None else []
    return web.render(
        "credits/deliveries.html",
        visit,
        programme=programme,
        rows=lists.list_newest(
            visit.db,
            programme_id,
            place=wanted["sink"],
            group=wanted["state"],
            offset=(page - 1) * PAGE_SIZE,
            limit=PAGE_SIZE,
        ),
        counts=counts,
        wanted=wanted,
        page=page,
        last=last,
        groups=GROUPS,
        group_of=lists.GROUP_OF,
        place_of=lists.place_of,
        titles=_titles(visit),
        stuck=sum(groups[group] for groups in counts.values() for group in ("blocked", "needs_human")),
        overdue=overdue,
        shapes=[
            (shape.key, ANY_SYSTEM if shape.key == "generic" else shape.title) for shape in SHAPES.values()
        ],
        kinds=KINDS,
        systems=_systems(visit),
        course_brake=next(iter(brakes_of(visit.db, visit.now, places).values()), None),
        now=visit.now,
        compared=findings.compared(visit.db, programme),
        words_of=findings.words_of,
        zone=zone_of(visit.db, visit.session.person_id),
    )


@pages.download("/programmes/<uuid:programme_id>/deliveries.csv", role=Role.MANAGER)
def deliveries_file(visit: Visit, programme_id: UUID) -> web.Answer:
    """Give the whole list of deliveries as a CSV file."""
    get_managed_programme(visit.db, programme_id, visit.session.context_id)
    visit.note_access(programme_id=programme_id)
    file, titles = io.StringIO(), _titles(visit)
    writer = csv.writer(file)
    heading = "person,employee_number,where,percent,minutes,state,tries,sent_at_utc,message"
    writer.writerow(heading.split(","))
    for row, person in lists.list_newest(visit.db, programme_id):
        arrived = row.state == "delivered" and row.sent_timestamp
        sent = f"{row.sent_timestamp:%Y-%m-%dT%H:%M:%SZ}" if arrived else ""
        words = (person.display_name, person.employee_number or "", titles.get(lists.place_of(row), row.sink))
        value = [row.payload.get(name, "") for name in ("percent", "minutes")]
        told = spreadsheet_text(str(row.last_error or ""))
        group = lists.GROUP_OF[row.state]
        cells = [spreadsheet_text(word) for word in words]
        writer.writerow([*cells, *value, group, row.attempts, sent, told])
    return _csv(file.getvalue(), "deliveries.csv")


def _csv(content: str | bytes, name: str) -> web.Answer:
    answer = flask.make_response(content if isinstance(content, bytes) else "\ufeff" + content)
    answer.headers["Content-Type"] = "text/csv; charset=utf-8"
    answer.headers["Content-Disposition"] = f"attachment; filename={name}"
    return answer


@pages.download("/programmes/<uuid:programme_id>/credits.csv", role=Role.MANAGER)
def credits_file(visit: Visit, programme_id: UUID) -> web.Answer:
    """Give the programme's credits and completions as a file that a learning system imports."""
    get_managed_programme(visit.db, programme_id, visit.session.context_id)
    visit.note_access(programme_id=programme_id)
    shape = web.load_form(FileForm())["shape"]
    content, _left_out = exports.export_shape(visit.db, shape, programme_id=programme_id)
    return _csv(content, f"credits-{shape}.csv")


def _systems(visit: Visit) -> list[System]:
    """List the systems that are told each line of the ledger."""
    accounts = list_accounts(visit.db)
    brakes = brakes_of(visit.db, visit.now, [row.id for row in accounts])
    return [System(row, brakes.get(row.id)) for row in accounts]


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
