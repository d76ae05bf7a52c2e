"""JSON of others: what could not be kept or sent on is replaced, the rest stays as it is."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from bot.matrix.received import received


def depth(value: Any) -> int:
    levels = 0
    while value:
        value, levels = next(iter(value.values())) if isinstance(value, dict) else value[0], levels + 1
    return levels


@pytest.mark.parametrize("levels", [260, 600, 30_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_what_is_nested_too_deeply_is_cut_and_what_stands_beside_it_stays(levels: int, left: str, right: str) -> None:
    """One such event kept all that came with it and after it back for ever."""
    found = received(f'{{"deep": {left * levels}1{right * levels}, "body": "[[\\"{{"}}'.encode())
    assert found["body"] == '[["{'
    assert 50 < depth(found["deep"]) < 200
    TypeAdapter(Any).dump_python(found, mode="json")


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "9" * 5000])
def test_a_number_that_none_can_hold_is_none(number: str) -> None:
    assert received(f'{{"a": {number}, "b": 1.5}}'.encode()) == {"a": None, "b": 1.5}


def test_a_float_beyond_all_bounds_is_a_very_large_one() -> None:
    assert received(b"[1e999, -1e999]") == [sys.float_info.max, -sys.float_info.max]


def test_half_of_a_surrogate_pair_is_replaced_and_a_whole_one_is_a_character() -> None:
    assert received(b'["\\ud83d", "\\ud83d\\ude00"]') == ["\ufffd", "😀"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[" * 50_000, b'"\xff"', b"<html>"])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError):
        received(raw)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_JSON)
def test_everything_else_stays_what_it_is(value: Any) -> None:
    assert received(json.dumps(value).encode()) == value
