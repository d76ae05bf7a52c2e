"""The device's database: nio's store, what is on the disk of it, and what came to the device with the last sync."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from nio.store.database import SqliteStore

from bot.matrix.events import mapping

_TAKEN_IN = "CREATE TABLE IF NOT EXISTS taken_in (since TEXT, digest BLOB, PRIMARY KEY (since, digest))"


class DeviceDatabase(SqliteStore):
    """What one device keeps. Its blocking writes are short: they go into a log file, and `flush` waits for the disk."""

    def __init__(self, user: str, device: str, folder: Path, pickle_key: str) -> None:
        """Open it, or begin one."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        super().__init__(user, device, str(folder), pickle_key=pickle_key, database_name="device.db")
        self.database.execute_sql("PRAGMA journal_mode=WAL")
        # FULL would wait for the disk at each of the many writes of a batch, in the event loop.
        self.database.execute_sql("PRAGMA synchronous=NORMAL")
        self.database.execute_sql(_TAKEN_IN)
        rows = list(self.database.execute_sql("SELECT since, digest FROM taken_in"))
        self._since: str = rows[0][0] if rows else ""
        self._taken_in: set[bytes] = {digest for _, digest in rows}

    def keep_account(self) -> None:
        """Ask for the account's row no more: nio does at each write, and it never changes."""
        account = self._get_account()
        self._get_account = lambda: account

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Several writes as one: per device, they are what takes the time."""
        with self.database.atomic():
            yield

    def forget_sessions(self, ids: Iterable[str]) -> None:
        """Forget Olm sessions, which nio never does."""
        for name in ids:
            self.database.execute_sql("DELETE FROM olmsessions WHERE session_id = ?", (name,))

    def flush(self) -> None:
        """Wait until all that was written is on the disk, in whatever thread.

        To be done before others are told of it: after a power cut, sessions that are older than what was sent, or than
        what the homeserver has forgotten since, are broken for good.
        """
        for file in (f"{self.database_path}-wal", self.store_path):
            with suppress(FileNotFoundError):  # closed meanwhile: then it is in the database
                descriptor = os.open(file, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def came_before(self, since: str, sender: Any, content: Mapping[str, Any], key: str) -> bool:
        """Whether an Olm message for `key` came with an earlier answer to the same sync, perhaps to a process now dead.

        Until the next sync the homeserver tells the same once more; what is older does not come again.
        """
        body = mapping(mapping(content.get("ciphertext")).get(key)).get("body")
        if not (isinstance(sender, str) and isinstance(body, str)):
            return False
        if since != self._since:
            if self._taken_in:
                self.database.execute_sql("DELETE FROM taken_in")
            self._since, self._taken_in = since, set()
        digest = sha256(f"{sender} {body}".encode(errors="replace")).digest()
        if digest in self._taken_in:
            return True
        self.database.execute_sql("INSERT OR IGNORE INTO taken_in VALUES (?, ?)", (since, digest))
        self._taken_in.add(digest)
        return False
