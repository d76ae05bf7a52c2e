"""Structured logs without message contents or secrets."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from typing import Any, Literal

import structlog

from bot.errors import BotError
from bot.store.connection import STORE_FAILURES

log = structlog.get_logger(__name__)

_SAY_NOTHING_OF_PEOPLE = (BotError, *STORE_FAILURES)
"""Whose words are ours or the system's; those of any other exception may quote what somebody wrote."""

_SECRET = ("password", "token", "secret", "body", "formatted_body", "content")


class _Stderr(io.StringIO):
    """Standard error as it is at the moment; that nobody takes what is logged stops nothing."""

    def write(self, text: str, /) -> int:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


_stderr = _Stderr()


def set_up_logs(level: str = "INFO", form: Literal["text", "json"] = "text") -> None:
    """Send this program's logs to standard error, one event a line, as text or JSON."""
    renderer = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_secrets,
            structlog.processors.ExceptionRenderer(lambda info: without_words(info[1])),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(_stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(_stderr)
    handler.setFormatter(_Formatter("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # nio logs the content of events that it finds malformed, and people wrote those.
    logging.getLogger("nio").setLevel(logging.CRITICAL)


def _without_secrets(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank the fields that could carry what people wrote or what opens an account."""
    for name in fields:
        if any(part in name for part in _SECRET):
            fields[name] = "…"
    return fields


def without_words(error: BaseException | None) -> str:
    """The traceback, with the words of those exceptions alone that quote nobody; no local variables."""
    return "" if error is None else "".join(_traceback(error, set())).rstrip()


def _traceback(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _traceback(before, seen)
        yield "\nThen:\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    words = str(error) if isinstance(error, _SAY_NOTHING_OF_PEOPLE) else "(words left out: a person's, perhaps)"
    yield f"{type(error).__module__}.{type(error).__qualname__}: {words}\n"
    for part in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        if id(part) not in seen:
            yield from _traceback(part, seen)


class _Formatter(logging.Formatter):
    """For what other people's code logs."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the library's name
        return without_words(ei[1])


def log_what_nobody_awaited(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The event loop's handler of exceptions; its own writes the task, and with it the words of the exception."""
    log.error("nobody awaited a failure", what=context.get("message"), exc_info=context.get("exception"))
