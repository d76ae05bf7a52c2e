"""A broadcast to encrypted rooms, beside stock nio: `python -m bench.encryption --rooms 20 --people 200`.

Every person has one device, invited and reachable, whose keys the sender does not have yet. What counts besides the
time is the longest stall of the event loop: while it lasts, nobody is answered and no alarm rings.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nio.client.async_client import AsyncClient, AsyncClientConfig

from bot.clock import SystemClock
from bot.matrix.client import NioHomeserver
from bot.matrix.crypto.identity import KeyStore
from bot.matrix.crypto.machine import Machine
from bot.matrix.http import ask, open_client, path
from bot.matrix.ids import RoomId, UserId
from bot.matrix.ports import Blueprint, InitialState
from bot.testing.synapse import Account, Homeserver

AT_ONCE = 8
POWER = {"users": {}, "users_default": 0, "events_default": 0, "state_default": 50, "invite": 0, "kick": 50}
ENCRYPTION = InitialState("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
TICK_S = 0.002

Send = Callable[[str, str], Awaitable[Any]]


class Stalls:
    """The longest time for which the event loop did nothing else."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        """Look for ever."""
        last = time.perf_counter()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last - TICK_S)
            last = now


async def timed(name: str, act: Awaitable[Any]) -> tuple[float, float]:
    """Print and return how long it took, and the longest stall meanwhile, in seconds."""
    stalls = Stalls()
    watch, began = asyncio.create_task(stalls.watch()), time.perf_counter()
    await act
    took = time.perf_counter() - began
    watch.cancel()
    print(f"{name:44} {took:7.2f} s   longest stall {stalls.longest * 1000:6.0f} ms", flush=True)
    return took, stalls.longest


Row = dict[str, Any]


async def benchmark(rooms: int, people: int) -> list[Row]:
    """Make the rooms, send in both ways, print; returns `when`, `who`, `seconds` and `stall` of each broadcast."""
    rows: list[Row] = []
    logging.getLogger("nio").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        (place := Path(folder) / "stock").mkdir()
        async with Homeserver() as server:
            users = await _in_parallel([person(server, f"p{n}", Path(folder)) for n in range(people + rooms)])
            stock = await server.account("stock", "secret")
            async with _ours(server, Path(folder) / "ours") as bot:
                shares = [users[n:people:rooms] for n in range(rooms)]
                made = await _in_parallel([_room(bot, n, share, stock) for n, share in enumerate(shares)])
                await _in_parallel([_join(server, stock, room) for room in made])
                since = (await bot.sync(None, 0)).token
                async with _stock(server, stock, place) as client:
                    ways: dict[str, Send] = {
                        "ours": lambda room, key: _say(bot, room, key),
                        "stock nio": lambda room, key: _say_stock(client, room, key),
                    }
                    rows += await _measure("nobody has keys", ways, made, "first")
                    rows += await _measure("nothing has changed", ways, made, "second")
                    for room, newcomer in zip(made, users[people:], strict=True):
                        await bot.invite(RoomId(room), UserId(newcomer.user_id), "")
                        await _join(server, newcomer, room)
                    await bot.sync(since, 0)
                    await client.sync(0)
                    rows += await _measure("one more in each room", ways, made, "third")
    return rows


async def _measure(when: str, ways: Mapping[str, Send], rooms: Sequence[str], key: str) -> list[Row]:
    rows = []
    for who, send in ways.items():
        took, stall = await timed(f"{when}: {who}", _broadcast(rooms, send, key))
        rows.append({"when": when, "who": who, "seconds": round(took, 3), "stall": round(stall, 4)})
    return rows


async def _broadcast(rooms: Sequence[str], send: Send, key: str) -> None:
    await _in_parallel([send(room, key) for room in rooms])


async def _say(bot: NioHomeserver, room: str, key: str) -> None:
    await bot.send(RoomId(room), "m.room.message", {"msgtype": "m.text", "body": "Hello"}, f"{room}{key}")


async def _say_stock(client: AsyncClient, room: str, key: str) -> None:
    content = {"msgtype": "m.text", "body": "Hello"}
    await client.room_send(room, "m.room.message", content, f"{room}{key}", ignore_unverified_devices=True)


async def person(server: Homeserver, name: str, folder: Path) -> Account:
    """Somebody with one device, whose keys are at the homeserver."""
    login = await server.account(name, "secret")
    machine = Machine(UserId(login.user_id), login.device_id, folder / name, "key")
    async with open_client(server.url, login.access_token) as client:
        await ask(client, "POST", path("keys", "upload"), machine.to_publish(one_time_keys=0, has_fallback=False))
    machine.close()
    return login


@asynccontextmanager
async def _ours(server: Homeserver, folder: Path) -> AsyncIterator[NioHomeserver]:
    login = await server.account("ours", "secret")
    async with NioHomeserver.connect(
        server.url, login.user_id, login.device_id, login.access_token, SystemClock(), KeyStore(folder, "key")
    ) as bot:
        yield bot


@asynccontextmanager
async def _stock(server: Homeserver, login: Account, folder: Path) -> AsyncIterator[AsyncClient]:
    config = AsyncClientConfig(store_sync_tokens=False, pickle_key="key")
    client = AsyncClient(server.url, login.user_id, store_path=str(folder), config=config)
    client.restore_login(login.user_id, login.device_id, login.access_token)
    try:
        await client.sync(0, full_state=True)
        await client.keys_upload()
        yield client
    finally:
        await client.close()  # type: ignore[no-untyped-call]


async def _room(bot: NioHomeserver, number: int, users: Sequence[Account], stock: Account) -> str:
    invite = tuple(UserId(user.user_id) for user in (*users, stock))
    return await bot.create(Blueprint(f"Room {number}", "", POWER, (ENCRYPTION,), invite), f"room{number}")


async def _join(server: Homeserver, login: Account, room: str) -> None:
    async with open_client(server.url, login.access_token) as client:
        await ask(client, "POST", path("join", room), {})


async def _in_parallel(acts: Sequence[Awaitable[Any]]) -> list[Any]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(act: Awaitable[Any]) -> Any:
        async with gate:
            return await act

    return await asyncio.gather(*(one(act) for act in acts))


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=20)
    parser.add_argument("--people", type=int, default=200)
    options = parser.parse_args()
    asyncio.run(benchmark(options.rooms, options.people))


if __name__ == "__main__":
    main()
