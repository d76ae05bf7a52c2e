"""What came in is taken once, whole, and remembered as it was; what rooms are like is what sync said last."""

import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from bot.matrix.events import (
    Departed,
    Invited,
    Item,
    Message,
    Reaction,
    Redaction,
    StateChange,
    SyncBatch,
    Unreadable,
)
from bot.matrix.ids import EventId, RoomId, UserId
from bot.store.connection import Connection
from bot.store.database import Database
from bot.store.inbox import _KINDS, KEPT, Inbox
from bot.store.roomstate import RoomStates
from bot.store.tables import inbox as table
from tests.unit.store import open_store

NOW = datetime(2026, 11, 23, 14, 0, 0, 123456, tzinfo=UTC)
ROOM, OTHER = RoomId("!room:example.org"), RoomId("!other:example.org")
ANN, BOB = UserId("@ann:example.org"), UserId("@bob:example.org")
BATCH = SyncBatch("s1")


def message(number: int, *, sender: UserId = ANN, at: datetime = NOW, body: str = "hello") -> Message:
    return Message(EventId(f"${number}"), ROOM, sender, at, "m.text", body)


COMMON = (ROOM, ANN, NOW)
EVENTS: list[Item] = [
    Message(
        EventId("$m"),
        *COMMON,
        "m.text",
        "hällo\u0000",
        "<b>h</b>",
        EventId("$t"),
        EventId("$r"),
        {"a": [1, None, {"b": 1.5}]},
        stale=True,
    ),
    Reaction(EventId("$x"), *COMMON, EventId("$m"), "✋"),
    Redaction(EventId("$y"), *COMMON, EventId("$x")),
    StateChange(EventId("$s"), *COMMON, "m.room.member", ANN, {"membership": "join"}, {"membership": "invite"}),
    StateChange(EventId("$n"), *COMMON, "m.room.name", "", {}),
    Unreadable(EventId("$u"), *COMMON),
    Departed(OTHER, BOB, banned=True, at=NOW),
    Departed(ROOM, None, banned=False, at=NOW),
]
INVITED = Invited(OTHER, BOB, NOW)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_store(tmp_path) as database:
        yield database


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with database.write() as connection:
        yield connection


@pytest.fixture
def inbox(connection: Connection) -> Inbox:
    return Inbox(connection)


@pytest.fixture
def rooms(connection: Connection) -> RoomStates:
    return RoomStates(connection, NOW)


def state(type_: str, key: str = "", sender: str = ANN, room: str = ROOM, **content: Any) -> dict[str, Any]:
    return {"room": room, "type": type_, "state_key": key, "content": content, "sender": sender, "at_ms": 1000}


async def test_every_kind_of_event_comes_out_as_it_went_in_and_in_order(inbox: Inbox) -> None:
    await inbox.accept(BATCH, EVENTS, NOW)
    assert [row.event for row in await inbox.pending()] == EVENTS


async def test_an_event_that_cannot_be_read_any_more_stops_nothing(inbox: Inbox, connection: Connection) -> None:
    await inbox.accept(BATCH, [message(number) for number in range(4)], NOW)
    await connection.execute(update(table).where(table.c.event_id == "$0").values(kind="Unheard"))
    await connection.execute(update(table).where(table.c.event_id == "$1").values(event={"body": 1}))
    assert await inbox.event("$0") is None
    assert [row.event_id for row in await inbox.pending(most=3)] == ["$2", "$3"]
    await inbox.done("$2")
    assert [row.event_id for row in await inbox.pending(most=1)] == ["$3"]


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(), st.dictionaries(st.text(max_size=5), json, max_size=3), st.datetimes(timezones=st.just(UTC)))
def test_whatever_people_write_survives_the_store(body: str, content: dict[str, Any], at: datetime) -> None:
    kind = _KINDS["Message"]
    event = Message(EventId("$1"), ROOM, ANN, at, "m.text", body, content=content)
    assert kind.validate_python(kind.dump_python(event, mode="json")) == event


async def test_an_event_that_comes_again_is_taken_once(inbox: Inbox) -> None:
    await inbox.accept(BATCH, [message(1)], NOW)
    await inbox.done("$1")
    await inbox.accept(BATCH, [message(1), message(2)], NOW)
    assert [row.event_id for row in await inbox.pending()] == ["$2"]


async def test_a_batch_moves_the_token_on(inbox: Inbox) -> None:
    assert await inbox.token() is None
    for token in ("s1", "s2"):
        await inbox.accept(SyncBatch(token), [], NOW)
        assert await inbox.token() == token


async def test_invites_wait_apart(inbox: Inbox) -> None:
    await inbox.accept(BATCH, [INVITED, message(1)], NOW)
    assert [row.event_id for row in await inbox.pending()] == ["$1"]
    [key] = await inbox.open_invites()
    assert await inbox.event(key) == INVITED
    await inbox.done(key)
    assert await inbox.open_invites() == []


async def test_handled_events_are_forgotten_after_a_while_and_open_ones_never(inbox: Inbox) -> None:
    await inbox.accept(BATCH, [message(1), message(2)], NOW)
    await inbox.done("$1")
    await inbox.accept(BATCH, [], NOW + KEPT)
    assert await inbox.event("$1") is not None
    await inbox.accept(BATCH, [], NOW + KEPT + timedelta(seconds=1))
    assert await inbox.event("$1") is None
    assert [row.event_id for row in await inbox.pending()] == ["$2"]


async def test_of_a_handled_message_the_words_are_forgotten_at_once(inbox: Inbox, connection: Connection) -> None:
    said = replace(message(1), body="Very private", html="<b>Very private</b>", content={"body": "Very private"})
    await inbox.accept(BATCH, [said], NOW)
    await inbox.done("$1")
    assert await inbox.event("$1") == replace(said, body="", html=None, content={})
    assert "private" not in str((await connection.execute(select(table))).all())


async def test_who_wrote_last_never_turns_back_nor_lies_ahead(inbox: Inbox, rooms: RoomStates) -> None:
    late, claimed = message(2, at=NOW - timedelta(hours=1)), message(3, sender=BOB, at=NOW + timedelta(days=9))
    await inbox.accept(BATCH, [message(1), late, claimed], NOW)
    spoke = await rooms.last_spoke(ROOM)
    assert spoke == dict.fromkeys((ANN, BOB), NOW.replace(microsecond=123000))
    assert await rooms.last_spoke(OTHER) == {}


# --- what rooms are like


async def test_of_each_state_the_last_one_counts(rooms: RoomStates) -> None:
    await rooms.put([state("m.room.name", name="one"), state("m.room.name", name="two")])
    assert await rooms.name(ROOM) == "two"
    await rooms.put([state("m.room.name", name="three")])
    assert await rooms.name(ROOM) == "three"
    assert await rooms.content(ROOM, "m.room.topic") is None


@pytest.mark.parametrize("content", [{}, {"name": None}, {"name": 7}, {"name": " "}])
async def test_a_room_may_have_no_name(rooms: RoomStates, content: dict[str, Any]) -> None:
    await rooms.put([state("m.room.name", **content)])
    assert await rooms.name(ROOM) is None


async def test_members_come_with_who_made_them_so_even_from_odd_events(rooms: RoomStates) -> None:
    await rooms.put(
        [
            state("m.room.member", ANN, ANN, membership="join", displayname="Ann"),
            state("m.room.member", BOB, ANN, membership="leave", reason="bye", displayname=[1]),
        ]
    )
    members = await rooms.members(ROOM)
    assert [(m.membership, m.name, m.sender, m.reason) for m in members.values()] == [
        ("join", "Ann", ANN, ""),
        ("leave", "", ANN, "bye"),
    ]


async def test_power_knows_the_creator_of_a_room_of_version_12(rooms: RoomStates) -> None:
    await rooms.put(
        [
            state("m.room.create", room_version="12"),
            state("m.room.power_levels", users={BOB: 50}),
        ]
    )
    power = await rooms.power(ROOM)
    assert power.level(ANN) > 100
    assert power.level(BOB) == 50


async def test_what_is_assumed_holds_until_sync_says_otherwise(rooms: RoomStates) -> None:
    await rooms.assume(ROOM, "m.room.member", BOB, {"membership": "invite"}, ANN)
    member = (await rooms.members(ROOM))[BOB]
    assert (member.membership, member.sender, member.at) == ("invite", ANN, NOW.replace(microsecond=123000))
    await rooms.put([state("m.room.member", BOB, BOB, membership="join")])
    assert (await rooms.members(ROOM))[BOB].membership == "join"


async def test_rooms_are_found_by_a_state_and_by_who_is_in_them(rooms: RoomStates) -> None:
    await rooms.put(
        [
            state("org.example.mark", session="1"),
            state("org.example.mark", "keyed", room=OTHER),
            state("m.room.member", ANN, membership="join"),
            state("m.room.member", ANN, room=OTHER, membership="leave"),
        ]
    )
    assert await rooms.rooms_with("org.example.mark") == {ROOM: {"session": "1"}}
    assert await rooms.joined_rooms_of(ANN) == [ROOM]
    assert await rooms.of_type(OTHER, "org.example.mark") == {"keyed": {}}


async def test_nothing_is_known_of_a_room_that_was_forgotten(inbox: Inbox, rooms: RoomStates) -> None:
    await inbox.accept(BATCH, [message(1)], NOW)
    await rooms.put([state("m.room.name", name="one"), state("m.room.name", room=OTHER, name="other")])
    await rooms.forget(ROOM)
    assert await rooms.name(ROOM) is None
    assert await rooms.last_spoke(ROOM) == {}
    assert await rooms.name(OTHER) == "other"


async def test_what_was_read_is_read_anew_once_it_changes_or_is_taken_back(database: Database) -> None:
    async def names(connection: Connection) -> tuple[object, ...]:
        rooms = RoomStates(connection, NOW)
        members = [member.name for member in (await rooms.members(ROOM)).values()]
        return await rooms.name(ROOM), dict(await rooms.rooms_with("m.room.name")), *members

    async with database.write() as connection:
        await RoomStates(connection, NOW).put([state("m.room.name", name="one")])
        assert await names(connection) == ("one", {ROOM: {"name": "one"}})
    with suppress(ZeroDivisionError):
        async with database.write() as connection:
            await RoomStates(connection, NOW).put([state("m.room.name", name="two")])
            assert (await names(connection))[0] == "two"
            raise ZeroDivisionError
    async with database.write() as connection:
        assert await names(connection) == ("one", {ROOM: {"name": "one"}})
        with suppress(ZeroDivisionError):
            async with connection.begin_nested():
                await RoomStates(connection, NOW).forget(ROOM)
                assert await names(connection) == (None, {})
                raise ZeroDivisionError
        assert await names(connection) == ("one", {ROOM: {"name": "one"}})
        await RoomStates(connection, NOW).put([state("m.room.member", ANN, membership="join", displayname="Ann")])
        assert (await names(connection))[2:] == ("Ann",)
    for name in ("three", "four"):
        async with database.write() as connection:
            await RoomStates(connection, NOW).put([state("m.room.name", name=name)])
        async with database.read() as connection:
            assert (await names(connection))[0] == name


async def test_a_large_batch_takes_well_under_a_second(inbox: Inbox, rooms: RoomStates) -> None:
    people = [UserId(f"@u{number}:example.org") for number in range(5000)]
    rows = [state("m.room.member", user, user, membership="join", displayname=user) for user in people]
    before = time.process_time()
    await rooms.put(rows)
    await inbox.accept(BATCH, [message(n, sender=user) for n, user in enumerate(people)], NOW)
    assert time.process_time() - before < 1
    assert len(await rooms.members(ROOM)) == 5000


async def test_who_joined_before_the_answer_to_the_invitation_came_stays_joined(rooms: RoomStates) -> None:
    await rooms.assume(ROOM, "m.room.member", BOB, {"membership": "join"}, BOB)
    await rooms.assume(ROOM, "m.room.member", BOB, {"membership": "invite"}, ANN)
    assert await rooms.content(ROOM, "m.room.member", BOB) == {"membership": "join"}
