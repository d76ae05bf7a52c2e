"""`python -m tests.load --sessions 50 --minutes 20 --faults 0.05 --seed 1`: prints what was done and what was wrong."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console

from bot.testing.raw import RawUser, open_session
from plugins.breakout.demo.stage import BotProcess, Stage, stage
from tests.faults.proxy import LIMITS, Fault, How, Proxy, Rules
from tests.load.classroom import Classroom, Tally
from tests.load.world import World

CONSOLE = Console(soft_wrap=True, markup=False, highlight=False)

FAULTS = [Fault(how, 2.0) for how in How if how not in LIMITS and how is not How.PROXY_401]
"""What befalls requests; throttling is another test, since it makes everything slow, as it should."""

MOST_TOGETHER = 120.0
"""Seconds that somebody may be in two rooms: as long as two requests may hang."""


class Measured:
    """What the bot's process uses, looked at every few seconds."""

    def __init__(self, bot: BotProcess) -> None:
        self._bot = bot
        self.memory: list[tuple[float, float]] = []
        """Moments, and megabytes resident then."""

    async def watch(self, every: float = 5.0) -> None:
        """Until cancelled."""
        since = time.monotonic()
        while True:
            self.memory.append((time.monotonic() - since, self.resident()))
            await asyncio.sleep(every)

    def resident(self) -> float:
        """Megabytes of memory in use now."""
        pages = int(Path(f"/proc/{self._bot.pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu(self) -> float:
        """Seconds of processor time since it started."""
        fields = Path(f"/proc/{self._bot.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(sessions: int, people: int, minutes: float, faults: float, seed: int, kills: int, think: float) -> Tally:
    """Play it and print what came of it."""
    befell: Counter[str] = Counter()

    @asynccontextmanager
    async def front(upstream: str) -> AsyncIterator[str]:
        rules = Rules(rate=faults, faults=FAULTS, seed=seed)
        async with Proxy(upstream, rules).running() as proxy:
            yield proxy.url
            befell.update(str(passed.how) for passed in proxy.passed if passed.how)
            befell["all"] = len(proxy.passed)

    async with stage(names=(), front=front) as there, open_session() as http:
        spy = await there.homeserver.participant("breakout", session=http)
        spy.listen()
        world, tally = World(spy), Tally()
        classes = [
            Classroom(
                number,
                [
                    await there.homeserver.participant(f"m{number}-{n}", f"Mod {number} {n}", session=http)
                    for n in (1, 2)
                ],
                [
                    await there.homeserver.participant(f"p{number}-{n}", f"Person {number} {n}", session=http)
                    for n in range(people)
                ],
                world,
                tally,
                seed,
                think,
            )
            for number in range(sessions)
        ]
        await _play(there, classes, spy, minutes * 60, random.Random(seed), kills, tally)
        world.look()
        tally.wrong += [
            f"{user} was in two rooms for {seconds:.0f} s"
            for user, seconds in world.doubled.items()
            if seconds > MOST_TOGETHER
        ]
        CONSOLE.print(
            f"memberships changed {world.memberships} times; in two rooms at once, longest "
            f"{max(world.doubled.values(), default=0.0):.1f} s"
        )
        await spy.close()
    CONSOLE.print("requests", befell.pop("all"), "hurt", sum(befell.values()), dict(befell))
    return tally


async def _play(
    there: Stage,
    classes: Sequence[Classroom],
    spy: RawUser,
    seconds: float,
    chance: random.Random,
    kills: int,
    tally: Tally,
) -> None:
    measured = Measured(there.bot)
    watching = asyncio.create_task(measured.watch())
    began = time.monotonic()
    for first in range(0, len(classes), 10):
        await asyncio.gather(*(room.gather(spy.user_id) for room in classes[first : first + 10]))
    CONSOLE.print(f"{len(classes)} classes gathered in {time.monotonic() - began:.0f} s")
    began = time.monotonic()
    killing = asyncio.create_task(_kill(there.bot, seconds, chance, kills))
    telling = asyncio.create_task(_tell(tally, measured))
    await asyncio.gather(*(room.live(seconds) for room in classes))
    for task in (watching, killing, telling):
        task.cancel()
    await asyncio.gather(*(room.stop() for room in classes))
    CONSOLE.print(f"played {time.monotonic() - began:.0f} s; the bot used {measured.cpu():.0f} s of processor time")
    CONSOLE.print("memory in MB by minute:", _by_minute(measured.memory))


async def _kill(bot: BotProcess, seconds: float, chance: random.Random, times: int) -> None:
    since = time.monotonic()
    for moment in sorted(chance.uniform(0, seconds) for _ in range(times)):
        await asyncio.sleep(max(0.0, since + moment - time.monotonic()))
        await bot.kill_and_restart()


async def _tell(tally: Tally, measured: Measured) -> None:
    told = 0
    while True:
        await asyncio.sleep(30)
        for wrong in tally.wrong[told:]:
            CONSOLE.print("✗", wrong)
        told = len(tally.wrong)
        CONSOLE.print(
            f"{tally.sessions} sessions, {tally.rounds} rounds, {tally.acts} acts, {len(tally.answers)} answers, "
            f"{len(tally.wrong)} wrong, {measured.memory[-1][1]:.0f} MB",
        )


def _by_minute(memory: Sequence[tuple[float, float]]) -> list[int]:
    minutes = range(int(memory[-1][0] // 60) + 1)
    return [round(max((mb for at, mb in memory if at // 60 == minute), default=0)) for minute in minutes]


def _spread(name: str, seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return f"{name}: {list(seconds)}"
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return f"{name} (s): median {cuts[49]:.1f}, 95 % {cuts[94]:.1f}, 99 % {cuts[98]:.1f}, most {max(seconds):.1f}"


def main() -> int:
    """Read the arguments, play, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--people", type=int, default=6, help="in each class, besides its two moderators")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--faults", type=float, default=0.05, help="the part of all requests that fail in some way")
    parser.add_argument("--kills", type=int, default=0, help="how often the bot is killed (SIGKILL), at random moments")
    parser.add_argument("--think", type=float, default=10, help="seconds between two acts of a class, on average")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    tally = asyncio.run(load(**vars(chosen)))
    CONSOLE.print(f"{tally.sessions} sessions, {tally.rounds} rounds, {tally.acts} acts, {tally.broadcasts} broadcasts")
    for name, seconds in (("answers", tally.answers), ("settled", tally.settling), ("closed late", tally.late)):
        CONSOLE.print(_spread(name, seconds))
    for wrong in tally.wrong:
        CONSOLE.print("✗", wrong)
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
