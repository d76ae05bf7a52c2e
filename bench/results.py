"""What was measured, one JSON object a line, appended as it comes: a run that was stopped goes on from there."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]

_ROOT = Path(__file__).parent.parent
_PACKAGES = ("matrix-synapse", "matrix-nio", "aiohttp", "SQLAlchemy", "aiosqlite")


class Results:
    """The rows in a file; those of other code than this are kept and not looked at."""

    def __init__(self, file: Path, code: str | None = None) -> None:
        self.file = file
        self.code = code or fingerprint(_ROOT)
        self.rows: list[Row] = []
        if file.exists():
            self._read()

    def has(self, what: str, **key: Any) -> bool:
        """Whether there is a row with these values."""
        return any(True for _ in self.of(what, **key))

    def of(self, what: str, **key: Any) -> Iterable[Row]:
        """The rows of one measurement, of this code, with these values."""
        wanted = {"what": what, "code": self.code, **key}
        return (row for row in self.rows if all(row.get(name) == value for name, value in wanted.items()))

    def add(self, what: str, rows: Iterable[Mapping[str, Any]], **key: Any) -> None:
        """Append rows that belong together, in one write; `key` is what `has` is asked for."""
        common = {"what": what, "code": self.code, **key, "date": _today(), "load": round(os.getloadavg()[0], 1)}
        new = [{**common, **row} for row in rows]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as out:
            out.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in new))
        self.rows += new

    def _read(self) -> None:
        """A line that a kill cut off is no row, and the next one must not continue it."""
        text = self.file.read_text("utf-8")
        if text and not text.endswith("\n"):
            text = text[: text.rfind("\n") + 1]
            self.file.write_text(text, "utf-8")
        self.rows = [json.loads(line) for line in text.splitlines()]


def machine() -> Row:
    """Where this runs, and with which versions."""
    packages = {name: _version(name) for name in _PACKAGES}
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "versions": {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version, **packages},
    }


def fingerprint(root: Path) -> str:
    """Of the code that is measured: `bot` and `plugins`."""
    digest = hashlib.sha256()
    for part in ("bot", "plugins"):
        for file in sorted((root / part).rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
