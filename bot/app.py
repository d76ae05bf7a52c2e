"""The composition root: builds each part once, and owns the tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog

from bot.clock import Clock
from bot.commands.match import Registry
from bot.config import AccessConfig
from bot.dispatch import Dispatcher, Running
from bot.doorkeeper import Doorkeeper
from bot.health import Health
from bot.loader import Loaded
from bot.matrix.events import Event, Invited, Item, Message, Reaction, StateChange, SyncBatch, Unreadable
from bot.matrix.ids import RoomId, UserId
from bot.matrix.ports import Homeserver, Limits, Urgency
from bot.matrix.sync import follow
from bot.matrix.translate import accepted_for_us, echoes, state_rows, translate, translate_late
from bot.metrics import Metrics
from bot.plugin import Host
from bot.reconcile import Reconciler
from bot.schedule import Bell, Schedule
from bot.sender import Sender
from bot.store.backup import is_put_back
from bot.store.database import Database
from bot.store.inbox import Inbox
from bot.store.migrate import migrate
from bot.store.outbox import settle_echo, unsent
from bot.store.roomstate import RoomStates
from bot.unit import Transactions

log = structlog.get_logger(__name__)

TOO_OLD = timedelta(minutes=5)
"""What was typed or tapped longer ago than this, in the first batch after a gap, is not carried out any more."""


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
        bell: Bell | None = None,
        metrics: Metrics | None = None,
        health: Health | None = None,
    ) -> None:
        self._account, self._database, self._loaded = account, database, tuple(loaded)
        self._clock, self._access, self._prefix = clock, access or AccessConfig(), prefix
        self.metrics, self._health = metrics or Metrics(), health or Health(clock)
        self._running: dict[str, Running] = {}
        self._schedule = Schedule(database, clock, self._wake_plugin, bell)
        self._transactions = Transactions(
            database,
            clock,
            wake=self._wake_plugin,
            room_has_mail=self._wake_sender,
            alarms_changed=self._schedule.changed,
            metrics=self.metrics,
            health=self._health,
        )
        self._sender = Sender(account, database, self._transactions, self.metrics)
        # The limiter bounds what is under way: a pass that waits for it must not keep another main room's lock back.
        self._converging = self._worker("plugins", self._converge, most=1000)
        # All lanes at once: which request goes first is for the homeserver's limits to decide, answers before others.
        self._sending = self._worker("outbox", self._sender.send, most=1000)
        self._answering = self._worker("invites", self._answer_invite)
        self._doorkeeper: Doorkeeper
        self._dispatcher: Dispatcher
        self.ready = self._health.ready
        """Set when the first batch is taken in."""
        self._tell_metrics()

    async def run(self) -> None:
        """Run until cancelled; `LoginLost` ends it, nothing else does."""
        async with AsyncExitStack() as stack:
            await self._start_plugins(stack)
            registry = Registry(self._loaded, self._prefix)
            running = tuple(self._running.values())
            self._dispatcher = Dispatcher(running, registry, self._transactions, self._prefix, self.metrics)
            self._doorkeeper = Doorkeeper(self._access, self._account, self._transactions, running)
            async with asyncio.TaskGroup() as tasks:
                for worker in (
                    self._converging,
                    self._sending,
                    self._answering,
                    self._schedule,
                    self._dispatcher,
                ):
                    tasks.create_task(worker.run())
                async with self._database.read() as connection:
                    since = await Inbox(connection).token()
                broke = self.metrics.errors.labels("sync").inc
                tasks.create_task(follow(self._account, since, self._accept, self._clock, broke=broke))

    async def _start_plugins(self, stack: AsyncExitStack) -> None:
        await migrate(self._database, "bot", "bot.store.migrations")
        for loaded in self._loaded:
            plugin = loaded.plugin
            if plugin.migrations:
                await migrate(self._database, plugin.name, plugin.migrations)
            state = await stack.enter_async_context(plugin.lifespan(self._host(loaded)))
            self._running[plugin.name] = Running(loaded, state)
            if plugin.at_scrape is not None:
                self.metrics.at_scrape(partial(plugin.at_scrape, state))
        await self._tell_of_backup()

    async def _tell_of_backup(self) -> None:
        async with self._transactions.open() as transaction:
            if await is_put_back(transaction.connection):
                log.warning("the store was put back from a backup")
                for running in self._running.values():
                    if put_back := running.loaded.plugin.put_back:
                        await put_back(running.state, transaction.unit_of(running.name))

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
            caught_up=self._caught_up,
            metrics=self.metrics.registry,
        )

    def _worker(self, name: str, work: Callable[[str], Awaitable[datetime | None]], *, most: int = 16) -> Reconciler:
        """A reconciler that the metrics follow by its name."""
        passed = self.metrics.of_worker(name, lambda: worker.oldest_wake_s)
        worker = Reconciler(work, self._clock, most=most, passed=passed)
        return worker

    def _tell_metrics(self) -> None:
        metrics, health = self.metrics, self._health
        metrics.ready.set_function(lambda: not health.faults())
        metrics.synced.set_function(lambda: health.synced_at.timestamp() if health.synced_at else 0)
        metrics.throttled.set_function(lambda: self._account.pace().per_second is not None)
        metrics.at_scrape(self._count_waiting)

    async def _count_waiting(self) -> None:
        async with self._database.read() as connection:
            due, later = await unsent(connection, self._clock.now())
            self.metrics.outbox.labels("due").set(due)
            self.metrics.outbox.labels("later").set(later)
            self.metrics.inbox.set(await Inbox(connection).open_events())

    async def _caught_up(self) -> None:
        await self._dispatcher.idle()

    # --- what comes in

    async def _accept(self, batch: SyncBatch, *, first: bool) -> None:
        """Take a batch in, and what it causes: one transaction, after which it is ours and the token moves on."""
        async with self._transactions.open() as transaction:
            inbox = Inbox(transaction.connection)
            events = await self._events_of(transaction.rooms, batch, first=first)
            events += tuple([event async for event in self._late(inbox, batch)])
            for room in batch.left:
                await transaction.rooms.forget(room)
            await transaction.rooms.put([row._asdict() for row in state_rows(batch)])
            await inbox.accept(batch, events, transaction.now)
            for transaction_id, event_id in echoes(batch, self._account.me):
                freed, woken = await settle_echo(transaction.connection, transaction_id, event_id, transaction.now)
                if freed is not None:
                    transaction.can_send(freed)
                for owner, key in woken:
                    transaction.wake(owner, key)
            await self._dispatcher.take(transaction)
        for event in events:
            if isinstance(event, Invited):
                self._answering.wake(Inbox.key_of(event))
        self._health.synced_at = self._clock.now()
        if not self.ready.is_set():
            await self._take_up()

    async def _events_of(self, rooms: RoomStates, batch: SyncBatch, *, first: bool) -> tuple[Item, ...]:
        """What of the batch is news: what was said before we came is history, and new rooms come with old state."""
        came = {room: _came_at(room, batch, self._account.me) for room in batch.joined}
        known = {room for room in batch.joined if await self._was_in(rooms, room)}
        brought = (accepted_for_us(room, batch, self._account.me) for room in batch.joined if room not in known)
        return (
            *(invited for invited in brought if invited),
            *(
                _dated(event, batch.server_time) if first and batch.server_time else event
                for event in translate(batch, self._account.me)
                if self._is_news(event, known, came.get(event.room, frozenset()))
            ),
        )

    async def _late(self, inbox: Inbox, batch: SyncBatch) -> AsyncIterator[Item]:
        """What can be read only now is as old as it was when it came; what was no news then is none now."""
        for event in translate_late(batch, self._account.me):
            came = await inbox.event(Inbox.key_of(event))
            if isinstance(came, Unreadable):
                yield replace(event, stale=came.stale) if isinstance(event, Message | Reaction) else event

    async def _was_in(self, rooms: RoomStates, room: RoomId) -> bool:
        member = await rooms.content(room, "m.room.member", self._account.me)
        return member is not None and member.get("membership") == "join"

    def _is_news(self, event: Item, known: set[RoomId], before_us: frozenset[str]) -> bool:
        """What we did ourselves is known; only a room that we made may be news: its making seemed to fail."""
        if isinstance(event, StateChange) and event.sender == self._account.me:
            return event.type == "m.room.create"
        if isinstance(event, StateChange) and event.room not in known:
            return False
        return not (isinstance(event, Event) and event.event_id in before_us)

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

    def _wake_sender(self, room: RoomId, urgency: Urgency | None = None) -> None:
        for lane in Sender.lanes(room, urgency):
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
        workers = (self._schedule, self._dispatcher, self._answering, self._converging, self._sending)
        while not all(worker.is_idle for worker in workers):
            for worker in workers:
                await worker.idle()
            await asyncio.sleep(0)


def _came_at(room: RoomId, batch: SyncBatch, me: UserId) -> frozenset[str]:
    """The events of a room before our own joining in this batch; none where we had been in it all along."""
    before: list[str] = []
    for raw in batch.joined[room].timeline:
        if raw.get("type") == "m.room.member" and raw.get("state_key") == me:
            content, earlier = raw.get("content"), raw.get("unsigned")
            if _membership(content) == "join" and _membership(_prev(earlier)) != "join":
                return frozenset(before)
        before.append(str(raw.get("event_id")))
    return frozenset()


def _membership(content: object) -> object:
    return content.get("membership") if isinstance(content, Mapping) else None


def _prev(unsigned: object) -> object:
    return unsigned.get("prev_content") if isinstance(unsigned, Mapping) else None


def _dated(event: Item, server_time: datetime) -> Item:
    if isinstance(event, Message | Reaction | Unreadable) and server_time - event.at > TOO_OLD:
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
