"""What people read of rooms that are there ahead of the start or after the end, and of rooms into which they walk."""

from __future__ import annotations

from datetime import timedelta

from bot.matrix.ids import UserId
from bot.message.doc import Bullets, Doc, Para, Text, doc
from plugins.breakout.domain import notices as n
from plugins.breakout.domain.model import Door, Mode, Room
from plugins.breakout.scene import Scene
from plugins.breakout.views.words import length, listed, mentioned, people, say

MOST_PINGS = 300
"""People pinged by one message: their ids weigh 10 KB."""


LONG = 10.0
"""Seconds of a start from which on another door is worth a word."""


def faster_door(scene: Scene, seconds: float, seconds_open: float) -> tuple[Para, ...]:
    """Which door is much faster where a start is long; `seconds_open`: what it takes with the door open."""
    if seconds < LONG:
        return ()
    p = scene.prefix
    if seconds_open > seconds / 2:
        return (say("With `{p} prepare` now, the start is felt at once.", p=p),)
    return (
        say(
            "With `{p} prepare` now, the start is felt at once; with `open` at the end of `{p} setup`, people walk in "
            "by links, nobody is invited, and it takes about {time}.",
            p=p,
            time=length(timedelta(seconds=max(1.0, seconds_open))),
        ),
    )


def welcome_prepared(scene: Scene, number: int) -> Doc:
    """Ahead of the start: who belongs here, and that it opens later."""
    session, room = scene.plan, scene.plan.room(number)
    users = [seat.user for seat in session.people_of(number)]
    head = say(
        "This will be your room **{room}**; it opens when {main} starts.", room=room.name, main=scene.main_link()
    )
    who = [say("Seated here: {people}.", people=people(scene, users))] if users else []
    until = say("Until then you can only read here. Moderators can enter and read.")
    return doc(head, who, until)


def main_prepared(scene: Scene) -> Doc:
    """Ahead of the start: what the invitations are, and when the rooms open; where there are none, to moderators."""
    session = scene.plan
    if session.door is Door.OPEN:
        return doc(
            say("The breakout rooms are prepared; nobody is told of them yet."),
            say("`{p} start` says who goes where, and people walk in by the links.", p=scene.prefix),
        )
    if session.mode is Mode.CHOOSE:
        how = say("Choose a room with its number on the board, or `{p} choose 2`.", p=scene.prefix)
    elif not session.seats:
        return doc(say("The breakout rooms are prepared. Nobody has a seat yet; whoever gets one is invited."))
    else:
        name = f"{session.open_rooms[0].name} · {scene.main_name}"
        how = say("You can open your invitation, such as **{name}**, and accept it now.", name=name)
    head = say("The breakout rooms are prepared. You can read in yours until it opens at the start.")
    return doc(head, how)


def delete_soon(scene: Scene, notice: n.DeleteSoon) -> Doc:
    """The rooms will be gone, unless somebody opens them."""
    end = scene.clock(notice.at)
    if scene.plan.is_prepared:
        return doc(
            say("The prepared breakout rooms were not started, and will be deleted at {end}.", end=end),
            say("`{p} start` opens them before, `{p} prepare` keeps them longer.", p=scene.prefix),
        )
    return doc(
        say("The closed breakout rooms will be deleted at {end}.", end=end),
        say("`{p} start` opens them again before.", p=scene.prefix),
    )


def open_started(scene: Scene) -> Doc:
    """The rooms are open, and people walk in: each finds their name and, beside it, the link."""
    session = scene.plan
    if session.ends_at is not None:
        head = say("Breakout rooms are open until {end}.", end=scene.clock(session.ends_at))
    else:
        head = say("Breakout rooms are open.")
    if session.mode is Mode.CHOOSE:
        how = say("Open the link of the room that you want, or of the one that you have chosen.")
    else:
        how = say("Find your name, and open the link of the room before it.")
    stay = say("You stay in this room too. If the link does not open, tap 🔁 for an invitation.")
    lines = Bullets(tuple(_people_of(scene, room) for room in session.open_rooms))
    pings = [UserId(user) for user in session.seats if user not in session.passed]
    if len(pings) > MOST_PINGS:
        pings = []
    return Doc(doc(head, how, stay, lines).blocks, loud=True, keycaps=("🔁",), pings=tuple(pings))


def _people_of(scene: Scene, room: Room) -> Para:
    """A room's link and all of its people by name: whoever is left out would not know where to go."""
    seats = scene.plan.people_of(room.number)
    names = listed([scene.name(seat.user) for seat in seats if seat.user not in scene.plan.passed])
    later = say("{room} (its link follows)", room=room.name).parts
    where = (scene.room(room.number),) if room.room_id else later
    return Para((*where, Text(": "), *(names or say("nobody yet").parts)))


def room_ready(scene: Scene, notice: n.RoomReady) -> Doc:
    """For those whose room was not there yet when the others were told."""
    who, room = mentioned(scene, notice.users), scene.room(notice.room)
    return doc(say("{people}: your breakout room is ready. Open its link: {room}", people=who, room=room)).aloud()


def room_closed(scene: Scene) -> Doc:
    """It is over, and where to go."""
    if scene.plan.kept:
        head = say("This room is closed for now. You can still read it, until it opens again or is deleted.")
        return doc(head, say("Go back to {main}; thank you for taking part.", main=scene.main_link())).aloud(room=True)
    return doc(say("This room is closed. Go back to {main}; thank you for taking part.", main=scene.main_link())).aloud(
        room=True
    )
