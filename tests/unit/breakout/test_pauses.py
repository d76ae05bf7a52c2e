"""What failed waits, longer each time, and holds up only what comes after it in the same room."""

from __future__ import annotations

from datetime import timedelta

from plugins.breakout.domain.pauses import LONGEST_PAUSE, STILL_BEING_MADE, Pauses
from plugins.breakout.domain.plan import Stage
from tests.unit.breakout.example import NOW

RED, GREEN = ("s", 1), ("s", 2)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def test_the_pause_grows_up_to_a_minute_and_begins_anew_after_a_success() -> None:
    pauses = Pauses()
    lengths = []
    for _ in range(8):
        pauses.failed(RED, Stage.MAKE, NOW)
        lengths.append(pauses.until(RED, Stage.MAKE, NOW))
    assert lengths == [NOW + seconds(s) for s in (1, 2, 4, 8, 16, 32, 60, 60)]
    pauses.succeeded(RED, Stage.MAKE)
    assert pauses.until(RED, Stage.MAKE, NOW) is None
    pauses.failed(RED, Stage.MAKE, NOW)
    assert pauses.until(RED, Stage.MAKE, NOW) == NOW + seconds(1)


def test_the_homeserver_s_own_wait_counts() -> None:
    pauses = Pauses()
    pauses.failed(RED, Stage.MAKE, NOW, seconds(300))
    assert pauses.until(RED, Stage.MAKE, NOW + LONGEST_PAUSE) == NOW + seconds(300)
    assert pauses.until(RED, Stage.MAKE, NOW + seconds(300)) is None


def test_somebody_is_removed_though_somebody_else_cannot_be_invited() -> None:
    pauses = Pauses()
    pauses.failed(RED, Stage.MAKE, NOW)
    assert pauses.until(RED, Stage.MAKE, NOW) is not None
    assert pauses.until(RED, Stage.REMOVE, NOW) is None
    assert pauses.until(RED, Stage.LOCK, NOW) is None
    assert pauses.until(GREEN, Stage.MAKE, NOW) is None


def test_a_failing_lock_keeps_back_all_else_in_its_room_and_a_removal_the_leaving() -> None:
    pauses = Pauses()
    pauses.failed(RED, Stage.LOCK, NOW)
    pauses.failed(GREEN, Stage.REMOVE, NOW)
    assert pauses.until(RED, Stage.REMOVE, NOW) is not None
    assert pauses.until(GREEN, Stage.GO, NOW) is not None
    assert pauses.until(GREEN, Stage.LOCK, NOW) is None


def test_a_room_in_which_nothing_is_left_to_do_is_forgotten() -> None:
    pauses = Pauses()
    pauses.failed(RED, Stage.LOCK, NOW)
    pauses.failed(GREEN, Stage.LOCK, NOW)
    pauses.keep([GREEN])
    assert not pauses.has_failed(RED, Stage.LOCK)
    assert pauses.has_failed(GREEN, Stage.LOCK)


def test_a_room_that_came_to_light_is_not_touched_while_it_may_still_be_made() -> None:
    pauses = Pauses()
    pauses.found(RED, NOW)
    assert pauses.until(RED, Stage.MAKE, NOW) == NOW + STILL_BEING_MADE
    assert pauses.until(RED, Stage.LOCK, NOW) is None
    assert pauses.until(RED, Stage.MAKE, NOW + STILL_BEING_MADE) is None
    pauses.failed(RED, Stage.MAKE, NOW)
    assert pauses.until(RED, Stage.MAKE, NOW) == NOW + seconds(1)
