"""The bot that one would write in an afternoon, with matrix-nio as its documentation shows it.

`python -m bench.peer run --config FILE`, a JSON file with `url`, `user_id`, `device_id` and `access_token`. It does one
thing after another, in order: that is what is compared. `!peer setup 4`, `start`, `move`, `broadcast text`, `end`,
`delete`, `status`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nio.client.async_client import AsyncClient, AsyncClientConfig
from nio.events.invite_events import InviteMemberEvent
from nio.events.room_events import RoomMessageText
from nio.responses import RoomCreateResponse
from nio.rooms import MatrixRoom

PREFIX = "!peer "


@dataclass
class Session:
    """The groups of one main room."""

    groups: list[list[str]] = field(default_factory=list)
    rooms: list[str] = field(default_factory=list)


class Peer:
    """Commands in, requests out, one at a time."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._sessions: dict[str, Session] = {}
        add: Any = client.add_event_callback  # typed for the base class of all events only
        add(self._invited, InviteMemberEvent)
        add(self._said, RoomMessageText)

    async def run(self) -> None:
        """Sync for ever."""
        # What was said before the start is not answered.
        await self._client.sync(timeout=0, full_state=True)
        await self._client.sync_forever(timeout=30_000)

    async def _invited(self, room: MatrixRoom, event: InviteMemberEvent) -> None:
        if event.state_key == self._client.user_id and event.membership == "invite":
            await self._client.join(room.room_id)
            await self._say(room.room_id, "Hello! Type !peer setup 4.")

    async def _said(self, room: MatrixRoom, event: RoomMessageText) -> None:
        if event.sender == self._client.user_id or not event.body.startswith(PREFIX):
            return
        command, _, rest = event.body.removeprefix(PREFIX).partition(" ")
        session = self._sessions.setdefault(room.room_id, Session())
        act = {
            "setup": self._setup,
            "start": self._start,
            "move": self._move,
            "broadcast": self._broadcast,
            "end": self._end,
            "delete": self._delete,
            "status": self._status,
        }.get(command)
        if act is not None:
            await act(room, event, session, rest)

    async def _setup(self, room: MatrixRoom, event: RoomMessageText, session: Session, rest: str) -> None:
        people = sorted(user for user in room.users if user not in (event.sender, self._client.user_id))
        count = int(rest)
        session.groups = [people[number::count] for number in range(count)]
        await self._say(room.room_id, f"{count} rooms are planned. Next: !peer start")

    async def _start(self, room: MatrixRoom, _event: RoomMessageText, session: Session, _rest: str) -> None:
        await self._say(room.room_id, "The rooms are opening.")
        if not session.rooms:
            for number, people in enumerate(session.groups, 1):
                made = await self._client.room_create(name=f"Room {number} · {room.display_name}")
                if isinstance(made, RoomCreateResponse):
                    session.rooms.append(made.room_id)
                    for user in people:
                        await self._client.room_invite(made.room_id, user)
                    await self._say(made.room_id, "Welcome! Type !peer help if you need a moderator.")
            return
        for there, people in zip(session.rooms, session.groups, strict=True):
            for user in people:
                await self._client.room_invite(there, user)
            await self._say(there, "Welcome back!")

    async def _move(self, room: MatrixRoom, _event: RoomMessageText, session: Session, _rest: str) -> None:
        await self._say(room.room_id, "Everybody goes to the next room.")
        targets = [*session.rooms[1:], session.rooms[0]]
        for old, new, people in zip(session.rooms, targets, session.groups, strict=True):
            for user in people:
                await self._client.room_invite(new, user)
                await self._client.room_kick(old, user)
        session.groups = [session.groups[-1], *session.groups[:-1]]

    async def _broadcast(self, room: MatrixRoom, _event: RoomMessageText, session: Session, rest: str) -> None:
        for there in session.rooms:
            await self._say(there, rest)
        await self._say(room.room_id, f"Said in {len(session.rooms)} rooms.")

    async def _end(self, room: MatrixRoom, _event: RoomMessageText, session: Session, _rest: str) -> None:
        await self._say(room.room_id, "The rooms are closing.")
        for there, people in zip(session.rooms, session.groups, strict=True):
            await self._say(there, "This room is closed.")
            for user in people:
                await self._client.room_kick(there, user)

    async def _delete(self, room: MatrixRoom, _event: RoomMessageText, session: Session, _rest: str) -> None:
        for there in session.rooms:
            await self._client.room_leave(there)
            await self._client.room_forget(there)
        session.rooms = []
        await self._say(room.room_id, "The rooms are deleted.")

    async def _status(self, room: MatrixRoom, _event: RoomMessageText, session: Session, _rest: str) -> None:
        await self._say(room.room_id, f"{len(session.rooms)} rooms.")

    async def _say(self, room: str, text: str) -> None:
        await self._client.room_send(room, "m.room.message", {"msgtype": "m.text", "body": text})


async def run(login: dict[str, Any]) -> None:
    """Log in and sync for ever."""
    config = AsyncClientConfig(encryption_enabled=False, store_sync_tokens=False)
    client = AsyncClient(login["url"], login["user_id"], config=config)
    client.restore_login(login["user_id"], login["device_id"], login["access_token"])
    try:
        await Peer(client).run()
    finally:
        await client.close()  # type: ignore[no-untyped-call]


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("run",))
    parser.add_argument("--config", type=Path, required=True)
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(run(json.loads(parser.parse_args().config.read_text("utf-8"))))


if __name__ == "__main__":
    main()
