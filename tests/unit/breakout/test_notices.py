"""What is said in one message."""

from __future__ import annotations

from datetime import timedelta

from plugins.breakout.domain.notices import MainStarted, Notice, PleaseMove, together
from tests.unit.breakout.example import NOW, user


def please_move(number: int, old: int, new: int, later: timedelta = timedelta()) -> PleaseMove:
    return PleaseMove("s1", 1, user(number), old, new, NOW + later, (user(number),))


def test_who_goes_the_same_way_at_the_same_moment_is_asked_together() -> None:
    notices: list[Notice] = [please_move(1, 1, 2), MainStarted("s1", 1), please_move(2, 1, 2), please_move(3, 1, 3)]
    found = together(notices)
    assert [getattr(notice, "users", None) for notice in found] == [(user(1), user(2)), None, (user(3),)]
    assert found[0].key == please_move(1, 1, 2).key
    assert together(found) == found


def test_another_way_or_another_moment_is_another_message() -> None:
    notices = (please_move(1, 1, 2), please_move(2, 2, 1), please_move(3, 1, 2, timedelta(seconds=1)))
    assert together(notices) == notices
    assert len({notice.key for notice in notices}) == 3
