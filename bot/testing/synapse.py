"""Starts a real Synapse on loopback, with a folder, a port and a database of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import http.client
import importlib.metadata
import json
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeAlias

import aiohttp

from bot.testing.raw import Json, MatrixError, RawUser, ask, open_session, path

SERVER_NAME = "localhost"
HOST = "127.0.0.1"

Limits: TypeAlias = Literal["off", "stock"]
"""`off`: nobody meets a rate limit. `stock`: what a server has whose admin set none."""

START_SECONDS = 60.0
"""How long a start may take; 2 s on an idle machine, much more while others compile."""

STOP_SECONDS = 10.0
"""How long a server may take to end before it is killed."""

_LIMIT: Json = {"per_second": 100_000, "burst_count": 100_000}
_NO_LIMITS_FOR_SETUP: Json = {
    "rc_registration": _LIMIT,
    "rc_login": {"address": _LIMIT, "account": _LIMIT, "failed_attempts": _LIMIT},
}
_NO_LIMITS: Json = _NO_LIMITS_FOR_SETUP | {
    **dict.fromkeys(
        (
            "rc_3pid_validation",
            "rc_admin_redaction",
            "rc_delayed_event_mgmt",
            "rc_joins_per_room",
            "rc_key_requests",
            "rc_media_create",
            "rc_message",
            "rc_registration_token_validity",
            "rc_reports",
            "rc_room_creation",
            "rc_third_party_invite",
            "rc_user_directory",
        ),
        _LIMIT,
    ),
    "rc_joins": {"local": _LIMIT, "remote": _LIMIT},
    "rc_invites": {"per_room": _LIMIT, "per_user": _LIMIT, "per_issuer": _LIMIT},
    "rc_presence": {"per_user": _LIMIT},
}

# The child ends with us, also when we are killed: it holds the reading end of a pipe of which we hold the
# other one. (prctl's PDEATHSIG is Linux only, and fires when the *thread* ends that started the child.)
_CHILD = """
import os, runpy, signal, sys, threading
def watch():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(5)
    os._exit(1)
threading.Thread(target=watch, daemon=True).start()
sys.argv = ["synapse", "-c", "homeserver.yaml"]
runpy.run_module("synapse.app.homeserver", run_name="__main__")
"""


class SynapseMissing(RuntimeError):
    """matrix-synapse is not installed here."""


class SynapseFailed(RuntimeError):
    """The server did not start; the text ends with the last lines of its log."""


def synapse_version() -> str:
    """The version of Synapse that would be started; raises `SynapseMissing`."""
    try:
        return importlib.metadata.version("matrix-synapse")
    except importlib.metadata.PackageNotFoundError:
        raise SynapseMissing("matrix-synapse is not installed: pip install 'breakout-bot[demo]' brings it") from None


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody with a password and a device of their own, to whom the server's limits apply."""

    user_id: str
    device_id: str
    access_token: str


class Homeserver:
    """A Synapse process with SQLite, reachable from this machine only and talking to no other server.

    Use it as `async with` or as `with`; the second one is for fixtures that outlive an event loop. People
    made by `participant` act through an application service: they need no login, and no limit holds for
    them. Those made by `register` are ordinary users.

    `folder` and `port` fix what otherwise is chosen and removed again: a second server on the same folder
    has the first one's rooms and accounts. `limits` see `Limits`. `public_baseurl` is what clients are told,
    where a proxy stands in front. Raises `SynapseMissing` and `SynapseFailed` on entering.
    """

    def __init__(
        self,
        *,
        limits: Limits = "off",
        folder: Path | None = None,
        port: int | None = None,
        default_room_version: str | None = None,
        public_baseurl: str | None = None,
        settings: Json | None = None,
    ) -> None:
        self.limits = limits
        self.port = port or 0
        self._fixed_port = port is not None
        self._given_folder = folder
        self._folder: Path | None = None
        self._options: Json = {
            **({} if default_room_version is None else {"default_room_version": default_room_version}),
            **({} if public_baseurl is None else {"public_baseurl": public_baseurl}),
            **(settings or {}),
        }
        self.registration_secret = secrets.token_hex(16)
        self._service_token = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._users: list[RawUser] = []
        self._admin: str | None = None

    # ------------------------------------------------------------------------------------ for its users

    @property
    def url(self) -> str:
        """The address of the client-server API."""
        return f"http://{HOST}:{self.port}"

    @property
    def server_name(self) -> str:
        return SERVER_NAME

    @property
    def folder(self) -> Path:
        """Where database, media, configuration and log lie; there is one from the start on."""
        if self._folder is None:
            raise RuntimeError("the homeserver was not started")
        return self._folder

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return None if self._process is None else self._process.pid

    def user_id(self, localpart: str) -> str:
        return f"@{localpart}:{SERVER_NAME}"

    async def register(
        self, localpart: str, password: str, display_name: str | None = None, *, admin: bool = False
    ) -> str:
        """Make an account and return an access token of its first device; see `account`."""
        return (await self.account(localpart, password, display_name, admin=admin)).access_token

    async def account(
        self, localpart: str, password: str, display_name: str | None = None, *, admin: bool = False
    ) -> Account:
        """Make an account (17 ms); raises `MatrixError` (`M_USER_IN_USE`) where it exists.

        Source: Synapse's documentation, "Register users using a shared secret".
        """
        where = f"{self.url}/_synapse/admin/v1/register"
        async with self._borrowed() as session:
            nonce = (await ask(session, "GET", where))["nonce"]
            signed = "\0".join([nonce, localpart, password, "admin" if admin else "notadmin"])
            mac = hmac.new(self.registration_secret.encode(), signed.encode(), hashlib.sha1).hexdigest()
            body = {"nonce": nonce, "username": localpart, "password": password, "admin": admin, "mac": mac}
            if display_name is not None:
                body["displayname"] = display_name
            answer = await ask(session, "POST", where, body=body)
        return Account(answer["user_id"], answer["device_id"], answer["access_token"])

    async def participant(
        self,
        localpart: str,
        display_name: str | None = None,
        *,
        session: aiohttp.ClientSession | None = None,
        limited: bool = False,
    ) -> RawUser:
        """Somebody who can act at once (2 ms, with a name 14 ms); an existing user is taken over.

        With `limited` it is an ordinary account, for which the server's limits hold. The user belongs to
        `session`; without one, to this server, which must then be open in an `async with`.
        """
        shared = session or self._session
        if shared is None:
            raise RuntimeError("give a session, or open the homeserver with `async with`")
        if limited:
            account = await self.account(localpart, secrets.token_hex(8), display_name)
            user = RawUser(shared, self.url, account.user_id, account.access_token, name=display_name)
        else:
            user = await self._masqueraded(shared, localpart, display_name)
        if session is None:
            self._users.append(user)
        return user

    async def override_ratelimit(self, user_id: str) -> None:
        """Lift every limit for one user, as the documentation tells admins to."""
        await self._administer(
            "POST", f"v1/users/{user_id}/override_ratelimit", {"messages_per_second": 0, "burst_count": 0}
        )

    async def make_admin(self, user_id: str) -> None:
        """Let a user do what admins of the server may."""
        await self._administer("PUT", f"v1/users/{user_id}/admin", {"admin": True})

    async def _administer(self, method: str, where: str, body: Json) -> None:
        """A request below `/_synapse/admin/`, by an admin made for such requests."""
        async with self._borrowed() as session:
            if self._admin is None:
                self._admin = await self.register(f"admin-{secrets.token_hex(4)}", "secret", admin=True)
            await ask(session, method, f"{self.url}/_synapse/admin/{where}", token=self._admin, body=body)

    async def restart(self) -> None:
        """End the server and start it again on the same folder and port (about 2 s)."""
        await asyncio.to_thread(self.stop)
        await asyncio.to_thread(self.start)

    async def _masqueraded(self, session: aiohttp.ClientSession, localpart: str, display_name: str | None) -> RawUser:
        user_id = self.user_id(localpart)
        body = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True}
        try:
            await ask(session, "POST", self.url + path("register"), token=self._service_token, body=body)
        except MatrixError as fault:
            if fault.errcode != "M_USER_IN_USE":
                raise
        user = RawUser(session, self.url, user_id, self._service_token, name=display_name, masquerade=True)
        if display_name is not None:
            await user.set_name(display_name)
        return user

    @contextlib.asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[aiohttp.ClientSession]:
        """A session for a few requests: ours, or one of their own where no event loop is ours."""
        if self._session is not None:
            yield self._session
            return
        async with open_session() as session:
            yield session

    # --------------------------------------------------------------------------------- its start and end

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self.start)
        except BaseException:
            await asyncio.to_thread(self._clean_up)
            raise
        self._session = open_session()
        return self

    async def __aexit__(self, *_: object) -> None:
        for user in self._users:
            await user.close()
        self._users.clear()
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await asyncio.to_thread(self._clean_up)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._clean_up()

    def start(self) -> None:
        """Start the process and return when it answers; blocks. Raises `SynapseMissing`, `SynapseFailed`."""
        version = synapse_version()
        if self._folder is None:
            self._folder = self._given_folder or Path(tempfile.mkdtemp(prefix="homeserver-"))
            self._folder.mkdir(parents=True, exist_ok=True)
        template = _template(version)
        database = self._folder / "homeserver.db"
        fresh = not database.exists()
        if fresh and template is not None and template.exists():
            shutil.copyfile(template, database)
        for attempt in range(3):
            try:
                self._launch()
                break
            except SynapseFailed as fault:
                # Between our look and its bind somebody else took the port.
                if self._fixed_port or attempt == 2 or "in use" not in str(fault):
                    raise
        self._fixed_port = True  # a restart keeps the address that others know by now
        if fresh and template is not None and not template.exists():
            _save_template(database, template)

    def stop(self) -> None:
        """End the process and wait for it; blocks. The folder stays as it is."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            if process.stdin is not None:
                process.stdin.close()

    def log(self, lines: int = 30) -> str:
        """The last lines that the server wrote."""
        last: deque[str] = deque(maxlen=lines)
        for name in ("homeserver.log", "output.log"):
            with contextlib.suppress(FileNotFoundError):
                last.extend((self.folder / name).read_text("utf-8", "replace").splitlines()[-lines:])
        return "\n".join(last)

    def _clean_up(self) -> None:
        self.stop()
        if self._given_folder is None and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _launch(self) -> None:
        if not self._fixed_port:
            self.port = _free_port()
        self._write_files()
        with (self.folder / "output.log").open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CHILD],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.stop()
            raise

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            # The second question makes sure that it is ours, and not one that had the port before.
            if self._answers("/health") and self._answers("/_matrix/client/v3/account/whoami"):
                return
            time.sleep(0.02)  # nothing tells when it is up but its answer
        what = "ended" if process.poll() is not None else f"did not answer within {START_SECONDS:g} s"
        raise SynapseFailed(f"Synapse {what} on port {self.port}. Its last words:\n{self.log()}")

    def _answers(self, where: str) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=2)
        try:
            connection.request("GET", where, headers={"Authorization": f"Bearer {self._service_token}"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _write_files(self) -> None:
        folder = self.folder
        key = folder / "signing.key"
        if not key.exists():
            seed = b64encode(secrets.token_bytes(32)).decode().rstrip("=")
            key.write_text(f"ed25519 a_test {seed}\n")
        # JSON is YAML.
        (folder / "homeserver.yaml").write_text(json.dumps(self._configuration(), indent=1))
        (folder / "log.yaml").write_text(json.dumps(_LOGGING, indent=1))
        (folder / "service.yaml").write_text(json.dumps(self._service(), indent=1))

    def _configuration(self) -> Json:
        return {
            "server_name": SERVER_NAME,
            "report_stats": False,
            "listeners": [
                {
                    "port": self.port,
                    "bind_addresses": [HOST],
                    "type": "http",
                    "tls": False,
                    "resources": [{"names": ["client", "keys"]}],
                }
            ],
            # Nothing leaves this machine.
            "federation_domain_whitelist": [],
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            "database": {"name": "sqlite3", "args": {"database": "homeserver.db"}},
            "signing_key_path": "signing.key",
            "media_store_path": "media",
            "pid_file": "homeserver.pid",
            "log_config": "log.yaml",
            "app_service_config_files": ["service.yaml"],
            "registration_shared_secret": self.registration_secret,
            "macaroon_secret_key": self.registration_secret,
            "form_secret": self.registration_secret,
            "bcrypt_rounds": 4,
            "presence": {"enabled": False},
            "url_preview_enabled": False,
            # Synapse repeats the answer to an identical sync for two minutes: stale in tests.
            "caches": {"sync_response_cache_duration": 0},
            **(_NO_LIMITS if self.limits == "off" else _NO_LIMITS_FOR_SETUP),
            **self._options,
        }

    def _service(self) -> Json:
        return {
            "id": "people",
            "url": None,
            "as_token": self._service_token,
            "hs_token": secrets.token_hex(16),
            "sender_localpart": "people",
            "rate_limited": False,
            "namespaces": {
                "users": [{"regex": "@.*", "exclusive": False}],
                "aliases": [{"regex": "#.*", "exclusive": False}],
                "rooms": [],
            },
        }


_LOGGING: Json = {
    "version": 1,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"file": {"class": "logging.FileHandler", "formatter": "line", "filename": "homeserver.log"}},
    "root": {"level": "WARNING", "handlers": ["file"]},
    "disable_existing_loggers": False,
}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _template(version: str) -> Path | None:
    """Where an empty database of this version is kept for later starts; None where no place is safe."""
    name = "".join(part if part.isalnum() else "-" for part in version)
    folder = Path(tempfile.gettempdir()) / f"homeserver-templates-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        mine = folder.stat().st_uid == os.getuid() and not folder.is_symlink()
    except OSError:
        return None
    return folder / f"{SERVER_NAME}-{name}.db" if mine else None


def _save_template(database: Path, template: Path) -> None:
    """Keep a copy of the database before anybody wrote to it; of several at once, whoever comes last wins."""
    # A name of its own for each copy: one process may start several servers at once.
    copy = template.with_suffix(f".{secrets.token_hex(8)}")
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    copy.replace(template)
