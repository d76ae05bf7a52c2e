"""What the rooms themselves are called, and the reasons that invites and removals carry."""

from __future__ import annotations

from plugins.breakout.domain.desired import Texts
from plugins.breakout.domain.model import Door, Phase, Room
from plugins.breakout.scene import Scene
from plugins.breakout.views.words import length, text


def room_name(scene: Scene, room: Room) -> str:
    """The Matrix name of a breakout room."""
    return f"{room.name} · {scene.main_name}"


def read_room_name(name: str, main_name: str) -> str:
    """What a breakout room of this Matrix name is called; the main room may have had another name then."""
    ending = f" · {main_name}"
    return name.removesuffix(ending) if name.endswith(ending) else name.rpartition(" · ")[0] or name


def read_task(topic: str) -> str:
    """The task that a breakout room's topic begins with; empty where there is none."""
    return topic.rpartition("\n")[0]


def texts_of(scene: Scene, room: Room) -> Texts:
    """The words of a breakout room.

    The invite's reason stays the same for a seat and round: another one would be a new invite.
    """
    session = scene.plan
    topic = text("Breakout room of {main}.", main=scene.main_name)
    if room.task:
        topic = f"{room.task}\n{topic}"
    topic += " " + text("Type {sign}help if you need a moderator.", sign=scene.sign)
    invite = text("Breakout room {room} of {main}", room=room.name, main=scene.main_name)
    if session.limit is not None:
        invite = text("{invite}, {length}", invite=invite, length=length(session.limit))
    if session.is_prepared:
        invite = text("{invite}; it opens at the start", invite=invite)
    if room.removed or (not session.lets_in and not session.is_ahead):
        remove = _closed(scene)
    elif session.is_prepared and session.door is Door.OPEN:
        remove = text("This room opens at the start; {main} shows its link then.", main=scene.main_name)
    else:
        remove = text(
            "You have no place in this room any more; {p} me in {main} says where you belong now.",
            p=scene.prefix,
            main=scene.main_name,
        )
    return Texts(room_name(scene, room), topic, invite, remove)


def stray_texts(scene: Scene) -> Texts:
    """The words of a room that nobody is to use: it is closed as soon as it is found."""
    return Texts(name="", topic="", invite="", remove=_closed(scene))


def _closed(scene: Scene) -> str:
    return text("The breakout room is closed. You are still in {main}.", main=scene.main_name)


def desk_texts(scene: Scene) -> Texts:
    """The words of the desk; it outlives no session, so who is removed after its end is no intruder."""
    is_gone = scene.session is None or scene.session.phase is Phase.DELETED
    remove = (
        text("The desk is closed. You are still in {main}.", main=scene.main_name)
        if is_gone
        else text("The desk is for the moderators of {main}.", main=scene.main_name)
    )
    name = text("Moderators of {main}", main=scene.main_name)
    return Texts(
        name=name,
        topic=text("Help requests, the full board and all commands for {main}.", main=scene.main_name),
        invite=text("The desk of the moderators of {main}", main=scene.main_name),
        remove=remove,
    )
