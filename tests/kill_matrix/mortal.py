"""Runs the bot as `python -m bot` does, and has it kill itself at a commit of the kind it is ordered to die at."""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from bot.cli import main

ORDERS = "MORTAL_ORDERS"
"""The environment variable with the folder in which orders come and what happened is noted."""

COMMIT = "COMMIT"
ORDERS_FILE, COMMITS_FILE, DEATHS_FILE = "orders.json", "commits", "deaths"
_WRITES = re.compile(r'\s*(?:INSERT(?:\s+OR\s+\w+)?\s+INTO|UPDATE|DELETE\s+FROM)\s+"?(\w+)', re.IGNORECASE)


def table_written(statement: str) -> str | None:
    """The table that a statement writes to; None for one that writes to none."""
    found = _WRITES.match(statement)
    return found[1] if found else None


@dataclass
class Commits:
    """Watches every commit; a kind of commit is the set of the tables it wrote, such as `inbox+outbox`.

    Orders are a list of `[kind, side, nth, name]`, the side being `before` or `after`; they are read at each commit,
    since they change while the process lives, and `nth` counts the commits of a kind since then. Each is obeyed once.
    """

    folder: Path
    _written: set[str] = field(default_factory=set)
    _seen: dict[str, int] = field(default_factory=dict)
    _orders: str = "[]"

    def watch(self) -> None:
        """From now on, in this process."""

        def before(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            if statement == COMMIT:
                self._may_die(self._kind, "before")
            elif table := table_written(statement):
                self._written.add(table)

        def after(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            if statement == COMMIT:
                kind = self._kind
                self._written.clear()
                self._may_die(kind, "after")

        event.listen(Engine, "before_cursor_execute", before)
        event.listen(Engine, "after_cursor_execute", after)

    @property
    def _kind(self) -> str:
        return "+".join(sorted(self._written))

    def _may_die(self, kind: str, side: str) -> None:
        if not kind:
            return
        if side == "before":
            orders = (self.folder / ORDERS_FILE).read_text("utf-8")
            if orders != self._orders:
                self._orders, self._seen = orders, {}
            self._seen[kind] = self._seen.get(kind, 0) + 1
            _note(self.folder / COMMITS_FILE, [kind])
        for *when, name in json.loads(self._orders):
            if when == [kind, side, self._seen[kind]] and [name] not in notes(self.folder / DEATHS_FILE):
                _note(self.folder / DEATHS_FILE, [name])
                os.kill(os.getpid(), signal.SIGKILL)


def notes(file: Path) -> list[list[str]]:
    """What was noted in a file."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def _note(file: Path, what: list[str]) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(what) + "\n")


if __name__ == "__main__":
    Commits(Path(os.environ[ORDERS])).watch()
    main()
