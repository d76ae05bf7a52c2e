"""A Python environment as an admin makes one: nothing of this checkout in it, and the locked packages lent to it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]

SETTINGS = {
    "BREAKOUT_BOT_HOMESERVER__URL": "http://127.0.0.1:9",
    "BREAKOUT_BOT_HOMESERVER__USER_ID": "@bot:here.example",
    "BREAKOUT_BOT_HOMESERVER__PASSWORD": "secret",
}
"""A homeserver on whose port nothing listens."""


def lend_packages(environment: Path) -> None:
    """Let an environment find what ours has installed; this project is not among it, its own `.pth` being left out.

    So pip finds each locked version there already, and nothing is fetched.
    """
    [folder] = environment.glob("lib/python*/site-packages")
    (folder / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")


def run(*command: str | Path, cwd: Path, given: Mapping[str, str] | None = None) -> str:
    """What a command says, which must succeed; it knows of our environment the PATH only, and no package index."""
    kept = {"PATH": os.environ["PATH"], "HOME": str(cwd), "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = said(*command, cwd=cwd, given={**kept, **(given or {})})
    assert done.returncode == 0, done.stdout
    return done.stdout


def said(*command: str | Path, cwd: Path, given: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A command that may fail, with what it said."""
    words: Sequence[str] = [str(word) for word in command]
    return subprocess.run(
        words, cwd=cwd, env=dict(given), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )


def make_environment(folder: Path) -> Path:
    """An environment in `folder` with the locked packages; returns its Python."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    lend_packages(folder)
    return folder / "bin" / "python"
