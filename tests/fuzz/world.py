"""A class in each phase of its life, thawed from a snapshot for each attempt, on a server that passes on any JSON."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from bot.config import AccessConfig
from bot.matrix.batch import batch_of
from bot.matrix.events import RoomDelta, SyncBatch
from bot.matrix.ids import EventId, RoomId
from bot.matrix.ports import Urgency, Wanted
from bot.matrix.received import received
from bot.testing.clock import FakeClock
from bot.testing.fake import FakeHomeserver, FakeServer
from bot.testing.harness import Room, Talk, life, user_id
from plugins.breakout.domain.model import Session
from plugins.breakout.store import Desk, Sessions
from tests.kill_matrix.simulated.inline import without_threads

PHASES = ("none", "set up", "running", "closing", "ended", "delete asked")
"""Where the class stands when the attempt begins."""

PLUGINS = {"breakout": {"ignore_users": ["@irc*:test"]}}
BIGGEST_EVENT = 65_536
PATIENCE_S = 60.0
"""Real seconds within which the bot is done with one input, on a busy machine."""


class HostileHomeserver(FakeHomeserver):
    """Brings, besides what happens, what other servers made up; refuses what no request could carry."""

    def __init__(self, server: FakeServer) -> None:
        super().__init__(server)
        self.made_up: list[tuple[RoomId, Any]] = []

    def pass_on(self, room: RoomId, raw: Any) -> None:
        """Let the next sync bring this as an event of the room's timeline."""
        self.made_up.append((room, raw))
        self.server.news.set()

    def _has_news(self, position: int) -> bool:
        return bool(self.made_up) or super()._has_news(position)

    async def sync(self, since: str | None, timeout_s: float) -> SyncBatch:
        """As bytes, and read from them as the real one is."""
        batch = await super().sync(since, timeout_s)
        joined: dict[RoomId, dict[str, Any]] = {room: _body(delta) for room, delta in batch.joined.items()}
        for room, raw in self.made_up:
            if self.server.room(room).membership(self.me) == "join":
                joined.setdefault(room, _body(RoomDelta()))["timeline"]["events"].append(raw)
        self.made_up.clear()
        answer = {
            "next_batch": batch.token,
            "rooms": {
                "join": joined,
                "invite": {room: {"invite_state": {"events": list(e)}} for room, e in batch.invited.items()},
                "leave": {room: _body(delta) for room, delta in batch.left.items()},
            },
        }
        return batch_of(received(json.dumps(answer).encode()), batch.server_time)

    async def send(
        self,
        room: RoomId,
        type_: str,
        content: Mapping[str, Any],
        key: str,
        *,
        urgency: Urgency = Urgency.MESSAGE,
        wanted: Wanted | None = None,
    ) -> EventId:
        """Send what JSON on the wire can carry."""
        body = json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
        assert len(body) < BIGGEST_EVENT, f"an event of {len(body)} bytes"
        return await super().send(room, type_, content, key, urgency=urgency, wanted=wanted)


def _body(delta: RoomDelta) -> dict[str, Any]:
    return {"state": {"events": list(delta.state)}, "timeline": {"events": list(delta.timeline)}}


class BrokenError(AssertionError):
    """A law does not hold."""


@dataclass
class Complaints:
    """What the bot logs as an error, as soon as it does."""

    found: list[str] = field(default_factory=list)
    any: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, _logger: object, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Note an error and drop the entry."""
        if method in ("error", "critical", "exception"):
            shown = structlog.processors.format_exc_info(_logger, method, fields)
            self.found.append("\n".join(f"{name}: {value}" for name, value in shown.items()))
            self.any.set()
        raise structlog.DropEvent


@dataclass
class World:
    """A thawed class."""

    talk: Talk
    homeserver: HostileHomeserver
    complaints: Complaints
    places: dict[str, Room]
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def settled(self) -> None:
        """Wait until the bot is done; an error that it logs ends the waiting."""
        done = asyncio.ensure_future(self.talk.settled())
        wrong = asyncio.ensure_future(self.complaints.any.wait())
        try:
            await asyncio.wait({done, wrong}, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_S)
            if self.complaints.found:
                raise BrokenError("the bot logged an error:\n" + "\n".join(self.complaints.found))
            if not done.done():
                raise BrokenError(f"the bot was not done after {PATIENCE_S} s")
            done.result()
        finally:
            for task in (done, wrong):
                task.cancel()
            await asyncio.wait({done, wrong})

    def room(self, place: str) -> Room | None:
        """The room of this place, where there is one in this phase."""
        return self.places.get(place)

    async def kept(self) -> tuple[Session | None, Desk | None]:
        """What the store has of the class."""
        async with self.talk.app._database.read() as connection:
            sessions, main = Sessions(connection), self.places["main"].id
            return await sessions.get(main), await sessions.desk(main)


@dataclass(frozen=True)
class Snapshot:
    """A class asleep: the homeserver, and the data folder."""

    homeserver: HostileHomeserver
    folder: Path
    places: Mapping[str, RoomId]


_SNAPSHOTS: dict[str, Snapshot] = {}
_SHELF = tempfile.TemporaryDirectory(dir=next((d for d in ("/dev/shm",) if Path(d).is_dir()), None))  # noqa: S108


async def _played(talk: Talk, phase: str) -> dict[str, Room]:
    """Bring a class into a phase."""
    main = await talk.main_room(moderators=["ann", "gone"], people=["bob", "cleo", "dan", "eve", "irc_zoe"])
    own = Room(talk, talk.user("mallory").create_room("Mine"))
    talk.user("mallory").invite(own.id, talk.homeserver.me)
    await talk.joins(main, "mallory")
    for person in ("ann", "gone", "bob", "out", "irc_zoe"):
        await talk.joins(own, person)
    places = {"main": main, "own": own}
    if phase != "none":
        await main.says("@ann", "!breakout setup manual\nRed: @bob @cleo\nGreen: @dan @eve")
        desk = places["desk"] = talk.room_named("Moderators of")
        for moderator in ("ann", "gone"):
            talk.user(moderator).join(desk.id)
        await talk.settled()
    if phase not in ("none", "set up"):
        await main.says("@ann", "!breakout start 20m")
        for place, people in (("red", ("bob", "cleo", "ann")), ("green", ("dan", "eve"))):
            places[place] = talk.room_named(f"{place.capitalize()} ·")
            for person in people:
                talk.user(person).join(places[place].id)
        talk.user("ann").invite(places["red"].id, user_id("out"))
        talk.user("ann").invite(places["red"].id, user_id("irc_zoe"))
        for person in ("out", "irc_zoe"):
            talk.user(person).join(places["red"].id)
        await talk.settled()
        await talk.passes(120)
        await places["red"].says("@bob", "!help we are stuck")
    if phase == "closing":
        await main.says("@ann", "!breakout end 2m")
    if phase in ("ended", "delete asked"):
        await main.says("@ann", "!breakout end now")
    if phase == "delete asked":
        await main.says("@ann", "!breakout delete")
    admin = next(user for user in main.raw.power.users if user.startswith("@admin"))
    levels = main.raw.content("m.room.power_levels")
    users = {**levels["users"], user_id("gone"): 0}
    talk.server._append(main.raw, admin, "m.room.power_levels", {**levels, "users": users}, "")
    await talk.settled()
    return places


async def _snapshot(phase: str) -> Snapshot:
    if phase not in _SNAPSHOTS:
        server = FakeServer(FakeClock())
        homeserver = HostileHomeserver(server)
        folder = Path(_SHELF.name) / phase
        async with life(server, homeserver, folder, PLUGINS, AccessConfig()) as talk:
            places = await _played(talk, phase)
        assert isinstance(server.clock, FakeClock)
        server.clock._sleepers.clear()
        server.news, homeserver._waiting = asyncio.Event(), asyncio.Event()
        homeserver.faults.clear()
        _SNAPSHOTS[phase] = Snapshot(homeserver, folder, {name: room.id for name, room in places.items()})
    return _SNAPSHOTS[phase]


@asynccontextmanager
async def thawed(phase: str) -> AsyncIterator[World]:
    """A class of its own in this phase."""
    with without_threads():
        snapshot = await _snapshot(phase)
        homeserver = copy.deepcopy(snapshot.homeserver)
        complaints = Complaints()
        before = structlog.get_config()
        structlog.configure(processors=[complaints], wrapper_class=structlog.BoundLogger)
        try:
            with tempfile.TemporaryDirectory(dir=_SHELF.name) as folder:
                data = Path(folder) / "data"
                shutil.copytree(snapshot.folder, data)
                async with life(homeserver.server, homeserver, data, PLUGINS, AccessConfig()) as talk:
                    places = {name: Room(talk, room) for name, room in snapshot.places.items()}
                    world = World(talk, homeserver, complaints, places)
                    await world.settled()
                    yield world
        finally:
            structlog.configure(**before)


def said_since(world: World, positions: Mapping[RoomId, int]) -> Sequence[tuple[RoomId, Mapping[str, Any]]]:
    """The bot's own events since then, in all rooms."""
    return [
        (room.id, event)
        for room in world.talk.server.rooms.values()
        for event in room.events[positions.get(room.id, 0) :]
        if event["sender"] == world.homeserver.me
    ]
