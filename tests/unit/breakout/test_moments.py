"""What time alone does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes import ending, observed, seats, timing
from plugins.breakout.domain.changes import help as help_changes
from plugins.breakout.domain.changes.setup import Layout
from plugins.breakout.domain.changes.together import PATIENCE, welcome_moment
from plugins.breakout.domain.model import Phase, Presence, Session, Settings
from plugins.breakout.domain.moments import advance, board_moment, next_moment, rough_left
from plugins.breakout.domain.notices import (
    ClockBegan,
    ClosingNotice,
    Deleted,
    DeleteSoon,
    EndReason,
    HelpClosed,
    HelpEnd,
    HelpReminded,
    MainEnded,
    MainPrepared,
    MainStarted,
    MaxDurationSoon,
    Notice,
    NotYetIn,
    PassedWhileDown,
    PleaseMove,
    TimeChanged,
    WarningGiven,
    WelcomeNewcomers,
    WelcomeRoom,
)
from tests.unit.breakout.example import (
    MOD,
    NOW,
    SETTINGS,
    all_in,
    minutes,
    prepare,
    pupils,
    rooms_made,
    running_session,
    set_up,
    start,
    user,
)


def moved_on(session: Session, to: float, settings: Settings = SETTINGS) -> list[tuple[float, Notice]]:
    """Each notice with its minute, the alarm ringing at each moment until minute `to`."""
    said: list[tuple[float, Notice]] = []
    while (moment := next_moment(session, settings)) is not None and moment <= NOW + minutes(to):
        change = advance(session, now=moment, settings=settings)
        assert change.session is not session
        session = change.session
        said += [((moment - NOW) / minutes(1), notice) for notice in change.notices]
    return said


def of_room_1(said: list[tuple[float, Notice]]) -> list[tuple[float, str]]:
    return [(minute, notice.KIND) for minute, notice in said if getattr(notice, "room", 1) == 1]


def just_started(limit: float | None = 20) -> Session:
    people = pupils(8)
    length = minutes(limit) if limit else None
    return start(set_up(Layout(count=4), people).session, people, limit=length)


def test_the_clock_begins_when_the_last_invite_is_out() -> None:
    session = rooms_made(just_started())
    *most, last = session.seats
    for who in most:
        session = observed.invited(session, who, session.seats[who].room, now=NOW, settings=SETTINGS).session
    assert advance(session, now=NOW, settings=SETTINGS).session.clock_at is None
    session = observed.unreachable(
        session, last, session.seats[last].room, "no such user", now=NOW, settings=SETTINGS
    ).session
    later = NOW + timedelta(seconds=12)
    change = advance(session, now=later, settings=SETTINGS)
    assert change.session.ends_at == later + minutes(20)
    assert change.notices == (
        MainStarted(session.id, 1),
        ClockBegan(session.id, 1, later + minutes(20)),
    )


def test_a_room_is_welcomed_when_its_invites_are_out_and_at_the_latest_when_the_clock_begins() -> None:
    session = rooms_made(just_started())
    first, second = (seat.user for seat in session.people_of(1))
    one = observed.invited(session, first, 1, now=NOW, settings=SETTINGS)
    assert not one.notices
    both = observed.invited(one.session, second, 1, now=NOW, settings=SETTINGS)
    assert [notice.key for notice in both.notices] == ["welcome:s1:1:1:1"]
    begun = advance(both.session, now=NOW + minutes(1), settings=SETTINGS)
    assert [n.room for n in begun.notices if isinstance(n, WelcomeRoom)] == [2, 3, 4]


@pytest.mark.parametrize("noted", [True, False])
def test_who_is_invited_after_the_welcome_gets_one_of_their_own(*, noted: bool) -> None:
    session = running_session()
    late = next(seat for seat in session.people_of(1))
    session = session.with_seats(replace(late, presence=Presence.ASSIGNED, invited_at=None, invite_count=2))
    if noted:  # else the answer to the invite was lost, and they came before it was asked again
        session = observed.invited(session, late.user, 1, now=NOW + minutes(3), settings=SETTINGS).session
    came = comes(session, late.user, 1, minutes(4))
    assert came.notices == (WelcomeNewcomers("s1", 1, 1, NOW + minutes(4), late.user, (late.user,)),)
    assert advance(came.session, now=NOW + minutes(5), settings=SETTINGS).notices == ()


def comes(session: Session, who: str, number: int, after: timedelta) -> Change[None]:
    """The person accepts the invite to the room, so long after `NOW`."""
    return observed.membership(
        session,
        number,
        who,
        before="invite",
        after="join",
        by_self=True,
        by_bot=False,
        moderator=False,
        now=NOW + after,
    )


def three_on_the_way() -> tuple[Session, list[str]]:
    """Three people of other rooms are invited to room 1."""
    session = replace(running_session(), reminded=True)
    who = [seat.user for seat in session.seats.values() if seat.room != 1][:3]
    session = seats.assign(session, [(one, 1) for one in who], people=pupils(8)).session
    for one in who:
        session = observed.invited(session, one, 1, now=NOW + minutes(3), settings=SETTINGS).session
    return session, who


def test_those_who_move_together_are_welcomed_together() -> None:
    session, who = three_on_the_way()
    said: list[Notice] = []
    for number, one in enumerate(who):
        change = comes(session, one, 1, minutes(3) + number * PATIENCE / 4)
        session, said = change.session, [*said, *change.notices]
    assert said == [WelcomeNewcomers("s1", 1, 1, NOW + minutes(3), who[0], tuple(who))]


def test_who_has_come_is_welcomed_soon_whoever_is_still_on_the_way() -> None:
    session, who = three_on_the_way()
    change = comes(session, who[1], 1, minutes(3))
    assert change.notices == ()
    moment = next_moment(change.session, SETTINGS)
    assert moment == NOW + minutes(3) + PATIENCE
    soon = advance(change.session, now=moment, settings=SETTINGS)
    assert soon.notices == (WelcomeNewcomers("s1", 1, 1, NOW + minutes(3), who[1], (who[1],)),)
    assert welcome_moment(soon.session, 1) is None
    rest = [comes(soon.session, one, 1, minutes(4)) for one in (who[0], who[2])]
    assert [change.notices for change in rest] == [(), ()]


def test_who_goes_again_before_the_welcome_is_not_waited_for() -> None:
    session, who = three_on_the_way()
    session = comes(session, who[0], 1, minutes(3)).session
    session = observed.membership(
        session,
        1,
        who[0],
        before="join",
        after="leave",
        by_self=True,
        by_bot=False,
        moderator=False,
        now=NOW + minutes(3),
    ).session
    assert advance(session, now=NOW + minutes(3.5), settings=SETTINGS).notices == ()


def test_nobody_is_welcomed_into_a_room_that_has_closed() -> None:
    session, who = three_on_the_way()
    session = comes(session, who[0], 1, minutes(3)).session
    ended, _ = ending.finish(session, why=EndReason.MODERATOR, now=NOW + minutes(3), settings=SETTINGS)
    assert not any(isinstance(notice, WelcomeNewcomers) for _, notice in moved_on(ended, 10))
    assert not any(seat.unwelcomed_since for seat in ended.seats.values())


def three_go_from_room_2() -> tuple[Session, list[str]]:
    """Three people of room 2 are to go to room 1; no invite is out yet."""
    session = replace(running_session(rooms=2), reminded=True)
    who = [seat.user for seat in session.people_of(2)][:3]
    return seats.assign(session, [(one, 1) for one in who], people=pupils(8)).session, who


def invited(session: Session, user: str, moment: timedelta) -> Change[None]:
    return observed.invited(session, user, 1, now=NOW + moment, settings=SETTINGS)


def test_who_goes_the_same_way_is_asked_in_one_message_when_all_are_invited() -> None:
    session, who = three_go_from_room_2()
    first = invited(session, who[0], minutes(3))
    second = invited(first.session, who[1], minutes(3) + PATIENCE / 4)
    third = invited(second.session, who[2], minutes(3) + PATIENCE / 2)
    assert (first.notices, second.notices) == ((), ())
    assert third.notices == (PleaseMove("s1", 1, who[0], 2, 1, NOW + minutes(3), tuple(who)),)
    assert advance(third.session, now=NOW + minutes(3.5), settings=SETTINGS).notices == ()


def test_who_has_gone_before_the_others_are_invited_is_not_asked() -> None:
    session, who = three_go_from_room_2()
    for one in who[:2]:
        session = invited(session, one, minutes(3)).session
    session = comes(session, who[0], 1, minutes(3)).session
    third = invited(session, who[2], minutes(3) + PATIENCE / 2)
    assert third.notices == (PleaseMove("s1", 1, who[1], 2, 1, NOW + minutes(3), (who[1], who[2])),)


def test_an_invite_that_is_long_in_going_out_keeps_nobody_from_being_asked() -> None:
    session, who = three_go_from_room_2()
    for one in who[:2]:
        session = invited(session, one, minutes(3)).session
    moment = next_moment(session, SETTINGS)
    assert moment == NOW + minutes(3) + PATIENCE
    late = advance(session, now=moment, settings=SETTINGS)
    assert late.notices == (PleaseMove("s1", 1, who[0], 2, 1, NOW + minutes(3), (who[0], who[1])),)
    third = invited(late.session, who[2], minutes(3.5))
    assert third.notices == (PleaseMove("s1", 1, who[2], 2, 1, NOW + minutes(3.5), (who[2],)),)


def test_who_is_brought_in_is_not_asked_and_keeps_nobody_from_being() -> None:
    session, who = three_go_from_room_2()
    for one in who[:2]:
        session = invited(session, one, minutes(3)).session
    change = observed.brought_in(session, who[2], 1, now=NOW + minutes(3), settings=SETTINGS)
    soon = advance(change.session, now=NOW + minutes(3), settings=SETTINGS)
    asked = [notice for notice in (*change.notices, *soon.notices) if isinstance(notice, PleaseMove)]
    assert asked == [PleaseMove("s1", 1, who[0], 2, 1, NOW + minutes(3), (who[0], who[1]))]


def test_who_waits_to_be_asked_when_the_rooms_close_is_asked_no_more() -> None:
    session, who = three_go_from_room_2()
    session = invited(session, who[0], minutes(3)).session
    ended, _ = ending.finish(session, why=EndReason.MODERATOR, now=NOW + minutes(3), settings=SETTINGS)
    assert not any(isinstance(notice, PleaseMove) for _, notice in moved_on(ended, 10))


def test_the_clock_begins_after_a_minute_at_the_latest() -> None:
    session = just_started()
    assert next_moment(session, SETTINGS) == NOW + minutes(1)
    change = advance(session, now=NOW + minutes(1.5), settings=SETTINGS)
    assert change.session.clock_at == NOW + minutes(1)
    assert change.session.ends_at == NOW + minutes(21)


def test_a_long_round_is_warned_told_and_ended() -> None:
    assert of_room_1(moved_on(running_session(limit=minutes(20)), 20)) == [
        (15, "warning"),
        (18, "closing"),
        (19, "warning"),
        (20, "room-closed"),
        (20, "ended"),
    ]


def test_the_first_warning_and_the_last_are_marked() -> None:
    warnings = [n for _, n in moved_on(running_session(limit=minutes(20)), 20) if isinstance(n, WarningGiven)]
    assert [(n.seconds, n.first, n.last) for n in warnings if n.room == 1] == [
        (300, True, False),
        (60, False, True),
    ]


def test_a_warning_near_the_closing_notice_is_dropped_and_a_longer_one_than_the_round_skipped() -> None:
    assert of_room_1(moved_on(running_session(limit=minutes(10)), 10)) == [
        (5, "warning"),
        (9, "closing"),
        (10, "room-closed"),
        (10, "ended"),
    ]
    assert of_room_1(moved_on(running_session(limit=minutes(5)), 5))[0] == (4, "closing")


def test_an_extended_round_is_warned_again() -> None:
    session = running_session(limit=minutes(10))
    session = advance(session, now=NOW + minutes(5), settings=SETTINGS).session
    session = timing.extend(session, minutes(5), now=NOW + minutes(6), settings=SETTINGS).session
    assert of_room_1(moved_on(session, 15))[:2] == [(10, "warning"), (13, "closing")]


def test_a_missed_warning_is_skipped() -> None:
    change = advance(running_session(limit=minutes(20)), now=NOW + minutes(16.5), settings=SETTINGS)
    assert change.notices == ()
    assert change.session.warned == {300}
    late = advance(running_session(limit=minutes(20)), now=NOW + minutes(15.5), settings=SETTINGS)
    assert [n.KIND for n in late.notices] == ["warning"] * 4


def test_a_deadline_that_passed_while_down_is_carried_out_with_a_note() -> None:
    session = running_session(limit=minutes(20))
    change = advance(session, now=NOW + minutes(50), settings=SETTINGS)
    assert change.session.phase is Phase.ENDED
    assert change.notices[0] == PassedWhileDown(session.id, 1, NOW + minutes(20))
    assert not any(isinstance(n, ClosingNotice | WarningGiven) for n in change.notices)
    in_time = advance(session, now=NOW + minutes(20.5), settings=SETTINGS)
    assert not any(isinstance(n, PassedWhileDown) for n in in_time.notices)


def test_a_closing_notice_found_late_is_still_given() -> None:
    change = advance(running_session(limit=minutes(10)), now=NOW + minutes(9.7), settings=SETTINGS)
    assert change.session.phase is Phase.CLOSING
    assert change.session.closing_by is None
    assert change.session.ends_at == NOW + minutes(10)


def test_an_end_by_hand_is_warned_within_and_carried_out() -> None:
    session = running_session()
    closing = ending.end(session, by=MOD, now=NOW, settings=SETTINGS, notice=minutes(3)).session
    said = moved_on(closing, 3)
    assert of_room_1(said) == [(2, "warning"), (3, "room-closed"), (3, "ended")]
    assert [n.why for _, n in said if isinstance(n, MainEnded)] == [EndReason.MODERATOR]


def test_who_has_not_come_after_ninety_seconds_is_named_once() -> None:
    session = running_session()
    waiting = replace(session.seats[user(1)], presence=Presence.INVITED)
    gone = replace(session.seats[user(2)], presence=Presence.DECLINED)
    said = moved_on(session.with_seats(waiting, gone), 30)
    assert said == [(1.5, NotYetIn(session.id, 1, (user(1),)))]
    assert moved_on(session, 30) == []


def test_an_unanswered_request_is_said_once_more() -> None:
    session = help_changes.ask_help(running_session(), 1, user(1), "", now=NOW, settings=SETTINGS).session
    assert (3, HelpReminded(session.id, 1, 1, NOW, user(1))) in moved_on(session, 30)
    claimed = help_changes.claim(session, 1, MOD, now=NOW).session
    assert not any(isinstance(n, HelpReminded) for _, n in moved_on(claimed, 30))


def test_a_moderator_who_stays_closes_the_request() -> None:
    session = help_changes.ask_help(running_session(), 1, user(1), "", now=NOW, settings=SETTINGS).session
    came = observed.membership(
        session, 1, MOD, before=None, after="join", by_self=True, by_bot=False, moderator=True, now=NOW
    ).session
    assert came.room(1).visited_at == NOW
    assert (0.5, HelpClosed(session.id, 1, 1, NOW, HelpEnd.ATTENDED, MOD)) in moved_on(came, 1)
    left = observed.membership(
        came, 1, MOD, before="join", after="leave", by_self=True, by_bot=False, moderator=True, now=NOW
    ).session
    assert left.room(1).help == session.room(1).help
    assert not any(isinstance(n, HelpClosed) for _, n in moved_on(left, 2))


def test_a_question_is_forgotten_after_two_minutes() -> None:
    session = ending.delete(running_session(), by=MOD, now=NOW, settings=SETTINGS, key="d").session
    assert advance(session, now=NOW + minutes(1.9), settings=SETTINGS).session.pending is not None
    assert advance(session, now=NOW + minutes(2), settings=SETTINGS).session.pending is None


def test_no_session_runs_for_ever_and_that_is_announced() -> None:
    session = running_session()
    said = moved_on(session, 13 * 60)
    assert (705, MaxDurationSoon(session.id, 1, NOW + timedelta(hours=12))) in said
    assert [n.why for _, n in said if isinstance(n, MainEnded)] == [EndReason.MAX_DURATION]
    warned = [(at, n.seconds) for at, n in said if isinstance(n, WarningGiven) and n.room == 1]
    assert warned == [(715, 300), (719, 60)]
    assert [at for at, n in said if isinstance(n, ClosingNotice) and n.room == 1] == [718]
    late = advance(session, now=NOW + timedelta(hours=20), settings=SETTINGS)
    assert isinstance(late.notices[0], PassedWhileDown)


def test_a_timer_that_is_taken_away_leaves_the_end_that_was_announced() -> None:
    announced = advance(running_session(), now=NOW + minutes(705), settings=SETTINGS).session
    off = timing.set_timer(announced, None, now=NOW + minutes(706), settings=SETTINGS)
    assert off.told.ends_at == NOW + timedelta(hours=12)
    closing = advance(off.session, now=NOW + minutes(718), settings=SETTINGS).session
    assert closing.phase is Phase.CLOSING
    back = ending.cancel_end(closing, now=NOW + minutes(719), settings=SETTINGS)
    assert back.told.ends_at == NOW + timedelta(hours=12)


def test_ended_rooms_are_deleted_in_the_end_and_that_is_announced() -> None:
    ended, _ = ending.finish(running_session(), why=EndReason.TIMER, now=NOW, settings=SETTINGS)
    days = 24 * 60
    said = moved_on(ended, 20 * days)
    assert [(minute / days, type(notice)) for minute, notice in said] == [(13, DeleteSoon), (14, Deleted)]


def test_prepared_rooms_that_nobody_starts_are_deleted_too_and_longer_kept_by_preparing_again() -> None:
    session = prepare(set_up(Layout(count=2), pupils(4)).session, pupils(4))
    days = 24 * 60
    assert [(minute / days, type(notice)) for minute, notice in moved_on(session, 20 * days)] == [
        (13, DeleteSoon),
        (14, Deleted),
    ]
    later = prepare(session, pupils(4), now=NOW + timedelta(days=13))
    assert next_moment(later, SETTINGS) == NOW + timedelta(days=26)


def test_the_main_room_hears_once_that_all_is_prepared() -> None:
    session = prepare(set_up(Layout(count=2), pupils(4)).session, pupils(4))
    assert not advance(session, now=NOW, settings=SETTINGS).notices
    ready = advance(all_in(session), now=NOW, settings=SETTINGS)
    assert ready.notices == (MainPrepared(session.id, NOW),)
    assert not advance(ready.session, now=NOW, settings=SETTINGS).notices


@pytest.mark.parametrize("length", [0.2, 1, 2, 14.9, 15, 60])
def test_every_timer_comes_to_its_end_exactly(length: float) -> None:
    said = moved_on(running_session(limit=minutes(length)), length)
    minute, kind = of_room_1(said)[-1]
    assert kind == "ended"
    assert minute == pytest.approx(length)


def test_a_finished_plan_needs_no_alarm() -> None:
    assert next_moment(set_up(Layout(count=2), pupils(2)).session, SETTINGS) is None
    assert next_moment(ending.discard(running_session()), SETTINGS) is None


def test_keys_name_a_notice_for_ever_and_texts_are_no_part_of_them() -> None:
    notice = TimeChanged("s1", 1, 2, NOW, NOW + minutes(5), reopened=False)
    assert notice.key == f"time:s1:1:2:{round(NOW.timestamp() * 1000)}"
    assert NotYetIn("s1", 1, ("@a:x",)).key == NotYetIn("s1", 1, ()).key == "not-yet-in:s1:1"


def test_a_welcome_is_said_when_the_room_exists_and_once_more_where_it_was_made_anew() -> None:
    session = just_started()
    made = observed.room_made(session, 1, "!a:x")
    assert not made.notices  # nobody there could read it
    assert observed.room_made(made.session, 1, "!a:x").session is made.session
    lost = observed.room_lost(all_in(made.session), 1, "!r1:x").session
    assert (lost.room(1).room_id, lost.room(1).attempt) == (None, 2)
    assert {seat.presence for seat in lost.people_of(1)} == {Presence.ASSIGNED}
    assert {seat.invite_count for seat in lost.people_of(1)} == {2}
    anew = advance(observed.room_made(lost, 1, "!b:x").session, now=NOW + minutes(1), settings=SETTINGS)
    assert "welcome:s1:1:1:2" in [n.key for n in anew.notices]
    assert observed.room_lost(made.session, 1, "!other:x").session is made.session


@pytest.mark.parametrize(
    ("seconds", "said"), [(1, 1), (60, 1), (61, 2), (300, 5), (301, 10), (600, 10), (1199, 20), (1201, 25)]
)
def test_a_board_says_the_time_left_in_fives_and_the_last_minutes_in_ones(seconds: int, said: int) -> None:
    assert rough_left(timedelta(seconds=seconds)) == timedelta(minutes=said)


@pytest.mark.parametrize("left", [30, 61, 290, 300, 301, 900, 1234])
def test_the_board_is_looked_at_again_when_its_time_left_changes(left: int) -> None:
    ends = NOW + timedelta(seconds=left)
    session = replace(just_started(), ends_at=ends)
    moment = board_moment(session, NOW)
    if moment is None:
        assert left <= 60
        return
    just_before = moment - timedelta(seconds=1)
    assert rough_left(ends - just_before) == rough_left(ends - NOW)
    assert rough_left(ends - moment) < rough_left(ends - NOW)
