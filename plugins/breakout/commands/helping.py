"""Help requests, from both sides, and visits."""

from __future__ import annotations

from bot.message.doc import Doc
from bot.plugin import Call, Rest, Role, Tick
from plugins.breakout import parsers, views
from plugins.breakout.commands.calling import call_for_help, is_in_breakout_room
from plugins.breakout.commands.general import help_about, help_overview, names_no_command
from plugins.breakout.commands.places import ANYWHERE, IN_BREAKOUT, it, knowing
from plugins.breakout.declaration import plugin
from plugins.breakout.domain.changes import help as helping
from plugins.breakout.domain.changes.seats import go_back
from plugins.breakout.subject import Plug

SECTION = "Help requests"
IN_A_ROOM = "In a breakout room"

ME = "me"
"""The name of a command, but `!help me` is what people in trouble type."""


@plugin.command(
    "breakout queue",
    role=Role.MODERATOR,
    where=ANYWHERE,
    examples=("breakout queue",),
    parse=knowing(parsers.nothing),
    section=SECTION,
)
async def queue(call: Call[Plug], _: None) -> Doc:
    """Lists who waits for help, the oldest first."""
    about = it(call)
    return views.queue(await about.scene(), helping.queue(about.session))


@plugin.command(
    "breakout claim",
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("3",),
    examples=("breakout claim 2",),
    parse=knowing(parsers.room("claim")),
    section=SECTION,
)
async def claim(call: Call[Plug], number: int) -> Doc:
    """Tells a room that you are coming, and gives you its link."""
    about = it(call)
    needs_invite = await about.needs_invite()
    change = helping.claim(about.session, number, about.asker, now=call.unit.now, needs_invite=needs_invite)
    return views.claimed(await about.settle(change), change.told, invited=needs_invite)


@plugin.command(
    "breakout resolve",
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("3",),
    examples=("breakout resolve 2",),
    parse=knowing(parsers.room("resolve")),
    section=SECTION,
)
async def resolve(call: Call[Plug], number: int) -> Tick:
    """Closes a help request."""
    about = it(call)
    change = helping.resolve(about.session, number, about.asker)
    await about.settle(change)
    return Tick()


@plugin.command(
    "breakout visit",
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("Alpha", "next"),
    examples=("breakout visit 2", "breakout visit next"),
    parse=knowing(parsers.room_or_next),
    section=SECTION,
)
async def visit(call: Call[Plug], number: int | None) -> Doc:
    """Gives you the link of a room; `next` is the one that nobody has visited for longest."""
    about = it(call)
    number = helping.next_to_visit(about.session, number)
    needs_invite = await about.needs_invite()
    guest = about.asker if needs_invite else None
    change = helping.visit(about.session, number, now=call.unit.now, guest=guest)
    return views.visit(await about.settle(change), change.told, invited=needs_invite)


@plugin.command(
    "help",
    usage=("", "what you need", "cancel"),
    examples=("help we are stuck", "help cancel"),
    section=SECTION,
)
async def ask(call: Call[Plug], text: Rest = "") -> Doc:
    """Asks a moderator to come to your breakout room; `help cancel` takes it back.

    In the main room, say what you need: `help I cannot get in` calls them too. Alone, or with the name of a
    command, `help` is about the commands there; `help me` is a call. To a moderator it is always about the commands.
    """
    if call.standing.role >= Role.MODERATOR:
        return help_about(call, text)
    if is_in_breakout_room(call) or (names_no_command(call, text) or text.strip().casefold() == ME):
        return await call_for_help(call, text)
    return help_about(call, text)


@plugin.command("back", where=IN_BREAKOUT, examples=("back",), section=IN_A_ROOM)
async def back(call: Call[Plug]) -> Doc:
    """Gives you the link to the main room; your seat stays yours."""
    about = it(call)
    seat = about.session.seats.get(about.asker) if about.session else None
    if seat is not None:
        return views.back(await about.settle(go_back(about.session, about.asker)))
    return views.back(await about.scene())


@plugin.command("time", where=IN_BREAKOUT, examples=("time",), section=IN_A_ROOM)
async def time(call: Call[Plug]) -> Doc:
    """Says how much time is left."""
    return views.time_left(await it(call).scene())


@plugin.command("commands", where=IN_BREAKOUT, examples=("commands",), section=IN_A_ROOM)
async def commands(call: Call[Plug]) -> Doc:
    """Lists what you can type here."""
    return help_overview(call)
