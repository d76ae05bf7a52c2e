"""Our bot with a watch on its event loop: `python -m bench.watched run --config FILE` instead of `python -m bot`.

While the loop does one thing for long, nobody is answered. Each stall is a line in `stalls.jsonl` beside the
configuration: the moment of its end in seconds since 1970, and how long it lasted.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import bot.run
from bot.cli import main

TICK_S = 0.002
LEAST_S = 0.01
"""What is shorter than this is not noted."""

FILE = "stalls.jsonl"

_run = bot.run.run


async def _watched(path: Path | None) -> None:
    assert path is not None
    with (path.parent / FILE).open("a", encoding="utf-8", buffering=1) as out:
        watching = asyncio.create_task(_watch(out.write))
        try:
            await _run(path)
        finally:
            watching.cancel()


async def _watch(write: Callable[[str], object]) -> None:
    last = time.monotonic()
    while True:
        await asyncio.sleep(TICK_S)
        now = time.monotonic()
        if now - last - TICK_S >= LEAST_S:
            write(json.dumps([time.time(), round(now - last - TICK_S, 4)]) + "\n")
        last = now


def longest(file: Path, since: float, until: float) -> float:
    """The longest stall that ended between two moments, in seconds; below `LEAST_S` it counts as none."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return max((took for at, took in map(json.loads, lines) if since <= at <= until), default=0.0)


if __name__ == "__main__":
    bot.run.run = _watched
    main()
