"""What the benchmarks are to show, each aim beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.figures import Spread, number, quantiles, ratios
from bench.ground import Size
from bench.measured import best_floor, by_repetition, floor_requests, rows_of, sizes, stock_starts
from bench.operations import (
    BROADCAST,
    END,
    END_KEPT,
    MOVE,
    OURS,
    PEER,
    START,
    START_AGAIN,
    START_KEPT,
    START_PREPARED,
    USUAL,
)
from bench.results import Results

NEAR_THE_FLOOR = (START, START_AGAIN, END, BROADCAST, MOVE)
FLOOR_TIMES, ANSWER_TIMES, CPU_SHARE = 1.10, 1.25, 0.15
FIRST_TIMES, AT_ONCE_TIMES, STOCK_TIMES = 1.5, 10, 50
AT_ONCE_SIZE, STOCK_SIZE = Size(20, 200), Size(10, 100)
MEGABYTES, READY_S, HELP_S = 60, 5, 0.3
EDITS, BOARDS, BOARD_INTERVAL = "send_edit", 2, 5
"""The boards in the main room and at the desk may each be edited once in `board_interval`, beyond the floor."""


@dataclass(frozen=True)
class Aim:
    """One aim, at one size, and whether it is met."""

    aim: str
    size: str
    measured: str
    met: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """As a row of the table."""
        return self.aim, self.size, self.measured, "yes" if self.met else "**no**"


def aims(results: Results) -> list[Aim]:
    """All that were measured."""
    return [aim for of_one in _ALL for aim in of_one(results)]


def _time(results: Results) -> Iterator[Aim]:
    for operation in NEAR_THE_FLOOR:
        for size in sizes(results, "cycle"):
            rows = rows_of(results, size)
            ours, floor = (
                by_repetition(rows, who, operation.name, "done") for who in (OURS, best_floor(rows, operation.name))
            )
            if found := ratios(ours, floor):
                aim = f"{operation.name}: seconds ≤ {FLOOR_TIMES:.2f} × the floor"
                yield Aim(aim, str(size), str(found), found.median < FLOOR_TIMES + 0.005)


def _requests(results: Results) -> Iterator[Aim]:
    for size in sizes(results, "requests"):
        more = {}
        near = {operation.name for operation in NEAR_THE_FLOOR}
        every = results.of("requests", course=USUAL.name, **size._asdict())
        rows = [row for row in every if row["operation"] in near]
        floors = {row["operation"]: floor_requests(results, size, row["operation"]) for row in rows}
        if not any(floors.values()):
            continue
        for row in rows:
            floor = floors[row["operation"]]
            ours = sum(count for kind, count in row["requests"].items() if kind != "sync")
            edits = min(row["requests"].get(EDITS, 0), BOARDS * (1 + int(row.get("seconds", 0) / BOARD_INTERVAL)))
            if floor and (beyond := ours - edits - sum(floor.values())) > 0:
                more[row["operation"]] = beyond
        said = ", ".join(f"{operation} {count} more" for operation, count in more.items()) or "none more"
        aim = f"requests ≤ the floor's and one edit of each board in {BOARD_INTERVAL} s"
        yield Aim(aim, str(size), said, not more)


def _first(results: Results) -> Iterator[Aim]:
    for size in sizes(results, "cycle"):
        rows = rows_of(results, size)
        floor = best_floor(rows, START.name)
        if found := ratios(*(by_repetition(rows, who, START.name, "room") for who in (OURS, floor))):
            aim = f"start: the first room is made and welcomed ≤ {FIRST_TIMES} × as late as by the floor"
            yield Aim(aim, str(size), str(found), found.median <= FIRST_TIMES)


def _felt_at_once(results: Results) -> Iterator[Aim]:
    """Until the last one is let in or out, by invite or by lock; and until all is said, the welcomes of rooms too.

    The floor's invites and removals are of another course of the same run: repetitions are not the same moment.
    """
    rows = rows_of(results, AT_ONCE_SIZE)
    for operation, slow in ((START_PREPARED, START), (START_KEPT, START_AGAIN), (END_KEPT, END)):
        for until, moment in (("everybody is let in or out", "last"), ("all is said", "done")):
            fast = by_repetition(rows, OURS, operation.name, moment)
            if found := ratios(by_repetition(rows, best_floor(rows, slow.name), slow.name, moment), fast):
                aim = f"{operation.name}, until {until} ≥ {AT_ONCE_TIMES} × as fast as the floor's {slow.name}"
                yield Aim(aim, str(AT_ONCE_SIZE), str(found), found.median >= AT_ONCE_TIMES)


def _stock(results: Results) -> Iterator[Aim]:
    took = stock_starts(results, STOCK_SIZE)
    peer = took.pop(PEER, None)
    if peer and took:
        door = min(took, key=lambda door: took[door])
        aim = f"stock limits: a start ≥ {STOCK_TIMES} × as fast as the peer's through some door"
        yield Aim(aim, str(STOCK_SIZE), f"{number(peer / took[door])} ({door})", peer / took[door] >= STOCK_TIMES)


def _answers(results: Results) -> Iterator[Aim]:
    for size in sizes(results, "answers"):
        rows = list(results.of("answers", **size._asdict()))
        for when in dict.fromkeys(row["when"] for row in rows):
            took = {
                who: [row["seconds"] for row in rows if row["who"] == who and row["when"] == when]
                for who in (OURS, PEER)
            }
            if all(took.values()):
                ours, echo = (quantiles(took[who], 95)[0] for who in (OURS, PEER))
                aim = f"answers, {when}: p95 ≤ {ANSWER_TIMES:.2f} × an echo bot's"
                yield Aim(aim, str(size), number(ours / echo), ours / echo < ANSWER_TIMES + 0.005)


def _cpu(results: Results) -> Iterator[Aim]:
    for size in sizes(results, "cycle", course=USUAL.name):
        rows = list(results.of("cycle", course=USUAL.name, who=OURS, **size._asdict()))
        if server := sum(row["server_cpu"] for row in rows):
            share = sum(row["cpu"] for row in rows) / server
            aim = f"CPU of the bot ≤ {CPU_SHARE:.0%} of the server's, in a whole session"
            yield Aim(aim, str(size), f"{share:.1%}", share <= CPU_SHARE)


def _memory(results: Results) -> Iterator[Aim]:
    for row in results.of("sessions", sessions=200, who=OURS):
        above = row["above_imports"]
        aim = f"memory ≤ {MEGABYTES} MB above the bare imports"
        yield Aim(aim, "200 sessions", f"{number(above)} MB", above <= MEGABYTES)


def _ready(results: Results) -> Iterator[Aim]:
    for row in results.of("idle", halls=1000, who=OURS):
        aim = f"ready within {READY_S} s, {row['start']} start"
        yield Aim(aim, "1 000 main rooms", f"{number(row['ready'])} s", row["ready"] <= READY_S)


def _help(results: Results) -> Iterator[Aim]:
    if found := Spread.of(row["seconds"] for row in results.of("help")):
        yield Aim(f"`python -m bot --help` within {HELP_S} s", "", f"{found} s", found.median <= HELP_S)


_ALL: tuple[Callable[[Results], Iterator[Aim]], ...] = (
    _time,
    _requests,
    _first,
    _felt_at_once,
    _stock,
    _answers,
    _cpu,
    _memory,
    _ready,
    _help,
)
