"""Who the LMS users are: what launches and courses' rosters say of them, linked to the HR roster's people.

Issuer and sub are a user's only key. The HR person is a link with a state, and every change of it is an
audit row. Launches and rosters walk through `link_users`, so both recognise people by the same rules.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update

from lti.nrps import Member
from lti.roles import Role, Roles
from rmplugin import audit
from rmplugin.db import Db, chunks
from rmplugin.jobs import enqueue
from rmplugin.logins import WebSession
from rmplugin.people.identity import Candidate, Sighting, hears, sighting_of_member
from rmplugin.people.models import CourseMember, LtiUser, Person
from rmplugin.people.queries import CAN_TAKE_PART
from rmplugin.tenants.models import LtiContext, LtiPlatform

CHUNK = 1000
# What a candidate is compared with. Candidates of the last two are casefolded already.
COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "custom": Person.employee_number.expression,
    "sourcedid": Person.employee_number.expression,
    "org_defined_id": Person.employee_number.expression,
    "username": func.lower(Person.user_name),
    "email": Person.email_folded.expression,
}
BY_HAND = "by_hand"
# Problems of users who were linked and of whom the LMS says something else now; who they were is remembered.
DRIFTED = ("changed", "no_match")
STATUSES = ("Active", "Inactive", "Deleted")
TEACHER = Role("context", "Instructor")


class Link(NamedTuple):
    """Who an LMS user is; the fields are those of `models.LtiUser`."""

    state: str
    person_id: uuid.UUID | None = None
    source: str | None = None
    problem: str | None = None
    claimed_person_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the values of one user come to, before the other users are looked at.

    :param person_id: None when they name nobody, or more than one.
    :param problem: None when the person can be linked.
    """

    person_id: uuid.UUID | None
    source: str | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class _Known:
    """A person of the HR roster, as far as it matters here.

    :param has_reused_email: their address was somebody else's, whose account in the LMS may still have it.
    """

    id: uuid.UUID
    is_working: bool
    has_reused_email: bool


def link_users(
    db: Db, platform: LtiPlatform, sightings: Sequence[Sighting], now: datetime, *, actor: str | None = None
) -> dict[str, LtiUser]:
    """Find out which people of the HR roster some users of an LMS are.

    The sources are tried in the registration's order; the first whose value the HR roster knows decides.
    Nobody who was linked becomes somebody else by what an LMS says: that is a conflict, until the LMS says
    the old value again, the old person has left, or a manager decides.
    A person whom two users of the LMS claim is linked to neither of them, unless one was linked before: that
    link stays, the other user waits for somebody's decision. What a person decided by hand stays.

    :param sightings: one per user.
    :param actor: for the audit; None when the users launched themselves.
    :return: the users by their sub, linked or with the reason why not.
    **Touches** reads person; writes lti_user, audit_entry.
    """
    users = _remember_users(db, platform, sightings, lock=actor is None)
    wishes: dict[uuid.UUID, _Wish] = {}
    open_: list[tuple[Sighting, LtiUser]] = []
    for sighting in sightings:
        user = users[sighting.sub]
        wish = _standing_wish(sighting, user, platform.identity_sources)
        if wish is None:
            open_.append((sighting, user))
        else:
            wishes[user.id] = wish
    wishes |= _leavers(db, wishes)
    wishes |= _find_people(db, platform, open_)
    _settle(db, platform, list(users.values()), wishes, now, actor)
    return users


def _remember_users(
    db: Db, platform: LtiPlatform, sightings: Sequence[Sighting], *, lock: bool
) -> dict[str, LtiUser]:
    users: dict[str, LtiUser] = {}
    for subs in chunks((sighting.sub for sighting in sightings), CHUNK):
        query = select(LtiUser).where(LtiUser.platform_id == platform.id, LtiUser.sub.in_(subs))
        if lock:
            # Who launches is signed in as the person found here, which no manager may undo meanwhile.
            query = query.with_for_update(key_share=True)
        users |= {user.sub: user for user in db.scalars(query)}
    for sighting in sightings:
        if sighting.sub not in users:
            users[sighting.sub] = LtiUser(platform_id=platform.id, sub=sighting.sub, link_state="unlinked")
            db.add(users[sighting.sub])
        user = users[sighting.sub]
        # What is not sent takes nothing away: rosters often leave out what launches say, and the reverse.
        _set(user, name=sighting.name or user.name, email=sighting.email or user.email)
        _set(user, is_test=sighting.roles.is_test_user)
    db.flush()
    return users


def _standing_wish(sighting: Sighting, user: LtiUser, sources: Sequence[str]) -> _Wish | None:
    """Give what holds whatever the HR roster says now; None when the values have to be looked up."""
    claimed = user.person_id or user.claimed_person_id
    if user.is_test:
        return _Wish(None, None, None)
    if user.link_state == "revoked":
        return _Wish(None, None, "revoked")
    if user.link_source == BY_HAND and claimed:
        return _Wish(claimed, BY_HAND, None)
    found = claimed or user.link_state == "conflict"
    if found and not hears(sighting, user.link_source, sources):
        drifted = user.link_problem if user.link_problem in DRIFTED else None
        return _Wish(claimed, user.link_source, drifted if claimed else "conflict")
    if not sighting.candidates:
        return _Wish(None, None, user.link_problem or "no_hr_id")
    return None


def _leavers(db: Db, wishes: Mapping[uuid.UUID, _Wish]) -> dict[uuid.UUID, _Wish]:
    """Give the wishes that cannot be kept, because the person is no longer at work."""
    working = _working(db, (wish.person_id for wish in wishes.values() if wish.person_id))
    return {
        user_id: replace(wish, problem="not_working")
        for user_id, wish in wishes.items()
        if wish.person_id and wish.person_id not in working
    }


def _working(db: Db, person_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    people = _people_by(db, Person.id.expression, set(person_ids))
    return {known.id for _value, known in people if known.is_working}


def _people_by(db: Db, column: ColumnElement[Any], values: Iterable[Any]) -> Iterator[tuple[Any, _Known]]:
    working = CAN_TAKE_PART.label("working")
    counts = and_(Person.lifecycle != "tombstoned", Person.same_person_id.is_(None))
    for chunk in chunks(values, CHUNK):
        query = select(column.label("value"), Person.id, working, Person.email_reused)
        for row in db.execute(query.where(counts, column.in_(chunk))):
            yield row.value, _Known(row.id, bool(row.working), row.email_reused)


def _find_people(
    db: Db, platform: LtiPlatform, open_: Sequence[tuple[Sighting, LtiUser]]
) -> dict[uuid.UUID, _Wish]:
    """Look the candidates up, source by source, until each user has one that the HR roster knows."""
    wishes: dict[uuid.UUID, _Wish] = {}
    standing = {
        user.id: user.person_id or (user.claimed_person_id if user.link_problem in DRIFTED else None)
        for _sighting, user in open_
    }
    bound = _working(db, (person_id for person_id in standing.values() if person_id))
    for source in platform.identity_sources:
        left = [(s, user) for s, user in open_ if user.id not in wishes]
        wanted = {c.value for s, _user in left for c in s.candidates if c.source == source}
        if not wanted or source not in COLUMNS:
            continue
        people: dict[str, list[_Known]] = defaultdict(list)
        for value, known in _people_by(db, COLUMNS[source], wanted):
            people[value].append(known)
        shared: set[str] = set()
        if source == "email":
            reused = {value for value, found in people.items() if any(k.has_reused_email for k in found)}
            shared = _shared_addresses(db, platform, people) | reused
        for sighting, user in left:
            own = [c for c in sighting.candidates if c.source == source]
            before = standing[user.id]
            wish = _wish_of(own, people, before if before in bound else None, shared)
            if wish is not None:
                wishes[user.id] = wish
    return {
        user.id: wishes.get(user.id, _Wish(standing[user.id], None, "no_match")) for _sighting, user in open_
    }


def _wish_of(
    candidates: Sequence[Candidate],
    people: Mapping[str, Sequence[_Known]],
    before: uuid.UUID | None,
    shared: set[str],
) -> _Wish | None:
    """Give what the values of one source come to; None when they name nobody.

    :param before: who the user was found to be so far, if that person is still at work.
    """
    found = {known.id: known for candidate in candidates for known in people.get(candidate.value, ())}
    # Somebody who was hired again may stand in the roster twice; the record that is at work counts.
    fit = [known for known in found.values() if known.is_working] or list(found.values())
    if not fit:
        return None
    source = candidates[0].source
    if before in found:
        return _Wish(before, source, None)
    if before is not None:
        return _Wish(before, source, "changed")
    if len(fit) > 1 or any(c.value in shared for c in candidates if c.value in people):
        return _Wish(None, source, "conflict")
    return _Wish(fit[0].id, source, None if fit[0].is_working else "not_working")


def _shared_addresses(db: Db, platform: LtiPlatform, addresses: Iterable[str]) -> set[str]:
    """Give the addresses that more than one user of the platform has."""
    shared: set[str] = set()
    folded = func.lower(LtiUser.email)
    for chunk in chunks(addresses, CHUNK):
        query = select(folded).where(LtiUser.platform_id == platform.id, folded.in_(chunk))
        shared |= set(db.scalars(query.group_by(folded).having(func.count() > 1)))
    return shared


def _settle(
    db: Db,
    platform: LtiPlatform,
    users: Sequence[LtiUser],
    wishes: Mapping[uuid.UUID, _Wish],
    now: datetime,
    actor: str | None,
) -> None:
    """Give each person to the one user who claims them, and write down what changes."""
    decided = _decided_meanwhile(db, users, wishes)
    users = [user for user in users if user.id not in decided]
    # Of two who claim the same person at the same moment, the second waits and sees the first.
    new = (wishes[user.id].person_id for user in users if wishes[user.id].person_id != user.person_id)
    for chunk in chunks(sorted({person_id for person_id in new if person_id}), CHUNK):
        people = select(Person.id).where(Person.id.in_(chunk)).order_by(Person.id)
        db.execute(people.with_for_update(key_share=True))
    holders = _holders(db, platform, users, wishes)
    for user in users:
        wish = wishes[user.id]
        person_id, source, problem = wish.person_id, wish.source, wish.problem
        if problem is None and person_id is not None and holders.get(person_id) == user.id:
            link = Link("confirmed", person_id, source)
        elif problem in ("conflict", "changed") or (problem is None and person_id is not None):
            link = Link("conflict", None, source, problem or "conflict", person_id)
        elif problem == "no_match" or (problem == "not_working" and source == BY_HAND):
            link = Link("unlinked", None, source, problem, person_id)
        else:
            link = Link("revoked" if problem == "revoked" else "unlinked", None, None, problem)
        write_link(db, user, link, now, actor or f"lti_user:{user.id}")


def _decided_meanwhile(db: Db, users: Sequence[LtiUser], wishes: Mapping[uuid.UUID, _Wish]) -> set[uuid.UUID]:
    """Lock the users who may change, and give those about whom somebody decided since they were read.

    That decision stays; the next launch or reading starts from it.
    """
    read = {user.id: (user.link_state, user.person_id, user.link_source) for user in users}
    wished = {id_: (wish.person_id, wish.source, wish.problem) for id_, wish in wishes.items()}
    changing = {u.id for u in users if wished[u.id] != (u.person_id, u.link_source, u.link_problem)}
    decided = set()
    for chunk in chunks(sorted(changing), CHUNK):
        now = select(LtiUser.id, LtiUser.link_state, LtiUser.person_id, LtiUser.link_source)
        now = now.where(LtiUser.id.in_(chunk)).order_by(LtiUser.id).with_for_update(key_share=True)
        decided |= {user_id for user_id, *link in db.execute(now) if tuple(link) != read[user_id]}
    for user in users:
        if user.id in decided:
            db.refresh(user)
    return decided


def write_link(db: Db, user: LtiUser, link: Link, now: datetime, actor: str) -> None:
    """Write down who an LMS user is; a change of state or person is an audit row.

    :param actor: see `audit.AuditEntry`.
    **Touches** writes lti_user, audit_entry; deletes from web_session.
    """
    before = (user.link_state, user.person_id)
    _set(user, link_state=link.state, person_id=link.person_id, link_source=link.source)
    _set(user, link_problem=link.problem, claimed_person_id=link.claimed_person_id)
    if before[1] is not None and user.person_id != before[1]:
        # What was opened as somebody must not stay open for whoever it is now.
        db.execute(delete(WebSession).where(WebSession.lti_user_id == user.id))
    if (user.link_state, user.person_id) != before:
        subject = link.person_id or before[1] or link.claimed_person_id
        facts = {"state": link.state, "source": link.source, "problem": link.problem}
        audit.record(db, actor, "lti_user.link", subject, now, user=str(user.id), **facts)


def _holders(
    db: Db, platform: LtiPlatform, users: Sequence[LtiUser], wishes: Mapping[uuid.UUID, _Wish]
) -> dict[uuid.UUID, uuid.UUID]:
    """Tell who gets each wanted person: the only user who claims them, or else the one who had them before.

    :return: person -> user; a person whom several claim and nobody had is not in it.
    """
    claims: dict[uuid.UUID, set[uuid.UUID]] = defaultdict(set)
    before: dict[uuid.UUID, set[uuid.UUID]] = defaultdict(set)
    for user in users:
        person_id = wishes[user.id].person_id
        if person_id is None:
            continue
        claims[person_id].add(user.id)
        if user.person_id == person_id or wishes[user.id].source == BY_HAND:
            before[person_id].add(user.id)
    mine = {user.id for user in users}
    for chunk in chunks(claims, CHUNK):
        # Whoever claims somebody without holding them counts, too: a dispute ends by a person's decision.
        query = select(LtiUser.id, LtiUser.person_id, LtiUser.claimed_person_id).where(
            LtiUser.platform_id == platform.id,
            or_(LtiUser.person_id.in_(chunk), LtiUser.claimed_person_id.in_(chunk)),
        )
        for user_id, held, claimed in db.execute(query):
            person_id = held or claimed
            if user_id not in mine and person_id is not None:
                claims[person_id].add(user_id)
                if held is not None:
                    before[held].add(user_id)
    holders: dict[uuid.UUID, uuid.UUID] = {}
    for person_id, claimants in claims.items():
        fit = before[person_id] or claimants
        if len(fit) == 1:
            holders[person_id] = next(iter(fit))
    return holders


def record_members(
    db: Db,
    context: LtiContext,
    members: Sequence[Member],
    *,
    complete: bool,
    began_at: datetime,
    now: datetime,
) -> None:
    """Take in what an LMS says about the members of a course.

    A launch since the reading began knows better. A teacher by launch stays one until the next launch,
    because Moodle's rosters call teachers without editing rights learners.

    :param members: as read; somebody listed twice counts once, with all their roles.
    :param complete: everybody is listed, so that whoever is not has left the course.
    :param began_at: when the reading began.
    **Source** NRPS 2.0, section 2. **Touches** writes lti_user, course_member, audit_entry, outbox_event.
    """
    platform = db.get_one(LtiPlatform, context.platform_id)
    listed = _once_each(members)
    numbers, sources = platform.employee_number_params, platform.identity_sources
    sightings = [sighting_of_member(member, sources, numbers) for member in listed.values()]
    users = link_users(db, platform, sightings, now, actor="worker")
    query = select(CourseMember).where(CourseMember.context_id == context.id)
    known = {row.lti_user_id: row for row in db.scalars(query)}
    for sub, member in listed.items():
        row = known.pop(users[sub].id, None)
        if row is None:
            row = CourseMember(context_id=context.id, lti_user_id=users[sub].id, launch_sha256="", roles=[])
            db.add(row)
        _take_in(row, member, began_at)
    if complete:
        for row in known.values():
            if not _launched_since(row, began_at):
                row.status = "Deleted"
    db.flush()
    # Row by row, this alone would take longer than all the rest of a reading in which nobody changed.
    for chunk in chunks((users[sub].id for sub in listed), CHUNK):
        here = update(CourseMember).where(CourseMember.context_id == context.id)
        db.execute(
            here.where(CourseMember.lti_user_id.in_(chunk)).values(in_roster_at=now),
            execution_options={"synchronize_session": False},
        )
    # A result that waits for its place in this course may have one now.
    enqueue(db, "course_roster_read", now, context_id=str(context.id))


def _take_in(row: CourseMember, member: Member, began_at: datetime) -> None:
    if _launched_since(row, began_at):
        return
    _set(row, status=member.status if member.status in STATUSES else "Active")
    if row.last_launch_at is not None and TEACHER.name in row.roles and not member.roles.is_instructor:
        return
    is_learner = member.roles.is_learner and not member.roles.is_test_user
    _set(row, roles=sorted(member.roles.names("context")), is_learner=is_learner)


def _launched_since(row: CourseMember, moment: datetime) -> bool:
    return row.last_launch_at is not None and row.last_launch_at >= moment


def _once_each(members: Iterable[Member]) -> dict[str, Member]:
    listed: dict[str, Member] = {}
    for member in members:
        other = listed.get(member.user_id)
        listed[member.user_id] = member if other is None else _merged(other, member)
    return listed


def _merged(one: Member, other: Member) -> Member:
    """Make one of two entries of a user: platforms list somebody once per enrolment, or again with claims."""
    return replace(
        one,
        roles=Roles(one.roles.roles | other.roles.roles),
        status="Active" if "Active" in (one.status, other.status) else one.status,
        name=one.name or other.name,
        email=one.email or other.email,
        sourcedid=one.sourcedid or other.sourcedid,
        message=(*one.message, *other.message),
    )


def _set(row: CourseMember | LtiUser, **values: Any) -> None:
    """Set what is different: thousands of rows that were only touched would be written again."""
    for name, value in values.items():
        if getattr(row, name) != value:
            setattr(row, name, value)
