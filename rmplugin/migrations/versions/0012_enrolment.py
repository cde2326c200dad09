"""Enrolment: ways in, waiting lists, endorsements, counted reasons, concerns, readiness, catalogues of skills

Revision: 0012, after: 0011, made: 2026-11-26 11:05:00
"""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

from rmplugin.db import UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

STATES = "'invited', 'started', {}'declined', 'withdrawn', 'completed'"
# Columns that existing rows need a value for: table -> column, type, value.
FILLED: dict[str, list[tuple[str, Any, Any]]] = {
    "programme": [("needs_endorsement", sa.Boolean(), sa.false())],
    "enrolment": [("source", sa.String(), "self")],
    "profile": [("interests", sa.JSON(), "[]"), ("topics", sa.JSON(), "{}")],
    "skill": [("scheme", sa.String(), "own")],
}
EMPTY: dict[str, list[tuple[str, Any]]] = {
    "programme": [
        ("sponsor_message", sa.String()),
        ("target_mentors", sa.Integer()),
        ("target_mentees", sa.Integer()),
        ("sign_up_until", sa.Date()),
        ("opened_at", UtcDateTime()),
    ],
    "enrolment": [
        ("nominated_by", sa.Uuid()),
        ("opened_at", UtcDateTime()),
        ("started_at", UtcDateTime()),
        ("paused_until", sa.Date()),
    ],
    "profile": [("closed_topics", sa.String())],
    "skill": [("code", sa.String())],
}
NEW = ("taster", "readiness_taken", "readiness", "concern", "public_answer", "endorsement", "stage_reason")


def _table(
    name: str,
    *columns: sa.Column[Any],
    parents: dict[str, str],
    indexes: tuple[str, ...] = (),
    more: tuple[sa.Constraint, ...] = (),
) -> None:
    """Make a table that belongs to a tenant; a parent that a row may outlive is set to null."""
    nullable = {column.name for column in columns if column.nullable}
    op.create_table(
        name,
        *columns,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        *(
            sa.ForeignKeyConstraint(
                [column],
                [f"{parent}.id"],
                name=op.f(f"fk_{name}_{column}_{parent}"),
                ondelete="SET NULL" if column in nullable else "CASCADE",
            )
            for column, parent in {**parents, "tenant_id": "tenant"}.items()
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
        *more,
    )
    for column in (*indexes, "tenant_id"):
        op.create_index(op.f(f"ix_{name}_{column}"), name, [column])


def _column(name: str, kind: sa.types.TypeEngine[Any], *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable)


def upgrade() -> None:
    _tables_of_programmes()
    _tables_of_signup()
    for table, columns in EMPTY.items():
        with op.batch_alter_table(table) as batch:
            for name, kind in columns:
                batch.add_column(sa.Column(name, kind, nullable=True))
            for name, kind, value in FILLED[table]:
                batch.add_column(sa.Column(name, kind, nullable=False, server_default=value))
    _keep_reasons()
    op.execute("UPDATE programme SET opened_at = created_at WHERE state <> 'draft'")
    op.execute("UPDATE enrolment SET source = 'invited' WHERE invited_at IS NOT NULL")
    op.execute("UPDATE enrolment SET started_at = submitted_at WHERE submitted_at IS NOT NULL")
    for table, filled in FILLED.items():
        with op.batch_alter_table(table) as batch:
            for name, _kind, _value in filled:
                batch.alter_column(name, server_default=None)
            if table == "skill":
                batch.create_unique_constraint(
                    op.f("uq_skill_tenant_id_scheme_code"), ["tenant_id", "scheme", "code"]
                )
            if table == "enrolment":
                _change_enrolment(batch)


def _change_enrolment(batch: BatchOperations) -> None:
    batch.drop_column("decline_reason")
    batch.drop_constraint(op.f("ck_enrolment_state"), type_="check")
    states = STATES.format("'endorsing', 'waitlisted', 'submitted', 'paused', ")
    batch.create_check_constraint(op.f("ck_enrolment_state"), f"state in ({states})")
    batch.create_check_constraint(
        op.f("ck_enrolment_source"), "source in ('invited', 'nominated', 'file', 'self')"
    )
    batch.create_check_constraint(
        op.f("ck_enrolment_paused"), "(state = 'paused') = (paused_until is not null)"
    )
    batch.create_foreign_key(
        op.f("fk_enrolment_nominated_by_person"), "person", ["nominated_by"], ["id"], ondelete="SET NULL"
    )
    batch.create_index(op.f("ix_enrolment_nominated_by"), ["nominated_by"])


def _keep_reasons() -> None:
    """Keep earlier reasons as what they are wanted for: counts, without persons."""
    connection = op.get_bind()
    old = sa.table(
        "enrolment",
        sa.column("tenant_id", sa.Uuid()),
        sa.column("programme_id", sa.Uuid()),
        sa.column("role"),
        sa.column("decline_reason"),
        sa.column("updated_at", UtcDateTime()),
    )
    new = sa.table(
        "stage_reason",
        sa.column("id", sa.Uuid()),
        sa.column("tenant_id", sa.Uuid()),
        sa.column("programme_id", sa.Uuid()),
        *map(sa.column, ("role", "stage", "reason")),
        sa.column("week", sa.Date()),
    )
    for row in connection.execute(sa.select(old).where(old.c.decline_reason.is_not(None))).all():
        day = (row.updated_at or datetime.now(UTC)).date()
        connection.execute(
            sa.insert(new).values(
                id=uuid.uuid4(),
                tenant_id=row.tenant_id,
                programme_id=row.programme_id,
                role=row.role,
                stage="invited",
                reason=row.decline_reason,
                week=day - timedelta(days=day.weekday()),
            )
        )


def _tables_of_programmes() -> None:
    _table(
        "stage_reason",
        _column("programme_id", sa.Uuid()),
        _column("role", sa.String()),
        _column("stage", sa.String()),
        _column("reason", sa.String()),
        _column("choice", sa.String(), nullable=True),
        _column("week", sa.Date()),
        parents={"programme_id": "programme"},
        indexes=("programme_id",),
        more=(sa.CheckConstraint("role in ('mentor', 'mentee')", name=op.f("ck_stage_reason_role")),),
    )
    _table(
        "endorsement",
        _column("enrolment_id", sa.Uuid()),
        _column("manager_id", sa.Uuid(), nullable=True),
        _column("token", sa.String(), nullable=True),
        _column("state", sa.String()),
        _column("reason", sa.String(), nullable=True),
        _column("reminders", sa.Integer()),
        _column("asked_at", UtcDateTime()),
        _column("answered_at", UtcDateTime(), nullable=True),
        parents={"enrolment_id": "enrolment", "manager_id": "person"},
        indexes=("manager_id",),
        more=(
            sa.CheckConstraint("state in ('asked', 'yes', 'not_now')", name=op.f("ck_endorsement_state")),
            sa.UniqueConstraint("enrolment_id", name=op.f("uq_endorsement_enrolment_id")),
            sa.UniqueConstraint("token", name=op.f("uq_endorsement_token")),
        ),
    )


def _tables_of_signup() -> None:
    _table(
        "public_answer",
        _column("programme_id", sa.Uuid()),
        _column("code", sa.String(), nullable=True),
        _column("question", sa.String()),
        _column("answer", sa.String()),
        _column("created_at", UtcDateTime()),
        _column("updated_at", UtcDateTime()),
        parents={"programme_id": "programme"},
        indexes=("programme_id",),
    )
    _table(
        "concern",
        _column("programme_id", sa.Uuid()),
        _column("code", sa.String()),
        _column("text", sa.String(), nullable=True),
        _column("month", sa.Date()),
        _column("answer_id", sa.Uuid(), nullable=True),
        parents={"programme_id": "programme", "answer_id": "public_answer"},
        indexes=("programme_id", "answer_id"),
    )
    _table(
        "readiness",
        _column("programme_id", sa.Uuid()),
        _column("is_open", sa.Boolean()),
        _column("people", sa.Integer()),
        _column("sums", sa.JSON()),
        _column("shown_people", sa.Integer()),
        _column("shown", sa.JSON()),
        parents={"programme_id": "programme"},
        more=(
            sa.UniqueConstraint("programme_id", name=op.f("uq_readiness_programme_id")),
            sa.CheckConstraint("people >= 0", name=op.f("ck_readiness_people")),
        ),
    )
    _table(
        "readiness_taken",
        _column("programme_id", sa.Uuid()),
        _column("lti_user_id", sa.Uuid()),
        parents={"programme_id": "programme", "lti_user_id": "lti_user"},
        indexes=("lti_user_id",),
        more=(
            sa.UniqueConstraint(
                "programme_id", "lti_user_id", name=op.f("uq_readiness_taken_programme_id_lti_user_id")
            ),
        ),
    )
    _table(
        "taster",
        _column("programme_id", sa.Uuid()),
        _column("starts_at", UtcDateTime()),
        _column("place", sa.String()),
        _column("created_at", UtcDateTime()),
        parents={"programme_id": "programme"},
        indexes=("programme_id",),
    )


def downgrade() -> None:
    # Whoever waits or pauses is not in the pool; the older code knows that as "started".
    op.execute(
        "UPDATE enrolment SET state = 'started', paused_until = NULL"
        " WHERE state in ('endorsing', 'waitlisted', 'paused')"
    )
    with op.batch_alter_table("enrolment") as batch:
        batch.drop_index(op.f("ix_enrolment_nominated_by"))
        batch.drop_constraint(op.f("fk_enrolment_nominated_by_person"), type_="foreignkey")
        for name in ("paused", "source", "state"):
            batch.drop_constraint(op.f(f"ck_enrolment_{name}"), type_="check")
        batch.create_check_constraint(
            op.f("ck_enrolment_state"), "state in (" + STATES.format("'submitted', ") + ")"
        )
        batch.add_column(sa.Column("decline_reason", sa.String(), nullable=True))
    with op.batch_alter_table("skill") as batch:
        batch.drop_constraint(op.f("uq_skill_tenant_id_scheme_code"), type_="unique")
    for table, columns in EMPTY.items():
        with op.batch_alter_table(table) as batch:
            for name in [column[0] for column in (*columns, *FILLED[table])]:
                batch.drop_column(name)
    for name in NEW:
        op.drop_table(name)
