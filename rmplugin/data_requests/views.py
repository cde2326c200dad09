"""Pages about what is held of a person: their own, and the administrator's for requests."""

import json
import uuid

import flask

from rmplugin import audit, web
from rmplugin.data_requests import operations, queries
from rmplugin.data_requests.forms import EraseForm, FindForm
from rmplugin.errors import InputError, NotFoundError
from rmplugin.people.consents import PURPOSES
from rmplugin.people.models import Person
from rmplugin.people.queries import find_person, zone_of
from rmplugin.texts import Text, texts
from rmplugin.web import Role, Visit

pages = web.Pages("data_requests", __name__)
# Pages about one person or pair that the programme team can open, for the person to read.
PAGE_NAMES = texts(
    {
        "checkins.care_page": "What you wanted the programme team to read",
        "credits.person_credits": "Your credits and how far you are",
        "credits.reverse_page": "Credit of yours, to take it back",
        "credits.adjust_page": "Your credit in a programme, to adjust it",
        "papers.person_papers": "Your certificates and badges, and whether they are valid",
        "papers.revoke_page": "A certificate of yours, to revoke it",
        "sessions.attest_page": "A session of you and your partner, to attest it",
        "hours.index_page": "How many hours fell out for you and your partner, and why",
        "sessions.attestations": "Sessions of you and your partner that one of you asked to attest",
        "matching.pair_page": "A proposal of you and somebody else, with its points and reasons",
        "data_requests.person_file": "The file with all your data, to answer a request",
    }
)


@pages.get("/my-data", role=Role.PARTICIPANT)
def my_data(visit: Visit) -> web.Answer:
    """Show a person what is held about them, what they agreed to, and who opened something."""
    return web.render(
        "data_requests/my_data.html",
        visit,
        held=queries.count_held(visit.db, visit.person_id),
        consents=queries.list_consents(visit.db, visit.person_id),
        purposes=PURPOSES,
        page_names=PAGE_NAMES,
        accesses=queries.list_accesses(visit.db, visit.person_id),
        zone=zone_of(visit.db, visit.person_id),
    )


@pages.download("/my-data/file", role=Role.PARTICIPANT)
def my_file(visit: Visit) -> web.Answer:
    """Give a person everything that is held about them, as a file."""
    me = visit.person_id
    visit.afterwards.append(lambda db: audit.record(db, visit.actor, "person.export", me, visit.now))
    return _file(visit, me)


@pages.get("/admin/people", role=Role.ADMINISTRATOR)
def find_page(visit: Visit) -> web.Answer:
    """Find a person for a request about their data."""
    asked = web.load_query(FindForm()).get("person", "")
    person = None
    if asked:
        try:
            person = find_person(visit.db, asked)
        except NotFoundError:
            person = None
    return web.render(
        "data_requests/find.html",
        visit,
        asked=asked,
        person=person,
        held=queries.count_held(visit.db, person.id) if person else [],
    )


@pages.get("/admin/people/<uuid:person_id>", role=Role.ADMINISTRATOR)
def person_page(visit: Visit, person_id: uuid.UUID) -> web.Answer:
    """Show the administrator how much is held about a person, and what can be done."""
    person = _get_person(visit, person_id)
    return web.render(
        "data_requests/find.html",
        visit,
        asked=person.employee_number or person.email or "",
        person=person,
        held=queries.count_held(visit.db, person.id),
    )


@pages.download("/admin/people/<uuid:person_id>/file", role=Role.ADMINISTRATOR)
def person_file(visit: Visit, person_id: uuid.UUID) -> web.Answer:
    """Give everything that is held about a person, as a file for them."""
    _get_person(visit, person_id)
    visit.note_access(person_id)
    visit.afterwards.append(lambda db: operations.tell_exported(db, person_id, visit.actor, visit.now))
    return _file(visit, person_id)


@pages.post("/admin/people/<uuid:person_id>/erase", role=Role.ADMINISTRATOR, on_input_error=person_page)
def erase(visit: Visit, person_id: uuid.UUID) -> web.Answer:
    """Erase a person, when their name was typed once more."""
    person = _get_person(visit, person_id)
    if web.load_form(EraseForm())["name"].casefold() != person.display_name.casefold():
        wrong = Text("This is not the name above. Nothing was erased.")
        raise InputError("other_name", wrong, {"name": wrong})
    done = operations.erase_person(visit.db, person, visit.actor, visit.now)
    said = Text("The person is erased; %(rows)s rows were removed or emptied.", rows=sum(done.values()))
    return web.go("data_requests.find_page", said=said)


def _get_person(visit: Visit, person_id: uuid.UUID) -> Person:
    person = visit.db.get(Person, person_id)
    if person is None:
        raise NotFoundError("person")
    return person


def _file(visit: Visit, person_id: uuid.UUID) -> web.Answer:
    document = queries.export_person(visit.db, visit.runtime.database.secrets, person_id, visit.now)
    answer = flask.make_response(json.dumps(document, indent=2, ensure_ascii=False))
    answer.headers["Content-Type"] = "application/json"
    answer.headers["Content-Disposition"] = 'attachment; filename="my-mentoring-data.json"'
    return answer
