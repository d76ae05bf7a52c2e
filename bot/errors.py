"""Each failure as a fact with fields; what is temporary and what is permanent differ by type."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any


class BotError(Exception):
    """The root of every error that this program raises on purpose."""


class ConfigError(BotError):
    """A setting is missing or wrong; the text names its path and says what was expected."""


class StoreError(BotError):
    """The data folder cannot be used; the text is one sentence with the remedy."""


class StoreInUse(StoreError):
    """Another process uses the data folder."""


class StoreTooNew(StoreError):
    """A newer version of the program wrote the store: starting again does not help."""


class Outdated(BotError):
    """What was asked of the homeserver was not wanted any more when its turn came; it was not done."""


class MatrixError(BotError):
    """A call to the homeserver did not succeed."""


class Temporary(MatrixError):
    """The call may succeed later: no answer, a broken answer, or a 5xx. It may have acted."""

    def __init__(self, reason: str, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class Unreachable(Temporary):
    """No connection, or no answer in time; `reason` says in plain words what was seen of it."""


class Silent(Unreachable):
    """Something listens there and has said nothing: it ends or hangs, or TLS is spoken by one side only."""


class Foreign(Temporary):
    """A refusal that is none of Matrix: of a proxy that does not let the request through, or has nobody behind it."""

    def __init__(self, status: int, retry_after: timedelta | None = None) -> None:
        super().__init__(f"HTTP {status} that is no Matrix answer", retry_after)
        self.status = status


class RateLimited(Temporary):
    """The homeserver asks us to wait `retry_after`; the call has not acted."""

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("rate limited", retry_after)


class Permanent(MatrixError):
    """The homeserver refuses the call, and would refuse it again."""

    def __init__(self, status: int, errcode: str, message: str) -> None:
        super().__init__(f"{errcode}: {message}")
        self.status = status
        self.errcode = errcode
        self.message = message


class Interactive(Permanent):
    """The homeserver wants the owner of the account to prove it (client-server API, "User-Interactive Authentication").

    `session` goes into the proof; `flows` are the ways to give it, as the homeserver lists them.
    """

    def __init__(self, session: str, message: str, flows: Sequence[Any] = ()) -> None:
        super().__init__(401, "INTERACTIVE", message)
        self.session = session
        self.flows = tuple(flows)


class LoginLost(MatrixError):
    """The access token is no longer valid; nothing works until an admin logs the bot in again."""
