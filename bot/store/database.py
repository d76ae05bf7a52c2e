"""One SQLite file in the data folder: one writer, many readers, one process."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import URL, event
from sqlalchemy.exc import DatabaseError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bot.errors import StoreError, StoreInUse

T = TypeVar("T")

FILE, LOCK = "bot.db", "lock"

STORE_FAILURES = (SQLAlchemyError, OSError)
"""What a store raises that cannot be read or written for now: a full disk, a lock that is held too long."""


def why(error: Exception) -> str:
    """What the system says of a store's failure, without the statement and its values."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause.strerror or cause) if isinstance(cause, OSError) else str(cause)


class Database:
    """The store. Open it with `open`, close it with `close`."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock
        self._opened: list[Any] = []
        """Every connection of the driver that was ever opened."""
        self._writer = _engine(self.file, self._opened, writer=True)
        self._reader = _engine(self.file, self._opened, writer=False)
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, folder: Path) -> Self:
        """Open the store in `folder`, made when missing; `StoreError` where it cannot be used or is in use."""
        try:
            lock = _take(folder)
        except OSError as error:
            raise StoreError(
                f"{error.filename or folder} cannot be written ({error.strerror}). Give the bot's user the right to "
                "(`breakout-bot check` says how), or set store.path to another folder."
            ) from error
        try:
            database = cls(folder, lock)
        except BaseException:
            os.close(lock)
            raise
        try:
            async with database.write() as connection:
                await connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
        except DatabaseError as error:
            await database.close()
            raise StoreError(
                f"The store {database.file} cannot be used ({error.orig}). Check its rights and the free space, "
                "or put back a copy of it."
            ) from None
        except BaseException:
            await database.close()
            raise
        return database

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
        async with self._turn, _connected(self._writer) as connection:
            await _whole(connection.begin())
            yield connection
            await _whole(connection.commit())

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view of what is committed."""
        async with _connected(self._reader) as connection:
            yield connection

    async def close(self) -> None:
        """Close the file and let another process have the folder."""
        try:
            # The writer last: whoever closes the file last tidies the write-ahead log, and a reader may not.
            await _whole(self._reader.dispose())
            # Whose statement was cancelled is out of its pool, perhaps with a transaction that keeps the file locked.
            for connection in self._opened:
                await _whole(connection.close())
            await _whole(self._writer.dispose())
        finally:
            os.close(self._lock)


def _take(folder: Path) -> int:
    """Take the folder for this process; the system gives it back however the process ends."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not os.access(folder, os.W_OK):  # SQLite makes files beside its own
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    (folder / FILE).touch(mode=0o600, exist_ok=True)
    (folder / FILE).chmod(0o600)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreInUse(
            f"Another process already uses the data folder {folder}. "
            "Stop it first, or set store.path to another folder."
        ) from None
    return descriptor


def _engine(file: Path, opened: list[Any], *, writer: bool) -> AsyncEngine:
    """The writer has one connection and begins IMMEDIATE: a deferred one could fail at its first write."""
    pool = {"pool_size": 1, "max_overflow": 0} if writer else {"pool_size": 4, "max_overflow": 4}
    url = URL.create("sqlite+aiosqlite", database=str(file))
    engine = create_async_engine(url, **pool, hide_parameters=True)  # errors are logged, what people wrote is not
    # FULL, since NORMAL lets a power cut take back what was committed, and a homeserver on the same machine then
    # has forgotten its transaction ids too: what was said would be said again.
    pragmas = ["journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"]
    if not writer:
        pragmas.append("query_only=ON")
    # A connection is dropped when its statement is cancelled. Terminating it forgets a task if cancelled once more.
    dialect = engine.sync_engine.dialect
    dialect.do_terminate = dialect.do_close  # type: ignore[method-assign]

    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        opened.append(connection.driver_connection)
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


@asynccontextmanager
async def _connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection that goes back to its pool whatever happens; what is not committed then is rolled back."""
    connection = engine.connect()
    try:
        await _whole(connection.start())
        yield connection
    finally:
        if connection.sync_connection is not None:
            await _whole(connection.close())


async def _whole(call: Awaitable[T]) -> T:
    """Wait for `call` to its end, however often cancelled meanwhile; a cancellation is raised afterwards."""
    task = asyncio.ensure_future(call)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from None if task.cancelled() else task.exception()
    return task.result()
