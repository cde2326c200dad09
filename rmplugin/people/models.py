"""Persons, their profiles and skills, the LMS users that they are, and roster runs."""

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned, Told
from rmplugin.people.canonical import LEFT

# How many earlier work addresses of a person are remembered.
MOST_FORMER_EMAILS = 10


# With it begins the source key of whoever was erased.
PSEUDONYM = "erased:"


class Person(Base, TenantOwned):
    """A person as one HR account knows them. There is no birth date, on purpose.

    :ivar email: work address, domain lower-cased.
    :ivar email_folded: casefolded address for comparing.
    :ivar former_emails: casefolded addresses of before, newest first, `MOST_FORMER_EMAILS` at most.
    :ivar email_reused: somebody else had the address before, so that nobody is recognised by it.
    :ivar seniority_rank: 0..100 from the account's grade table; None when the grade is unmapped.
    :ivar manager_state: how the manager was found: none, resolved, unresolved, self, cycle.
    :ivar skills: names, as the source has them.
    :ivar employments: all of the source, as documents of `records.Employment`; [] when it has one.
    :ivar changes_on: the next local day on which a date of theirs makes a difference; None when none does.
    :ivar lifecycle: present in the source, missing from it for one complete reading, which may be the
        source's fault, so that they count as at work, or gone from it (tombstoned).
    :ivar missing_since: when a complete reading lacked them first; None unless missing.
    :ivar missing_runs: how many complete readings in a row have lacked them.
    :ivar same_person_id: the row of another account that stands for the same person, and counts instead of
        this one; None for most.
    :ivar kept_apart: somebody decided that this row is a person of its own.
    :ivar row_hash: digest of the record, so that an unchanged one costs nothing.
    """

    __tablename__ = "person"
    __table_args__ = (
        UniqueConstraint("account_id", "source_key"),
        Index("ix_person_tenant_employee_number", "tenant_id", "employee_number"),
        Index("ix_person_tenant_email_folded", "tenant_id", "email_folded"),
        CheckConstraint("lifecycle in ('present', 'missing', 'tombstoned')", name="lifecycle"),
        CheckConstraint("seniority_rank between 0 and 100", name="seniority_rank"),
    )
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hr_account.id", ondelete="CASCADE"))
    source_key: Mapped[str]
    employee_number: Mapped[str | None]
    user_name: Mapped[str | None]
    email: Mapped[str | None]
    email_folded: Mapped[str | None]
    former_emails: Mapped[list[str]] = mapped_column(default=list)
    email_reused: Mapped[bool] = mapped_column(default=False)
    given_name: Mapped[str | None]
    family_name: Mapped[str | None]
    preferred_name: Mapped[str | None]
    display_name: Mapped[str]
    job_title: Mapped[str | None]
    grade: Mapped[str | None]
    level: Mapped[str | None]
    seniority_rank: Mapped[int | None]
    department: Mapped[str | None]
    division: Mapped[str | None]
    cost_center: Mapped[str | None]
    legal_entity: Mapped[str | None]
    location: Mapped[str | None]
    city: Mapped[str | None]
    country: Mapped[str | None]
    time_zone: Mapped[str | None]
    manager_key: Mapped[str | None]
    manager_email: Mapped[str | None]
    manager_name: Mapped[str | None]
    manager_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("person.id", ondelete="SET NULL"), index=True
    )
    manager_state: Mapped[str] = mapped_column(default="none")
    employment_type: Mapped[str | None]
    status: Mapped[str]
    status_raw: Mapped[str | None]
    hire_date: Mapped[date | None]
    termination_date: Mapped[date | None]
    languages: Mapped[list[str]]
    skills: Mapped[list[str]] = mapped_column(default=list)
    employments: Mapped[list[Any]] = mapped_column(default=list)
    changes_on: Mapped[date | None] = mapped_column(index=True)
    lifecycle: Mapped[str] = mapped_column(default="present")
    missing_since: Mapped[datetime | None]
    missing_runs: Mapped[int] = mapped_column(default=0)
    same_person_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("person.id", ondelete="SET NULL"), index=True
    )
    kept_apart: Mapped[bool] = mapped_column(default=False)
    row_hash: Mapped[str]
    seen_at: Mapped[datetime]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @property
    def is_erased(self) -> bool:
        """Tell whether nothing says any more who this was; only the ledger still needs the row."""
        return self.source_key.startswith(PSEUDONYM)

    @property
    def has_left(self) -> bool:
        """Tell whether the roster no longer knows the person as employed."""
        return self.lifecycle == "tombstoned" or self.status in LEFT

    @property
    def is_working(self) -> bool:
        """Tell whether the person can take part: employed, not suspended, and no double of another row."""
        return not self.has_left and self.status != "suspended" and self.same_person_id is None


class Profile(Base, TenantOwned):
    """What a person says about themselves, kept apart from what HR says.

    :ivar languages: ISO 639-1 codes.
    :ivar work_days: Monday=0 .. Sunday=6.
    :ivar work_from_minute, work_to_minute: local minutes after midnight.
    :ivar time_zone: IANA name.
    :ivar interests: a few own words, shown to the partner.
    :ivar topics: key of a topic -> open, ask or closed; shown to the partner. What is missing is "ask".
    :ivar closed_topics: own words about what to leave out, shown to the partner.
    """

    __tablename__ = "profile"
    __table_args__ = (
        UniqueConstraint("person_id"),
        CheckConstraint("work_from_minute between 0 and 1439", name="work_from"),
        CheckConstraint("work_to_minute between 1 and 1440", name="work_to"),
        CheckConstraint("work_from_minute < work_to_minute", name="work_order"),
    )
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    languages: Mapped[list[str]]
    work_days: Mapped[list[Any]]
    work_from_minute: Mapped[int]
    work_to_minute: Mapped[int]
    time_zone: Mapped[str]
    interests: Mapped[list[str]] = mapped_column(default=list)
    topics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    closed_topics: Mapped[str | None]
    updated_at: Mapped[datetime]


class Skill(Base, TenantOwned):
    """A skill or perspective of the tenant's catalogue.

    :ivar kind: skill, or perspective (lived experience, newcomer's view).
    :ivar theme: organisation, outside_world, technology, leadership, people or general.
    :ivar scheme: whose catalogue it is from: own, esco, onet, or the name of a company's.
    :ivar code: its key there; None for our own.
    """

    __tablename__ = "skill"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        UniqueConstraint("tenant_id", "scheme", "code"),
        CheckConstraint("kind in ('skill', 'perspective')", name="kind"),
    )
    name: Mapped[str]
    kind: Mapped[str]
    theme: Mapped[str]
    scheme: Mapped[str] = mapped_column(default="own")
    code: Mapped[str | None]


class PersonSkill(Base, TenantOwned):
    """A skill that a person offers or wants.

    :ivar level: 0..4; offered: how well I know it, wanted: how far I want to get.
    :ivar priority: 1 (most wanted) .. 3; None for offers.
    """

    __tablename__ = "person_skill"
    __table_args__ = (
        UniqueConstraint("person_id", "skill_id", "direction"),
        CheckConstraint("direction in ('offered', 'wanted')", name="direction"),
        CheckConstraint("level between 0 and 4", name="level"),
        CheckConstraint("priority between 1 and 3", name="priority"),
    )
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    skill_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("skill.id", ondelete="CASCADE"))
    direction: Mapped[str]
    level: Mapped[int]
    priority: Mapped[int | None]


class LtiUser(Base, TenantOwned):
    """A user of an LMS. Issuer and sub are its only key; the HR person is a link with a state.

    :ivar link_state: unlinked (the manager is shown them), confirmed, conflict, revoked (a person undid the
        link; only a person makes a new one).
    :ivar link_source: what the link or the conflict was made from: a word of
        `records.IDENTITY_SOURCES`, or "by_hand"; None when there is neither.
    :ivar link_problem: why there is no link: no_hr_id, no_match, conflict, changed, not_working, revoked;
        None when linked, and for test users.
    :ivar claimed_person_id: whom the values point to that another user of the LMS sends, too, or whom a
        manager chose and who has left, or whom the user was linked to before the values changed; None when
        nobody in particular.
    :ivar is_test: the LMS' own test or preview user, who is nobody.
    :ivar last_launch_at: None for somebody who stands in a course's roster and has never opened the tool.
    """

    __tablename__ = "lti_user"
    __table_args__ = (
        UniqueConstraint("platform_id", "sub"),
        # With the tenant, so that PostgreSQL takes it also before it has looked at a table that just grew.
        Index("ix_lti_user_person_id", "person_id", "tenant_id"),
        CheckConstraint("link_state in ('unlinked', 'confirmed', 'conflict', 'revoked')", name="link_state"),
    )
    platform_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("lti_platform.id", ondelete="CASCADE"))
    sub: Mapped[str]
    person_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    claimed_person_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("person.id", ondelete="SET NULL"), index=True
    )
    link_state: Mapped[str] = mapped_column(default="unlinked")
    link_source: Mapped[str | None]
    link_problem: Mapped[str | None]
    name: Mapped[str | None]
    email: Mapped[str | None]
    is_test: Mapped[bool] = mapped_column(default=False)
    last_launch_at: Mapped[datetime | None]


class CourseMember(Base, TenantOwned):
    """An LMS user in a course, with the roles of the last launch there or of the course's roster.

    :ivar status: Active, Inactive or Deleted, as the course's roster says.
    :ivar in_roster_at: when the course's roster listed them last; None when it never did.

    :ivar graded_link_id: the link with a gradebook column that they launched last, else the first for which
        one could be made; None before one.
    :ivar launch_sha256: digest of what the last launch said; the same again soon need not be taken in again.
    """

    __tablename__ = "course_member"
    __table_args__ = (
        UniqueConstraint("context_id", "lti_user_id"),
        CheckConstraint("status in ('Active', 'Inactive', 'Deleted')", name="status"),
    )
    context_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("lti_context.id", ondelete="CASCADE"))
    lti_user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("lti_user.id", ondelete="CASCADE"), index=True)
    roles: Mapped[list[str]]
    is_learner: Mapped[bool]
    graded_link_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("lti_resource_link.id", ondelete="SET NULL")
    )
    launch_sha256: Mapped[str]
    status: Mapped[str] = mapped_column(default="Active")
    in_roster_at: Mapped[datetime | None]
    last_launch_at: Mapped[datetime | None]


class Consent(Base, TenantOwned):
    """A person agreed to something, for a purpose. Withdrawing does not undo what happened before.

    :ivar purpose: what it is for, a word of `consents.PURPOSES`.
    :ivar programme_id: None when it holds for all. No foreign key: programmes stand above people.
    :ivar wording: number of the words that were agreed to; older ones are in the history of the code.
    """

    __tablename__ = "consent"
    __table_args__ = (Index("ix_consent_person", "person_id", "purpose"),)
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    purpose: Mapped[str]
    programme_id: Mapped[uuid.UUID | None]
    wording: Mapped[int]
    given_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]


class SideLine(Base, TenantOwned):
    """A line of authority beside the reporting line, without a direction: the two never become a pair.

    :ivar kind: dotted (a second manager), appraisal (rates the other one, or decides about their pay),
        hr_partner (looks after the other one for HR).
    """

    __tablename__ = "side_line"
    __table_args__ = (
        UniqueConstraint("person_id", "other_id"),
        CheckConstraint("person_id <> other_id", name="two_people"),
        CheckConstraint("kind in ('dotted', 'appraisal', 'hr_partner')", name="kind"),
    )
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    other_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]


class RosterFuture(Base, TenantOwned):
    """What a source says of a person from a later day on. A later reading replaces it.

    :ivar effective_on: the first day on which it holds, where the person is.
    :ivar record: document of `records.EmployeeRecord`.
    """

    __tablename__ = "roster_future"
    __table_args__ = (UniqueConstraint("account_id", "source_key", "effective_on"),)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hr_account.id", ondelete="CASCADE"))
    source_key: Mapped[str]
    effective_on: Mapped[date] = mapped_column(index=True)
    record: Mapped[dict[str, Any]]


class RosterRun(Base, TenantOwned):
    """One reading of an HR account.

    :ivar mode: full, incremental, or dates when nothing was read and only days have come.
    :ivar status: running, complete, held, failed; dropped when somebody decided against a held one.
    :ivar notes: facts for an administrator; see `roster.RunReport.notes`.
    :ivar counts: seen, created, updated, unchanged, deactivated, reactivated.
    :ivar skipped: list of {"ref", "field", "reason"}.
    :ivar held_reason: what happened and what to do; None unless held or failed.
    """

    __tablename__ = "roster_run"
    __table_args__ = (
        CheckConstraint("status in ('running', 'complete', 'held', 'failed', 'dropped')", name="status"),
        Index("ix_roster_run_account_started", "account_id", "started_at"),
    )
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hr_account.id", ondelete="CASCADE"))
    mode: Mapped[str]
    status: Mapped[str]
    counts: Mapped[dict[str, Any]]
    skipped: Mapped[list[Any]]
    notes: Mapped[dict[str, Any]]
    held_reason: Mapped[str | None] = mapped_column(Told)
    cursor: Mapped[str | None]
    shrink_accepted: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
