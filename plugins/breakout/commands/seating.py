"""Who sits where."""

from __future__ import annotations

from random import SystemRandom

from bot.message.doc import Doc
from bot.plugin import Call, Role
from plugins.breakout import parsers, views
from plugins.breakout.commands.places import ANYWHERE, it, knowing
from plugins.breakout.declaration import plugin
from plugins.breakout.domain.changes import seats
from plugins.breakout.subject import Plug

SECTION = "Seats"
chance = SystemRandom()


@plugin.command(
    "breakout assign",
    aliases=("breakout move", "breakout seat", "breakout put"),
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("@ann @bob to Alpha",),
    examples=("breakout assign @ann @bob to 2",),
    parse=knowing(parsers.assign),
    section=SECTION,
)
async def assign(call: Call[Plug], asked: parsers.Assign) -> Doc:
    """Seats people in a room, or moves them there; lines such as `Alpha: @ann @bob` seat many at once."""
    about = it(call)
    change = seats.assign(about.session, asked.seats, people=about.hall.people)
    return views.assigned(await about.settle(change), change.told)


@plugin.command(
    "breakout swap",
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("@ann @bob",),
    examples=("breakout swap @ann @bob",),
    parse=knowing(parsers.swap),
    section=SECTION,
)
async def swap(call: Call[Plug], pair: tuple[str, str]) -> Doc:
    """Exchanges the seats of two people."""
    about = it(call)
    change = seats.swap(about.session, *pair)
    return views.assigned(await about.settle(change), change.told)


@plugin.command(
    "breakout unassign",
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("@ann",),
    examples=("breakout unassign @ann",),
    parse=knowing(parsers.unassign),
    section=SECTION,
)
async def unassign(call: Call[Plug], asked: parsers.Unassign) -> Doc:
    """Takes a seat away."""
    about = it(call)
    change = seats.unassign(about.session, asked.users)
    return views.unassigned(await about.settle(change), change.told)


@plugin.command(
    "breakout shuffle",
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("", "now"),
    examples=("breakout shuffle", "breakout shuffle now"),
    parse=knowing(parsers.only("now")),
    section=SECTION,
)
async def shuffle(call: Call[Plug], really: bool) -> Doc:  # noqa: FBT001 - the parsed value
    """Deals everybody a new seat; while the session runs only as `shuffle now`."""
    about = it(call)
    change = seats.shuffle(about.session, people=about.hall.people, rng=chance, really=really)
    return views.dealt(await about.settle(change), change.told)


@plugin.command(
    "breakout fill",
    role=Role.MODERATOR,
    where=ANYWHERE,
    examples=("breakout fill",),
    parse=knowing(parsers.nothing),
    section=SECTION,
)
async def fill(call: Call[Plug], _: None) -> Doc:
    """Seats those who have no seat."""
    about = it(call)
    change = seats.fill(about.session, people=about.hall.people, rng=chance)
    return views.dealt(await about.settle(change), change.told)
