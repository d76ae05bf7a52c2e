"""A copy of the store: what is in it, what is not, and who may read it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.errors import StoreError
from bot.matrix.ids import RoomId
from bot.message.doc import Para, Text, doc
from bot.store.backup import back_up, is_put_back
from bot.store.outbox import OutboxRows
from bot.store.tables import metadata
from tests.unit.store import open_store

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


async def test_a_copy_has_nothing_of_what_was_said_also_while_the_bot_writes(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with open_store(tmp_path / "data") as database:
        async with database.write() as connection:
            await OutboxRows(connection, "breakout", NOW, print).say(
                "a", RoomId("!r:hs"), doc(Para((Text("Very private"),)))
            )
            await connection.exec_driver_sql("CREATE TABLE of_a_plugin (word TEXT)")
            await connection.exec_driver_sql("INSERT INTO of_a_plugin VALUES ('kept')")
        async with database.write() as connection:
            await connection.exec_driver_sql("INSERT INTO of_a_plugin VALUES ('not committed')")
            back_up(database.file, copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert b"Very private" not in copy.read_bytes()
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT word FROM of_a_plugin").fetchall() == [("kept",)]
        for table in metadata.sorted_tables:
            rows = connection.execute(f'SELECT * FROM "{table.name}"').fetchall()  # noqa: S608 - our own names
            assert rows == []


async def test_a_copy_that_is_put_back_is_known_as_one_once(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data") as database:
        async with database.write() as connection:
            assert not await is_put_back(connection)
        (tmp_path / "new").mkdir()
        back_up(database.file, tmp_path / "new" / "bot.db")
    for expected in (True, False):
        async with open_store(tmp_path / "new") as database, database.write() as connection:
            assert await is_put_back(connection) is expected


def test_where_there_is_no_store_a_backup_says_so_and_leaves_the_last_one(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("the last one")
    with pytest.raises(StoreError, match="could not be copied"):
        back_up(tmp_path / "nowhere" / "bot.db", copy)
    assert copy.read_text() == "the last one"
    assert list(tmp_path.iterdir()) == [copy]
