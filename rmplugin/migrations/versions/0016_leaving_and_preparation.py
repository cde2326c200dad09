"""Leaving well and preparation: several reasons of an end, thanks, modules, supervision groups

Revision: 0016, after: 0015, made: 2026-11-26 11:10:00
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

CLOSURE = sa.table(
    "closure",
    sa.column("id", sa.Uuid()),
    sa.column("reason", sa.String()),
    sa.column("reasons", sa.JSON()),
)
TABLES = (
    "thanks",
    "preparation_step",
    "preparation_rule",
    "supervision_group",
    "supervision_seat",
)


def upgrade() -> None:
    with op.batch_alter_table("closure") as table:
        table.add_column(sa.Column("reasons", sa.JSON(), nullable=False, server_default="[]"))
    for row in op.get_bind().execute(sa.select(CLOSURE.c.id, CLOSURE.c.reason)).all():
        if row.reason is not None:
            op.execute(CLOSURE.update().where(CLOSURE.c.id == row.id).values(reasons=[row.reason]))
    with op.batch_alter_table("closure") as table:
        table.alter_column("reasons", server_default=None)
        table.drop_column("reason")
    _leaving()
    _preparation()
    for name in TABLES:
        op.create_index(op.f(f"ix_{name}_tenant_id"), name, ["tenant_id"])


def _leaving() -> None:
    op.create_table(
        "thanks",
        sa.Column("pairing_id", sa.Uuid(), nullable=False),
        sa.Column("giver_id", sa.Uuid(), nullable=False),
        sa.Column("receiver_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("deliver_at", UtcDateTime(), nullable=False),
        sa.Column("delivered_at", UtcDateTime(), nullable=True),
        sa.Column("is_kept", sa.Boolean(), nullable=False),
        *_own("thanks"),
        sa.CheckConstraint("giver_id <> receiver_id", name=op.f("ck_thanks_two_people")),
        _key("thanks", "pairing_id", "pairing"),
        _key("thanks", "giver_id", "person"),
        _key("thanks", "receiver_id", "person"),
        sa.UniqueConstraint("pairing_id", "giver_id", name=op.f("uq_thanks_pairing_id_giver_id")),
    )
    op.create_index(op.f("ix_thanks_receiver_id"), "thanks", ["receiver_id"])


def _preparation() -> None:
    op.create_table(
        "preparation_step",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("module", sa.String(), nullable=False),
        sa.Column("done_at", UtcDateTime(), nullable=False),
        *_own("preparation_step"),
        _key("preparation_step", "person_id", "person"),
        sa.UniqueConstraint("person_id", "module", name=op.f("uq_preparation_step_person_id_module")),
    )
    op.create_table(
        "preparation_rule",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("gate", sa.Boolean(), nullable=False),
        sa.Column("reminded_at", UtcDateTime(), nullable=True),
        *_own("preparation_rule"),
        _key("preparation_rule", "programme_id", "programme"),
        sa.UniqueConstraint("programme_id", name=op.f("uq_preparation_rule_programme_id")),
    )
    op.create_table(
        "supervision_group",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("starts_at", UtcDateTime(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("link", sa.String(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("cancelled_at", UtcDateTime(), nullable=True),
        sa.Column("reminded_at", UtcDateTime(), nullable=True),
        *_own("supervision_group"),
        sa.CheckConstraint("role in ('mentor', 'mentee')", name=op.f("ck_supervision_group_role")),
        sa.CheckConstraint("capacity between 2 and 100", name=op.f("ck_supervision_group_capacity")),
        sa.CheckConstraint("minutes between 15 and 240", name=op.f("ck_supervision_group_minutes")),
        _key("supervision_group", "programme_id", "programme"),
    )
    op.create_index(op.f("ix_supervision_group_programme_id"), "supervision_group", ["programme_id"])
    op.create_table(
        "supervision_seat",
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("joined_at", UtcDateTime(), nullable=False),
        *_own("supervision_seat"),
        _key("supervision_seat", "group_id", "supervision_group"),
        _key("supervision_seat", "person_id", "person"),
        sa.UniqueConstraint("group_id", "person_id", name=op.f("uq_supervision_seat_group_id_person_id")),
    )
    op.create_index(op.f("ix_supervision_seat_person_id"), "supervision_seat", ["person_id"])


def _own(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        _key(table, "tenant_id", "tenant"),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
    ]


def _key(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{parent}")
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=name, ondelete="CASCADE")


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name)
    with op.batch_alter_table("closure") as table:
        table.add_column(sa.Column("reason", sa.String(), nullable=True))
    for row in op.get_bind().execute(sa.select(CLOSURE.c.id, CLOSURE.c.reasons)).all():
        if row.reasons:
            op.execute(CLOSURE.update().where(CLOSURE.c.id == row.id).values(reason=row.reasons[0]))
    with op.batch_alter_table("closure") as table:
        table.drop_column("reasons")
