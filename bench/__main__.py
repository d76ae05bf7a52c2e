"""All benchmarks by one command: `python -m bench --quick`, or `--full`, which goes on where it was stopped.

Results are appended to a file as they come; what is there for the same code is not measured again. Each figure is a
ratio against a floor or a peer in the same run; docs/benchmarks.md gets the report.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import answers, cycle, encrypted, many, stock
from bench.ground import Size
from bench.operations import KEPT, POSTGRES, PREPARED, USUAL, Course
from bench.report import write
from bench.results import Results, machine

log = logging.getLogger(__name__)

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / ".benchmarks" / "results.jsonl"


class Part(NamedTuple):
    """Something to measure; `name` is what `--only` takes, `what` says which of its name."""

    name: str
    run: Callable[[Results], Awaitable[None]]
    what: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.what}".rstrip()


def _cycles(size: Size, repetitions: int, course: Course = USUAL, *, with_peer: bool = True) -> Part:
    what = f"{size} {course.name}"
    return Part("cycle", lambda results: cycle.cycles(results, size, repetitions, course, with_peer=with_peer), what)


def _requests(size: Size, course: Course = USUAL) -> Part:
    return Part("requests", lambda results: cycle.requests(results, size, course), f"{size} {course.name}")


def _sessions(number: int, repetitions: int) -> Part:
    return Part("sessions", lambda results: many.sessions(results, number, repetitions), str(number))


def _idle(number: int) -> Part:
    return Part("idle", lambda results: many.idle(results, number), str(number))


def _stock(size: Size) -> Part:
    return Part("stock", lambda results: stock.stock(results, size), str(size))


QUICK: Sequence[Part] = (
    _cycles(Size(2, 10), 2),
    _cycles(Size(5, 50), 1),
    _requests(Size(2, 10)),
)
"""At most 3 minutes on two quiet cores."""

FULL: Sequence[Part] = (
    _cycles(Size(2, 10), 5),
    _requests(Size(2, 10)),
    _cycles(Size(5, 50), 3),
    _requests(Size(5, 50)),
    Part("answers", lambda results: answers.answers(results, Size(20, 200), starts=4, idle=60)),
    _cycles(Size(10, 100), 3),
    _cycles(Size(10, 100), 1, PREPARED),
    _cycles(Size(20, 200), 2),
    _cycles(Size(20, 200), 2, PREPARED),
    _cycles(Size(20, 200), 2, KEPT),
    Part("help", lambda results: many.help_shown(results, 9)),
    _idle(0),
    _idle(1000),
    _sessions(1, 3),
    _sessions(10, 2),
    _sessions(50, 1),
    _stock(Size(2, 10)),
    _requests(Size(10, 100)),
    _requests(Size(10, 100), PREPARED),
    _stock(Size(10, 100)),
    Part("encrypted", lambda results: encrypted.encrypted(results, Size(20, 200), 2)),
    Part("encrypted", lambda results: encrypted.sealing(results, Size(20, 200)), "sealing"),
    _sessions(200, 1),
    _cycles(Size(5, 50), 2, POSTGRES),
    _requests(Size(20, 200)),
    _cycles(Size(50, 500), 1, with_peer=False),
)
"""At most 120 minutes; what says most comes first."""


async def run(parts: Sequence[Part], results: Results) -> list[str]:
    """Measure what is missing; the names of the parts that failed, which keep no other part from being measured."""
    if not results.has("machine"):
        results.add("machine", [machine()])
    failed = []
    for part in parts:
        began = time.monotonic()
        try:
            await part.run(results)
        except Exception:  # whatever it is, two hours of measuring are not lost for it
            log.exception("%s could not be measured", part)
            failed.append(str(part))
        if (took := time.monotonic() - began) > 1:
            print(f"— {part}: {took:.0f} s", flush=True)
    return failed


def main() -> None:
    """Read the arguments, measure, write the report."""
    names = sorted({part.name for part in FULL})
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, at most 3 minutes (the default)")
    parser.add_argument("--full", action="store_true", help="everything, at most 2 hours; goes on where it stopped")
    parser.add_argument("--only", choices=names, action="append", help="this part only; may be given several times")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the results are kept (JSON lines)")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the report is written")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the report of what is there")
    chosen = parser.parse_args()
    logging.getLogger("nio").setLevel(logging.CRITICAL)
    # Else a run that is ended by `kill` would leave the bots behind that it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = Results(chosen.results)
    kind = "--full" if chosen.full else "--quick"
    parts = [part for part in (FULL if chosen.full else QUICK) if not chosen.only or part.name in chosen.only]
    failed = [] if chosen.report else asyncio.run(run(parts, results))
    write(results, chosen.page, f"python -m bench {kind}")
    print(f"The report is in {chosen.page}")
    if failed:
        raise SystemExit(f"Not measured, see above: {', '.join(failed)}")


if __name__ == "__main__":
    main()
