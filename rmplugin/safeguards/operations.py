"""Confidential help: name contacts, ask, follow."""

import uuid
from datetime import datetime

from rmplugin import audit, notify
from rmplugin.db import Db, Secrets
from rmplugin.errors import ConflictError, InputError
from rmplugin.matching.models import Pairing
from rmplugin.people.queries import find_working
from rmplugin.programmes.models import Programme
from rmplugin.safeguards import queries
from rmplugin.safeguards.models import ContactPerson, SafeguardCase


def add_contact(db: Db, programme: Programme, who: str, actor: str, now: datetime) -> ContactPerson:
    """Name a confidential contact of a programme.

    :param who: employee number or work address.
    :param actor: see `audit.AuditEntry`.
    :raises InputError: nobody at work, or more than one, has exactly this.
    :raises ConflictError: this person is one already.
    **Touches** writes contact_person, notice, audit_entry.
    """
    found = find_working(db, who)
    if len(found) != 1:
        raise InputError(
            "person_unclear",
            "Nobody was added. Nothing was lost.",
            {
                "who": "More than one person has this. Type the other: number or e-mail address."
                if found
                else "Nobody at work has exactly this employee number or e-mail address."
            },
        )
    (person,) = found
    if any(row.person_id == person.id for row, _ in queries.list_contacts(db, programme.id)):
        raise ConflictError("already_contact", "This person is a contact already. Nothing was changed.")
    contact = ContactPerson(programme_id=programme.id, person_id=person.id, created_at=now)
    db.add(contact)
    db.flush()
    text = "You are named as a confidential contact of a mentoring programme. See what that asks of you."
    notify.tell(db, person.id, "contact_named", text, now, "/help-requests")
    audit.record(db, actor, "contact_person.add", person.id, now, programme=str(programme.id))
    return contact


def remove_contact(db: Db, contact: ContactPerson, actor: str, now: datetime) -> None:
    """Let a contact go. Requests that they handle stay with them.

    **Touches** deletes contact_person; writes audit_entry.
    """
    audit.record(
        db, actor, "contact_person.remove", contact.person_id, now, programme=str(contact.programme_id)
    )
    db.delete(contact)


def ask_for_help(
    db: Db,
    secrets: Secrets,
    pairing: Pairing,
    person_id: uuid.UUID,
    contact_id: uuid.UUID,
    words: str,
    now: datetime,
    *,
    nameless: bool,
) -> SafeguardCase:
    """Ask a contact outside both reporting lines for help. Nobody else learns of it.

    :param secrets: encrypts the words.
    :param contact_id: the person to ask.
    :param nameless: the contact must not tell the programme team who asked.
    :raises InputError: the person is no contact whom these two can ask.
    **Touches** writes safeguard_case, notice.
    """
    if contact_id not in {person.id for person in queries.contacts_for(db, pairing)}:
        raise InputError(
            "no_contact",
            "Your words are still here.",
            {"contact": "Please choose one of the people who are listed now."},
        )
    case = SafeguardCase(
        pairing_id=pairing.id,
        reporter_id=person_id,
        handler_id=contact_id,
        words_locked=secrets.lock(words),
        nameless=nameless,
        state="open",
        created_at=now,
        updated_at=now,
    )
    db.add(case)
    db.flush()
    text = "Somebody asks you for confidential help. Only you can read it."
    notify.tell(db, contact_id, "help_asked", text, now, f"/help-requests/{case.id}")
    return case


def move_case(db: Db, case: SafeguardCase, state: str, now: datetime) -> None:
    """Say how far a request is; who asked is told that there is news, not what about.

    :param state: a code of `forms.STATES`.
    **Touches** writes safeguard_case, notice.
    """
    if case.state == state:
        return
    case.state, case.updated_at = state, now
    text = "There is news about something that you asked for."
    notify.tell(db, case.reporter_id, "help_news", text, now, f"/pairings/{case.pairing_id}/help")
