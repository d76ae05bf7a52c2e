"""What `prepare` makes of a plan, and what the start makes of what was prepared."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from plugins.breakout.domain import refusals
from plugins.breakout.domain.change import Change, ConfirmAsked
from plugins.breakout.domain.changes import observed, preparing, seats, starting
from plugins.breakout.domain.changes.preparing import Prepared
from plugins.breakout.domain.changes.setup import Layout
from plugins.breakout.domain.estimate import requests_to_start
from plugins.breakout.domain.model import Confirm, Mode, Person, Phase, Presence, Session
from plugins.breakout.domain.notices import MainStarted, WelcomePrepared, WelcomeRoom
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
    sizes,
    start,
    user,
)


def asked(session: Session, people: list[Person]) -> Change[Prepared | ConfirmAsked]:
    return preparing.prepare(session, by=MOD, people=people, now=NOW, settings=SETTINGS, rng=Random(1), key="q")


def waiting(count: int = 8, rooms: int = 2) -> Session:
    """A prepared session, everybody in."""
    people = pupils(count)
    return all_in(prepare(set_up(Layout(count=rooms), people).session, people))


def test_newcomers_are_seated_and_who_is_gone_loses_the_seat() -> None:
    session = set_up(Layout(count=2), pupils(8)).session
    change = asked(session, pupils(9)[:1] + pupils(9)[2:])
    assert isinstance(change.told, Prepared)
    assert [who for who, _ in change.told.newcomers] == [user(9)]
    assert change.told.gone == (user(1),)
    assert change.session.phase is Phase.SET_UP
    assert {(seat.presence, seat.invite_count) for seat in change.session.seats.values()} == {(Presence.ASSIGNED, 1)}


def test_rooms_may_be_empty_before_the_start() -> None:
    assert prepare(set_up(Layout(count=4), pupils(0)).session, pupils(0)).is_prepared


def test_groups_are_counted_last_when_they_are_prepared() -> None:
    session = set_up(Layout(group_size=4), pupils(8)).session
    ready = all_in(prepare(session, pupils(12)))
    assert sizes(ready) == [4, 4, 4]
    assert sizes(start(ready, pupils(20))) == [6, 7, 7]
    with pytest.raises(refusals.NobodyToSeat):
        asked(set_up(Layout(group_size=4), pupils(0)).session, pupils(0))


def test_inviting_more_than_fifty_is_asked_first() -> None:
    session = set_up(Layout(count=10), pupils(51)).session
    change = asked(session, pupils(51))
    assert isinstance(change.told, ConfirmAsked)
    assert (change.told.pending.what, change.told.people) == (Confirm.PREPARE, 51)
    assert not change.session.is_prepared
    assert not isinstance(asked(prepare(session, pupils(51)), pupils(51)).told, Prepared)
    assert isinstance(asked(all_in(prepare(session, pupils(51))), pupils(51)).told, Prepared)


def test_a_room_says_that_it_opens_later_when_its_invites_are_out() -> None:
    session = rooms_made(prepare(set_up(Layout(count=1), pupils(2)).session, pupils(2)))
    first = observed.invited(session, user(1), 1, now=NOW, settings=SETTINGS)
    assert not first.notices
    second = observed.invited(first.session, user(2), 1, now=NOW, settings=SETTINGS)
    assert second.notices == (WelcomePrepared(session.id, 1, 1, NOW),)


def test_the_clock_begins_with_the_start_and_each_room_is_welcomed_when_it_is_unlocked() -> None:
    session = waiting()
    begun = start(session, pupils(8), limit=minutes(20))
    assert begun.clock_at == NOW
    assert begun.ends_at == NOW + minutes(20)
    assert not begun.is_prepared
    assert all(seat.presence is Presence.JOINED for seat in begun.seats.values())
    opened = observed.unlocked(begun, 1, now=NOW)
    assert opened.notices == (WelcomeRoom(session.id, 1, 1),)
    assert not observed.unlocked(opened.session, 1, now=NOW).notices


def test_the_start_says_so_at_once_and_the_rooms_later() -> None:
    change = starting.start(
        waiting(), by=MOD, people=pupils(8), now=NOW, settings=SETTINGS, rng=Random(1), key="q", limit=minutes(20)
    )
    assert change.notices == (MainStarted("s1", 1),)


@pytest.mark.parametrize(
    ("ahead", "then"),
    [
        (Presence.INVITED, Presence.INVITED),
        (Presence.JOINED, Presence.JOINED),
        (Presence.DECLINED, Presence.DECLINED),
        (Presence.LEFT, Presence.LEFT),
        (Presence.REMOVED, Presence.REMOVED),
        (Presence.UNREACHABLE, Presence.ASSIGNED),
        (Presence.ASSIGNED, Presence.ASSIGNED),
    ],
)
def test_what_people_made_of_their_invite_holds_at_the_start(ahead: Presence, then: Presence) -> None:
    session = waiting()
    session = session.with_seats(replace(session.seats[user(1)], presence=ahead))
    assert start(session, pupils(8)).seats[user(1)].presence is then


def test_whoever_is_moved_to_even_the_groups_at_the_start_is_invited_anew() -> None:
    session = waiting(count=8, rooms=2)
    goes = [seat.user for seat in session.people_of(1)][:3]
    begun = start(session, [person for person in pupils(8) if person.user not in goes])
    assert sizes(begun) == [2, 3]
    (moved,) = [seat for seat in begun.seats.values() if session.seats[seat.user].room != seat.room]
    assert (moved.presence, moved.moved_from) == (Presence.ASSIGNED, None)


def test_a_move_ahead_of_the_start_leaves_the_old_room_at_once() -> None:
    session = waiting()
    old = session.seats[user(1)].room
    moved = seats.assign(session, [(user(1), 3 - old)], people=pupils(8)).session.seats[user(1)]
    assert (moved.presence, moved.moved_from, moved.invite_count) == (Presence.ASSIGNED, None, 2)


def test_a_shuffle_of_people_who_are_invited_needs_now() -> None:
    with pytest.raises(refusals.ShuffleNeedsNow) as refused:
        seats.shuffle(waiting(), people=pupils(8), rng=Random(1), really=False)
    assert not refused.value.talking


def test_setup_retires_what_was_prepared() -> None:
    session = waiting()
    change = set_up(Layout(count=3), pupils(8), session)
    assert change.session.id != session.id
    assert not change.session.is_prepared
    assert change.told.replaced is session
    assert change.retired is not None
    assert all(room.removed for room in change.retired.rooms)


def test_walking_into_a_prepared_room_is_choosing_it() -> None:
    people = pupils(4)
    session = rooms_made(prepare(set_up(Layout(count=2, mode=Mode.CHOOSE), people).session, people))
    change = observed.membership(
        session,
        2,
        user(1),
        before=None,
        after="join",
        by_self=True,
        by_bot=False,
        moderator=False,
        now=NOW,
        capacity=4,
    )
    assert change.session.seats[user(1)].room == 2
    assert not change.notices


def test_what_is_left_to_ask_of_the_homeserver() -> None:
    people = pupils(30)
    planned = set_up(Layout(count=2), people).session
    assert requests_to_start(planned, "x") == (2, 10)  # ten of fifteen go with each room
    ready = prepare(planned, people)
    assert requests_to_start(ready, "x") == (2, 10)
    assert requests_to_start(all_in(ready), "x") == (0, 0)
    assert requests_to_start(start(all_in(ready), people), "x") == (0, 2)


def test_nothing_runs_while_it_is_prepared() -> None:
    with pytest.raises(refusals.AlreadyRunning):
        asked(running_session(), pupils(8))
