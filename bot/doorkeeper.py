"""Goes into rooms to which somebody who may do so invites the bot, and declines other invites with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import structlog

from bot.clock import from_ms
from bot.config import AccessConfig
from bot.dispatch import Running
from bot.errors import Permanent
from bot.matrix.events import Invited, RawEvent
from bot.matrix.ids import EventId, RoomId, UserId, server_of
from bot.message.sentence import Catalogue
from bot.plugin import Joined
from bot.store.inbox import Inbox
from bot.unit import Transactions

log = structlog.get_logger(__name__)
catalogue = Catalogue()


class Doors(Protocol):
    """The verbs that it needs."""

    @property
    def me(self) -> UserId: ...
    async def join(self, room: RoomId, via: Sequence[str] = ()) -> None: ...
    async def leave(self, room: RoomId, reason: str = "") -> None: ...
    async def state(self, room: RoomId) -> Sequence[RawEvent]: ...


class Doorkeeper:
    """Carries out one invite; the inbox row stays open until it is done, so a restart takes it up again."""

    def __init__(
        self, access: AccessConfig, doors: Doors, transactions: Transactions, running: tuple[Running, ...]
    ) -> None:
        self._access, self._doors, self._transactions, self._running = access, doors, transactions, running

    async def answer(self, event_id: str) -> datetime | None:
        """Follow or decline the invite of this inbox row (work of a reconciler)."""
        async with self._transactions.open() as transaction:
            invited = await Inbox(transaction.connection).event(EventId(event_id))
        if not isinstance(invited, Invited):
            return None
        if self._access.may_invite(invited.inviter, self._doors.me):
            await self._come(EventId(event_id), invited)
        else:
            await self._decline(EventId(event_id), invited)
        return None

    async def _come(self, event_id: EventId, invited: Invited) -> None:
        try:
            await self._doors.join(invited.room, (server_of(invited.inviter),))
            state = await self._doors.state(invited.room)
        except Permanent as refused:
            log.warning("an invite could not be followed", room=invited.room, why=refused.errcode)
            async with self._transactions.open() as transaction:
                await Inbox(transaction.connection).done(event_id)
            return
        async with self._transactions.open() as transaction:
            for event in state:
                await transaction.rooms.assume(
                    invited.room, event["type"], event["state_key"], event["content"], event["sender"]
                )
            await Inbox(transaction.connection).done(event_id)
            for plugin in self._running:
                if handler := plugin.loaded.plugin.handlers.get(Joined):
                    # The moment of the membership itself: an invite that comes twice is one arrival.
                    joined = Joined(invited.room, invited.inviter, _since(state, self._doors.me) or transaction.now)
                    await handler(plugin.state, transaction.unit_of(plugin.name), joined)

    async def _decline(self, event_id: EventId, invited: Invited) -> None:
        reason = catalogue.text("This bot follows only invites of people whom its admins allow.")
        try:
            await self._doors.leave(invited.room, reason)
        except Permanent as refused:
            log.info("an invite could not be declined", room=invited.room, why=refused.errcode)
        async with self._transactions.open() as transaction:
            await Inbox(transaction.connection).done(event_id)


def _since(state: Sequence[RawEvent], me: UserId) -> datetime | None:
    """When we came into a room with this state."""
    for event in state:
        if event["type"] == "m.room.member" and event["state_key"] == me:
            at = event.get("origin_server_ts")
            return from_ms(at) if isinstance(at, int) else None
    return None
