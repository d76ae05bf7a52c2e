"""A clock that a test moves."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count


class FakeClock:
    """Stands still until `advance`; who sleeps on it wakes in the order of the moments."""

    def __init__(self, start: datetime = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._numbers = count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """The present moment."""
        return self._now

    async def sleep_until(self, moment: datetime) -> None:
        """Return when the test has moved the clock to `moment`."""
        if moment <= self._now:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (moment, next(self._numbers), future))
        await future

    def advance(self, by: timedelta) -> None:
        """Let `by` pass."""
        self._now += by
        while self._sleepers and self._sleepers[0][0] <= self._now:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)

    @property
    def next_moment(self) -> datetime | None:
        """When the next sleeper wakes."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None
