"""Structured logs without message contents or secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

_SECRET = ("password", "token", "secret", "body", "formatted_body", "content")


def set_up_logs(level: str = "INFO", form: Literal["text", "json"] = "text") -> None:
    """Send this program's logs to standard error, one event a line, as text or JSON."""
    renderer = (
        structlog.processors.JSONRenderer()
        if form == "json"
        # The pretty tracebacks print local variables, and those hold what people wrote.
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
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    # nio logs the content of events that it finds malformed, and people wrote those.
    logging.getLogger("nio").setLevel(logging.CRITICAL)


def _without_secrets(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank the fields that could carry what people wrote or what opens an account."""
    for name in fields:
        if any(part in name for part in _SECRET):
            fields[name] = "…"
    return fields
