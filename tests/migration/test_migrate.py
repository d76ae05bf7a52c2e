"""Tables come to their newest form from each older one, and what is newer than the program is left alone."""

import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.exc import OperationalError

from bot.errors import StoreError
from bot.store.database import Database
from bot.store.migrate import migrate
from bot.store.tables import metadata as host_tables
from plugins.breakout.store import metadata as breakout_tables

OWNERS = [
    ("bot", "bot.store.migrations", host_tables),
    ("breakout", "plugins.breakout.migrations", breakout_tables),
]

FIRST = """
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.execute("CREATE TABLE shelf (book TEXT)")
"""

SECOND = """
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.execute("ALTER TABLE shelf ADD COLUMN author TEXT")
"""

BROKEN = (
    SECOND
    + """
    op.execute("ALTER TABLE nothing ADD COLUMN author TEXT")
"""
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "data")
    yield database
    await database.close()


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package `shelf_migrations` that knows the first form."""
    folder = tmp_path / "shelf_migrations" / "versions"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "0001_first.py").write_text(FIRST)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a file is changed within the second that it was written
    yield folder
    sys.modules.pop("shelf_migrations", None)


async def columns(database: Database) -> list[str]:
    async with database.read() as connection:
        return [row.name for row in await connection.execute(text("PRAGMA table_info(shelf)"))]


async def forms(database: Database) -> str | None:
    async with database.read() as connection:
        return (await connection.execute(text("SELECT version_num FROM shelf_version"))).scalar_one_or_none()


def copies(database: Database) -> list[Path]:
    return sorted(database.folder.glob("*.before-*"))


@pytest.mark.parametrize(("owner", "package", "tables"), OWNERS)
async def test_an_empty_store_gets_the_tables_that_the_program_works_with(
    database: Database, owner: str, package: str, tables: MetaData
) -> None:
    await migrate(database, owner, package)

    def differences(connection: Connection) -> list[object]:
        wanted = set(tables.tables)
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, _: kind != "table" or name in wanted, "compare_type": True},
        )
        return list(compare_metadata(context, tables))

    async with database.write() as connection:
        assert await connection.run_sync(differences) == []


async def test_each_owner_counts_its_own_forms(database: Database, versions: Path) -> None:
    await migrate(database, "bot", "bot.store.migrations")
    await migrate(database, "shelf", "shelf_migrations")
    assert await forms(database) == "0001"
    assert copies(database) == []


async def test_a_store_in_its_newest_form_is_not_touched(database: Database, versions: Path) -> None:
    await migrate(database, "shelf", "shelf_migrations")
    await migrate(database, "shelf", "shelf_migrations")
    assert await columns(database) == ["book"]
    assert copies(database) == []


async def test_the_file_is_copied_before_it_is_changed(database: Database, versions: Path) -> None:
    await migrate(database, "shelf", "shelf_migrations")
    async with database.write() as connection:
        await connection.execute(text("INSERT INTO shelf VALUES ('Emma')"))
    (versions / "0002_author.py").write_text(SECOND)

    await migrate(database, "shelf", "shelf_migrations")

    assert await columns(database) == ["book", "author"]
    [copy] = copies(database)
    assert copy.name == "bot.db.before-shelf-0001"
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as old:
        assert old.execute("SELECT * FROM shelf").fetchall() == [("Emma",)]


async def test_a_step_that_fails_leaves_the_former_form(database: Database, versions: Path) -> None:
    await migrate(database, "shelf", "shelf_migrations")
    (versions / "0002_broken.py").write_text(BROKEN)
    with pytest.raises(OperationalError):
        await migrate(database, "shelf", "shelf_migrations")
    assert await columns(database) == ["book"]
    assert await forms(database) == "0001"


async def test_a_store_of_a_newer_program_is_refused_with_the_remedy(database: Database, versions: Path) -> None:
    (versions / "0002_author.py").write_text(SECOND)
    await migrate(database, "shelf", "shelf_migrations")
    (versions / "0002_author.py").unlink()
    with pytest.raises(StoreError, match=r"newer version of this program \(shelf 0002\)\. Install that version"):
        await migrate(database, "shelf", "shelf_migrations")
    assert await columns(database) == ["book", "author"]
