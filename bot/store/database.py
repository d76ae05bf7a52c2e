"""One SQLite file in the data folder: one writer, many readers, one process."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeAlias, TypeVar

import aiosqlite
import sqlalchemy
from sqlalchemy import CursorResult, Engine, Executable, NullPool, create_engine, event
from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy
from sqlalchemy.exc import DatabaseError, DBAPIError, InvalidRequestError, SQLAlchemyError

from bot.errors import StoreError, StoreInUse

T = TypeVar("T")
P = ParamSpec("P")

FILE, LOCK = "bot.db", "lock"

STORE_FAILURES = (SQLAlchemyError, sqlite3.Error, OSError)
"""What a store raises that cannot be read or written for now: a full disk, a lock that is held too long."""

REMEMBERED = 300
"""Things read that a connection keeps in mind, a room each: enough for what happens within a second."""

MOST_READERS = 8
"""Each is a thread and some open files; who comes while all are busy waits for the moment that a reading takes."""

_OF_THE_STATEMENT = frozenset(
    (
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_MISUSE,
    )
)

Rows: TypeAlias = "CursorResult[*tuple[Any, ...]]"


def why(error: Exception) -> str:
    """What the system says of a store's failure, without the statement and its values."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause.strerror or cause) if isinstance(cause, OSError) else str(cause)


def may_work_later(error: Exception) -> bool:
    """Whether it is the store that fails for now, as on a full disk, and not what was asked of it."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        code: int = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)
        return code & 0xFF not in _OF_THE_STATEMENT
    return isinstance(cause, LostError)


class LostError(InvalidRequestError):
    """The transaction has ended by itself, and takes nothing more."""

    def __init__(self) -> None:
        super().__init__("the transaction is lost")


class Connection:
    """What may be asked within one transaction.

    SQLAlchemy works in the thread that aiosqlite has for the connection: a statement is one trip to it and back, which
    costs more than the statement itself. What only begins or ends a part of a transaction goes along with the next one.
    """

    def __init__(self, driver: aiosqlite.Connection) -> None:
        self._driver = driver
        self._sync: sqlalchemy.Connection
        self._ahead: list[str | Callable[[], object]] = []
        """What is to be carried out before the next statement."""
        self._failed = False
        """Whether something of that failed, so that the part of the transaction in which it was is to be taken back."""
        self._depth = 0
        """How many parts are begun, each within the one before."""
        self._remembered: dict[Hashable, Any] = {}
        self.is_open = False
        """Whether a transaction is under way."""
        self._is_closed = False

    @classmethod
    async def to(cls, file: Path, *, writer: bool) -> Self:
        """A new connection."""
        # Whoever takes the last row closes the cursor, from another thread; nothing is left to close by then.
        driver = aiosqlite.connect(file, isolation_level=None, check_same_thread=False)
        driver._thread.daemon = True  # noqa: SLF001 - a thread that was forgotten does not keep the process
        await driver
        connection = cls(driver)
        try:
            connection._sync = await connection._in_thread(_engine(driver._conn, writer=writer).connect)  # noqa: SLF001
        except BaseException:
            await driver.close()
            raise
        return connection

    @property
    def changes(self) -> int:
        """How many rows were changed through this connection so far."""
        return self._driver.total_changes

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> Rows:
        """Carry out a statement, once for each of several parameters; its rows are all there."""
        return await self._do(lambda: _buffered(self._sync.execute(statement, parameters)))

    def soon(self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Carry out a statement of which nobody asks what came of it, on the next trip."""
        self._ahead.append(lambda: self._sync.execute(statement, parameters).close())

    async def exec_driver_sql(self, statement: str) -> Rows:
        """Carry out SQL as it is written."""
        return await self._do(lambda: _buffered(self._sync.exec_driver_sql(statement)))

    async def run_sync(
        self, act: Callable[Concatenate[sqlalchemy.Connection, P], T], *arguments: P.args, **named: P.kwargs
    ) -> T:
        """Let `act` work with SQLAlchemy's own connection, in its thread."""
        return await self._do(lambda: act(self._sync, *arguments, **named))

    @asynccontextmanager
    async def begin_nested(self) -> AsyncIterator[None]:
        """A part of the transaction that an exception takes back."""
        self._depth += 1
        name = f"part_{self._depth}"
        self._ahead.append(f"SAVEPOINT {name}")
        try:
            yield
            await self.flush(self._begins_at(name) or 0)
        except BaseException:
            self.forget_all()
            self._take_back(name)
            raise
        finally:
            self._depth -= 1
        self._ahead.append(f"RELEASE {name}")

    def _begins_at(self, part: str) -> int | None:
        """Where in what waits for the next trip a part begins; None where it has begun."""
        places = [place for place, act in enumerate(self._ahead) if act == f"SAVEPOINT {part}"]
        return places[-1] if places else None

    def _take_back(self, part: str) -> None:
        """Take back what was written in a part, or was to be; what failed before it is not its own."""
        begins_at = self._begins_at(part)
        if begins_at is None:
            self._ahead, self._failed = [f"ROLLBACK TO {part}", f"RELEASE {part}"], False
        else:
            del self._ahead[begins_at:]

    async def remembered(self, what: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """What was read through this connection and is so still; else it is read.

        Whoever writes lets it forget what changes.
        """
        try:
            found = self._remembered.pop(what)
        except KeyError:
            found = await read()
        self._remembered[what] = found  # at the end: what is used stays
        if len(self._remembered) > REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        return found  # type: ignore[no-any-return]

    def forget(self, what: Iterable[Hashable]) -> None:
        """Read these anew."""
        for known in what:
            self._remembered.pop(known, None)

    def forget_all(self) -> None:
        """All of it may be otherwise from now on: others wrote, or what was written is taken back."""
        self._remembered.clear()

    # --- for the database

    def begin(self, statement: str) -> None:
        """Begin a transaction with what comes next."""
        self._ahead, self._failed = [statement], False

    async def flush(self, since: int = 0) -> None:
        """Carry out what waits for the next trip; raises where the transaction is lost, or something of it failed.

        Where nothing is to be written from the place `since` on, it may wait longer.
        """
        if self.is_lost or self._failed or any(callable(act) for act in self._ahead[since:]):
            await self._do(lambda: None)

    @property
    def is_lost(self) -> bool:
        """Whether the transaction has ended by itself, as on a full disk."""
        return not self.is_open and not self._is_to_begin

    @property
    def _is_to_begin(self) -> bool:
        return bool(self._ahead) and isinstance(act := self._ahead[0], str) and act.startswith("BEGIN")

    async def end(self, statement: str) -> None:
        """End the transaction; one in which nothing was asked has never begun."""
        try:
            if not self._is_to_begin:
                await self._do(lambda: self._sync.exec_driver_sql(statement))
        finally:
            self._ahead.clear()

    async def roll_back(self) -> None:
        """End the transaction, whatever has failed, where it has not ended by itself."""
        self._ahead.clear()
        if self.is_open:
            self.is_open = False
            await self._in_thread(self._driver._conn.rollback)  # noqa: SLF001

    def end_soon(self) -> None:
        """End a transaction that only read, and wait for nothing."""
        self._ahead.clear()
        if self.is_open:
            self.is_open = False
            self._driver._tx.put_nowait((None, self._driver._conn.rollback))  # noqa: SLF001

    async def close(self) -> None:
        """Close it."""
        await self._in_thread(self._sync.close)
        self._is_closed = True
        await self._driver.close()

    async def _do(self, act: Callable[[], T]) -> T:
        return await self._in_thread(partial(self._after_the_first, act))

    def _after_the_first(self, act: Callable[[], T]) -> T:
        """Work within the transaction; one that a full disk has ended takes nothing more."""
        driver = self._driver._conn  # noqa: SLF001
        try:
            if not (self._is_to_begin or driver.in_transaction):
                raise LostError
            if self._failed:
                raise InvalidRequestError("something has failed, and is to be taken back first")
            self._failed = True
            while self._ahead:  # what comes after one that fails stays: it tells which parts have begun
                step = self._ahead.pop(0)
                driver.execute(step).close() if isinstance(step, str) else step()
            self._failed = False
            return act()
        finally:
            self.is_open = driver.in_transaction

    async def _in_thread(self, act: Callable[[], T]) -> T:
        """Let the connection's thread do this, to the end, however often cancelled; a cancellation is raised then."""
        if self._is_closed:  # nobody is there any more who would do it
            raise InvalidRequestError("the store is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._driver._tx.put_nowait((future, act))  # noqa: SLF001
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.shield(future)
            except asyncio.CancelledError as error:
                cancelled = error
            except BaseException:  # noqa: BLE001, S110 - told below
                pass
        if cancelled is not None:
            raise cancelled from future.exception()
        return future.result()


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


def _engine(driver: sqlite3.Connection, *, writer: bool) -> Engine:
    """SQLAlchemy for one connection; transactions are begun and ended by `Database` alone."""
    # Errors are logged, what people wrote is not.
    engine = create_engine("sqlite://", creator=lambda: driver, poolclass=NullPool, hide_parameters=True)
    # FULL, since NORMAL lets a power cut take back what was committed, and a homeserver on the same machine then
    # has forgotten its transaction ids too: what was said would be said again.
    pragmas = ["journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"]
    if not writer:
        pragmas.append("query_only=ON")

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()

    return engine


def _buffered(result: Rows) -> Rows:
    """The rows read at once, since the next statement may change what they are read from."""
    if result.returns_rows:
        rows = result.cursor.fetchall()
        result.cursor.close()
        result.cursor_strategy = FullyBufferedCursorFetchStrategy(result.cursor, initial_buffer=rows)
    return result


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
