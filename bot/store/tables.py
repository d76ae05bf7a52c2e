"""The host's tables; moments are integer milliseconds, contents are JSON text."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, text

metadata = MetaData()

sync_position = Table(
    "sync_position",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token", String, nullable=False),
)

inbox = Table(
    "inbox",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("event_id", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("event", JSON, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("done", Boolean, nullable=False, default=False),
    Index("inbox_open", "seq", sqlite_where=text("done = 0")),
    Index("inbox_received", "received_ms"),
)

room_state = Table(
    "room_state",
    metadata,
    Column("room", String, primary_key=True),
    Column("type", String, primary_key=True),
    Column("state_key", String, primary_key=True),
    Column("content", JSON, nullable=False),
    Column("sender", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("room_state_by_type", "type", "state_key"),
)

last_spoke = Table(
    "last_spoke",
    metadata,
    Column("room", String, primary_key=True),
    Column("user", String, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("owner", String, nullable=False),
    Column("key", String, nullable=False),
    Column("room", String, nullable=False),
    Column("type", String, nullable=False),
    Column("content", JSON, nullable=True),
    Column("urgency", Integer, nullable=False),
    Column("group", String, nullable=False, default=""),
    Column("wake", String, nullable=False, default=""),
    Column("origin", String, nullable=True),
    Column("about", String, nullable=True),
    Column("not_before_ms", BigInteger, nullable=False, default=0),
    Column("tried", Boolean, nullable=False, default=False),
    Column("event_id", String, nullable=True),
    Column("refused", String, nullable=True),
    Column("settled_ms", BigInteger, nullable=True),
    Index("outbox_key", "owner", "key", unique=True),
    Index("outbox_unsent", "settled_ms", "room", "urgency", "seq"),
    Index("outbox_event", "event_id"),
    Index("outbox_group", "owner", "group"),
    Index("outbox_about", "owner", "about"),
    Index("outbox_origin", "origin"),
    Index("outbox_text", "settled_ms", sqlite_where=text("content IS NOT NULL")),
)
"""`about` is the key of the row to whose event this one refers: what it edits, reacts to or redacts.

`tried` from the first attempt to send it on; `content` is NULL when the text is no longer remembered.
"""

alarms = Table(
    "alarms",
    metadata,
    Column("owner", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("due_ms", BigInteger, nullable=False),
    Index("alarms_due", "due_ms"),
)
