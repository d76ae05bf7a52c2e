"""Carries the store's statements out at once: a thread for them is where most of a simulated session's time goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import aiosqlite


class _AtOnce:
    """Takes the place of the queue and of the thread of a connection (aiosqlite 0.22)."""

    daemon = True

    def start(self) -> None:
        pass

    def put_nowait(self, order: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        future, function = order
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - as the thread does
            if future:
                future.set_exception(error)
        else:
            if future:
                future.set_result(result)


@contextmanager
def without_threads() -> Iterator[None]:
    """While it lasts, connections that are opened have no thread."""
    as_it_is = aiosqlite.Connection.__init__

    def init(self: Any, *arguments: Any, **more: Any) -> None:
        as_it_is(self, *arguments, **more)
        self._tx = self._thread = _AtOnce()

    with patch.object(aiosqlite.Connection, "__init__", init):
        yield
