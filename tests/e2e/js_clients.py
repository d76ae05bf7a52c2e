"""People whose clients nobody here wrote: matrix-js-sdk in a Node process, with the Rust crypto of today's apps.

    async with js_clients() as clients:
        ann = await clients.login("ann", homeserver.url, user_id, "secret", strict=True)
        room = await ann.create_room("Secret")

What Node runs is tests/js/clients.mjs. What that needs is installed once, outside of the repository, from the
registry that npm is configured with; without it, or without Node, the test is skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from bot.testing.raw import Json

JS = Path(__file__).parents[1] / "js"
NEEDED = ("package.json", "package-lock.json")
OLDEST_NODE = 20

INSTALL_SECONDS = 90.0
"""How long npm may take; 2 s where the registry is near."""

WAIT_SECONDS = 15.0
"""How long is waited for what somebody else does."""

ANSWER_SECONDS = 45.0
"""How long Node may take for what it does itself; it has time limits of its own, which say more."""

END_SECONDS = 5.0

_NO_REGISTRY = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONN\w+|ENETUNREACH|EHOSTUNREACH|E?TIMEDOUT|ERR_SOCKET_TIMEOUT|EPIPE|EPROTO|CERT_\w+"
    r"|E40[1347]|E429|E50\d|ENOTCACHED|ERR_INVALID_URL)\b"
)
"""What npm says where no registry has the packages; everything else, like a wrong lock, is a fault of ours."""


class JsClientFailed(RuntimeError):
    """A client could not do what it was told, or waited in vain; the text says what."""


@dataclass(frozen=True, slots=True)
class JsEvent:
    """An event as a client has it."""

    event_id: str
    sender: str
    type: str
    """Of the decrypted event; `m.room.encrypted` where that failed."""
    body: str | None
    """What this event itself says; of an edit, the new text without the asterisk."""
    shown: str | None
    """What a reader sees in its place: after an edit, the new text."""
    msgtype: str | None
    encrypted: bool
    """Whether it was sent encrypted."""
    failure: str | None
    """Why it cannot be read: one of the sdk's `DecryptionFailureCode`."""
    redacted: bool
    relates_to: Json | None
    """As it stands outside of the encryption, which is all that clients look at."""
    mentions: Json | None


@dataclass(frozen=True, slots=True)
class JsDevice:
    """A device of somebody as a client sees it."""

    device_id: str
    name: str | None
    tracked: bool
    """Whether the client keeps this user's devices, which it does once they share an encrypted room."""
    signed_by_owner: bool
    """What a strict client asks for."""
    cross_signing_verified: bool
    """That, and the owner's identity was verified by us; so always false for others in these tests."""
    locally_verified: bool
    verified: bool


@dataclass(frozen=True, slots=True)
class JsRoom:
    """A room as a client has it."""

    room_id: str
    name: str
    membership: str
    encrypted: bool
    members: list[str]
    """Who is in it; the invited are not."""


class JsClient:
    """One device of somebody, logged in by `JsClients.login`."""

    def __init__(self, clients: JsClients, name: str, user_id: str, device_id: str, *, signed: bool) -> None:
        self._clients = clients
        self.name = name
        self.user_id = user_id
        self.device_id = device_id
        self.signed = signed
        """Whether this device was signed by its owner at the login."""

    async def create_room(self, name: str, *invite: str, encrypted: bool = True) -> str:
        """Make a private room and return its id when the client has it; `invite` are user ids."""
        return str(await self._do("create_room", name=name, encrypted=encrypted, invite=list(invite)))

    async def join(self, room: str) -> None:
        """Join, and return when the client has the room's state."""
        await self._do("join", room=room)

    async def leave(self, room: str) -> None:
        await self._do("leave", room=room)

    async def invite(self, room: str, user_id: str) -> None:
        """Invite somebody, and share the keys of what was said before where the room's history is for them."""
        await self._do("invite", room=room, user=user_id)

    async def kick(self, room: str, user_id: str, reason: str | None = None) -> None:
        await self._do("kick", room=room, user=user_id, reason=reason)

    async def send(self, room: str, text: str, *, reply_to: str | None = None, thread: str | None = None) -> str:
        """Send a text, encrypted where the room is, and return its event id."""
        return str(await self._do("send", room=room, text=text, reply_to=reply_to, thread=thread))

    async def edit(self, room: str, event_id: str, text: str) -> str:
        """Replace the text of an own message, and return the id of the edit."""
        return str(await self._do("edit", room=room, event=event_id, text=text))

    async def react(self, room: str, event_id: str, key: str) -> str:
        """React, in the clear as clients do, and return the id of the reaction."""
        return str(await self._do("react", room=room, event=event_id, key=key))

    async def redact(self, room: str, event_id: str, reason: str | None = None) -> str:
        """Delete an event, and return the id of the redaction."""
        return str(await self._do("redact", room=room, event=event_id, reason=reason))

    async def read(self, room: str) -> list[JsEvent]:
        """The live timeline, oldest first, edits and reactions and changes of state included."""
        return [JsEvent(**event) for event in await self._do("read", room=room)]

    async def wait(
        self, room: str, contains: str, *, sender: str | None = None, timeout: float = WAIT_SECONDS
    ) -> JsEvent:
        """The first event whose decrypted body contains this, whether it is there already or comes."""
        return JsEvent(**await self._wait("wait", timeout, room=room, contains=contains, sender=sender))

    async def wait_event(
        self,
        room: str,
        event_id: str,
        *,
        readable: bool = False,
        failure: str | None = None,
        timeout: float = WAIT_SECONDS,
    ) -> JsEvent:
        """One event when it has come and its decryption was tried.

        A failure may pass when the keys come later: ask for `readable`, or for the `failure` that is to last.
        """
        wanted = {"event": event_id, "readable": readable, "failure": failure}
        return JsEvent(**await self._wait("wait_event", timeout, room=room, **wanted))

    async def wait_invite(self, name_contains: str, *, timeout: float = WAIT_SECONDS) -> str:
        """The id of a room that this one is invited to; join it yourself."""
        return str(await self._wait("wait_invite", timeout, name_contains=name_contains))

    async def wait_membership(
        self, room: str, membership: Literal["invite", "join", "leave", "ban"], *, timeout: float = WAIT_SECONDS
    ) -> None:
        """Until the own membership is this one, whoever changed it."""
        await self._wait("wait_membership", timeout, room=room, membership=membership)

    async def devices_seen(self, user_id: str) -> list[JsDevice]:
        """The devices of somebody, as this client knows them now."""
        return [JsDevice(**device) for device in await self._do("devices_seen", user=user_id)]

    async def wait_signed(self, user_id: str, device_id: str | None = None, *, timeout: float = WAIT_SECONDS) -> None:
        """Until all devices of somebody, this one among them, are signed by their owner, as this client sees them."""
        await self._wait("wait_signed", timeout, user=user_id, device=device_id)

    async def sign_device(self, device_id: str) -> None:
        """Sign another device of the own account, as a person does who verifies a new one with an old one."""
        await self._do("sign_device", device=device_id)

    async def rooms(self) -> list[JsRoom]:
        """All rooms that the client knows, those it has left included."""
        return [JsRoom(**room) for room in await self._do("rooms")]

    async def stop(self) -> None:
        """End the sync and forget the keys; the device stays logged in, but nothing can come back to it."""
        await self._do("stop")

    async def _do(self, verb: str, **given: Any) -> Any:
        return await self._clients.ask(self.name, verb, given)

    async def _wait(self, verb: str, seconds: float, **given: Any) -> Any:
        given["timeout_ms"] = round(seconds * 1000)
        return await self._clients.ask(self.name, verb, given, seconds + ANSWER_SECONDS)


class JsClients:
    """The Node process with its clients; made by `js_clients`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Json]] = {}
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def login(
        self, name: str, homeserver_url: str, user_id: str, password: str, *, strict: bool = False, signed: bool = True
    ) -> JsClient:
        """A new device of an existing account, returned when its first sync is done and its keys are known.

        `strict`: it exchanges keys with devices only that their owner has signed (MSC4153). With `signed` its own
        device is signed, but where the account has an identity from an earlier device; see `JsClient.signed` and
        `JsClient.sign_device`.
        """
        given = {"url": homeserver_url, "user_id": user_id, "password": password, "strict": strict, "signed": signed}
        made = await self.ask(name, "login", given)
        return JsClient(self, name, made["user_id"], made["device_id"], signed=made["signed"])

    async def ask(self, client: str | None, verb: str, given: Json, seconds: float = ANSWER_SECONDS) -> Any:
        """Have one thing done and return its result; raises `JsClientFailed`."""
        if self._reading.done():
            raise JsClientFailed(self._end_of_node())
        number = next(self._numbers)
        what = f"{client or 'Node'}: {verb}"
        line = json.dumps({"id": number, "client": client, "do": verb, "with": given})
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(f"{line}\n".encode())
            async with asyncio.timeout(seconds):
                answer = await self._asked[number]
        except TimeoutError:
            raise JsClientFailed(f"{what}: no answer within {seconds:g} s") from None
        finally:
            del self._asked[number]
        if not answer["ok"]:
            raise JsClientFailed(f"{what}: {answer['error']}")
        return answer["result"]

    async def close(self) -> None:
        """End Node, by force where it does not end by itself."""
        try:
            with contextlib.suppress(JsClientFailed):
                await self.ask(None, "quit", {}, END_SECONDS)
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            pass
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer = json.loads(line)
            future = self._asked.get(answer["id"])
            if future is not None and not future.done():  # else nobody waits any more
                future.set_result(answer)
        await self._process.wait()
        for future in self._asked.values():
            if not future.done():
                future.set_result({"ok": False, "error": self._end_of_node()})

    def _end_of_node(self) -> str:
        return f"Node has ended with {self._process.returncode}; its last words are on stderr"


@asynccontextmanager
async def js_clients() -> AsyncIterator[JsClients]:
    """Start Node; skips the test where it cannot be had. All clients end with it.

    With JS_CLIENTS_LOG=1 in the environment, all that the sdk logs goes to stderr.
    """
    node, place = await asyncio.to_thread(_ready)
    if isinstance(place, str):
        pytest.skip(place)
    process = await asyncio.create_subprocess_exec(
        node,
        str(JS / "clients.mjs"),
        str(place),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=2**24,  # a whole timeline is one line
    )
    clients = JsClients(process)
    try:
        yield clients
    finally:
        await clients.close()


@functools.cache
def _ready() -> tuple[str, Path | str]:
    """Where Node is, and the folder in which its packages are installed or why there is none; blocks."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "", f"{'Node' if node is None else 'npm'} is not installed here"
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    version = re.match(r"v(\d+)\.", told)
    if version is None or int(version[1]) < OLDEST_NODE:
        return node, f"Node {OLDEST_NODE} or later is needed, here is {told or 'one that does not start'}"
    return node, _installed(npm)


def _installed(npm: str) -> Path | str:
    """The folder with the packages of this lock, made where it is missing; or why it cannot be had."""
    contents = [(JS / name).read_bytes() for name in NEEDED]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "breakout-bot-js-clients"
    folder = caches / hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]
    if folder.exists():
        return folder
    caches.mkdir(parents=True, exist_ok=True)
    # Of several that test at once one installs, and the others wait for it; the lock goes when its holder dies.
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        # Half an install never has the name that others look for.
        with tempfile.TemporaryDirectory(prefix="half-", dir=caches, ignore_cleanup_errors=True) as half:
            for name, content in zip(NEEDED, contents, strict=True):
                (Path(half) / name).write_bytes(content)
            fault = _install(npm, half)
            if fault is not None:
                return fault
            (whole := Path(half) / "whole").mkdir()
            for name in (*NEEDED, "node_modules"):
                (Path(half) / name).rename(whole / name)
            whole.rename(folder)
    return folder


def _install(npm: str, folder: str) -> str | None:
    """Install what the lock in the folder names; the answer is why no registry gave it. Other faults are raised."""
    # The sdk asks for Node 22 and runs with 20; npm is to say so and go on, whatever its configuration says.
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--engine-strict=false"]
    patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
    try:
        done = subprocess.run(
            [npm, "ci", *options, *patience],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"npm did not get the packages of tests/js within {INSTALL_SECONDS:g} s"
    if done.returncode == 0:
        return None
    fault = _NO_REGISTRY.search(done.stderr)
    if fault is None:
        raise RuntimeError(f"npm ci of tests/js failed:\n{done.stderr[-3000:]}")
    return f"no registry gives npm the packages of tests/js: {fault[0]}"
