"""What each deed costs, counted and not timed: requests to the homeserver, and commits of the store.

Whoever changes a number here says why in the commit. A class of twelve in three rooms; on a server that throttles, each
request is five seconds. Requests are counted exactly; commits differ by a few, as workers meet in another order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from bot.testing.harness import Room, Talk, conversation

PEOPLE = tuple(f"p{number}" for number in range(12))


async def cost(talk: Talk, room: Room, text: str) -> tuple[Mapping[str, int], int]:
    """The requests by kind, and the commits, that Ann causes by this."""
    before, calls = commits(talk), len(talk.homeserver.calls)
    await room.says("@ann", text)
    return Counter(call[0] for call in talk.homeserver.calls[calls:]), commits(talk) - before


def commits(talk: Talk) -> int:
    return talk.app._database.commits


async def test_what_a_session_costs() -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann"], people=PEOPLE)
        requests, writes = await cost(talk, room, "!breakout setup 3")
        # The desk and its welcome, two boards, one control, the answer; the note of the account.
        assert requests == {"create": 1, "send": 5, "set_account_data": 1}
        assert writes <= 14

        talk.user("ann").join(talk.room_named("Moderators of").id)
        await talk.settled()
        requests, writes = await cost(talk, room, "!breakout start 20m")
        # Each room with all who go there is one request. In each a welcome, its control and the time; two boards, two
        # controls of the desk's; the answer, "open until" with its control.
        assert requests == {"create": 3, "send": 16, "set_account_data": 1}
        assert writes <= 26

        before = commits(talk)
        for name in ("Room 1", "Room 2", "Room 3"):
            breakout = talk.room_named(name)
            for person in sorted(breakout.invited):
                talk.user(person).join(breakout.id)
                await talk.settled()
        # Each joins by itself: what sync brings and what it causes, then the seats and boards of the pass.
        assert commits(talk) - before <= 26
        requests, writes = await cost(talk, room, "!breakout broadcast Hello")
        assert requests == {"send": 4}  # one a room, and the receipt
        assert writes <= 10

        requests, writes = await cost(talk, room, "!breakout status")
        assert requests == {"send": 1}
        assert writes <= 5

        requests, writes = await cost(talk, room, "!breakout end now")
        assert requests == {"set_state": 3, "send": 8, "remove": 12, "set_account_data": 1}
        assert writes <= 24


async def test_what_it_costs_to_move_everybody() -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann"], people=PEOPLE)
        await room.says("@ann", "!breakout setup 3")
        await room.says("@ann", "!breakout start")
        rooms = [talk.room_named(f"Room {number}") for number in (1, 2, 3)]
        groups = [sorted(breakout.invited) for breakout in rooms]
        for breakout, group in zip(rooms, groups, strict=True):
            for person in group:
                talk.user(person).join(breakout.id)
        await talk.settled()
        await talk.passes(30)  # the boards are as they stay

        lines = [f"Room {number % 3 + 1}: {' '.join(group)}" for number, group in enumerate(groups, 1)]
        requests, _ = await cost(talk, room, "!breakout assign\n" + "\n".join(lines))
        # In each room one message asks those who are to go; and the answer.
        assert requests == {"invite": 12, "send": 3 + 1}

        before = len(talk.homeserver.calls)
        for breakout, group in zip([*rooms[1:], rooms[0]], groups, strict=True):
            for person in group:
                talk.user(person).join(breakout.id)
        await talk.settled()
        requests = Counter(call[0] for call in talk.homeserver.calls[before:])
        assert requests["remove"] == 12
        assert [sum("have come: welcome" in said for said in breakout.said) for breakout in rooms] == [1, 1, 1]
        for breakout, group in zip([*rooms[1:], rooms[0]], groups, strict=True):
            told = next(said for said in breakout.said if "have come" in said)
            assert all(person.partition(":")[0].removeprefix("@") in told.casefold() for person in group)
