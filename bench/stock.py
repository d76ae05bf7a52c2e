"""A Synapse that nobody configured: ten events at once, then one in 5 s; small sizes measured, others computed.

The bot is an ordinary account there. People are not limited, so that only its pace is measured.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench.cycle import Obeying, measure
from bench.ground import Size, greeted, ground
from bench.operations import END, SETUP, START
from bench.players import our_bot
from bench.results import Results
from bot.matrix.limits import KEPT_FOR_ANSWERS, STOCK, STOCK_ROOMS
from plugins.breakout.domain.plan import MOST_AT_CREATION

BURST = 10
OTHERS = {START.name: 1, END.name: 3}
"""Messages for the main room that go out before the last invite, or the last removal."""


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
    """Set up, start and end once."""
    key = {"rooms": size.rooms, "people": size.people}
    if results.has("stock", **key):
        return
    async with ground(limits="stock") as there, our_bot(there) as ours:
        hall = await there.hall(size.rooms, await there.crowd(size.people), ours.user_id)
        await greeted(hall)
        rows = []
        for operation in (SETUP, START, END):
            rows.append(await measure(there, Obeying(ours), operation, hall))
            print(f"stock limits, {size}: {rows[-1]}", flush=True)
            await hall.watch.quiet(BURST / STOCK)  # every token is back, whatever was still queued
        results.add("stock", rows, **key)
