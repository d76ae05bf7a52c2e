"""Finds again what a lost store knew of a main room: from the rooms' markers and the account's own note."""

from __future__ import annotations

from dataclasses import replace

import structlog

from bot.matrix.events import Content
from bot.matrix.ids import RoomId
from bot.plugin import Host, Unit
from bot.store.roomstate import RoomStates
from plugins.breakout import announce, views
from plugins.breakout.config import BreakoutConfig
from plugins.breakout.domain.changes.restoring import FoundRoom, Noted, Trace, completed, rebuilt
from plugins.breakout.domain.desired import DESK, is_locked, lets_in
from plugins.breakout.domain.model import Phase, Session
from plugins.breakout.observe import Hall, look, markers_of
from plugins.breakout.record import Record, Remembered
from plugins.breakout.scene import Scene, scene_of
from plugins.breakout.store import Desk, Sessions
from plugins.breakout.succession import successor

log = structlog.get_logger(__name__)

Markers = dict[RoomId, Content]


class Restorer:
    """Looks once in each life of the process whether a main room has rooms of ours that the store knows nothing of."""

    def __init__(self, host: Host, config: BreakoutConfig, record: Record) -> None:
        self._host, self._config, self._record = host, config, record
        self._looked: set[RoomId] = set()

    async def restore(self, main: RoomId) -> None:
        """Rebuild the session and the desk where they are lost; raises `Temporary` while the note cannot be read.

        Where the bot is no longer in the main room nothing is rebuilt: nobody could command it, and its rooms go.
        """
        if main in self._looked:
            return
        await self._host.caught_up()
        async with self._host.unit() as unit:
            lost = await self._lost(unit, main)
        if lost:
            remembered = await self._record.of(main)
            async with self._host.unit() as unit:
                if markers := await self._lost(unit, main):
                    await self._rebuild(unit, main, markers, remembered)
        self._looked.add(main)

    async def _lost(self, unit: Unit, main: RoomId) -> Markers:
        """Our rooms of this main room, where the store knows nothing of it."""
        sessions = Sessions(unit.connection)
        me = await unit.rooms.content(main, "m.room.member", self._host.me) or {}
        if await successor(unit.rooms, main, self._host.me):
            return {}  # it was carried there, or will be
        if me.get("membership") != "join" or await sessions.desk(main) or await sessions.knows(main):
            return {}
        return dict(await markers_of(unit.rooms, main, self._host.me))

    async def _rebuild(self, unit: Unit, main: RoomId, markers: Markers, remembered: Remembered | None) -> None:
        hall = await look(unit, self._config, self._host.me, main)
        nothing = await scene_of(unit, self._host, self._config, hall, None, None)
        remembered = remembered or Remembered(desk=_desk_of(markers))
        desk = await self._desk(unit, main, markers, remembered)
        id_ = await _session_of(unit.rooms, markers, remembered)
        log.warning("the store knew nothing of a main room", main=main, session=id_, desk=desk is not None)
        backup = await Sessions(unit.connection).take_aside(main)
        if id_ is None:
            if desk is not None:
                await self._plan(unit, hall, desk, remembered, backup)
            return
        noted = remembered.noted if remembered.current == id_ else Noted()
        found = [await self._found(unit.rooms, nothing, room, marker) for room, marker in _rooms(markers, id_, noted)]
        change = rebuilt(
            id_,
            main,
            found,
            noted,
            bot=self._host.me,
            people=hall.people,
            now=unit.now,
            settings=self._config.settings(),
        )
        change = completed(change, backup)
        if desk is None:
            desk = Desk(main, attempt=_unused(change.session))
            await Sessions(unit.connection).save_desk(desk)
        session = await Sessions(unit.connection).save(change.session)
        scene = await scene_of(unit, self._host, self._config, hall, desk, session)
        await announce.announce(unit, scene, change.notices)

    async def _plan(self, unit: Unit, hall: Hall, desk: Desk, remembered: Remembered, backup: Session | None) -> None:
        """No rooms are there: a plan is as the backup has it, or has to be made again."""
        if backup is not None and backup.phase is Phase.SET_UP and not any(room.room_id for room in backup.rooms):
            session = await Sessions(unit.connection).save(replace(backup, revision=0, pending=None))
            scene = await scene_of(unit, self._host, self._config, hall, desk, session)
            await unit.outbox.say(f"plan-put-back:{session.id}", scene.moderators_room, views.plan_put_back(scene))
            return
        scene = await scene_of(unit, self._host, self._config, hall, desk, None)
        key = f"plan-lost:{desk.room}:{remembered.current}"
        await unit.outbox.say(key, scene.moderators_room, views.plan_lost(scene))

    async def _desk(self, unit: Unit, main: RoomId, markers: Markers, remembered: Remembered) -> Desk | None:
        """The desk as it was; None where there is none, or where it was being closed."""
        marker = markers.get(RoomId(remembered.desk or ""))
        if marker is None or marker.get("room") != DESK:
            return None
        desk = Desk(main, remembered.desk, _attempt(marker))
        await Sessions(unit.connection).save_desk(desk)
        await unit.outbox.said_before(announce.desk_welcome_key(desk.room or ""), RoomId(desk.room or ""))
        return desk

    async def _found(self, rooms: RoomStates, scene: Scene, room: RoomId, marker: Content) -> FoundRoom:
        topic = (await rooms.content(room, "m.room.topic") or {}).get("topic")
        return FoundRoom(
            number=int(marker["room"]),
            room_id=room,
            attempt=_attempt(marker),
            name=views.read_room_name(await rooms.name(room) or "", scene.main_name) or str(marker["room"]),
            task=views.read_task(topic if isinstance(topic, str) else ""),
            locked=is_locked(await rooms.content(room, "m.room.power_levels") or {}),
            walk_in=lets_in(await rooms.content(room, "m.room.join_rules") or {}, scene.hall.id),
            traces={
                user: Trace(member.membership, member.sender, member.at)
                for user, member in (await rooms.members(room)).items()
                if user != self._host.me
            },
        )


async def _session_of(rooms: RoomStates, markers: Markers, remembered: Remembered) -> str | None:
    """The id of the session to rebuild: of those not known to be over the one whose rooms are the newest."""
    newest: tuple[object, str] | None = None
    for room, marker in markers.items():
        id_, made_at = marker.get("session"), await rooms.made_at(room)
        is_room = isinstance(id_, str) and isinstance(marker.get("room"), int) and made_at is not None
        if is_room and id_ not in remembered.former and (newest is None or (made_at, id_) > newest):
            newest = made_at, str(id_)
    return newest[1] if newest else None


def _rooms(markers: Markers, id_: str, noted: Noted) -> list[tuple[RoomId, Content]]:
    """The rooms of the session, one of each number: of twins the one that is noted, else the last attempt."""
    chosen: dict[int, tuple[RoomId, Content]] = {}
    for room, marker in sorted(markers.items(), key=lambda entry: (_attempt(entry[1]), entry[0])):
        number = marker.get("room")
        if marker.get("session") != id_ or not isinstance(number, int) or number == DESK:
            continue
        if number not in chosen or chosen[number][0] != noted.rooms.get(number):
            chosen[number] = room, marker
    return list(chosen.values())


def _desk_of(markers: Markers) -> str | None:
    """The desk of the last attempt, where nothing is noted."""
    desks = [(_attempt(marker), room) for room, marker in markers.items() if marker.get("room") == DESK]
    return max(desks)[1] if desks else None


def _attempt(marker: Content) -> int:
    """Which attempt the room's creation key stands for: the key ends in it."""
    tail = str(marker.get("key")).rpartition("-")[2]
    return int(tail) if tail.isdecimal() else 1


def _unused(session: Session) -> int:
    """An attempt that no desk was made by."""
    return 1000 + session.round
