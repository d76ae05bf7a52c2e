"""Who sits where: counting rooms, dealing people, levelling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random


def room_count(people: int, size: int) -> int:
    """How many rooms groups of `size` make: rounded up, one fewer if that avoids a group of one; at least 1."""
    raise NotImplementedError


def deal(people: Iterable[str], rooms: Sequence[int], rng: Random, kept: Mapping[str, int]) -> dict[str, int]:
    """A room number for each of `people`, at random; `kept` people sit already and stay."""
    raise NotImplementedError


def smallest_room(rooms: Sequence[int], seated: Mapping[str, int]) -> int:
    """The room with the fewest people, the first of them in the order of `rooms`."""
    raise NotImplementedError


def level(seated: Mapping[str, int], rooms: Sequence[int], fixed: frozenset[str]) -> dict[str, int]:
    """The same seats with as few moved as needed for sizes that differ by at most one; `fixed` people stay."""
    raise NotImplementedError
