"""The first form of the plugin's tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "breakout_sessions",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("main", sa.String, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("phase", sa.String, nullable=False),
        sa.Column("retired", sa.Boolean, nullable=False),
        sa.Column("over", sa.Boolean, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
    )
    op.create_index("breakout_sessions_of_main", "breakout_sessions", ["main", "over", "retired"])
    op.create_table(
        "breakout_desks",
        sa.Column("main", sa.String, primary_key=True),
        sa.Column("room", sa.String),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("wanted", sa.Boolean, nullable=False),
    )
