"""The line manager's yes to the weekly time: asked by one link that needs no login."""

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import itsdangerous
from sqlalchemy import ColumnElement, Select, func, select

from rmplugin import notify
from rmplugin.db import Db
from rmplugin.errors import ConflictError, NotFoundError
from rmplugin.people.models import Person
from rmplugin.programmes.forms import NOT_NOW_REASONS
from rmplugin.programmes.models import Endorsement, Enrolment, Programme
from rmplugin.texts import Text

KIND = "endorsement_asked"
PATH = "/endorse/"
# A manager is reminded after a week, and after another one; somebody can ask anew after as long.
REMIND_AFTER = timedelta(days=7)
MOST_REMINDERS = 2
TAKES_PEOPLE_IN = ("enrolling", "running")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to a line manager, with what it is about."""

    row: Endorsement
    enrolment: Enrolment
    programme: Programme
    person: Person

    @property
    def is_open(self) -> bool:
        """Tell whether the manager can still answer: not when the programme comes to its end."""
        is_asked = self.row.state == "asked" and self.enrolment.state == "endorsing"
        return is_asked and self.programme.state in TAKES_PEOPLE_IN


def find(db: Db, enrolment_id: uuid.UUID) -> Endorsement | None:
    """Find the question about an enrolment.

    **Touches** reads endorsement.
    """
    return db.scalars(select(Endorsement).where(Endorsement.enrolment_id == enrolment_id)).one_or_none()


def signed(path: str, secret_key: str) -> str:
    """Make the path of a notice one that can be opened: only that of a question to a manager needs it.

    What stands in the database opens no page; the signature is made when a mail or a page is.

    **Touches** pure.
    """
    return _signer(secret_key).sign(path).decode() if path.startswith(PATH) else path


def unsigned(link: str, secret_key: str) -> str:
    """Give the token in the last part of a signed path.

    :raises NotFoundError: it is not from us.
    **Touches** pure.
    """
    try:
        return _signer(secret_key).unsign(f"{PATH}{link}").decode().removeprefix(PATH)
    except itsdangerous.BadSignature as error:
        raise NotFoundError("question") from error


def _signer(secret_key: str) -> itsdangerous.Signer:
    return itsdangerous.Signer(secret_key, salt="endorsement")


def tenant_in(token: str) -> uuid.UUID:
    """Read from a token whose rows it is about.

    :raises NotFoundError: it is none of ours.
    **Touches** pure.
    """
    try:
        return uuid.UUID(hex=token.partition("-")[0])
    except ValueError as error:
        raise NotFoundError("question") from error


def get(db: Db, token: str) -> Asked:
    """Give what a token asks.

    :raises NotFoundError: there is no such token, or a newer one took its place.
    **Touches** reads endorsement, enrolment, programme, person.
    """
    return _load(db, db.scalars(select(Endorsement).where(Endorsement.token == token)).one_or_none())


def get_for_team(db: Db, programme_id: uuid.UUID, enrolment_id: uuid.UUID) -> Asked:
    """Give the question about somebody whom the roster gives no manager.

    :raises NotFoundError: there is none that the programme team may answer.
    **Touches** reads endorsement, enrolment, programme, person.
    """
    row = find(db, enrolment_id)
    asked = _load(db, row if row is not None and row.manager_id is None else None)
    if asked.programme.id != programme_id:
        raise NotFoundError("question")
    return asked


def _load(db: Db, row: Endorsement | None) -> Asked:
    if row is None:
        raise NotFoundError("question")
    enrolment = db.get_one(Enrolment, row.enrolment_id)
    programme = db.get_one(Programme, enrolment.programme_id)
    return Asked(row, enrolment, programme, db.get_one(Person, enrolment.person_id))


def ask(db: Db, programme: Programme, enrolment: Enrolment, now: datetime) -> bool:
    """Ask somebody's line manager, unless they have said yes already.

    Whom the roster gives no manager at work is left to the programme team.

    :return: whether they have said yes.
    **Touches** writes endorsement, notice.
    """
    row = find(db, enrolment.id)
    if row is not None and row.state == "yes":
        return True
    person = db.get_one(Person, enrolment.person_id)
    manager_id = _manager_of(db, person)
    if row is None:
        row = Endorsement(enrolment_id=enrolment.id, reminders=0)
        db.add(row)
    elif row.state == "asked" and row.manager_id == manager_id:
        return False
    _ask(db, row, programme, person, manager_id, now)
    return False


def _manager_of(db: Db, person: Person) -> uuid.UUID | None:
    """Give the line manager at work; None when the roster gives none."""
    manager = db.get(Person, person.manager_id) if person.manager_id else None
    return manager.id if manager is not None and manager.is_working else None


def _ask(
    db: Db,
    row: Endorsement,
    programme: Programme,
    person: Person,
    manager_id: uuid.UUID | None,
    now: datetime,
) -> None:
    if row.token:
        notify.take_back(db, [f"{PATH}{row.token}"], now)
    row.manager_id, row.state, row.reason = manager_id, "asked", None
    row.asked_at, row.answered_at, row.reminders = now, None, 0
    row.token = f"{db.tenant_id.hex}-{secrets.token_urlsafe(32)}" if manager_id else None
    db.flush()
    _tell_manager(db, row, programme, person, now)


def _tell_manager(db: Db, row: Endorsement, programme: Programme, person: Person, now: datetime) -> None:
    if row.manager_id is None:
        return
    text = Text(
        "%(name)s would like to take part in “%(programme)s”, %(minutes)s minutes of working time a week. "
        "Please say whether that is possible.",
        name=person.display_name,
        programme=programme.name,
        minutes=programme.allowance_minutes,
    )
    notify.tell(db, row.manager_id, KIND, text, now, f"{PATH}{row.token}")


def can_ask_again(row: Endorsement, now: datetime) -> bool:
    """Tell whether a week has passed since the manager was asked or answered. **Touches** pure."""
    return row.manager_id is not None and now - (row.answered_at or row.asked_at) >= REMIND_AFTER


def ask_again(db: Db, enrolment: Enrolment, now: datetime) -> None:
    """Ask the line manager anew, after a "not now" or a week without an answer.

    :raises ConflictError: the person waits for no manager, or it was asked less than a week ago.
    **Touches** writes endorsement, notice.
    """
    row = find(db, enrolment.id)
    if row is None or enrolment.state != "endorsing":
        raise ConflictError("not_endorsing", "You wait for nobody's yes, so there is nothing to ask.")
    if not can_ask_again(row, now):
        raise ConflictError(
            "asked_lately", "Your manager was asked or answered within the last week. Give them a few days."
        )
    programme = db.get_one(Programme, enrolment.programme_id)
    person = db.get_one(Person, enrolment.person_id)
    _ask(db, row, programme, person, _manager_of(db, person), now)


def answer(db: Db, asked: Asked, said: str, reason: str | None, now: datetime) -> None:
    """Keep the answer to a question, and tell the person.

    :param said: "yes" or "not_now".
    :param reason: key of `forms.NOT_NOW_REASONS`, kept with a "not now" only.
    :raises ConflictError: it was answered before, or the person left meanwhile.
    **Touches** writes endorsement, notice.
    """
    if not asked.is_open:
        raise ConflictError(
            "already_answered",
            "This was answered before, or is no longer asked. Nothing was changed.",
        )
    asked.row.state, asked.row.answered_at = said, now
    asked.row.reason = reason if said == "not_now" else None
    name = asked.programme.name
    if said == "yes":
        text = Text("Your time for “%(name)s” is agreed with your line manager.", name=name)
    elif reason is None:
        text = Text("Your line manager answered “not now” for “%(name)s”. See what you can do.", name=name)
    else:
        text = Text(
            "Your line manager answered “not now” for “%(name)s”: %(reason)s. See what you can do.",
            name=name,
            reason=NOT_NOW_REASONS[reason],
        )
    path = f"/enrol/{asked.programme.id}"
    notify.tell(db, asked.enrolment.person_id, "endorsement_answered", text, now, path)
    if asked.row.manager_id is not None:
        notify.take_back(db, [f"{PATH}{asked.row.token}"], now)


def take_back(db: Db, enrolment: Enrolment, now: datetime) -> None:
    """Ask no longer: the person left.

    **Touches** writes notice.
    """
    row = find(db, enrolment.id)
    if row is not None and row.state == "asked" and row.token:
        notify.take_back(db, [f"{PATH}{row.token}"], now)


def remind(db: Db, now: datetime) -> int:
    """Remind managers who have not answered for a week, twice at most; a new manager is asked instead.

    :return: how many.
    **Touches** writes endorsement, notice.
    """
    query = (
        select(Endorsement)
        .join(Enrolment, Enrolment.id == Endorsement.enrolment_id)
        .join(Programme, Programme.id == Enrolment.programme_id)
        .where(Endorsement.state == "asked", Enrolment.state == "endorsing")
        .where(
            Programme.state.in_(TAKES_PEOPLE_IN),
            Endorsement.manager_id.is_not(None),
            Endorsement.reminders < MOST_REMINDERS,
        )
        .where(Endorsement.asked_at <= now - REMIND_AFTER)
    )
    reminded = 0
    for row in db.scalars(query).all():
        if row.asked_at + (row.reminders + 1) * REMIND_AFTER > now:
            continue
        asked = _load(db, row)
        manager_id = _manager_of(db, asked.person)
        if manager_id == row.manager_id:
            row.reminders += 1
            _tell_manager(db, row, asked.programme, asked.person, now)
        else:
            _ask(db, row, asked.programme, asked.person, manager_id, now)
        reminded += 1
    return reminded


def without_manager(db: Db, programme_id: uuid.UUID) -> list[tuple[Enrolment, Person]]:
    """List who waits for a yes that only the programme team can give.

    **Touches** reads endorsement, enrolment, person.
    """
    query = select(Enrolment, Person).join(Endorsement, Endorsement.enrolment_id == Enrolment.id)
    query = query.join(Person, Person.id == Enrolment.person_id).where(*_without_manager(programme_id))
    return [(row[0], row[1]) for row in db.execute(query.order_by(Person.display_name, Person.id))]


def count_without_manager(programme_id: uuid.UUID) -> Select[int]:
    """Count what `without_manager` lists, as a part of a larger statement. **Touches** pure."""
    query = select(func.count(Enrolment.id)).join(Endorsement, Endorsement.enrolment_id == Enrolment.id)
    return query.where(*_without_manager(programme_id))


def _without_manager(programme_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return (
        Enrolment.programme_id == programme_id,
        Enrolment.state == "endorsing",
        Endorsement.manager_id.is_(None),
        Endorsement.state == "asked",
    )
