"""Following what happens: our own loop around `/sync`, which neither spins, nor ends, nor leaves a batch out."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Protocol, TypeVar

import structlog

from bot.clock import Clock
from bot.errors import LoginLost, MatrixError, Permanent, Temporary
from bot.matrix.events import RawEvent, RoomDelta, SyncBatch
from bot.matrix.ids import RoomId
from bot.matrix.ports import Reader

log = structlog.get_logger(__name__)

LONG_POLL = 20.0
"""Seconds that the homeserver may hold a request open until there is news; one that is lost is noticed no earlier."""

FEW_TO_ASK = 10
"""State events that are asked for one by one; more than that all at once."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0

PATIENCE = timedelta(minutes=2)
"""So long a question about a room is asked again; then the batch is, which tells whether anything is answered."""

FEW_TRIES = 2
"""Of a question about a room that was asked in vain for so long, while syncs are answered."""


MOST_TOLD = 10_000
"""State events whose ids are remembered, so that what is told once more need not be asked for (3 MB)."""

T = TypeVar("T")


class Accept(Protocol):
    """Takes a batch in for good; whatever it raises, it gets the same batch again."""

    async def __call__(self, batch: SyncBatch, *, first: bool) -> None:
        """`first` is true for the first batch of this process, before which there may have been a long gap."""
        ...


async def follow(
    reader: Reader,
    since: str | None,
    accept: Accept,
    clock: Clock,
    *,
    chance: Callable[[], float] = random.random,
    broke: Callable[[], None] = lambda: None,
) -> None:
    """Hand one batch after another to `accept`, from the token `since` on; only `LoginLost` ends it.

    `broke` is called at each failure that is not the homeserver's.

    Without `since`, the account's past is not news: of the first batch only the state is handed on.
    """
    first, failures, whole = True, 0, _Whole(reader, clock, chance)
    while True:
        try:
            batch = await reader.sync(since, 0.0 if first else LONG_POLL)
            batch = _state_only(batch) if since is None else await whole.batch(batch, since)
            await accept(batch, first=first)
        except LoginLost:
            raise
        except Exception as error:
            pause = _pause(failures, error, chance())
            failures += 1
            if isinstance(error, MatrixError):
                log.warning("sync failed", why=str(error), again_in_s=round(pause.total_seconds(), 1))
            else:
                broke()
                log.exception("a batch could not be taken in", again_in_s=round(pause.total_seconds(), 1))
            await clock.sleep_until(clock.now() + pause)
        else:
            since, first, failures = batch.token, False, 0
            whole.taken(batch)


def _pause(failures: int, error: Exception, chance: float) -> timedelta:
    """Twice as long each time, up to the half of it by chance, so that bots do not come back all at once."""
    seconds = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 10)) * (0.5 + chance / 2)
    asked = error.retry_after if isinstance(error, Temporary) else None
    return max(timedelta(seconds=seconds), asked or timedelta())


def _state_only(batch: SyncBatch) -> SyncBatch:
    return replace(batch, joined={room: _state_of(delta) for room, delta in batch.joined.items()})


def _state_of(delta: RoomDelta) -> RoomDelta:
    return RoomDelta(delta.state, tuple(event for event in delta.timeline if "state_key" in event))


class _NoAnswerError(Exception):
    """The homeserver answers syncs, and not a question about one room."""


class _Whole:
    """Adds what a batch leaves out and drops what is not so; a question that fails is asked again, and holds it.

    Not for ever, where only one room's questions fail: all the others would hear nothing any more.
    """

    def __init__(self, reader: Reader, clock: Clock, chance: Callable[[], float]) -> None:
        self._reader, self._clock, self._chance = reader, clock, chance
        self._mute: set[RoomId] = set()
        """Rooms about which the last question was asked in vain."""
        self._told: OrderedDict[tuple[RoomId, object, object], object] = OrderedDict()
        """The id of the last event that was taken in of each state, as far as remembered."""

    def taken(self, batch: SyncBatch) -> None:
        """The batch is taken in: what it told is no news any more."""
        for room, delta in batch.joined.items():
            for event in (*delta.state, *delta.timeline):
                if "state_key" in event:
                    which = (room, event.get("type"), event.get("state_key"))
                    self._told[which] = event.get("event_id")
                    self._told.move_to_end(which)
        while len(self._told) > MOST_TOLD:
            self._told.popitem(last=False)

    async def batch(self, batch: SyncBatch, since: str) -> SyncBatch:
        """The batch with all that happened since `since`, and no state that does not hold any more."""
        joined = {room: await self._delta(room, delta, since) for room, delta in batch.joined.items()}
        return replace(batch, joined=joined)

    async def _delta(self, room: RoomId, delta: RoomDelta, since: str) -> RoomDelta:
        if _is_new(delta):
            return delta
        timeline = delta.timeline if delta.gap is None else await self._filled(room, delta, delta.gap, since)
        # State that is in the timeline stands there in its place; before it, it would come too early.
        ids = {event.get("event_id") for event in timeline}
        state = [e for e in delta.state if e.get("event_id") not in ids and not self._is_told(room, e)]
        return RoomDelta(await self._holding(room, state), timeline)

    def _is_told(self, room: RoomId, event: RawEvent) -> bool:
        """Whether this very event is the last that we took in of its state."""
        which = (room, event.get("type"), event.get("state_key"))
        return which in self._told and self._told[which] == event.get("event_id")

    async def _filled(self, room: RoomId, delta: RoomDelta, gap: str, since: str) -> tuple[RawEvent, ...]:
        """The timeline with what was left out before it."""
        try:
            earlier = await self._again(room, lambda: self._reader.messages_before(room, gap, since))
        except (Permanent, _NoAnswerError) as refused:
            log.warning("what was missed cannot be read", room=room, why=str(refused))
            return delta.timeline
        return tuple(_each_once((*earlier, *delta.timeline)).values())

    async def _holding(self, room: RoomId, state: Sequence[RawEvent]) -> tuple[RawEvent, ...]:
        """Of state that was told, what is so now.

        A room is a graph of events: where a message was sent while the state changed, Synapse tells the state of the
        message's branch once more, after the change (its `_calculate_state`; in a lively room one batch in four).
        """
        if not state:
            return ()
        try:
            if len(state) > FEW_TO_ASK:
                whole = await self._again(room, lambda: self._reader.state(room))
                now = {(event.get("type"), event.get("state_key")): event.get("content") for event in whole}
                return tuple(e for e in state if now.get((e.get("type"), e.get("state_key"))) == e.get("content"))
            return tuple([event for event in state if await self._holds(room, event)])
        except (Permanent, _NoAnswerError) as refused:
            log.info("what is so now may not be known", room=room, why=str(refused))
            return tuple(state)

    async def _holds(self, room: RoomId, event: RawEvent) -> bool:
        type_, key = event.get("type"), event.get("state_key")
        if not (isinstance(type_, str) and isinstance(key, str)):
            return True
        return await self._again(room, lambda: self._reader.content(room, type_, key)) == event.get("content")

    async def _again(self, room: RoomId, ask: Callable[[], Awaitable[T]]) -> T:
        """An answer, whenever. With many rooms one fails each time: the whole batch asked for again would never end.

        After `PATIENCE` it raises `Temporary`, and `_NoAnswerError` where the batch came again and this still fails.
        """
        began, is_mute = self._clock.now(), room in self._mute
        for failures in count():
            try:
                answer = await ask()
            except Temporary as error:
                if is_mute and failures + 1 >= FEW_TRIES:
                    raise _NoAnswerError(error.reason) from error
                if self._clock.now() - began >= PATIENCE:
                    self._mute.add(room)
                    raise
                pause = _pause(failures, error, self._chance())
                log.warning("what was missed cannot be read yet", room=room, why=str(error))
                await self._clock.sleep_until(self._clock.now() + pause)
            else:
                self._mute.discard(room)
                return answer
        raise AssertionError


def _is_new(delta: RoomDelta) -> bool:
    """Whether we have just come into the room: such a timeline is always limited, and what was before is not news."""
    return any(event.get("type") == "m.room.create" for event in (*delta.state, *delta.timeline))


def _each_once(events: Iterable[RawEvent]) -> Mapping[object, RawEvent]:
    found: dict[object, RawEvent] = {}
    for event in events:
        found.setdefault(event.get("event_id"), event)
    return found
