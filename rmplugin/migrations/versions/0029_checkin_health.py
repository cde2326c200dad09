"""How all pairs are is read from an index alone

Revision: 0029, after: 0028, made: 2026-11-26 21:35:00
"""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_checkin_health", "checkin", ["pairing_id", "wave", "satisfaction", "tenant_id"])
    op.drop_index("ix_checkin_pairing_id", table_name="checkin")


def downgrade() -> None:
    op.create_index("ix_checkin_pairing_id", "checkin", ["pairing_id"])
    op.drop_index("ix_checkin_health", table_name="checkin")
