"""How often we ask for news."""

from __future__ import annotations

from bot.matrix.rhythm import AT_ONCE, LONGEST_PAUSE, Rhythm


def pauses(*seconds: float) -> list[float]:
    rhythm, after = Rhythm(), list[float]()
    for took in seconds:
        rhythm.answered(took)
        after.append(rhythm.pause)
    return after


def test_who_types_into_the_silence_is_heard_at_once() -> None:
    assert Rhythm().pause == 0
    assert pauses(20.0, 3.0, AT_ONCE) == [0, 0, 0]


def test_the_more_answers_come_at_once_in_a_row_the_longer_we_wait_with_the_next_question() -> None:
    found = pauses(*[0.01] * 10)
    assert found == sorted(found)
    assert 0 < found[0] < found[1]
    assert found[-1] == LONGEST_PAUSE


def test_a_burst_ends_with_the_first_answer_that_waited_for_news() -> None:
    *_, before, silence, again = pauses(0.01, 0.01, 0.01, 1.0, 0.01)
    assert silence == 0
    assert 0 < again < before
