"""Brings each owner's tables to the newest form, and never loses the older one."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from bot.errors import StoreTooNew
from bot.store.database import Database


async def migrate(database: Database, owner: str, package: str) -> None:
    """Bring the tables of `owner` to the newest version in `package`; the file is copied before it changes.

    Raises `StoreTooNew` where the store was written by a newer version of the program.
    """
    with as_file(files(package)) as folder:
        script = _script(folder)
        async with database.write() as connection:
            before = await connection.run_sync(_version, owner)
        head = script.get_current_head()
        if before == head:
            return
        _refuse_newer(script, owner, before)
        if before is not None:
            await asyncio.to_thread(_copy, database.file, f"{owner}-{before}")
        async with database.write() as connection:
            await connection.run_sync(_upgrade, script, owner)


def refuse_newer(file: Path, owners: Iterable[tuple[str, str]]) -> None:
    """Raise `StoreTooNew` where a newer version wrote `file`, which is only read, whoever uses it; see `migrate`."""
    if not (os.access(file, os.R_OK) and file.is_file()):  # whether it can be used is told elsewhere
        return
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        for owner, package in owners:
            try:
                row = connection.execute(f"SELECT version_num FROM {owner}_version").fetchone()  # noqa: S608 - our names
            except sqlite3.DatabaseError:
                continue  # no such table yet; whether the file can be used at all is told elsewhere
            with as_file(files(package)) as folder:
                _refuse_newer(_script(folder), owner, row and row[0])


def _script(folder: Path) -> ScriptDirectory:
    return ScriptDirectory(str(folder), version_locations=[str(folder / "versions")])


def _version(connection: Connection, owner: str) -> str | None:
    return MigrationContext.configure(connection, opts=_options(owner)).get_current_revision()


def _options(owner: str) -> dict[str, Any]:
    return {"version_table": f"{owner}_version", "transactional_ddl": True}


def _refuse_newer(script: ScriptDirectory, owner: str, version: str | None) -> None:
    try:
        if version is not None:
            script.get_revision(version)
    except CommandError:
        raise StoreTooNew(
            f"The store was written by a newer version of this program ({owner} {version}). "
            "Install that version, or go back as docs/upgrade.md says."
        ) from None


def _copy(file: Path, name: str) -> None:
    """Copy the database as it is, write-ahead log included."""
    target = file.with_name(f"{file.name}.before-{name}")
    target.touch(mode=0o600)
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


def _upgrade(connection: Connection, script: ScriptDirectory, owner: str) -> None:
    def steps(revision: Any, _context: object) -> Any:
        return script._upgrade_revs("head", revision)  # noqa: SLF001 - as Alembic's own `command.upgrade` does

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection, **_options(owner))
        environment.run_migrations()
