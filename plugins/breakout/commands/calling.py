"""A participant's call for help, wherever it is typed."""

from __future__ import annotations

from bot.message.doc import Doc
from bot.plugin import Call
from plugins.breakout import views
from plugins.breakout.commands.places import it
from plugins.breakout.domain.changes import help as helping
from plugins.breakout.domain.model import Phase
from plugins.breakout.subject import BREAKOUT, Plug


def is_in_breakout_room(call: Call[Plug]) -> bool:
    """Whether it was typed in a breakout room of the session."""
    place = it(call).place
    return place.kind == BREAKOUT and place.number is not None


async def call_for_help(call: Call[Plug], text: str) -> Doc:
    """Tell the moderators, and the asker what comes of it; `cancel` takes it back.

    Outside of a breakout room it is a call from the asker's own; who has none is told of without a request.
    """
    about = it(call)
    session, now, settings = about.session, call.unit.now, call.state.settings
    in_room = is_in_breakout_room(call)
    if not in_room and (session is None or session.phase not in (Phase.RUNNING, Phase.CLOSING)):
        return views.nobody_to_call(await about.scene())
    seat = session.seats.get(about.asker) if session else None
    number = about.place.number if in_room else seat.room if seat else None
    if number is None:
        unseated = helping.ask_without_seat(session, about.asker, text, now=now, settings=settings)
        return views.help_asked_without_seat(await about.settle(unseated))
    if text.strip().casefold() == "cancel":
        withdrawn = helping.withdraw_help(session, number, about.asker)
        return views.help_withdrawn(await about.settle(withdrawn), withdrawn.told)
    asked = helping.ask_help(session, number, about.asker, text, now=now, settings=settings, in_main=not in_room)
    return views.help_asked(await about.settle(asked), asked.told)
