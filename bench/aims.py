"""What the benchmarks are to show, each aim beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.figures import number, quantiles, ratios
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
MEGABYTES, READY_S = 60, 5
EDITS = "send_edit"
"""Of the boards, one in `board_interval`: they are allowed beyond the floor."""


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
        for row in results.of("requests", course=USUAL.name, **size._asdict()):
            floor = floor_requests(results, size, row["operation"])
            ours = {kind: count for kind, count in row["requests"].items() if kind not in ("sync", EDITS)}
            if floor and (beyond := sum(ours.values()) - sum(floor.values())) > 0:
                more[row["operation"]] = beyond
        said = ", ".join(f"{operation} {count} more" for operation, count in more.items()) or "none more"
        yield Aim("requests ≤ the floor's, edits of the boards apart", str(size), said, not more)


def _first(results: Results) -> Iterator[Aim]:
    for size in sizes(results, "cycle"):
        rows = rows_of(results, size)
        floor = best_floor(rows, START.name)
        if found := ratios(*(by_repetition(rows, who, START.name, "first") for who in (OURS, floor))):
            aim = f"start: the first room's people are invited ≤ {FIRST_TIMES} × as late as by the floor"
            yield Aim(aim, str(size), str(found), found.median <= FIRST_TIMES)


def _felt_at_once(results: Results) -> Iterator[Aim]:
    """The floor's invites and removals are of another course of the same run: repetitions are not the same moment."""
    for operation, slow in ((START_PREPARED, START), (START_KEPT, START_AGAIN), (END_KEPT, END)):
        for size in sizes(results, "cycle"):
            rows = rows_of(results, size)
            fast = by_repetition(rows, OURS, operation.name, "done")
            if found := ratios(by_repetition(rows, best_floor(rows, slow.name), slow.name, "done"), fast):
                aim = f"{operation.name} ≥ {AT_ONCE_TIMES} × as fast as the floor's {slow.name}"
                yield Aim(aim, str(size), str(found), found.median >= AT_ONCE_TIMES)


def _stock(results: Results) -> Iterator[Aim]:
    for size in sizes(results, "stock"):
        took = stock_starts(results, size)
        peer = took.pop(PEER, None)
        if peer and took:
            door = min(took, key=lambda door: took[door])
            aim = f"stock limits: a start ≥ {STOCK_TIMES} × as fast as the peer's through some door"
            yield Aim(aim, str(size), f"{number(peer / took[door])} ({door})", peer / took[door] >= STOCK_TIMES)


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
    for size in sizes(results, "cycle"):
        rows = [row for row in rows_of(results, size) if row["who"] == OURS]
        share = sum(row["cpu"] for row in rows) / max(0.01, sum(row["server_cpu"] for row in rows))
        yield Aim(f"CPU of the bot ≤ {CPU_SHARE:.0%} of the server's", str(size), f"{share:.1%}", share <= CPU_SHARE)


def _memory(results: Results) -> Iterator[Aim]:
    for row in results.of("sessions", sessions=200, who=OURS):
        above = row["above_imports"]
        aim = f"memory ≤ {MEGABYTES} MB above the bare imports"
        yield Aim(aim, "200 sessions", f"{number(above)} MB", above <= MEGABYTES)


def _ready(results: Results) -> Iterator[Aim]:
    for row in results.of("idle", halls=1000, who=OURS):
        aim = f"ready within {READY_S} s, {row['start']} start"
        yield Aim(aim, "1 000 main rooms", f"{number(row['ready'])} s", row["ready"] <= READY_S)


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
)
