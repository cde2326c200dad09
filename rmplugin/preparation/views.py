"""Pages of the preparation: modules, the guide to print, supervision groups; the manager's counts."""

import uuid
from typing import Any

from rmplugin import web
from rmplugin.errors import NotFoundError
from rmplugin.matching.queries import get_pairing_of
from rmplugin.people.queries import zone_of
from rmplugin.preparation import forms, operations, queries
from rmplugin.preparation.catalogue import BY_KEY, MODULES, Module
from rmplugin.preparation.models import SupervisionGroup
from rmplugin.programmes.answers import time_zones
from rmplugin.programmes.queries import find_enrolment, get_managed_programme, get_programme
from rmplugin.web import Role, Visit

pages = web.Pages("preparation", __name__)


@pages.get("/programmes/<uuid:programme_id>/preparation", role=Role.PARTICIPANT)
def overview(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show somebody how far they are, and the supervision groups that they can join."""
    programme = get_programme(visit.db, programme_id)
    enrolment = queries.get_enrolment(visit.db, programme_id, visit.person_id)
    rule = queries.rule_of(visit.db, programme_id)
    return web.render(
        "preparation/overview.html",
        visit,
        programme=programme,
        outlook=queries.outlook_of(visit.db, visit.person_id, enrolment.role),
        gate=rule is not None and rule.gate,
        groups=queries.list_groups(visit.db, programme_id, visit.now, enrolment.role, visit.person_id),
        zone=zone_of(visit.db, visit.person_id),
        current="/home",
    )


@pages.get("/pairings/<uuid:pairing_id>/preparation", role=Role.PARTICIPANT)
def of_pairing(visit: Visit, pairing_id: uuid.UUID) -> web.Answer:
    """Show the preparation for a pairing: that of its programme."""
    return overview(visit, get_pairing_of(visit.db, pairing_id, visit.person_id).programme_id)


def _readable(visit: Visit, programme_id: uuid.UUID) -> dict[str, Any]:
    """Give a programme to those who take part in it, and to those who manage it and only read."""
    person_id = visit.session.person_id
    if person_id is not None and find_enrolment(visit.db, programme_id, person_id) is not None:
        return {"programme": get_programme(visit.db, programme_id), "takes_part": True}
    if not visit.is_manager:
        raise NotFoundError("programme")
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    return {"programme": programme, "takes_part": False}


def _module(key: str) -> Module:
    if key not in BY_KEY:
        raise NotFoundError("page")
    return BY_KEY[key]


@pages.get("/programmes/<uuid:programme_id>/preparation/guide", role=Role.VISITOR)
def guide(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show the guide to the first session, which prints on one sheet."""
    return web.render("preparation/guide.html", visit, **_readable(visit, programme_id))


@pages.get("/programmes/<uuid:programme_id>/preparation/<key>", role=Role.VISITOR)
def module_page(visit: Visit, programme_id: uuid.UUID, key: str) -> web.Answer:
    """Show a module; when its question was answered, what each answer would have done."""
    module = _module(key)
    return web.render(
        f"preparation/modules/{module.key}.html",
        visit,
        module=module,
        answer=web.load_query(forms.AnswerQuery())["answer"],
        **_readable(visit, programme_id),
    )


@pages.post(
    "/programmes/<uuid:programme_id>/preparation/<key>", role=Role.PARTICIPANT, on_input_error=module_page
)
def practise(visit: Visit, programme_id: uuid.UUID, key: str) -> web.Answer:
    """Take an answer, keep none, and note that the module is done."""
    module = _module(key)
    queries.get_enrolment(visit.db, programme_id, visit.person_id)
    answer = web.load_form(forms.PracticeForm())["answer"]
    operations.finish(visit.db, visit.person_id, module.key, visit.now)
    said = "Done. Below you read what your answer does; it is not kept."
    return web.go("preparation.module_page", said, programme_id=programme_id, key=key, answer=answer)


@pages.post("/supervision/<uuid:supervision_group_id>/join", role=Role.PARTICIPANT)
def join(visit: Visit, supervision_group_id: uuid.UUID) -> web.Answer:
    """Take a seat in a supervision group."""
    group = queries.get_group(visit.db, supervision_group_id)
    operations.join(visit.db, group, visit.person_id, visit.now)
    said = "You have a seat. You are reminded the day before."
    return web.go("preparation.overview", said, programme_id=group.programme_id)


@pages.post("/supervision/<uuid:supervision_group_id>/leave", role=Role.PARTICIPANT)
def leave(visit: Visit, supervision_group_id: uuid.UUID) -> web.Answer:
    """Give one's seat back."""
    group = queries.get_group(visit.db, supervision_group_id)
    operations.leave(visit.db, group, visit.person_id)
    return web.go("preparation.overview", "Your seat is free again.", programme_id=group.programme_id)


@pages.get("/manage/programmes/<uuid:programme_id>/preparation", role=Role.MANAGER)
def manage(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show a manager counts, the gate, the reminder and the supervision groups."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    rule = queries.rule_of(visit.db, programme_id)
    return web.render(
        "preparation/manage.html",
        visit,
        programme=programme,
        rule=rule,
        counts=queries.count_done(visit.db, programme_id),
        modules=MODULES,
        groups=queries.list_groups(visit.db, programme_id, visit.now),
        zone=zone_of(visit.db, visit.session.person_id),
        zones=[(name, name) for name in time_zones()],
        current="/manage",
    )


@pages.post("/manage/programmes/<uuid:programme_id>/preparation/gate", role=Role.MANAGER)
def set_gate(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Say whether first sessions wait for the preparation."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    gate = web.load_form(forms.GateForm())["gate"]
    operations.set_gate(visit.db, programme, visit.actor, visit.now, gate=gate)
    said = "First sessions wait until both are ready." if gate else "First sessions wait for nobody now."
    return web.go("preparation.manage", said, programme_id=programme_id)


@pages.post("/manage/programmes/<uuid:programme_id>/preparation/remind", role=Role.MANAGER)
def remind(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Remind whoever is not ready."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    operations.remind(visit.db, programme, visit.actor, visit.now)
    return web.go("preparation.manage", "Whoever is not ready is reminded.", programme_id=programme_id)


@pages.post(
    "/manage/programmes/<uuid:programme_id>/preparation/groups", role=Role.MANAGER, on_input_error=manage
)
def plan_group(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Offer a supervision group."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    values = web.load_form(forms.GroupForm())
    operations.plan_group(visit.db, programme, values, visit.actor, visit.now)
    return web.go("preparation.manage", "The group is open.", programme_id=programme_id)


@pages.post("/manage/supervision/<uuid:supervision_group_id>/cancel", role=Role.MANAGER)
def cancel_group(visit: Visit, supervision_group_id: uuid.UUID) -> web.Answer:
    """Call a supervision group off."""
    group = _managed_group(visit, supervision_group_id)
    operations.cancel_group(visit.db, group, visit.actor, visit.now)
    said = "The group is called off. Those who joined are told."
    return web.go("preparation.manage", said, programme_id=group.programme_id)


def _managed_group(visit: Visit, group_id: uuid.UUID) -> SupervisionGroup:
    group = queries.get_group(visit.db, group_id)
    get_managed_programme(visit.db, group.programme_id, visit.session.context_id)
    return group
