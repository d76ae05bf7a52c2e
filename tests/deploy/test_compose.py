"""The compose file is whole: three values make it a homeserver with a bot that may do nothing but its work."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.config import read_config
from tests.deploy.clean import ROOT

FOLDER = ROOT / "deploy"
VALUES = {"SERVER_NAME": "here.example", "SECRET": "5fbade2d1f5583f8", "ADMIN": "ann"}


def filled_in(text: str, values: Mapping[str, str] = VALUES) -> str:
    """The text as Compose reads it: `${NAME}`, `${NAME:-otherwise}` and `${NAME:?complaint}` by their values."""

    def value(found: re.Match[str]) -> str:
        name, how, other = found[1], found[2], found[3]
        assert name in values or how == ":-", f"{name} is not among the values to edit"
        return values.get(name, other or "")

    return re.sub(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}", value, text).replace("$$", "$")


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(filled_in((FOLDER / "compose.yaml").read_text("utf-8")))
    return found


def test_the_values_to_edit_are_three() -> None:
    lines = (FOLDER / "env.example").read_text("utf-8").splitlines()
    assert {line.partition("=")[0] for line in lines if line and not line.startswith("#")} == set(VALUES)


def test_nobody_can_start_it_with_the_example_of_a_secret() -> None:
    text = (FOLDER / "compose.yaml").read_text("utf-8")
    assert "${SECRET:?" in text
    assert "\nSECRET=\n" in (FOLDER / "env.example").read_text("utf-8")


def test_images_are_named_without_a_registry(stack: dict[str, Any]) -> None:
    for service in stack["services"].values():
        first = service["image"].partition("/")[0]
        assert not re.search(r"[.:]", first if "/" in service["image"] else ""), service["image"]


def test_each_name_that_is_used_is_there(stack: dict[str, Any]) -> None:
    for name, service in stack["services"].items():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            assert target.startswith("/"), name
            assert source in stack["volumes"], name
        for config in service.get("configs", []):
            assert config["source"] in stack["configs"]
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in stack["services"][other]


def test_the_bot_can_write_its_data_and_nothing_else(stack: dict[str, Any]) -> None:
    bot = stack["services"]["bot"]
    assert bot["read_only"] is True
    assert bot["cap_drop"] == ["ALL"]
    assert bot["security_opt"] == ["no-new-privileges:true"]
    assert bot["volumes"] == ["bot:/data"]
    assert VALUES["SECRET"] not in str(bot)
    once = stack["services"]["register"]
    assert {key: once[key] for key in bot if key in once and key not in ("environment", "restart")} == {
        key: value for key, value in bot.items() if key not in ("environment", "restart", "mem_limit")
    }


def test_its_settings_are_settings_of_the_bot(stack: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stack["services"]["bot"]["environment"].items():
        monkeypatch.setenv(name, value)
    config = read_config(None)
    assert config.homeserver.url.host in stack["services"]
    assert config.homeserver.user_id == "@breakout:here.example"
    assert config.access.may_invite("@ann:here.example", config.homeserver.user_id)
    assert not config.access.may_invite("@ann:there.example", config.homeserver.user_id)


def test_only_this_machine_reaches_the_homeserver_without_a_proxy(stack: dict[str, Any]) -> None:
    ports = [port for service in stack["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def compose() -> list[str]:
    """The Compose of this machine, of the second kind; empty where there is none."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            asked = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
            if asked.returncode == 0 and int(asked.stdout.strip().lstrip("v").partition(".")[0]) >= 2:
                return command
    return []


@pytest.mark.skipif(
    not compose(), reason="Docker Compose 2 is not installed here; the file's structure is tested above"
)
def test_compose_itself_reads_it_as_we_do(stack: dict[str, Any], tmp_path: Path) -> None:
    values = tmp_path / "values"
    values.write_text("".join(f"{name}={value}\n" for name, value in VALUES.items()), "utf-8")
    command = [*compose(), "--env-file", str(values), "-f", str(FOLDER / "compose.yaml"), "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)
    assert read["services"]["bot"]["environment"] == stack["services"]["bot"]["environment"]
    assert yaml.safe_load(read["configs"]["homeserver"]["content"]) == yaml.safe_load(
        stack["configs"]["homeserver"]["content"]
    )
