"""The same session in encrypted rooms and in clear ones: what encryption costs, and how long the event loop stalls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.cycle import Obeying, measure
from bench.encryption import benchmark, person
from bench.ground import Ground, Hall, Size, all_of, greeted, ground, now
from bench.operations import BROADCAST, DELETE, END, SETUP, START
from bench.players import SETTINGS, Player, our_bot
from bench.results import Results, Row
from bench.watched import FILE, longest
from plugins.breakout.demo.stage import BotProcess

WAYS = {"clear": "never", "encrypted": "always"}


class WatchedProcess(BotProcess):
    """Our bot, its stalls written down."""

    program: Sequence[str] = ("-m", "bench.watched")


async def encrypted(results: Results, size: Size, repetitions: int) -> None:
    """Start, broadcast and end with and without encryption by turns, everybody with one device."""
    key = {"rooms": size.rooms, "people": size.people}
    missing = [n for n in range(repetitions) if not results.has("encrypted", **key, repetition=n)]
    if not missing:
        return
    async with ground() as there:
        await all_of(person(there.server, f"p{n}", there.folder) for n in range(size.people))
        crowd = await there.crowd(size.people)
        for repetition in missing:
            rows: list[Row] = []
            for way in WAYS if repetition % 2 == 0 else reversed(WAYS):
                # A new account each time: whose keys a bot has, it keeps.
                name = f"{way}{repetition}"
                settings = {**SETTINGS, "encryption": WAYS[way]}
                async with our_bot(there, name=name, process=WatchedProcess, settings=settings) as player:
                    hall = await there.hall(size.rooms, crowd, player.user_id)
                    await greeted(hall)
                    rows += [{"way": way, **row} for row in await _session(there, player, hall, there.folder / name)]
            results.add("encrypted", rows, **key, repetition=repetition)
            print(f"{size}, encrypted or not: {rows}", flush=True)


async def sealing(results: Results, size: Size) -> None:
    """A broadcast by our port and by stock nio, without the bot around it."""
    key = {"rooms": size.rooms, "people": size.people}
    if not results.has("sealing", **key):
        results.add("sealing", await benchmark(size.rooms, size.people), **key)


async def _session(there: Ground, player: Player, hall: Hall, folder: Path) -> list[Row]:
    rows = []
    for operation in (SETUP, START, BROADCAST, END, DELETE):
        began = now()
        row = await measure(there, Obeying(player), operation, hall)
        rows.append({**row, "stall": longest(folder / FILE, began, now())})
        if operation is START:
            await hall.join_where_invited()
            await hall.watch.quiet()
    return rows
