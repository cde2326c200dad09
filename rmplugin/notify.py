"""Notices that a person finds on their home page; kept until they are put away."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import Index, Table, select, update
from sqlalchemy import text as condition
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, Db, TenantOwned, Told, chunks, insert_rows, new_id
from rmplugin.errors import NotFoundError


class Notice(Base, TenantOwned):
    """A short text for one person.

    :ivar kind: stable word, e.g. "pairing_ended".
    :ivar text: plain words, without anything private of another person.
    :ivar path: page to go on to; None when there is none.
    :ivar to_mail: nobody has looked yet whether a mail goes with it.
    """

    __tablename__ = "notice"
    __table_args__ = (
        Index("ix_notice_person", "person_id", "read_at"),
        Index(
            "ix_notice_to_mail",
            "id",
            sqlite_where=condition("to_mail"),
            postgresql_where=condition("to_mail"),
        ),
    )
    person_id: Mapped[uuid.UUID]
    kind: Mapped[str]
    text: Mapped[str] = mapped_column(Told)
    path: Mapped[str | None]
    created_at: Mapped[datetime]
    read_at: Mapped[datetime | None]
    to_mail: Mapped[bool] = mapped_column(default=True)


NOTICE: Table = Notice.__table__  # type: ignore[assignment]  # Declared as FromClause; it is a Table here.


def tell(
    db: Db,
    person_id: uuid.UUID,
    kind: str,
    text: str,
    now: datetime,
    path: str | None = None,
    *,
    mail: bool = True,
) -> None:
    """Leave a notice for a person. An unread one of the same kind about the same page gives way to it.

    A mail may go with it, as the person wishes: the worker looks for notices of which none was made yet.

    :param mail: False when another mail says it already.
    **Touches** writes notice.
    """
    if path != "/home":
        same = (Notice.person_id == person_id, Notice.kind == kind, Notice.path == path)
        for older in db.scalars(select(Notice).where(*same, Notice.read_at.is_(None))):
            older.read_at = now
    db.add(Notice(person_id=person_id, kind=kind, text=text, path=path, created_at=now, to_mail=mail))
    db.info["wake"] = True


def tell_all(
    db: Db,
    kind: str,
    told: Collection[tuple[uuid.UUID, str, str | None]],
    now: datetime,
    about: Iterable[str],
) -> None:
    """Leave notices for many people in a few statements, however many they are.

    :param told: (person, text, page to go on to).
    :param about: pages about which everybody's unread notices of this kind give way.
    **Touches** writes notice.
    """
    take_back(db, about, now, kind)
    same = {"tenant_id": db.tenant_id, "kind": kind, "created_at": now, "read_at": None, "to_mail": True}
    rows = (
        {"id": new_id(), "person_id": person_id, "text": text, "path": path, **same}
        for person_id, text, path in told
    )
    insert_rows(db.connection(), NOTICE, rows)
    db.info["wake"] = True


def take_back(
    db: Db,
    paths: Iterable[str],
    now: datetime,
    kind: str | None = None,
    *,
    people: Collection[uuid.UUID] = (),
) -> None:
    """Put away everybody's notices about pages on which there is nothing left to do.

    :param kind: only notices of this kind; None for all.
    :param people: the few whose notices they can be, which are found faster; none of them: everybody's.
    **Touches** writes notice.
    """
    db.flush()
    for some in chunks(paths):
        query = update(Notice).where(Notice.path.in_(some), Notice.read_at.is_(None))
        query = query.where(Notice.kind == kind) if kind else query
        db.execute((query.where(Notice.person_id.in_(people)) if people else query).values(read_at=now))


def unread(db: Db, person_id: uuid.UUID) -> Sequence[Notice]:
    """List a person's notices that were not put away, oldest first.

    **Touches** reads notice.
    """
    query = select(Notice).where(Notice.person_id == person_id, Notice.read_at.is_(None))
    # Notices of one moment stand in the order in which they were written, which their ids follow.
    return db.scalars(query.order_by(Notice.created_at, Notice.id)).all()


def put_away(db: Db, person_id: uuid.UUID, notice_id: uuid.UUID, now: datetime) -> None:
    """Mark a notice as read; one that is read already changes nothing.

    :raises NotFoundError: the person has no such notice.
    **Touches** writes notice.
    """
    notice = db.get(Notice, notice_id)
    if notice is None or notice.person_id != person_id:
        raise NotFoundError("notice")
    notice.read_at = notice.read_at or now


def settle(db: Db, person_id: uuid.UUID, path: str, now: datetime) -> None:
    """Put away the notices that a person has acted on: those whose page, or a form below it, was sent.

    :param path: of the form, e.g. "/proposals/0190…/answer".
    **Touches** writes notice.
    """
    for notice in unread(db, person_id):
        if notice.path and notice.path != "/home" and f"{path}/".startswith(f"{notice.path}/"):
            notice.read_at = now
