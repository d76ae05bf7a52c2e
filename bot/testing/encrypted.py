"""People in encrypted rooms: the same as `RawUser`, with the encryption of nio's own client and none of the bot's."""

from __future__ import annotations

import asyncio
import copy
import logging
from pathlib import Path
from typing import Any

import aiohttp
from nio.client.async_client import AsyncClient, AsyncClientConfig
from nio.events.room_events import Event, MegolmEvent
from nio.responses import RoomSendResponse, SyncResponse

from bot.testing.raw import Json, RawUser, Seen
from bot.testing.synapse import Account

CLEAR = frozenset({"m.reaction"})
"""Sent in clear, as all clients do."""


class EncryptedUser(RawUser):
    """One person on one device. What cannot be decrypted stays an `m.room.encrypted` event in the transcript."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, account: Account, folder: Path, *, name: str | None = None
    ) -> None:
        super().__init__(session, url, account.user_id, account.access_token, name=name)
        logging.getLogger("nio").setLevel(logging.CRITICAL)  # it tells of each device that it meets
        folder.mkdir(parents=True, exist_ok=True)
        config = AsyncClientConfig(max_timeouts=3, pickle_key="key", store_sync_tokens=False)
        self._client = AsyncClient(url, account.user_id, store_path=str(folder), config=config)
        self._client.restore_login(account.user_id, account.device_id, account.access_token)
        self._locked: dict[str, MegolmEvent] = {}
        self._turn = asyncio.Lock()

    async def published(self) -> None:
        """Begin to listen; return when others can find this device's keys."""
        self.listen()
        async with self._news:
            await self._news.wait_for(lambda: not self._client.should_upload_keys)

    async def close(self) -> None:
        """Stop listening, and close the store."""
        await super().close()
        end: Any = self._client.close
        await end()
        store: Any = self._client.store
        store.database.close()

    async def send(self, room: str, type_: str, content: Json) -> str:
        """Send any event, encrypted where the room is, to all devices that are there now; return its id."""
        self.listen()
        async with self._news:
            await self._news.wait_for(lambda: room in self._client.rooms)
        there = self._client.rooms[room]
        if type_ in CLEAR or not there.encrypted:
            return await super().send(room, type_, content)
        async with self._turn:
            assert self._client.olm is not None
            self._client.olm.users_for_key_query.update(there.users)
            await self._client.keys_query()
            sent = await self._client.room_send(room, type_, content, ignore_unverified_devices=True)
            if not isinstance(sent, RoomSendResponse):
                raise RuntimeError(f"{self.user_id} could not send: {sent}")  # noqa: TRY004 - no matter of types
            return str(sent.event_id)

    async def _opened(self, answer: Json) -> Json:
        """The answer of a sync, what can be read decrypted."""
        response = SyncResponse.from_dict(copy.deepcopy(answer))
        if not isinstance(response, SyncResponse):
            raise RuntimeError(f"{self.user_id} cannot read the sync: {response}")  # noqa: TRY004
        async with self._turn:
            await self._client.receive_response(response)
            if self._client.should_upload_keys:
                await self._client.keys_upload()
            if self._client.should_query_keys:
                await self._client.keys_query()
        opened = {}
        # Also where this person is out again: what was said before that comes by the same answer.
        for room, part in (*response.rooms.join.items(), *response.rooms.leave.items()):
            for event in part.timeline.events:
                if isinstance(event, MegolmEvent):
                    event.room_id = room
                    self._locked[event.event_id] = event
                elif isinstance(event, Event) and event.decrypted:
                    opened[event.event_id] = event
        readable = self._late() | opened
        for section in ("join", "leave"):
            for part in answer.get("rooms", {}).get(section, {}).values():
                for raw in part.get("timeline", {}).get("events", []):
                    if found := readable.get(raw["event_id"]):
                        raw.update(_read(found))
        return answer

    def _late(self) -> dict[str, Event]:
        """What became readable by a key that came after it; it is heard once more, decrypted."""
        found: dict[str, Event] = {}
        for event_id, locked in list(self._locked.items()):
            opened = self._client.olm.decrypt_event(locked) if self._client.olm else None
            if isinstance(opened, Event):
                found[event_id] = opened
                del self._locked[event_id]
        for seen in [seen for seen in self.transcript if seen.event_id in found]:
            self.transcript.append(Seen(seen.room, seen.section, {**seen.event, **_read(found[seen.event_id])}))
        return found


def _read(event: Event) -> Json:
    return {"type": event.source["type"], "content": event.source["content"]}
