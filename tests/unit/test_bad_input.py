"""What an admin may get wrong: one sentence that says what to do, exit code 1, and nothing half-made."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.errors import Silent
from bot.explained import in_words
from bot.store.database import FILE, Database
from tests.admin import ME, V3, VERSIONS, Answers, Shell, answering, html, refusal, says, shell

__all__ = ["shell"]

NEW = says({"versions": ["r0.6.1", "v1.1", "v1.12"]})
SERVER: Answers = {
    f"GET {VERSIONS}": NEW,
    f"GET {V3}login": says({"flows": [{"type": "m.login.password"}]}),
    f"POST {V3}login": refusal(403, "M_FORBIDDEN", "Invalid username or password"),
    f"GET {V3}account/whoami": refusal(401, "M_UNKNOWN_TOKEN", "Unknown access token", soft_logout=False),
    f"POST {V3}register": refusal(403, "M_FORBIDDEN", "Registration has been disabled"),
}
LOGIN = {"user_id": ME, "device_id": "OLD", "access_token": "dead"}
COMMANDS = ["login", "check", "register"]


@pytest.fixture(autouse=True)
def _what_register_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKOUT_BOT_SHARED_SECRET", "secret of the homeserver")


def is_plain(said: str) -> None:
    """Nothing that only a programmer reads."""
    for word in ("Traceback", "Error:", "Connector", "Exception", "Input should", "Errno", "class '"):
        assert word not in said


def left_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} if folder.exists() else set()


@pytest.mark.parametrize("command", COMMANDS)
async def test_nothing_listens_at_the_address(shell: Shell, command: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    shell.writes(url)
    shell.data.mkdir()
    (shell.data / "session.json").write_text(json.dumps(LOGIN))
    said = await shell.types(command, fails=True)
    is_plain(said)
    assert f"omeserver at {url} does not answer: connection refused" in said
    assert f"curl {url}/_matrix/client/versions" in said
    assert "Logged in" not in said
    assert left_in(shell.data) == {"session.json"}


@pytest.mark.parametrize("command", COMMANDS)
async def test_the_name_of_the_address_is_not_known(shell: Shell, command: str) -> None:
    shell.writes("http://no-such-host.invalid:8008")
    said = await shell.types(command, fails=True)
    is_plain(said)
    assert "the name no-such-host.invalid is not known" in said


@pytest.mark.parametrize("command", COMMANDS)
async def test_https_where_no_tls_is_spoken(shell: Shell, command: str) -> None:
    async with answering(SERVER) as url:
        shell.writes(url.replace("http:", "https:"))
        said = await shell.types(command, fails=True)
    is_plain(said)
    assert "speaks no TLS at port" in said
    assert "may want http://" in said


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "page",
    [
        "<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>",
        "Client sent an HTTP request to an HTTPS server.\n",
        "Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
    ],
    ids=["nginx", "go", "apache"],
)
async def test_http_where_a_proxy_wants_tls(shell: Shell, command: str, page: str) -> None:
    async with answering({}, lambda _: web.Response(status=400, text=page)) as url:
        shell.writes(url)
        said = await shell.types(command, fails=True)
    is_plain(said)
    assert "that port wants https:// instead of http://" in said


@pytest.mark.parametrize("command", COMMANDS)
async def test_http_where_a_server_wants_tls_and_says_nothing(shell: Shell, command: str) -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        shell.writes(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        said = await shell.types(command, fails=True)
    is_plain(said)
    assert "was closed without an answer" in said
    assert "whether it wants https:// instead" in said


def test_https_where_a_server_waits_for_the_end_of_a_line() -> None:
    """As Synapse does, to which the beginning of TLS is no whole line."""
    said = in_words("https://hs.example:8008", Silent("no answer within 30 s"))
    assert "whether it wants http:// instead" in said


@pytest.mark.parametrize("command", COMMANDS)
async def test_an_address_that_sends_on_to_another_one(shell: Shell, command: str) -> None:
    async with answering(SERVER) as right:
        on = {"Location": f"{right}{VERSIONS}"}
        async with answering({}, lambda _: web.Response(status=301, headers=on)) as url:
            shell.writes(url)
            said = await shell.types(command, fails=True)
    is_plain(said)
    assert f"it sends us on to {right}, which may be its address" in said


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("status", [200, 404])
async def test_a_web_site_is_no_homeserver(shell: Shell, command: str, status: int) -> None:
    async with answering({}, html(status)) as url:
        shell.writes(url)
        said = await shell.types(command, fails=True)
    is_plain(said)
    assert "is no Matrix homeserver" in said
    assert "homeserver.url" in said
    assert left_in(shell.data) == set()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("versions", [["r0.6.0"], ["r0.6.1", "v1.1", "v1.2"]])
async def test_a_homeserver_that_is_too_old(shell: Shell, command: str, versions: list[str]) -> None:
    async with answering({**SERVER, f"GET {VERSIONS}": says({"versions": versions})}) as url:
        shell.writes(url)
        said = await shell.types(command, fails=True)
    assert "too old" in said
    assert "Matrix 1.3 or newer" in said
    assert left_in(shell.data) == set()


async def test_a_wrong_password(shell: Shell) -> None:
    async with answering(SERVER) as url:
        shell.writes(url)
        said = await shell.types("login", fails=True)
    is_plain(said)
    assert "refuses the login of @bot:hs.example (Invalid username or password)" in said
    assert left_in(shell.data) == {FILE, "lock"}


@pytest.mark.parametrize("command", [*COMMANDS, "run"])
async def test_the_name_of_another_server(shell: Shell, command: str) -> None:
    keys = {"GET /_matrix/key/v2/server": says({"server_name": "matrix.example", "verify_keys": {}})}
    async with answering({**SERVER, **keys}) as url:
        shell.writes(url)
        said = await shell.types(command, fails=True)
    is_plain(said)
    assert "he homeserver calls itself matrix.example, and homeserver.user_id says hs.example" in said
    assert 'et `user_id: "@bot:matrix.example"` below homeserver' in said
    assert "session.json" not in left_in(shell.data)


@pytest.mark.parametrize("name", ["HS.example", None, 7])
async def test_a_server_whose_name_is_right_or_not_told(shell: Shell, name: object) -> None:
    async with answering({**SERVER, "GET /_matrix/key/v2/server": says({"server_name": name})}) as url:
        shell.writes(url)
        assert "refuses the login of @bot:hs.example" in await shell.types("login", fails=True)


async def test_a_homeserver_that_does_not_tell_its_name_makes_an_account_of_another(shell: Shell) -> None:
    register = "/_synapse/admin/v1/register"
    made = {f"GET {register}": says({"nonce": "n"}), f"POST {register}": says({"user_id": "@bot:matrix.example"})}
    async with answering({**SERVER, **made}) as url:
        shell.writes(url, password=None)
        said = await shell.types("register", fails=True)
    assert "The homeserver has made @bot:matrix.example" in said
    assert '`user_id: "@bot:matrix.example"`' in said


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"two words\n", None], ids=["empty", "binary", "two", "missing"])
@pytest.mark.parametrize(
    ("command", "option"),
    [("register", "--shared-secret-file"), ("register", "--admin-token-file"), ("check", "--admin-token-file")],
)
async def test_a_file_that_holds_no_secret(shell: Shell, command: str, option: str, content: bytes | None) -> None:
    file = shell.settings.with_name("secret")
    if content is not None:
        file.write_bytes(content)
    shell.writes("http://127.0.0.1:1")
    said = await shell.types(command, option, str(file), fails=True)
    is_plain(said)
    assert f"{file} " in said
    assert "must hold" in said or "cannot be read" in said


async def test_a_homeserver_that_makes_accounts_in_another_way(shell: Shell) -> None:
    async with answering(SERVER) as url:
        shell.writes(url, password=None)
        said = await shell.types("register", fails=True)
    is_plain(said)
    assert "`mas-cli manage register-user bot --yes`" in said
    assert left_in(shell.data) == {FILE, "lock"}


async def test_a_homeserver_that_takes_no_passwords(shell: Shell) -> None:
    async with answering({**SERVER, f"GET {V3}login": says({"flows": [{"type": "m.login.sso"}]})}) as url:
        shell.writes(url)
        said = await shell.types("login", fails=True)
    assert "`mas-cli manage issue-compatibility-token bot`" in said
    assert "homeserver.access_token_file" in said


@pytest.mark.parametrize("command", ["login", "check"])
async def test_an_access_token_that_has_expired(shell: Shell, command: str) -> None:
    async with answering(SERVER) as url:
        shell.writes(url, password=None, access_token="dead")
        said = await shell.types(command, fails=True)
    is_plain(said)
    assert "refuses homeserver.access_token" in said
    assert "put a new one there" in said


async def test_an_access_token_without_a_device(shell: Shell) -> None:
    async with answering({**SERVER, f"GET {V3}account/whoami": says({"user_id": ME})}) as url:
        shell.writes(url, password=None, access_token="deviceless")
        said = await shell.types("login", fails=True)
    assert "belongs to no device" in said


@pytest.mark.parametrize("password", [None, "secret"])
async def test_a_login_that_was_signed_out(shell: Shell, password: str | None) -> None:
    async with answering(SERVER) as url:
        shell.writes(url, password=password)
        shell.data.mkdir()
        (shell.data / "session.json").write_text(json.dumps(LOGIN))
        said = await shell.types("check", fails=True)
        assert "✗ the homeserver has signed the bot's device OLD out" in said
        assert f"breakout-bot login --config {shell.settings}`" in said
        said = await shell.types("login", fails=True)
    is_plain(said)
    assert "Logged in" not in said
    if password is None:
        assert "signed the bot's device OLD out" in said
        assert "homeserver.password_file" in said


async def test_too_many_logins(shell: Shell) -> None:
    async with answering(
        {**SERVER, f"POST {V3}login": refusal(429, "M_LIMIT_EXCEEDED", retry_after_ms=333_000)}
    ) as url:
        shell.writes(url)
        said = await shell.types("login", fails=True)
    assert "try again in 333 seconds" in said


async def test_a_login_whose_answer_was_lost_makes_no_second_device(shell: Shell) -> None:
    asked: list[str] = []

    def lost(body: Any) -> Any:
        asked.append(body["device_id"])
        return html(502)(body)

    async with answering({**SERVER, f"POST {V3}login": lost}) as url:
        shell.writes(url)
        await shell.types("login", fails=True)
        await shell.types("login", fails=True)
    assert asked[0] == asked[1]
    async with answering(SERVER) as url:  # refused for certain: nothing is under way any more
        shell.writes(url)
        await shell.types("login", fails=True)
    assert left_in(shell.data) == {FILE, "lock"}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.write_bytes(b"\xff\xfe"), "is no text file"),
        (lambda file: file.mkdir(), "cannot be read (Is a directory)"),
        (lambda file: None, "cannot be read (No such file or directory)"),
    ],
    ids=["binary", "folder", "missing"],
)
@pytest.mark.parametrize("command", [*COMMANDS, "config"])
async def test_a_secret_file_that_holds_no_secret(
    shell: Shell, command: str, spoil: Callable[[Path], object], said: str
) -> None:
    file = shell.settings.with_name("password")
    spoil(file)
    shell.writes("http://127.0.0.1:1", password=None, password_file=str(file))
    found = await shell.types(command, fails=True)
    is_plain(found)
    assert f"password_file {file} {said}" in found


async def test_a_secret_file_may_end_with_a_newline(shell: Shell) -> None:
    passwords: list[str] = []

    def login(body: Any) -> Any:
        passwords.append(body["password"])
        return refusal(403, "M_FORBIDDEN", "Invalid username or password")(body)

    file = shell.settings.with_name("password")
    file.write_text("secret\n")
    async with answering({**SERVER, f"POST {V3}login": login}) as url:
        shell.writes(url, password=None, password_file=str(file))
        await shell.types("login", fails=True)
    assert passwords == ["secret"]


@pytest.mark.parametrize("command", [*COMMANDS, "run"])
async def test_a_store_of_a_newer_version(shell: Shell, command: str) -> None:
    shell.data.mkdir()
    with closing(sqlite3.connect(shell.data / FILE)) as store, store:
        store.execute("CREATE TABLE bot_version (version_num TEXT)")
        store.execute("INSERT INTO bot_version VALUES ('9999')")
    (shell.data / "session.json").write_text(json.dumps(LOGIN))
    async with answering(SERVER) as url:
        shell.writes(url)
        said = await shell.types(command, fails=True)
    is_plain(said)
    assert "tore was written by a newer version" in said
    assert "nstall that version" in said
    if command == "run":
        assert shell.ended == os.EX_CONFIG  # systemd need not try each ten seconds


@pytest.mark.parametrize("command", [*COMMANDS, "run"])
async def test_a_folder_that_cannot_be_written(shell: Shell, command: str) -> None:
    shell.data = Path("/proc/self/data")  # no right helps there, not even that of root
    async with answering(SERVER) as url:
        shell.writes(url)
        said = await shell.types(command, fails=True)
    is_plain(said)
    assert "/proc/self" in said
    assert "set store.path to another folder" in said
    assert "free" not in said


@pytest.mark.parametrize("command", [*COMMANDS, "run"])
@pytest.mark.parametrize("shut", [".", "lock"])
async def test_what_the_bot_needs_and_its_user_may_not_touch(shell: Shell, command: str, shut: str) -> None:
    """As where somebody typed `login` as root."""
    shell.data.mkdir()
    for name in (FILE, "lock", "session.json"):
        (shell.data / name).touch()
    (shell.data / shut).chmod(0o500 if shut == "." else 0)
    async with answering(SERVER) as url:
        shell.writes(url)
        said = await shell.types_as_nobody_special(command)
    is_plain(said)
    assert f"{shell.data / shut} cannot be" in said
    how = f"sudo chown -R USER: {shell.data}" if command == "check" else f"breakout-bot check --config {shell.settings}"
    assert f"`{how}`" in said
    assert shell.ended == (1 if command == "check" else os.EX_CONFIG)


async def test_a_store_of_another_user(shell: Shell) -> None:
    shell.data.mkdir()
    (shell.data / FILE).touch(mode=0)
    async with answering(SERVER) as url:
        shell.writes(url)
        said = await shell.types_as_nobody_special("check")
        is_plain(said)
        assert f"✗ {shell.data / FILE} cannot be read and written" in said
        is_plain(await shell.types_as_nobody_special("login"))


async def test_a_backup_to_a_place_where_the_bots_user_may_not_write(shell: Shell) -> None:
    shell.writes("http://127.0.0.1:1")
    there = shell.settings.with_name("there")
    there.mkdir(mode=0o500)
    said = await shell.types_as_nobody_special("backup", str(there / "bot.db"))
    is_plain(said)
    assert "could not be copied" in said


@pytest.mark.parametrize("command", ["login", "register", "run"])
async def test_a_second_process(shell: Shell, command: str) -> None:
    database = await Database.open(shell.data)
    try:
        async with answering(SERVER) as url:
            shell.writes(url)
            said = await shell.types(command, fails=True)
    finally:
        await database.close()
    assert f"Another process already uses the data folder {shell.data}" in said
    assert left_in(shell.data) == {FILE, "lock"}


async def test_somebody_reads_only_the_first_lines_of_check(shell: Shell) -> None:
    """`breakout-bot check | head -5`."""
    reading, writing = os.pipe()

    def gone(body: Any) -> web.Response:
        os.close(reading)
        return SERVER[f"POST {V3}register"](body)

    async with answering({**SERVER, f"POST {V3}register": gone}) as url:
        shell.writes(url)
        program = (sys.executable, "-c", "from bot.cli import main; main()", "check", "--config", str(shell.settings))
        process = await asyncio.create_subprocess_exec(*program, stdout=writing, stderr=asyncio.subprocess.PIPE)
        os.close(writing)
        _, said = await process.communicate()
    assert said == b""
    assert process.returncode == 1  # the bot has not logged in yet


async def test_check_looks_at_all_it_can_while_the_bot_runs(shell: Shell) -> None:
    database = await Database.open(shell.data)
    (shell.data / "session.json").write_text(json.dumps(LOGIN))
    try:
        async with answering(SERVER) as url:
            shell.writes(url)
            said = await shell.types("check", fails=True)
    finally:
        await database.close()
    assert f"✓ the bot is running on the data folder {shell.data}" in said
    assert "✗ the homeserver has signed the bot's device OLD out" in said
    assert "another folder" not in said


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_full_disk(shell: Shell, command: str) -> None:
    async with answering({**SERVER, f"POST {V3}login": says(LOGIN)}) as url:
        shell.writes(url)
        said = await shell.types_on_a_full_disk(command)
    is_plain(said)
    assert "space" in said or "cannot be written" in said
    assert not (shell.data / "session.json").exists()
