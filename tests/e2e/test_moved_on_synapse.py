"""The two ways in which a Synapse takes people into their rooms without a tap."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bot.testing.pytest_plugin import People
from bot.testing.raw import RawUser
from bot.testing.synapse import Homeserver, SynapseMissing
from tests.e2e.test_session_on_synapse import bot_on

pytestmark = pytest.mark.synapse


@pytest_asyncio.fixture
async def accepting() -> AsyncIterator[Homeserver]:
    """A Synapse that accepts invites for its people."""
    try:
        async with Homeserver(settings={"auto_accept_invites": {"enabled": True}}) as server:
            yield server
    except SynapseMissing as reason:
        pytest.skip(str(reason))


async def a_class(mia: RawUser, guests: list[RawUser], bot: str) -> str:
    """A main room with everybody in it; the bot is invited last."""
    main = await mia.create_room("Class 7b", powers={bot: 100})
    for guest in guests:
        await mia.invite(main, guest.user_id)
        await guest.join(main)
    await mia.invite(main, bot)
    return main


async def is_played(mia: RawUser, guests: list[RawUser], main: str) -> None:
    """From the greeting to the end, nobody tapping anything."""
    await mia.message("setup 4", main)
    await mia.say(main, "!breakout setup 2")
    await mia.message("2 breakout rooms are planned", main)
    await mia.say(main, "!breakout start")
    rooms = []
    for guest in guests:
        welcome = await guest.message("Welcome to")
        assert "Ann" in welcome.body or "Bob" in welcome.body
        rooms.append(welcome.room)
        await guest.membership(welcome.room, guest.user_id, "join")
    assert len(set(rooms)) == 2
    await mia.say(main, "!breakout status")
    await mia.message("1 of 1 here", main)
    await mia.say(main, "!breakout end now")
    for guest, room in zip(guests, rooms, strict=True):
        await guest.membership(room, guest.user_id, "leave")


async def test_a_bot_that_is_an_admin_brings_people_in(homeserver: Homeserver, people: People, tmp_path: Path) -> None:
    mia = await people("Mia")
    guests = [await people(name) for name in ("Ann", "Bob")]
    for guest in guests:
        guest.listen()
    async with bot_on(homeserver, people.localpart("breakout"), tmp_path, members="force_join") as bot:
        await homeserver.make_admin(bot)
        await is_played(mia, guests, await a_class(mia, guests, bot))


async def test_synapse_accepts_the_invites_of_its_people(accepting: Homeserver, people: People, tmp_path: Path) -> None:
    mia = await people("Mia", on=accepting)
    guests = [await people(name, on=accepting) for name in ("Ann", "Bob")]
    for guest in guests:
        guest.listen()
    async with bot_on(accepting, people.localpart("breakout"), tmp_path) as bot:
        await is_played(mia, guests, await a_class(mia, guests, bot))


async def test_a_bot_whose_invites_are_accepted_for_it_leaves_where_it_may_not_be(
    accepting: Homeserver, people: People, tmp_path: Path
) -> None:
    mia = await people("Mia", on=accepting)
    async with bot_on(accepting, people.localpart("breakout"), tmp_path, allowed_inviters=["@boss:*"]) as bot:
        main = await mia.create_room("Class 7b", powers={bot: 100})
        await mia.invite(main, bot)
        await mia.membership(main, bot, "leave")
