"""Lines of authority beside the reporting line

Revision: 0009, after: 0008, made: 2026-11-26 08:45:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "side_line",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("other_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("person_id <> other_id", name=op.f("ck_side_line_two_people")),
        sa.CheckConstraint("kind in ('dotted', 'appraisal', 'hr_partner')", name=op.f("ck_side_line_kind")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_side_line_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["other_id"], ["person.id"], name=op.f("fk_side_line_other_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_side_line_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_side_line")),
        sa.UniqueConstraint("person_id", "other_id", name=op.f("uq_side_line_person_id_other_id")),
    )
    op.create_index(op.f("ix_side_line_other_id"), "side_line", ["other_id"])
    op.create_index(op.f("ix_side_line_tenant_id"), "side_line", ["tenant_id"])


def downgrade() -> None:
    op.drop_table("side_line")
