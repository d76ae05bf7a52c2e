"""How soon somebody who types is answered: idle, and while another session starts; beside a bot that only echoes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count

from bench.cycle import Obeying, measure
from bench.ground import PATIENCE, Hall, Size, all_of, greeted, ground, now
from bench.operations import DELETE, SETUP, START, WITHDRAW
from bench.players import Player, our_bot, the_peer
from bench.results import Results, Row
from bench.watch import Kind

CLASS = Size(3, 12)
"""The session whose moderator asks for the board."""

EVERY = 1.0
"""Seconds between two questions to one bot, answered or not: whoever waits for the answer first asks too rarely."""


async def answers(results: Results, load: Size, starts: int, idle: int) -> None:
    """So many questions to each bot while nothing else happens, then as many as fit into so many starts of `load`."""
    key = {"rooms": load.rooms, "people": load.people}
    if results.has("answers", **key):
        return
    async with ground() as there, our_bot(there) as ours, the_peer(there) as echo:
        crowd = await there.crowd(load.people)
        mine = await there.hall(CLASS.rooms, crowd[: CLASS.people], ours.user_id, name="Class")
        echoing = await there.hall(CLASS.rooms, crowd[: CLASS.people], echo.user_id, name="Class")
        busy = await there.hall(load.rooms, crowd, mine.bot)
        await all_of(map(greeted, (mine, echoing, busy)))
        for operation in (SETUP, START):
            await measure(there, Obeying(ours), operation, mine)
        await mine.join_where_invited()  # else a message that names who is not in would count as an answer
        asked = [(ours, mine), (echo, echoing)]
        rows = await _ask_all(asked, "idle", asyncio.create_task(asyncio.sleep(idle * EVERY)))
        for _ in range(starts):
            await measure(there, Obeying(ours), SETUP, busy)
            starting = asyncio.create_task(measure(there, Obeying(ours), START, busy))
            rows += await _ask_all(asked, "while another session starts", starting)
            for operation in (WITHDRAW, DELETE):
                await measure(there, Obeying(ours), operation, busy)
        results.add("answers", rows, **key)
        print(f"answers: {len(rows)} questions", flush=True)


async def _ask_all(asked: list[tuple[Player, Hall]], when: str, meanwhile: asyncio.Task[object]) -> list[Row]:
    """The bots are asked by turns until `meanwhile` is over."""
    bots = [
        asyncio.create_task(_ask(player, hall, meanwhile, number * EVERY / len(asked)))
        for number, (player, hall) in enumerate(asked)
    ]
    await meanwhile
    return [{"who": who, "when": when, "seconds": took} for bot in bots for who, took in await bot]


async def _ask(player: Player, hall: Hall, meanwhile: asyncio.Task[object], offset: float) -> list[tuple[str, float]]:
    """The times of all answers; the nth answer belongs to the nth question."""
    await asyncio.sleep(offset)
    mark, began, questions = hall.watch.mark(), now(), []
    for number in count(1):
        if meanwhile.done():
            break
        questions.append(now())
        await player.told(hall, "status")
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, began + number * EVERY - now())):
                await asyncio.shield(meanwhile)
    await hall.watch.until({Kind.REPLY: len(questions)}, mark, PATIENCE)
    replies = hall.watch.times(Kind.REPLY, mark)
    return [(player.name, round(reply - asked, 3)) for asked, reply in zip(questions, replies, strict=False)]
