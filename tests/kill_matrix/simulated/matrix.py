"""Tries every point of the matrix, on several processors, and prints what came of it."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from itertools import islice, product
from pathlib import Path

import structlog

from tests.kill_matrix.simulated.boundaries import Blow, Kind, Point
from tests.kill_matrix.simulated.inline import without_threads
from tests.kill_matrix.simulated.session import Outcome, dealt, differences, missed, played, points

SLICE_SECONDS = 90
MOST_SECONDS = 120
"""Real seconds that one session may take."""

_UNHURT: list[Outcome] = []
"""Of this process, as soon as it is known."""


def tried(session: Sequence[Point]) -> dict[Point, list[str]]:
    """What differs after a session that was hit at these points, by the point that does it alone.

    Where none does it alone, all of them are to blame. What was not reached in it is tried alone.
    """
    with without_threads():
        if not _UNHURT:
            _UNHURT.append(asyncio.run(played()))
        differs, not_reached = _compared(session)
        if not differs:
            return {point: found for point in not_reached if (found := _alone(point))}
        return {point: found for point in session if (found := _alone(point))} or dict.fromkeys(session, differs)


def _alone(point: Point) -> list[str]:
    differs, not_reached = _compared([point])
    return differs or ["was not reached"] * len(not_reached)


def _compared(session: Sequence[Point]) -> tuple[list[str], list[Point]]:
    async def in_time() -> Outcome:
        async with asyncio.timeout(MOST_SECONDS):
            return await played(session)

    try:
        hit = asyncio.run(in_time())
    except Exception as error:  # noqa: BLE001 - a session that breaks off is a finding like any other
        return [repr(error)], []
    return differences(hit, _UNHURT[0]), missed(session, hit)


def simulated(results: Path, *, seconds: float | None, seed: int, jobs: int) -> bool:
    """Play until every point was tried or the time is over; True where all of them converged."""
    began = time.monotonic()
    with without_threads():
        unhurt = asyncio.run(played())
    everything = points(unhurt)
    known = _read(results)
    wanted = [point for point in everything if point not in known]
    random.Random(seed).shuffle(wanted)
    print(f"{len(everything)} points, {len(wanted)} to try (seed {seed})", flush=True)
    with ProcessPoolExecutor(jobs, initializer=_quiet) as pool, results.open("a", encoding="utf-8") as file:
        sessions = iter(dealt(wanted))
        running = {pool.submit(tried, session): session for session in islice(sessions, jobs)}
        while running:
            done = next(as_completed(running))
            session, found = running.pop(done), done.result()
            for point in session:
                known[point] = found.get(point, [])
                file.write(json.dumps({"point": asdict(point), "differences": known[point]}) + "\n")
            for point, what in found.items():
                print(f"✗ {point}", *(f"    {sentence}" for sentence in what[:8]), sep="\n", flush=True)
            file.flush()
            if seconds is None or time.monotonic() - began < seconds:
                running |= {pool.submit(tried, session): session for session in islice(sessions, 1)}
    _print(known, everything)
    return not any(known.values())


def _print(known: Mapping[Point, list[str]], everything: Iterable[Point]) -> None:
    """The matrix: kinds and blows against points, tried, converged."""
    of = Counter((point.kind, point.blow) for point in everything)
    there = Counter((point.kind, point.blow) for point in known)
    fine = Counter((point.kind, point.blow) for point, differs in known.items() if not differs)
    print("\n| what is hit | how | points | tried | converged |\n|---|---|---|---|---|")
    for kind, blow in product(Kind, Blow):
        if of[kind, blow]:
            print(f"| {kind} | {blow} | {of[kind, blow]} | {there[kind, blow]} | {fine[kind, blow]} |")
    print(f"| all | | {of.total()} | {there.total()} | {fine.total()} |")


def _read(results: Path) -> dict[Point, list[str]]:
    """What was tried already."""
    known: dict[Point, list[str]] = {}
    for line in results.read_text("utf-8").splitlines() if results.exists() else ():
        entry = json.loads(line)
        point = entry["point"]
        known[Point(point["act"], Kind(point["kind"]), point["number"], Blow(point["blow"]))] = entry["differences"]
    return known


def _quiet() -> None:
    """A session that is hit has much to log."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if Path("/dev/shm").is_dir():  # noqa: S108 - commits need no disk here
        tempfile.tempdir = "/dev/shm"  # noqa: S108


def main(arguments: list[str]) -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill_matrix", description=__doc__)
    parser.add_argument("--slice", action="store_true", help=f"a part within {SLICE_SECONDS} s, another one each time")
    parser.add_argument("--results", type=Path, default=Path("kill-matrix.jsonl"), help="what was tried already")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="the order of the points")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    _quiet()
    if options.slice:
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder) / "slice.jsonl"
            seconds = SLICE_SECONDS - 30
            return 0 if simulated(results, seconds=seconds, seed=options.seed, jobs=options.jobs) else 1
    return 0 if simulated(options.results, seconds=None, seed=options.seed, jobs=options.jobs) else 1
