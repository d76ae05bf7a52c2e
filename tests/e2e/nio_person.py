"""Somebody in encrypted rooms, by nio's own client: it shares nothing with the bot's code but the Olm library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nio.client.async_client import AsyncClient, AsyncClientConfig
from nio.events.room_events import Event, MegolmEvent
from nio.responses import LoginResponse, RoomCreateResponse, RoomSendResponse, SyncResponse

from bot.testing.raw import MatrixError
from bot.testing.synapse import Homeserver

ENCRYPTED: dict[str, Any] = {
    "type": "m.room.encryption",
    "state_key": "",
    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
}


@dataclass(slots=True)
class NioPerson:
    """One device of somebody."""

    client: AsyncClient
    heard: list[tuple[str, Event]] = field(default_factory=list)
    left: set[str] = field(default_factory=set)
    """Rooms that this one is out of; nio keeps them among its rooms."""

    @property
    def user_id(self) -> str:
        """The user id."""
        return str(self.client.user_id)

    async def sync(self, timeout_ms: int = 0) -> None:
        """Take in what is new, and look after the keys as nio's own loop does."""
        answer = await self.client.sync(timeout_ms, full_state=self.client.next_batch == "")
        assert isinstance(answer, SyncResponse), answer
        for room, info in answer.rooms.join.items():
            self.heard += [(room, event) for event in info.timeline.events]
        self.left |= set(answer.rooms.leave)
        if self.client.should_upload_keys:
            await self.client.keys_upload()
        if self.client.should_query_keys:
            await self.client.keys_query()

    async def until(self, wanted: Callable[[], Any], timeout: float = 15.0) -> Any:
        """Sync until `wanted` is true of what was heard."""
        async with asyncio.timeout(timeout):
            while not (found := wanted()):
                await self.sync(1000)
        return found

    async def hears(self, room: str, text: str) -> Event:
        """Somebody's message with this text, decrypted."""
        found: Event = await self.until(
            lambda: next((e for where, e in self.heard if where == room and getattr(e, "body", None) == text), None)
        )
        return found

    async def reads(self, room: str, part: str) -> Event:
        """A message that contains this, decrypted."""
        found: Event = await self.until(
            lambda: next((e for where, e in self.heard if where == room and part in getattr(e, "body", "")), None)
        )
        return found

    async def is_out_of(self, room: str) -> None:
        """Out of the room."""
        await self.until(lambda: room in self.left)

    async def comes_to(self, name: str) -> str:
        """Accept the invite to the room whose name contains this."""
        room: str = await self.until(
            lambda: next((r for r, there in self.client.invited_rooms.items() if name in (there.name or "")), None)
        )
        await self.join(room)
        return room

    def unreadable(self, room: str) -> list[Event]:
        """What could not be decrypted."""
        return [event for where, event in self.heard if where == room and isinstance(event, MegolmEvent)]

    async def create(self, *invite: str, name: str = "Secret", encrypted: bool = True) -> str:
        """Make a room, encrypted unless told otherwise."""
        made = await self.client.room_create(
            name=name, invite=list(invite), initial_state=[ENCRYPTED] if encrypted else []
        )
        assert isinstance(made, RoomCreateResponse), made
        await self.until(lambda: made.room_id in self.client.rooms)
        return str(made.room_id)

    async def join(self, room: str) -> None:
        """Join."""
        await self.client.join(room)
        await self.until(lambda: room in self.client.rooms)

    async def say(self, room: str, text: str, **more: Any) -> str:
        """Send a text, to all devices that are there now."""
        if self.client.olm and self.client.rooms[room].encrypted:
            self.client.olm.users_for_key_query.update(self.client.rooms[room].users)
            await self.client.keys_query()
        content = {"msgtype": "m.text", "body": text, **more}
        sent = await self.client.room_send(room, "m.room.message", content, ignore_unverified_devices=True)
        assert isinstance(sent, RoomSendResponse), sent
        return str(sent.event_id)


@asynccontextmanager
async def nio_person(homeserver: Homeserver, localpart: str, folder: Path) -> AsyncIterator[NioPerson]:
    """A new device of an account that is made where it is missing."""
    with suppress(MatrixError):  # the account is there: another device of it
        await homeserver.register(localpart, "secret")
    config = AsyncClientConfig(max_timeouts=3, pickle_key="test", store_sync_tokens=False)
    user = homeserver.user_id(localpart)
    client = AsyncClient(homeserver.url, user, store_path=str(folder), config=config)
    try:
        answer = await client.login("secret")
        assert isinstance(answer, LoginResponse), answer
        person = NioPerson(client)
        await person.sync()
        yield person
    finally:
        close: Any = client.close
        await close()
        store: Any = client.store
        store.database.close()
