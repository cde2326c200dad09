"""Pages of notes and action items; those of one session are on its own page."""

from collections.abc import Iterable
from uuid import UUID

import flask

from rmplugin import web
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import get_pairing_of
from rmplugin.notes import forms, operations, queries
from rmplugin.notes.models import ActionItem, Note
from rmplugin.people.queries import display_names
from rmplugin.texts import Text
from rmplugin.web import Role, Visit

pages = web.Pages("notes", __name__)

REMOVED = Text("(removed, because its time was over)")


def words_of(visit: Visit, records: Iterable[Note | ActionItem]) -> dict[UUID, str]:
    """Decrypt notes and items that the visitor was found to be a reader of: id -> words.

    **Touches** pure.
    """
    unlock = visit.runtime.database.secrets.unlock
    locked = {row.id: row.body_locked if isinstance(row, Note) else row.text_locked for row in records}
    return {row_id: unlock(words) if words else REMOVED for row_id, words in locked.items()}


def outcomes_of(visit: Visit, items: Iterable[ActionItem]) -> dict[UUID, str]:
    """Decrypt what became of items: id -> words, "" for none. **Touches** pure."""
    unlock = visit.runtime.database.secrets.unlock
    return {item.id: unlock(item.outcome_locked) if item.outcome_locked else "" for item in items}


@pages.get("/pairings/<uuid:pairing_id>/notes", role=Role.PARTICIPANT)
def notes_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show all notes of a pairing that the visitor may read."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    notes = queries.notes_of_pairing(visit.db, pairing_id, visit.person_id)
    return _render(visit, "notes/notes.html", pairing, notes=notes, words=words_of(visit, notes))


@pages.get("/pairings/<uuid:pairing_id>/notes/download", role=Role.PARTICIPANT)
def download(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Give the visitor what they wrote themselves, as a text file."""
    get_pairing_of(visit.db, pairing_id, visit.person_id)
    mine = [
        note
        for note in queries.notes_of_pairing(visit.db, pairing_id, visit.person_id)
        if note.author_id == visit.person_id
    ]
    items = [item for item in queries.list_items(visit.db, pairing_id) if item.owner_id == visit.person_id]
    words = words_of(visit, [*mine, *items])
    lines = [f"{note.created_at.date()} {note.kind}\n{words[note.id]}\n" for note in reversed(mine)]
    lines += [f"{item.due_on} {item.kind} ({item.state})\n{words[item.id]}\n" for item in items]
    answer = flask.make_response("\n".join(lines))
    answer.headers["Content-Type"] = "text/plain; charset=utf-8"
    answer.headers["Content-Disposition"] = "attachment; filename=notes.txt"
    return answer


@pages.get("/notes/<uuid:note_id>", role=Role.PARTICIPANT)
def note_page(visit: Visit, note_id: UUID) -> web.Answer:
    """Show the form that changes a note of one's own."""
    note = queries.get_own_note(visit.db, note_id, visit.person_id)
    pairing = get_pairing_of(visit.db, note.pairing_id, visit.person_id)
    return _render(visit, "notes/note.html", pairing, note=note, body=words_of(visit, [note])[note.id])


@pages.post("/notes/<uuid:note_id>", role=Role.PARTICIPANT, on_input_error=note_page)
def change(visit: Visit, note_id: UUID) -> web.Answer:
    """Change a note of one's own."""
    note = queries.get_own_note(visit.db, note_id, visit.person_id)
    values = web.load_form(forms.NoteForm())
    secrets = visit.runtime.database.secrets
    operations.change_note(visit.db, secrets, note, visit.person_id, values, visit.now)
    return web.go("notes.notes_page", said="The note is changed.", pairing_id=note.pairing_id)


@pages.post("/notes/<uuid:note_id>/delete", role=Role.PARTICIPANT)
def delete(visit: Visit, note_id: UUID) -> web.Answer:
    """Delete a note of one's own."""
    note = queries.get_own_note(visit.db, note_id, visit.person_id)
    visit.db.delete(note)
    return web.go("notes.notes_page", said="The note is deleted.", pairing_id=note.pairing_id)


@pages.get("/pairings/<uuid:pairing_id>/actions", role=Role.PARTICIPANT)
def actions_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show what the two took on, and what became of it."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    items = queries.list_items(visit.db, pairing_id)
    return _render(
        visit,
        "notes/actions.html",
        pairing,
        items=items,
        words=words_of(visit, items),
        outcomes=outcomes_of(visit, items),
        kept={
            owner: queries.follow_through(
                [item for item in items if item.owner_id == owner], visit.now.date()
            )
            for owner in (pairing.mentor_id, pairing.mentee_id)
        },
        today=visit.now.date(),
        drop_reasons=forms.DROP_REASONS,
    )


@pages.post("/pairings/<uuid:pairing_id>/actions", role=Role.PARTICIPANT, on_input_error=actions_page)
def take_on(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Take something on that belongs to no session."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    values = web.load_form(forms.ItemForm())
    secrets = visit.runtime.database.secrets
    operations.take_on(visit.db, secrets, pairing, None, visit.person_id, values, visit.now)
    return web.go("notes.actions_page", said="It is written down.", pairing_id=pairing_id)


@pages.post("/action-items/<uuid:action_item_id>/done", role=Role.PARTICIPANT)
def finish(visit: Visit, action_item_id: UUID) -> web.Answer:
    """Say that an item of one's own is done."""
    item = queries.get_own_item(visit.db, action_item_id, visit.person_id)
    outcome = web.load_form(forms.DoneForm())["outcome"]
    operations.finish(visit.db, visit.runtime.database.secrets, item, visit.person_id, outcome, visit.now)
    return web.go("notes.actions_page", said="Well done. Your partner is told.", pairing_id=item.pairing_id)


@pages.post("/action-items/<uuid:action_item_id>/drop", role=Role.PARTICIPANT)
def drop(visit: Visit, action_item_id: UUID) -> web.Answer:
    """Drop an item of one's own."""
    item = queries.get_own_item(visit.db, action_item_id, visit.person_id)
    reason = web.load_form(forms.DropForm())["reason"]
    operations.drop(visit.db, item, visit.person_id, reason, visit.now)
    return web.go("notes.actions_page", said="It is dropped.", pairing_id=item.pairing_id)


def _render(visit: Visit, template: str, pairing: Pairing, **values: object) -> web.Answer:
    names = display_names(visit.db, {pairing.mentor_id, pairing.mentee_id})
    partner_id = pairing.partner_of(visit.person_id)
    return web.render(template, visit, pairing=pairing, names=names, partner_id=partner_id, **values)
