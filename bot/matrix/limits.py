"""How fast the homeserver lets us work, learned from what it refuses, and whose request goes first."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import count

from bot.clock import Clock
from bot.errors import Outdated
from bot.matrix.ids import RoomId
from bot.matrix.ports import Pace, Urgency

IN_FLIGHT = 8
"""Requests at a time, answers not counted: with 4 a start takes a tenth longer, and with 12 no less than with 8."""

KEPT_FOR_ANSWERS = 2
"""Tokens that only an answer may take, so that somebody who types hears something."""

STOCK = 0.2
"""Requests in a second of a Synapse that nobody configured (`rc_message`), 10 at once."""

STOCK_ROOMS = 0.016
"""New rooms in a second of such a one (`rc_room_creation`, since 1.136), 10 at once."""

LONGEST_TOKEN = timedelta(seconds=10)
"""Who asks for a longer wait means another limit (new rooms, invites of one person), or is a proxy."""

TELLING = timedelta(seconds=1)
"""A shorter wait says little of how often tokens come: the next one may be near on any server."""

TRUSTED = timedelta(minutes=10)
"""So long after its last refusal the homeserver is asked for more than it gave, by what need not be in time."""

HANGING = timedelta(seconds=3)
"""A request without an answer for so long, and for ten times the usual, is taken to hang: it holds no other back."""

MOST_HANGING = 32
"""So many at most: a server that answers nothing is not asked for ever more."""

SOON = timedelta(seconds=2)
"""So long after an urgent request, where tokens are few, what can wait leaves them to the next such request."""

LONG_AGO, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

_URGENT = frozenset({Urgency.LOCK, Urgency.INVITE})

_ENOUGH = 12
"""Requests that a trial lets through in a row before the limit counts as lifted: more than a stock burst."""

_NOTHING = 1e-6
_FIRST_GUESS = 0.05
_WEIGHT_OF_NEW = 0.1


class Limit(Enum):
    """Which of the homeserver's limits a request meets first."""

    MESSAGES = "all that makes events"
    NEW_ROOMS = "new rooms"
    JOINS = "joins, of which the bot makes so few that nothing is learned from them"


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens that come back steadily: `left` of them at the moment `at`."""

    at: datetime
    left: float = 0.0
    per_second: float = STOCK
    burst: float = 10.0

    def filled(self, now: datetime) -> Bucket:
        """The bucket at a later moment; a clock set back changes nothing."""
        passed = max(0.0, (now - self.at).total_seconds())
        return replace(self, at=max(now, self.at), left=min(self.burst, self.left + passed * self.per_second))

    def taken(self, now: datetime) -> Bucket:
        """The bucket after one more request."""
        filled = self.filled(now)
        return replace(filled, left=filled.left - 1)

    def refused(self, now: datetime, wait: timedelta) -> Bucket:
        """The bucket after a refusal: its next token comes after `wait`, at most what one token takes."""
        seconds = min(wait.total_seconds(), 1 / self.per_second)
        return replace(self.filled(now), left=1 - seconds * self.per_second)

    def has(self, tokens: float) -> datetime:
        """The moment from which `tokens` are there."""
        lacking = tokens - self.left
        return self.at if lacking < _NOTHING else self.at + timedelta(seconds=lacking / self.per_second)


def per_second(longest: timedelta) -> float:
    """How many tokens come in a second, from the longest wait for one: waits are between nothing and one token.

    A wait of some seconds is taken for a stock server's, whose tokens take five.
    """
    stock = 1 / STOCK
    seconds = max(longest.total_seconds(), 0.01)
    return STOCK if TELLING.total_seconds() < seconds <= stock else 1 / seconds


@dataclass(order=True, slots=True)
class _Turn:
    urgency: Urgency
    number: int
    room: RoomId | None = field(compare=False)
    go: asyncio.Future[None] = field(compare=False)

    began: datetime = field(default=LONG_AGO, compare=False)

    @property
    def is_answer(self) -> bool:
        """Whether somebody who typed waits for it."""
        return self.urgency is Urgency.ANSWER

    @property
    def can_wait(self) -> bool:
        """Whether it matters little when it goes."""
        return self.urgency > Urgency.INVITE

    @property
    def tokens(self) -> int:
        """How many tokens must be there for it to go."""
        return 1 if self.is_answer else 1 + KEPT_FOR_ANSWERS


@dataclass(frozen=True, slots=True)
class _Alive:
    """The requests that may be answered soon; the first began first."""

    turns: Sequence[_Turn]
    patience: timedelta

    @property
    def rooms(self) -> Mapping[RoomId | None, datetime]:
        """The rooms in which one of them is, and when it counts as hanging."""
        return {turn.room: turn.began + self.patience for turn in self.turns if turn.room is not None}


class Limiter:
    """Between those who ask and the network: unlimited until the homeserver first refuses for haste."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bucket: Bucket | None = None
        self._longest = timedelta()
        """Of the waits for one token."""
        self._refused_at = clock.now()
        self._trial = 0
        """Requests that went through in a row though there was no token for them."""
        self._new_rooms = Bucket(clock.now(), left=10, per_second=STOCK_ROOMS)
        self._new_rooms_refused = False
        self._seconds = _FIRST_GUESS
        self._numbers = count()
        self._waiting: list[_Turn] = []
        self._in_flight: dict[int, _Turn] = {}
        """By number; the first began first."""
        self._urgent_at = LONG_AGO
        """When the last lock or invite was answered."""
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
        except Outdated:
            self._give_back()
            raise
        finally:
            self._end(turn)

    def believe(self, rate: float) -> None:
        """The homeserver let a former process make so many requests in a second: so it is taken to do, and tried."""
        now = self._clock.now()
        self._bucket = self._bucket or Bucket(now, left=10, per_second=rate)
        self._longest = timedelta(seconds=1 / rate)
        self._refused_at = now - TRUSTED

    def note(self, seconds: float, limit: Limit = Limit.MESSAGES) -> None:
        """One request was answered after so long."""
        self._seconds += _WEIGHT_OF_NEW * (seconds - self._seconds)
        if limit is Limit.NEW_ROOMS:
            self._new_rooms = self._new_rooms.taken(self._clock.now())

    def throttled(self, wait: timedelta, limit: Limit = Limit.MESSAGES) -> None:
        """The homeserver refused a request for haste and asks to wait so long."""
        now = self._clock.now()
        if limit is Limit.JOINS:
            return
        if limit is Limit.NEW_ROOMS and wait > LONGEST_TOKEN:
            self._new_rooms = self._new_rooms.refused(now, wait)
            self._new_rooms_refused = True
            return
        if self._is_trial(now) and wait > TELLING:
            self._longest = timedelta()
        self._refused_at, self._trial = now, 0
        if wait <= LONGEST_TOKEN:
            self._longest = max(self._longest, wait)
        rate = per_second(self._longest) if self._longest else STOCK
        self._bucket = replace(self._bucket or Bucket(now), per_second=rate).refused(now, wait)
        self._admit()

    def pace(self) -> Pace:
        """What is known of the limits; a server with the stock limit for messages is taken to have that for rooms."""
        if self._bucket is None:
            return Pace(self._seconds)
        now = self._clock.now()
        left = self._bucket.filled(now).left - KEPT_FOR_ANSWERS
        pace = Pace(self._seconds, self._bucket.per_second, left)
        if self._new_rooms_refused or self._bucket.per_second == STOCK:
            rooms = self._new_rooms.filled(now)
            return replace(pace, rooms_per_second=rooms.per_second, rooms_left=max(0.0, rooms.left))
        return pace

    def _is_trial(self, now: datetime) -> bool:
        return now - self._refused_at >= TRUSTED

    def _admit(self) -> None:
        """Let go whoever may go now, the most urgent first; see to it that the next is looked at in time."""
        now, later = self._clock.now(), list[datetime]()
        alive = self._alive(now)
        for turn in tuple(self._waiting):
            if turn.go.done():  # cancelled, and not yet awake to leave
                continue
            if not turn.is_answer and (free := self._free_at(alive)) > now:
                later.append(free)
                break
            if turn.room in alive.rooms:
                later.append(alive.rooms[turn.room])
                continue
            if self._bucket is not None:
                if turn.can_wait and (moment := self._others_first(alive)) > now:
                    later.append(moment)
                    break
                moment = self._bucket.filled(now).has(turn.tokens)
                if moment > now:
                    if turn.urgency <= Urgency.LOCK or self._in_flight or not self._is_trial(now):
                        later.append(moment)
                        break
                    self._trial += 1
                if self._trial > _ENOUGH:
                    self._bucket, self._longest = None, timedelta()
                else:
                    self._bucket = self._bucket.taken(now)
            self._begin(turn, now)
            alive = self._alive(now)
        self._look_again_at(min((moment for moment in later if moment is not NEVER), default=None))

    def _alive(self, now: datetime) -> _Alive:
        """What is in flight and does not hang."""
        patience = max(HANGING, timedelta(seconds=10 * self._seconds))
        return _Alive([turn for turn in self._in_flight.values() if now < turn.began + patience], patience)

    def _free_at(self, alive: _Alive) -> datetime:
        """When one more request that is no answer may go, where nothing is answered meanwhile."""
        if len(self._in_flight) - len(alive.turns) > MOST_HANGING:
            return NEVER
        counted = [turn for turn in alive.turns if not turn.is_answer]
        if len(counted) < IN_FLIGHT:
            return LONG_AGO
        return counted[-IN_FLIGHT].began + alive.patience

    def _others_first(self, alive: _Alive) -> datetime:
        """Until when what can wait does so: urgent requests come in a row, each when the one before is noted."""
        urgent = (turn.began + alive.patience for turn in alive.turns if turn.urgency in _URGENT)
        return max(urgent, default=self._urgent_at + SOON)

    def _begin(self, turn: _Turn, now: datetime) -> None:
        self._waiting.remove(turn)
        turn.began = now
        self._in_flight[turn.number] = turn
        turn.go.set_result(None)

    def _give_back(self) -> None:
        """The token of a turn that nobody used: the next one need not wait for it."""
        if self._bucket is not None:
            self._bucket = replace(self._bucket, left=min(self._bucket.burst, self._bucket.left + 1))

    def _end(self, turn: _Turn) -> None:
        if turn in self._waiting:
            self._waiting.remove(turn)
        else:
            del self._in_flight[turn.number]
            if turn.urgency in _URGENT:
                self._urgent_at = self._clock.now()
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
