"""A session from setup to deletion, each operation timed: our bot, the peer and the floor in turn, on one server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from bench import postgres
from bench.floor import Floor
from bench.ground import PATIENCE, Ground, Hall, Size, accepting, greeted, ground, now
from bench.operations import FLOOR, OURS, PEER, USUAL, Course, Operation, People
from bench.players import PREFIX, SETTINGS, Player, our_bot, the_peer
from bench.process import used
from bench.results import Results, Row
from bench.watch import QUIET, Kind
from tests.faults.proxy import Proxy

WIDTHS = (4, 8)
"""Requests in flight of the floor; the better one counts."""

LAST_EDITS = 5.5
"""Seconds of silence after which even the board, edited every 5 s at most, is as it stays."""


class Contender(Protocol):
    """Somebody who does the operations."""

    @property
    def name(self) -> str:
        """Whose figures these are."""
        ...

    @property
    def who(self) -> str:
        """By whose rules an operation is done: `operations.OURS`, `PEER` or `FLOOR`."""
        ...

    def pids(self) -> tuple[int, ...]:
        """Its process, where it has one of its own."""
        ...

    async def act(self, operation: Operation, hall: Hall) -> None: ...


@dataclass
class Obeying:
    """A bot that is told by a moderator."""

    player: Player

    @property
    def name(self) -> str:
        return self.player.name

    @property
    def who(self) -> str:
        return self.player.name

    def pids(self) -> tuple[int, ...]:
        return (self.player.pid,)

    async def act(self, operation: Operation, hall: Hall) -> None:
        """Type what there is to type, each line when the one before is answered."""
        first, *others = operation.says[self.who](hall)
        mark = hall.watch.mark()
        await self.player.told(hall, first)
        for line in others:
            await hall.watch.until({Kind.REPLY: 1}, mark, PATIENCE)
            mark = hall.watch.mark()
            await self.player.told(hall, line)


@dataclass
class Raw:
    """The floor, `width` requests in flight."""

    floor: Floor
    who: str = field(default=FLOOR, init=False)

    @property
    def name(self) -> str:
        return f"{FLOOR} {self.floor.width}"

    def pids(self) -> tuple[int, ...]:
        return ()

    async def act(self, operation: Operation, hall: Hall) -> None:
        """The moderator types what our bot is told; then all that follows from it is sent."""
        for line in operation.says[OURS](hall):
            await hall.say(f"{PREFIX}{line}")
        await operation.floor(self.floor, hall)


async def cycles(
    results: Results, size: Size, repetitions: int, course: Course = USUAL, *, with_peer: bool = True
) -> None:
    """Measure what is missing of so many repetitions; each operation by all contenders before the next one.

    The order of the contenders is turned round each time, so that a machine that others use too favours nobody.
    """
    key = {"course": course.name, "rooms": size.rooms, "people": size.people}
    with_peer = with_peer and all(PEER in operation.says for operation in course.operations)
    missing = [n for n in range(repetitions) if not results.has("cycle", **key, repetition=n)]
    if not missing:
        return
    if course.on_postgres and (why := postgres.missing()):
        print(f"{size} {course.name}: skipped. {why}", flush=True)
        return
    async with ground(on_postgres=course.on_postgres) as there, AsyncExitStack() as stack:
        names = [OURS, *(f"{FLOOR} {width}" for width in WIDTHS), *([PEER] if with_peer else [])]
        stage = [await _enter(there, stack, name, size, course) for name in names]
        for repetition in missing:
            rows = await _cycle(there, course, stage if repetition % 2 == 0 else stage[::-1])
            results.add("cycle", rows, **key, repetition=repetition)
            tell(f"{size}, {course.name}, repetition {repetition + 1}", rows)


async def requests(results: Results, size: Size, course: Course = USUAL) -> None:
    """Count what our bot sends for each operation; apart from the timing, since what counts costs time."""
    key = {"course": course.name, "rooms": size.rooms, "people": size.people, "who": OURS}
    if results.has("requests", **key):
        return
    async with (
        ground() as there,
        Proxy(there.server.url).running() as proxy,
        our_bot(there, url=proxy.url, settings={**SETTINGS, **course.settings}) as player,
    ):
        hall = await _hall(there, size, player.user_id)
        await greeted(hall)
        rows: list[Row] = []
        await hall.watch.quiet()
        for operation in course.operations:
            before = len(proxy.passed)
            row = await measure(there, Obeying(player), operation, hall, quiet=LAST_EDITS)
            counted = dict(sorted(Counter(passed.boundary.kind for passed in proxy.passed[before:]).items()))
            if operation in course.noted:
                rows.append({"operation": operation.name, "requests": counted, "seconds": row["done"]})
            await _come(operation, hall, quiet=LAST_EDITS)  # the boards' edits for who comes are not the next one's
        results.add("requests", rows, **key)


async def _cycle(there: Ground, course: Course, stage: Sequence[tuple[Contender, Hall]]) -> list[Row]:
    """All operations in order, each by all contenders in order."""
    rows = []
    for operation in course.operations:
        for contender, hall in stage:
            row = await measure(there, contender, operation, hall)
            if operation in course.noted:
                rows.append(row)
            await _come(operation, hall)
    return rows


async def measure(
    there: Ground, contender: Contender, operation: Operation, hall: Hall, *, quiet: float = QUIET
) -> Row:
    """One operation: seconds since it was asked for, and what it used until it was quiet again."""
    sent = Counter(contender.floor.requests) if isinstance(contender, Raw) else Counter()
    before = [used(pid) for pid in (there.pid, *contender.pids())]
    mark, began = hall.watch.mark(), now()
    meanwhile = accepting(hall) if operation.people is People.COME_MEANWHILE else nullcontext()
    async with meanwhile:
        needs = operation.done(contender.who, hall.size)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(contender.act(operation, hall))
            await hall.watch.until(needs, mark, PATIENCE)
        done = max(hall.watch.times(kind, mark)[count - 1] for kind, count in needs.items())
        if operation.leaves:
            done = await hall.watch.left(PATIENCE)
        await hall.watch.quiet(quiet)
    after = [used(pid) for pid in (there.pid, *contender.pids())]
    replies, keys = hall.watch.times(Kind.REPLY, mark), hall.watch.times(operation.key, mark)
    row: Row = {
        "who": contender.name,
        "operation": operation.name,
        "reply": _since(began, replies[0]),
        "first": _since(began, keys[0]),
        "last": _since(began, keys[-1]),
        "done": _since(began, done),
        "server_cpu": round(after[0].cpu - before[0].cpu, 2),
    }
    if rooms := hall.watch.times(Kind.SAID, mark):
        row["room"] = _since(began, rooms[0])
    if contender.pids():
        row |= {"cpu": round(after[1].cpu - before[1].cpu, 2), "memory": round(after[1].resident, 1)}
    if isinstance(contender, Raw):
        row["requests"] = dict(sorted((contender.floor.requests - sent).items()))
    return row


async def _come(operation: Operation, hall: Hall, quiet: float = QUIET) -> None:
    if operation.people is People.COME_AFTERWARDS:
        await hall.join_where_invited()
        await hall.watch.quiet(quiet)


async def _enter(there: Ground, stack: AsyncExitStack, name: str, size: Size, course: Course) -> tuple[Contender, Hall]:
    """A contender in a main room of its own."""
    if name.startswith(FLOOR):
        localpart = name.replace(" ", "")
        user = await there.server.participant(localpart, session=there.http)
        hall = await _hall(there, size, user.user_id)
        await user.join(hall.main)
        return Raw(Floor(hall.bot, int(name.removeprefix(FLOOR)))), hall
    settings = {**SETTINGS, **course.settings}
    player = await stack.enter_async_context(our_bot(there, settings=settings) if name == OURS else the_peer(there))
    hall = await _hall(there, size, player.user_id)
    await greeted(hall)
    await hall.watch.quiet()
    return Obeying(player), hall


async def _hall(there: Ground, size: Size, bot: str) -> Hall:
    return await there.hall(size.rooms, await there.crowd(size.people), bot)


def _since(began: float, moment: float) -> float:
    return round(moment - began, 3)


def tell(what: str, rows: Sequence[Row]) -> None:
    """Print how it went, ours and the others' beside it."""
    for operation in dict.fromkeys(row["operation"] for row in rows):
        times = ", ".join(f"{row['who']} {row['done']:.2f} s" for row in rows if row["operation"] == operation)
        print(f"{what}: {operation}: {times}", flush=True)
