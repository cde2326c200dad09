"""The life of a mail: claimed with a lease as part of a letter, answered, tried again or given up."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import itsdangerous
from sqlalchemy import Select, and_, or_, select

from rmplugin import languages
from rmplugin.db import Db, new_id
from rmplugin.errors import NotFoundError
from rmplugin.jobs import MOST_ATTEMPTS, wait_after
from rmplugin.mailing import letters, queries
from rmplugin.mailing.catalogue import KINDS, SERVICE, find_kind
from rmplugin.mailing.models import BlockedAddress, Mail
from rmplugin.notifiers import Letter, NotifierAnswer
from rmplugin.notify import Notice
from rmplugin.people.models import Person
from rmplugin.programmes.endorsements import signed
from rmplugin.texts import Text

LEASE = timedelta(minutes=5)
# A wrong clock at the mail server must not silence us for long.
LONGEST_ASKED_WAIT = timedelta(hours=6)
SAMPLE_NAME = "Kim"
SAMPLE_PROGRAMME = Text("Example programme")


@dataclass(frozen=True, slots=True)
class Post:
    """What is the same for all letters of an installation.

    :ivar public_url: as in the settings.
    :ivar secret_key: signs the links that open without a login.
    :ivar sender: address that letters come from.
    :ivar quirks_of: gives the dialect of a family of platforms.
    """

    public_url: str
    secret_key: str
    sender: str
    quirks_of: queries.QuirksOf

    def stop_url(self, tenant_id: uuid.UUID, person_id: uuid.UUID, groups: Sequence[str]) -> str | None:
        """Give the address that switches groups of mails off; None for none. **Touches** pure."""
        if not groups:
            return None
        token = _signer(self.secret_key).dumps([tenant_id.hex, person_id.hex, *groups])
        return f"{self.public_url}/mails/stop/{token}"

    def message_id(self, letter_id: uuid.UUID) -> str:
        """Give a letter's Message-ID, the same for each try. **Source** RFC 5322, 3.6.4. **Touches** pure."""
        return f"<{letter_id}@{urlsplit(self.public_url).hostname}>"


def read_stop_token(secret_key: str, token: str) -> tuple[uuid.UUID, uuid.UUID, list[str]]:
    """Read the signed part of an address that switches mails off.

    :return: tenant, person, groups.
    :raises NotFoundError: it is not from us.
    **Touches** pure.
    """
    try:
        tenant, person, *groups = _signer(secret_key).loads(token)
    except itsdangerous.BadSignature:
        raise NotFoundError from None
    return uuid.UUID(tenant), uuid.UUID(person), groups


def _signer(secret_key: str) -> itsdangerous.URLSafeSerializer:
    return itsdangerous.URLSafeSerializer(secret_key, salt="stop-mails")


@dataclass(frozen=True, slots=True)
class Claim:
    """A letter that this worker has until its lease ends.

    :ivar attempts: of the letter, this one included: an answer counts only for the try that it belongs to.
    """

    tenant_id: uuid.UUID
    letter_id: uuid.UUID
    attempts: int
    letter: Letter


def due(now: datetime) -> Select[uuid.UUID, uuid.UUID]:
    """Select tenant and id of the mails that are due, the longest waiting first. **Touches** pure."""
    ripe = or_(
        and_(Mail.state == "waiting", Mail.due_at <= now),
        and_(Mail.state == "sending", Mail.lease_until <= now),
    )
    return select(Mail.tenant_id, Mail.id).where(ripe).order_by(Mail.due_at, Mail.id)


def claim(db: Db, mail_id: uuid.UUID, post: Post, now: datetime) -> Claim | None:
    """Take the letter that a due mail goes in: with it go all that are due for the same person.

    What is in a letter is fixed before the first try, so that one that is sent twice is seen as the same.

    :return: None when another worker has it, or it is no longer needed.
    **Touches** writes mail; reads what `queries.reader_of` reads.
    """
    rows = _letter_of(db, mail_id, now)
    if not rows:
        return None
    first = rows[0]
    person = db.get(Person, first.person_id) if first.person_id else None
    rows = _needed(db, rows, person)
    if not rows:
        return None
    letter_id = first.letter_id or new_id()
    for row in rows:
        row.state, row.letter_id, row.lease_until = "sending", letter_id, now + LEASE
        row.attempts += 1
    letter = _write(db, rows, person, letter_id, post, now)
    return Claim(db.tenant_id, letter_id, first.attempts, letter)


def _letter_of(db: Db, mail_id: uuid.UUID, now: datetime) -> Sequence[Mail]:
    """Lock a due mail and what goes in the same letter."""
    ripe = due(now).whereclause
    assert ripe is not None
    query = select(Mail).where(ripe).order_by(Mail.id).with_for_update(skip_locked=True)
    query = query.execution_options(populate_existing=True)
    first = db.scalars(query.where(Mail.id == mail_id)).one_or_none()
    if first is None:
        return []
    if first.letter_id is not None:
        return db.scalars(query.where(Mail.letter_id == first.letter_id)).all()
    if first.person_id is None or first.invitation is not None or find_kind(first.kind).direct:
        return [first]
    together = (
        Mail.person_id == first.person_id,
        Mail.invitation.is_(None),
        Mail.letter_id.is_(None),
        Mail.kind.not_in([key for key, kind in KINDS.items() if kind.direct]),
    )
    return db.scalars(query.where(*together)).all()


def _needed(db: Db, rows: Sequence[Mail], person: Person | None) -> list[Mail]:
    """Drop what was read in the tool meanwhile, and what cannot or should not reach the person any more."""
    if rows[0].address is not None:
        return list(rows)
    reachable = person is not None and person.id in queries.reachable(db, [person.id])
    ways = queries.wishes_of(db, [person.id])[person.id].ways if person and reachable else {}
    noticed = select(Notice.id).where(
        Notice.id.in_([row.notice_id for row in rows if row.notice_id]), Notice.read_at.is_not(None)
    )
    read = set(db.scalars(noticed))
    needed = []
    for row in rows:
        # An invitation stays with whoever has an earlier one: `operations.invite` looked at that.
        wanted = row.invitation is not None or ways.get(find_kind(row.kind).group) != "off"
        if reachable and wanted and row.notice_id not in read:
            needed.append(row)
        else:
            row.state, row.invitation, row.lease_until = "dropped", None, None
    return needed


def _write(
    db: Db, rows: Sequence[Mail], person: Person | None, letter_id: uuid.UUID, post: Post, now: datetime
) -> Letter:
    first, kinds = rows[0], [row.kind for row in rows]
    if person is None:
        to, stop = first.address, None
        language = languages.first_translated([first.language])
        draft = sample(kinds[0], language, post)
    else:
        to, stop = person.email, post.stop_url(db.tenant_id, person.id, letters.groups_of(kinds))
        wishes = queries.wishes_of(db, [person.id])[person.id]
        reader = queries.reader_of(db, person, wishes, post.public_url, post.quirks_of)
        notice = db.get(Notice, first.notice_id) if find_kind(first.kind).direct else None
        if notice is not None and notice.path is not None:
            path = signed(notice.path, post.secret_key)
            reader = reader._replace(url=f"{post.public_url}{path}", in_lms=True)
        draft = letters.write(kinds, reader, stop)
    assert to is not None
    return Letter(
        message_id=post.message_id(letter_id),
        to=to,
        sender=post.sender,
        subject=draft.subject,
        text=draft.text,
        html=draft.html,
        unsubscribe_url=stop,
        invitation=first.invitation,
        method="CANCEL" if first.kind == "session_cancelled" else "REQUEST",
        written_at=first.created_at if first.attempts > 1 else now,
    )


def sample(kind: str, language: str, post: Post) -> letters.Draft:
    """Write a mail with sample names, for a preview or a test.

    **Touches** pure, but for the catalogues of translations.
    """
    programme = languages.translator(language)(SAMPLE_PROGRAMME)
    reader = letters.Reader(SAMPLE_NAME, language, programme, post.public_url, in_lms=True)
    stop = None if find_kind(kind).group == SERVICE else f"{post.public_url}/mails/stop/example"
    return letters.write([kind], reader, stop)


def record(db: Db, claimed: Claim, answer: NotifierAnswer, now: datetime) -> str | None:
    """Record what became of a letter.

    :return: the new state; None when it was taken over meanwhile, and the answer is of no use.
    **Touches** writes mail; may write blocked_address.
    """
    query = select(Mail).where(Mail.letter_id == claimed.letter_id, Mail.state == "sending")
    rows = db.scalars(query.order_by(Mail.id).with_for_update()).all()
    if not rows or rows[0].attempts != claimed.attempts:
        return None
    again = answer.outcome == "retry" and rows[0].attempts < MOST_ATTEMPTS
    state = "sent" if answer.outcome == "sent" else "waiting" if again else "failed"
    for row in rows:
        row.state, row.lease_until = state, None
        row.last_error = Text(answer.message_for_user) if answer.message_for_user else None
        if state == "sent":
            row.sent_at, row.invitation = now, None
        elif again:
            row.due_at = now + _pause(row, answer)
    person_id = rows[0].person_id
    if answer.outcome == "stopped" and person_id is not None:
        block(db, person_id, answer.message_for_user, now)
    return state


def _pause(row: Mail, answer: NotifierAnswer) -> timedelta:
    if answer.retry_after is not None:
        return min(timedelta(seconds=max(1.0, answer.retry_after)), LONGEST_ASKED_WAIT)
    return wait_after(row.attempts)


def block(db: Db, person_id: uuid.UUID, reason: str, now: datetime) -> None:
    """Send nothing to a person's address any more. **Touches** writes blocked_address."""
    person = db.get(Person, person_id)
    if person is None or person.email_folded is None:
        return
    row = db.scalars(select(BlockedAddress).where(BlockedAddress.person_id == person_id)).one_or_none()
    if row is None:
        row = BlockedAddress(person_id=person_id)
        db.add(row)
    row.email_folded, row.reason, row.blocked_at = person.email_folded, Text(reason), now
