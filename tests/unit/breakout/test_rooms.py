"""Finding, adding, removing and changing rooms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.breakout.domain import refusals
from plugins.breakout.domain.changes import help as help_changes
from plugins.breakout.domain.changes import rooms
from plugins.breakout.domain.changes.setup import Layout
from plugins.breakout.domain.model import Settings
from plugins.breakout.domain.notices import HelpClosed, HelpEnd, RoomRemoved, TaskSet
from tests.unit.breakout.example import NOW, SETTINGS, pupils, running_session, set_up, user

NAMED = set_up(Layout(names=("Team Alpha", "Team Beta", "Alphabet", "Room of Ann")), pupils(8)).session


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("2", "Team Beta"),
        ("team beta", "Team Beta"),
        ("Team  Alpha", "Team Alpha"),
        ("Beta", "Team Beta"),
        ("alphab", "Alphabet"),
        ("team a", "Team Alpha"),
        ("of a", "Room of Ann"),
    ],
)
def test_a_room_is_found(typed: str, name: str) -> None:
    assert rooms.find_room(NAMED, typed).name == name


@pytest.mark.parametrize("typed", ["Gamma", "9", "", "12a"])
def test_an_unknown_room_lists_those_there_are(typed: str) -> None:
    with pytest.raises(refusals.UnknownRoom) as caught:
        rooms.find_room(NAMED, typed)
    assert len(caught.value.rooms) == 4


@pytest.mark.parametrize(
    ("typed", "candidates"), [("team", ("Team Alpha", "Team Beta")), ("alpha", ("Team Alpha", "Alphabet"))]
)
def test_an_ambiguous_room_lists_the_candidates(typed: str, candidates: tuple[str, ...]) -> None:
    with pytest.raises(refusals.AmbiguousRoom) as caught:
        rooms.find_room(NAMED, typed)
    assert caught.value.rooms == candidates


def test_there_is_no_room_without_a_session() -> None:
    with pytest.raises(refusals.NoSession) as caught:
        rooms.find_room(None, "1", "assign")
    assert caught.value.command == "assign"


def test_added_rooms_get_numbers_that_none_had() -> None:
    session = rooms.remove_room(NAMED, 4, now=NOW).session
    change = rooms.add_rooms(session, ["Gamma", "Delta"], settings=SETTINGS)
    assert [room.number for room in change.told] == [5, 6]


@pytest.mark.parametrize(
    ("names", "refusal"),
    [
        ((), refusals.NoRooms),
        (("team alpha",), refusals.DuplicateRoomName),
        (("all",), refusals.BadRoomName),
        (("A", "B", "C"), refusals.TooManyRooms),
    ],
)
def test_a_bad_addition_is_refused(names: tuple[str, ...], refusal: type[refusals.Refusal]) -> None:
    with pytest.raises(refusal):
        rooms.add_rooms(NAMED, names, settings=Settings(max_rooms=6))


def test_people_of_a_removed_room_lose_their_seats_and_are_told() -> None:
    session = running_session()
    people = {seat.user for seat in session.people_of(2)}
    change = rooms.remove_room(session, 2, now=NOW)
    assert set(change.told.users) == people
    assert not people & change.session.seats.keys()
    assert change.session.room(2).removed
    assert change.notices == (RoomRemoved(session.id, 2, NOW, "Room 2", change.told.users),)


def test_before_the_start_the_reply_alone_tells_of_a_removed_room() -> None:
    assert rooms.remove_room(NAMED, 2, now=NOW).notices == ()


def test_a_removed_room_needs_no_help_any_more() -> None:
    session = help_changes.ask_help(running_session(), 2, user(1), "", now=NOW, settings=SETTINGS).session
    change = rooms.remove_room(session, 2, now=NOW)
    assert HelpClosed(session.id, 1, 2, NOW, HelpEnd.GONE, None) in change.notices
    assert change.session.room(2).help is None


def test_the_last_room_stays() -> None:
    session = set_up(Layout(count=1), pupils(2)).session
    with pytest.raises(refusals.LastRoom):
        rooms.remove_room(session, 1, now=NOW)


def test_a_room_is_renamed_even_to_its_own_name_in_other_letters() -> None:
    assert rooms.rename_room(NAMED, 1, "TEAM ALPHA").told.room.name == "TEAM ALPHA"
    assert rooms.rename_room(NAMED, 1, "Delta").told.former == "Team Alpha"
    with pytest.raises(refusals.DuplicateRoomName):
        rooms.rename_room(NAMED, 1, "team beta")


def test_a_task_is_said_in_rooms_that_exist_and_had_another_one() -> None:
    session = running_session()
    session = rooms.set_task(session, 1, "Discuss", now=NOW).session
    change = rooms.set_task(session, None, " Discuss ", now=NOW)
    assert [room.task for room in change.session.rooms] == ["Discuss"] * 4
    assert [n.room for n in change.notices if isinstance(n, TaskSet)] == [2, 3, 4]


def test_a_task_before_the_start_is_said_by_the_welcome() -> None:
    assert rooms.set_task(NAMED, None, "Discuss", now=NOW).notices == ()


def test_a_task_too_long_is_refused() -> None:
    with pytest.raises(refusals.TooLong):
        rooms.set_task(NAMED, 1, "x" * 4001, now=NOW)


def test_groups_are_not_counted_again_once_rooms_were_changed_by_hand() -> None:
    session = set_up(Layout(group_size=4), pupils(8)).session
    assert rooms.add_rooms(session, ["Gamma"], settings=SETTINGS).session.group_size is None
    assert rooms.remove_room(session, 1, now=NOW).session.group_size is None
    assert replace(session).group_size == 4
