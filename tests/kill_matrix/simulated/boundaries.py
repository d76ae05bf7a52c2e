"""Counts the requests and commits of a bot on the fake homeserver, and hits it at one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from bot.errors import RateLimited, Temporary
from bot.matrix.events import RawEvent, RoomDelta, SyncBatch
from bot.matrix.ids import RoomId
from bot.store.connection import Connection
from bot.store.database import Database
from bot.testing.fake import FakeHomeserver, FakeServer

T = TypeVar("T")

HANGS = timedelta(seconds=30)
"""After which the client gives a request up."""


class Kind(StrEnum):
    """What can be hit."""

    REQUEST = "request"
    COMMIT = "commit"
    SYNC = "sync"


class Blow(StrEnum):
    """How something is hit."""

    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    FAILED_BEFORE = "failed before it acted"
    FAILED_AFTER = "failed after it acted"
    HUNG_BEFORE = "hung before it acted"
    HUNG_AFTER = "hung after it acted"
    THROTTLED = "429 for seconds"
    THROTTLED_LONG = "429 for minutes"
    GAP = "came with a gap"
    REPEATED = "came twice"
    OLD_STATE = "came with old state"


KILLS = (Blow.KILLED_BEFORE, Blow.KILLED_AFTER)
BLOWS = {
    Kind.REQUEST: tuple(blow for blow in Blow if blow not in (Blow.GAP, Blow.REPEATED, Blow.OLD_STATE)),
    Kind.COMMIT: KILLS,
    Kind.SYNC: (Blow.FAILED_BEFORE, Blow.GAP, Blow.REPEATED, Blow.OLD_STATE),
}

_WAITS = {Blow.THROTTLED: timedelta(seconds=5), Blow.THROTTLED_LONG: timedelta(minutes=3)}


@dataclass(frozen=True, slots=True)
class Point:
    """The `number`th request, commit or sync answer of an act of the session (from 0), and what happens to it."""

    act: str
    kind: Kind
    number: int
    blow: Blow


@dataclass(frozen=True, slots=True)
class Boundary:
    """What was seen at one number: in which act of the session, and what it was."""

    kind: Kind
    act: str
    what: str


class Fate:
    """Which boundaries there were so far, and at which points something happens: at most one in each act."""

    def __init__(self, points: Iterable[Point] = ()) -> None:
        self._points = {point.act: point for point in points}
        self.seen: list[Boundary] = []
        self.hit: dict[str, Boundary] = {}
        """What was hit, by act."""
        self.struck = asyncio.Event()
        """The process is dead, or waits for an answer that does not come."""
        self.is_dead = False
        self.is_buried = False
        """Its tasks are being ended."""
        self._act: str | None = None
        self._counts = dict.fromkeys(Kind, 0)

    def begin(self, act: str) -> None:
        """An act begins; before the first nothing is hit, nor counted."""
        self._act = act
        self._counts = dict.fromkeys(Kind, 0)

    def at(self, kind: Kind, what: str) -> Blow | None:
        """Note a boundary; returns what happens there."""
        if self._act is None:
            return None
        boundary = Boundary(kind, self._act, what)
        self.seen.append(boundary)
        number = self._counts[kind]
        self._counts[kind] += 1
        point = self._points.get(self._act)
        if point is None or (point.kind, point.number) != (kind, number):
            return None
        self.hit[self._act] = boundary
        return point.blow

    async def die(self) -> None:
        """The process ends here: nothing of it goes on."""
        self.is_dead = True
        self.struck.set()
        await self.if_dead()

    async def if_dead(self) -> None:
        """Return, unless there is nobody to return to."""
        if self.is_buried:  # what tidies up when it is cancelled has no business here
            raise asyncio.CancelledError
        if self.is_dead:
            await asyncio.Event().wait()


class MortalDatabase(Database):
    """Commits until the process dies."""

    fate = Fate()
    """Of nobody, until it is opened."""

    @asynccontextmanager
    async def write(self, committed: Callable[[], None] = lambda: None) -> AsyncIterator[Connection]:
        """As it is, with a boundary before and one after the commit."""
        blow = None
        async with super().write(committed) as connection:
            changes = connection.changes
            yield connection
            await connection.flush()
            await self.fate.if_dead()
            if connection.changes != changes:
                blow = self.fate.at(Kind.COMMIT, "commit")
            if blow is Blow.KILLED_BEFORE:
                await self.fate.die()
        if blow is Blow.KILLED_AFTER:
            await self.fate.die()


def mortal(fate: Fate) -> Callable[[Path], Any]:
    """Opens a store that shares this fate."""

    async def opened(folder: Path) -> Database:
        database = await MortalDatabase.open(folder)
        database.fate = fate
        return database

    return opened


class MortalHomeserver(FakeHomeserver):
    """Is asked until the process dies; fails, hangs, throttles and repeats itself where fate says so."""

    def __init__(self, server: FakeServer, fate: Fate) -> None:
        super().__init__(server)
        self.fate = fate
        self._token: str | None = None
        self._cut: dict[str, tuple[RawEvent, ...]] = {}

    def revive(self) -> None:
        """The process has started again: what the client knew of keys and tokens is gone."""
        self.fate.is_dead = self.fate.is_buried = False
        self._made.clear()
        self._token = None

    async def _call(self, verb: str, act: Callable[[], T], *arguments: Any) -> T:
        await self.fate.if_dead()
        if verb == "sync":
            return await super()._call(verb, act, *arguments)
        blow = self.fate.at(Kind.REQUEST, verb)
        if blow is None:
            return await super()._call(verb, act, *arguments)
        if blow in (Blow.KILLED_AFTER, Blow.FAILED_AFTER, Blow.HUNG_AFTER):
            await super()._call(verb, act, *arguments)
        if blow in KILLS:
            await self.fate.die()
        if blow in (Blow.HUNG_BEFORE, Blow.HUNG_AFTER):
            self.fate.struck.set()
            await self.server.clock.sleep_until(self.server.clock.now() + HANGS)
            await self.fate.if_dead()
        if blow in _WAITS:
            raise RateLimited(_WAITS[blow])
        raise Temporary(blow)

    async def sync(self, since: str | None, timeout_s: float) -> SyncBatch:
        """As it is; or fails, skips the oldest events, or says once more what it said last."""
        batch = await super().sync(since, timeout_s)
        await self.fate.if_dead()
        former, self._token = self._token, since
        match self.fate.at(Kind.SYNC, "sync"):
            case None:
                return batch
            case Blow.GAP:
                cut = {room: self._limited(room, delta) for room, delta in batch.joined.items()}
                return replace(batch, joined=cut)
            case Blow.OLD_STATE:
                old = {room: self._with_old_state(room, delta) for room, delta in batch.joined.items()}
                return replace(batch, joined=old)
            case Blow.REPEATED:
                again = await super().sync(former, 0)
                return replace(again, token=batch.token)
            case blow:
                self.fate.struck.set()  # it is asked again after a while
                raise Temporary(blow)

    async def messages_before(self, room: RoomId, token: str, until: str) -> Sequence[RawEvent]:
        """What a gap left out."""
        return self._cut.get(token) or await super().messages_before(room, token, until)

    def _with_old_state(self, room: RoomId, delta: RoomDelta) -> RoomDelta:
        """State that has been replaced told once more, as where a room has branched."""
        if any(event["type"] == "m.room.create" for event in (*delta.state, *delta.timeline)):
            return delta
        told: dict[tuple[str, str], list[RawEvent]] = {}
        for event in self.server.room(room).events:
            if "state_key" in event:
                told.setdefault((event["type"], event["state_key"]), []).append(event)
        old = tuple(events[-2] for events in told.values() if len(events) > 1)
        return RoomDelta((*delta.state, *old), delta.timeline, delta.gap)

    def _limited(self, room: RoomId, delta: RoomDelta) -> RoomDelta:
        """Only the newest event of a timeline; the state that changed before it comes as state."""
        if len(delta.timeline) < 2:
            return delta
        token = f"gap {room} {len(self._cut)}"
        self._cut[token] = delta.timeline[:-1]
        state = tuple(event for event in delta.timeline[:-1] if "state_key" in event)
        return RoomDelta((*delta.state, *state), delta.timeline[-1:], token)
