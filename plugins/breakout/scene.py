"""What the views need to know to word something: the session, names, links, the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from bot.matrix.ids import RoomId, UserId, server_of
from bot.message.doc import Inline, Mention, Name, RoomLink
from bot.plugin import Host, Unit
from plugins.breakout.config import BreakoutConfig
from plugins.breakout.domain.model import Door, Session, Settings
from plugins.breakout.observe import Hall
from plugins.breakout.store import Desk


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment of a main room, for the views."""

    session: Session | None
    hall: Hall
    desk: RoomId | None
    desk_is_used: bool
    """Whether a moderator has come to the desk."""
    now: datetime
    zone: ZoneInfo
    prefix: str
    """What commands begin with, `!breakout`."""
    sign: str
    """What room commands begin with, `!`."""
    settings: Settings
    former_names: Mapping[str, str]
    """Names of people who have gone."""
    brings_in: bool = False
    """Whether people come into their rooms without a tap."""

    @property
    def plan(self) -> Session:
        """The session, where there must be one."""
        assert self.session is not None  # noqa: S101 - the views that need one are asked only with one
        return self.session

    @property
    def moderators_room(self) -> RoomId:
        """Where the moderators are told something: the desk, or the main room while none has come to the desk."""
        return self.desk if self.desk and self.desk_is_used else self.hall.id

    @property
    def main_name(self) -> str:
        """What the main room is called."""
        return self.hall.name or "the main room"

    def name(self, user: str) -> Name:
        """A person by name, without ping."""
        return Name(self.hall.names.get(user) or self.former_names.get(user) or user)

    def mention(self, user: str) -> Mention:
        """A person, to ping."""
        return Mention(UserId(user), self.name(user).text)

    def room_name(self, number: int) -> str:
        """What a breakout room is called in the session."""
        return self.plan.room(number).name

    def room(self, number: int) -> Inline:
        """A breakout room as a link, by name where it does not exist (yet) or its link is not to be known (yet)."""
        room = self.plan.room(number)
        return Name(room.name) if self._hides_links else self._link(room.room_id, room.name)

    @property
    def _hides_links(self) -> bool:
        """Whether whoever knew a link could walk in ahead of the start."""
        return self.plan.is_prepared and self.plan.door is Door.OPEN

    def main_link(self) -> Inline:
        """The main room as a link."""
        return RoomLink(self.hall.id, self.main_name, self.hall.via)

    def desk_link(self, text: str) -> Inline:
        """The desk as a link."""
        return self._link(self.desk, text)

    def _link(self, room_id: str | None, text: str) -> Inline:
        return RoomLink(RoomId(room_id), text, self.hall.via[:1]) if room_id else Name(text)

    def clock(self, moment: datetime) -> str:
        """A moment as people say it: "14:40 CET", with the date where it is not today."""
        local = moment.astimezone(self.zone)
        shape = "%H:%M" if local.date() == self.now.astimezone(self.zone).date() else "%d %b %H:%M"
        return f"{local:{shape} %Z}"

    def is_brought_in(self, user: str) -> bool:
        """Whether somebody comes into their room without a tap; people of other servers cannot."""
        seat = self.plan.seats.get(user)
        is_local = server_of(UserId(user)) == server_of(self.hall.bot)
        return self.brings_in and is_local and not (seat and seat.must_tap)


async def scene_of(
    unit: Unit, host: Host, config: BreakoutConfig, hall: Hall, desk: Desk | None, session: Session | None
) -> Scene:
    """The scene as it is now."""
    room = RoomId(desk.room) if desk and desk.room else None
    used = False
    if room is not None:
        members = await unit.rooms.members(room)
        used = any(m.membership == "join" and user != host.me for user, m in members.items())
    former = {}
    if session is not None:
        gone = [user for user in session.seats if user not in hall.names]
        for user in gone:
            content = await unit.rooms.content(hall.id, "m.room.member", user) or {}
            name = content.get("displayname")
            former[user] = name if isinstance(name, str) and name.strip() else user
    return Scene(
        session=session,
        hall=hall,
        desk=room,
        desk_is_used=used,
        now=unit.now,
        zone=config.zone,
        prefix=f"{host.prefix}{config.names[0]}",
        sign=host.prefix,
        settings=config.settings(),
        former_names=former,
        brings_in=config.members == "force_join",
    )
