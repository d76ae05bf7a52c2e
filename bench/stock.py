"""A Synapse that nobody configured: ten events at once, then one in 5 s; small sizes measured, others computed.

Bots are ordinary accounts there, each with limits of its own. People are not limited, so that only a bot's pace is
measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.cycle import Obeying, measure
from bench.ground import Ground, Size, greeted, ground
from bench.operations import END, OURS, PEER, PREPARE, SETUP, START, START_PREPARED, Operation
from bench.players import SETTINGS, our_bot, the_peer
from bench.results import Results, Row
from bench.watch import Kind
from bot.matrix.limits import KEPT_FOR_ANSWERS, STOCK, STOCK_ROOMS
from bot.testing.raw import RawUser
from plugins.breakout.domain.plan import MOST_AT_CREATION

BURST = 10
OTHERS = {START.name: 3, END.name: 3}
"""Messages for the main room that go out before the last invite, or the last removal."""

ALL_TOKENS = BURST / STOCK
"""Seconds after which every token is back, whatever was still queued."""


@dataclass(frozen=True)
class Door:
    """A way into the rooms: what is done, one after another; the last start is what is timed against the peer's."""

    name: str
    who: str
    operations: Sequence[Operation]
    settings: Mapping[str, Any]


# People walk in by links: the rooms are there, and the main room is told.
_PREPARE_OPEN = replace(PREPARE, needs=lambda size: {Kind.OPEN: size.rooms, Kind.REPLY: 1}, key=Kind.OPEN)
_START_OPEN = replace(START, needs=lambda size: {Kind.OPEN: size.rooms, Kind.REPLY: 3}, key=Kind.OPEN)
_START_PREPARED_OPEN = replace(START_PREPARED, needs=lambda _: {Kind.REPLY: 3}, key=Kind.REPLY)
_OPEN = {**SETTINGS, "door": "open"}

INVITE = Door("invite", OURS, (SETUP, START, END), SETTINGS)
DOORS = (
    INVITE,
    Door("invite, prepared", OURS, (SETUP, PREPARE, START_PREPARED), SETTINGS),
    Door("open", OURS, (SETUP, _START_OPEN), _OPEN),
    Door("open, prepared", OURS, (SETUP, _PREPARE_OPEN, _START_PREPARED_OPEN), _OPEN),
    Door(PEER, PEER, (SETUP, START), {}),
)
BY_LINKS = tuple(door.name for door in DOORS if door.settings is _OPEN)
"""Doors through which people walk by links in the main room, invited by nobody."""

STARTS = (START.name, START_PREPARED.name)


def seconds(operation: str, size: Size) -> float:
    """How long the limits alone make it take: until the last invite of a start, until the last is out at the end."""
    invites = max(0, size.people - size.rooms * MOST_AT_CREATION)
    requests: Mapping[str, int] = {
        START.name: size.rooms + invites,
        END.name: 2 * size.rooms + size.people,  # a lock and a message a room, a removal a person
    }
    messages = max(0, requests[operation] + OTHERS[operation] - (BURST - KEPT_FOR_ANSWERS)) / STOCK
    new_rooms = max(0, size.rooms - BURST) / STOCK_ROOMS if operation == START.name else 0.0
    return max(messages, new_rooms)


async def stock(results: Results, size: Size) -> None:
    """Set up, start and end once, through each door; and the peer."""
    key = {"rooms": size.rooms, "people": size.people}
    missing = [door for door in DOORS if not results.has("stock", **key, door=door.name)]
    if not missing:
        return
    async with ground(limits="stock") as there:
        people = await there.crowd(size.people)
        doors = (_note(there, door, people, size, results) for door in missing)
        done = await asyncio.gather(*doors, return_exceptions=True)  # one that fails loses no other
    if faults := [fault for fault in done if isinstance(fault, Exception)]:
        raise ExceptionGroup(f"stock limits, {size}", faults)


async def _note(there: Ground, door: Door, people: Sequence[RawUser], size: Size, results: Results) -> None:
    """All doors side by side: almost all of the time is spent waiting for tokens, and each account has its own."""
    rows = await _through(there, door, people, size.rooms)
    results.add("stock", rows, rooms=size.rooms, people=size.people, door=door.name)
    print(f"stock limits, {size}, {door.name}: {rows}", flush=True)


async def _through(there: Ground, door: Door, people: Sequence[RawUser], rooms: int) -> list[Row]:
    name = "".join(filter(str.isalpha, door.name))
    bot = our_bot(there, name=name, settings=door.settings) if door.who == OURS else the_peer(there, name=name)
    async with bot as player:
        hall = await there.hall(rooms, people, player.user_id)
        await greeted(hall)
        rows: list[Row] = []
        for operation in door.operations:
            if rows:
                await hall.watch.quiet(ALL_TOKENS)
            rows.append(await measure(there, Obeying(player), operation, hall))
        return rows
