"""What a pass has under way: where a request hangs, the pass does not wait for it with what is more urgent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from types import TracebackType
from typing import Self

from bot.clock import Clock
from plugins.breakout.domain.pauses import Place
from plugins.breakout.domain.plan import Stage

LOOK_UP = timedelta(seconds=5)
"""How often it is looked whether something more urgent has come up, while a stage goes on."""


class UnderWay:
    """The steps of the stages that are begun; what is left of them goes down with the pass."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: dict[asyncio.Task[None], tuple[Stage, Place]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self, stage: Stage, place: Place, work: Coroutine[None, None, None]) -> None:
        """Set about a room's steps of a stage."""
        self._tasks[asyncio.create_task(work)] = stage, place

    def may_begin(self, stage: Stage, place: Place) -> bool:
        """Whether a stage comes before all that is under way; every other one waits until that is through.

        Nothing begins in a room that is being left: whoever would be invited there would find nobody.
        """
        return all(stage < other and (Stage.GO, place) != (other, where) for other, where in self._tasks.values())

    @property
    def is_through(self) -> bool:
        """Whether nothing is under way."""
        return not self._tasks

    async def through(self, is_urgent: Callable[[], Awaitable[bool]]) -> bool:
        """Wait until the first stage is through, and raise what failed; False where something urgent comes up."""
        first = min((stage for stage, _ in self._tasks.values()), default=None)
        steps = [task for task, (stage, _) in self._tasks.items() if stage is first]
        while not all(step.done() for step in steps):
            nap = asyncio.ensure_future(self._clock.sleep_until(self._clock.now() + LOOK_UP))
            work = asyncio.ensure_future(asyncio.wait(steps))
            try:
                await asyncio.wait({nap, work}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                nap.cancel()
                work.cancel()
            if not work.done() and await is_urgent():
                return False
        for step in steps:
            del self._tasks[step]
        for step in steps:
            step.result()
        return True
