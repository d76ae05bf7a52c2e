"""Who may do what in a room, whatever its power levels look like."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.matrix.power import INFINITE, Power

ANN, BOB, EVE = "@ann:x", "@bob:x", "@eve:x"
V11, V12 = {"room_version": "11"}, {"room_version": "12"}
LEVELS = {"users": {BOB: 50}, "users_default": 5, "events": {"m.room.name": 60, "m.reaction": 1}}

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    ["users", "users_default", "events", "events_default", "state_default", "invite", "kick", "ban", "redact"]
)


def test_a_level_is_the_users_own_else_the_default() -> None:
    power = Power.of(LEVELS, V11, ANN)
    assert [power.level(user) for user in (BOB, EVE, ANN)] == [50, 5, 5]


def test_who_creates_a_version_12_room_stands_above_all_levels() -> None:
    power = Power.of({"users": {BOB: 2**53 - 1}}, {**V12, "additional_creators": [EVE, 3]}, ANN)
    assert [power.level(user) for user in (ANN, EVE)] == [INFINITE, INFINITE]
    assert power.level(BOB) < INFINITE


def test_additional_creators_mean_nothing_before_version_12() -> None:
    assert Power.of({}, {**V11, "additional_creators": [EVE]}, ANN).level(EVE) == 0


@pytest.mark.parametrize("version", [None, 12, True, [], "", "twelve", "org.example.12", "-12", "9" * 5000])
def test_a_version_that_is_no_number_has_no_infinite_creators(version: Any) -> None:
    assert Power.of({}, {"room_version": version}, ANN).level(ANN) == 0


def test_a_later_version_keeps_the_rule() -> None:
    assert Power.of({}, {"room_version": "13"}, ANN).level(ANN) == INFINITE


def test_without_power_levels_only_the_creator_has_any_and_everybody_may_change_state() -> None:
    power = Power.of(None, V11, ANN)
    assert [power.level(user) for user in (ANN, BOB)] == [100, 0]
    assert power.can_send(BOB, "m.room.name", state=True)
    assert not power.can(BOB, "kick")
    assert Power.of(None, V12, ANN).level(ANN) == INFINITE


def test_an_event_takes_its_own_level_else_that_of_its_kind() -> None:
    power = Power.of(LEVELS, V11, ANN)
    assert power.needed("m.room.name", state=True) == 60
    assert power.needed("m.room.topic", state=True) == 50
    assert power.needed("m.reaction") == 1
    assert power.needed("m.room.message") == 0
    assert power.can_send(BOB, "m.room.topic", state=True)
    assert not power.can_send(BOB, "m.room.name", state=True)


def test_actions_have_the_specifications_defaults() -> None:
    power = Power.of({"users": {BOB: 49}, "kick": 40}, V11, ANN)
    assert [power.can(BOB, action) for action in ("invite", "kick", "ban", "redact")] == [True, True, False, False]


@pytest.mark.parametrize("level", ["100", True, 100.0, None, [100], {"level": 100}])
def test_a_level_that_is_no_integer_lifts_nobody(level: Any) -> None:
    power = Power.of({"users": {BOB: level}, "users_default": level}, V11, ANN)
    assert power.level(BOB) == 0


@pytest.mark.parametrize("malformed", [None, [], "all", 3, True])
def test_a_map_that_is_none_is_empty(malformed: Any) -> None:
    power = Power.of({"users": malformed, "events": malformed}, V11, ANN)
    assert (power.level(BOB), power.needed("m.room.name", state=True)) == (0, 50)


@given(st.dictionaries(names | st.text(), json), st.dictionaries(st.text() | st.just("room_version"), json))
def test_no_content_raises_or_lifts_to_infinity(levels: dict[str, Any], create: dict[str, Any]) -> None:
    power = Power.of(levels, create, ANN)
    assert isinstance(power.level(BOB), int)
    assert isinstance(power.can_send(BOB, "m.room.message"), bool)
    assert BOB not in power.creators
