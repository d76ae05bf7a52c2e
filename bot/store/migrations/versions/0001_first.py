"""The first form of the host's tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "sync_position",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("token", sa.String, nullable=False),
    )
    op.create_table(
        "inbox",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.String, nullable=False, unique=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("event", sa.JSON, nullable=False),
        sa.Column("received_ms", sa.BigInteger, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
    )
    op.create_index("inbox_open", "inbox", ["seq"], sqlite_where=sa.text("done = 0"))
    op.create_index("inbox_received", "inbox", ["received_ms"])
    op.create_table(
        "room_state",
        sa.Column("room", sa.String, primary_key=True),
        sa.Column("type", sa.String, primary_key=True),
        sa.Column("state_key", sa.String, primary_key=True),
        sa.Column("content", sa.JSON, nullable=False),
        sa.Column("sender", sa.String, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("room_state_by_type", "room_state", ["type", "state_key"])
    op.create_table(
        "last_spoke",
        sa.Column("room", sa.String, primary_key=True),
        sa.Column("user", sa.String, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("room", sa.String, nullable=False),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("content", sa.JSON),
        sa.Column("urgency", sa.Integer, nullable=False),
        sa.Column("group", sa.String, nullable=False),
        sa.Column("wake", sa.String, nullable=False),
        sa.Column("origin", sa.String),
        sa.Column("about", sa.String),
        sa.Column("not_before_ms", sa.BigInteger, nullable=False),
        sa.Column("tried", sa.Boolean, nullable=False),
        sa.Column("event_id", sa.String),
        sa.Column("refused", sa.String),
        sa.Column("settled_ms", sa.BigInteger),
    )
    op.create_index("outbox_key", "outbox", ["owner", "key"], unique=True)
    op.create_index("outbox_unsent", "outbox", ["settled_ms", "room", "urgency", "seq"])
    op.create_index("outbox_event", "outbox", ["event_id"])
    op.create_index("outbox_group", "outbox", ["owner", "group"])
    op.create_index("outbox_about", "outbox", ["owner", "about"])
    op.create_index("outbox_origin", "outbox", ["origin"])
    op.create_index("outbox_text", "outbox", ["settled_ms"], sqlite_where=sa.text("content IS NOT NULL"))
    op.create_table(
        "alarms",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("due_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("alarms_due", "alarms", ["due_ms"])
