"""What the results say of one operation at one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.cycle import WIDTHS
from bench.figures import Spread
from bench.ground import Size
from bench.operations import COURSES, FLOOR
from bench.results import Results, Row
from bench.stock import BY_LINKS, STARTS


def sizes(results: Results, what: str, **key: Any) -> list[Size]:
    """The sizes that were measured, the smallest first."""
    return sorted({Size(row["rooms"], row["people"]) for row in results.of(what, **key)})


def rows_of(results: Results, size: Size) -> list[Row]:
    """What was measured of a size where Synapse has SQLite."""
    return [row for course in COURSES for row in results.of("cycle", course=course.name, **size._asdict())]


def best_floor(rows: Sequence[Row], operation: str) -> str:
    """The width at which the floor was faster, by the median: the faster of each repetition would be luck."""
    medians = {
        who: spread.median
        for who in (f"{FLOOR} {width}" for width in WIDTHS)
        if (spread := Spread.of(by_repetition(rows, who, operation, "done").values()))
    }
    return min(medians, key=lambda who: medians[who], default=f"{FLOOR} {WIDTHS[0]}")


def by_repetition(rows: Sequence[Row], who: str, operation: str, what: str) -> dict[int, float]:
    """One figure of one contender's operation, by the number of the repetition."""
    found = (row for row in rows if row["who"] == who and row["operation"] == operation and what in row)
    return {row["repetition"]: float(row[what]) for row in found}


def floor_requests(results: Results, size: Size, name: str) -> Row:
    """How often the floor sent each kind of request for an operation."""
    who = f"{FLOOR} {WIDTHS[0]}"
    rows = (row for row in rows_of(results, size) if row["operation"] == name and row["who"] == who)
    return next((row["requests"] for row in rows), {})


def stock_starts(results: Results, size: Size) -> dict[str, float]:
    """Seconds until everybody could go to their room, by the door, on a server with stock limits; the peer is one.

    That is the last invite, or the last room unlocked, where people are invited; the last answer where links are told.
    """
    starts = (row for row in results.of("stock", **size._asdict()) if row["operation"] in STARTS)
    return {row["door"]: row["done" if row["door"] in BY_LINKS else "last"] for row in starts}
