"""Reads at the homeserver, as its admin, what really is: rooms, members and messages, whoever is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp

from bot.testing.raw import Json, RawUser, ask, path

_ADMIN = "/_synapse/admin/v1/rooms"


@dataclass(frozen=True, slots=True)
class RoomSeen:
    """One room as the homeserver has it."""

    id: str
    name: str
    members: dict[str, str]
    """The membership of everybody who ever had one, by user id."""
    powers: Json
    join_rules: Json
    events: tuple[Json, ...]
    """Everything that happened there, oldest first."""

    def who(self, membership: str = "join") -> set[str]:
        """The users who have this membership."""
        return {user for user, has in self.members.items() if has == membership}

    def said(self, sender: str, *parts: str) -> list[Json]:
        """Messages of this user with all `parts` in their text, edits left out."""
        return [
            event
            for event in self.events
            if event["type"] == "m.room.message"
            and event["sender"] == sender
            and all(part in str(event["content"].get("body", "")) for part in parts)
            and event["content"].get("m.relates_to", {}).get("rel_type") != "m.replace"
        ]

    def answers(self, sender: str) -> Counter[str]:
        """How many messages of this user reply to each event."""
        relations = (
            event["content"].get("m.relates_to", {})
            for event in self.events
            if event["type"] == "m.room.message" and event["sender"] == sender
        )
        return Counter(relation["m.in_reply_to"]["event_id"] for relation in relations if "m.in_reply_to" in relation)

    def in_clear(self) -> list[Json]:
        """Messages that the homeserver could read."""
        return [event for event in self.events if event["type"] == "m.room.message" and "encrypted" not in event]

    def since(self, user: str) -> int:
        """When somebody was first invited or joined, in milliseconds; only what was said since is theirs to read."""
        moments = [
            event["origin_server_ts"]
            for event in self.events
            if event["type"] == "m.room.member"
            and event.get("state_key") == user
            and event["content"].get("membership") in ("invite", "join")
        ]
        return int(min(moments, default=0))

    def invites(self) -> Counter[str]:
        """How often each user was invited."""
        return Counter(
            event["state_key"]
            for event in self.events
            if event["type"] == "m.room.member" and event["content"].get("membership") == "invite"
        )


class Reader:
    """The admin of the homeserver. Source: Synapse's documentation, "Rooms API" and "User Admin API".

    What the homeserver cannot read is as the clients of `people` have it.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str, people: Iterable[RawUser]) -> None:
        self._session = session
        self._url = url
        self._token = token
        self._people = tuple(people)

    async def rooms(self) -> list[RoomSeen]:
        """Every room of the homeserver."""
        answer = await self._get(_ADMIN, {"limit": "1000"})
        return [await self._room(str(room["room_id"])) for room in answer["rooms"]]

    async def joined_rooms(self, user: str) -> set[str]:
        """The rooms that a user is in."""
        return set((await self._get(f"/_synapse/admin/v1/users/{user}/joined_rooms"))["joined_rooms"])

    async def _room(self, room: str) -> RoomSeen:
        below = _ADMIN + path(room).removeprefix("/_matrix/client/v3")
        state = (await self._get(f"{below}/state"))["state"]
        members = {
            event["state_key"]: str(event["content"].get("membership"))
            for event in state
            if event["type"] == "m.room.member"
        }
        contents = {event["type"]: event["content"] for event in state if event["state_key"] == ""}
        return RoomSeen(
            room,
            str(contents.get("m.room.name", {}).get("name", "")),
            members,
            contents.get("m.room.power_levels", {}),
            contents.get("m.room.join_rules", {}),
            self._opened(await self._events(below)),
        )

    def _opened(self, events: Iterable[Json]) -> tuple[Json, ...]:
        read = {
            seen.event_id: seen.event
            for user in self._people
            for seen in user.transcript
            if seen.event_id and seen.type != "m.room.encrypted"
        }
        return tuple(
            {**read.get(event["event_id"], event), "encrypted": True} if event["type"] == "m.room.encrypted" else event
            for event in events
        )

    async def _events(self, below: str) -> tuple[Json, ...]:
        events: list[Json] = []
        query = {"dir": "f", "limit": "500"}
        while True:
            page = await self._get(f"{below}/messages", query)
            events.extend(page["chunk"])
            if not page["chunk"] or "end" not in page:
                return tuple(events)
            query = {**query, "from": page["end"]}

    async def _get(self, where: str, query: dict[str, str] | None = None) -> Json:
        answer: Json = await ask(self._session, "GET", self._url + where, token=self._token, query=query)
        return answer
