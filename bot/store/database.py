"""One SQLite file in the data folder: one writer, many readers, one process."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy.exc import DatabaseError

from bot.errors import StoreError, StoreInUse
from bot.store.connection import Connection, LostError

T = TypeVar("T")

FILE, LOCK = "bot.db", "lock"

MOST_READERS = 8
"""Each is a thread and some open files; who comes while all are busy waits for the moment that a reading takes."""


class Database:
    """The store. Open it with `open`, close it with `close`."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock
        self._writer: Connection
        self._opened: list[Connection] = []
        """The writer, and the readers."""
        self._resting: list[Connection] = []
        """Readers that nobody uses."""
        self._readers = asyncio.Semaphore(MOST_READERS)
        self._turn = asyncio.Lock()
        self._commit: asyncio.Task[None] | None = None
        """What will commit the transaction that is open."""
        self.commits = 0
        """How often something went to the disk."""

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
        database = cls(folder, lock)
        try:
            database._writer = await _whole(database._connect(writer=True))
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
    async def write(self, committed: Callable[[], None] = lambda: None) -> AsyncIterator[Connection]:
        """The one write transaction at a time: committed at the end, rolled back on any exception.

        Those who come before the commit begins share it: each is a part of one transaction, and an exception takes back
        its own part. Who leaves is committed, even if cancelled meanwhile; `committed` is called then, in any case.
        """
        async with self._turn:
            commit = self._commit = self._commit or self._begin()
            try:
                async with self._writer.begin_nested():
                    yield self._writer
            except BaseException:
                if self._writer.is_lost:  # who came before is told so
                    self._commit = None
                raise
            commit.add_done_callback(partial(_where_it_succeeded, committed))
        await _whole(commit)

    def _begin(self) -> asyncio.Task[None]:
        self._writer.begin("BEGIN IMMEDIATE")
        commit = asyncio.create_task(self._end(self._writer.changes))
        commit.add_done_callback(lambda task: task.cancelled() or task.exception())  # perhaps nobody waits for it
        return commit

    async def _end(self, changes: int) -> None:
        """Commit what those wrote who were there before it was our turn."""
        async with self._turn:
            if self._commit is not asyncio.current_task():
                raise LostError
            self._commit = None
            try:
                await self._writer.end("COMMIT")
                self.commits += self._writer.changes != changes
            except BaseException:
                self._writer.forget_all()
                await self._writer.roll_back()
                raise

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """One consistent view of what is committed."""
        async with self._readers:
            reader = self._resting.pop() if self._resting else await _whole(self._connect(writer=False))
            try:
                reader.forget_all()
                reader.begin("BEGIN")
                yield reader
            finally:
                self._resting.append(reader)
                reader.end_soon()

    async def _connect(self, *, writer: bool) -> Connection:
        connection = await Connection.to(self.file, writer=writer)
        self._opened.append(connection)
        return connection

    async def close(self) -> None:
        """Close the file and let another process have the folder."""
        try:
            if self._commit is not None:
                await asyncio.wait({self._commit})
            # The writer last: whoever closes the file last tidies the write-ahead log, and a reader may not.
            for connection in reversed(self._opened):
                await _whole(connection.close())
        finally:
            os.close(self._lock)


def _where_it_succeeded(act: Callable[[], None], commit: asyncio.Task[None]) -> None:
    if not commit.cancelled() and commit.exception() is None:
        act()


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
