"""Who gets, changes and gives up which seat."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from plugins.breakout.domain import refusals
from plugins.breakout.domain.changes import ending, observed, seats
from plugins.breakout.domain.changes.seats import Rejoin
from plugins.breakout.domain.changes.setup import Layout
from plugins.breakout.domain.model import LateJoiners, Mode, Presence, Session, Settings
from plugins.breakout.domain.moments import advance
from plugins.breakout.domain.notices import EndReason, LateAsked, PleaseMove
from tests.unit.breakout.example import (
    MOD,
    NOW,
    SETTINGS,
    all_in,
    minutes,
    pupils,
    running_session,
    set_up,
    sizes,
    start,
    user,
)

PEOPLE = pupils(8)
CHOOSE = Layout(count=4, mode=Mode.CHOOSE)


def other_room(session: Session, who: str) -> int:
    return session.seats[who].room % 4 + 1


def with_presence(session: Session, who: str, presence: Presence) -> Session:
    return session.with_seats(replace(session.seats[who], presence=presence))


def rejoin(session: Session, who: str, settings: Settings = SETTINGS) -> tuple[Session, Rejoin]:
    change = seats.rejoin(session, who, people=PEOPLE, now=NOW, settings=settings)
    return change.session, change.told.how


def test_assign_before_the_start_sets_the_seat_by_hand() -> None:
    session = set_up(Layout(count=4, mode=Mode.MANUAL), PEOPLE).session
    change = seats.assign(session, [(user(1), 2), (user(2), 2)], people=PEOPLE)
    assert change.told.seated == ((user(1), 2), (user(2), 2))
    seat = change.session.seats[user(1)]
    assert (seat.room, seat.by_hand, seat.late, seat.invite_count) == (2, True, False, 0)


def test_assign_while_running_keeps_the_person_until_the_new_room_is_joined() -> None:
    session = running_session()
    old, new = session.seats[user(1)].room, other_room(session, user(1))
    change = seats.assign(session, [(user(1), new)], people=PEOPLE)
    assert change.told.moved == ((user(1), old, new),)
    moving = change.session.seats[user(1)]
    assert (moving.presence, moving.moved_from, moving.invite_count) == (Presence.ASSIGNED, old, 2)
    invited = observed.invited(change.session, user(1), new, now=NOW, settings=SETTINGS)
    assert invited.notices == (PleaseMove(session.id, 1, user(1), old, new, NOW, (user(1),)),)
    assert invited.session.seats[user(1)].moved_until == NOW + minutes(1)
    joined = observed.membership(
        invited.session,
        new,
        user(1),
        before="invite",
        after="join",
        by_self=True,
        by_bot=False,
        moderator=False,
        now=NOW,
    ).session
    gone = observed.membership(
        joined,
        old,
        user(1),
        before="join",
        after="leave",
        by_self=False,
        by_bot=True,
        moderator=False,
        now=NOW,
    ).session
    assert gone.seats[user(1)].presence is Presence.JOINED
    assert gone.seats[user(1)].moved_from is None


def test_who_does_not_follow_a_move_is_kept_for_a_minute_only() -> None:
    session = running_session()
    new = other_room(session, user(1))
    session = seats.assign(session, [(user(1), new)], people=PEOPLE).session
    session = observed.invited(session, user(1), new, now=NOW, settings=SETTINGS).session
    early = advance(session, now=NOW + minutes(0.9), settings=SETTINGS).session
    assert early.seats[user(1)].moved_from is not None
    late = advance(session, now=NOW + minutes(1), settings=SETTINGS).session
    assert (late.seats[user(1)].moved_from, late.seats[user(1)].moved_until) == (None, None)


def test_a_move_taken_back_needs_no_invite() -> None:
    session = running_session()
    old = session.seats[user(1)].room
    away = seats.assign(session, [(user(1), other_room(session, user(1)))], people=PEOPLE).session
    back = seats.assign(away, [(user(1), old)], people=PEOPLE).session
    assert back.seats[user(1)].presence is Presence.JOINED
    assert back.seats[user(1)].moved_from is None


def test_a_second_move_still_leads_out_of_the_room_where_the_person_is() -> None:
    session = running_session()
    old = session.seats[user(1)].room
    for _ in range(2):
        session = seats.assign(session, [(user(1), other_room(session, user(1)))], people=PEOPLE).session
    assert session.seats[user(1)].moved_from == old


@pytest.mark.parametrize("presence", [Presence.DECLINED, Presence.LEFT, Presence.REMOVED, Presence.UNREACHABLE])
def test_assign_to_the_same_room_invites_again_who_is_away(presence: Presence) -> None:
    session = with_presence(running_session(), user(1), presence)
    room = session.seats[user(1)].room
    change = seats.assign(session, [(user(1), room)], people=PEOPLE)
    assert change.told.invited_again == ((user(1), room),)
    assert change.session.seats[user(1)].invite_count == 2
    assert change.session.seats[user(1)].presence is Presence.ASSIGNED


def test_who_was_taken_out_of_a_room_does_not_choose_it_again_but_another() -> None:
    session = seats.choose(start(set_up(CHOOSE, PEOPLE).session, PEOPLE), user(1), 1, people=PEOPLE).session
    session = with_presence(session, user(1), Presence.REMOVED)
    with pytest.raises(refusals.RemovedByModerator):
        seats.choose(session, user(1), 1, people=PEOPLE)
    assert seats.choose(session, user(1), 2, people=PEOPLE).told.invited


def test_assign_to_the_same_room_changes_nothing_for_who_is_there() -> None:
    session = running_session()
    room = session.seats[user(1)].room
    change = seats.assign(session, [(user(1), room)], people=PEOPLE)
    assert change.told.unchanged == ((user(1), room),)
    assert change.session.seats[user(1)].invite_count == 1


def test_a_moderator_becomes_a_participant_by_a_seat() -> None:
    session = seats.assign(running_session(), [(MOD, 1)], people=PEOPLE).session
    assert session.seats[MOD].late


def test_assign_refuses_strangers_and_two_rooms_for_one() -> None:
    session = running_session()
    with pytest.raises(refusals.NotAParticipant) as caught:
        seats.assign(session, [("@a:x", 1), (user(1), 1), ("@b:x", 2)], people=PEOPLE)
    assert caught.value.users == ("@a:x", "@b:x")
    with pytest.raises(refusals.PersonTwice):
        seats.assign(session, [(user(1), 1), (user(1), 2)], people=PEOPLE)


def test_seats_do_not_change_while_closing() -> None:
    closing = ending.end(running_session(), by=MOD, now=NOW, settings=SETTINGS).session
    with pytest.raises(refusals.WrongPhase):
        seats.assign(closing, [(user(1), 1)], people=PEOPLE)
    with pytest.raises(refusals.WrongPhase):
        seats.fill(closing, people=PEOPLE, rng=Random(1))


def test_swap_exchanges_two_seats() -> None:
    session = running_session()
    one = session.seats[user(1)]
    second = next(seat for seat in session.seats.values() if seat.room != one.room)
    swapped = seats.swap(session, one.user, second.user).session
    assert swapped.seats[one.user].room == second.room
    assert swapped.seats[second.user].room == one.room


def test_swap_refuses_one_person_one_room_and_no_seat() -> None:
    session = running_session()
    mate = next(s.user for s in session.people_of(session.seats[user(1)].room) if s.user != user(1))
    with pytest.raises(refusals.SamePerson):
        seats.swap(session, user(1), user(1))
    with pytest.raises(refusals.SameRoom):
        seats.swap(session, user(1), mate)
    with pytest.raises(refusals.NoSeat):
        seats.swap(session, user(1), MOD)


def test_who_was_unassigned_by_hand_gets_no_seat_at_the_start() -> None:
    session = set_up(Layout(count=2), PEOPLE).session
    session = seats.unassign(session, [user(1)]).session
    assert user(1) not in start(session, PEOPLE).seats
    assert user(1) in seats.fill(session, people=PEOPLE, rng=Random(1)).session.seats
    with pytest.raises(refusals.NoSeat):
        seats.unassign(session, [user(1)])


def test_shuffle_deals_everybody_again_and_while_running_only_now() -> None:
    session = set_up(Layout(count=4), PEOPLE).session
    assert sizes(seats.shuffle(session, people=PEOPLE, rng=Random(5), really=False).session) == [2, 2, 2, 2]
    session = running_session()
    with pytest.raises(refusals.ShuffleNeedsNow) as caught:
        seats.shuffle(session, people=PEOPLE, rng=Random(5), really=False)
    assert caught.value.people == 8
    change = seats.shuffle(session, people=PEOPLE, rng=Random(5), really=True)
    moved = [seat for seat in change.session.seats.values() if seat.moved_from is not None]
    assert len(moved) == change.told.moved > 0
    assert sizes(change.session) == [2, 2, 2, 2]


def test_who_is_shuffled_in_choose_mode_is_asked_to_move() -> None:
    session = all_in(start(set_up(CHOOSE, PEOPLE).session, PEOPLE))
    for number in range(1, 9):
        session = seats.choose(session, user(number), number % 4 + 1, people=PEOPLE).session
    shuffled = seats.shuffle(all_in(session), people=PEOPLE, rng=Random(5), really=True).session
    moving = next(seat for seat in shuffled.seats.values() if seat.moved_from is not None)
    notices = observed.invited(shuffled, moving.user, moving.room, now=NOW, settings=SETTINGS).notices
    assert [notice.KIND for notice in notices] == ["move"]
    chosen = seats.choose(all_in(session), user(1), 3, people=PEOPLE).session
    assert observed.invited(chosen, user(1), 3, now=NOW, settings=SETTINGS).notices == ()


def test_shuffle_with_nobody_is_refused() -> None:
    with pytest.raises(refusals.NobodyToSeat):
        seats.shuffle(set_up(Layout(count=4), []).session, people=[], rng=Random(1), really=False)


def test_fill_seats_only_those_without_a_seat() -> None:
    session = seats.unassign(running_session(), [user(1), user(2)]).session
    change = seats.fill(session, people=PEOPLE, rng=Random(1))
    assert (change.told.seated, change.told.moved) == (2, 0)
    assert sizes(change.session) == [2, 2, 2, 2]
    with pytest.raises(refusals.NobodyWithoutSeat):
        seats.fill(change.session, people=PEOPLE, rng=Random(1))
    with pytest.raises(refusals.NobodyToSeat):
        seats.fill(set_up(Layout(count=4), []).session, people=[], rng=Random(1))


def test_the_last_choice_wins_before_the_start_too() -> None:
    session = set_up(CHOOSE, PEOPLE).session
    session = seats.choose(session, user(1), 2, people=PEOPLE).session
    change = seats.choose(session, user(1), 3, people=PEOPLE)
    assert change.session.seats[user(1)].room == 3
    assert change.told.left is not None
    assert not change.told.invited


def test_a_choice_while_running_is_invited() -> None:
    session = start(set_up(CHOOSE, PEOPLE).session, PEOPLE)
    change = seats.choose(session, user(1), 2, people=PEOPLE)
    assert change.told.invited
    assert change.session.seats[user(1)].invite_count == 1


def test_a_full_room_names_those_that_are_not() -> None:
    people = pupils(5)
    session = set_up(Layout(count=2, capacity=1), people).session
    session = seats.choose(session, user(1), 1, people=people).session
    with pytest.raises(refusals.RoomFull) as caught:
        seats.choose(session, user(2), 1, people=people)
    assert (caught.value.room, caught.value.capacity, caught.value.free) == ("Room 1", 1, ("Room 2",))
    assert seats.choose(session, user(1), 1, people=people).session.seats[user(1)].room == 1


def test_choosing_is_for_choose_mode_and_participants() -> None:
    with pytest.raises(refusals.NotAtThisMode):
        seats.choose(running_session(), user(1), 2, people=PEOPLE)
    with pytest.raises(refusals.NotSeatedForChoice):
        seats.choose(set_up(CHOOSE, PEOPLE).session, MOD, 2, people=PEOPLE)


def test_taking_the_number_back_frees_the_seat_before_the_start_only() -> None:
    session = seats.choose(set_up(CHOOSE, PEOPLE).session, user(1), 2, people=PEOPLE).session
    assert not seats.unchoose(session, user(1), 3).told
    assert user(1) not in seats.unchoose(session, user(1), 2).session.seats
    running_now = start(session, PEOPLE)
    assert user(1) in seats.unchoose(running_now, user(1), 2).session.seats


def test_pass_while_running_declines_and_rejoin_leads_back() -> None:
    session = seats.pass_round(running_session(), user(1)).session
    assert session.seats[user(1)].presence is Presence.DECLINED
    assert user(1) in session.passed
    session, how = rejoin(session, user(1))
    assert how is Rejoin.INVITED_AGAIN
    assert session.seats[user(1)].presence is Presence.ASSIGNED
    assert user(1) not in session.passed


def test_pass_before_the_start_holds_for_the_coming_round_only() -> None:
    session = seats.pass_round(set_up(Layout(count=2), PEOPLE).session, user(1)).session
    first = start(session, PEOPLE)
    assert user(1) not in first.seats
    ended, _ = ending.finish(first, why=EndReason.MODERATOR, now=NOW, settings=SETTINGS)
    assert user(1) in start(ended, PEOPLE).seats


def test_assign_gives_who_passed_a_seat_but_no_invite() -> None:
    session = seats.pass_round(running_session(), user(1)).session
    new = other_room(session, user(1))
    change = seats.assign(session, [(user(1), new)], people=PEOPLE)
    assert change.told.passed == (user(1),)
    assert change.session.seats[user(1)].presence is Presence.DECLINED


@pytest.mark.parametrize(
    ("presence", "how"),
    [
        (Presence.LEFT, Rejoin.INVITED_AGAIN),
        (Presence.DECLINED, Rejoin.INVITED_AGAIN),
        (Presence.UNREACHABLE, Rejoin.INVITED_AGAIN),
        (Presence.INVITED, Rejoin.STILL_INVITED),
        (Presence.ASSIGNED, Rejoin.STILL_INVITED),
        (Presence.JOINED, Rejoin.ALREADY_IN),
        (Presence.IN_MAIN, Rejoin.ALREADY_IN),
    ],
)
def test_rejoin_invites_again_only_who_is_away(presence: Presence, how: Rejoin) -> None:
    session = with_presence(running_session(), user(1), presence)
    after, came = rejoin(session, user(1))
    assert came is how
    assert after.seats[user(1)].invite_count == (2 if how is Rejoin.INVITED_AGAIN else 1)


def test_who_was_removed_by_a_moderator_comes_back_by_assign_only() -> None:
    session = with_presence(running_session(), user(1), Presence.REMOVED)
    with pytest.raises(refusals.RemovedByModerator):
        rejoin(session, user(1))


def test_rejoin_without_a_seat_seats_asks_or_shows_the_board() -> None:
    session = running_session().without_seats(user(1))
    assert rejoin(session, user(1))[1] is Rejoin.SEATED
    ask = Settings(late_joiners=LateJoiners.ASK)
    change = seats.rejoin(session, user(1), people=PEOPLE, now=NOW, settings=ask)
    assert change.told.how is Rejoin.ASKED_MODERATORS
    assert change.notices == (LateAsked(session.id, 1, user(1), NOW),)
    again = seats.rejoin(change.session, user(1), people=PEOPLE, now=NOW, settings=ask)
    assert again.notices == ()
    choose = start(set_up(CHOOSE, PEOPLE).session, PEOPLE)
    assert rejoin(choose, user(1))[1] is Rejoin.CHOOSE
    with pytest.raises(refusals.NoSeat):
        rejoin(session, MOD)


def test_rejoin_before_the_start_takes_the_pass_back() -> None:
    session = seats.pass_round(set_up(Layout(count=2), PEOPLE).session, user(1)).session
    session, how = rejoin(session, user(1))
    assert how is Rejoin.NEXT_ROUND
    assert user(1) in session.seats


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.MANUAL])
def test_rejoin_promises_no_start_in_which_a_moderator_leaves_the_person_out(mode: Mode, *, ended: bool) -> None:
    session = set_up(Layout(count=2, mode=Mode.AUTO), PEOPLE).session
    if ended:
        session, _ = ending.finish(all_in(start(session, PEOPLE)), why=EndReason.TIMER, now=NOW, settings=SETTINGS)
    session = seats.unassign(replace(session, mode=mode), [user(1)]).session
    session, how = rejoin(session, user(1))
    assert how is Rejoin.ASKED_MODERATORS
    assert user(1) not in start(session, PEOPLE).seats
    assert rejoin(seats.assign(session, [(user(1), 1)], people=PEOPLE).session, user(1))[1] is Rejoin.NEXT_ROUND


def test_who_rejoins_counts_as_here_at_the_next_start() -> None:
    people = pupils(8, here=4)
    session = set_up(Layout(count=2, here=True), people).session
    change = seats.rejoin(session, user(8), people=people, now=NOW, settings=SETTINGS)
    assert change.told.how is Rejoin.NEXT_ROUND
    begun = start(change.session, people)
    assert user(8) in begun.seats
    assert user(7) not in begun.seats


def test_back_shows_the_person_in_main_until_he_writes() -> None:
    session = seats.go_back(all_in(running_session()), user(1)).session
    assert session.seats[user(1)].presence is Presence.IN_MAIN
    assert seats.came_back(session, user(1)).session.seats[user(1)].presence is Presence.JOINED
    away = with_presence(session, user(2), Presence.LEFT)
    assert seats.go_back(away, user(2)).session is away
