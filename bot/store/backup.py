"""A copy of the store to keep: what only the bot knows, without what the homeserver will know better by then."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bot.errors import StoreError
from bot.store.connection import Connection, why
from bot.store.tables import metadata

_PUT_BACK, _OWN = 1, 0
"""SQLite's `user_version` of a copy, and of a store that has been at work since."""


def back_up(store: Path, copy: Path) -> None:
    """Copy the file `store`, in use or not, to `copy`, which is replaced when all is written.

    The host's tables are left empty: where sync stood, what came in, what was said, how rooms were. All of that would
    be wrong on the day on which the copy is needed, and much of it is what people wrote. Raises `StoreError`.
    """
    draft = copy.with_name(f"{copy.name}.new")
    try:
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as source:
            _copy(source, draft)
        draft.replace(copy)
    except (sqlite3.Error, OSError) as error:
        draft.unlink(missing_ok=True)
        raise StoreError(
            f"The store {store} could not be copied to {copy} ({why(error)}): look whether both folders are there, and "
            "whether the bot's user may read the one and write to the other."
        ) from None


def _copy(source: sqlite3.Connection, draft: Path) -> None:
    with closing(sqlite3.connect(draft, isolation_level=None)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        there = {name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table in metadata.sorted_tables:
            if table.name in there:
                copy.execute(f'DELETE FROM "{table.name}"')  # noqa: S608 - our own names
        copy.execute(f"PRAGMA user_version = {_PUT_BACK}")
        copy.execute("VACUUM")  # what was deleted is gone from the file, too


async def is_put_back(connection: Connection) -> bool:
    """Whether this store is such a copy that nothing has worked on yet; from here on it is a store like any other."""
    version = (await connection.exec_driver_sql("PRAGMA user_version")).scalar_one()
    if version == _PUT_BACK:
        await connection.exec_driver_sql(f"PRAGMA user_version = {_OWN}")
    return bool(version == _PUT_BACK)
