"""From raw events to our own: what counts, what is left out, and that nothing raises."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.clock import from_ms
from bot.errors import Temporary
from bot.matrix.batch import batch_of
from bot.matrix.events import (
    Departed,
    Invited,
    Item,
    Message,
    Reaction,
    Redaction,
    RoomDelta,
    StateChange,
    SyncBatch,
    Unreadable,
)
from bot.matrix.ids import EventId, RoomId, UserId
from bot.matrix.translate import normal_key, state_rows, translate

ME, ANN, BOB = UserId("@bot:x"), UserId("@ann:x"), UserId("@bob:x")
ROOM = RoomId("!room:x")
NOW = datetime(2026, 11, 23, 14, tzinfo=UTC)
HTML = "org.matrix.custom.html"
CLIENTS = Path(__file__).parents[1] / "data" / "client_events"
REACTIONS = sorted((CLIENTS / "reactions").glob("*.json"))


def raw(type_: str, content: Any, sender: str = ANN, **more: Any) -> dict[str, Any]:
    return {
        "event_id": "$1",
        "type": type_,
        "sender": sender,
        "origin_server_ts": 1_790_000_000_000,
        "content": content,
        **more,
    }


def text(body: str, **more: Any) -> dict[str, Any]:
    return raw("m.room.message", {"msgtype": "m.text", "body": body, **more})


def items(*events: dict[str, Any], state: tuple[dict[str, Any], ...] = ()) -> tuple[Item, ...]:
    return translate(SyncBatch("s1", {ROOM: RoomDelta(state, events)}, server_time=NOW), ME)


def message(**more: Any) -> Message:
    (found,) = items(text("hello", **more))
    assert isinstance(found, Message)
    return found


def test_a_message_is_as_it_was_sent() -> None:
    found = message(format=HTML, formatted_body="<b>hello</b>")
    assert (found.event_id, found.room, found.sender) == ("$1", ROOM, ANN)
    assert found.at == from_ms(1_790_000_000_000)
    assert (found.msgtype, found.body, found.html) == ("m.text", "hello", "<b>hello</b>")
    assert found.content["formatted_body"] == "<b>hello</b>"
    assert (found.thread, found.reply_to, found.stale) == (None, None, False)


def test_html_of_another_format_is_none() -> None:
    assert message(formatted_body="<b>hello</b>").html is None


def test_a_reply_names_what_it_replies_to() -> None:
    assert message(**{"m.relates_to": {"m.in_reply_to": {"event_id": "$0"}}}).reply_to == "$0"


@pytest.mark.parametrize(
    ("flag", "reply"),
    [({"is_falling_back": True}, None), ({"is_falling_back": False}, "$0"), ({}, "$0")],
)
def test_in_a_thread_a_reply_counts_unless_it_is_said_to_be_for_clients_without_threads(
    flag: dict[str, bool], reply: str | None
) -> None:
    relation = {"rel_type": "m.thread", "event_id": "$root", "m.in_reply_to": {"event_id": "$0"}, **flag}
    found = message(**{"m.relates_to": relation})
    assert (found.thread, found.reply_to) == ("$root", reply)


def test_an_edit_is_left_out() -> None:
    assert items(text("* hi", **{"m.relates_to": {"rel_type": "m.replace", "event_id": "$0"}})) == ()


def test_what_the_bot_said_itself_is_left_out_but_not_what_it_changed() -> None:
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$0", "key": "✅"}}
    found = items(
        raw("m.room.message", {"msgtype": "m.text", "body": "hi"}, ME),
        raw("m.reaction", reaction, ME),
        raw("m.room.redaction", {"redacts": "$0"}, ME),
        raw("m.room.encrypted", {}, ME),
        raw("m.room.name", {"name": "Mine"}, ME, state_key=""),
    )
    assert [type(item) for item in found] == [StateChange]


@pytest.mark.parametrize("path", REACTIONS, ids=lambda path: path.stem)
def test_a_clients_reaction_is_known_by_its_plain_key(path: Path) -> None:
    sample = json.loads(path.read_text(encoding="utf-8"))
    (found,) = items(sample["event"])
    assert isinstance(found, Reaction)
    assert (found.target, found.key) == ("$board", sample["text"])


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("1️⃣", "1⃣"),
        ("1⃣", "1⃣"),
        ("🔟", "🔟"),
        ("✋🏿", "✋"),
        ("▶️", "▶"),
        ("▶︎", "▶"),
        ("👩🏽‍🏫", "👩"),
        ("👁️‍🗨️", "👁"),
        (" 👀 ", "👀"),
        ("+1", "+1"),
        ("", ""),
    ],
)
def test_keys_are_compared_without_what_only_changes_their_look(typed: str, key: str) -> None:
    assert normal_key(typed) == key


@given(st.text())
def test_a_plain_key_stays_as_it_is(key: str) -> None:
    assert normal_key(normal_key(key)) == normal_key(key)


@pytest.mark.parametrize(
    "relation",
    [None, [], {"rel_type": "m.annotation", "key": "✅"}, {"rel_type": "m.annotation", "event_id": "$0", "key": 1}],
)
def test_a_reaction_to_nothing_or_with_nothing_is_left_out(relation: Any) -> None:
    assert items(raw("m.reaction", {"m.relates_to": relation})) == ()


@pytest.mark.parametrize(
    "event",
    [
        raw("m.room.redaction", {"redacts": "$0"}),
        raw("m.room.redaction", {}, redacts="$0"),
        raw("m.room.redaction", {"redacts": "$0"}, redacts=None),
        raw("m.room.redaction", {"redacts": "$0"}, redacts="$0"),
    ],
)
def test_a_redaction_names_its_target_in_its_content_or_beside_it(event: dict[str, Any]) -> None:
    (found,) = items(event)
    assert isinstance(found, Redaction)
    assert found.target == "$0"


def test_a_redaction_of_ones_own_event_does_not_pass_for_one_of_anothers() -> None:
    (found,) = items(raw("m.room.redaction", {"redacts": "$theirs"}, redacts="$mine"))
    assert isinstance(found, Redaction)
    assert found.target == "$mine"


def test_a_message_whose_content_was_removed_is_left_out() -> None:
    assert items(raw("m.room.message", {})) == ()


def test_what_cannot_be_read_is_said_to_be_so() -> None:
    assert isinstance(items(raw("m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2"}))[0], Unreadable)


def test_a_change_of_state_knows_what_was_before() -> None:
    new = raw("m.room.name", {"name": "B"}, state_key="", unsigned={"prev_content": {"name": "A"}})
    (found,) = items(new)
    assert isinstance(found, StateChange)
    assert (found.type, found.state_key, found.content, found.before) == (
        "m.room.name",
        "",
        {"name": "B"},
        {"name": "A"},
    )


def test_events_come_in_order_the_state_before_the_timeline() -> None:
    found = items(text("2"), text("3"), state=(raw("m.room.name", {"name": "1"}, state_key=""),))
    assert [item.body if isinstance(item, Message) else "state" for item in found] == ["state", "2", "3"]


@pytest.mark.parametrize("at", [None, "now", True, -5, 10**30, 1.5])
def test_a_moment_that_is_none_is_one_all_the_same(at: Any) -> None:
    (found,) = items({**text("hi"), "origin_server_ts": at})
    assert found.at.tzinfo is UTC


def stripped(**more: Any) -> dict[str, Any]:
    return {"type": "m.room.member", "sender": ANN, "state_key": ME, "content": {"membership": "invite"}, **more}


def test_an_invite_is_the_one_of_the_bot_and_not_of_others() -> None:
    others = (
        stripped(state_key=ANN, content={"membership": "join"}),
        stripped(state_key=BOB),
        stripped(content={"membership": "join"}),
        stripped(content="invite"),
        {"type": "m.room.name", "state_key": "", "content": {"name": "Main"}},
    )
    batch = SyncBatch("s1", invited={ROOM: (*others, stripped())}, server_time=NOW)
    assert translate(batch, ME) == (Invited(ROOM, ANN, NOW),)
    assert translate(SyncBatch("s1", invited={ROOM: others}), ME) == ()
    assert translate(SyncBatch("s1", invited={ROOM: (stripped(sender="Ann"),)}), ME) == ()


@pytest.mark.parametrize(
    ("sender", "membership", "by", "banned"),
    [(ANN, "leave", ANN, False), (ANN, "ban", ANN, True), (ME, "leave", None, False)],
)
def test_a_departure_tells_who_caused_it(sender: str, membership: str, by: UserId | None, *, banned: bool) -> None:
    gone = raw("m.room.member", {"membership": membership}, sender, state_key=ME)
    batch = SyncBatch("s1", left={ROOM: RoomDelta(timeline=(text("bye"), gone))}, server_time=NOW)
    assert translate(batch, ME) == (Departed(ROOM, by, banned, NOW),)


def test_a_departure_of_which_nothing_is_told_is_one_all_the_same() -> None:
    assert translate(SyncBatch("s1", left={ROOM: RoomDelta()}, server_time=NOW), ME) == (
        Departed(ROOM, None, False, NOW),
    )


def test_the_rows_of_a_batch_are_its_state_in_order_whoever_wrote_it() -> None:
    first = raw("m.room.name", {"name": "A"}, state_key="")
    second = raw("m.room.name", {"name": "B"}, ME, state_key="")
    delta = RoomDelta((first,), (text("hi"), raw("m.room.topic", 3, state_key=""), second))
    rows = list(state_rows(SyncBatch("s1", {ROOM: delta}, left={RoomId("!gone"): delta})))
    assert [(row.room, row.type, row.content, row.sender) for row in rows] == [
        (ROOM, "m.room.name", {"name": "A"}, ANN),
        (ROOM, "m.room.topic", {}, ANN),
        (ROOM, "m.room.name", {"name": "B"}, ME),
    ]


# ------------------------------------------------------------------------------------- any JSON at all

words = st.sampled_from(
    [
        *("m.room.message", "m.reaction", "m.room.redaction", "m.room.member", "m.room.encrypted"),
        *("m.annotation", "m.thread", "m.replace", "m.text", "invite", "ban", "$0", ME, ANN),
    ]
)
fields = st.sampled_from(
    [
        *("event_id", "type", "sender", "state_key", "content", "origin_server_ts", "unsigned", "prev_content"),
        *("redacts", "body", "msgtype", "m.relates_to", "rel_type", "key", "m.in_reply_to", "membership", "events"),
    ]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields | st.text(), inner, max_size=6),
    max_leaves=30,
)
likely = st.fixed_dictionaries(
    {"event_id": st.just("$1") | anything, "type": words | anything, "sender": st.just(ANN) | anything},
    optional={
        "content": st.dictionaries(fields, anything, max_size=6) | anything,
        "state_key": words | anything,
        "redacts": anything,
        "unsigned": anything,
        "origin_server_ts": anything,
    },
)
sections = st.fixed_dictionaries({}, optional={"events": st.lists(likely | anything, max_size=4) | anything}) | anything
rooms = st.dictionaries(
    st.text(),
    st.fixed_dictionaries(
        {},
        optional={"state": sections, "timeline": sections, "invite_state": sections},
    )
    | anything,
    max_size=2,
)


@given(st.fixed_dictionaries({}, optional={"join": rooms, "invite": rooms, "leave": rooms}) | anything)
def test_no_answer_of_a_homeserver_raises(answer: Any) -> None:
    batch = batch_of({"next_batch": "s1", "rooms": answer}, None)
    translate(batch, ME)
    list(state_rows(batch))


@given(anything)
def test_an_answer_that_is_none_is_temporary_and_nothing_else(answer: Any) -> None:
    try:
        batch_of(answer if isinstance(answer, dict) else {"next_batch": answer}, None)
    except Temporary:
        return


@given(st.lists(likely | anything, max_size=4))
def test_events_from_elsewhere_than_sync_raise_neither(events: list[Any]) -> None:
    delta = RoomDelta(tuple(events), tuple(events))
    batch = SyncBatch("s1", {ROOM: delta}, {ROOM: tuple(events)}, {ROOM: delta})
    for item in translate(batch, ME):
        assert isinstance(item, Departed) or item.room == ROOM
    list(state_rows(batch))


def test_an_event_id_stays_what_it_was() -> None:
    (found,) = items({**text("hi"), "event_id": "$odd id"})
    assert isinstance(found, Message)
    assert found.event_id == EventId("$odd id")
