"""Pages of check-ins, and the manager's page of what follows from them."""

from uuid import UUID

from rmplugin import notify, web
from rmplugin.agreements.queries import current_agreement
from rmplugin.checkins import operations, queries
from rmplugin.checkins.forms import ITEMS, CheckinForm
from rmplugin.errors import NotFoundError
from rmplugin.matching.queries import get_pairing_of
from rmplugin.people.queries import display_names, zone_of
from rmplugin.privacy import LEAST_FOR_MEAN
from rmplugin.programmes.queries import get_managed_programme
from rmplugin.web import Role, Visit

pages = web.Pages("checkins", __name__)
# Of the pairs that need a word; the others follow when these are done.
TASKS_SHOWN = 25


@pages.get("/pairings/<uuid:pairing_id>/checkin", role=Role.PARTICIPANT)
def checkin_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show the check-in that is due, and one's own earlier answers."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    unlock = visit.runtime.database.secrets.unlock
    earlier = [
        (checkin, unlock(checkin.words_locked) if checkin.words_locked else "")
        for checkin in queries.own_checkins(visit.db, pairing_id, visit.person_id)
    ]
    return web.render(
        "checkins/checkin.html",
        visit,
        pairing=pairing,
        wave=queries.due_checkin(visit.db, pairing, visit.person_id, visit.now),
        next_at=queries.next_wave_at(pairing, visit.now),
        earlier=earlier,
        items=ITEMS,
        zone=zone_of(visit.db, visit.person_id),
        in_force=current_agreement(visit.db, pairing_id),
    )


@pages.post("/pairings/<uuid:pairing_id>/checkin", role=Role.PARTICIPANT, on_input_error=checkin_page)
def answer(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Keep the answers."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    values = web.load_form(CheckinForm())
    operations.answer(visit.db, visit.runtime.database.secrets, pairing, visit.person_id, values, visit.now)
    said = "Thank you. Your answers are kept; your partner does not see them."
    return web.go("dashboard.pairing", said=said, pairing_id=pairing_id)


@pages.get("/programmes/<uuid:programme_id>/care", role=Role.MANAGER)
def care_page(visit: Visit, programme_id: UUID) -> web.Answer:
    """Show which pairs need a quiet word, what people wanted the team to read, and the programme's pulse."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    me = visit.session.person_id
    tasks = queries.open_tasks(visit.db, programme.id, me, TASKS_SHOWN)
    unlock = visit.runtime.database.secrets.unlock
    shared = [
        (row, unlock(row.words_locked))
        for row in queries.shared_words(visit.db, programme.id, me)
        if row.words_locked
    ]
    people = {person for _, pairing in tasks for person in (pairing.mentor_id, pairing.mentee_id)}
    writers = {row.person_id for row, _words in shared}
    # Who is on the list above is not told so: that would say what the other of the two answered.
    visit.note_access(*writers, programme_id=programme.id)
    return web.render(
        "checkins/care.html",
        visit,
        programme=programme,
        tasks=tasks,
        more=(visit.db.scalar(queries.count_open_tasks(programme.id, me)) or 0) - len(tasks),
        names=display_names(visit.db, people | writers),
        shared=shared,
        pulse=queries.pulse(visit.db, programme.id),
        items={name: ITEMS[name] for name in queries.REPORTED},
        roles=queries.ROLES,
        least=LEAST_FOR_MEAN,
    )


@pages.get("/quiet-words", role=Role.PARTICIPANT)
def quiet_words(visit: Visit) -> web.Answer:
    """Show a confidential contact the pairs that need a quiet word and have no manager outside.

    Whoever has looked need not be told any more.
    """
    me = visit.person_id
    if any(notice.path == operations.QUIET_WORDS for notice in notify.unread(visit.db, me)):
        visit.afterwards.append(lambda db: operations.note_seen(db, me, visit.now))
    tasks = queries.tasks_for_contact(visit.db, me)
    people = {person for _, pairing in tasks for person in (pairing.mentor_id, pairing.mentee_id)}
    names = display_names(visit.db, people)
    return web.render("checkins/quiet_words.html", visit, tasks=tasks, names=names)


@pages.post("/quiet-words/<uuid:task_id>/done", role=Role.PARTICIPANT)
def finish_quiet_word(visit: Visit, task_id: UUID) -> web.Answer:
    """Note that the contact has done it."""
    own = {task.id: task for task, _pairing in queries.tasks_for_contact(visit.db, visit.person_id)}
    if task_id not in own:
        raise NotFoundError("care task")
    operations.finish_task(visit.db, own[task_id], visit.actor, visit.now)
    return web.go("checkins.quiet_words", said="Noted as done.")


@pages.post("/care/<uuid:task_id>/done", role=Role.MANAGER)
def finish_task(visit: Visit, task_id: UUID) -> web.Answer:
    """Note that the coordinator has done it."""
    task, pairing = queries.get_task(visit.db, task_id)
    programme = get_managed_programme(visit.db, pairing.programme_id, visit.session.context_id)
    if pairing.role_of(visit.session.person_id):
        raise NotFoundError("care task")
    operations.finish_task(visit.db, task, visit.actor, visit.now)
    return web.go("checkins.care_page", said="Noted as done.", programme_id=programme.id)
