"""Who sits where: counting rooms, dealing people, levelling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from random import Random


def room_count(people: int, size: int) -> int:
    """How many rooms groups of `size` make: rounded up, one fewer if that avoids a group of one."""
    rooms = max(1, -(-people // size))
    if rooms > 1 and people < 2 * rooms and people >= 2 * (rooms - 1):
        return rooms - 1
    return rooms


def deal(people: Iterable[str], rooms: Sequence[int], rng: Random, kept: Mapping[str, int]) -> dict[str, int]:
    """A room number for each of `people`, at random; `kept` people sit already and stay.

    Sizes differ by at most one where the kept seats allow it, and which rooms get one more is random too.
    """
    order = sorted(people)
    rng.shuffle(order)
    rooms = rng.sample(rooms, len(rooms))
    seated = dict(kept)
    for user in order:
        seated[user] = smallest_room(rooms, seated)
    return {user: seated[user] for user in order}


def smallest_room(rooms: Sequence[int], seated: Mapping[str, int]) -> int:
    """The room with the fewest people, the first of them in the order of `rooms`."""
    sizes = Counter(seated.values())
    return min(rooms, key=lambda number: sizes[number])


def level(seated: Mapping[str, int], rooms: Sequence[int], fixed: frozenset[str]) -> dict[str, int]:
    """The same seats with as few moved as needed for sizes that differ by at most one; `fixed` people stay.

    Those who came last to the fullest room move.
    """
    result = dict(seated)
    sizes = Counter(result.values())
    while True:
        smallest = min(rooms, key=lambda number: sizes[number])
        movable = [user for user, number in result.items() if user not in fixed and sizes[number] - sizes[smallest] > 1]
        if not movable:
            return result
        user = max(reversed(movable), key=lambda user: sizes[result[user]])
        sizes[result[user]] -= 1
        sizes[smallest] += 1
        result[user] = smallest
