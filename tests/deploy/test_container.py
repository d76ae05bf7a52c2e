"""The image's steps, carried out in a clean folder, make a program that runs and writes nothing but its data."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.clean import ROOT, SETTINGS, lend_packages, run

CONTAINERFILE = ROOT / "deploy" / "Containerfile"
MAKES_THE_USER = "RUN useradd "
"""The one kind of step that is not carried out here: it would make a user on this machine."""


def steps() -> Iterator[tuple[str, str]]:
    """Each instruction with its arguments."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        yield word, rest.strip()


def arguments(word: str) -> list[str]:
    return [rest for instruction, rest in steps() if instruction == word]


@dataclass(frozen=True)
class Image:
    """What the steps have made: the last stage's files below `root`, and what it says of the process."""

    root: Path
    environment: dict[str, str]

    def runs(self, *command: str, **given: str) -> str:
        """What a command in the container says: our root in the place of `/`."""
        python = self.root / "opt/breakout-bot/bin/python"
        program = shutil.which(command[0], path=self.environment["PATH"])
        assert program, command
        script = [] if command[0] == "python" else [program]
        return run(python, *script, *command[1:], cwd=self.root / "data", given={**self.environment, **given})


class Build:
    """The folder in which the steps are carried out; absolute paths of theirs are taken below a stage's root."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        tools = folder / "tools"
        tools.mkdir()
        (tools / "python").symlink_to(sys.executable)
        self._path = f"{tools}:{os.environ['PATH']}"
        self._stage = -1
        self._work = "/"
        self.environment: dict[str, str] = {}

    @property
    def root(self) -> Path:
        return self._folder / str(self._stage)

    def here(self, text: str) -> str:
        """Text in which the image's folders are ours."""
        return re.sub(r"(?<![\w.-])/(opt|build|data)(?=[/:\s]|$)", lambda found: f"{self.root}/{found[1]}", text)

    def does(self, word: str, rest: str) -> None:
        match word:
            case "FROM":
                self._stage += 1
                self.root.mkdir()
            case "WORKDIR":
                self._work = rest
                Path(self.here(rest)).mkdir(parents=True, exist_ok=True)
            case "COPY":
                self._copy(*rest.split())
            case "RUN" if f"RUN {rest}".startswith(MAKES_THE_USER):
                Path(self.here("/data")).mkdir()
            case "RUN":
                run("sh", "-ec", self.here(rest), cwd=Path(self.here(self._work)), given={"PATH": self._path})
                if " -m venv " in rest:
                    lend_packages(self.root / "opt/breakout-bot")
            case "ENV":
                for pair in shlex.split(rest):
                    name, _, value = pair.partition("=")
                    self.environment[name] = self.here(value).replace("$PATH", self._path)

    def _copy(self, *parts: str) -> None:
        *options, source, target = parts
        origin = self._folder / "0" if "--from=build" in options else ROOT
        to = Path(self.here(target)) if target.startswith("/") else Path(self.here(self._work)) / target
        found = origin / source.lstrip("/")
        if found.is_dir():
            left_out = shutil.ignore_patterns(*(["__pycache__"] if origin == ROOT else []))
            shutil.copytree(found, to, symlinks=True, ignore=left_out)
            return
        to = to / found.name if target.endswith("/") else to
        shutil.copyfile(found, to)
        for option in options:
            name, _, value = option.partition("=")
            if name == "--chmod":
                to.chmod(int(value, 8))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    build = Build(tmp_path_factory.mktemp("image"))
    for word, rest in steps():
        build.does(word, rest)
    return Image(build.root, build.environment)


def test_the_program_runs(image: Image) -> None:
    before = {
        path: path.stat().st_mtime_ns for path in image.root.rglob("*") if image.root / "data" not in path.parents
    }
    assert "Run the bot until it is stopped" in image.runs("breakout-bot", "--help")
    assert f"path: {image.root}/data\n" in image.runs("breakout-bot", "config", **SETTINGS)
    after = {path: path.stat().st_mtime_ns for path in image.root.rglob("*") if image.root / "data" not in path.parents}
    assert after == before


def test_the_data_folder_is_the_only_place_that_it_writes_to() -> None:
    assert arguments("VOLUME") == ["/data"]
    assert arguments("WORKDIR")[-1] == "/data"
    assert "BREAKOUT_BOT_STORE__PATH=/data" in arguments("ENV")[-1].split()


def test_its_user_has_no_rights() -> None:
    [user] = arguments("USER")
    assert int(user) > 0
    assert f"--uid {user}" in next(rest for rest in arguments("RUN") if f"RUN {rest}".startswith(MAKES_THE_USER))


def test_its_packages_are_those_of_the_lock() -> None:
    installs = [rest for rest in arguments("RUN") if " install " in rest and "useradd" not in rest]
    assert len(installs) == 1
    assert "--require-hashes -r requirements.lock" in installs[0]


def test_its_bases_are_named_without_a_registry() -> None:
    assert all(re.fullmatch(r"python:3\.\d+-slim(?: AS build)?", name) for name in arguments("FROM"))


def test_the_program_is_what_it_starts_and_what_its_health_check_runs_is_python() -> None:
    assert json.loads(arguments("ENTRYPOINT")[0]) == ["breakout-bot"]
    assert json.loads(arguments("CMD")[0]) == ["run"]
    command = json.loads(arguments("HEALTHCHECK")[0].partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "health check", "exec")


def test_what_it_copies_is_not_ignored() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    taken = [line[1:] for line in lines if line.startswith("!")]
    for copied in arguments("COPY"):
        if "--from=" not in copied:
            [*_, source, _] = copied.split()
            assert any(fnmatch.fnmatch(source, pattern) for pattern in taken), source
