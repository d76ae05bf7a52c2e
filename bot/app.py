"""The composition root: builds each part once, and owns the tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from bot.clock import Clock
from bot.commands.match import Registry
from bot.config import AccessConfig
from bot.dispatch import Dispatcher, Running
from bot.doorkeeper import Doorkeeper
from bot.loader import Loaded
from bot.matrix.events import Event, Invited, Message, StateChange, SyncBatch
from bot.matrix.ids import RoomId
from bot.matrix.ports import Homeserver, Limits
from bot.matrix.sync import follow
from bot.matrix.translate import translate
from bot.plugin import Host
from bot.reconcile import Reconciler
from bot.schedule import Schedule
from bot.sender import Sender
from bot.store.database import Database
from bot.store.inbox import Inbox
from bot.store.migrate import migrate
from bot.store.roomstate import RoomStates
from bot.unit import Transactions

log = structlog.get_logger(__name__)

TOO_OLD = timedelta(minutes=5)
"""Commands older than this in the first batch after a gap are not carried out any more."""


class Account(Homeserver, Limits, Protocol):
    """The homeserver as the bot's account meets it."""


class App:
    """The running bot."""

    def __init__(
        self,
        *,
        account: Account,
        database: Database,
        loaded: Sequence[Loaded],
        clock: Clock,
        access: AccessConfig | None = None,
        prefix: str = "!",
    ) -> None:
        self._account, self._database, self._loaded = account, database, tuple(loaded)
        self._clock, self._access, self._prefix = clock, access or AccessConfig(), prefix
        self._running: dict[str, Running] = {}
        self._transactions = Transactions(
            database,
            clock,
            account.me,
            wake=self._wake_plugin,
            room_has_mail=self._wake_sender,
            alarms_changed=lambda: self._schedule.changed(),
        )
        self._sender = Sender(account, self._transactions)
        self._converging = Reconciler(self._converge, clock)
        self._sending = Reconciler(self._sender.send, clock)
        self._answering = Reconciler(self._answer_invite, clock)
        self._schedule = Schedule(database, clock, self._wake_plugin)
        self._doorkeeper: Doorkeeper
        self._dispatcher: Dispatcher
        self.ready = asyncio.Event()
        """Set when the first batch is taken in."""

    async def run(self) -> None:
        """Run until cancelled; `LoginLost` ends it, nothing else does."""
        async with AsyncExitStack() as stack:
            await self._start_plugins(stack)
            registry = Registry(self._loaded, self._prefix)
            running = tuple(self._running.values())
            self._dispatcher = Dispatcher(running, registry, self._transactions, self._prefix)
            self._doorkeeper = Doorkeeper(self._access, self._account, self._transactions, running)
            async with asyncio.TaskGroup() as tasks:
                for worker in (self._converging, self._sending, self._answering, self._schedule, self._dispatcher):
                    tasks.create_task(worker.run())
                async with self._database.read() as connection:
                    since = await Inbox(connection).token()
                tasks.create_task(follow(self._account, since, self._accept, self._clock))

    async def _start_plugins(self, stack: AsyncExitStack) -> None:
        await migrate(self._database, "bot", "bot.store.migrations")
        for loaded in self._loaded:
            plugin = loaded.plugin
            if plugin.migrations:
                await migrate(self._database, plugin.name, plugin.migrations)
            state = await stack.enter_async_context(plugin.lifespan(self._host(loaded)))
            self._running[plugin.name] = Running(loaded, state)

    def _host(self, loaded: Loaded) -> Host:
        return Host(
            config=loaded.config,
            me=self._account.me,
            prefix=self._prefix,
            homeserver=self._account,
            limits=self._account,
            database=self._database,
            clock=self._clock,
            unit=lambda: self._transactions.unit(loaded.name),
        )

    # --- what comes in

    async def _accept(self, batch: SyncBatch, first: bool) -> None:
        """Take a batch in: one transaction, after which it is ours and the token moves on."""
        async with self._transactions.open() as transaction:
            events = await self._events_of(transaction.rooms, batch, first)
            await Inbox(transaction.connection).accept(batch, events)
        for event in events:
            if isinstance(event, Invited):
                self._answering.wake(Inbox.key_of(event))
        self._dispatcher.wake()
        if not self.ready.is_set():
            await self._take_up()

    async def _events_of(self, rooms: RoomStates, batch: SyncBatch, first: bool) -> tuple[object, ...]:
        known = {room for room in batch.joined if await self._was_in(rooms, room)}
        events = translate(batch, self._account.me)
        spoken = [event for event in events if self._is_ours(event, known, events)]
        if first and batch.server_time is not None:
            spoken = [_dated(event, batch.server_time) for event in spoken]
        return tuple(spoken)

    async def _was_in(self, rooms: RoomStates, room: RoomId) -> bool:
        member = await rooms.content(room, "m.room.member", self._account.me)
        return bool(member) and member.get("membership") == "join"

    def _is_ours(self, event: object, known: set[RoomId], events: Sequence[object]) -> bool:
        """Whether an event was said while we were in the room: what was typed before we came is history."""
        if not isinstance(event, Event) or isinstance(event, StateChange) or event.room in known:
            return True
        came = next(
            (
                position
                for position, other in enumerate(events)
                if isinstance(other, StateChange)
                and (other.room, other.type, other.state_key) == (event.room, "m.room.member", self._account.me)
            ),
            0,
        )
        return events.index(event) > came

    async def _take_up(self) -> None:
        """After the first batch: go on with all that a former process left unfinished."""
        async with self._transactions.open() as transaction:
            for running in self._running.values():
                if start_keys := running.loaded.plugin.start_keys:
                    for key in await start_keys(running.state, transaction.unit_of(running.name)):
                        transaction.wake(running.name, key)
            for invite in await Inbox(transaction.connection).open_invites():
                self._answering.wake(invite)
            for room in await Sender.rooms_with_mail(transaction.connection):
                self._wake_sender(room)
        self.ready.set()

    # --- who is woken

    def _wake_plugin(self, owner: str, key: str) -> None:
        self._converging.wake(f"{owner} {key}")

    def _wake_sender(self, room: RoomId) -> None:
        for lane in Sender.lanes(room):
            self._sending.wake(lane)

    async def _converge(self, key: str) -> datetime | None:
        owner, _, key = key.partition(" ")
        running = self._running.get(owner)
        if running is None or running.loaded.plugin.reconcile is None:
            return None
        return await running.loaded.plugin.reconcile(running.state, key)

    async def _answer_invite(self, event_id: str) -> datetime | None:
        return await self._doorkeeper.answer(event_id)

    # --- for tests

    async def idle(self) -> None:
        """Return when nothing is left to do now: the inbox worked off, every worker waiting."""
        await self.ready.wait()
        while True:
            await self._dispatcher.idle()
            for worker in (self._answering, self._converging, self._sending):
                await worker.idle()
            await asyncio.sleep(0)
            if all(worker.is_idle for worker in (self._dispatcher, self._answering, self._converging, self._sending)):
                return


def _dated(event: object, server_time: datetime) -> object:
    if isinstance(event, Message) and server_time - event.at > TOO_OLD:
        return replace(event, stale=True)
    return event


@asynccontextmanager
async def running(app: App) -> AsyncIterator[App]:
    """The bot in the background, ready; whoever leaves stops it, and hears of what stopped it before."""
    task = asyncio.create_task(app.run())
    ready = asyncio.create_task(app.ready.wait())
    try:
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        yield app
    finally:
        ready.cancel()
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()):
            raise error
