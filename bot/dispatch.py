"""Takes each event that came in, once, in order: to the command or the handlers that want it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

import structlog

from bot.commands.bind import bind
from bot.commands.match import Matched, Registry, Unknown
from bot.commands.read import line_of
from bot.commands.refusals import HostRefusal, NotPermitted, UnknownCommand, WrongPlace
from bot.commands.sentences import broken, explain, skipped, skipped_key, unreadable
from bot.deed import Deed
from bot.loader import Loaded
from bot.matrix.events import Departed, Event, Message, Reaction, Redaction, StateChange, Unreadable
from bot.matrix.ids import EventId, RoomId, UserId
from bot.matrix.ports import Urgency
from bot.message.doc import Doc
from bot.metrics import Metrics
from bot.plugin import Call, Outcome, ReactionAdded, ReactionRemoved, Role, Standing, Tick, Unit
from bot.store.connection import may_work_later
from bot.store.inbox import Inbox
from bot.store.outbox import copies_of, key_of
from bot.unit import Transaction, Transactions

log = structlog.get_logger(__name__)

HINT_AFTER = timedelta(minutes=2)
"""The key of a message mostly comes with it, sometimes a little later."""

MOST_HINTS = 3
"""In one room: where nobody's keys come, one hint says it all."""

MOST_AT_ONCE = 20
"""Events that are taken in one transaction, while which nobody else can write."""

REFUSALS_APART = timedelta(minutes=1)
"""Refusals to somebody who is no moderator come at most this often."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started plugin with the state that its lifespan yielded."""

    loaded: Loaded
    state: Any

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.loaded.name


class Dispatcher:
    """Works off the inbox, one event after another, each in the transaction in which it causes what it causes."""

    PAUSE_S = 5.0
    """Between two tries while the store fails."""

    def __init__(
        self,
        running: Sequence[Running],
        registry: Registry,
        transactions: Transactions,
        prefix: str,
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._running = {plugin.name: plugin for plugin in running}
        self._registry = registry
        self._transactions = transactions
        self._prefix = prefix
        self._refused_at: dict[UserId, datetime] = {}
        self._news = asyncio.Event()
        self._news.set()
        self._rested = asyncio.Event()

    def wake(self) -> None:
        """There may be something in the inbox."""
        self._rested.clear()
        self._news.set()

    @property
    def is_idle(self) -> bool:
        """Whether the inbox is worked off."""
        return self._rested.is_set()

    async def idle(self) -> None:
        """Return when the inbox is worked off."""
        await self._rested.wait()

    async def run(self) -> None:
        """Work for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                async with self._transactions.open() as transaction:
                    await self.take(transaction)
            except Exception:
                # The store fails for a while (a full disk, say): nothing is marked as done, so nothing is lost.
                self._broke("inbox")
                log.exception("the inbox could not be worked off")
                await asyncio.sleep(self.PAUSE_S)
                self._news.set()
            if not self._news.is_set():
                self._rested.set()

    async def take(self, transaction: Transaction) -> None:
        """Take the oldest events; where there may be more, those soon."""
        rows = await Inbox(transaction.connection).pending(MOST_AT_ONCE)
        for row in rows:
            await self._take(transaction, row.event_id, row.event)
        if len(rows) == MOST_AT_ONCE:
            transaction.afterwards.append(self.wake)

    async def _take(self, transaction: Transaction, event_id: EventId, event: Any) -> None:
        """One event, with all that it causes. What fails beyond repair is logged and done, never tried for ever."""
        began, deed = perf_counter(), None
        try:
            async with transaction.connection.begin_nested():
                deed = await self._handle(transaction, event)
        except Exception as error:
            if may_work_later(error):
                raise
            self._broke("event")
            log.exception("an event could not be handled", kind=type(event).__name__)
        await Inbox(transaction.connection).done(event_id, event)
        if deed is not None:
            transaction.afterwards.append(lambda: deed.note(self._metrics, perf_counter() - began))

    def _broke(self, where: str) -> None:
        self._metrics.errors.labels(where).inc()

    async def _handle(self, transaction: Transaction, event: Any) -> Deed | None:
        """Handle the event; what came of it where it is a command."""
        match event:
            case Message():
                return await self._message(transaction, event)
            case Reaction():
                await self._reaction(transaction, event)
            case Redaction():
                await self._redaction(transaction, event)
            case Unreadable():
                await self._unreadable(transaction, event)
            case StateChange() | Departed():
                await self._tell_all(transaction, event)
            case _:
                log.warning("an event that nobody handles", kind=type(event).__name__)
        return None

    async def _tell_all(self, transaction: Transaction, event: Any) -> None:
        for plugin in self._running.values():
            await self._tell(transaction, plugin, event)

    async def _tell(self, transaction: Transaction, plugin: Running, event: Any) -> None:
        """Call the plugin's handler, if it has one; its failure is its own, the store's is not."""
        handler = plugin.loaded.plugin.handlers.get(type(event))
        if handler is None:
            return
        try:
            async with transaction.connection.begin_nested():
                await handler(plugin.state, transaction.unit_of(plugin.name), event)
        except Exception as error:
            if may_work_later(error):
                raise
            self._broke("handler")
            log.exception("a plugin's handler failed", plugin=plugin.name, kind=type(event).__name__)

    # --- messages and commands

    async def _unreadable(self, transaction: Transaction, event: Unreadable) -> None:
        """Who waits for an answer is told once that there is none, unless the key comes late; few in each room."""
        for plugin in self._running.values():
            unit = transaction.unit_of(plugin.name)
            standing = await standing_of(plugin, unit, event.room, event.sender)
            hints = [hint.key for hint in await unit.outbox.group(_hints(event.room)) if hint.refused is None]
            if standing is None or len(hints) >= MOST_HINTS or any(key.startswith(_hint(event)) for key in hints):
                continue
            await unit.outbox.say(
                f"{_hint(event)}{event.event_id}",
                event.room,
                unreadable(),
                reply_to=event.event_id,
                group=_hints(event.room),
                not_before=transaction.now + HINT_AFTER,
            )

    async def _readable(self, transaction: Transaction, message: Message) -> None:
        """The key has come: the hint is not needed, where it is not out yet."""
        for plugin in self._running.values():
            outbox = transaction.unit_of(plugin.name).outbox
            for hint in await outbox.group(_hints(message.room)):
                if hint.key.startswith(_hint(message)) and not hint.settled:
                    await outbox.withdraw(hint.key)

    async def _message(self, transaction: Transaction, message: Message) -> Deed | None:
        await self._readable(transaction, message)
        found = None
        if message.msgtype == "m.text":
            found = self._registry.match(line_of(message))
        if found is None:
            if not message.stale:
                await self._tell_all(transaction, message)
            return None
        plugin = self._running[found.plugin]
        if message.stale:
            await self._skip(transaction, plugin, message)
            return None
        return await self._command(transaction, plugin, message, found)

    async def _skip(self, transaction: Transaction, plugin: Running, message: Message) -> None:
        """Commands that were typed while the bot was away for long are answered by one sentence a room."""
        key = skipped_key(message.room, transaction.now)
        await transaction.unit_of(plugin.name).outbox.say(key, message.room, skipped())

    async def _command(
        self, transaction: Transaction, plugin: Running, message: Message, found: Matched | Unknown
    ) -> Deed | None:
        unit = transaction.unit_of(plugin.name)
        standing = await standing_of(plugin, unit, message.room, message.sender)
        if standing is None:
            return None
        deed = Deed(found, message.room, standing)
        try:
            async with transaction.connection.begin_nested():
                outcome = await self._carry_out(plugin, unit, message, deed)
        except Exception as error:
            if may_work_later(error):
                raise
            if not (known := await self._explained(plugin, unit, deed, error)):
                deed.outcome, deed.reference = "failed", secrets.token_hex(2).upper()
                self._broke("command")
                log.exception("a command broke", plugin=plugin.name, reference=deed.reference)
                known = broken(deed.reference)
            else:
                deed.outcome, deed.refusal = "refused", type(error).__name__
                if standing.role < Role.MODERATOR and not self._may_refuse(message.sender, unit.now):
                    deed.outcome = "unanswered"
                    return deed
            outcome = known
        await _answer(unit, message, standing, outcome)
        return deed

    async def _carry_out(self, plugin: Running, unit: Unit, message: Message, deed: Deed) -> Outcome:
        declaration, found, standing = plugin.loaded.plugin, deed.found, deed.standing
        if isinstance(found, Unknown):
            raise UnknownCommand(found.typed, *found.nearest(standing))
        command = found.command
        if standing.role < command.role:
            raise NotPermitted(command)
        if command.where and standing.place not in command.where:
            raise WrongPlace(command, standing.place)
        subject = await declaration.subject(plugin.state, unit, message, standing) if declaration.subject else None
        if declaration.describe is not None:
            deed.about = declaration.describe(subject)
        call = Call(plugin.state, unit, message, found.line, standing, subject)
        if command.parse is not None:
            return await command.handler(call, command.parse(found.line, subject))
        return await command.handler(call, **bind(command, found.line))

    async def _explained(self, plugin: Running, unit: Unit, deed: Deed, error: Exception) -> Doc | None:
        """The sentence of a refusal: the plugin's wording, else the host's; None for what is no refusal."""
        explain_it = plugin.loaded.plugin.explain
        said = await explain_it(error, plugin.state, unit, deed.standing) if explain_it else None
        if said is None and isinstance(error, HostRefusal):
            return explain(error, self._prefix, deed.found.command if isinstance(deed.found, Matched) else None)
        return said

    def _may_refuse(self, user: UserId, now: datetime) -> bool:
        last = self._refused_at.get(user)
        if last is not None and now - last < REFUSALS_APART:
            return False
        self._refused_at = {u: t for u, t in self._refused_at.items() if now - t < REFUSALS_APART} | {user: now}
        return True

    # --- reactions

    async def _reaction(self, transaction: Transaction, reaction: Reaction) -> None:
        owned = await key_of(transaction.connection, reaction.target)
        if owned and (plugin := self._running.get(owned[0])):
            await self._tell(transaction, plugin, ReactionAdded(reaction, owned[1]))

    async def _redaction(self, transaction: Transaction, redaction: Redaction) -> None:
        gone = await Inbox(transaction.connection).event(redaction.target)
        if isinstance(gone, Event) and gone.room != redaction.room:
            return  # people may redact in a room of their own what they like: it takes nothing away elsewhere
        if isinstance(gone, Reaction):
            owned = await key_of(transaction.connection, gone.target)
            if owned and (plugin := self._running.get(owned[0])):
                await self._tell(transaction, plugin, ReactionRemoved(gone, owned[1], redaction.sender))
            return
        for owner, key in await copies_of(transaction.connection, (redaction.room, redaction.target)):
            await transaction.unit_of(owner).outbox.withdraw(key)


def _hints(room: RoomId) -> str:
    return f"unreadable:{room}"


def _hint(event: Event) -> str:
    """How the key of every hint to this sender begins; no id has a space in it."""
    return f"unreadable:{event.room} {event.sender} "


async def standing_of(plugin: Running, unit: Unit, room: RoomId, user: UserId) -> Standing | None:
    """What `user` is for this plugin in `room`; None for somebody whom it does not answer."""
    if plugin.loaded.plugin.standing is not None:
        standing: Standing | None = await plugin.loaded.plugin.standing(plugin.state, unit, room, user)
        return standing
    power = await unit.rooms.power(room)
    return Standing(Role.MODERATOR if power.level(user) >= 50 else Role.ANYONE, "room", room)  # noqa: PLR2004


async def _answer(unit: Unit, message: Message, standing: Standing, outcome: Outcome) -> None:
    """Say an outcome where the command stands (in its thread, say), before anything that is queued."""
    if isinstance(outcome, Tick):
        await unit.outbox.react(message.room, message.event_id, "✅")
    elif outcome is not None:
        await unit.outbox.say(
            f"reply:{message.event_id}",
            message.room,
            outcome,
            urgency=Urgency.ANSWER,
            reply_to=message.event_id,
            thread=message.thread or (message.event_id if standing.in_thread else None),
        )
