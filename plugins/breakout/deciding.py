"""What may need a yes first: starting and deleting, typed or tapped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.matrix.ids import EventId, RoomId
from bot.matrix.ports import Urgency
from plugins.breakout import views
from plugins.breakout.domain.change import Change, ConfirmAsked
from plugins.breakout.domain.changes.ending import SessionDeleted
from plugins.breakout.domain.changes.starting import Started
from plugins.breakout.domain.estimate import START_SAYS
from plugins.breakout.domain.model import Confirm, Door, Phase
from plugins.breakout.keys import Control
from plugins.breakout.store import Sessions
from plugins.breakout.subject import Subject


def question_key(event: EventId) -> str:
    """The outbox key of the question that the command or tap `event` brings up."""
    return f"{Control.CONFIRM}:{event}"


async def decide(
    about: Subject, change: Change[Any], *, room: RoomId, event: EventId, thread: EventId | None, reply: bool = True
) -> None:
    """Settle a start, a preparation, a deletion or the question before it; say it in `room`, answering `event`."""
    if isinstance(change.told, SessionDeleted) and about.desk is not None:
        await Sessions(about.unit.connection).save_desk(replace(about.desk, wanted=False))
    scene = await about.settle(change, fresh_board=isinstance(change.told, Started))
    asks = isinstance(change.told, ConfirmAsked)
    if asks and change.told.pending.what is Confirm.START and scene.plan.is_prepared:
        then = replace(scene.plan, phase=Phase.RUNNING)  # its invites are out, and it unlocks the rooms
        seconds = about.seconds_to_start(replace(scene, session=then), answers=2, messages=START_SAYS)
    else:
        seconds = about.seconds_to_start(scene, answers=2 if asks else 1, messages=START_SAYS)
    by_link = about.seconds_to_start(scene, answers=2, messages=START_SAYS, door=Door.OPEN) if asks else seconds
    await about.unit.outbox.say(
        question_key(event) if asks else f"reply:{event}",
        room,
        views.decided(scene, change.told, seconds, by_link),
        urgency=Urgency.ANSWER,
        reply_to=event if reply else None,
        thread=thread,
    )
