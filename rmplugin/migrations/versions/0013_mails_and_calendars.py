"""Mails, how people want to be told, channels for news, and feeds for calendars

Revision: 0013, after: 0012, made: 2026-11-26 11:10:00
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blocked_address",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("email_folded", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("blocked_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_blocked_address_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_blocked_address_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocked_address")),
        sa.UniqueConstraint("person_id", name=op.f("uq_blocked_address_person_id")),
    )
    op.create_index(op.f("ix_blocked_address_tenant_id"), "blocked_address", ["tenant_id"])
    op.create_table(
        "calendar_feed",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_calendar_feed_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_calendar_feed_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calendar_feed")),
        sa.UniqueConstraint("person_id", name=op.f("uq_calendar_feed_person_id")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_calendar_feed_token_sha256")),
    )
    op.create_index(op.f("ix_calendar_feed_tenant_id"), "calendar_feed", ["tenant_id"])
    op.create_table(
        "mail",
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("notice_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("about", sa.String(), nullable=True),
        sa.Column("invitation", sa.String(), nullable=True),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("letter_id", sa.Uuid(), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "state in ('waiting', 'sending', 'sent', 'failed', 'dropped')", name=op.f("ck_mail_state")
        ),
        sa.CheckConstraint("person_id is null or address is null", name=op.f("ck_mail_one_recipient")),
        sa.ForeignKeyConstraint(
            ["notice_id"], ["notice.id"], name=op.f("fk_mail_notice_id_notice"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_mail_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_mail_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail")),
        sa.UniqueConstraint("notice_id", name=op.f("uq_mail_notice_id")),
    )
    op.create_index(op.f("ix_mail_letter_id"), "mail", ["letter_id"])
    op.create_index("ix_mail_person_about", "mail", ["person_id", "about"])
    op.create_index("ix_mail_state_due", "mail", ["state", "due_at"])
    op.create_index(op.f("ix_mail_tenant_id"), "mail", ["tenant_id"])
    op.create_table(
        "mail_choice",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("ways", sa.JSON(), nullable=False),
        sa.Column("quiet_from_minute", sa.Integer(), nullable=False),
        sa.Column("quiet_to_minute", sa.Integer(), nullable=False),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("quiet_from_minute between 0 and 1439", name=op.f("ck_mail_choice_quiet_from")),
        sa.CheckConstraint("quiet_to_minute between 0 and 1439", name=op.f("ck_mail_choice_quiet_to")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_mail_choice_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_mail_choice_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_choice")),
        sa.UniqueConstraint("person_id", name=op.f("uq_mail_choice_person_id")),
    )
    op.create_index(op.f("ix_mail_choice_tenant_id"), "mail_choice", ["tenant_id"])
    op.create_table(
        "mail_setup",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("activity_url", sa.String(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["programme_id"],
            ["programme.id"],
            name=op.f("fk_mail_setup_programme_id_programme"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_mail_setup_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_setup")),
        sa.UniqueConstraint("programme_id", name=op.f("uq_mail_setup_programme_id")),
    )
    op.create_index(op.f("ix_mail_setup_tenant_id"), "mail_setup", ["tenant_id"])
    op.create_table(
        "news",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("written_by", sa.String(), nullable=False),
        sa.Column("written_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["programme_id"],
            ["programme.id"],
            name=op.f("fk_news_programme_id_programme"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_news_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_news")),
    )
    op.create_index(op.f("ix_news_programme_id"), "news", ["programme_id"])
    op.create_index(op.f("ix_news_tenant_id"), "news", ["tenant_id"])
    op.create_table(
        "news_channel",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("notifier", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("settings_locked", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("posted_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("state in ('active', 'stopped')", name=op.f("ck_news_channel_state")),
        sa.ForeignKeyConstraint(
            ["programme_id"],
            ["programme.id"],
            name=op.f("fk_news_channel_programme_id_programme"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_news_channel_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_news_channel")),
    )
    op.create_index(op.f("ix_news_channel_programme_id"), "news_channel", ["programme_id"])
    op.create_index(op.f("ix_news_channel_tenant_id"), "news_channel", ["tenant_id"])
    with op.batch_alter_table("mentoring_session") as table:
        table.add_column(sa.Column("sequence", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("notice") as table:
        table.add_column(sa.Column("to_mail", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.create_index(
            "ix_notice_to_mail", ["id"], sqlite_where=sa.text("to_mail"), postgresql_where=sa.text("to_mail")
        )
    with op.batch_alter_table("mentoring_session") as table:
        table.alter_column("sequence", server_default=None)
    with op.batch_alter_table("notice") as table:
        table.alter_column("to_mail", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("notice") as table:
        table.drop_index(
            "ix_notice_to_mail", sqlite_where=sa.text("to_mail"), postgresql_where=sa.text("to_mail")
        )
        table.drop_column("to_mail")
    with op.batch_alter_table("mentoring_session") as table:
        table.drop_column("sequence")
    op.drop_index(op.f("ix_news_channel_tenant_id"), table_name="news_channel")
    op.drop_index(op.f("ix_news_channel_programme_id"), table_name="news_channel")
    op.drop_table("news_channel")
    op.drop_index(op.f("ix_news_tenant_id"), table_name="news")
    op.drop_index(op.f("ix_news_programme_id"), table_name="news")
    op.drop_table("news")
    op.drop_index(op.f("ix_mail_setup_tenant_id"), table_name="mail_setup")
    op.drop_table("mail_setup")
    op.drop_index(op.f("ix_mail_choice_tenant_id"), table_name="mail_choice")
    op.drop_table("mail_choice")
    op.drop_index(op.f("ix_mail_tenant_id"), table_name="mail")
    op.drop_index("ix_mail_state_due", table_name="mail")
    op.drop_index("ix_mail_person_about", table_name="mail")
    op.drop_index(op.f("ix_mail_letter_id"), table_name="mail")
    op.drop_table("mail")
    op.drop_index(op.f("ix_calendar_feed_tenant_id"), table_name="calendar_feed")
    op.drop_table("calendar_feed")
    op.drop_index(op.f("ix_blocked_address_tenant_id"), table_name="blocked_address")
    op.drop_table("blocked_address")
