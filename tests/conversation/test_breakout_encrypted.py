"""Encrypted main rooms: what is made for them is encrypted, and who cannot be read is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.testing.clock import FakeClock
from bot.testing.fake import FakeHomeserver, FakeServer
from bot.testing.harness import Room, Talk, conversation, life
from tests.conversation.breakout import CLASS, PLAN, a_class

ENCRYPTION = "m.room.encryption"
MEGOLM = {"algorithm": "m.megolm.v1.aes-sha2"}
HINT = "I cannot decrypt this message"


async def a_private_class(talk: Talk) -> Room:
    """Ann's class, encrypted as clients make private rooms."""
    return await talk.main_room(moderators=["ann"], people=CLASS, initial=[(ENCRYPTION, "", MEGOLM)])


def secret(talk: Talk, room: Room, who: str, session: str = "s") -> str:
    """Somebody says what the bot cannot read."""
    return talk.user(who).send(room.id, "m.room.encrypted", {**MEGOLM, "session_id": session, "ciphertext": "x"})


@pytest.mark.parametrize(
    ("setting", "main", "made"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("always", False, True),
        ("never", True, False),
        (None, True, True),
    ],
)
async def test_rooms_and_desk_are_encrypted_as_the_main_room_is(setting: str | None, main: bool, made: bool) -> None:
    config: dict[str, Any] = {} if setting is None else {"encryption": setting}
    async with conversation({"breakout": config}) as talk:
        room = await (a_private_class(talk) if main else a_class(talk))
        await room.says("@ann", PLAN)
        await room.says("@ann", "!breakout start")
        for name in ("Red ·", "Green ·", "Moderators of"):
            assert (talk.room_named(name).raw.content(ENCRYPTION) == MEGOLM) is made


async def test_a_main_room_that_becomes_encrypted_takes_its_rooms_along() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", PLAN)
        await room.says("@ann", "!breakout start")
        levels = dict(room.raw.content("m.room.power_levels"))
        levels["events"] = {**levels.get("events", {}), ENCRYPTION: 50}
        talk.server.set_state(talk.homeserver.me, room.id, "m.room.power_levels", levels)
        talk.user("ann").set_state(room.id, ENCRYPTION, MEGOLM)
        await talk.settled()
        for name in ("Red ·", "Green ·", "Moderators of"):
            assert talk.room_named(name).raw.content(ENCRYPTION) == MEGOLM


async def test_an_encrypted_room_is_greeted_like_any_other() -> None:
    async with conversation() as talk:
        room = await a_private_class(talk)
        assert room.said == []  # strict clients have to learn of our keys first
        await talk.passes(5)
        assert "!breakout setup 4" in room.said[0]


async def test_who_cannot_be_read_is_told_once_and_after_a_while() -> None:
    async with conversation() as talk:
        room = await a_private_class(talk)
        for _ in range(3):
            secret(talk, room, "ann")
        await talk.settled()
        assert not any(HINT in said for said in room.said)
        await talk.passes(180)
        secret(talk, room, "ann")
        await talk.passes(180)
        assert sum(HINT in said for said in room.said) == 1


async def test_where_nobody_can_be_read_few_are_told() -> None:
    async with conversation() as talk:
        room = await a_private_class(talk)
        for who in ("ann", *CLASS):
            secret(talk, room, who)
        await talk.passes(180)
        assert sum(HINT in said for said in room.said) == 3


async def test_a_command_whose_key_comes_late_is_carried_out_and_nobody_is_told() -> None:
    async with conversation() as talk:
        room = await a_private_class(talk)
        event = secret(talk, room, "ann")
        await talk.settled()
        talk.server.reveal(room.id, event, "m.room.message", {"msgtype": "m.text", "body": "!breakout setup 2"})
        await talk.settled()
        assert sum("2 breakout rooms are planned" in said for said in room.said) == 1
        await talk.passes(180)
        assert not any(HINT in said for said in room.said)


async def test_who_is_read_late_uses_up_nobodys_hint() -> None:
    async with conversation() as talk:
        room = await a_private_class(talk)
        for who in CLASS[:3]:
            event = secret(talk, room, who)
            await talk.settled()
            talk.server.reveal(room.id, event, "m.room.message", {"msgtype": "m.text", "body": "hello"})
            await talk.settled()
        for who in (CLASS[0], "ann"):  # of whom one was read late before
            secret(talk, room, who)
        await talk.passes(180)
        assert sum(HINT in said for said in room.said) == 2


@pytest.mark.parametrize(("down", "skipped"), [(timedelta(minutes=10), True), (timedelta(minutes=4), False)])
async def test_a_command_of_long_ago_is_skipped_though_its_key_comes_with_a_later_sync(
    tmp_path: Path, down: timedelta, *, skipped: bool
) -> None:
    server = FakeServer(FakeClock())
    homeserver = FakeHomeserver(server)
    async with life(server, homeserver, tmp_path) as talk:
        room = await a_private_class(talk)
    event = secret(talk, room, "ann")
    talk.clock.advance(down)
    async with life(server, homeserver, tmp_path) as talk:
        server.reveal(room.id, event, "m.room.message", {"msgtype": "m.text", "body": "!breakout setup 2"})
        await talk.settled()
        said = Room(talk, room.id).said
        assert any("I was away and skipped" in text for text in said) is skipped
        assert any("2 breakout rooms are planned" in text for text in said) is not skipped


async def test_what_was_said_before_the_bot_came_stays_history_when_its_key_comes_later() -> None:
    async with conversation() as talk:
        ann = talk.user("ann")
        room = ann.create_room("Class", moderators=[ann.id, talk.homeserver.me], initial=[(ENCRYPTION, "", MEGOLM)])
        ann.invite(room, talk.homeserver.me)
        event = ann.send(room, "m.room.encrypted", {**MEGOLM, "session_id": "s", "ciphertext": "x"})
        await talk.settled()
        assert talk.homeserver.me in talk.server.room(room).joined
        talk.server.reveal(room, event, "m.room.message", {"msgtype": "m.text", "body": "!breakout setup 2"})
        await talk.settled()
        assert not any("planned" in said for said in Room(talk, room).said)


async def relayed_file(talk: Talk, room: Room, words: str = "") -> str:
    """Ann has an encrypted file relayed; what the bot answers."""
    file = {"url": "mxc://test/abc", "key": {"k": "secret"}, "iv": "iv", "hashes": {"sha256": "x"}, "v": "v2"}
    original = talk.user("ann").say(room.id, "chart.png", msgtype="m.image", file=file)
    relation = {"m.in_reply_to": {"event_id": original}}
    return await room.says("@ann", f"!breakout broadcast {words}", **{"m.relates_to": relation})


async def test_an_encrypted_file_is_relayed_with_its_key_to_encrypted_rooms() -> None:
    async with conversation() as talk:
        room = await a_private_class(talk)
        await room.says("@ann", PLAN)
        await room.says("@ann", "!breakout start")
        assert "not encrypted" not in await relayed_file(talk, room)
        for name in ("Red ·", "Green ·"):
            assert talk.room_named(name).raw.messages[-1]["content"]["file"]["key"] == {"k": "secret"}


@pytest.mark.parametrize("words", ["", "Look at this"])
async def test_an_encrypted_file_does_not_go_to_rooms_without_encryption(words: str) -> None:
    async with conversation({"breakout": {"encryption": "never"}}) as talk:
        room = await a_private_class(talk)
        await room.says("@ann", PLAN)
        await room.says("@ann", "!breakout start")
        answer = await relayed_file(talk, room, words)
        assert "That file is encrypted and Red and Green are not" in answer
        assert ("Said in" in answer) is bool(words)
        for name in ("Red ·", "Green ·"):
            assert not any("file" in event["content"] for event in talk.room_named(name).raw.messages)


@pytest.mark.parametrize(
    ("setting", "private", "remark"),
    [
        ("never", True, "Red and Green are not encrypted, though this room is."),
        ("always", False, "Red and Green are encrypted, though this room is not."),
        ("auto", True, ""),
        ("auto", False, ""),
    ],
)
async def test_a_moderator_is_told_where_a_text_leaves_encryption(setting: str, private: bool, remark: str) -> None:
    async with conversation({"breakout": {"encryption": setting}}) as talk:
        room = await (a_private_class(talk) if private else a_class(talk))
        await room.says("@ann", PLAN)
        await room.says("@ann", "!breakout start")
        receipt = await room.says("@ann", "!breakout broadcast Hello")
        assert remark in receipt
        assert ("encrypted" in receipt) is bool(remark)
