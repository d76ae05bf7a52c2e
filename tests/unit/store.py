"""A store with the host's tables, for tests of what lies in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.store.database import Database
from bot.store.migrate import migrate


@asynccontextmanager
async def open_store(folder: Path) -> AsyncIterator[Database]:
    """The store, closed at the end."""
    database = await Database.open(folder)
    try:
        await migrate(database, "bot", "bot.store.migrations")
        yield database
    finally:
        await database.close()
