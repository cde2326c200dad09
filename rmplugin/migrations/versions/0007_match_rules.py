"""Rule sets, wishes and reminders of the matching; who is left out has a table

Revision: 0007, after: 0006, made: 2026-11-26 07:45:00
"""

import uuid

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime, insert_rows
from rmplugin.texts import Text, unpack

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

RUN = sa.table(
    "match_run",
    sa.column("id", sa.Uuid()),
    sa.column("tenant_id", sa.Uuid()),
    sa.column("unmatched", sa.JSON()),
)
PERSON = sa.table("person", sa.column("id", sa.Uuid()))
LEFT_OUT = sa.Table(
    "match_left_out",
    sa.MetaData(),
    sa.Column("id", sa.Uuid()),
    sa.Column("tenant_id", sa.Uuid()),
    sa.Column("run_id", sa.Uuid()),
    sa.Column("person_id", sa.Uuid()),
    sa.Column("role", sa.String()),
    sa.Column("reason", sa.String()),
    sa.Column("details", sa.JSON()),
    sa.Column("told", sa.JSON()),
)


def _owned(table: str) -> list[sa.schema.SchemaItem]:
    """Give what every table of a tenant's rows has."""
    return [
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f(f"fk_{table}_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
    ]


def _points_to(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{other}")
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=name, ondelete="CASCADE")


def _index(table: str, *columns: str) -> None:
    for column in ("tenant_id", *columns):
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])


def upgrade() -> None:
    _make_rule_sets()
    _make_wishes()
    op.create_table(
        "match_left_out",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("told", sa.JSON(), nullable=False),
        *_owned("match_left_out"),
        _points_to("match_left_out", "run_id", "match_run"),
        _points_to("match_left_out", "person_id", "person"),
        sa.CheckConstraint("role in ('mentor', 'mentee')", name=op.f("ck_match_left_out_role")),
        sa.UniqueConstraint(
            "run_id", "role", "person_id", name=op.f("uq_match_left_out_run_id_role_person_id")
        ),
    )
    _index("match_left_out", "person_id")
    _move_to_rows()
    with op.batch_alter_table("match_run") as table:
        table.add_column(sa.Column("scope", sa.String(), nullable=False, server_default="all"))
        table.add_column(sa.Column("rule_set_id", sa.Uuid(), nullable=True))
        table.add_column(sa.Column("rule_set_version", sa.Integer(), nullable=True))
        table.drop_column("unmatched")
        table.create_check_constraint(op.f("ck_match_run_scope"), "scope in ('all', 'waiting')")
        table.create_foreign_key(
            op.f("fk_match_run_rule_set_id_match_rule_set"),
            "match_rule_set",
            ["rule_set_id"],
            ["id"],
            ondelete="SET NULL",
        )
        table.create_index(op.f("ix_match_run_rule_set_id"), ["rule_set_id"])
    with op.batch_alter_table("match_run") as table:
        table.alter_column("scope", server_default=None)
    with op.batch_alter_table("proposal") as table:
        table.add_column(sa.Column("remind_at", UtcDateTime(), nullable=True))
        table.add_column(sa.Column("reminded_at", UtcDateTime(), nullable=True))


def _make_rule_sets() -> None:
    op.create_table(
        "match_rule_set",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("weights", sa.JSON(), nullable=False),
        sa.Column("objective", sa.String(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("based_on", sa.Integer(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        *_owned("match_rule_set"),
        _points_to("match_rule_set", "programme_id", "programme"),
        sa.CheckConstraint("state in ('draft', 'live', 'retired')", name=op.f("ck_match_rule_set_state")),
        sa.UniqueConstraint("programme_id", "version", name=op.f("uq_match_rule_set_programme_id_version")),
    )
    _index("match_rule_set")
    op.create_index(
        "uq_match_rule_set_live",
        "match_rule_set",
        ["programme_id"],
        unique=True,
        sqlite_where=sa.text("state = 'live'"),
        postgresql_where=sa.text("state = 'live'"),
    )


def _make_wishes() -> None:
    op.create_table(
        "match_wish",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("other_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        *_owned("match_wish"),
        _points_to("match_wish", "programme_id", "programme"),
        _points_to("match_wish", "person_id", "person"),
        _points_to("match_wish", "other_id", "person"),
        sa.CheckConstraint("kind in ('avoid', 'prefer')", name=op.f("ck_match_wish_kind")),
        sa.CheckConstraint("(kind = 'prefer') = (rank is not null)", name=op.f("ck_match_wish_ranked")),
        sa.CheckConstraint("rank between 1 and 5", name=op.f("ck_match_wish_rank")),
        sa.UniqueConstraint(
            "programme_id",
            "person_id",
            "other_id",
            name=op.f("uq_match_wish_programme_id_person_id_other_id"),
        ),
    )
    _index("match_wish", "person_id", "other_id")


def _move_to_rows() -> None:
    """Make a row of each entry of the lists that the runs kept; of people who are gone nothing is kept."""
    connection = op.get_bind()
    people = set(connection.scalars(sa.select(PERSON.c.id)))
    for run in connection.execute(sa.select(RUN)).all():
        insert_rows(
            connection,
            LEFT_OUT,
            [
                {
                    "id": uuid.uuid4(),
                    "tenant_id": run.tenant_id,
                    "run_id": run.id,
                    "person_id": uuid.UUID(entry["person"]),
                    "role": entry["role"],
                    "reason": entry["reason"],
                    "details": entry["details"],
                    "told": entry.get("told") or [entry["sentence"], {}],
                }
                for entry in run.unmatched
                if uuid.UUID(entry["person"]) in people
            ],
        )


def downgrade() -> None:
    with op.batch_alter_table("proposal") as table:
        table.drop_column("reminded_at")
        table.drop_column("remind_at")
    with op.batch_alter_table("match_run") as table:
        table.add_column(sa.Column("unmatched", sa.JSON(), nullable=False, server_default="[]"))
        table.drop_index(op.f("ix_match_run_rule_set_id"))
        table.drop_constraint(op.f("fk_match_run_rule_set_id_match_rule_set"), type_="foreignkey")
        table.drop_constraint(op.f("ck_match_run_scope"), type_="check")
        for column in ("rule_set_version", "rule_set_id", "scope"):
            table.drop_column(column)
    with op.batch_alter_table("match_run") as table:
        table.alter_column("unmatched", server_default=None)
    _move_to_lists()
    for name in ("match_left_out", "match_wish", "match_rule_set"):
        op.drop_table(name)


def _move_to_lists() -> None:
    connection = op.get_bind()
    for run_id in connection.scalars(sa.select(RUN.c.id)).all():
        rows = connection.execute(sa.select(LEFT_OUT).where(LEFT_OUT.c.run_id == run_id)).all()
        entries = [
            {
                "person": str(row.person_id),
                "role": row.role,
                "reason": row.reason,
                "details": row.details,
                "sentence": str(Text(unpack(row.told))) if row.told else "",
                "told": row.told,
            }
            for row in rows
        ]
        connection.execute(sa.update(RUN).where(RUN.c.id == run_id).values(unmatched=entries))
