"""A class and its breakout rooms, as the conversations of these tests need them."""

from __future__ import annotations

from bot.testing.harness import Room, Talk

CLASS = ("bob", "cleo", "dan", "eve")
PLAN = "!breakout setup manual\nRed: @bob @cleo\nGreen: @dan @eve"


async def a_class(talk: Talk) -> Room:
    """Ann's class of four."""
    return await talk.main_room(moderators=["ann"], people=CLASS)


async def planned(talk: Talk) -> Room:
    """The class with Bob and Cleo in Red, Dan and Eve in Green."""
    room = await a_class(talk)
    await room.says("@ann", PLAN)
    return room


async def started(talk: Talk, command: str = "!breakout start") -> Room:
    """The same, running; nobody has accepted yet."""
    room = await planned(talk)
    await room.says("@ann", command)
    return room


async def under_way(talk: Talk, command: str = "!breakout start") -> Room:
    """The same, and everybody is in."""
    room = await started(talk, command)
    for person, color in (("bob", "Red"), ("cleo", "Red"), ("dan", "Green"), ("eve", "Green")):
        talk.user(person).join(talk.room_named(color).id)
    await talk.settled()
    return room


async def at_the_desk(talk: Talk) -> Room:
    """Ann has come to the desk."""
    desk = talk.room_named("Moderators of")
    talk.user("ann").join(desk.id)
    await talk.settled()
    return desk
