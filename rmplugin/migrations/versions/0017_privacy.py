"""Consents, who opened what about whom, how long the words of a programme are kept

Revision: 0017, after: 0012, made: 2026-11-26 11:00:00
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0017"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "consent",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("programme_id", sa.Uuid(), nullable=True),
        sa.Column("wording", sa.Integer(), nullable=False),
        sa.Column("given_at", UtcDateTime(), nullable=False),
        sa.Column("withdrawn_at", UtcDateTime(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_consent_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_consent_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    op.create_index("ix_consent_person", "consent", ["person_id", "purpose"])
    op.create_index(op.f("ix_consent_tenant_id"), "consent", ["tenant_id"])
    op.create_table(
        "access_entry",
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("page", sa.String(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("programme_id", sa.Uuid(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_access_entry_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["programme_id"],
            ["programme.id"],
            name=op.f("fk_access_entry_programme_id_programme"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_access_entry_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_entry")),
    )
    op.create_index("ix_access_entry_person", "access_entry", ["person_id", "at"])
    op.create_index(op.f("ix_access_entry_tenant_id"), "access_entry", ["tenant_id"])
    with op.batch_alter_table("programme") as batch:
        batch.add_column(sa.Column("keep_months", sa.Integer(), nullable=False, server_default="12"))
        batch.add_column(sa.Column("words_removed_at", UtcDateTime(), nullable=True))
        batch.create_check_constraint("keep_months", "keep_months between 0 and 120")
    with op.batch_alter_table("programme") as batch:
        batch.alter_column("keep_months", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("programme") as batch:
        batch.drop_constraint(op.f("ck_programme_keep_months"), type_="check")
        batch.drop_column("words_removed_at")
        batch.drop_column("keep_months")
    op.drop_table("access_entry")
    op.drop_table("consent")
