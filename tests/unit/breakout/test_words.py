"""The parts of sentences that many replies share."""

from __future__ import annotations

from datetime import timedelta

import pytest

from plugins.breakout.views.words import from_now


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "a moment"),
        (7.4, "7 seconds"),
        (29.9, "30 seconds"),
        (58.8, "1 minute"),
        (222, "3 minutes 40 seconds"),
        (299.9, "5 minutes"),
        (901, "15 minutes"),
        (22 * 60 + 56, "23 minutes"),
        (3600 + 20 * 60 + 31, "1 hour 21 minutes"),
    ],
)
def test_time_left_is_rounded_as_people_say_it(seconds: float, said: str) -> None:
    assert from_now(timedelta(seconds=seconds)) == said
