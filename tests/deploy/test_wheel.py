"""The wheel brings all that the program needs, and runs where this checkout is not."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from tests.deploy.clean import ROOT, SETTINGS, make_environment, run, said

TAKE_UP_WORK = """
import asyncio, pathlib, sys
import bot, plugins
from bot.loader import load
from bot.store.database import Database
from bot.store.migrate import migrate

async def main():
    database = await Database.open(pathlib.Path(sys.argv[1]))
    await migrate(database, "bot", "bot.store.migrations")
    for loaded in load({"breakout": None}):
        await migrate(database, loaded.name, loaded.plugin.migrations)
    await database.close()

asyncio.run(main())
print(bot.__file__, plugins.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    [file] = folder.glob("*.whl")
    return file


def test_the_wheel_has_each_file_of_the_program_and_no_other(wheel: Path) -> None:
    there = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ours = {
        str(path.relative_to(ROOT))
        for part in ("bot", "plugins")
        for path in (ROOT / part).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert there == ours


def test_the_wheel_runs_in_an_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    python = make_environment(tmp_path / "venv")
    program = python.with_name("breakout-bot")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel, cwd=tmp_path)
    assert "Run the bot until it is stopped" in run(program, "--help", cwd=tmp_path)
    assert "max_rooms: 20" in run(program, "config", cwd=tmp_path, given=SETTINGS)
    assert str(tmp_path / "venv") in run(python, "-c", TAKE_UP_WORK, tmp_path / "data", cwd=tmp_path)
    checked = said(program, "check", cwd=tmp_path, given=SETTINGS)
    assert checked.returncode == 1
    assert "the data folder data can be used" in checked.stdout
    assert "Traceback" not in checked.stdout
