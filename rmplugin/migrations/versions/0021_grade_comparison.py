"""What the last comparison of gradebooks with the ledger found

Revision: 0021, after: 0020, made: 2026-11-26 14:40:00
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "grade_comparison",
        sa.Column("platform_id", sa.Uuid(), nullable=False),
        sa.Column("people", sa.JSON(), nullable=False),
        sa.Column("compared_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["platform_id"],
            ["lti_platform.id"],
            name=op.f("fk_grade_comparison_platform_id_lti_platform"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenant.id"],
            name=op.f("fk_grade_comparison_tenant_id_tenant"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grade_comparison")),
        sa.UniqueConstraint("platform_id", name=op.f("uq_grade_comparison_platform_id")),
    )
    op.create_index(op.f("ix_grade_comparison_tenant_id"), "grade_comparison", ["tenant_id"])
    owners = {
        "comparison_id": "grade_comparison",
        "context_id": "lti_context",
        "programme_id": "programme",
        "person_id": "person",
        "tenant_id": "tenant",
    }
    op.create_table(
        "grade_difference",
        *(
            sa.Column(name, sa.Uuid(), nullable=name in ("programme_id", "person_id"))
            for name in ("comparison_id", "context_id", "programme_id", "person_id")
        ),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("repaired", sa.Boolean(), nullable=False),
        sa.Column("ours", sa.Integer(), nullable=True),
        sa.Column("theirs", sa.Double(), nullable=True),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        *(
            sa.ForeignKeyConstraint(
                [name], [f"{owner}.id"], name=op.f(f"fk_grade_difference_{name}_{owner}"), ondelete="CASCADE"
            )
            for name, owner in owners.items()
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grade_difference")),
        sa.CheckConstraint(
            "kind in ('overridden', 'left', 'ignored', 'column_gone', 'copied', 'unreadable', 'stranger', "
            "'stray_column', 'lost', 'stale', 'unsent')",
            name=op.f("ck_grade_difference_kind"),
        ),
    )
    for name in ("comparison_id", "person_id", "tenant_id"):
        op.create_index(op.f(f"ix_grade_difference_{name}"), "grade_difference", [name])


def downgrade() -> None:
    op.drop_table("grade_difference")
    op.drop_table("grade_comparison")
