"""SQLite finds rows by what tells them apart, and not by the tenant, of which it mostly holds one

Revision: 0030, after: 0029, made: 2026-11-26 22:10:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

# Had none.
OTHERS = ("launch_attempt", "web_session")


def upgrade() -> None:
    for table in _tables():
        op.drop_index(f"ix_{table}_tenant_id", table_name=table)


def downgrade() -> None:
    for table in _tables():
        op.create_index(f"ix_{table}_tenant_id", table, ["tenant_id"])


def _tables() -> list[str]:
    """List what belongs to tenants, on SQLite; PostgreSQL keeps its indexes."""
    if op.get_bind().dialect.name != "sqlite":
        return []
    found = sa.inspect(op.get_bind())
    return [
        table
        for table in sorted(found.get_table_names())
        if table not in OTHERS and any(column["name"] == "tenant_id" for column in found.get_columns(table))
    ]
