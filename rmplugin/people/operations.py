"""What changes persons and who is who: the verbs of a roster run, and of managers who decide about links."""

import shlex
import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Table, bindparam, delete, insert, select, update

from rmplugin import audit, jobs
from rmplugin.db import Db, chunks
from rmplugin.errors import ConflictError, InputError
from rmplugin.logins import WebSession
from rmplugin.people import queries
from rmplugin.people.models import LtiUser, Person, RosterRun
from rmplugin.people.roster import STORED, Change, RunReport, Staging
from rmplugin.people.store import BY_HAND, Link, write_link
from rmplugin.tenants.models import HrAccount, LtiContext, Tenant

CHUNK = 2000
PERSON: Table = Person.__table__  # type: ignore[assignment]  # Declared as FromClause; it is a Table here.

# Brakes: a run that passes one of these is held. One person alone never holds a run, however small the firm.
LEAVING_PEOPLE, LEAVING_SHARE = 5, 0.20
SHRINK_SHARE = 0.10
EMAILS_SHARE = 0.10
MANAGERS_SHARE = 0.20
BLANKS_POINTS = 0.20
DUPLICATES_SHARE = 0.005


def begin_run(db: Db, account: HrAccount, mode: str, now: datetime) -> RosterRun:
    """Open a run. The caller holds the account's lock, so an open run of before was killed: it is closed.

    :param mode: "full" or "incremental".
    :return: the new run, status "running".
    **Touches** writes roster_run, hr_account.
    """
    db.execute(
        update(RosterRun)
        .where(RosterRun.account_id == account.id, RosterRun.status == "running")
        .values(
            status="failed",
            held_reason="The run was stopped before its end. Nobody was changed. Run it again.",
            finished_at=now,
        )
    )
    run = RosterRun(
        id=None, account_id=account.id, mode=mode, status="running", counts={}, skipped=[], notes={},
        held_reason=None, cursor=account.cursor, started_at=now, finished_at=None,
    )  # fmt: skip
    db.add(run)
    db.execute(update(HrAccount).where(HrAccount.id == account.id).values(running_since=now))
    db.flush()
    return run


def fail_run(db: Db, run_id: uuid.UUID, reason: str, finished_at: datetime) -> None:
    """Close a run that could not read its source; the account stays where it was.

    :param reason: what happened, that nobody was changed, what to do; no personal data.
    **Touches** writes roster_run, hr_account, outbox_event.
    """
    run = db.get_one(RosterRun, run_id)
    run.held_reason = reason
    _close(db, run, "failed", finished_at)


def preview_roster(db: Db, account: HrAccount, staging: Staging, *, everybody: bool) -> RunReport:
    """Say what a run would do.

    :param everybody: the source gave its whole roster.
    :return: counts; status "held" when the run would be held.
    **Touches** reads person, roster_run.
    """
    staging.add_known(queries.known_rows(db, account.id))
    change = staging.compare(everybody=everybody)
    report = _report(None, account, staging, change, everybody=everybody)
    brakes = find_brakes(change, _blanks_before(db, account.id), everybody=everybody)
    if brakes:
        report.status, report.held_reason = "held", held_sentence(account.name, brakes)
        report.notes["brakes"] = list(brakes)
    return report


def apply_roster(
    db: Db,
    run: RosterRun,
    staging: Staging,
    now: datetime,
    *,
    everybody: bool,
    accept_shrink: bool = False,
    actor: str = "command",
    finished_at: datetime | None = None,
) -> RunReport:
    """Make the account's persons equal to the staged roster, or hold the run and change nobody.

    :param run: from `begin_run`.
    :param everybody: the source gave its whole roster, so that absence means departure.
    :param accept_shrink: a person has looked and wants the change that a brake would hold.
    :param finished_at: None for `now`.
    **Touches** writes person, roster_run, hr_account, outbox_event, audit_entry, web_session.
    """
    account = db.get_one(HrAccount, run.account_id)
    report = preview_roster(db, account, staging, everybody=everybody)
    report.run_id, report.mode = str(run.id), run.mode
    run.notes, run.skipped, run.counts = report.notes, report.skipped, report.counts
    if report.status == "held" and not accept_shrink:
        run.held_reason = report.held_reason
        _close(db, run, "held", finished_at or now)
        return report
    if report.status == "held":
        run.shrink_accepted = True
        audit.record(
            db, actor, "roster_run.accept_shrink", run.id, now, brakes=report.notes["brakes"], **report.counts
        )
        report.status, report.held_reason = "complete", None
    _write_people(db, account.id, staging, now, everybody=everybody)
    _sign_out_leavers(db, account.id)
    run.cursor = account.cursor = report.cursor
    _close(db, run, "complete", finished_at or now)
    return report


def _report(
    run_id: str | None, account: HrAccount, staging: Staging, change: Change, *, everybody: bool
) -> RunReport:
    kinds = change.kinds
    return RunReport(
        run_id=run_id,
        status="complete",
        mode="full" if everybody else "incremental",
        seen=staging.seen,
        created=kinds.get("created", 0),
        updated=kinds.get("updated", 0),
        unchanged=kinds.get("unchanged", 0),
        deactivated=change.leaving,
        reactivated=kinds.get("reactivated", 0),
        skipped=staging.skipped,
        cursor=staging.cursor if staging.cursor is not None else account.cursor,
        notes={
            "blanks": {column: round(share, 4) for column, share in change.blanks.items()},
            "managers": staging.manager_states(),
            "unmapped_grades": staging.unmapped_grades(),
        },
    )


def _blanks_before(db: Db, account_id: uuid.UUID) -> Mapping[str, float]:
    last = queries.find_last_good_run(db, account_id)
    blanks: Mapping[str, float] = last.notes.get("blanks", {}) if last else {}
    return blanks


def find_brakes(change: Change, blanks_before: Mapping[str, float], *, everybody: bool) -> dict[str, str]:
    """Find what speaks against applying a roster without a person's word.

    :param blanks_before: share of empty cells per column in the last good run; empty before it.
    :return: what happened per brake, in plain words; empty when nothing does.
    **Touches** pure.
    """
    found: dict[str, str] = {}
    known = change.working_before
    rows = change.usable + change.duplicates
    if everybody and change.usable == 0:
        found["zero_rows"] = "The source listed nobody."
    elif everybody and change.leaving > max(LEAVING_PEOPLE, LEAVING_SHARE * known):
        found["leaving"] = (
            f"{change.leaving} of {known} people would leave ({_percent(change.leaving, known)})."
        )
    returning = change.kinds.get("reactivated", 0)
    if returning > max(LEAVING_PEOPLE, LEAVING_SHARE * known):
        # A source that forgets to say who has left brings all leavers back.
        found["returning"] = f"{returning} people who had left would be at work again."
    if everybody and change.usable and _over(known - change.working_after, known, SHRINK_SHARE):
        found["shrunk"] = f"The roster has {change.working_after} people at work; {known} were known before."
    if _over(change.emails[1], change.emails[0], EMAILS_SHARE):
        found["emails"] = f"{change.emails[1]} of {change.emails[0]} e-mail addresses would change."
    if _over(change.managers[1], change.managers[0], MANAGERS_SHARE):
        found["managers"] = f"{change.managers[1]} of {change.managers[0]} people would get another manager."
    if _over(change.duplicates, rows, DUPLICATES_SHARE):
        found["duplicates"] = f"{change.duplicates} of {rows} records have a key that another record has too."
    if everybody and change.usable > 1:
        emptier = [c for c, b in blanks_before.items() if change.blanks.get(c, b) - b > BLANKS_POINTS]
        if emptier:
            found["blanks"] = f"These columns are much emptier than before: {', '.join(sorted(emptier))}."
    return found


def _over(part: int, whole: int, share: float) -> bool:
    return part > 1 and part > share * whole


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "all"


def held_sentence(account_name: str, brakes: Mapping[str, str]) -> str:
    """Say why a run is held, that nobody was changed, and what to do. **Touches** pure."""
    return (
        f"{' '.join(brakes.values())} Nobody was changed. Check the source. If it is right, run "
        f"`rmplugin hris sync {shlex.quote(account_name)} --accept-shrink`."
    )


def _close(db: Db, run: RosterRun, status: str, finished_at: datetime) -> None:
    run.status, run.finished_at = status, finished_at
    db.execute(update(HrAccount).where(HrAccount.id == run.account_id).values(running_since=None))
    tenant = db.get_one(Tenant, db.tenant_id)
    jobs.enqueue(db, "roster_synced", finished_at, tenant_slug=tenant.slug, run_id=str(run.id), status=status)


def _write_people(db: Db, account_id: uuid.UUID, staging: Staging, now: datetime, *, everybody: bool) -> None:
    connection = db.connection()
    mine = (PERSON.c.tenant_id == db.tenant_id, PERSON.c.account_id == account_id)
    fixed = {"tenant_id": db.tenant_id, "account_id": account_id, "created_at": now}
    for rows in chunks(staging.rows(("created",)), CHUNK):
        connection.execute(insert(PERSON), [{**fixed, **_values(row, now)} for row in rows])
    names = [column for column in _values_columns() if column != "id"]
    change_one = (
        update(PERSON)
        .where(*mine, PERSON.c.id == bindparam("person_id"))
        .values({name: bindparam(f"new_{name}") for name in names})
    )
    for rows in chunks(staging.rows(("updated", "reactivated", "deactivated")), CHUNK):
        connection.execute(change_one, [_renamed(_values(row, now)) for row in rows])
    move_one = (
        update(PERSON)
        .where(*mine, PERSON.c.id == bindparam("person_id"))
        .values(manager_id=bindparam("boss"), manager_state=bindparam("state"), updated_at=now)
    )
    for rows in chunks(staging.moved(), CHUNK):
        connection.execute(
            move_one,
            [{"person_id": uuid.UUID(pid), "boss": _uuid(boss), "state": state} for pid, boss, state in rows],
        )
    for absent in chunks(staging.absent(), CHUNK):
        gone = PERSON.c.id.in_([uuid.UUID(pid) for pid in absent])
        connection.execute(update(PERSON).where(*mine, gone).values(lifecycle="tombstoned", updated_at=now))
    if everybody:
        connection.execute(update(PERSON).where(*mine, PERSON.c.lifecycle == "present").values(seen_at=now))
    # Objects that this session loaded before know nothing of the statements above; their own changes stay.
    db.flush()
    db.expire_all()


def _sign_out_leavers(db: Db, account_id: uuid.UUID) -> None:
    """End the open pages of people who are gone, because a launch of theirs would be refused, too."""
    gone = select(Person.id).where(Person.account_id == account_id, ~queries.CAN_TAKE_PART)
    db.execute(delete(WebSession).where(WebSession.person_id.in_(gone)))


def _values_columns() -> tuple[str, ...]:
    return ("id", "manager_id", "manager_state", "row_hash", *STORED, "lifecycle", "seen_at", "updated_at")


def _values(row: Sequence[Any], now: datetime) -> dict[str, Any]:
    values = dict(zip(_values_columns(), (*row, "present", now, now), strict=True))
    values["id"] = uuid.UUID(values["id"])
    values["manager_id"] = _uuid(values["manager_id"])
    values["languages"] = values["languages"].split()
    for name in ("hire_date", "termination_date"):
        if values[name] is not None:
            values[name] = date.fromisoformat(values[name])
    return values


def _renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"person_id" if name == "id" else f"new_{name}": value for name, value in values.items()}


def _uuid(text: str | None) -> uuid.UUID | None:
    return None if text is None else uuid.UUID(text)


def want_roster(db: Db, context: LtiContext, now: datetime) -> None:
    """Ask the worker to read the members of a course; asking twice is asking once.

    :raises InputError: the LMS told no address for it.
    **Touches** writes outbox_event.
    """
    if context.memberships_url is None:
        raise InputError(
            "roster_not_offered",
            "Your LMS offers no list of this course's members. Its administrator can switch on 'Names and "
            "Role Provisioning' for this tool; then open the activity again. Nothing was changed.",
        )
    waiting = queries.roster_event(db, context.id)
    if waiting is None:
        jobs.enqueue(db, queries.ROSTER_WANTED, now, context_id=str(context.id))
    elif waiting.attempts:
        # It failed before and waits for its next try, which somebody wants now.
        waiting.attempts, waiting.next_at = 0, now
        db.info["wake"] = True


def link_by_hand(
    db: Db, context_id: uuid.UUID, user: LtiUser, person: Person, actor: str, now: datetime
) -> None:
    """Say who an LMS user is, because a person decided it. No launch and no roster changes that.

    Another user of the LMS who was linked to the person, or claims to be them, loses that.

    :param context_id: the course whose manager decides.
    :raises ConflictError: the person has left, or the other user is in another manager's course.
    **Touches** writes lti_user, audit_entry, outbox_event; deletes web_session.
    """
    # Of two who decide at the same moment, the second waits and sees what the first one wrote. Everybody
    # locks users before persons.
    claimants = [user.id, *(other.id for other in queries.others_claiming(db, user, person))]
    locked = select(LtiUser).where(LtiUser.id.in_(claimants)).order_by(LtiUser.id).with_for_update()
    db.scalars(locked.execution_options(populate_existing=True)).all()
    person = db.get_one(Person, person.id, with_for_update={"key_share": True}, populate_existing=True)
    if not person.is_working:
        raise ConflictError(
            "person_left", "The staff list says that this person is not at work. Nothing was changed."
        )
    for other in queries.others_claiming(db, user, person):
        if other.person_id is not None and not queries.is_member(db, context_id, other.id):
            raise ConflictError(
                "linked_in_other_course",
                "This person is linked to another user of the LMS, who is not in this course. Whoever "
                "manages that user's course has to undo the link there first. Nothing was changed.",
            )
        _decide(db, other, Link("revoked", problem="revoked"), now, actor)
    _decide(db, user, Link("confirmed", person.id, BY_HAND), now, actor)
    # A result that waits for its place may have one now.
    jobs.enqueue(db, "member_seen", now, person_id=str(person.id))


def undo_link(db: Db, user: LtiUser, actor: str, now: datetime) -> None:
    """Say that an LMS user is nobody of the HR roster, until a person says otherwise.

    :raises ConflictError: that was decided before.
    **Touches** writes lti_user, audit_entry; deletes web_session.
    """
    db.refresh(user, with_for_update=True)
    if user.link_state == "revoked":
        raise ConflictError("already_undone", "This was decided before. Nothing was changed.")
    _decide(db, user, Link("revoked", problem="revoked"), now, actor)


def _decide(db: Db, user: LtiUser, link: Link, now: datetime, actor: str) -> None:
    """Write a link down and end the user's open sessions: they may show pages of whom the user is not."""
    write_link(db, user, link, now, actor)
    db.execute(delete(WebSession).where(WebSession.lti_user_id == user.id))
