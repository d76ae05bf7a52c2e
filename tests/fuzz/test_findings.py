"""What the fuzzer found, each as the shortest story that shows it."""

from __future__ import annotations

from typing import Any

import pytest

from bot.testing.harness import conversation
from tests.conversation.breakout import under_way
from tests.fuzz.laws import check
from tests.fuzz.strategies import Act, Calls, Sends, Sets, Waits, nested


def says(who: str, place: str, body: str, **more: Any) -> Sends:
    return Sends(who, place, "m.room.message", {"msgtype": "m.text", "body": body, **more})


def test_a_message_nested_deeply_keeps_nobody_elses_back() -> None:
    check("none", [says("bob", "main", "hello", odd=nested(400))])


def test_a_display_name_of_a_whole_event_leaves_the_board_as_small_as_it_was() -> None:
    status = says("ann", "main", "!breakout status")
    check("running", [Calls("bob", "main", {"displayname": "N" * 30_000}), status, Waits(15), status])


@pytest.mark.parametrize("name", ["thread", "reply"])
def test_a_relation_to_an_endless_id_is_not_repeated(name: str) -> None:
    endless = "$" + "x" * 60_000
    thread: dict[str, Any] = {"rel_type": "m.thread", "event_id": endless}
    relation = thread if name == "thread" else {"m.in_reply_to": {"event_id": endless}}
    check("running", [says("bob", "main", "!breakout me", **{"m.relates_to": relation})])


@pytest.mark.parametrize(
    "line",
    ["!breakout rename " + "to " * 15_000, "!breakout assign " + "to " * 15_000, "!breakout assign " + "a b " * 10_000],
)
def test_a_line_of_tos_takes_no_longer_than_another(line: str) -> None:
    acts: list[Act] = [Calls("bob", "main", {"displayname": "a " * 10_000}), says("ann", "main", line)]
    check("running", acts)


@pytest.mark.parametrize("relation", [5, "m.in_reply_to", ["m.in_reply_to"]])
async def test_a_message_with_a_relation_that_is_none_can_be_passed_on(relation: Any) -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        original = talk.user("bob").say(room.id, "Look at this", **{"m.relates_to": relation})
        await room.says("@ann", "!breakout broadcast", **{"m.relates_to": {"m.in_reply_to": {"event_id": original}}})
        assert "Look at this" in "".join(talk.room_named("Red ·").said)


async def test_a_redaction_in_another_room_takes_no_copy_back() -> None:
    """Whoever has a room of their own may redact there what they like; it says nothing of other rooms' events."""
    async with conversation() as talk:
        room = await under_way(talk)
        mallory = talk.user("mallory")
        own = mallory.create_room("Mine")
        mallory.invite(own, talk.homeserver.me)
        await talk.settled()
        await room.says("@ann", "!breakout broadcast Ten more minutes")
        original = room.raw.messages[-2]["event_id"]
        red = talk.room_named("Red ·")
        mallory.redact(own, original)
        await talk.settled()
        assert "Ten more minutes" in red.said[-1]
        talk.user("ann").redact(room.id, original)
        await talk.settled()
        assert "Ten more minutes" not in red.said[-1]


def test_a_second_creation_event_breaks_nothing() -> None:
    check("running", [Sets("ann", "red", "m.room.create", " ", {}), says("ann", "main", "!breakout status")])
