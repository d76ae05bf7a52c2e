"""Another part of the kill matrix in each run of the tests; `python -m tests.kill_matrix` tries all of it."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.kill_matrix.simulated.boundaries import Blow, Boundary, Fate, Kind, Point
from tests.kill_matrix.simulated.inline import without_threads
from tests.kill_matrix.simulated.session import Outcome, dealt, differences, missed, played, points

SESSIONS = 2


@pytest.fixture(scope="module")
def unhurt() -> Outcome:
    with without_threads():
        return asyncio.run(played())


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_session_that_is_hit_ends_as_if_nothing_had_been(unhurt: Outcome) -> None:
    wanted = points(unhurt)
    random.shuffle(wanted)
    for session in dealt(wanted)[:SESSIONS]:
        with without_threads():
            hit = asyncio.run(played(session))
        assert not differences(hit, unhurt), session
        for point in missed(session, hit):
            with without_threads():
                alone = asyncio.run(played([point]))
            assert list(alone.hit) == [point.act], point
            assert not differences(alone, unhurt), point


def test_what_is_lost_and_what_is_doubled_is_found(unhurt: Outcome) -> None:
    other = Outcome(places=dict(unhurt.places), said=unhurt.said.copy(), invites=unhurt.invites.copy())
    assert not differences(other, unhurt)
    other.said[("Red · Class", "Ann: Ten more minutes")] += 1
    assert differences(other, unhurt) == ["said 2×, not 1×: ('Red · Class', 'Ann: Ten more minutes')"]
    other.said = unhurt.said
    other.places["start"] = {**unhurt.places["start"], "Red · Class": {}}
    assert len(differences(other, unhurt)) == 1


def test_each_session_is_hit_once_an_act() -> None:
    wanted = [Point("start", Kind.COMMIT, n, Blow.KILLED_AFTER) for n in range(3)]
    wanted.append(Point("end", Kind.SYNC, 0, Blow.GAP))
    assert [len(session) for session in dealt(wanted)] == [2, 1, 1]


def test_what_was_not_reached_is_known() -> None:
    reached, shifted = (
        Point("start", Kind.COMMIT, 0, Blow.KILLED_AFTER),
        Point("end", Kind.COMMIT, 9, Blow.KILLED_AFTER),
    )
    hit = Outcome(hit={"start": Boundary(Kind.COMMIT, "start", "commit")})
    assert missed([reached, shifted], hit) == [shifted]


def test_nothing_is_hit_before_the_first_act() -> None:
    fate = Fate([Point("start", Kind.SYNC, 1, Blow.GAP)])
    assert fate.at(Kind.SYNC, "sync") is None
    fate.begin("start")
    assert [fate.at(Kind.SYNC, "sync") for _ in range(3)] == [None, Blow.GAP, None]
    assert list(fate.hit) == ["start"]
