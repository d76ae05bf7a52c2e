"""One file, one writer, one process; a cancelled task leaves nothing half done behind."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, InvalidRequestError, OperationalError

from bot.errors import StoreError
from bot.store.connection import Connection, LostError
from bot.store.database import FILE, MOST_READERS, Database

ADD = text("INSERT INTO words VALUES (:word)")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "data")
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE words (word TEXT PRIMARY KEY)"))
    yield database
    await database.close()


async def put(database: Database, *words: str) -> None:
    async with database.write() as connection:
        for word in words:
            await connection.execute(ADD, {"word": word})


async def words_of(database: Database) -> set[str]:
    async with database.read() as connection:
        return set((await connection.execute(text("SELECT word FROM words"))).scalars())


async def test_what_was_written_is_read_after_the_commit(database: Database) -> None:
    await put(database, "one", "two")
    assert await words_of(database) == {"one", "two"}


async def test_an_exception_takes_the_whole_transaction_back(database: Database) -> None:
    await put(database, "one")
    with pytest.raises(IntegrityError):
        await put(database, "two", "one")
    assert await words_of(database) == {"one"}


async def test_tables_made_in_a_transaction_that_fails_are_gone_too(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as connection:
            await connection.execute(text("CREATE TABLE more (word TEXT)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    with pytest.raises(OperationalError):
        async with database.read() as connection:
            await connection.execute(text("SELECT * FROM more"))


async def test_a_read_sees_one_moment_while_others_write(database: Database) -> None:
    async with database.read() as connection:
        count = text("SELECT count(*) FROM words")
        before = (await connection.execute(count)).scalar_one()
        await put(database, "one")
        assert (await connection.execute(count)).scalar_one() == before


async def test_many_who_read_at_once_share_few_connections(database: Database) -> None:
    def files() -> int:
        return sum(opened.resolve() == database.file for opened in Path("/proc/self/fd").iterdir())

    await asyncio.gather(*(words_of(database) for _ in range(100)))
    assert files() <= MOST_READERS + 1


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(OperationalError):
        async with database.read() as connection:
            await connection.execute(text("INSERT INTO words VALUES ('one')"))


async def test_writers_take_turns(database: Database) -> None:
    await asyncio.gather(*(put(database, f"{n}", f"{n}!") for n in range(20)))
    assert len(await words_of(database)) == 40


async def test_writers_that_come_together_are_committed_together(database: Database) -> None:
    before = database.commits
    await asyncio.gather(*(put(database, f"{n}") for n in range(20)))
    assert database.commits == before + 1


async def test_of_writers_that_are_committed_together_one_that_fails_takes_only_its_own_back(
    database: Database,
) -> None:
    await put(database, "one")
    writers = (put(database, "two"), put(database, "three", "one"), put(database, "four"))
    results = await asyncio.gather(*writers, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), IntegrityError, type(None)]
    assert await words_of(database) == {"one", "two", "four"}


async def test_what_only_read_does_not_go_to_the_disk(database: Database) -> None:
    before = database.commits
    async with database.write() as connection:
        await connection.execute(text("SELECT word FROM words"))
    assert database.commits == before


async def test_where_a_transaction_is_lost_all_who_wrote_in_it_are_told_and_nothing_is_written(
    database: Database,
) -> None:
    async def lose() -> None:
        async with database.write() as connection:
            await connection.exec_driver_sql("ROLLBACK")  # as SQLite does where the disk is full
            with pytest.raises(InvalidRequestError):
                await connection.execute(text("INSERT INTO words VALUES ('by itself')"))

    results = await asyncio.gather(put(database, "one"), lose(), put(database, "two"), return_exceptions=True)
    assert [type(result) for result in results] == [LostError, LostError, type(None)]
    assert await words_of(database) == {"two"}


async def test_what_is_carried_out_soon_comes_before_what_is_asked_next_and_fails_with_those_who_wrote_it(
    database: Database,
) -> None:
    count = text("SELECT count(*) FROM words")

    async def put_soon(*words: str) -> None:
        async with database.write() as connection:
            for word in words:
                connection.soon(ADD, {"word": word})

    async with database.write() as connection:
        connection.soon(ADD, {"word": "one"})
        assert (await connection.execute(count)).scalar_one() == 1
    writers = (put_soon("two"), put_soon("three", "one", "four"), put_soon("five"))
    results = await asyncio.gather(*writers, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), IntegrityError, type(None)]
    assert await words_of(database) == {"one", "two", "five"}


async def test_who_overlooks_what_failed_soon_writes_nothing(database: Database) -> None:
    async def put_twice() -> None:
        async with database.write() as connection:
            connection.soon(ADD, {"word": "one"})
            connection.soon(ADD, {"word": "one"})
            with suppress(IntegrityError):
                await connection.execute(text("SELECT word FROM words"))

    with pytest.raises(InvalidRequestError):
        await put_twice()
    assert await words_of(database) == set()


@pytest.mark.parametrize("asks", [True, False])
async def test_what_fails_soon_in_a_nested_part_is_taken_back_with_that_part_alone(
    database: Database, *, asks: bool
) -> None:
    async def fail(connection: Connection) -> None:
        async with connection.begin_nested():
            connection.soon(ADD, {"word": "three"})
            async with connection.begin_nested():
                connection.soon(ADD, {"word": "one"})
                if asks:
                    await connection.execute(text("SELECT word FROM words"))

    await put(database, "one")
    async with database.write() as connection:
        connection.soon(ADD, {"word": "two"})
        with pytest.raises(IntegrityError):
            await fail(connection)
        await connection.execute(ADD, {"word": "four"})
    assert await words_of(database) == {"one", "two", "four"}


async def test_what_failed_soon_before_a_nested_part_is_not_mended_by_taking_that_part_back(database: Database) -> None:
    async def write() -> None:
        async with database.write() as connection:
            connection.soon(ADD, {"word": "one"})
            connection.soon(ADD, {"word": "one"})
            with suppress(IntegrityError):
                async with connection.begin_nested():
                    await connection.execute(ADD, {"word": "two"})

    with pytest.raises(InvalidRequestError):
        await write()
    assert await words_of(database) == set()


async def test_what_was_to_be_carried_out_soon_by_one_who_failed_harms_nobody_else(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as connection:
            connection.soon(ADD, {"word": "one"})
            raise ZeroDivisionError

    await put(database, "one")
    results = await asyncio.gather(fail(), put(database, "two"), return_exceptions=True)
    assert [type(result) for result in results] == [ZeroDivisionError, type(None)]
    assert await words_of(database) == {"one", "two"}


async def test_a_file_that_another_program_has_locked_is_waited_for_and_keeps_nobody_else_waiting(
    database: Database,
) -> None:
    with closing(sqlite3.connect(database.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writer = asyncio.create_task(put(database, "one"))
        assert await words_of(database) == set()
        assert not writer.done()
        other.execute("COMMIT")
        await writer
    assert await words_of(database) == {"one"}


async def test_a_transaction_that_cannot_be_committed_is_taken_back_and_in_nobodys_way(database: Database) -> None:
    async def hurt() -> None:
        async with database.write() as connection:
            await connection.execute(ADD, {"word": "two"})
            await connection.exec_driver_sql("RELEASE part_1")  # its own end fails then, on the way to the commit

    results = await asyncio.gather(put(database, "one"), hurt(), return_exceptions=True)
    assert all(isinstance(result, Exception) for result in results)
    await put(database, "three")
    assert await words_of(database) == {"three"}


async def test_foreign_keys_hold(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE uses (word TEXT REFERENCES words)"))
        with pytest.raises(IntegrityError):
            await connection.execute(text("INSERT INTO uses VALUES ('unknown')"))


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
async def test_a_task_cancelled_at_any_point_writes_all_or_nothing_and_frees_the_writer(
    database: Database, *, again: bool
) -> None:
    for steps in range(45):
        task = asyncio.create_task(put(database, f"{steps} a", f"{steps} b"))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        if again:
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait({task})
        async with asyncio.timeout(5):
            await put(database, f"{steps} after")
        found = await words_of(database)
        assert f"{steps} after" in found
        assert (f"{steps} a" in found) == (f"{steps} b" in found)
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing is left to finish behind our back"


async def test_a_task_cancelled_while_it_commits_has_committed(database: Database) -> None:
    leaving = asyncio.Event()

    async def write() -> None:
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO words VALUES ('one')"))
            leaving.set()

    task = asyncio.create_task(write())
    await leaving.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await words_of(database) == {"one"}


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


async def test_the_files_are_for_the_owner_only(tmp_path: Path) -> None:
    (tmp_path / FILE).touch(mode=0o644)
    database = await Database.open(tmp_path)
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE words (word TEXT)"))
    try:
        assert modes(tmp_path) == dict.fromkeys([FILE, f"{FILE}-wal", f"{FILE}-shm", "lock"], 0o600)
    finally:
        await database.close()


async def test_a_second_process_is_told_that_the_folder_is_in_use(database: Database) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom bot.errors import StoreError\n"
        "from bot.store.database import Database\n"
        "try:\n    asyncio.run(Database.open(Path(sys.argv[1])))\nexcept StoreError as error:\n    print(error)\n"
    )
    said = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, str(database.folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout.startswith(f"Another process already uses the data folder {database.folder}.")


async def test_the_folder_is_free_again_after_closing(tmp_path: Path) -> None:
    for _ in range(2):
        database = await Database.open(tmp_path)
        with pytest.raises(StoreError, match="Another process"):
            await Database.open(tmp_path)
        await database.close()


async def test_who_reads_after_closing_is_told_and_does_not_wait_for_ever(tmp_path: Path) -> None:
    database = await Database.open(tmp_path)
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))
    await database.close()
    with pytest.raises(InvalidRequestError):
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))


async def test_a_folder_that_cannot_be_written_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be written .* set store\.path"):
        await Database.open(tmp_path / "file")


async def test_a_file_that_is_no_store_is_refused_and_the_folder_let_go(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("not a store " * 1000)
    for _ in range(2):
        with pytest.raises(StoreError, match="cannot be used"):
            await Database.open(tmp_path)


async def test_an_error_does_not_tell_what_people_wrote(database: Database) -> None:
    with pytest.raises(IntegrityError) as caught:
        await put(database, "secret", "secret")
    assert "secret" not in str(caught.value)
