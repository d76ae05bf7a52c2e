"""How long the homeserver will take, and how much earlier something begins because of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.matrix.ports import Pace
from plugins.breakout.domain.estimate import (
    MOST_EARLIER,
    PLAN_SAYS,
    invites_left,
    paced,
    requests_to_start,
    seconds_to_close,
    seconds_to_start,
)
from plugins.breakout.domain.model import Door, Mode, Phase, Presence, Room, Seat, Session, Settings
from plugins.breakout.domain.moments import advance, next_moment
from plugins.breakout.domain.notices import ClosingNotice, Notice, WarningGiven

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
SETTINGS = Settings()


def stock(left: float, rooms_left: float = 10) -> Pace:
    """A Synapse that nobody configured, with so many tokens besides those kept for answers."""
    return Pace(0.05, per_second=0.2, burst_left=left, rooms_per_second=0.016, rooms_left=rooms_left)


def planned(rooms: int, people: int, phase: Phase = Phase.SET_UP, *, made: bool = False, **more: object) -> Session:
    locked = made and phase is Phase.ENDED
    there = [Room(n, f"Room {n}", room_id=f"!{n}" if made else None, locked=locked) for n in range(1, rooms + 1)]
    presence = Presence.JOINED if made else Presence.ASSIGNED
    seats = {f"@p{n}:x": Seat(f"@p{n}:x", n % rooms + 1, presence=presence) for n in range(people)}
    session = Session("s", "!main", phase, Mode.AUTO, tuple(there), "@mod:x", seats=seats)
    return replace(session, **more)  # type: ignore[arg-type]


def seconds(session: Session, pace: Pace, *, answers: int = 0, messages: int = 0, desk_is_made: bool = True) -> float:
    said = {"answers": answers, "messages": messages}
    return seconds_to_start(session, pace, own_server="x", desk_is_made=desk_is_made, **said)


# --- the start


def test_without_limits_a_start_takes_the_server_s_time() -> None:
    assert requests_to_start(planned(20, 200), "x") == (20, 0)
    assert 5 < seconds(planned(20, 200), Pace(0.028)) < 10


def test_what_was_measured_on_a_stock_synapse_is_said_within_a_fifth() -> None:
    # A stock Synapse, 2026-11-25: from the reply to setup until the last invite, and less the token of
    # a question that the bench asks meanwhile, which nobody could foresee.
    said = {"answers": 2, "messages": PLAN_SAYS}
    assert seconds(planned(5, 20), stock(0), **said, desk_is_made=False) == pytest.approx(46.4 - 5, rel=0.2)
    assert seconds(planned(10, 100), stock(6.6), **said, desk_is_made=False) == pytest.approx(69.5 - 5, rel=0.2)


def test_each_room_is_a_token_and_so_is_each_answer_before() -> None:
    assert seconds(planned(5, 20), stock(0)) == 5 / 0.2
    assert seconds(planned(5, 20), stock(2)) == 3 / 0.2
    assert seconds(planned(5, 20), stock(-2), answers=2) == 9 / 0.2
    assert seconds(planned(5, 20), stock(8), answers=1) == 0.05 * 35


def test_messages_get_in_before_the_invites_only_where_tokens_are_left() -> None:
    assert seconds(planned(9, 9), stock(6), answers=1, messages=2) == (1 + 9 + 2 - 6) / 0.2
    assert seconds(planned(9, 9), stock(2), answers=1, messages=2) == (1 + 9 + 1 - 2) / 0.2
    assert seconds(planned(9, 9), stock(0), answers=1, messages=2) == (1 + 9) / 0.2


def test_the_desk_is_a_room_too_where_it_is_not_made_yet() -> None:
    assert seconds(planned(9, 9), stock(9), desk_is_made=False) == 1 / 0.2
    assert seconds(planned(9, 9), stock(9, rooms_left=8), desk_is_made=False) == 2 / 0.016


def test_remote_people_and_those_beyond_ten_are_a_token_each() -> None:
    crowd = planned(1, 12)
    assert requests_to_start(crowd, "x") == (1, 2)
    assert requests_to_start(crowd, "elsewhere") == (1, 12)
    assert seconds(crowd, stock(0)) == 3 / 0.2


def test_a_second_round_unlocks_the_rooms_and_invites_one_by_one() -> None:
    ended = planned(3, 6, Phase.ENDED, made=True, round=1)
    assert requests_to_start(ended, "x") == (0, 3 + 6)
    assert requests_to_start(replace(ended, mode=Mode.CHOOSE), "x") == (0, 6 + 6)
    waiting = {user: replace(seat, presence=Presence.ASSIGNED) for user, seat in ended.seats.items()}
    begun = replace(ended, phase=Phase.RUNNING, round=2, seats=waiting)
    assert requests_to_start(begun, "x") == (0, 3 + 6)
    one = replace(waiting["@p0:x"], presence=Presence.INVITED)
    opened = begun.with_room(replace(begun.room(1), locked=False)).with_seats(one)
    assert requests_to_start(opened, "x") == (0, 2 + 5)


def test_what_is_prepared_for_the_next_round_opens_its_rooms_only_behind_the_open_door() -> None:
    ended = planned(4, 8, Phase.ENDED, made=True, prepared_at=NOON)
    assert requests_to_start(ended, "x") == (0, 0)
    assert requests_to_start(replace(ended, door=Door.OPEN), "x") == (0, 8)


def test_how_many_invites_are_out_is_counted_while_running_only() -> None:
    assert invites_left(planned(1, 2, Phase.RUNNING)) == (0, 2)
    assert invites_left(planned(1, 2, Phase.RUNNING, made=True)) == (2, 2)
    assert invites_left(planned(1, 2, Phase.ENDED)) == (0, 0)


# --- the end


def test_an_end_locks_tells_and_empties_each_room() -> None:
    ended = planned(5, 20, Phase.ENDED, made=True)
    assert seconds_to_close(ended, stock(0), answers=1) == (1 + 5 + 5 + 1 + 20) / 0.2
    assert seconds_to_close(replace(ended, mode=Mode.CHOOSE), stock(0), answers=1) == (1 + 15 + 1 + 20) / 0.2
    gone = {user: replace(seat, presence=Presence.LEFT) for user, seat in ended.seats.items()}
    assert seconds_to_close(replace(ended, seats=gone), Pace(0.05)) == pytest.approx(0.05 * 11)


def running(rooms: int, ends_in: timedelta) -> Session:
    more = {"started_at": NOON, "clock_at": NOON, "ends_at": NOON + ends_in, "round": 1, "reminded": True}
    return planned(rooms, rooms, Phase.RUNNING, made=True, **more)


def test_nothing_begins_earlier_where_the_server_does_not_throttle() -> None:
    assert paced(SETTINGS, running(10, timedelta(minutes=10)), Pace(0.03)) == SETTINGS


def test_what_goes_out_room_by_room_begins_as_much_earlier_as_tokens_are_lacking() -> None:
    session = running(10, timedelta(minutes=10))
    assert paced(SETTINGS, session, stock(8)).tell_earlier == timedelta(seconds=20)
    assert paced(SETTINGS, session, stock(8)).lock_earlier == timedelta(seconds=20)
    assert paced(SETTINGS, running(6, timedelta(minutes=10)), stock(8)) == SETTINGS
    assert paced(SETTINGS, running(100, timedelta(minutes=10)), stock(0)).tell_earlier == MOST_EARLIER


def test_the_moment_stands_still_while_tokens_come_in() -> None:
    # Else it would be put off by as much as passes until it is looked at, again and again.
    session = running(10, timedelta(minutes=10))
    assert paced(SETTINGS, session, stock(7.2)) == paced(SETTINGS, session, stock(7.9))


def test_warnings_notice_and_lock_come_so_much_earlier() -> None:
    session, early = running(10, timedelta(minutes=10)), timedelta(seconds=40)
    slow = replace(SETTINGS, tell_earlier=early, lock_earlier=timedelta(seconds=20))
    moment = next_moment(session, slow)
    assert moment == NOON + timedelta(minutes=5) - early
    assert not advance(session, now=moment - timedelta(seconds=1), settings=slow).notices
    warned = advance(session, now=moment, settings=slow)
    assert {type(notice) for notice in warned.notices} == {WarningGiven}
    moment = next_moment(warned.session, slow)
    assert moment == NOON + timedelta(minutes=9) - early
    closing = advance(warned.session, now=moment, settings=slow)
    assert {type(notice) for notice in closing.notices} == {ClosingNotice}
    assert next_moment(closing.session, slow) == NOON + timedelta(minutes=10) - timedelta(seconds=20)
    ended = advance(closing.session, now=NOON + timedelta(minutes=10) - timedelta(seconds=20), settings=slow)
    assert ended.session.phase is Phase.ENDED


def test_a_warning_at_the_moment_of_the_notice_is_dropped_though_the_notice_came_earlier() -> None:
    session = running(10, timedelta(minutes=10))
    for early in (0, 40, 60):
        slow = replace(SETTINGS, tell_earlier=timedelta(seconds=early))
        said: list[Notice] = []
        for second in range(601):
            change = advance(session, now=NOON + timedelta(seconds=second), settings=slow)
            session, said = change.session, [*said, *change.notices]
        assert {notice.seconds for notice in said if isinstance(notice, WarningGiven)} == {300}
        session = running(10, timedelta(minutes=10))


def test_a_room_keeps_half_of_its_notice_before_it_is_locked() -> None:
    session = running(100, timedelta(minutes=10))
    slow = replace(SETTINGS, lock_earlier=MOST_EARLIER)
    closing = advance(session, now=NOON + timedelta(minutes=9), settings=slow).session
    assert closing.phase is Phase.CLOSING
    assert advance(closing, now=NOON + timedelta(minutes=9, seconds=29), settings=slow).session.phase is Phase.CLOSING
    assert advance(closing, now=NOON + timedelta(minutes=9, seconds=30), settings=slow).session.phase is Phase.ENDED
