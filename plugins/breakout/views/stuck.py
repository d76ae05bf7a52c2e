"""What moderators read of what the homeserver does not let us do, or not yet."""

from __future__ import annotations

from collections.abc import Sequence

from bot.message.doc import Doc, doc
from plugins.breakout.scene import Scene
from plugins.breakout.views.words import people, say


def unreachable(scene: Scene, user: str, number: int, why: str) -> Doc:
    """To the moderators: somebody could not be invited."""
    return doc(
        say("{who} could not be invited to {room}: {why}.", who=scene.name(user), room=scene.room(number), why=why),
        say("`{p} assign` invites them again.", p=scene.prefix),
    )


def not_made(scene: Scene, number: int, why: str) -> Doc:
    """To the moderators: a room could not be made."""
    return doc(
        say("{room} could not be made: {why}.", room=scene.room_name(number), why=why.rstrip(".")),
        say("I keep trying. `{p} remove {number}` does without it.", p=scene.prefix, number=number),
    )


def not_invited_yet(scene: Scene, users: Sequence[str], number: int, why: str) -> Doc:
    """Some people wait for their invites longer than they should."""
    who, room = people(scene, users), scene.room(number)
    return doc(
        say("{people} could not be invited to {room} yet: {why}.", people=who, room=room, why=why.rstrip(".")),
        say("I keep trying."),
    )
