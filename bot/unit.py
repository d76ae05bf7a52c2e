"""One transaction, and whom to wake once it is committed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from time import perf_counter

from bot.clock import Clock
from bot.health import Health
from bot.matrix.ids import RoomId
from bot.matrix.ports import Urgency
from bot.metrics import Metrics
from bot.plugin import Unit
from bot.store.alarms import AlarmRows
from bot.store.connection import STORE_FAILURES, Connection, why
from bot.store.database import Database
from bot.store.inbox import Inbox
from bot.store.outbox import OutboxRows
from bot.store.roomstate import RoomStates


class Transaction:
    """An open transaction, from which each plugin gets a `Unit` of its own."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self.connection = connection
        self.now = clock.now()
        self.rooms = RoomStates(connection, self.now)
        self.woken: set[tuple[str, str]] = set()
        self.afterwards: list[Callable[[], None]] = []
        """What else is to be done after the commit."""
        self._outboxes: dict[str, OutboxRows] = {}
        self._alarms: dict[str, AlarmRows] = {}
        self._freed: set[tuple[RoomId, Urgency | None]] = set()

    def unit_of(self, owner: str) -> Unit:
        """What the plugin `owner` may do in this transaction."""
        if owner not in self._outboxes:
            self._outboxes[owner] = OutboxRows(self.connection, owner, self.now, partial(self.wake, owner))
            self._alarms[owner] = AlarmRows(self.connection, owner)
        return Unit(
            connection=self.connection,
            now=self.now,
            rooms=self.rooms,
            outbox=self._outboxes[owner],
            alarms=self._alarms[owner],
            wake=partial(self.wake, owner),
            is_current=self._is_current,
        )

    async def _is_current(self) -> bool:
        return await Inbox(self.connection).is_worked_off()

    def wake(self, owner: str, key: str) -> None:
        """Ask for a pass of the plugin's reconciler over `key` after the commit."""
        self.woken.add((owner, key))

    @property
    def mail(self) -> set[tuple[RoomId, Urgency | None]]:
        """The rooms for which something was put into an outbox, how urgent; None where anything may be sent now."""
        return self._freed.union(*(outbox.touched for outbox in self._outboxes.values()))

    def can_send(self, room: RoomId) -> None:
        """Ask for a look at what is to be sent to a room after the commit: something may have waited for this."""
        self._freed.add((room, None))

    @property
    def alarms_changed(self) -> bool:
        """Whether an alarm was set or taken back."""
        return any(alarms.changed for alarms in self._alarms.values())


class Transactions:
    """Opens transactions, and after each commit wakes those whom it concerns."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        wake: Callable[[str, str], None],
        room_has_mail: Callable[[RoomId, Urgency | None], None],
        alarms_changed: Callable[[], None],
        metrics: Metrics | None = None,
        health: Health | None = None,
    ) -> None:
        self._database, self._clock = database, clock
        self._metrics, self._health = metrics or Metrics(), health or Health(clock)
        self._wake, self._room_has_mail, self._alarms_changed = wake, room_has_mail, alarms_changed

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Transaction]:
        """A transaction; what it woke is woken when it is committed, and not at all when it is rolled back."""
        began, opened = perf_counter(), list[Transaction]()

        def committed() -> None:
            self._metrics.transaction_seconds.observe(perf_counter() - began)
            self._committed(*opened)

        try:
            async with self._database.write(committed) as connection:
                opened.append(Transaction(connection, self._clock))
                yield opened[0]
        except STORE_FAILURES as error:
            self._health.store = why(error)
            raise

    def _committed(self, transaction: Transaction) -> None:
        """Whoever opened it may have been cancelled while it was committed."""
        self._health.store = ""
        for owner, key in transaction.woken:
            self._wake(owner, key)
        for room, urgency in transaction.mail:
            self._room_has_mail(room, urgency)
        if transaction.alarms_changed:
            self._alarms_changed()
        for act in transaction.afterwards:
            act()

    @asynccontextmanager
    async def unit(self, owner: str) -> AsyncIterator[Unit]:
        """A transaction of one plugin."""
        async with self.open() as transaction:
            yield transaction.unit_of(owner)
