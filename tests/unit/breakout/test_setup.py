"""What a set-up makes, and which ones are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.breakout.domain import refusals
from plugins.breakout.domain.changes import ending, seats, setup
from plugins.breakout.domain.changes import people as people_changes
from plugins.breakout.domain.changes.rooms import check_name
from plugins.breakout.domain.changes.setup import Layout, SeatLine
from plugins.breakout.domain.model import Mode, Phase, Settings
from plugins.breakout.domain.notices import EndReason
from plugins.breakout.domain.refusals import NameFault
from tests.unit.breakout.example import MOD, NOW, SETTINGS, pupils, running_session, set_up, sizes, user


def test_four_rooms_are_named_by_number_and_seats_are_dealt_evenly() -> None:
    change = set_up(Layout(count=4), pupils(10))
    assert [room.name for room in change.session.rooms] == ["Room 1", "Room 2", "Room 3", "Room 4"]
    assert sizes(change.session) == [2, 2, 3, 3]
    assert MOD not in change.session.seats
    assert (change.told.members, change.told.participants, change.told.seated) == (11, 10, 10)


def test_setup_works_in_an_empty_hall() -> None:
    change = set_up(Layout(count=4), [])
    assert change.session.seats == {}
    assert len(change.session.rooms) == 4


def test_named_rooms_keep_their_order() -> None:
    session = set_up(Layout(names=("Team Alpha", " Team  Beta ")), pupils(2)).session
    assert [room.name for room in session.rooms] == ["Team Alpha", "Team Beta"]


def test_groups_are_counted_by_size() -> None:
    assert sizes(set_up(Layout(group_size=4), pupils(10)).session) == [3, 3, 4]
    assert sizes(set_up(Layout(group_size=2), pupils(5)).session) == [2, 3]


def test_everyone_seats_moderators_too() -> None:
    assert MOD in set_up(Layout(count=2, everyone=True), pupils(3)).session.seats


def test_here_seats_only_those_who_are_and_taps_count() -> None:
    people = pupils(6, here=2)
    bare = setup.check_in(None, main="!m:x", session_id="s0", by=MOD).session
    tapped = setup.tap(bare, user(6)).session
    session = set_up(Layout(count=1, here=True), people, tapped).session
    assert set(session.seats) == {user(1), user(2), user(6)}
    untapped = setup.untap(tapped, user(6)).session
    assert user(6) not in set_up(Layout(count=1, here=True), people, untapped).session.seats


def test_a_checkin_alone_is_no_session_for_other_commands() -> None:
    bare = setup.check_in(None, main="!m:x", session_id="s0", by=MOD).session
    with pytest.raises(refusals.NoSession):
        seats.assign(bare, [(user(1), 1)], people=pupils(1))
    assert set_up(Layout(count=2), pupils(2), bare).told.replaced is None


def test_a_checkin_after_the_end_begins_anew() -> None:
    ended, _ = ending.finish(
        setup.tap(running_session(), user(1)).session, why=EndReason.MODERATOR, now=NOW, settings=SETTINGS
    )
    assert setup.check_in(ended, main="!m:x", session_id="s2", by=MOD).session.taps == frozenset()
    assert setup.check_in(running_session(), main="!m:x", session_id="s2", by=MOD).session.phase is Phase.RUNNING


def test_the_whole_manual_plan_in_one_message() -> None:
    lines = (SeatLine("Team Alpha", (user(1), user(2))), SeatLine("Team Beta", (user(3),)))
    session = set_up(Layout(lines=lines), pupils(4)).session
    assert session.mode is Mode.MANUAL
    assert [room.name for room in session.rooms] == ["Team Alpha", "Team Beta"]
    assert {u: s.room for u, s in session.seats.items()} == {user(1): 1, user(2): 1, user(3): 2}
    assert all(seat.by_hand for seat in session.seats.values())


def test_seat_lines_may_name_rooms_of_the_list_by_prefix_and_number() -> None:
    lines = (SeatLine("alpha", (user(1),)), SeatLine("2", (user(2),)))
    session = set_up(Layout(names=("Team Alpha", "Team Beta"), mode=Mode.MANUAL, lines=lines), pupils(2)).session
    assert (session.seats[user(1)].room, session.seats[user(2)].room) == (1, 2)


def test_manual_and_choose_begin_without_seats() -> None:
    for mode in (Mode.MANUAL, Mode.CHOOSE):
        change = set_up(Layout(count=2, mode=mode), pupils(4))
        assert change.session.seats == {}
        assert len(change.told.unseated) == 4


def test_choose_has_two_seats_more_than_needed_unless_told() -> None:
    people = pupils(9)
    session = set_up(Layout(count=4, mode=Mode.CHOOSE), people).session
    assert people_changes.capacity(session, people) == 5
    assert people_changes.capacity(session, pupils(20)) == 7
    assert people_changes.capacity(set_up(Layout(count=4, capacity=8), people).session, people) == 8
    assert set_up(Layout(count=4, capacity=8), people).session.mode is Mode.CHOOSE


def test_setup_again_replaces_the_plan_and_says_what_it_replaced() -> None:
    first = set_up(Layout(count=4), pupils(4)).session
    change = set_up(Layout(count=2), pupils(4), replace(first, revision=7))
    assert change.told.replaced is not None
    assert len(change.told.replaced.rooms) == 4
    assert (change.session.id, change.session.revision) == (first.id, 7)
    assert change.retired is None


def test_setup_after_the_end_begins_a_new_session_and_retires_the_old_rooms() -> None:
    ended, _ = ending.finish(running_session(), why=EndReason.MODERATOR, now=NOW, settings=SETTINGS)
    change = set_up(Layout(count=2), pupils(8), ended)
    assert change.session.id == "s2"
    assert change.session.round == 0
    assert change.retired is not None
    assert all(room.removed and room.room_id for room in change.retired.rooms)


def test_setup_is_refused_while_running_or_closing() -> None:
    session = running_session()
    closing = ending.end(session, by=MOD, now=NOW, settings=SETTINGS).session
    for busy in (session, closing):
        with pytest.raises(refusals.AlreadyRunning):
            set_up(Layout(count=2), pupils(8), busy)


def test_setup_after_delete_begins_a_new_session() -> None:
    gone = ending.discard(set_up(Layout(count=2), pupils(2)).session)
    change = set_up(Layout(count=2), pupils(2), gone)
    assert (change.session.id, change.retired, change.told.replaced) == ("s2", None, None)


@pytest.mark.parametrize(
    ("layout", "refusal"),
    [
        (Layout(), refusals.NoRooms),
        (Layout(count=0), refusals.BadRoomCount),
        (Layout(count=21), refusals.TooManyRooms),
        (Layout(names=tuple(f"Team {n}" for n in range(21))), refusals.TooManyRooms),
        (Layout(group_size=1), refusals.BadGroupSize),
        (Layout(names=("Alone",)), refusals.OneRoomOnly),
        (Layout(names=("Red", "red")), refusals.DuplicateRoomName),
        (Layout(names=("Red", "now")), refusals.BadRoomName),
        (Layout(count=2, capacity=0), refusals.BadCapacity),
        (Layout(count=2, capacity=3, mode=Mode.AUTO), refusals.CapacityNeedsChoose),
        (
            Layout(count=1, mode=Mode.AUTO, lines=(SeatLine("1", (user(1),)),)),
            refusals.SeatsNotByCommandLines,
        ),
        (Layout(count=1, lines=(SeatLine("7", (user(1),)),)), refusals.UnknownRoom),
        (Layout(lines=(SeatLine("A", (user(1),)), SeatLine("B", (user(1),)))), refusals.PersonTwice),
        (Layout(lines=(SeatLine("A", ("@stranger:x",)),)), refusals.NotAParticipant),
    ],
)
def test_a_bad_setup_is_refused(layout: Layout, refusal: type[refusals.Refusal]) -> None:
    with pytest.raises(refusal):
        set_up(layout, pupils(3))


def test_groups_that_make_too_many_rooms_say_how_many_people_there_were() -> None:
    with pytest.raises(refusals.TooManyRooms) as caught:
        set_up(Layout(group_size=2), pupils(50), settings=Settings(max_rooms=20))
    assert (caught.value.count, caught.value.size, caught.value.people) == (25, 2, 50)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", NameFault.EMPTY),
        ("x" * 65, NameFault.TOO_LONG),
        ("a\nb", NameFault.LINE_BREAK),
        ("a, b", NameFault.SIGN),
        ("a:b", NameFault.SIGN),
        ("12", NameFault.NUMBER),
        ("Everyone", NameFault.RESERVED),
    ],
)
def test_a_name_that_no_room_may_have_is_refused(name: str, fault: NameFault) -> None:
    with pytest.raises(refusals.BadRoomName) as caught:
        check_name(name)
    assert caught.value.why is fault


def test_a_name_of_64_characters_is_fine() -> None:
    assert check_name(" " + "x" * 64) == "x" * 64
