"""The log goes on whatever happens to it, and quotes nobody."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from bot.errors import Permanent
from bot.logs import _Formatter, log_what_nobody_awaited, set_up_logs, without_words

WORD = "Xylophon"


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


class Closed(io.StringIO):
    """Standard error of a program whose reader has gone."""

    def write(self, text: str, /) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


def test_that_nobody_takes_what_is_logged_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up_logs()
    monkeypatch.setattr("sys.stderr", Closed())
    structlog.get_logger().info("heard by nobody")


def error() -> Exception:
    """One that happened while another one was handled, both with words of somebody."""
    try:
        try:
            dict[str, str]()[WORD]
        except KeyError as first:
            raise ExceptionGroup(WORD, [ValueError(WORD), Permanent(403, "M_FORBIDDEN", "no")]) from first
    except ExceptionGroup as group:
        return group
    raise AssertionError


def test_a_traceback_names_places_and_kinds_and_the_words_of_those_that_quote_nobody() -> None:
    told = without_words(error())
    assert WORD not in told
    assert told.index("KeyError") < told.index("ExceptionGroup") < told.index("ValueError")
    assert "M_FORBIDDEN: no" in told
    assert "dict[str, str]()[WORD]" in told


def test_an_exception_that_caused_itself_is_told_once() -> None:
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    assert without_words(one).count("ValueError") == 1


def test_what_libraries_log_quotes_nobody() -> None:
    exception = error()
    record = logging.LogRecord("aiohttp", logging.ERROR, "", 1, "failed", (), (type(exception), exception, None))
    told = _Formatter("%(message)s").format(record)
    assert told.startswith("failed\n")
    assert WORD not in told


async def test_a_failure_that_nobody_awaits_quotes_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(form="json")
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_what_nobody_awaited)

    async def fails() -> None:
        raise ValueError(WORD)

    task = loop.create_task(fails())
    await asyncio.wait({task})
    del task  # the loop tells of it when nobody can ask any more
    told = capsys.readouterr().err
    assert "never retrieved" in told
    assert "ValueError" in told
    assert WORD not in told
