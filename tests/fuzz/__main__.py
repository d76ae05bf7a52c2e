"""`python -m tests.fuzz --minutes 30`: tries the laws on fresh examples, and prints what breaks them."""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.laws import TRIED, check
from tests.fuzz.strategies import ACTS, PHASE, SAID, Act

EXAMPLES = 40
"""Of one seed; then comes the next one."""


def law(acts: st.SearchStrategy[Act], number: int) -> Callable[[], None]:
    """The law on examples that this seed makes."""

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        print_blob=True,
    )
    @given(phase=PHASE, acts=st.lists(acts, min_size=5, max_size=25))
    def holds(phase: str, acts: list[Act]) -> None:
        check(phase, acts)

    return holds


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="the first seed; the others follow")
    options = parser.parse_args()
    began, number, findings = time.monotonic(), options.seed, 0
    while time.monotonic() - began < options.minutes * 60:
        for name, acts in (("events", ACTS), ("lines", SAID)):
            try:
                law(acts, number)()
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                findings += 1
                print(f"✗ {name}, --seed {number}:", flush=True)
                traceback.print_exception(error, limit=-2, file=sys.stdout)
        number += 1
        minutes = (time.monotonic() - began) / 60
        print(f"{minutes:.1f} min, seed {number - 1}: {_tried()}, {findings} findings", flush=True)
    return 1 if findings else 0


def _tried() -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(TRIED.items())) + f", {TRIED.total()} in all"


if __name__ == "__main__":
    raise SystemExit(main())
