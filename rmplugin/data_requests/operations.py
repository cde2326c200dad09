"""Erases people, and removes words whose time is over."""

import contextlib
import secrets as chance
import uuid
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, delete, inspect, select, union, update

from rmplugin import audit, notify
from rmplugin.data_requests.catalogue import HOLDINGS, Holding
from rmplugin.data_requests.queries import belongs_to, find_holding
from rmplugin.db import Db
from rmplugin.errors import ConflictError
from rmplugin.hris.models import NoticedPerson
from rmplugin.matching.ending import end_pairing
from rmplugin.matching.models import LIVE, Pairing, Proposal
from rmplugin.notify import Notice
from rmplugin.people.models import PSEUDONYM, Person, RosterFuture
from rmplugin.programmes.models import Enrolment
from rmplugin.scim.models import ScimResource
from rmplugin.texts import Text

# What stands in the place of the name, also in the partner's pages. Not a name that anybody bears.
ERASED = "(erased)"


def erase_person(db: Db, person: Person, actor: str, now: datetime) -> dict[str, int]:
    """Erase a person: what they wrote and said goes, credit entries stay under a pseudonym.

    Their pairs end without blame, and their partners are told as always. What two wrote together stays with
    the partner until the programme's time is over; words that this person wrote in it go.

    :return: table -> rows that were deleted or emptied.
    :raises ConflictError: the person was erased before.
    **Touches** every table of `catalogue.HOLDINGS`; the partners' notices, the rows of those whom the person
    leads; roster_future, noticed_person, scim_resource, audit_entry.
    """
    if person.is_erased:
        raise ConflictError("erased_before", "This person was erased before. Nothing was changed.")
    for pairing in _live_pairings(db, person.id):
        end_pairing(db, pairing, person.id, [], "leave", now)
    done: dict[str, int] = {}
    _forget_name(db, person)
    # What hangs on other rows goes before them.
    for holding in reversed(HOLDINGS):
        if holding.model is not Person and (count := _erase_rows(db, holding, person.id)):
            done[holding.model.__tablename__] = count
    db.execute(
        update(Enrolment)
        .where(Enrolment.person_id == person.id, Enrolment.state.not_in(("declined", "completed")))
        .values(state="withdrawn", paused_until=None, updated_at=now)
    )
    done |= _forget_sources(db, person)
    _make_pseudonym(person, now)
    audit.record(db, actor, "person.erase", person.id, now, rows=sum(done.values()))
    return done


def tell_exported(db: Db, person_id: uuid.UUID, actor: str, now: datetime) -> None:
    """Tell a person that somebody else was given the file of all their data: it holds what they wrote.

    :param actor: see `audit.AuditEntry`.
    **Touches** writes audit_entry, notice.
    """
    audit.record(db, actor, "person.export", person_id, now)
    text = (
        "An administrator was given a file with all your data, to answer a request. If you asked for "
        "nothing, ask whoever runs this tool at your company."
    )
    notify.tell(db, person_id, "privacy_export", text, now, "/my-data")


def _live_pairings(db: Db, person_id: uuid.UUID) -> list[Pairing]:
    mine = (Pairing.mentor_id == person_id) | (Pairing.mentee_id == person_id)
    return list(db.scalars(select(Pairing).where(mine, Pairing.state.in_(LIVE))))


def _forget_name(db: Db, person: Person) -> None:
    """Take a person's name from what others were told, and from whom HR says that they report to.

    That a pair has ended stays until the partner has read it: nobody else can tell them which one.
    """
    sides = [(model.mentor_id, model.mentee_id) for model in (Pairing, Proposal)]
    partners = union(
        *(select(theirs).where(mine == person.id) for pair in sides for mine, theirs in (pair, pair[::-1]))
    )
    for notice in db.scalars(select(Notice).where(Notice.person_id.in_(partners))):
        tells_the_end = notice.kind == "pairing_ended" and notice.read_at is None
        if not tells_the_end and person.display_name in Text(notice.text).values.values():
            db.delete(notice)
    unnamed = {"manager_key": None, "manager_email": None, "manager_name": None}
    # Without its digest, a row is written anew at the next reading, with whom HR names then.
    led = update(Person).where(Person.manager_id == person.id).values(unnamed | {"row_hash": ""})
    db.execute(led.execution_options(synchronize_session=False))


def _erase_rows(db: Db, holding: Holding, person_id: uuid.UUID) -> int:
    rows = belongs_to(holding, person_id, more=True)
    if holding.erase == "delete":
        found = db.execute(delete(holding.model).where(rows).execution_options(synchronize_session=False))
    elif holding.erase == "words":
        if holding.author:
            rows &= getattr(holding.model, holding.author) == person_id
        found = _blank(db, holding, rows)
    else:
        return 0
    return int(found.rowcount) if isinstance(found, CursorResult) else 0


def _blank(db: Db, holding: Holding, rows: Any) -> Any:
    query = update(holding.model).where(rows).values(dict(holding.words))
    return db.execute(query.execution_options(synchronize_session=False))


def _forget_sources(db: Db, person: Person) -> dict[str, int]:
    """Forget what HR systems still had to say about somebody, and what identity providers pushed."""
    done = {}
    of_provider = ScimResource.former_key == person.source_key
    with contextlib.suppress(ValueError):
        of_provider |= ScimResource.id == uuid.UUID(person.source_key)
    for model, theirs in (
        (RosterFuture, RosterFuture.source_key == person.source_key),
        (NoticedPerson, NoticedPerson.source_key == person.source_key),
        (ScimResource, of_provider),
    ):
        here = delete(model).where(model.account_id == person.account_id, theirs)
        found: Any = db.execute(here.execution_options(synchronize_session=False))
        if found.rowcount:
            done[model.__tablename__] = int(found.rowcount)
    return done


def _make_pseudonym(person: Person, now: datetime) -> None:
    """Leave of the row the id that the ledger needs, and what no column may be without."""
    keep = {"id", "tenant_id", "account_id", "created_at"}
    for column in inspect(Person).columns:
        if column.key not in keep and column.nullable:
            setattr(person, column.key, None)
    person.source_key = f"{PSEUDONYM}{chance.token_hex(16)}"
    person.row_hash, person.display_name = "erased", ERASED
    person.languages, person.skills, person.employments, person.former_emails = [], [], [], []
    person.manager_state, person.status, person.lifecycle = "none", "terminated", "tombstoned"
    person.updated_at = now


def remove_old_words(db: Db, programme_id: uuid.UUID, actor: str, now: datetime) -> int:
    """Remove what pairs of a programme wrote, because its time is over; states, dates and credits stay.

    :return: how many rows were emptied.
    **Touches** every table of `catalogue.HOLDINGS` that has words; programme, audit_entry.
    """
    emptied = 0
    for holding in HOLDINGS:
        if holding.fades:
            emptied += int(_blank(db, holding, _of_programme(holding, programme_id)).rowcount)
    audit.record(db, actor, "programme.words_removed", programme_id, now, rows=emptied)
    return emptied


def _of_programme(holding: Holding, programme_id: uuid.UUID) -> ColumnElement[bool]:
    """Say which rows of a table are of a programme: by its id, by its pairs, or by what they hang on."""
    model = holding.model
    if hasattr(model, "programme_id"):
        return cast("ColumnElement[bool]", model.programme_id == programme_id)
    if hasattr(model, "pairing_id"):
        pairings = select(Pairing.id).where(Pairing.programme_id == programme_id)
        return cast("ColumnElement[bool]", model.pairing_id.in_(pairings))
    assert holding.through is not None
    column, behind = holding.through
    rows = select(behind.id).where(_of_programme(find_holding(behind), programme_id))
    return cast("ColumnElement[bool]", getattr(model, column).in_(rows))
