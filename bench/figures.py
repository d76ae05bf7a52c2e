"""From repeated measurements to figures: medians with their range, ratios of what ran side by side, exponents."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self


class Spread(NamedTuple):
    """A median with the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """Of at least one value; None without any."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1]) if found else None

    def __str__(self) -> str:
        return number(self.median) if self.least == self.most else f"{number(self.median)} ({self.range})"

    @property
    def range(self) -> str:
        """From the least to the most."""
        return f"{number(self.least)}–{number(self.most)}"


def number(value: float) -> str:
    """Two decimals below 10, one below 100, none above: noise has no digits."""
    if abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def ratios(ours: Mapping[int, float], others: Mapping[int, float]) -> Spread | None:
    """What the same repetitions took, ours by the other's: what slowed a machine down slowed both down."""
    both = ours.keys() & others.keys()
    return Spread.of(ours[n] / others[n] for n in both if others[n] > 0)


def quantiles(values: Sequence[float], *percents: int) -> tuple[float, ...]:
    """The percentiles, each a value that was measured (nearest rank)."""
    found = sorted(values)
    return tuple(found[max(0, math.ceil(percent / 100 * len(found)) - 1)] for percent in percents)


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The b of `y = a·x^b`, by least squares of the logarithms; needs two different x at least.

    1 is linear, 2 is quadratic.
    """
    xs = [math.log(x) for x, _ in points]
    ys = [math.log(max(y, 1e-9)) for _, y in points]
    return statistics.linear_regression(xs, ys).slope


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
