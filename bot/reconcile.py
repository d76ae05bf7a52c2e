"""One worker per key: woken as often as you like, never two at once, again after a failure."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from bot.clock import Clock
from bot.errors import LoginLost, Temporary

log = structlog.get_logger(__name__)

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=1)


class Reconciler:
    """Calls `work(key)` for each woken key.

    `work` makes things so and returns when to look again (None: when woken). A wake during a pass causes another
    pass. `Temporary` means again, not before its `retry_after`; any other exception is logged and tried again after
    a growing pause. Only `LoginLost` leaves.
    """

    def __init__(
        self,
        work: Callable[[str], Awaitable[datetime | None]],
        clock: Clock,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._work, self._clock, self._chance = work, clock, chance
        self._waiting: dict[str, None] = {}
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._later: list[tuple[datetime, str]] = []
        self._looks: dict[str, datetime] = {}
        self._failures: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._rested = asyncio.Event()
        self._rested.set()

    def wake(self, key: str) -> None:
        """Ask for a pass over `key`, soon."""
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = None
            self._rested.clear()
            self._changed.set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing could run now."""
        self._ripen()
        return not self._waiting and not self._running

    async def idle(self) -> None:
        """Return when nothing runs and nothing could run now."""
        while not self.is_idle:
            await self._rested.wait()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as passes:
            while True:
                self._changed.clear()
                self._ripen()
                for key in self._waiting:
                    self._running.add(key)
                    passes.create_task(self._pass(key))
                self._waiting.clear()
                await self._next_change()

    def _ripen(self) -> None:
        """Wake the keys whose moment has come."""
        now = self._clock.now()
        while self._later and self._later[0][0] <= now:
            moment, key = heapq.heappop(self._later)
            if self._looks.get(key) == moment:
                del self._looks[key]
                self.wake(key)

    async def _next_change(self) -> None:
        if not self._later:
            await self._changed.wait()
            return
        changed = asyncio.ensure_future(self._changed.wait())
        moment = asyncio.ensure_future(self._clock.sleep_until(self._later[0][0]))
        try:
            await asyncio.wait({changed, moment}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            moment.cancel()

    async def _pass(self, key: str) -> None:
        self._again.discard(key)
        failed = False
        try:
            look = await self._work(key)
            self._failures.pop(key, None)
        except LoginLost:
            raise
        except Exception as error:  # noqa: BLE001 - a worker's failure is its own, logged and tried again
            look, failed = self._after_failure(key, error), True
        finally:
            self._running.discard(key)
        if look is not None:
            self._looks[key] = look
            heapq.heappush(self._later, (look, key))
        if key in self._again and not failed:
            self.wake(key)
        self._changed.set()
        if not self._waiting and not self._running:
            self._rested.set()

    def _after_failure(self, key: str, error: Exception) -> datetime:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        longest = FIRST_PAUSE * (1 << min(failures - 1, 10))
        pause = min(LONGEST_PAUSE, longest) * (0.5 + self._chance() / 2)
        if isinstance(error, Temporary):
            pause = error.retry_after or pause
            log.info("again later", key=key, why=error.reason, seconds=round(pause.total_seconds(), 1))
        else:
            log.error("a pass failed", key=key, exc_info=error)
        return self._clock.now() + pause
