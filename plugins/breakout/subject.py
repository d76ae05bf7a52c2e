"""What a command is about: whose room it was typed in, its session, its people, and the names it may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from bot.commands.parsers import Named
from bot.commands.refusals import WrongPlace
from bot.matrix.events import Message
from bot.matrix.ids import RoomId, UserId, server_of
from bot.message.doc import Doc
from bot.plugin import Host, Role, Standing, Unit
from plugins.breakout import announce, views
from plugins.breakout.config import BreakoutConfig
from plugins.breakout.domain.change import Change, T_co
from plugins.breakout.domain.desired import DESK, MARKER
from plugins.breakout.domain.estimate import seconds_to_start
from plugins.breakout.domain.model import Door, Session, Settings
from plugins.breakout.metrics import Metrics
from plugins.breakout.observe import Hall, is_ignored, is_in, look
from plugins.breakout.parsers import Known
from plugins.breakout.scene import Scene, scene_of
from plugins.breakout.store import Desk, Sessions
from plugins.breakout.succession import named_successor

MAIN, AT_DESK, BREAKOUT = "main room", "desk", "breakout room"
"""The kinds of places, in the words of the glossary."""

_HERE_INSTEAD = {
    ("me", BREAKOUT): "",
    ("me", AT_DESK): "",
    ("time", MAIN): "",
    ("time", AT_DESK): "",
    ("commands", MAIN): " help",
    ("commands", AT_DESK): " help",
}
"""What does in a place, behind the prefix, what a command does that works elsewhere."""


@dataclass(frozen=True, slots=True)
class Plug:
    """The state of the plugin while it runs."""

    host: Host
    config: BreakoutConfig
    settings: Settings
    converge: Callable[[str], Awaitable[datetime | None]]
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Place:
    """What a Matrix room is for this plugin."""

    kind: str
    main: RoomId
    number: int | None = None
    """Of a breakout room; None where it is one of a former session."""
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """All that the handler of a command needs to know."""

    plug: Plug
    unit: Unit
    place: Place
    asker: UserId
    session: Session | None
    desk: Desk | None
    hall: Hall

    @property
    def known(self) -> Known:
        """What the parsers need."""
        return Known(self.session, tuple(Named(UserId(p.user), p.name) for p in self.hall.people))

    async def needs_invite(self) -> bool:
        """Whether the rooms do not let the asker in: only members of the desk walk in by a link."""
        if self.desk is None or self.desk.room is None:
            return True
        member = await self.unit.rooms.content(RoomId(self.desk.room), "m.room.member", self.asker) or {}
        return member.get("membership") != "join"

    async def scene(self, session: Session | None = None) -> Scene:
        """What the views need, for this session or a changed one."""
        session = session or self.session
        return await scene_of(self.unit, self.plug.host, self.plug.config, self.hall, self.desk, session)

    def seconds_to_start(self, scene: Scene, *, answers: int, messages: int, door: Door | None = None) -> float:
        """How long a start of the scene's session takes on this server, after what is said, or through another door."""
        host = self.plug.host
        return seconds_to_start(
            replace(scene.plan, door=door or scene.plan.door),
            host.limits.pace(),
            own_server=server_of(host.me),
            answers=answers,
            messages=messages,
            desk_is_made=scene.desk is not None,
        )

    async def settle(self, change: Change[T_co], *, fresh_board: bool = False) -> Scene:
        """Save what was decided, say what is to be said, and let the reconciler do the rest."""
        sessions = Sessions(self.unit.connection)
        if change.retired is not None:
            await sessions.save(change.retired, retired=True)
        session = await sessions.save(change.session)
        scene = await self.scene(session)
        await announce.announce(self.unit, scene, change.notices)
        self.plug.metrics.heard(change.notices, self.unit.now)
        if fresh_board and session.open_rooms:  # else the pass that follows brings them up to date
            await announce.show_board(self.unit, scene, fresh=True)
        self.unit.wake(self.place.main)
        return scene


async def place_of(unit: Unit, room: RoomId) -> Place:
    """What `room` is: the desk or a breakout room of a main room, else a main room.

    A marker alone says nothing, since anybody can put one into a room of their own: the store has to know the room.
    """
    marker = await unit.rooms.content(room, MARKER)
    if marker is not None and isinstance(marker.get("main"), str):
        sessions = Sessions(unit.connection)
        number, session_id = marker.get("room"), marker.get("session")
        if number == DESK and (desk := await sessions.desk_in(room)):
            return Place(AT_DESK, RoomId(desk.main))
        if isinstance(session_id, str) and (session := await sessions.of_id(session_id)):
            for known in session.rooms:
                if known.room_id == room:
                    current = await sessions.get(session.main)
                    is_current = current is not None and current.id == session.id
                    return Place(BREAKOUT, RoomId(session.main), known.number if is_current else None, session.id)
    return Place(MAIN, await _now_in(unit, room))


async def _now_in(unit: Unit, room: RoomId) -> RoomId:
    """The room that has taken the place of this main room, once its session was carried there; else this one."""
    sessions = Sessions(unit.connection)
    new = await named_successor(unit.rooms, room)
    if new is None or await sessions.get(room) or await sessions.desk(room):
        return room
    return new if await sessions.get(new) or await sessions.desk(new) else room


async def standing(plug: Plug, unit: Unit, room: RoomId, user: UserId) -> Standing | None:
    """Moderator or not, by the main room's power levels of now; whom the settings ignore is not answered."""
    if is_ignored(user, plug.config):
        return None
    place = await place_of(unit, room)
    role = await role_of(plug, unit, place.main, user)
    # A participant's question concerns nobody else: the answer does not fill the main room.
    return Standing(role, place.kind, place.main, in_thread=place.kind == MAIN and role < Role.MODERATOR)


async def role_of(plug: Plug, unit: Unit, main: RoomId, user: UserId) -> Role:
    """Whether somebody is a moderator: joined to the main room, and with power enough there."""
    power = await unit.rooms.power(main)
    if power.level(user) < plug.config.moderator_power_level:
        return Role.ANYONE
    return Role.MODERATOR if await is_in(unit, plug.host.me, main, user) else Role.ANYONE


async def subject(plug: Plug, unit: Unit, message: Message, standing: Standing) -> Subject:
    """Load what a command is about."""
    del standing
    return await subject_of(plug, unit, message.room, message.sender)


async def subject_of(plug: Plug, unit: Unit, room: RoomId, asker: UserId) -> Subject:
    """Load what somebody's deed in a room is about: a command, or a reaction."""
    place = await place_of(unit, room)
    sessions = Sessions(unit.connection)
    hall = await look(unit, plug.config, plug.host.me, place.main)
    return Subject(plug, unit, place, asker, await sessions.get(place.main), await sessions.desk(place.main), hall)


def described(about: Subject) -> dict[str, str]:
    """What the log says of a command's subject."""
    if about.session is None:
        return {"phase": "none"}
    return {"phase": str(about.session.phase), "session": about.session.id}


async def explained(plug: Plug, unit: Unit, standing: Standing, error: Exception) -> Doc | None:
    """The sentence of a refusal of the rules, for somebody who stands so."""
    prefix = f"{plug.host.prefix}{plug.config.names[0]}"
    if isinstance(error, WrongPlace):
        return _elsewhere(error, plug.host.prefix, prefix)
    hall = await look(unit, plug.config, plug.host.me, standing.home)
    return views.explain(error, prefix, hall.names, standing.role)


def _elsewhere(error: WrongPlace, sign: str, prefix: str) -> Doc:
    """Where the command works, and what works here instead, or leads there."""
    here = _HERE_INSTEAD.get((error.command.path[-1], error.place))
    way = f"{sign}back" if error.place == BREAKOUT and MAIN in error.command.where else None
    return views.wrong_place(
        sign + " ".join(error.command.path),
        in_main=MAIN in error.command.where,
        instead=None if here is None else f"{prefix}{here}",
        way=way,
    )
