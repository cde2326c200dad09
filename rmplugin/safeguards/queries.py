"""Reads about confidential help. A request is given to its handler and to who wrote it, to nobody else."""

import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Select, func, or_, select

from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.matching.models import Pairing
from rmplugin.people.models import Person
from rmplugin.people.queries import CAN_TAKE_PART
from rmplugin.people.reporting import reporting_map
from rmplugin.people.side_lines import side_lines
from rmplugin.privacy import Counts, safe_counts
from rmplugin.programmes.models import Programme
from rmplugin.safeguards.forms import STATES
from rmplugin.safeguards.models import ContactPerson, SafeguardCase
from rmplugin.texts import Text


def list_contacts(db: Db, programme_id: uuid.UUID) -> list[tuple[ContactPerson, Person]]:
    """List a programme's contacts who are at work, by name.

    **Touches** reads contact_person, person.
    """
    query = select(ContactPerson, Person).join(Person, Person.id == ContactPerson.person_id)
    query = query.where(ContactPerson.programme_id == programme_id, CAN_TAKE_PART)
    return [(row[0], row[1]) for row in db.execute(query.order_by(Person.display_name, Person.id))]


def count_contacts(programme_id: uuid.UUID) -> Select[int]:
    """Select how many contacts of a programme are at work. **Touches** nothing."""
    query = select(func.count(ContactPerson.id)).join(Person, Person.id == ContactPerson.person_id)
    return query.where(ContactPerson.programme_id == programme_id, CAN_TAKE_PART)


def desk_needs(programme: Programme, contacts: int) -> list[tuple[str, str, str]]:
    """Ask the manager for a contact while people take part and nobody is named: sentence, path, link text.

    :param contacts: how many are at work.
    **Touches** nothing.
    """
    if programme.state in ("draft", "archived") or contacts:
        return []
    told = Text("No confidential contact is named: who needs help has nobody to ask privately.")
    return [(told, f"/programmes/{programme.id}/contacts", Text("Name somebody"))]


def get_contact(db: Db, contact_id: uuid.UUID) -> ContactPerson:
    """Give a contact; the caller looks whether the programme is theirs.

    :raises NotFoundError: there is none.
    **Touches** reads contact_person.
    """
    contact = db.get(ContactPerson, contact_id)
    if contact is None:
        raise NotFoundError("contact")
    return contact


def contacts_for(db: Db, pairing: Pairing) -> list[Person]:
    """List the contacts whom the two of a pairing can turn to: those outside both reporting lines.

    **Touches** reads contact_person, person, side_line.
    """
    people = [person for _, person in list_contacts(db, pairing.programme_id)]
    barred = conflicted(db, pairing, {person.id for person in people})
    return [person for person in people if person.id not in barred]


def conflicted(db: Db, pairing: Pairing, contacts: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Name those contacts who are one of the two, or in the reporting line of one, above or below.

    The line counts at any depth; a second manager, an appraiser and an HR partner count as in the line.
    **Touches** reads person, side_line.
    """
    if not contacts:
        return set()
    both = {pairing.mentor_id, pairing.mentee_id}
    lines = reporting_map(db, both | set(contacts))
    beside = {frozenset(line) for line in side_lines(db, both)}
    above = {person: line_above(lines, person) for person in both | set(contacts)}
    return {
        contact
        for contact in contacts
        if contact in both
        or any(
            contact in above[one] or one in above[contact] or frozenset((one, contact)) in beside
            for one in both
        )
    }


def line_above(lines: Mapping[uuid.UUID, uuid.UUID], person: uuid.UUID) -> set[uuid.UUID]:
    """Give everybody above a person. :param lines: person -> manager. **Touches** pure."""
    found: set[uuid.UUID] = set()
    while person in lines and lines[person] not in found:
        person = lines[person]
        found.add(person)
    return found


def own_cases(db: Db, pairing_id: uuid.UUID, person_id: uuid.UUID) -> Sequence[SafeguardCase]:
    """List what a person has asked in a pairing, the newest first.

    **Touches** reads safeguard_case.
    """
    query = select(SafeguardCase).where(
        SafeguardCase.pairing_id == pairing_id, SafeguardCase.reporter_id == person_id
    )
    return db.scalars(query.order_by(SafeguardCase.created_at.desc(), SafeguardCase.id)).all()


def handled_cases(db: Db, person_id: uuid.UUID) -> list[tuple[SafeguardCase, Pairing]]:
    """List the requests that somebody handles and may still read, open ones first, then the newest first.

    **Touches** reads safeguard_case, pairing, person, side_line.
    """
    query = select(SafeguardCase, Pairing).join(Pairing, Pairing.id == SafeguardCase.pairing_id)
    query = query.where(SafeguardCase.handler_id == person_id)
    query = query.order_by(SafeguardCase.state == "closed", SafeguardCase.created_at.desc())
    rows = [(row[0], row[1]) for row in db.execute(query)]
    return [row for row in rows if row[0].state == "closed" or not conflicted(db, row[1], {person_id})]


def get_handled(db: Db, case_id: uuid.UUID, person_id: uuid.UUID) -> tuple[SafeguardCase, Pairing]:
    """Give a request to its handler, who must be outside both reporting lines today.

    :raises NotFoundError: there is none, it is somebody else's, or the handler is in a line now.
    **Touches** reads safeguard_case, pairing, person, side_line.
    """
    case = db.get(SafeguardCase, case_id)
    if case is None or case.handler_id != person_id:
        raise NotFoundError("request")
    pairing = db.get_one(Pairing, case.pairing_id)
    if conflicted(db, pairing, {person_id}):
        raise NotFoundError("request")
    return case, pairing


def count_cases(db: Db, programme_id: uuid.UUID) -> Counts[str]:
    """Count a programme's requests by state, for managers: small counts are hidden.

    **Touches** reads safeguard_case, pairing.
    """
    query = select(SafeguardCase.state, func.count()).join(Pairing, Pairing.id == SafeguardCase.pairing_id)
    query = query.where(Pairing.programme_id == programme_id).group_by(SafeguardCase.state)
    found = Counter({row[0]: row[1] for row in db.execute(query)})
    return safe_counts({state: found[state] for state in STATES})


def is_contact(db: Db, person_id: uuid.UUID) -> bool:
    """Tell whether somebody is a contact of any programme, or handles a request. **Touches** reads both."""
    named = select(ContactPerson.id).where(ContactPerson.person_id == person_id)
    handles = select(SafeguardCase.id).where(SafeguardCase.handler_id == person_id)
    return bool(db.scalar(select(or_(named.exists(), handles.exists()))))
