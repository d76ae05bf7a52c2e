"""What time it is, and waiting for a moment of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The one source of time; every moment is an aware datetime in UTC."""

    def now(self) -> datetime:
        """The present moment."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Return at `moment`, at once if it has passed."""
        ...


class SystemClock:
    """The machine's clock, looked at again at least every 20 s, since it may be set while we sleep."""

    LONGEST_SLEEP = 20.0

    def now(self) -> datetime:
        """The present moment."""
        return datetime.now(UTC)

    async def sleep_until(self, moment: datetime) -> None:
        """Return at `moment`, at once if it has passed."""
        while (left := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - no event tells of a set clock
            await asyncio.sleep(min(left, self.LONGEST_SLEEP))


def to_ms(moment: datetime) -> int:
    """A moment as integer milliseconds since the epoch, the form in which the store and Matrix hold it."""
    return round(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """The moment that `to_ms` wrote."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
