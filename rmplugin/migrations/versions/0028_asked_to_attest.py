"""The desk finds the sessions that wait for the manager's word without reading all others

Revision: 0028, after: 0027, made: 2026-11-26 18:20:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    asked = sa.text("attest_asked_at is not null")
    op.create_index(
        "ix_mentoring_session_attest",
        "mentoring_session",
        ["tenant_id", "pairing_id"],
        sqlite_where=asked,
        postgresql_where=asked,
    )


def downgrade() -> None:
    op.drop_index("ix_mentoring_session_attest", table_name="mentoring_session")
