"""What is seen: who is in the main room, and how its rooms are, from the room-state table."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.matrix.events import Content
from bot.matrix.ids import RoomId, UserId, server_of
from bot.plugin import Unit
from bot.store.roomstate import Membership, RoomStates
from plugins.breakout.config import BreakoutConfig
from plugins.breakout.domain.desired import ENCRYPTION, MARKER, MainRoom, Member, SeenRoom
from plugins.breakout.domain.model import Person
from plugins.breakout.succession import Former, former_of

_CALL_KEY = re.compile(r"@[^:]+:[^_]+")
"""The user id in a state key of call membership: bare (MSC3401), or `_@ann:example.org_DEVICE_m.call` (MSC4143)."""

LONGEST_NAME = 80
"""Characters of a display name that are said and can be typed."""

MOST_VIA = 3
"""Servers named in a link: more help nobody."""


@dataclass(frozen=True, slots=True)
class Hall:
    """The main room and its people, as they are now."""

    id: RoomId
    name: str | None
    people: tuple[Person, ...]
    """Moderators and participants; neither the bot nor those whom `ignore_users` names."""
    banned: frozenset[str]
    via: tuple[str, ...]
    in_call: frozenset[str]
    bot: UserId
    names: Mapping[str, str]
    """What each person is called."""
    encrypted: bool
    entered: bool = True
    """Whether the bot is in it."""
    former: RoomId | None = None
    """The room that it replaced, while membership of that one counts."""

    @property
    def moderators(self) -> frozenset[str]:
        """Who may give every command."""
        return frozenset(person.user for person in self.people if person.moderator)

    def person(self, user: str) -> Person | None:
        """One of them; None for somebody who is not (any more) in the main room."""
        return next((person for person in self.people if person.user == user), None)

    def for_rules(self) -> MainRoom:
        """What the rules about rooms need of it."""
        return MainRoom(self.id, self.bot, self.moderators, self.banned, self.encrypted, self.former)


async def look(unit: Unit, config: BreakoutConfig, me: UserId, main: RoomId) -> Hall:
    """The main room as it is."""
    members = await unit.rooms.members(main)
    power = await unit.rooms.power(main)
    spoke = dict(await unit.rooms.last_spoke(main))
    former = await _former(unit, main, me)
    entered = me in members and members[me].membership == "join"
    if former is not None:
        members = {**members, **await _left_behind(unit.rooms, former.id, members)}
        spoke = {**await unit.rooms.last_spoke(former.id), **spoke}
    in_call = await _in_call(unit.rooms, config.call_event_types, main)
    joined = {
        user: member
        for user, member in members.items()
        if member.membership == "join" and user != me and not is_ignored(user, config)
    }
    names = _names(joined)
    here_since = unit.now - timedelta(seconds=config.here_for.total_seconds())
    people = tuple(
        Person(
            user,
            names[user],
            moderator=power.level(user) >= config.moderator_power_level,
            here=user in in_call or spoke.get(user, datetime.min.replace(tzinfo=unit.now.tzinfo)) >= here_since,
            joined_at=member.at,
        )
        for user, member in joined.items()
    )
    banned = frozenset(user for user, member in members.items() if member.membership == "ban")
    return Hall(
        id=main,
        name=await unit.rooms.name(main),
        people=people,
        banned=banned,
        via=_via(joined, me),
        in_call=in_call,
        bot=me,
        names=names,
        encrypted=await is_encrypted(unit.rooms, main),
        entered=entered,
        former=former.id if former else None,
    )


async def is_in(unit: Unit, me: UserId, main: RoomId, user: UserId) -> bool:
    """Whether somebody is in the main room, or still counts as being in it by the room that it replaced."""
    member = await unit.rooms.content(main, "m.room.member", user)
    if member is not None and not _is_to_come(member.get("membership")):
        return member.get("membership") == "join"
    former = await _former(unit, main, me)
    old = await unit.rooms.content(former.id, "m.room.member", user) if former else None
    return old is not None and old.get("membership") == "join"


async def _former(unit: Unit, main: RoomId, me: UserId) -> Former | None:
    """The room that this one replaced, while membership of it counts."""
    former = await former_of(unit.rooms, main, me)
    return former if former is not None and unit.now < former.until else None


async def _left_behind(
    rooms: RoomStates, old: RoomId, members: Mapping[UserId, Membership]
) -> Mapping[UserId, Membership]:
    """The members of the old room who have not been in the new one."""
    return {
        user: member
        for user, member in (await rooms.members(old)).items()
        if member.membership == "join" and (user not in members or _is_to_come(members[user].membership))
    }


def _is_to_come(membership: object) -> bool:
    return membership in ("invite", "knock")


async def is_encrypted(rooms: RoomStates, room: RoomId) -> bool:
    """Whether what is said there is encrypted."""
    return await rooms.content(room, ENCRYPTION) is not None


def is_ignored(user: str, config: BreakoutConfig) -> bool:
    """Whether somebody is another bot or a bridge, by the settings."""
    return any(fnmatch.fnmatchcase(user, pattern) for pattern in config.ignore_users)


async def see(rooms: RoomStates, room: RoomId, me: UserId) -> SeenRoom | None:
    """One room as it is; None where we are not in it (or do not know of it yet)."""
    members = await rooms.members(room)
    if me not in members or members[me].membership != "join":
        return None
    topic = (await rooms.content(room, "m.room.topic") or {}).get("topic")
    return SeenRoom(
        members={user: _member(member, user, me) for user, member in members.items() if user != me},
        power=await rooms.content(room, "m.room.power_levels") or {},
        join_rules=await rooms.content(room, "m.room.join_rules") or {},
        name=await rooms.name(room) or "",
        topic=topic if isinstance(topic, str) else "",
        encrypted=await is_encrypted(rooms, room),
        marker=await rooms.content(room, MARKER),
    )


async def members_in(rooms: RoomStates, where: Iterable[RoomId], me: UserId) -> Mapping[str, Mapping[str, Member]]:
    """Who is, was or is invited in each of these rooms, by room and person."""
    found: dict[str, dict[str, Member]] = {}
    for room, user, member in await rooms.members_in(where):
        found.setdefault(room, {})[user] = _member(member, user, me)
    return found


def _member(member: Membership, user: UserId, me: UserId) -> Member:
    return Member(member.membership, by_self=member.sender == user, by_bot=member.sender == me, at=member.at)


async def markers_of(rooms: RoomStates, main: RoomId, me: UserId) -> Mapping[RoomId, Content]:
    """The rooms that we made for this main room and are in, each with its marker, whether a store knows them or not.

    Anybody can put a marker into a room of their own, or a moderator into the main room: those are not meant.
    """
    former = await former_of(rooms, main, me)
    mains = (main, former.id if former else main)
    return {
        room: marker
        for room, marker in (await rooms.rooms_with(MARKER)).items()
        if marker.get("main") in mains and await rooms.creator(room) == me
    }


async def rooms_of(rooms: RoomStates, main: RoomId, me: UserId) -> Mapping[RoomId, str]:
    """The rooms that we made for this main room, each with its creation key."""
    return {room: str(marker.get("key")) for room, marker in (await markers_of(rooms, main, me)).items()}


def _names(joined: Mapping[UserId, Membership]) -> Mapping[str, str]:
    """Display names; where two are equal, or there is none, the user id tells them apart."""
    shown = {user: _short(member.name.strip()) or user for user, member in joined.items()}
    often = Counter(name.casefold() for name in shown.values())
    return {
        user: name if often[name.casefold()] == 1 or name == user else f"{name} ({user})"
        for user, name in shown.items()
    }


def _short(name: str) -> str:
    """A name as long as names are: one that fills a whole event would keep every board from being sent."""
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME].rstrip()}…"


async def _in_call(rooms: RoomStates, types: Iterable[str], main: RoomId) -> frozenset[str]:
    """Whose call membership stands in the room; the state key is the user id, perhaps with a device."""
    users = set()
    for type_ in types:
        for key, content in (await rooms.of_type(main, type_)).items():
            if content and content.get("memberships") != [] and (member := _CALL_KEY.search(key)):
                users.add(member[0])
    return frozenset(users)


def _via(joined: Mapping[UserId, Membership], me: UserId) -> tuple[str, ...]:
    """The bot's own server, which is in every breakout room, then those of the most people."""
    servers = Counter(server_of(user) for user in joined)
    servers.pop(server_of(me), None)
    return (server_of(me), *(server for server, _ in servers.most_common(MOST_VIA - 1)))
