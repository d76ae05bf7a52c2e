"""Many main rooms at one bot: sessions that start at once, rooms in which nothing happens, and no room at all."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from bench.cycle import LAST_EDITS, Obeying, Raw, measure
from bench.floor import Floor
from bench.ground import PATIENCE, Ground, Hall, Size, all_of, greeted, ground, now
from bench.operations import DELETE, END, FLOOR, OURS, SETUP, START, Operation
from bench.players import LOG, Player, our_bot
from bench.process import age, imports_alone, used
from bench.results import Results, Row
from bench.watch import Kind
from bot.matrix.batch import sync_filter
from bot.testing.raw import RawUser, path

Contenders: TypeAlias = Sequence[Obeying | Raw]

CLASS = Size(3, 12)
WIDTH = 8
SETTLED_SECONDS, IDLE_SECONDS = 5.0, 30.0
OURS_NAME = "breakout"
READY = b"ready"
"""The bot's log says so when it has taken in its first batch."""


async def sessions(results: Results, number: int, repetitions: int) -> None:
    """So many sessions are started in one moment; the floor sends the same, all of it with eight requests in flight."""
    missing = [n for n in range(repetitions) if not results.has("sessions", sessions=number, repetition=n)]
    if not missing:
        return
    async with ground() as there, our_bot(there) as ours:
        mine = await _classes(there, number, ours.user_id)
        await all_of(map(greeted, mine))
        idle_memory, imports = used(ours.pid).resident, await imports_alone()
        floor = await there.server.participant("floor", session=there.http)
        others = await _classes(there, number, floor.user_id)
        await all_of(floor.join(hall.main) for hall in others)
        gate = asyncio.Semaphore(WIDTH)
        raws = [Raw(Floor(hall.bot, WIDTH, gate=gate)) for hall in others]
        for repetition in missing:
            sides: list[tuple[str, Contenders, Sequence[Hall]]] = [
                (OURS, [Obeying(ours)] * number, mine),
                (FLOOR, raws, others),
            ]
            rows = []
            for who, contenders, halls in sides if repetition % 2 == 0 else sides[::-1]:
                rows.append({"who": who, **await _all_start(there, contenders, halls)})
                if who == OURS:
                    resident = used(ours.pid).resident
                    rows[-1]["memory"] = round((resident - idle_memory) / number, 2)
                    rows[-1]["above_imports"] = round(resident - imports, 1)
                    await halls[0].watch.quiet(LAST_EDITS)
                if repetition != missing[-1]:
                    await _all(there, END, contenders, halls)
                    await _all(there, DELETE, contenders, halls)
            results.add("sessions", rows, sessions=number, repetition=repetition)
            print(f"{number} sessions: {rows}", flush=True)


async def _classes(there: Ground, number: int, bot: str) -> list[Hall]:
    """The first one opens the account that watches all of them."""
    crowds = [await there.crowd(CLASS.people, prefix=f"c{n}-") for n in range(number)]
    first = await there.hall(CLASS.rooms, crowds[0], bot, name="Class 0")
    others = (there.hall(CLASS.rooms, crowd, first.bot, name=f"Class {n}") for n, crowd in enumerate(crowds[1:], 1))
    return [first, *await all_of(others, 2)]


async def _all_start(there: Ground, contenders: Contenders, halls: Sequence[Hall]) -> Row:
    await _all(there, SETUP, contenders, halls)
    pids = (there.pid, *contenders[0].pids())
    before, began = [used(pid).cpu for pid in pids], now()
    starts = await _all(there, START, contenders, halls)
    took = sorted(row["last"] for row in starts)
    last = max(hall.watch.times(Kind.INVITED, 0)[-1] for hall in halls) - began
    after = [used(pid).cpu for pid in pids]
    row: Row = {
        "seconds": round(last, 2),
        "fastest": took[0],
        "median": round(statistics.median(took), 2),
        "slowest": took[-1],
        "server_cpu": round(after[0] - before[0], 2),
    }
    if len(pids) > 1:
        row["cpu"] = round(after[1] - before[1], 2)
    return row


async def _all(there: Ground, operation: Operation, contenders: Contenders, halls: Sequence[Hall]) -> list[Row]:
    pairs = zip(contenders, halls, strict=True)
    return await asyncio.gather(*(measure(there, who, operation, hall) for who, hall in pairs))


async def idle(results: Results, number: int) -> None:
    """The bot is started where it is in so many main rooms, for the first time and again; then nothing happens."""
    if results.has("idle", halls=number):
        return
    async with ground() as there:
        await there.account(OURS_NAME)
        bot = await there.server.participant(OURS_NAME, session=there.http)
        people = await there.crowd(2)
        await all_of(_idle_hall(n, bot, people) for n in range(number))
        rows = [{"who": FLOOR, "start": "first", **await _raw_sync(bot)}]
        for times, start in enumerate(("first", "second"), 1):
            async with our_bot(there, name=OURS_NAME, level="INFO") as player:
                life = await _life(player, there.folder / OURS_NAME / LOG, times)
            rows.append({"who": OURS, "start": start, **life})
        results.add("idle", rows, halls=number)
        print(f"{number} idle main rooms: {rows}", flush=True)


async def help_shown(results: Results, repetitions: int) -> None:
    """How long `python -m bot --help` takes; what is compiled for the first time is not counted."""
    if results.has("help"):
        return
    rows = []
    for _ in range(repetitions + 1):
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", "--help", stdout=asyncio.subprocess.DEVNULL
        )
        if await process.wait():
            raise RuntimeError("python -m bot --help failed")
        rows.append({"seconds": round(time.monotonic() - began, 3)})
    results.add("help", rows[1:])
    print(f"--help: {rows[1:]}", flush=True)


async def _idle_hall(number: int, bot: RawUser, people: Sequence[RawUser]) -> None:
    first, *others = people
    main = await first.create_room(f"Class {number}", powers={bot.user_id: 100}, preset="public_chat")
    for user in (*others, bot):
        await user.join(main)


async def _raw_sync(bot: RawUser) -> Row:
    """The one request without which nobody can know of the rooms: the answer in full, nothing done with it."""
    query = {"filter": json.dumps(sync_filter(timeline=1)), "timeout": "0"}
    began = time.monotonic()
    answer = await bot.call("GET", path("sync"), query=query)
    took = time.monotonic() - began
    return {"ready": round(took, 2), "megabytes": round(len(json.dumps(answer)) / 1e6, 2)}


async def _life(player: Player, log: Path, times: int) -> Row:
    """From the start of the process until it says that it is ready, and what it uses when nothing happens."""
    async with asyncio.timeout(PATIENCE):
        # Nothing tells when it is ready but its log, which both starts write.
        while log.read_bytes().count(READY) < times:  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.02)
    ready, start = age(player.pid), used(player.pid)
    await asyncio.sleep(SETTLED_SECONDS)
    before = used(player.pid)
    await asyncio.sleep(IDLE_SECONDS)
    after = used(player.pid)
    return {
        "ready": round(ready, 2),
        "cpu": round(start.cpu, 2),
        "memory": round(after.resident, 1),
        "idle_cpu_percent": round(100 * (after.cpu - before.cpu) / IDLE_SECONDS, 2),
    }
