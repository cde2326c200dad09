"""Pairings can be paused or suspended, with the reason and since when

Revision: 0005, after: 0004, made: 2026-11-26 04:35:00
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _replace_index(where: str) -> None:
    op.drop_index("uq_pairing_active", table_name="pairing")
    op.create_index(
        "uq_pairing_active",
        "pairing",
        ["programme_id", "mentor_id", "mentee_id"],
        unique=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def upgrade() -> None:
    with op.batch_alter_table("pairing") as table:
        table.add_column(sa.Column("interruption", sa.String(), nullable=True))
        table.add_column(sa.Column("interrupted_at", UtcDateTime(), nullable=True))
        table.drop_constraint(op.f("ck_pairing_state"), type_="check")
        table.create_check_constraint(
            op.f("ck_pairing_state"), "state in ('active', 'paused', 'suspended', 'ended', 'completed')"
        )
        table.create_check_constraint(
            op.f("ck_pairing_interruption"),
            "interruption in ('not_at_work', 'reporting_line', 'line_gone')",
        )
        table.create_check_constraint(
            op.f("ck_pairing_interrupted"),
            "(state in ('active', 'ended', 'completed')) = (interruption is null)"
            " and (interruption is null) = (interrupted_at is null)",
        )
    _replace_index("state in ('active', 'paused', 'suspended')")


def downgrade() -> None:
    # What was interrupted went on before: the older code knows no other state in which nothing has ended.
    op.execute(
        "UPDATE pairing SET state = 'active', interruption = NULL, interrupted_at = NULL"
        " WHERE state in ('paused', 'suspended')"
    )
    with op.batch_alter_table("pairing") as table:
        for name in ("interrupted", "interruption", "state"):
            table.drop_constraint(op.f(f"ck_pairing_{name}"), type_="check")
        table.create_check_constraint(op.f("ck_pairing_state"), "state in ('active', 'ended', 'completed')")
        table.drop_column("interrupted_at")
        table.drop_column("interruption")
    _replace_index("state = 'active'")
