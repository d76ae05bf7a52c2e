"""Follows a main room to the room that replaces it, and carries its session and its desk along."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from bot.errors import Permanent, Temporary
from bot.matrix.ids import RoomId, server_of
from bot.plugin import Host, Unit
from plugins.breakout import announce, views
from plugins.breakout.config import BreakoutConfig
from plugins.breakout.domain.model import Phase
from plugins.breakout.observe import look
from plugins.breakout.scene import scene_of
from plugins.breakout.store import Sessions
from plugins.breakout.succession import former_of, named_successor, successor

log = structlog.get_logger(__name__)

LATER = timedelta(seconds=3)
"""What is said in an encrypted room waits this long: others are perhaps coming in with us."""

AGAIN = timedelta(minutes=5)
"""Between two tries to leave the old room."""

COME_AGAIN = timedelta(minutes=1)
"""Between two tries to come into the new one, where it does not answer; the old one has its session meanwhile."""


class Follower:
    """Joins the replacement when it may; where it may not, it waits there for an invite."""

    def __init__(self, host: Host, config: BreakoutConfig) -> None:
        self._host, self._config = host, config
        self._refused: set[RoomId] = set()
        """Replacements that did not let us in."""
        self._come_at: dict[RoomId, datetime] = {}
        """When to try again to come into what replaces a main room."""

    async def follow(self, main: RoomId) -> bool:
        """Whether another room has taken the place of this main room, so that nothing is left to do for it."""
        await self._host.caught_up()
        async with self._host.unit() as unit:
            named = await named_successor(unit.rooms, main)
            new = await successor(unit.rooms, main, self._host.me)
            me = await unit.rooms.content(main, "m.room.member", self._host.me) or {}
        if named is None or (new is None and me.get("membership") != "join"):
            return False
        if new is None and not await self._came_to(main, named):
            return False
        async with self._host.unit() as unit:
            new = await successor(unit.rooms, main, self._host.me)
            if new is None:
                return False  # the tombstone names a room that does not say that it replaces this one
            await self._carry(unit, main, new)
        return True

    async def _came_to(self, main: RoomId, new: RoomId) -> bool:
        """Go into the new room; the moderators hear once that we need an invite."""
        now = self._host.clock.now()
        if new in self._refused or self._come_at.get(main, now) > now:
            return False
        self._come_at.pop(main, None)
        try:
            await self._host.homeserver.join(new, (server_of(self._host.me),))
            state = await self._host.homeserver.state(new)
        except Permanent as refused:
            log.info("a replacement cannot be entered", main=main, new=new, why=refused.errcode)
            self._refused.add(new)
            await self._ask_for_an_invite(main, new)
            return False
        except Temporary as error:
            log.warning("a replacement cannot be entered yet", main=main, new=new, why=error.reason)
            self._come_at[main] = self._host.clock.now() + (error.retry_after or COME_AGAIN)
            return False
        async with self._host.unit() as unit:
            for event in state:
                await unit.rooms.assume(new, event["type"], event["state_key"], event["content"], event["sender"])
        return True

    async def _ask_for_an_invite(self, main: RoomId, new: RoomId) -> None:
        async with self._host.unit() as unit:
            sessions = Sessions(unit.connection)
            session, desk = await sessions.get(main), await sessions.desk(main)
            if session is None or session.phase is Phase.DELETED:
                return
            hall = await look(unit, self._config, self._host.me, main)
            scene = await scene_of(unit, self._host, self._config, hall, desk, session)
            await unit.outbox.say(f"invite-me:{main}:{new}", scene.moderators_room, views.invite_me(scene))

    async def _carry(self, unit: Unit, main: RoomId, new: RoomId) -> None:
        """Session and desk are the new room's from now on; it is said there once."""
        sessions = Sessions(unit.connection)
        current, desk = await sessions.get(main), await sessions.desk(main)
        if current is not None:
            current = await sessions.save(replace(current, main=new))
        for session in await sessions.retired(main):
            await sessions.save(replace(session, main=new), retired=True)
        if desk is not None:
            await sessions.move_desk(desk, new)
            desk = replace(desk, main=new)
        await unit.alarms.ring(main, None)
        unit.wake(new)
        if current is None and desk is None:
            return
        hall = await look(unit, self._config, self._host.me, new)
        scene = await scene_of(unit, self._host, self._config, hall, desk, current)
        goes_on = current is not None and bool(current.open_rooms) and current.phase is not Phase.DELETED
        said = views.moved(scene) if goes_on else views.greeting(scene.prefix)
        later = unit.now + LATER if hall.encrypted else None
        await unit.outbox.say(f"moved:{main}:{new}", new, said, not_before=later)
        if goes_on:
            await announce.show_board(unit, scene, fresh=True)

    async def look_again(self, main: RoomId) -> datetime | None:
        """Leave the room that this one replaced when its time is over; returns when to try that, or to come, again."""
        moments = (self._come_at.get(main), await self._let_go(main))
        return min((moment for moment in moments if moment), default=None)

    async def _let_go(self, main: RoomId) -> datetime | None:
        now = self._host.clock.now()
        async with self._host.unit() as unit:
            former = await former_of(unit.rooms, main, self._host.me)
        if former is None or now < former.until:
            return former.until if former else None
        try:
            await self._host.homeserver.leave(former.id)
        except (Temporary, Permanent) as error:
            log.warning("an old main room cannot be left", room=former.id, why=str(error))
            return now + AGAIN
        async with self._host.unit() as unit:
            await unit.rooms.forget(former.id)
            await unit.outbox.drop_room(former.id)
        return None
