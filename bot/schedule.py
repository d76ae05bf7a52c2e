"""Ring me at this moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot.clock import Clock
from bot.store.alarms import earliest, take_due
from bot.store.database import Database

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 20
"""A clock that was set, or a machine that slept, is noticed after this long at most."""


class Bell(Protocol):
    """Calls back at a moment, or earlier."""

    def start(self, ring: Callable[[], None]) -> None: ...
    def set(self, moment: datetime | None) -> None: ...
    def stop(self) -> None: ...


class SchedulerBell:
    """APScheduler as an alarm clock: one job at the earliest alarm, one against steps of the clock.

    Nothing is kept in it: the alarms are rows, and a job only wakes whoever reads them.
    """

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._ring: Callable[[], None] = lambda: None

    def start(self, ring: Callable[[], None]) -> None:
        """Begin; `ring` is called in the event loop."""
        self._ring = ring
        self._scheduler.start()
        self._scheduler.add_job(self._called, "interval", seconds=LOOK_EVERY_S, id="look")

    def set(self, moment: datetime | None) -> None:
        """Call at `moment`, and no longer at the former one."""
        if self._scheduler.get_job("next"):
            self._scheduler.remove_job("next")
        if moment is not None:
            self._scheduler.add_job(self._called, "date", run_date=moment, id="next")

    def stop(self) -> None:
        """End."""
        self._scheduler.shutdown(wait=False)

    async def _called(self) -> None:
        self._ring()


class ClockBell:
    """Rings by a `Clock`, as tests that move it need."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ring: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None

    def start(self, ring: Callable[[], None]) -> None:
        """Begin."""
        self._ring = ring

    def set(self, moment: datetime | None) -> None:
        """Call at `moment`, and no longer at the former one."""
        self.stop()
        if moment is not None:
            self._task = asyncio.create_task(self._wait(moment))

    def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _wait(self, moment: datetime) -> None:
        await self._clock.sleep_until(moment)
        self._ring()


class Schedule:
    """Reads the alarm rows when the bell rings, and wakes those whose moment has come."""

    def __init__(
        self, database: Database, clock: Clock, wake: Callable[[str, str], None], bell: Bell | None = None
    ) -> None:
        self._database, self._clock, self._wake = database, clock, wake
        self._bell = bell or SchedulerBell()
        self._look = asyncio.Event()
        self._look.set()
        self._next: datetime | None = None
        self._rested = asyncio.Event()

    def changed(self) -> None:
        """An alarm was set or taken back."""
        self._look.set()

    @property
    def is_idle(self) -> bool:
        """Whether no alarm is due and none has to be looked at."""
        return self._rested.is_set() and not self._look.is_set() and not self._is_due()

    async def idle(self) -> None:
        """Return when every alarm that is due has rung."""
        while not self.is_idle:
            self._rested.clear()
            await self._rested.wait()

    def _is_due(self) -> bool:
        return self._next is not None and self._next <= self._clock.now()

    async def run(self) -> None:
        """Work until cancelled."""
        self._bell.start(self._look.set)
        try:
            while True:
                await self._look.wait()
                self._look.clear()
                self._rested.clear()
                await self._ring_due()
                self._rested.set()
        finally:
            self._bell.stop()

    async def _ring_due(self) -> None:
        now = self._clock.now()
        try:
            async with self._database.write() as connection:
                due = await take_due(connection, now)
                self._next = await earliest(connection)
        except Exception:  # the store may be full or locked for a while: no reason to end all that runs
            log.exception("the alarms could not be read")
            self._next = now + timedelta(seconds=LOOK_EVERY_S)
            due = ()
        for owner, key in due:
            self._wake(owner, key)
        self._bell.set(self._next)
