"""What can be known of a session from its rooms alone, and from the little that is noted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from plugins.breakout.domain.changes.restoring import FoundRoom, Noted, Trace, rebuilt
from plugins.breakout.domain.model import Mode, Person, Phase, Presence, Session
from plugins.breakout.domain.moments import advance
from plugins.breakout.domain.notices import NotesLost
from tests.unit.breakout.example import MAIN, MOD, NOW, SETTINGS

BOT = "@bot:x"
BOB, CLEO = "@bob:x", "@cleo:x"
PEOPLE = (Person(MOD, "Mod", moderator=True), Person(BOB, "Bob"), Person(CLEO, "Cleo"))


def trace(membership: str, by: str, minutes: int = 0) -> Trace:
    return Trace(membership, by, NOW + timedelta(minutes=minutes))


def found(number: int, traces: dict[str, Trace], *, locked: bool = False, walk_in: bool = False) -> FoundRoom:
    return FoundRoom(number, f"!r{number}:x", 2, f"Team {number}", "", locked, walk_in, traces)


def rebuild(*rooms: FoundRoom, noted: Noted | None = None) -> Session:
    change = rebuilt("s", MAIN, rooms, noted or Noted(), bot=BOT, people=PEOPLE, now=NOW, settings=SETTINGS)
    assert [type(notice) for notice in change.notices] == [NotesLost]
    return change.session


def test_a_session_with_an_open_room_runs_and_one_whose_rooms_are_locked_has_ended() -> None:
    assert rebuild(found(1, {}), found(2, {}, locked=True)).phase is Phase.RUNNING
    assert rebuild(found(1, {}, locked=True)).phase is Phase.ENDED
    closing = Noted(closing_at=NOW, ends_at=NOW + timedelta(minutes=1))
    assert rebuild(found(1, {}), noted=closing).phase is Phase.CLOSING
    assert rebuild(found(1, {}), noted=replace(closing, ends_at=None)).phase is Phase.RUNNING


def test_what_was_prepared_is_so_still_if_that_is_noted() -> None:
    rooms = (
        found(1, {BOB: trace("join", BOB), CLEO: trace("join", CLEO, -9)}, locked=True),
        found(2, {CLEO: trace("invite", BOT)}, locked=True),
    )
    session = rebuild(*rooms, noted=Noted(prepared_at=NOW))
    assert (session.phase, session.is_prepared) == (Phase.SET_UP, True)
    assert {seat.user: (seat.room, seat.presence, seat.moved_from) for seat in session.seats.values()} == {
        BOB: (1, Presence.JOINED, None),
        CLEO: (2, Presence.INVITED, None),
    }
    assert not advance(session, now=NOW, settings=SETTINGS).notices
    assert rebuild(*rooms, noted=Noted(prepared_at=NOW, ended_at=NOW)).phase is Phase.ENDED


def test_each_seat_is_where_its_person_is_or_was_invited() -> None:
    session = rebuild(
        found(1, {BOB: trace("join", BOB), MOD: trace("join", MOD)}), found(2, {CLEO: trace("invite", BOT)})
    )
    assert {seat.user: (seat.room, seat.presence) for seat in session.seats.values()} == {
        BOB: (1, Presence.JOINED),
        CLEO: (2, Presence.INVITED),
    }


def test_a_moderator_has_a_seat_only_where_everyone_is_noted() -> None:
    room = found(1, {MOD: trace("join", MOD)})
    assert not rebuild(room).seats
    assert MOD in rebuild(room, noted=Noted(everyone=True)).seats


def test_who_was_on_the_way_has_the_newer_seat_and_leaves_the_older_room() -> None:
    session = rebuild(found(1, {BOB: trace("join", BOB, -9)}), found(2, {BOB: trace("invite", BOT, -1)}))
    seat = session.seats[BOB]
    assert (seat.room, seat.presence, seat.moved_from) == (2, Presence.INVITED, 1)
    assert advance(session, now=NOW, settings=SETTINGS).session.seats[BOB].moved_from is None


def test_who_went_away_is_told_from_who_was_taken_out() -> None:
    session = rebuild(found(1, {BOB: trace("leave", BOB), CLEO: trace("leave", MOD)}))
    assert session.seats[BOB].presence is Presence.LEFT
    assert session.seats[CLEO].presence is Presence.REMOVED
    assert not rebuild(found(1, {BOB: trace("leave", BOT)})).seats


def test_after_the_end_the_last_room_of_each_person_is_the_seat() -> None:
    rooms = (found(1, {BOB: trace("leave", BOT, 1)}, locked=True), found(2, {BOB: trace("leave", BOT, 2)}, locked=True))
    assert rebuild(*rooms).seats[BOB].room == 2


def test_somebody_who_is_not_in_the_main_room_was_invited_by_a_moderator() -> None:
    session = rebuild(found(1, {"@zoe:x": trace("join", "@zoe:x"), BOT: trace("join", BOT)}))
    assert session.outsiders == {("@zoe:x", 1)}


def test_a_number_that_was_in_use_is_not_used_again() -> None:
    session = rebuild(found(1, {}), noted=Noted(rooms={1: "!r1:x", 3: "!r3:x"}))
    assert [room.number for room in session.open_rooms] == [1]
    assert [room.number for room in session.rooms] == [1, 3]


def test_keys_of_what_is_said_once_are_new() -> None:
    assert rebuild(found(1, {}), noted=Noted(round=2)).round == 3
    assert rebuild(found(1, {})).round > 1000


def test_a_session_whose_rooms_members_of_the_main_room_may_enter_is_in_choose_mode() -> None:
    assert rebuild(found(1, {}, walk_in=True)).mode is Mode.CHOOSE
    assert rebuild(found(1, {})).mode is Mode.MANUAL
    assert rebuild(found(1, {}), noted=Noted(mode=Mode.AUTO)).mode is Mode.AUTO


def test_an_end_that_is_noted_holds_and_warnings_before_it_count_as_given() -> None:
    session = rebuild(found(1, {}), noted=Noted(ends_at=NOW + timedelta(minutes=3)))
    assert session.ends_at == NOW + timedelta(minutes=3)
    assert session.warned == {300}
    assert not advance(session, now=NOW, settings=SETTINGS).notices
