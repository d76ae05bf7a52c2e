"""Starting, timing, ending, deleting."""

from __future__ import annotations

from datetime import timedelta
from random import SystemRandom
from typing import Any

from bot.message.doc import Doc
from bot.plugin import Call, Role
from plugins.breakout import parsers, views
from plugins.breakout.commands.places import ANYWHERE, it, knowing
from plugins.breakout.deciding import decide, question_key
from plugins.breakout.declaration import plugin
from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes import ending, preparing, starting, timing
from plugins.breakout.domain.estimate import seconds_to_close
from plugins.breakout.domain.model import Confirm, OnEnd
from plugins.breakout.subject import Plug

SECTION = "Run"
chance = SystemRandom()


async def _decide(call: Call[Plug], change: Change[Any]) -> None:
    message = call.message
    await decide(it(call), change, room=message.room, event=message.event_id, thread=message.thread)


def _confirmed(call: Call[Plug], what: Confirm) -> Change[Any]:
    about = it(call)
    return starting.confirm(
        about.session,
        by=about.asker,
        people=about.hall.people,
        now=call.unit.now,
        settings=call.state.settings,
        rng=chance,
        what=what,
    )


@plugin.command(
    "breakout prepare",
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("", "confirm"),
    examples=("breakout prepare",),
    parse=knowing(parsers.only("confirm")),
    section=SECTION,
)
async def prepare(call: Call[Plug], confirmed: bool) -> None:  # noqa: FBT001 - the parsed value
    """Makes the rooms and invites everybody ahead of time; people can only read there until `start`.

    The start is felt at once then, also on a slow server. With the open door nobody is invited, or told before `start`.
    Who joins this room later is seated and invited, too.
    `assign`, `swap`, `shuffle now`, `add`, `remove` and `rename` change what is prepared; `setup` plans anew, and
    the prepared rooms are closed for good. The task stands in the topic of each room.
    """
    about = it(call)
    if confirmed:
        await _decide(call, _confirmed(call, Confirm.PREPARE))
        return
    change = preparing.prepare(
        about.session,
        by=about.asker,
        people=about.hall.people,
        now=call.unit.now,
        settings=call.state.settings,
        rng=chance,
        key=question_key(call.message.event_id),
    )
    await _decide(call, change)


@plugin.command(
    "breakout start",
    aliases=("breakout open", "breakout begin", "breakout go"),
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("", "20m", "confirm"),
    examples=("breakout start 20m", "breakout start"),
    parse=knowing(parsers.start),
    section=SECTION,
    leads=2,
)
async def start(call: Call[Plug], asked: parsers.Start | parsers.Confirmed) -> None:
    """Makes the rooms and invites everybody, or opens what is prepared; with a time limit, it ends by itself."""
    about = it(call)
    if isinstance(asked, parsers.Confirmed):
        await _decide(call, _confirmed(call, Confirm.START))
        return
    change = starting.start(
        about.session,
        by=about.asker,
        people=about.hall.people,
        now=call.unit.now,
        settings=call.state.settings,
        rng=chance,
        key=question_key(call.message.event_id),
        limit=asked.limit,
    )
    await _decide(call, change)


@plugin.command(
    "breakout timer",
    aliases=("breakout time",),
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("15m", "off"),
    examples=("breakout timer 15m", "breakout timer off"),
    parse=knowing(parsers.timer),
    section=SECTION,
)
async def timer(call: Call[Plug], length: timedelta | None) -> Doc:
    """Sets when the rooms close, counted from now; `off` lets them stay open."""
    about = it(call)
    change = timing.set_timer(about.session, length, now=call.unit.now, settings=call.state.settings)
    return views.timer_set(await about.settle(change), change.told)


@plugin.command(
    "breakout extend",
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("5m",),
    examples=("breakout extend 5m",),
    parse=knowing(parsers.extend),
    section=SECTION,
)
async def extend(call: Call[Plug], length: timedelta) -> Doc:
    """Gives more time; while the rooms close, it takes the end back."""
    about = it(call)
    change = timing.extend(about.session, length, now=call.unit.now, settings=call.state.settings)
    return views.timer_set(await about.settle(change), change.told)


@plugin.command(
    "breakout end",
    aliases=("breakout stop", "breakout close", "breakout finish"),
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("", "2m", "now", "cancel"),
    examples=("breakout end", "breakout end 2m", "breakout end now", "breakout end cancel"),
    parse=knowing(parsers.end),
    section=SECTION,
    leads=3,
)
async def end(call: Call[Plug], asked: parsers.End | parsers.Cancelled) -> Doc:
    """Brings everybody back after a short notice; `now` does so at once, `cancel` takes it back."""
    about = it(call)
    settings, now = call.state.settings, call.unit.now
    if isinstance(asked, parsers.Cancelled):
        cancelled = ending.cancel_end(about.session, now=now, settings=settings)
        return views.timer_set(await about.settle(cancelled), cancelled.told)
    change = ending.end(
        about.session, by=about.asker, now=now, settings=settings, notice=asked.notice, at_once=asked.at_once
    )
    keeps = settings.on_end is OnEnd.KEEP
    seconds = seconds_to_close(change.session, call.state.host.limits.pace(), answers=1, keeps=keeps)
    return views.ending(await about.settle(change), change.told, seconds)


@plugin.command(
    "breakout delete",
    role=Role.MODERATOR,
    where=ANYWHERE,
    usage=("", "confirm"),
    examples=("breakout delete", "breakout delete confirm"),
    parse=knowing(parsers.only("confirm")),
    section=SECTION,
)
async def delete(call: Call[Plug], confirmed: bool) -> None:  # noqa: FBT001 - the parsed value
    """Does away with the breakout rooms and the desk, after a ✅; the main room stays as it is."""
    about = it(call)
    if confirmed:
        await _decide(call, _confirmed(call, Confirm.DELETE))
        return
    change = ending.delete(
        about.session,
        by=about.asker,
        now=call.unit.now,
        settings=call.state.settings,
        key=question_key(call.message.event_id),
    )
    await _decide(call, change)
