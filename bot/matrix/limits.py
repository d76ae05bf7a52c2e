"""How fast the homeserver lets us work, learned from what it refuses, and whose request goes first."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count

from bot.clock import Clock
from bot.matrix.ids import RoomId
from bot.matrix.ports import Pace, Urgency

MOST_IN_FLIGHT = 6
"""Requests at a time, answers not counted."""

KEPT_FOR_ANSWERS = 2
"""Tokens that only an answer may take, so that somebody who types hears something."""

_NOTHING = 1e-6
_FIRST_GUESS = 0.05
_WEIGHT_OF_NEW = 0.1


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens that come back steadily: `left` of them at the moment `at`. The defaults are a stock Synapse's."""

    at: datetime
    left: float = 0.0
    per_second: float = 0.2
    burst: float = 10.0

    def filled(self, now: datetime) -> Bucket:
        """The bucket at a later moment; a clock set back changes nothing."""
        passed = max(0.0, (now - self.at).total_seconds())
        return replace(self, at=max(now, self.at), left=min(self.burst, self.left + passed * self.per_second))

    def taken(self, now: datetime) -> Bucket:
        """The bucket after one more request."""
        filled = self.filled(now)
        return replace(filled, left=filled.left - 1)

    def refused(self, now: datetime, retry_after: timedelta) -> Bucket:
        """The bucket after a refusal: its next token comes at `retry_after`.

        No wait for the common limit is longer than one token takes; a longer one is of another limit (new rooms,
        invites of one person), which must not hold up everything else.
        """
        wait = min(retry_after.total_seconds(), 1 / self.per_second)
        return replace(self.filled(now), left=1 - wait * self.per_second)

    def has(self, tokens: float) -> datetime:
        """The moment from which `tokens` are there."""
        lacking = tokens - self.left
        return self.at if lacking < _NOTHING else self.at + timedelta(seconds=lacking / self.per_second)


@dataclass(order=True, slots=True)
class _Turn:
    urgency: Urgency
    number: int
    room: RoomId | None = field(compare=False)
    go: asyncio.Future[None] = field(compare=False)

    @property
    def tokens(self) -> int:
        """How many tokens must be there for it to go."""
        return 1 if self.urgency is Urgency.ANSWER else 1 + KEPT_FOR_ANSWERS


class Limiter:
    """Between those who ask and the network: unlimited until the homeserver first refuses for haste."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bucket: Bucket | None = None
        self._seconds = _FIRST_GUESS
        self._numbers = count()
        self._waiting: list[_Turn] = []
        self._busy: set[RoomId] = set()
        self._in_flight = 0
        self._timer: asyncio.Task[None] | None = None
        self._timer_at: datetime | None = None

    @asynccontextmanager
    async def turn(self, room: RoomId | None, urgency: Urgency) -> AsyncIterator[None]:
        """Wait for the turn of a request about `room` (None: about no room yet); hold it until the answer is there."""
        turn = _Turn(urgency, next(self._numbers), room, asyncio.get_running_loop().create_future())
        bisect.insort(self._waiting, turn)
        self._admit()
        try:
            await turn.go
            yield
        finally:
            self._end(turn)

    def note(self, seconds: float) -> None:
        """One request took so long."""
        self._seconds += _WEIGHT_OF_NEW * (seconds - self._seconds)

    def throttled(self, retry_after: timedelta) -> None:
        """The homeserver refused a request for haste."""
        now = self._clock.now()
        self._bucket = (self._bucket or Bucket(now)).refused(now, retry_after)
        self._admit()

    def pace(self) -> Pace:
        """What is known of the limits."""
        if self._bucket is None:
            return Pace(self._seconds)
        left = max(0.0, self._bucket.filled(self._clock.now()).left)
        return Pace(self._seconds, self._bucket.per_second, left)

    def _admit(self) -> None:
        """Let go whoever may go now, the most urgent first; see to it that the next is looked at in time."""
        blocked_until: datetime | None = None
        for turn in tuple(self._waiting):
            if turn.go.done():  # cancelled, and not yet awake to leave
                continue
            if turn.room in self._busy or (self._in_flight >= MOST_IN_FLIGHT and turn.urgency is not Urgency.ANSWER):
                continue
            now = self._clock.now()
            if self._bucket is not None:
                moment = self._bucket.filled(now).has(turn.tokens)
                if moment > now:
                    blocked_until = moment
                    break
                self._bucket = self._bucket.taken(now)
            self._begin(turn)
        self._look_again_at(blocked_until)

    def _begin(self, turn: _Turn) -> None:
        self._waiting.remove(turn)
        if turn.room is not None:
            self._busy.add(turn.room)
        if turn.urgency is not Urgency.ANSWER:
            self._in_flight += 1
        turn.go.set_result(None)

    def _end(self, turn: _Turn) -> None:
        if turn in self._waiting:
            self._waiting.remove(turn)
        else:
            if turn.room is not None:
                self._busy.discard(turn.room)
            if turn.urgency is not Urgency.ANSWER:
                self._in_flight -= 1
        self._admit()

    def _look_again_at(self, moment: datetime | None) -> None:
        if moment == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = moment
        self._timer = None if moment is None else asyncio.get_running_loop().create_task(self._ring(moment))

    async def _ring(self, moment: datetime) -> None:
        await self._clock.sleep_until(moment)
        self._timer, self._timer_at = None, None
        self._admit()
