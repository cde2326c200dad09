"""Credit policies with their numbers, awards that follow a reversal, adjustments, sessions that lapse

Revision: 0018, after: 0017, made: 2026-11-26 15:00:00
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

SQLITE_TRIGGERS = [
    f"""CREATE TRIGGER credit_entry_no_{verb.lower()} BEFORE {verb} ON credit_entry
    BEGIN SELECT RAISE(ABORT, 'the credit ledger is append-only'); END"""
    for verb in ("UPDATE", "DELETE")
]
POSTGRESQL_TRIGGERS = [
    """CREATE TRIGGER credit_entry_append_only BEFORE UPDATE OR DELETE ON credit_entry
    FOR EACH ROW EXECUTE FUNCTION credit_entry_refuse()""",
]
STATES = "'scheduled', 'claimed', 'disputed', 'confirmed', 'cancelled'"
FIRST_AWARD = sa.text("kind = 'award' and follows_id is null")
ANY_AWARD = sa.text("kind = 'award'")


def _is_sqlite() -> bool:
    return bool(op.get_bind().dialect.name == "sqlite")


def _open_ledger() -> None:
    # SQLite drops triggers with the table, which is made anew below.
    if _is_sqlite():
        for verb in ("update", "delete"):
            op.execute(f"DROP TRIGGER credit_entry_no_{verb}")
    else:
        op.execute("DROP TRIGGER credit_entry_append_only ON credit_entry")


def _close_ledger() -> None:
    for statement in SQLITE_TRIGGERS if _is_sqlite() else POSTGRESQL_TRIGGERS:
        op.execute(statement)


def _index_awards(condition: sa.TextClause) -> None:
    op.create_index(
        "uq_credit_entry_award",
        "credit_entry",
        ["session_id", "person_id", "unit"],
        unique=True,
        sqlite_where=condition,
        postgresql_where=condition,
    )


def upgrade() -> None:
    _open_ledger()
    op.drop_index("uq_credit_entry_award", table_name="credit_entry")
    # One name for the unit, here and in what other systems are told.
    op.execute("UPDATE credit_entry SET unit = 'contact_hours' WHERE unit = 'contact_minutes'")
    with op.batch_alter_table("credit_entry") as batch:
        batch.add_column(sa.Column("rules", sa.JSON(), nullable=False, server_default="{}"))
        batch.add_column(sa.Column("follows_id", sa.Uuid(), nullable=True))
        batch.alter_column("pairing_id", existing_type=sa.Uuid(), nullable=True)
        batch.alter_column("session_id", existing_type=sa.Uuid(), nullable=True)
        batch.create_foreign_key(
            op.f("fk_credit_entry_follows_id_credit_entry"), "credit_entry", ["follows_id"], ["id"]
        )
        batch.create_unique_constraint(op.f("uq_credit_entry_follows_id"), ["follows_id"])
        batch.drop_constraint(op.f("ck_credit_entry_kind"), type_="check")
        batch.create_check_constraint("kind", "kind in ('adjustment', 'award', 'reversal')")
        batch.create_check_constraint("session", "(session_id is null) = (kind = 'adjustment')")
        batch.create_check_constraint("reversal", "(reverses_id is not null) = (kind = 'reversal')")
        batch.create_check_constraint("follows", "follows_id is null or kind = 'award'")
    with op.batch_alter_table("credit_entry") as batch:
        batch.alter_column("rules", server_default=None)
    _index_awards(FIRST_AWARD)
    _close_ledger()
    op.create_table(
        "credit_reason",
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"],
            ["credit_entry.id"],
            name=op.f("fk_credit_reason_entry_id_credit_entry"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_credit_reason_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_reason")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_credit_reason_entry_id")),
    )
    op.create_index(op.f("ix_credit_reason_tenant_id"), "credit_reason", ["tenant_id"])
    with op.batch_alter_table("completion") as batch:
        batch.add_column(sa.Column("policy", sa.String(), nullable=False, server_default=""))
        batch.add_column(sa.Column("targets", sa.JSON(), nullable=False, server_default="{}"))
        batch.add_column(sa.Column("through_entry_id", sa.Uuid(), nullable=True))
        batch.create_foreign_key(
            op.f("fk_completion_through_entry_id_credit_entry"), "credit_entry", ["through_entry_id"], ["id"]
        )
    with op.batch_alter_table("completion") as batch:
        batch.alter_column("policy", server_default=None)
        batch.alter_column("targets", server_default=None)
    numbers = {"min_days": "0", "min_reflections": "0", "preparation_percent": "0"}
    with op.batch_alter_table("programme") as batch:
        for name, value in numbers.items():
            batch.add_column(sa.Column(name, sa.Integer(), nullable=False, server_default=value))
        batch.add_column(sa.Column("policy", sa.String(), nullable=False, server_default="contact_hours"))
        batch.add_column(sa.Column("day_cap", sa.Integer(), nullable=True, server_default="600"))
        batch.add_column(sa.Column("programme_cap", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("year_cap", sa.Integer(), nullable=True))
        batch.create_check_constraint("preparation_percent", "preparation_percent between 0 and 25")
    with op.batch_alter_table("programme") as batch:
        for name in (*numbers, "policy", "day_cap"):
            batch.alter_column(name, server_default=None)
    with op.batch_alter_table("mentoring_session") as batch:
        batch.add_column(sa.Column("waits_since", UtcDateTime(), nullable=True))
        batch.add_column(sa.Column("reminders", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("attest_reason", sa.String(), nullable=True))
        batch.drop_constraint(op.f("ck_mentoring_session_state"), type_="check")
        batch.create_check_constraint("state", f"state in ({STATES}, 'lapsed')")
    with op.batch_alter_table("mentoring_session") as batch:
        batch.alter_column("reminders", server_default=None)
    op.execute("UPDATE mentoring_session SET waits_since = updated_at WHERE state IN ('claimed', 'disputed')")


def downgrade() -> None:
    op.execute("UPDATE mentoring_session SET state = 'claimed' WHERE state = 'lapsed'")
    with op.batch_alter_table("mentoring_session") as batch:
        batch.drop_constraint(op.f("ck_mentoring_session_state"), type_="check")
        batch.create_check_constraint("state", f"state in ({STATES})")
        for name in ("attest_reason", "reminders", "waits_since"):
            batch.drop_column(name)
    with op.batch_alter_table("programme") as batch:
        batch.drop_constraint(op.f("ck_programme_preparation_percent"), type_="check")
        for name in ("min_days", "min_reflections", "preparation_percent", "policy"):
            batch.drop_column(name)
        for name in ("day_cap", "programme_cap", "year_cap"):
            batch.drop_column(name)
    with op.batch_alter_table("completion") as batch:
        batch.drop_constraint(op.f("fk_completion_through_entry_id_credit_entry"), type_="foreignkey")
        for name in ("policy", "targets", "through_entry_id"):
            batch.drop_column(name)
    op.drop_table("credit_reason")
    _open_ledger()
    op.drop_index("uq_credit_entry_award", table_name="credit_entry")
    # The tables of before have no room for these lines.
    op.execute(
        "DELETE FROM credit_entry WHERE kind = 'adjustment' OR follows_id IS NOT NULL OR reverses_id IN "
        "(SELECT id FROM credit_entry WHERE follows_id IS NOT NULL)"
    )
    op.execute("UPDATE credit_entry SET unit = 'contact_minutes' WHERE unit = 'contact_hours'")
    with op.batch_alter_table("credit_entry") as batch:
        for name in ("session", "reversal", "follows"):
            batch.drop_constraint(op.f(f"ck_credit_entry_{name}"), type_="check")
        batch.drop_constraint(op.f("ck_credit_entry_kind"), type_="check")
        batch.create_check_constraint("kind", "kind in ('award', 'reversal', 'adjustment')")
        batch.drop_constraint(op.f("uq_credit_entry_follows_id"), type_="unique")
        batch.drop_constraint(op.f("fk_credit_entry_follows_id_credit_entry"), type_="foreignkey")
        batch.alter_column("pairing_id", existing_type=sa.Uuid(), nullable=False)
        batch.alter_column("session_id", existing_type=sa.Uuid(), nullable=False)
        batch.drop_column("follows_id")
        batch.drop_column("rules")
    _index_awards(ANY_AWARD)
    _close_ledger()
