"""The systemd unit starts what there is, with settings that there are, and keeps the bot from what it does not need."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.config import read_config
from tests.deploy.clean import ROOT

UNIT = ROOT / "deploy" / "breakout-bot.service"
PROGRAM = "/opt/breakout-bot/bin/breakout-bot"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not installed here (Debian: apt install systemd)",
)


def values(key: str) -> list[str]:
    """What the unit says under a key, in order."""
    lines = [line.partition("=") for line in UNIT.read_text("utf-8").splitlines() if not line.startswith("#")]
    return [value for name, equals, value in lines if equals and name == key]


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit as it is when the program is installed."""
    file = tmp_path / UNIT.name
    file.write_text(UNIT.read_text("utf-8").replace(PROGRAM, sys.executable), "utf-8")
    return file


@needs_systemd
def test_systemd_understands_each_line(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], text=True, capture_output=True, check=False, timeout=60
    )
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert complaints == []
    assert done.returncode == 0, done.stderr


@needs_systemd
def test_little_is_left_open(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", str(unit)]
    done = subprocess.run(command, text=True, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_it_starts_is_a_command_of_the_program() -> None:
    [start] = values("ExecStart")
    program, command, *options = start.split()
    assert program == PROGRAM
    helped = CliRunner().invoke(app, [command, "--help"])
    assert helped.exit_code == 0
    assert all(option in helped.stdout for option in options if option.startswith("-"))


def test_its_settings_are_settings_of_the_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = [value.partition(":")[0] for value in values("LoadCredential")]
    for name in credentials:
        (tmp_path / name).write_text("from-the-credential\n", "utf-8")
    for setting in values("Environment"):
        name, _, value = setting.partition("=")
        monkeypatch.setenv(name, value.replace("%d", str(tmp_path)))
    config = read_config(None, homeserver={"url": "https://here.example", "user_id": "@bot:here.example"})
    assert config.homeserver.password is not None
    assert config.homeserver.password.get_secret_value() == "from-the-credential"
    assert str(config.store.path) == f"/var/lib/{values('StateDirectory')[0]}"


def test_a_login_that_must_be_mended_by_somebody_is_not_tried_over_and_over() -> None:
    assert values("Type") == ["notify"]
    assert values("Restart") == ["on-failure"]
    assert values("RestartPreventExitStatus") == ["78"]
