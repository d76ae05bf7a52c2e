"""The laws, on a few examples each time; `python -m tests.fuzz` tries more of them."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.laws import check
from tests.fuzz.strategies import ACTS, PHASE, SAID, Act

_FEW = settings(max_examples=12, suppress_health_check=list(HealthCheck))


@_FEW
@given(phase=PHASE, acts=st.lists(ACTS, min_size=1, max_size=12))
def test_whatever_events_come_nothing_breaks_and_nobody_oversteps(phase: str, acts: list[Act]) -> None:
    check(phase, acts)


@_FEW
@given(phase=PHASE, acts=st.lists(SAID, min_size=1, max_size=12))
def test_whatever_is_typed_nothing_breaks_and_nobody_oversteps(phase: str, acts: list[Act]) -> None:
    check(phase, acts)
