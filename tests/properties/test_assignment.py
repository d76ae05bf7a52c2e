"""Whatever the people and rooms: deals are even and moves are few."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from plugins.breakout.domain.assignment import deal, level, room_count

ROOMS = st.integers(1, 20).map(lambda count: tuple(range(1, count + 1)))
PEOPLE = st.integers(0, 120).map(lambda count: [f"@p{n}:x" for n in range(count)])


def spread(seated: dict[str, int], rooms: tuple[int, ...]) -> int:
    sizes = Counter(seated.values())
    return max(sizes[number] for number in rooms) - min(sizes[number] for number in rooms)


@given(PEOPLE, ROOMS, st.integers())
def test_a_deal_seats_everybody_once_and_sizes_differ_by_at_most_one(
    people: list[str], rooms: tuple[int, ...], seed: int
) -> None:
    seated = deal(people, rooms, Random(seed), {})
    assert sorted(seated) == sorted(people)
    assert set(seated.values()) <= set(rooms)
    assert spread(seated, rooms) <= 1


@given(PEOPLE, ROOMS, st.integers(), st.data())
def test_a_deal_beside_kept_seats_makes_nothing_more_uneven(
    people: list[str], rooms: tuple[int, ...], seed: int, data: st.DataObject
) -> None:
    kept = {f"@k{n}:x": data.draw(st.sampled_from(rooms)) for n in range(data.draw(st.integers(0, 10)))}
    seated = deal(people, rooms, Random(seed), kept)
    assert not kept.keys() & seated.keys()
    assert spread({**kept, **seated}, rooms) <= max(1, spread(kept, rooms))


@given(st.dictionaries(st.integers(0, 60).map(str), st.integers(1, 5)), st.sets(st.integers(0, 60).map(str)))
def test_levelling_moves_nobody_who_is_fixed_and_nobody_without_need(seated: dict[str, int], fixed: set[str]) -> None:
    rooms = (1, 2, 3, 4, 5)
    levelled = level(seated, rooms, frozenset(fixed))
    assert levelled.keys() == seated.keys()
    assert all(levelled[user] == seated[user] for user in fixed & seated.keys())
    if spread(seated, rooms) <= 1:
        assert levelled == seated
    if not fixed & seated.keys():
        assert spread(levelled, rooms) <= 1
    assert level(levelled, rooms, frozenset(fixed)) == levelled


@given(st.integers(0, 500), st.integers(2, 50))
def test_groups_are_rounded_up_and_nobody_is_alone_who_need_not_be(people: int, size: int) -> None:
    count = room_count(people, size)
    rounded_up = max(1, -(-people // size))
    assert rounded_up - 1 <= count <= rounded_up
    assert count >= 1
    if people > 1:
        assert people // count >= 2
    if count < rounded_up:
        assert people // rounded_up < 2
