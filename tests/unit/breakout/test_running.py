"""Starting, timing, ending and deleting."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from plugins.breakout.domain import refusals
from plugins.breakout.domain.change import Change, ConfirmAsked
from plugins.breakout.domain.changes import ending, observed, seats, starting, timing
from plugins.breakout.domain.changes.ending import Ending, SessionDeleted
from plugins.breakout.domain.changes.preparing import Prepared
from plugins.breakout.domain.changes.setup import Layout, SeatLine
from plugins.breakout.domain.changes.starting import Started
from plugins.breakout.domain.model import Confirm, Mode, Person, Phase, Presence, Session, Settings
from plugins.breakout.domain.moments import advance
from plugins.breakout.domain.notices import (
    ChooseNow,
    ClosingNotice,
    EndReason,
    MainEnded,
    RoomClosed,
    TimeChanged,
    WelcomeRoom,
)
from tests.unit.breakout.example import (
    MOD,
    NOW,
    SETTINGS,
    minutes,
    pupils,
    running_session,
    set_up,
    sizes,
    start,
    user,
)

OTHER = "@other:x"


def asked_start(session: Session, people: list[Person], *, confirmed: bool = False) -> Change[Started | ConfirmAsked]:
    return starting.start(
        session,
        by=MOD,
        people=people,
        now=NOW,
        settings=SETTINGS,
        rng=Random(1),
        key="q",
        confirmed=confirmed,
    )


def started(session: Session, people: list[Person]) -> tuple[Session, Started]:
    change = asked_start(session, people, confirmed=True)
    assert isinstance(change.told, Started)
    return change.session, change.told


def end(session: Session, *, by: str = MOD, after: float = 0, notice: timedelta | None = None) -> Change[Ending]:
    return ending.end(session, by=by, now=NOW + timedelta(seconds=after), settings=SETTINGS, notice=notice)


def test_a_start_begins_a_round_with_one_invite_each() -> None:
    people = pupils(8)
    session, told = started(set_up(Layout(count=4), people).session, people)
    assert (session.phase, session.round, session.started_by) == (Phase.RUNNING, 1, MOD)
    assert {seat.invite_count for seat in session.seats.values()} == {1}
    assert (told.seated, told.newcomers, told.gone, told.moved) == (8, (), (), ())


def test_newcomers_get_the_smallest_rooms_and_leavers_lose_their_seats() -> None:
    session = set_up(Layout(count=4), pupils(8)).session
    people = [person for person in pupils(10) if person.user != user(1)]
    session, told = started(session, people)
    assert {who for who, _ in told.newcomers} == {user(9), user(10)}
    assert told.gone == (user(1),)
    assert sizes(session) == [2, 2, 2, 3]


def test_dealt_people_move_so_that_no_room_stays_empty() -> None:
    session = set_up(Layout(count=4), pupils(8)).session
    emptied = {seat.user for seat in session.people_of(1)}
    session, told = started(session, [p for p in pupils(8) if p.user not in emptied])
    assert sizes(session) == [1, 1, 2, 2]
    assert len(told.moved) == 1


def test_people_who_were_seated_by_hand_never_move_by_themselves() -> None:
    people = pupils(4)
    session = set_up(Layout(count=2), people).session
    session = seats.assign(session, [(user(n), 1) for n in (1, 2, 3)], people=people).session
    session, _ = started(session, people)
    assert {session.seats[user(n)].room for n in (1, 2, 3)} == {1}
    assert session.seats[user(4)].room == 2


def test_groups_are_counted_again_at_the_start() -> None:
    session = set_up(Layout(group_size=4), pupils(4)).session
    session, told = started(session, pupils(12))
    assert sizes(session) == [4, 4, 4]
    assert told.rooms_before == 1
    assert [room.name for room in session.rooms] == ["Room 1", "Room 2", "Room 3"]
    fewer, _ = started(set_up(Layout(group_size=4), pupils(12)).session, pupils(5))
    assert sizes(fewer) == [2, 3]


def test_groups_are_not_counted_again_once_a_seat_was_set_by_hand() -> None:
    people = pupils(12)
    session = set_up(Layout(group_size=4), pupils(4)).session
    session = seats.assign(session, [(user(1), 1)], people=people).session
    assert len(started(session, people)[0].rooms) == 1


def test_a_start_with_nobody_says_who_could_be_seated() -> None:
    session = set_up(Layout(count=2), pupils(0)).session
    with pytest.raises(refusals.NobodyToSeat) as caught:
        started(session, pupils(0))
    assert (caught.value.participants, caught.value.moderators) == (0, 1)
    with pytest.raises(refusals.NobodyToSeat):
        started(set_up(Layout(count=2, mode=Mode.MANUAL), pupils(4)).session, pupils(4))
    with pytest.raises(refusals.NobodyToSeat) as here:
        started(set_up(Layout(count=2, here=True), pupils(4)).session, pupils(4))
    assert here.value.here_only


def test_a_start_with_more_rooms_than_people_is_refused() -> None:
    session = set_up(Layout(count=4), pupils(3)).session
    with pytest.raises(refusals.RoomsWouldBeEmpty) as caught:
        started(session, pupils(3))
    assert (len(caught.value.rooms), caught.value.people, caught.value.count) == (1, 3, 4)


def test_empty_rooms_are_fine_in_manual_mode_and_nobody_is_dealt() -> None:
    lines = (SeatLine("A", (user(1),)), SeatLine("B", ()))
    session, told = started(set_up(Layout(lines=lines), pupils(3)).session, pupils(3))
    assert set(session.seats) == {user(1)}
    assert told.unseated == (user(2), user(3))


def test_choose_mode_starts_without_seats_and_asks_who_has_not_chosen() -> None:
    people = pupils(2)
    session = set_up(Layout(count=2, mode=Mode.CHOOSE), people).session
    session = seats.choose(session, user(1), 1, people=people).session
    assert asked_start(session, people).notices == (ChooseNow(session.id, 1, (user(2),)),)


def test_more_than_fifty_people_wait_for_a_yes() -> None:
    people = pupils(51)
    session = set_up(Layout(count=10), people).session
    change = asked_start(session, people)
    assert isinstance(change.told, ConfirmAsked)
    assert (change.told.people, change.told.rooms) == (51, 10)
    assert change.session.phase is Phase.SET_UP
    assert change.session.seats == session.seats
    assert isinstance(asked_start(session, pupils(50)).told, Started)


def confirmed(
    session: Session, *, by: str = MOD, key: str | None = None, what: Confirm | None = None, after: float = 0
) -> Change[Started | Prepared | ConfirmAsked | SessionDeleted]:
    return starting.confirm(
        session,
        by=by,
        people=pupils(51),
        now=NOW + minutes(after),
        settings=SETTINGS,
        rng=Random(1),
        what=what,
        key=key,
    )


def test_a_yes_comes_from_the_asker_or_typed_from_any_moderator_within_two_minutes() -> None:
    people = pupils(51)
    session = asked_start(set_up(Layout(count=10), people).session, people).session
    assert confirmed(session, key="q").session.phase is Phase.RUNNING
    assert confirmed(session, by=OTHER, what=Confirm.START).session.started_by == MOD
    with pytest.raises(refusals.NotYoursToConfirm):
        confirmed(session, by=OTHER, key="q")
    with pytest.raises(refusals.NothingToConfirm):
        confirmed(session, key="another")
    with pytest.raises(refusals.NothingToConfirm):
        confirmed(session, what=Confirm.DELETE)
    with pytest.raises(refusals.NothingToConfirm):
        confirmed(session, what=Confirm.START, after=2.1)
    with pytest.raises(refusals.NothingToConfirm):
        confirmed(set_up(Layout(count=1), people).session, what=Confirm.START)


def test_the_time_limit_survives_the_question() -> None:
    people = pupils(51)
    session = starting.start(
        set_up(Layout(count=10), people).session,
        by=MOD,
        people=people,
        now=NOW,
        settings=SETTINGS,
        rng=Random(1),
        key="q",
        limit=minutes(20),
    ).session
    assert confirmed(session, key="q").session.limit == minutes(20)


def test_a_start_after_the_end_runs_the_same_rooms_again() -> None:
    people = pupils(8)
    session = running_session(limit=minutes(10))
    session = session.with_seats(replace(session.seats[user(1)], presence=Presence.LEFT, invite_count=4))
    ended, _ = ending.finish(session, why=EndReason.MODERATOR, now=NOW, settings=SETTINGS)
    change = asked_start(ended, people)
    assert change.session.round == 2
    assert [room.room_id for room in change.session.rooms] == [room.room_id for room in session.rooms]
    assert {(s.presence, s.invite_count) for s in change.session.seats.values()} == {(Presence.ASSIGNED, 1)}
    assert change.session.clock_at is None
    assert not any(isinstance(n, WelcomeRoom) for n in change.notices)  # the invites go out first
    opened = change.session
    for room in opened.rooms:  # and so does their unlocking
        opened = observed.unlocked(opened, room.number, now=NOW).session
    begun = advance(opened, now=NOW + minutes(1), settings=SETTINGS)
    assert [n for n in begun.notices if isinstance(n, WelcomeRoom)] == [
        WelcomeRoom(session.id, 2, number) for number in (1, 2, 3, 4)
    ]


def test_start_is_refused_while_running() -> None:
    with pytest.raises(refusals.AlreadyRunning):
        asked_start(running_session(), pupils(8))


def test_a_bad_length_is_refused() -> None:
    session = running_session(limit=minutes(10))
    for length in (timedelta(), minutes(24 * 60 + 1)):
        with pytest.raises(refusals.BadLength):
            timing.set_timer(session, length, now=NOW, settings=SETTINGS)
        with pytest.raises(refusals.BadLength):
            timing.extend(session, length, now=NOW, settings=SETTINGS)
        with pytest.raises(refusals.BadLength):
            end(session, notice=length)


def test_no_timer_goes_beyond_the_time_that_a_session_may_run() -> None:
    late = NOW + timedelta(hours=9, seconds=30)
    session = running_session()
    with pytest.raises(refusals.BadLength) as caught:
        timing.set_timer(session, timedelta(hours=3), now=late, settings=SETTINGS)
    assert caught.value.limit == minutes(2 * 60 + 59)
    timed = timing.set_timer(session, caught.value.limit, now=late, settings=SETTINGS).session
    with pytest.raises(refusals.BadLength):
        timing.extend(timed, minutes(5), now=late, settings=SETTINGS)
    people = pupils(8)
    with pytest.raises(refusals.BadLength):
        start(set_up(Layout(count=4), people).session, people, limit=timedelta(hours=12, minutes=1))
    # Its clock begins a while after the start, with which the longest time begins.
    longest = start(set_up(Layout(count=4), people).session, people, limit=timedelta(hours=12))
    begun = advance(longest, now=NOW + minutes(1), settings=SETTINGS).session
    assert begun.ends_at == NOW + timedelta(hours=12)


def test_timer_counts_from_now_and_tells_the_rooms() -> None:
    session = running_session()
    change = timing.set_timer(session, minutes(15), now=NOW + minutes(3), settings=SETTINGS)
    assert change.session.ends_at == change.told.ends_at == NOW + minutes(18)
    assert [n.room for n in change.notices if isinstance(n, TimeChanged)] == [1, 2, 3, 4]
    off = timing.set_timer(change.session, None, now=NOW, settings=SETTINGS)
    assert off.session.ends_at is None
    with pytest.raises(refusals.NoTimer):
        timing.set_timer(off.session, None, now=NOW, settings=SETTINGS)


def test_timer_before_the_clock_began_takes_the_place_of_the_limit() -> None:
    people = pupils(8)
    session = start(set_up(Layout(count=4), people).session, people, limit=minutes(20))
    session = timing.set_timer(session, minutes(5), now=NOW, settings=SETTINGS).session
    session = advance(session, now=NOW + minutes(1), settings=SETTINGS).session
    assert session.ends_at == NOW + minutes(5)


def test_extend_moves_the_end_and_without_a_timer_is_refused() -> None:
    session = running_session(limit=minutes(10))
    assert timing.extend(session, minutes(5), now=NOW, settings=SETTINGS).session.ends_at == NOW + minutes(15)
    with pytest.raises(refusals.NoTimer):
        timing.extend(running_session(), minutes(5), now=NOW, settings=SETTINGS)


def test_extend_before_the_clock_began_makes_the_limit_longer() -> None:
    people = pupils(8)
    session = start(set_up(Layout(count=4), people).session, people, limit=minutes(20))
    change = timing.extend(session, minutes(5), now=NOW, settings=SETTINGS)
    assert (change.told.ends_at, change.told.limit) == (None, minutes(25))


def test_extend_while_closing_takes_the_end_back() -> None:
    closing = end(running_session()).session
    change = timing.extend(closing, minutes(5), now=NOW, settings=SETTINGS)
    assert change.session.phase is Phase.RUNNING
    assert change.session.ends_at == NOW + minutes(6)
    assert change.told.reopened


def test_end_gives_a_minute_and_two_for_a_long_round() -> None:
    assert end(running_session(limit=minutes(10))).told.ends_at == NOW + minutes(1)
    assert end(running_session(limit=minutes(15))).told.ends_at == NOW + minutes(2)
    assert end(running_session(), after=14 * 60).told.ends_at == NOW + minutes(15)
    assert end(running_session(), after=15 * 60).told.ends_at == NOW + minutes(17)


def test_end_tells_each_room_once_and_a_given_notice_counts() -> None:
    change = end(running_session(), notice=minutes(3))
    assert change.session.phase is Phase.CLOSING
    assert change.session.closing_by == MOD
    assert [n.ends_at for n in change.notices if isinstance(n, ClosingNotice)] == [NOW + minutes(3)] * 4


def test_a_bare_end_never_makes_the_end_later() -> None:
    session = timing.set_timer(running_session(), minutes(0.5), now=NOW, settings=SETTINGS).session
    assert end(session).told.ends_at == NOW + minutes(0.5)


def test_end_now_and_no_notice_end_at_once() -> None:
    change = ending.end(running_session(), by=MOD, now=NOW, settings=SETTINGS, at_once=True)
    assert change.session.phase is Phase.ENDED
    assert change.told.ends_at is None
    assert len([n for n in change.notices if isinstance(n, RoomClosed)]) == 4
    assert [n.why for n in change.notices if isinstance(n, MainEnded)] == [EndReason.MODERATOR]
    without = ending.end(running_session(), by=MOD, now=NOW, settings=Settings(closing_notice=timedelta()), notice=None)
    assert without.session.phase is Phase.ENDED


def test_a_second_end_ends_at_once_unless_another_moderator_just_gave_the_first() -> None:
    closing = end(running_session()).session
    assert end(closing, after=1).session.phase is Phase.ENDED
    assert end(closing, by=OTHER, after=10).session.phase is Phase.ENDED
    with pytest.raises(refusals.EndJustGiven) as caught:
        end(closing, by=OTHER, after=9)
    assert (caught.value.by, caught.value.ends_at) == (MOD, NOW + minutes(1))


def test_another_notice_while_closing_moves_the_end() -> None:
    closing = end(running_session()).session
    change = end(closing, after=5, notice=minutes(5))
    assert change.session.phase is Phase.CLOSING
    assert change.session.ends_at == NOW + minutes(5) + timedelta(seconds=5)


def test_end_cancel_brings_the_timer_back() -> None:
    session = running_session(limit=minutes(20))
    change = ending.cancel_end(end(session).session, now=NOW, settings=SETTINGS)
    assert change.session.phase is Phase.RUNNING
    assert change.session.ends_at == NOW + minutes(20)
    assert all(isinstance(n, TimeChanged) and n.reopened for n in change.notices)
    with pytest.raises(refusals.NothingToCancel):
        ending.cancel_end(session, now=NOW, settings=SETTINGS)


def test_end_cancel_before_the_clock_began_keeps_the_limit() -> None:
    people = pupils(8)
    session = start(set_up(Layout(count=4), people).session, people, limit=minutes(20))
    back = ending.cancel_end(end(session).session, now=NOW, settings=SETTINGS).session
    assert advance(back, now=NOW + minutes(1), settings=SETTINGS).session.ends_at == NOW + minutes(21)


def test_end_cancel_of_a_timers_own_end_runs_on_without_one() -> None:
    session = running_session(limit=minutes(10))
    closing = advance(session, now=NOW + minutes(9), settings=SETTINGS).session
    assert closing.phase is Phase.CLOSING
    back = ending.cancel_end(closing, now=NOW + minutes(9.5), settings=SETTINGS).session
    assert (back.phase, back.ends_at) == (Phase.RUNNING, None)


def test_end_with_nothing_running_is_refused() -> None:
    with pytest.raises(refusals.NothingRunning):
        end(set_up(Layout(count=2), pupils(2)).session)
    with pytest.raises(refusals.NoSession):
        ending.end(None, by=MOD, now=NOW, settings=SETTINGS)


def test_delete_asks_first_and_ends_a_running_session() -> None:
    asked = ending.delete(running_session(), by=MOD, now=NOW, settings=SETTINGS, key="d")
    assert (asked.told.people, asked.told.rooms) == (8, 4)
    change = confirmed(asked.session, what=Confirm.DELETE, by=OTHER)
    assert change.told == SessionDeleted(was_running=True)
    assert change.session.phase is Phase.DELETED
    assert any(isinstance(n, MainEnded) and n.why is EndReason.DELETE for n in change.notices)


def test_delete_works_before_the_start_and_after_the_end() -> None:
    ended, _ = ending.finish(running_session(), why=EndReason.TIMER, now=NOW, settings=SETTINGS)
    for session in (set_up(Layout(count=2), pupils(2)).session, ended):
        asked = ending.delete(session, by=MOD, now=NOW, settings=SETTINGS, key="d").session
        change = confirmed(asked, key="d")
        assert change.told == SessionDeleted(was_running=False)
        assert change.notices == ()


def test_what_is_deleted_cannot_be_deleted_again() -> None:
    with pytest.raises(refusals.NoSession):
        ending.delete(ending.discard(running_session()), by=MOD, now=NOW, settings=SETTINGS, key="d")
