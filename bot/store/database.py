"""One SQLite file in the data folder: one writer, many readers, one process."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bot.errors import StoreError

T = TypeVar("T")

FILE = "bot.db"


class Database:
    """The store. Open it with `open`, close it with `close`."""

    def __init__(self, folder: Path, lock: int, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self.folder = folder
        self._lock = lock
        self._writer, self._reader = writer, reader
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, folder: Path) -> Self:
        """Open the store in `folder`, made when missing; `StoreError` where it cannot be used or is in use."""
        try:
            lock = _take(folder)
        except OSError as error:
            raise StoreError(
                f"The data folder {folder} cannot be written ({error.strerror}). Give the bot's user the right to, "
                "or set store.path to another folder."
            ) from None
        try:
            file = folder / FILE
            return cls(folder, lock, _engine(file, writer=True), _engine(file, writer=False))
        except BaseException:
            os.close(lock)
            raise

    @property
    def file(self) -> Path:
        """The SQLite file."""
        return self.folder / FILE

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """The one write transaction at a time: committed at the end, rolled back on any exception.

        Its begin, commit and rollback are finished even if the task is cancelled meanwhile, since a cancelled call
        would still be executed and would leave the transaction open for the next one.
        """
        async with self._turn:
            connection = await _whole(self._writer.connect())
            try:
                await _whole(connection.begin())
                try:
                    yield connection
                except BaseException:
                    await _whole(connection.rollback())
                    raise
                await _whole(connection.commit())
            finally:
                await _whole(connection.close())

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view of what is committed."""
        connection = await _whole(self._reader.connect())
        try:
            yield connection
        finally:
            await _whole(connection.close())

    async def close(self) -> None:
        """Close the file and let another process have the folder."""
        await self._writer.dispose()
        await self._reader.dispose()
        os.close(self._lock)


def _take(folder: Path) -> int:
    """Take the folder for this process; the system gives it back however the process ends."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / FILE).touch(mode=0o600, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreError(
            f"Another process already uses the data folder {folder}. "
            "Stop it first, or set store.path to another folder."
        ) from None
    return descriptor


def _engine(file: Path, *, writer: bool) -> AsyncEngine:
    """The writer has one connection and begins IMMEDIATE: a deferred one could fail at its first write."""
    pool = {"pool_size": 1, "max_overflow": 0} if writer else {"pool_size": 4, "max_overflow": 4}
    engine = create_async_engine(f"sqlite+aiosqlite:///{file}", **pool)

    @event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        # NORMAL survives a killed process. A power cut may take the last commits back, whole ones: the token goes
        # back with them, and the transaction ids keep what was said from being said twice.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=5000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


async def _whole(call: Awaitable[T]) -> T:
    """Wait for `call` to its end, cancelled or not; a cancellation is raised afterwards."""
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
