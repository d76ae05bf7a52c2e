"""What people and moderators do while a request of ours is under way: in the end everybody is where they should be."""

from __future__ import annotations

from asyncio import Event, sleep
from itertools import count
from typing import Any

import pytest

from bot.matrix.ids import RoomId
from bot.matrix.ports import Blueprint, Wanted
from bot.testing.harness import Room, Talk, conversation, user_id
from plugins.breakout.controller import Controller, Work
from plugins.breakout.under_way import LOOK_UP
from tests.conversation.breakout import a_class, planned, started


async def heard(talk: Talk) -> None:
    """The bot knows all that happened; what it is doing goes on."""
    await talk.homeserver.taken_in()
    await talk.app._caught_up()


async def red_is_chosen(talk: Talk) -> Room:
    """Bob has chosen Red, and the rooms are open."""
    room = await a_class(talk)
    await room.says("@ann", "!breakout setup Red, Green choose")
    await room.says("@bob", "!breakout choose Red")
    await room.says("@ann", "!breakout start")
    return room


async def test_who_declines_before_the_answer_to_the_creation_comes_has_declined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with conversation() as talk:
        room = await planned(talk)
        create = talk.homeserver.create

        async def slow(plan: Blueprint, key: str, wanted: Wanted | None = None) -> RoomId:
            made = await create(plan, key, wanted)
            if plan.name.startswith("Green"):
                talk.user("dan").leave(made)
                await heard(talk)
            return made

        monkeypatch.setattr(talk.homeserver, "create", slow)
        await room.says("@ann", "!breakout start")
        assert "Dan (declined)" in await room.says("@ann", "!breakout status")
        await room.says("@dan", "!breakout rejoin")
        assert talk.room_named("Green ·").invited == {"dan", "eve"}


async def test_whose_invite_is_withdrawn_while_they_accept_it_and_it_is_theirs_again_is_invited_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with conversation() as talk:
        room = await started(talk)
        red, remove, tries = talk.room_named("Red ·"), talk.homeserver.remove, count()

        async def slow(*arguments: Any) -> None:
            if next(tries) == 0:
                talk.user("ann").say(room.id, "!breakout assign @bob to Red")
                await heard(talk)
                talk.user("bob").join(red.id)
                await heard(talk)
            room_id, user, reason, _ = arguments
            await remove(room_id, user, reason)  # its turn had come before

        monkeypatch.setattr(talk.homeserver, "remove", slow)
        await talk.passes(1)
        await room.says("@ann", "!breakout unassign @bob")
        await talk.passes(10)
        assert "bob" in red.invited


@pytest.mark.parametrize("said", ["!breakout assign @bob to Green", "!breakout end now"])
async def test_an_invite_that_waits_for_its_turn_goes_only_where_it_is_still_wanted(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with conversation() as talk:
        room = await started(talk)
        red, invite, waiting = talk.room_named("Red ·"), talk.homeserver.invite, count()

        async def slow(*arguments: Any) -> None:
            if next(waiting) == 0:
                talk.user("ann").say(room.id, said)
                await heard(talk)
            await invite(*arguments)

        await room.says("@ann", "!breakout unassign @bob")
        monkeypatch.setattr(talk.homeserver, "invite", slow)
        await room.says("@ann", "!breakout assign @bob to Red")
        await talk.passes(5)
        invites = [event for event in red.raw.events if event.get("state_key") == user_id("bob")]
        assert [event["content"]["membership"] for event in invites] == ["invite", "leave"]


async def test_the_acceptance_of_an_invite_from_before_a_move_is_no_choice() -> None:
    async with conversation() as talk:
        room = await red_is_chosen(talk)
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        talk.homeserver.fail("remove", times=2)
        talk.user("ann").say(room.id, "!breakout assign @bob to Green")
        await heard(talk)
        assert red.raw.membership(user_id("bob")) == "invite"
        talk.user("bob").join(red.id)
        await talk.settled()
        await talk.passes(120)
        assert "bob" in green.invited
        assert "bob" not in red.joined


async def test_the_acceptance_of_an_invite_from_before_ones_seat_was_taken_away_is_no_choice() -> None:
    async with conversation() as talk:
        room = await red_is_chosen(talk)
        red = talk.room_named("Red ·")
        talk.homeserver.fail("remove", times=2)
        talk.user("ann").say(room.id, "!breakout unassign @bob")
        await heard(talk)
        talk.user("bob").join(red.id)
        await talk.settled()
        await talk.passes(120)
        assert "bob" not in red.joined


async def test_the_last_room_that_somebody_goes_to_is_their_choice_invited_or_not() -> None:
    async with conversation() as talk:
        await red_is_chosen(talk)
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        talk.homeserver.fail("remove", times=2)
        talk.user("bob").join(green.id)
        await heard(talk)
        talk.user("bob").join(red.id)
        await talk.settled()
        await talk.passes(120)
        assert "bob" in red.joined
        assert "bob" not in green.joined


def watched(monkeypatch: pytest.MonkeyPatch) -> Event:
    """Is set when a main room has been looked at."""
    look, looked = Controller._look, Event()

    async def looks(controller: Controller, main: RoomId) -> Work:
        work = await look(controller, main)
        looked.set()
        return work

    monkeypatch.setattr(Controller, "_look", looks)
    return looked


async def test_nobody_is_invited_to_a_desk_that_is_being_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async with conversation() as talk:
        room = await planned(talk)
        desk, leave, going, may_go = talk.room_named("Moderators of"), talk.homeserver.leave, Event(), Event()

        async def slow(where: RoomId, reason: str = "") -> None:
            if where == desk.id:
                going.set()
                await may_go.wait()
            await leave(where, reason)

        monkeypatch.setattr(talk.homeserver, "leave", slow)
        await room.says("@ann", "!breakout delete")
        talk.user("ann").say(room.id, "!breakout delete confirm")
        await going.wait()
        looked = watched(monkeypatch)
        talk.user("ann").say(room.id, "!breakout setup 2")
        await heard(talk)
        talk.clock.advance(LOOK_UP)
        await looked.wait()
        for _ in range(100):  # whatever that look found to do is begun by now
            await sleep(0)
        may_go.set()
        await talk.settled()
        assert desk.raw.membership(user_id("ann")) == "leave"
        assert talk.room_named("Moderators of").id != desk.id
        assert talk.room_named("Moderators of").invited == {"ann"}
