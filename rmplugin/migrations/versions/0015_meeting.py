"""Meeting: changes of sessions, notes, action items, messages, busy calendars, and no time

Revision: 0015, after: 0014, made: 2026-11-26 11:10:00
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "session_change",
        sa.Column("pairing_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("was_at", UtcDateTime(), nullable=False),
        sa.Column("was_minutes", sa.Integer(), nullable=False),
        sa.Column("to_at", UtcDateTime(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("rebooked_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("what in ('moved', 'cancelled')", name=op.f("ck_session_change_what")),
        sa.ForeignKeyConstraint(
            ["pairing_id"],
            ["pairing.id"],
            name=op.f("fk_session_change_pairing_id_pairing"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_session_change_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["rebooked_by"],
            ["person.id"],
            name=op.f("fk_session_change_rebooked_by_person"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["mentoring_session.id"],
            name=op.f("fk_session_change_session_id_mentoring_session"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_session_change_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session_change")),
    )
    op.create_index(op.f("ix_session_change_pairing_id"), "session_change", ["pairing_id"])
    op.create_index(op.f("ix_session_change_session_id"), "session_change", ["session_id"])
    op.create_index(op.f("ix_session_change_tenant_id"), "session_change", ["tenant_id"])
    op.create_table(
        "busy_calendar",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("url_locked", sa.LargeBinary(), nullable=False),
        sa.Column("busy", sa.JSON(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.Column("fetched_at", UtcDateTime(), nullable=True),
        sa.Column("fault", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_busy_calendar_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_busy_calendar_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_busy_calendar")),
        sa.UniqueConstraint("person_id", name=op.f("uq_busy_calendar_person_id")),
    )
    op.create_index(op.f("ix_busy_calendar_next_at"), "busy_calendar", ["next_at"])
    op.create_index(op.f("ix_busy_calendar_tenant_id"), "busy_calendar", ["tenant_id"])
    op.create_table(
        "note",
        sa.Column("pairing_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("is_shared", sa.Boolean(), nullable=False),
        sa.Column("body_locked", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("kind in ('note', 'takeaway')", name=op.f("ck_note_kind")),
        sa.ForeignKeyConstraint(
            ["author_id"], ["person.id"], name=op.f("fk_note_author_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["pairing_id"], ["pairing.id"], name=op.f("fk_note_pairing_id_pairing"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["mentoring_session.id"],
            name=op.f("fk_note_session_id_mentoring_session"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_note_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_note")),
    )
    op.create_index(op.f("ix_note_pairing_id"), "note", ["pairing_id"])
    op.create_index(op.f("ix_note_session"), "note", ["session_id"])
    op.create_index(op.f("ix_note_tenant_id"), "note", ["tenant_id"])
    op.create_table(
        "action_item",
        sa.Column("pairing_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("text_locked", sa.LargeBinary(), nullable=True),
        sa.Column("outcome_locked", sa.LargeBinary(), nullable=True),
        sa.Column("drop_reason", sa.String(), nullable=True),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("(state = 'open') = (closed_at is null)", name=op.f("ck_action_item_closed")),
        sa.CheckConstraint("kind in ('action', 'commitment')", name=op.f("ck_action_item_kind")),
        sa.CheckConstraint("state in ('open', 'done', 'dropped')", name=op.f("ck_action_item_state")),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["person.id"], name=op.f("fk_action_item_owner_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["pairing_id"], ["pairing.id"], name=op.f("fk_action_item_pairing_id_pairing"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["mentoring_session.id"],
            name=op.f("fk_action_item_session_id_mentoring_session"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_action_item_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_action_item")),
    )
    op.create_index(op.f("ix_action_item_owner"), "action_item", ["owner_id", "state"])
    op.create_index(op.f("ix_action_item_pairing_id"), "action_item", ["pairing_id"])
    op.create_index(op.f("ix_action_item_tenant_id"), "action_item", ["tenant_id"])
    op.create_table(
        "message",
        sa.Column("pairing_id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("body_locked", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("removed_at", UtcDateTime(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("body_locked is null or removed_at is null", name=op.f("ck_message_removed")),
        sa.ForeignKeyConstraint(
            ["author_id"], ["person.id"], name=op.f("fk_message_author_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["pairing_id"], ["pairing.id"], name=op.f("fk_message_pairing_id_pairing"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_message_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
    )
    op.create_index(op.f("ix_message_tenant_id"), "message", ["tenant_id"])
    op.create_index(op.f("ix_message_thread"), "message", ["pairing_id", "created_at"])
    op.create_table(
        "thread_read",
        sa.Column("pairing_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("read_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pairing_id"], ["pairing.id"], name=op.f("fk_thread_read_pairing_id_pairing"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_thread_read_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_thread_read_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_thread_read")),
        sa.UniqueConstraint("pairing_id", "person_id", name=op.f("uq_thread_read_pairing_id_person_id")),
    )
    op.create_index(op.f("ix_thread_read_tenant_id"), "thread_read", ["tenant_id"])
    op.create_table(
        "time_need",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("pairing_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("choice", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("pause_until", sa.Date(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "choice in ('shorten', 'retime', 'pause', 'leave')", name=op.f("ck_time_need_choice")
        ),
        sa.CheckConstraint("stage in ('start', 'early', 'later')", name=op.f("ck_time_need_stage")),
        sa.ForeignKeyConstraint(
            ["pairing_id"], ["pairing.id"], name=op.f("fk_time_need_pairing_id_pairing"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_time_need_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["programme_id"],
            ["programme.id"],
            name=op.f("fk_time_need_programme_id_programme"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_time_need_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_time_need")),
    )
    op.create_index(op.f("ix_time_need_pairing_id"), "time_need", ["pairing_id"])
    op.create_index(op.f("ix_time_need_programme_id"), "time_need", ["programme_id"])
    op.create_index(op.f("ix_time_need_tenant_id"), "time_need", ["tenant_id"])
    with op.batch_alter_table("mentoring_session") as table:
        table.add_column(sa.Column("kind", sa.String(), nullable=False, server_default="regular"))
        table.add_column(sa.Column("attest_asked_at", UtcDateTime(), nullable=True))
        table.add_column(sa.Column("attest_refused_at", UtcDateTime(), nullable=True))
        table.add_column(sa.Column("attested_at", UtcDateTime(), nullable=True))
    with op.batch_alter_table("mentoring_session") as table:
        table.alter_column("kind", server_default=None)
        table.create_check_constraint(
            op.f("ck_mentoring_session_kind"), "kind in ('first', 'regular', 'briefing', 'review')"
        )
    with op.batch_alter_table("agreement") as table:
        table.add_column(sa.Column("async_counts", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("agreement") as table:
        table.alter_column("async_counts", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("agreement") as table:
        table.drop_column("async_counts")
    with op.batch_alter_table("mentoring_session") as table:
        table.drop_constraint(op.f("ck_mentoring_session_kind"), type_="check")
        for name in ("attested_at", "attest_refused_at", "attest_asked_at", "kind"):
            table.drop_column(name)
    for name in (
        "time_need",
        "thread_read",
        "message",
        "action_item",
        "note",
        "busy_calendar",
        "session_change",
    ):
        op.drop_table(name)
