"""Saying something to the rooms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.commands.refusals import Missing
from bot.message.doc import Relayed
from bot.plugin import Call, Role
from plugins.breakout import parsers
from plugins.breakout.announce import send_text
from plugins.breakout.commands.places import ANYWHERE, it, knowing
from plugins.breakout.declaration import plugin
from plugins.breakout.domain.changes import help as helping
from plugins.breakout.domain.model import Errand
from plugins.breakout.subject import Plug

SECTION = "Talk"


@plugin.command(
    "breakout broadcast",
    aliases=("breakout announce", "breakout say"),
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("text",),
    examples=("breakout broadcast Ten more minutes",),
    parse=knowing(parsers.text),
    section=SECTION,
    leads=4,
)
async def broadcast(call: Call[Plug], text: Relayed) -> None:
    """Says a text in every breakout room; in reply to a message (an image, a poll), it relays that one."""
    await _send(call, None, text, "breakout broadcast Ten more minutes")


@plugin.command(
    "breakout tell",
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("Alpha text",),
    examples=("breakout tell 2 Five more minutes", "breakout tell 1: please come back"),
    parse=knowing(parsers.room_text("tell")),
    section=SECTION,
)
async def tell(call: Call[Plug], asked: parsers.RoomText) -> None:
    """Says a text in one breakout room."""
    await _send(call, asked.number, asked.text, "breakout tell 2 Five more minutes")


async def _send(call: Call[Plug], number: int | None, text: Relayed, example: str) -> None:
    """Put the copies into the outbox; the receipt follows when all of them are sent."""
    about, message = it(call), call.message
    if not text.plain and message.reply_to is None:
        raise Missing("what to tell them", example)
    change = helping.broadcast(about.session, number, event=message.event_id)
    errand = Errand(
        event=message.event_id,
        by=about.asker,
        asked_in=message.room,
        thread=message.thread,
        number=number,
        relays=message.reply_to if number is None or not text.plain else None,
    )
    session = replace(change.session, errands=(*change.session.errands, errand))
    with_errand: Any = replace(change, session=session, notices=())
    scene = await about.settle(with_errand)
    if text.plain:
        await send_text(call.unit, scene, errand, text)
