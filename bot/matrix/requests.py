"""An account's requests, each in its turn; what the homeserver answers teaches how fast they may follow."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from bot.clock import Clock
from bot.errors import Outdated, RateLimited
from bot.matrix.events import Content
from bot.matrix.http import USUAL_TIMEOUT, Answer, Ask, Params, Service, counted
from bot.matrix.ids import RoomId
from bot.matrix.limits import Limit, Limiter
from bot.matrix.ports import Urgency, Wanted
from bot.metrics import Metrics


class Requests:
    """What an account asks of its homeserver, counted, and held back where that would refuse it for haste."""

    def __init__(self, ask: Ask, clock: Clock, metrics: Metrics) -> None:
        self._ask, self._metrics = ask, metrics
        self.limiter = Limiter(clock)
        self.service: Service | None = None
        """What makes the requests for which limits hold, where the bot belongs to an application service."""

    async def ask(
        self, method: str, where: str, body: Content | bytes | None = None, query: Params | None = None, **more: Any
    ) -> Answer:
        """A request that no limit is known for."""
        with counted(self._metrics, where):
            return await self._ask(method, where, body, query, **more)

    async def act(
        self,
        method: str,
        where: str,
        body: Content,
        query: Params | None = None,
        *,
        urgency: Urgency,
        room: RoomId | None = None,
        limit: Limit = Limit.MESSAGES,
        timeout_s: float = USUAL_TIMEOUT,
        wanted: Wanted | None = None,
    ) -> Answer:
        """A request that waits for its `turn`; refused for haste, it is the caller's to make again."""
        async with self.turn(room, urgency, wanted):
            return await self.noted(method, where, body, query, limit=limit, timeout_s=timeout_s)

    @asynccontextmanager
    async def turn(self, room: RoomId | None, urgency: Urgency, wanted: Wanted | None = None) -> AsyncIterator[None]:
        """The turn of a request about a room, for what has to be done then and not earlier.

        Raises `Outdated` where it is not `wanted` any more when it comes.
        """
        asked = time.monotonic()
        async with self.limiter.turn(room, urgency):
            self._metrics.turn_seconds.labels(urgency.name.lower()).observe(time.monotonic() - asked)
            if wanted is not None and not await wanted():
                raise Outdated
            yield

    async def noted(
        self,
        method: str,
        where: str,
        body: Content,
        query: Params | None = None,
        *,
        limit: Limit = Limit.MESSAGES,
        timeout_s: float = USUAL_TIMEOUT,
    ) -> Answer:
        """A request whose turn it is; the limiter learns from its answer."""
        began = time.monotonic()
        try:
            answer = await self.ask(method, where, body, query, timeout_s=timeout_s, service=self.service)
        except RateLimited as refused:
            self.limiter.throttled(refused.retry_after or timedelta(), limit)
            raise
        self.limiter.note(time.monotonic() - began, limit)
        return answer
