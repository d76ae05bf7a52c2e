"""Setting up rooms, and finding out who is here."""

from __future__ import annotations

import secrets
from dataclasses import replace
from random import SystemRandom

from bot.message.doc import Doc
from bot.plugin import Call, Outcome, Role, Tick
from plugins.breakout import layouts, parsers, views
from plugins.breakout.announce import ask_who_is_here, show_fresh_board
from plugins.breakout.commands.places import ANYWHERE, it, knowing
from plugins.breakout.declaration import plugin
from plugins.breakout.domain.changes import rooms, seats, setup
from plugins.breakout.domain.changes.setup import Layout
from plugins.breakout.domain.estimate import PLAN_SAYS
from plugins.breakout.domain.model import Door
from plugins.breakout.domain.refusals import NoSession
from plugins.breakout.store import Desk, Sessions
from plugins.breakout.subject import BREAKOUT, Plug

SECTION = "Set up"
chance = SystemRandom()


def new_id() -> str:
    """The id of a new session: short, since it is part of keys that people may see in logs."""
    return secrets.token_hex(4)


@plugin.command(
    "breakout setup",
    aliases=("breakout create", "breakout set up"),
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("4", "Team Alpha, Team Beta", "groups of 4", "4 choose max 8", "4 here", "4 open"),
    examples=(
        "breakout setup 4",
        "breakout setup Team Alpha, Team Beta",
        "breakout setup groups of 4",
        "breakout setup 3 choose",
        "breakout setup 5 here",
    ),
    parse=knowing(layouts.layout),
    section=SECTION,
    leads=1,
)
async def set_up(call: Call[Plug], layout: Layout) -> Doc:
    """Plans the rooms and deals the seats; nobody is invited before `start`.

    Say how many rooms, their names with commas between them, or how many people to a group. Add `manual` to seat
    people yourself, `choose` to let them choose, `here` to seat only those who are here, `everyone` to seat
    moderators too, `open` to have people walk in by links instead of inviting them. With `manual`, lines below such
    as `Team Alpha: @ann @bob` are the whole plan.
    """
    about = it(call)
    change = setup.set_up(
        about.session,
        layout,
        main=about.hall.id,
        session_id=new_id(),
        by=about.asker,
        people=about.hall.people,
        settings=call.state.settings,
        rng=chance,
    )
    sessions = Sessions(call.unit.connection)
    desk = about.desk or Desk(about.hall.id)
    if not desk.wanted or about.desk is None:
        await sessions.save_desk(Desk(desk.main, desk.room, desk.attempt, wanted=True))
    scene = await about.settle(change, fresh_board=True)
    seconds = about.seconds_to_start(scene, answers=2, messages=PLAN_SAYS)
    seconds_open = about.seconds_to_start(scene, answers=2, messages=PLAN_SAYS, door=Door.OPEN)
    return views.set_up(scene, change.told, seconds, seconds_open)


@plugin.command(
    "breakout checkin",
    aliases=("breakout check in", "breakout check-in", "breakout who is here"),
    role=Role.MODERATOR,
    where=ANYWHERE,
    examples=("breakout checkin",),
    parse=knowing(parsers.nothing),
    section=SECTION,
)
async def check_in(call: Call[Plug], _: None) -> Tick:
    """Asks in the main room who is here; people tap ✋, and `setup 4 here` seats only them."""
    about = it(call)
    change = setup.check_in(about.session, main=about.hall.id, session_id=new_id(), by=about.asker)
    scene = await about.settle(change)
    await ask_who_is_here(call.unit, scene, call.message.event_id)
    return Tick()


@plugin.command(
    "breakout add",
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("Team Gamma",),
    examples=("breakout add Team Gamma",),
    parse=knowing(parsers.add),
    section=SECTION,
)
async def add(call: Call[Plug], asked: parsers.AddRooms | parsers.Assign) -> Outcome:
    """Adds a room, also while the session runs."""
    about = it(call)
    if isinstance(asked, parsers.Assign):
        seated = seats.assign(about.session, asked.seats, people=about.hall.people)
        return views.assigned(await about.settle(seated), seated.told)
    change = rooms.add_rooms(about.session, asked.names, settings=call.state.settings)
    return views.rooms_added(await about.settle(change), change.told)


@plugin.command(
    "breakout remove",
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("Gamma",),
    examples=("breakout remove 2",),
    parse=knowing(parsers.remove),
    section=SECTION,
)
async def remove(call: Call[Plug], asked: parsers.RemoveRoom | parsers.Unassign) -> Outcome:
    """Removes a room; its people lose their seats and are told."""
    about = it(call)
    if isinstance(asked, parsers.Unassign):
        free = seats.unassign(about.session, asked.users)
        return views.unassigned(await about.settle(free), free.told)
    change = rooms.remove_room(about.session, asked.number, now=call.unit.now)
    return views.room_removed(await about.settle(change), change.told)


@plugin.command(
    "breakout rename",
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("Gamma to Delta",),
    examples=("breakout rename 2 to Team Delta",),
    parse=knowing(parsers.rename),
    section=SECTION,
)
async def rename(call: Call[Plug], asked: parsers.Rename) -> Doc:
    """Gives a room another name."""
    about = it(call)
    change = rooms.rename_room(about.session, asked.number, asked.name)
    return views.room_renamed(await about.settle(change), change.told)


@plugin.command(
    "breakout task",
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("all Discuss …", "Alpha Discuss …"),
    examples=("breakout task all Discuss chapter 3", "breakout task 1 Read page 12"),
    parse=knowing(parsers.room_text("task")),
    section=SECTION,
)
async def task(call: Call[Plug], asked: parsers.RoomText) -> Doc:
    """Sets the task of a room, or of all: it stands in the topic and in the welcome."""
    about = it(call)
    change = rooms.set_task(about.session, asked.number, asked.text.plain, now=call.unit.now)
    return views.task_changed(await about.settle(change), change.told)


@plugin.command(
    "breakout status",
    aliases=("breakout board", "breakout list", "breakout who"),
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("", "Alpha"),
    examples=("breakout status", "breakout status 2"),
    parse=knowing(parsers.room_or_nothing("status")),
    section=SECTION,
    leads=5,
)
async def status(call: Call[Plug], number: int | None) -> Doc | None:
    """Shows who is where on a fresh board; with a room, its people."""
    about = it(call)
    session = about.session
    if session is None or not session.open_rooms:
        raise NoSession("status")
    scene = await about.scene()
    if number is not None:
        return views.status_of_room(scene, number)
    if about.place.kind == BREAKOUT:
        return replace(views.board(scene), keycaps=())
    await show_fresh_board(call.unit, scene, call.message.room)
    return None
