"""One worker per key: woken as often as you like, never two at once, again after a failure."""

from __future__ import annotations

import asyncio
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
    """Calls `work(key)` for each woken key, at most `most` of them at a time.

    `work` makes things so and returns when to look again (None: when woken). A wake during a pass causes another
    pass. `Temporary` means again, not before its `retry_after`; any other exception is logged and tried again after
    a growing pause. No wake shortens such a pause. Only `LoginLost` leaves. `passed` hears how each pass ended:
    `done`, `again` (`Temporary`) or `failed`.
    """

    def __init__(
        self,
        work: Callable[[str], Awaitable[datetime | None]],
        clock: Clock,
        *,
        most: int = 16,
        chance: Callable[[], float] = random.random,
        passed: Callable[[str], None] = lambda _outcome: None,
    ) -> None:
        self._work, self._clock, self._most, self._chance, self._passed = work, clock, most, chance, passed
        self._woken: dict[str, datetime] = {}
        """When each key was first woken since its last pass began."""
        self._unserved: dict[str, datetime] = {}
        """When those were woken whose pass is under way, or failed."""
        self._looks: dict[str, datetime] = {}
        self._pauses: dict[str, datetime] = {}
        self._failures: dict[str, int] = {}
        self._running: set[str] = set()
        self._changed = asyncio.Event()
        self._rested = asyncio.Event()

    def wake(self, key: str) -> None:
        """Ask for a pass over `key`, soon."""
        self._woken.setdefault(key, self._clock.now())
        self._changed.set()

    @property
    def oldest_wake_s(self) -> float:
        """For how many seconds the oldest wake is not served: no pass that began after it has come to a good end."""
        now = self._clock.now()
        oldest = min((*self._woken.values(), *self._unserved.values()), default=now)
        return (now - oldest).total_seconds()

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing could run now."""
        return not self._running and not self._ripe()

    async def idle(self) -> None:
        """Return when nothing runs and nothing could run now."""
        while not self.is_idle:
            self._rested.clear()
            await self._rested.wait()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as passes:
            while True:
                self._changed.clear()
                for key in self._ripe()[: self._most - len(self._running)]:
                    self._begin(key)
                    passes.create_task(self._pass(key))
                self._rested.set()
                await self._next_change()

    def _ripe(self) -> list[str]:
        """The keys that could have a pass now, the first woken first."""
        now = self._clock.now()
        due = (key for key, moment in self._looks.items() if moment <= now)
        return [
            key
            for key in dict.fromkeys((*self._woken, *due))
            if key not in self._running and (key not in self._pauses or self._pauses[key] <= now)
        ]

    def _begin(self, key: str) -> None:
        self._running.add(key)
        if woken := self._woken.pop(key, None):
            self._unserved.setdefault(key, woken)
        self._looks.pop(key, None)
        self._pauses.pop(key, None)

    async def _next_change(self) -> None:
        later = [*self._looks.values(), *self._pauses.values()]
        if not later or len(self._running) >= self._most:
            await self._changed.wait()
            return
        changed = asyncio.ensure_future(self._changed.wait())
        moment = asyncio.ensure_future(self._clock.sleep_until(min(later)))
        try:
            await asyncio.wait({changed, moment}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            moment.cancel()

    async def _pass(self, key: str) -> None:
        try:
            look = await self._work(key)
        except LoginLost:
            raise
        except Exception as error:  # noqa: BLE001 - a worker's failure is its own, logged and tried again
            self._pauses[key] = self._looks[key] = self._after_failure(key, error)
        else:
            self._failures.pop(key, None)
            self._unserved.pop(key, None)
            self._passed("done")
            if look is not None:
                self._looks[key] = look
        finally:
            self._running.discard(key)
            self._changed.set()

    def _after_failure(self, key: str, error: Exception) -> datetime:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(failures - 1, 10)))
        pause = longest * (0.5 + self._chance() / 2)
        if isinstance(error, Temporary):
            pause = error.retry_after or pause
            self._passed("again")
            log.info("again later", key=key, why=error.reason, seconds=round(pause.total_seconds(), 1))
        else:
            self._passed("failed")
            log.error("a pass failed", key=key, exc_info=error)
        return self._clock.now() + pause
