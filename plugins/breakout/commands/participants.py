"""What participants type in the main room."""

from __future__ import annotations

from bot.message.doc import Doc
from bot.plugin import Call, Tick
from plugins.breakout import parsers, views
from plugins.breakout.commands.places import IN_MAIN, it, knowing
from plugins.breakout.declaration import plugin
from plugins.breakout.domain.changes import seats
from plugins.breakout.domain.changes.seats import Rejoin
from plugins.breakout.subject import Plug

SECTION = "For everybody"


@plugin.command(
    "breakout choose",
    aliases=("breakout join", "breakout pick"),
    where=IN_MAIN,
    usage=("Alpha",),
    examples=("breakout choose 2",),
    parse=knowing(parsers.room("choose")),
    section=SECTION,
)
async def choose(call: Call[Plug], number: int) -> Tick:
    """Takes a seat in a room, where people choose for themselves; choosing again moves you."""
    about = it(call)
    await about.settle(seats.choose(about.session, about.asker, number, people=about.hall.people))
    return Tick()


@plugin.command(
    "breakout me", where=IN_MAIN, examples=("breakout me",), parse=knowing(parsers.nothing), section=SECTION
)
async def me(call: Call[Plug], _: None) -> Doc:
    """Shows your room, who is in it, its link, and the time left."""
    about = it(call)
    return views.me(await about.scene(), about.asker)


@plugin.command(
    "breakout rejoin",
    where=IN_MAIN,
    examples=("breakout rejoin",),
    parse=knowing(parsers.nothing),
    section=SECTION,
)
async def rejoin(call: Call[Plug], _: None) -> Doc | Tick:
    """Invites you to your room again."""
    about = it(call)
    change = seats.rejoin(
        about.session, about.asker, people=about.hall.people, now=call.unit.now, settings=call.state.settings
    )
    scene = await about.settle(change)
    return Tick() if change.told.how is Rejoin.INVITED_AGAIN else views.rejoined(scene, change.told)


@plugin.command(
    "breakout pass", where=IN_MAIN, examples=("breakout pass",), parse=knowing(parsers.nothing), section=SECTION
)
async def pass_round(call: Call[Plug], _: None) -> Tick:
    """Leaves you out of this round; `rejoin` brings you back."""
    about = it(call)
    await about.settle(seats.pass_round(about.session, about.asker))
    return Tick()
