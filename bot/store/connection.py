"""One connection to the SQLite file: statements in aiosqlite's thread, and parts that can be taken back."""

from __future__ import annotations

import asyncio
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
from sqlalchemy.exc import DBAPIError, InvalidRequestError, SQLAlchemyError

T = TypeVar("T")
P = ParamSpec("P")

STORE_FAILURES = (SQLAlchemyError, sqlite3.Error, OSError)
"""What a store raises that cannot be read or written for now: a full disk, a lock that is held too long."""

REMEMBERED = 300
"""Things read that a connection keeps in mind, a room each: enough for what happens within a second."""

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
