"""A homeserver in memory that grants what a Synapse grants that nobody configured: ten requests, then one in 5 s."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.errors import Outdated, RateLimited
from bot.matrix.events import Content
from bot.matrix.ids import EventId, RoomId, UserId
from bot.matrix.limits import STOCK, STOCK_ROOMS, Bucket, Limit, Limiter
from bot.matrix.ports import Blueprint, Pace, Urgency, Wanted
from bot.testing.clock import FakeClock
from bot.testing.fake import FakeHomeserver, FakeServer

TURNS = 3000
"""Of the event loop, after which everybody is taken to wait for the clock: more than anything here needs."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that the homeserver granted."""

    at: datetime
    verb: str
    urgency: Urgency
    room: str
    what: str = ""


class ThrottledHomeserver(FakeHomeserver):
    """Each request waits for its turn, as at the real client, and is refused where the tokens do not suffice."""

    def __init__(self, server: FakeServer) -> None:
        super().__init__(server)
        clock = server.clock
        self.limiter = Limiter(clock)
        self.limiter.throttled(timedelta(seconds=5))
        self.granted: list[Asked] = []
        self.refused = 0
        self._tokens = Bucket(clock.now(), left=0.0, per_second=STOCK)
        self._rooms = Bucket(clock.now(), left=10.0, per_second=STOCK_ROOMS)

    def pace(self) -> Pace:
        """What is known of the limits."""
        return self.limiter.pace()

    @asynccontextmanager
    async def _turn(
        self, verb: str, room: RoomId | None, urgency: Urgency, what: str = "", wanted: Wanted | None = None
    ) -> AsyncIterator[None]:
        limit = Limit.NEW_ROOMS if verb == "create" else Limit.MESSAGES
        async with self.limiter.turn(room, urgency):
            if wanted is not None and not await wanted():
                raise Outdated
            now = self.server.clock.now()
            for bucket, is_met in ((self._rooms, verb == "create"), (self._tokens, True)):
                if is_met and (moment := bucket.filled(now).has(1)) > now:
                    self.refused += 1
                    self.limiter.throttled(moment - now, limit)
                    raise RateLimited(moment - now)
            self._tokens = self._tokens.taken(now)
            self._rooms = self._rooms.taken(now) if verb == "create" else self._rooms
            yield
            self.granted.append(Asked(now, verb, urgency, room or "", what))
            self.limiter.note(0.03, limit)

    async def create(self, blueprint: Blueprint, key: str, wanted: Wanted | None = None) -> RoomId:
        async with self._turn("create", None, Urgency.INVITE, blueprint.name, wanted):
            return await super().create(blueprint, key)

    async def set_state(
        self, room: RoomId, type_: str, content: Content, state_key: str = "", *, urgency: Urgency = Urgency.LOCK
    ) -> EventId:
        async with self._turn("set_state", room, urgency, type_):
            return await super().set_state(room, type_, content, state_key)

    async def join(self, room: RoomId, via: Sequence[str] = ()) -> None:
        async with self._turn("join", room, Urgency.LOCK):
            await super().join(room, via)

    async def leave(self, room: RoomId, reason: str = "") -> None:
        async with self._turn("leave", room, Urgency.CLEAN_UP):
            await super().leave(room, reason)

    async def invite(self, room: RoomId, user: UserId, reason: str, wanted: Wanted | None = None) -> None:
        async with self._turn("invite", room, Urgency.INVITE, user, wanted):
            await super().invite(room, user, reason)

    async def remove(self, room: RoomId, user: UserId, reason: str, wanted: Wanted | None = None) -> None:
        async with self._turn("remove", room, Urgency.REMOVE, user, wanted):
            await super().remove(room, user, reason)

    async def send(
        self,
        room: RoomId,
        type_: str,
        content: Content,
        key: str,
        *,
        urgency: Urgency = Urgency.MESSAGE,
        wanted: Wanted | None = None,
    ) -> EventId:
        async with self._turn("send", room, urgency, key, wanted):
            return await super().send(room, type_, content, key)

    async def redact(self, room: RoomId, event: EventId, key: str, *, urgency: Urgency = Urgency.MESSAGE) -> None:
        async with self._turn("redact", room, urgency, key):
            await super().redact(room, event, key)


async def pass_until(clock: FakeClock, moment: datetime) -> None:
    """Let time pass, from one moment at which somebody wakes to the next; only where the store has no threads."""
    while True:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        now = clock.now()
        if now >= moment:
            return
        clock.advance(min(clock.next_moment or moment, moment) - now)


async def pass_by(clock: FakeClock, **length: Any) -> None:
    """Let so much time pass; see `pass_until`."""
    await pass_until(clock, clock.now() + timedelta(**length))
