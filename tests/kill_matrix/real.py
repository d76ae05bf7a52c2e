"""The kill matrix on a real Synapse: each boundary of a session is a point at which the process is killed."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults.proxy import LIMITS, Fault, How, Rules
from tests.kill_matrix.points import Kill, Outcome, Point, Seen, in_turn, spread
from tests.kill_matrix.session import Result, session
from tests.kill_matrix.story import ACTS, SHORT

AT_ONCE = 16
"""Kills in one session."""

RANDOM = 40
"""Random kills besides, in the whole run."""

IN_A_SLICE = 6

FAULTS_AT_ONCE = 2
"""Faults that one kind of request meets in one session."""


class Results:
    """Outcomes as JSON lines in a file, so that a run goes on where the one before ended."""

    def __init__(self, file: Path) -> None:
        self._file = file
        lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []
        self.outcomes = [
            Outcome(**{**line["outcome"], "wrong": tuple(line["outcome"]["wrong"])})
            for line in lines
            if "outcome" in line
        ]
        self.failures: list[list[str]] = [line["failure"] for line in lines if "failure" in line]
        """What was wrong in each session that went wrong, also where none of its points alone was to blame."""
        self.seen = next((Seen.of(line["seen"]) for line in lines if "seen" in line), None)

    def add(self, outcome: Outcome) -> None:
        """Note the outcome of a point."""
        self.outcomes.append(outcome)
        self._append({"outcome": asdict(outcome)})

    def note_failure(self, points: Sequence[Point], result: Result) -> None:
        """Note that a session went wrong, with what the bot said in it."""
        log = self._file.with_suffix(f".{time.time():.0f}.log")
        log.write_text(result.log, "utf-8")
        self.failures.append(result.wrong)
        self._append({"failure": result.wrong, "points": [str(point) for point in points], "log": log.name})

    def note_seen(self, seen: Seen) -> None:
        """Note which boundaries there are."""
        self.seen = seen
        self._append({"seen": seen.plain()})

    def has(self, point: Point) -> bool:
        """Whether a point was tried."""
        return any(outcome.point == str(point) and outcome.reached for outcome in self.outcomes) or (
            isinstance(point, Kill) and self.missed(point)
        )

    def missed(self, point: Point) -> bool:
        """Whether a session was to come to a point, and did not."""
        return any(outcome.point == str(point) and not outcome.reached for outcome in self.outcomes)

    def _append(self, line: dict[str, object]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


async def real(
    results: Results,
    console: Console,
    *,
    seconds: float,
    only: str = "",
    kinds: Collection[str] = (),
    seed: int = 0,
    encrypted: bool = False,
    acts: Sequence[str] = ACTS,
    patience: float = 1.0,
) -> None:
    """Try the points that are not yet in `results`, as many as fit into `seconds`; see `main` for the rest."""
    until = time.monotonic() + seconds
    if results.seen is None:
        undisturbed = await session((), encrypted=encrypted, acts=acts, patience=patience)
        _say(console, undisturbed, ())
        if undisturbed.wrong:
            return
        results.note_seen(undisturbed.seen)
    assert results.seen is not None
    for group in groups(results, seed, only, kinds):
        if time.monotonic() > until:
            return
        await _try(group, results, console, encrypted=encrypted, acts=acts, patience=patience)
    if time.monotonic() < until and seed:
        rate = Rules(rate=0.05, faults=[Fault(how, 1.0) for how in How if how not in LIMITS], seed=seed)
        at_random = await session((), rules=rate, encrypted=encrypted, acts=acts, patience=patience)
        _say(console, at_random, ())
        if at_random.wrong:
            results.note_failure((), at_random)


async def a_slice(results: Results, console: Console, *, seed: int = 0, encrypted: bool = False) -> None:
    """A short session undisturbed, and once more with a few kills: about a minute and a half of the whole."""
    undisturbed = await session((), encrypted=encrypted, acts=SHORT)
    _say(console, undisturbed, ())
    if not undisturbed.wrong:
        kills = spread(undisturbed.seen.kills(), IN_A_SLICE, seed)[0]
        await _try(kills, results, console, encrypted=encrypted, acts=SHORT)


def groups(results: Results, seed: int = 0, only: str = "", kinds: Collection[str] = ()) -> list[list[Point]]:
    """What is left to try, a group for each session, kills and faults in turns; random kills are of any kind."""
    seen = results.seen
    assert seen is not None
    named = [kill for kill in seen.kills() if not kinds or kill.kind in kinds]
    points = dict.fromkeys([*named, *(seen.random_kills(seed, RANDOM) if seed else ())])
    kills = spread(
        [point for point in points if point.what in (only or point.what) and not results.has(point)], AT_ONCE
    )
    possible = [hurt for hurt in seen.hurts() if not kinds or hurt.kind in kinds]
    hurts = [hurt for hurt in possible if only in ("", "fault") and not results.has(hurt)]
    # What is not tried again is met once in a session: those that were not reached so far are tried one at a time.
    several = [hurt for hurt in hurts if not results.missed(hurt)]
    faults = in_turn(several, FAULTS_AT_ONCE) + in_turn([hurt for hurt in hurts if hurt not in several], 1)
    all_: list[list[Point]] = []
    while kills or faults:
        all_ += [list(group) for group in (kills[:3] + faults[:1])]
        kills, faults = kills[3:], faults[1:]
    return all_


async def _try(
    points: Sequence[Point],
    results: Results,
    console: Console,
    *,
    encrypted: bool = False,
    acts: Sequence[str] = ACTS,
    patience: float = 1.0,
) -> None:
    """One session with these points; where it goes wrong, the halves, down to the one that is to blame."""
    result = await session(points, encrypted=encrypted, acts=acts, patience=patience)
    _say(console, result, points)
    if result.wrong:
        results.note_failure(points, result)
    reached = [point for point, outcome in zip(points, result.outcomes, strict=True) if outcome.reached]
    if result.wrong and len(reached) > 1:
        middle = len(reached) // 2
        for half in (reached[:middle], reached[middle:]):
            await _try(half, results, console, encrypted=encrypted, acts=acts, patience=patience)
        return
    for outcome in result.outcomes:
        if not result.wrong or outcome.reached:
            results.add(outcome)


def _say(console: Console, result: Result, points: Sequence[Point]) -> None:
    reached = sum(outcome.reached for outcome in result.outcomes)
    what = f"{reached} of {len(points)} points reached" if points else "undisturbed by points"
    console.print(f"{'✗' if result.wrong else '✓'} {what}, {result.seconds:.0f} s", highlight=False, markup=False)
    for wrong in result.wrong:
        console.print(f"    ✗ {wrong}", style="red", highlight=False, markup=False)
    if result.wrong:
        console.print(f"    points: {'; '.join(map(str, points))}", highlight=False, markup=False)


def table(outcomes: Sequence[Outcome]) -> Table:
    """How it went, by what was done."""
    shown = Table("", "points", "not reached", "converged", "worst seconds")
    for name, mine in (
        ("kills at requests", [o for o in outcomes if " request " in o.point]),
        ("kills at commits", [o for o in outcomes if " commit " in o.point]),
        ("faults", [o for o in outcomes if " request " not in o.point and " commit " not in o.point]),
    ):
        reached = {outcome.point for outcome in mine if outcome.reached}
        missed = {outcome.point for outcome in mine} - reached
        tried = [outcome for outcome in mine if outcome.reached]
        converged = [outcome for outcome in tried if not outcome.wrong]
        worst = max((outcome.seconds for outcome in converged), default=0.0)
        row = (len(tried), len(missed), len(converged))
        shown.add_row(name, *map(str, row), f"{worst:.1f}")
    return shown


def main(arguments: list[str]) -> int:
    """`python -m tests.kill_matrix.real`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="JSON lines; a run goes on where it ended")
    parser.add_argument("--seconds", type=float, default=3600, help="no session begins later than this")
    parser.add_argument("--slice", action="store_true", help="about a minute and a half of it")
    parser.add_argument("--only", choices=("request", "commit", "fault"), default="", help="one sort of points")
    parser.add_argument("--kinds", default="", help="only at requests or commits of these kinds, with commas between")
    parser.add_argument("--seed", type=int, default=0, help="for random points besides; 0: none")
    parser.add_argument("--encrypted", action="store_true", help="in encrypted rooms")
    parser.add_argument("--short", action="store_true", help="sessions without a timer, for a busy machine")
    parser.add_argument("--patience", type=float, default=1.0, help="as many times as long a step may take as usual")
    options = parser.parse_args(arguments)
    console, results = Console(soft_wrap=True), Results(options.results)
    how = {"seed": options.seed, "encrypted": options.encrypted}
    if options.slice:
        asyncio.run(a_slice(results, console, **how))
    else:
        kinds = frozenset(filter(None, options.kinds.split(",")))
        how |= {"acts": SHORT if options.short else ACTS, "patience": options.patience}
        asyncio.run(real(results, console, seconds=options.seconds, only=options.only, kinds=kinds, **how))
    console.print(table(results.outcomes))
    console.print(f"{len(results.failures)} sessions went wrong.")
    for outcome in results.outcomes:
        if outcome.wrong:
            console.print(f"✗ {outcome.point}", *outcome.wrong, sep="\n    ", style="red", markup=False)
    return 1 if any(outcome.wrong for outcome in results.outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
