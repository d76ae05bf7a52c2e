"""What can be said of this machine: plugins, data folder, store, free space; nothing is made or changed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bot.checks.finding import Finding
from bot.credentials import KEPT
from bot.errors import BotError, StoreError
from bot.loader import Loaded, load, owners
from bot.store.database import FILE, LOCK
from bot.store.migrate import refuse_newer

LEAST_FREE = 200 * 10**6
"""Bytes: what the store, its copy before a migration and the keys of a school year need, with some air."""


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def plugins(settings: Mapping[str, dict[str, Any] | None]) -> tuple[tuple[Loaded, ...], Iterator[Finding]]:
    """The plugins that can be loaded, and what is to be said of them."""
    try:
        loaded = load(settings)
    except BotError as error:
        wrong = [Finding("plugins", ok=False, message=f"wrong setting: {line}") for line in str(error).splitlines()]
        return (), iter(wrong)
    names = ", ".join(each.name for each in loaded) or "none"
    return loaded, iter([Finding("plugins", ok=True, message=f"plugins: {names}")])


def folder(path: Path, loaded: tuple[Loaded, ...]) -> Iterator[Finding]:
    """Whether the data folder can be used, and by whom it is."""
    usable = _usable(path)
    yield usable
    if _is_in_use(path):
        yield Finding("running", ok=True, message=f"the bot is running on the data folder {path}")
    if usable.ok or path.exists():  # else nobody knows on which disk it will be
        yield space(shutil.disk_usage(_nearest(path)).free)
    try:
        refuse_newer(path / FILE, owners(loaded))
    except (StoreError, OSError) as error:
        fault, _, remedy = str(error).partition(". ")
        yield Finding("store", ok=False, message=fault, remedy=remedy[:1].lower() + remedy[1:].rstrip("."))


def _usable(path: Path) -> Finding:
    there = _nearest(path)
    is_there = there == path.absolute()
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(4096))
    except OSError as error:
        how = f"chown -R USER: {path}" if is_there else f"install -d -m 700 -o USER {path}"
        rights = f"give the bot's user the right to (`sudo {how}`)"
        return Finding(
            "folder",
            ok=False,
            message=f"the data folder {path} cannot be {'written' if is_there else 'made'} ({error.strerror})",
            remedy=("free some space there" if error.errno in _FULL else rights)
            + ", or set store.path to another folder",
        )
    if (shut := _shut(path)) is not None:
        return Finding(
            "folder",
            ok=False,
            message=f"{shut} cannot be read and written: it may be of a command that was typed as another user",
            remedy=f"give it to the bot's user (`sudo chown -R USER: {path}`)",
        )
    if not is_there:
        return Finding("folder", ok=True, message=f"the data folder {path} will be made by the first login")
    return Finding("folder", ok=True, message=f"the data folder {path} can be used")


def _shut(path: Path) -> Path | None:
    """A file or folder of the bot's own that we may not use."""
    ours = [*(path / name for name in (FILE, LOCK, KEPT, "crypto")), *(path / "crypto").glob("*")]
    return next((file for file in ours if file.exists() and not os.access(file, os.R_OK | os.W_OK)), None)


def _nearest(path: Path) -> Path:
    """The folder, or the nearest one above it that there is."""
    return next((there for there in (path.absolute(), *path.absolute().parents) if there.exists()), Path("/"))


def _is_in_use(path: Path) -> bool:
    with suppress(OSError):
        descriptor = os.open(path / LOCK, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def space(free: int) -> Finding:
    """Whether so many free bytes are enough."""
    said = f"{free / 10**9:.1f} GB free" if free >= 10**9 else f"{free // 10**6} MB free"
    if free < LEAST_FREE:
        return Finding(
            "disk",
            ok=False,
            message=f"the disk of the data folder is nearly full: {said}",
            remedy=f"free some space: below {LEAST_FREE // 10**6} MB the store may fail in the middle of a session",
        )
    return Finding("disk", ok=True, message=f"the disk of the data folder has {said}")
