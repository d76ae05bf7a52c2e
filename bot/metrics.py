"""What the bot tells of itself in numbers: one registry a bot, handed to those who have something to count."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version

import structlog
from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

log = structlog.get_logger(__name__)

Read = Callable[[], Awaitable[None]]
"""Brings gauges up to date that are read from somewhere, a store say."""

TEXT_FORMAT = CONTENT_TYPE_PLAIN_0_0_4
"""The content type of `Metrics.page`."""

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_PATIENT = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_NETWORK = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)


class Metrics:
    """The host's metrics, and the registry to which plugins add theirs.

    Labels have few values each: never the id of a room, a person or an event.
    """

    def __init__(self) -> None:
        # Else each counter has a second series, with the moment at which it began.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._readers: list[Read] = []
        ProcessCollector(registry=self.registry)
        self._gauge("info", "1, with the version as a label.", "version").labels(_version()).set(1)
        self.ready = self._gauge("ready", "Whether the bot is ready, as /health/ready says (1 or 0).")
        self.synced = self._gauge(
            "last_sync_timestamp_seconds", "When the newest batch of the homeserver was taken in; 0 before the first."
        )
        self.requests = self._counter(
            "requests_total", "Requests to the homeserver that came to an end.", "endpoint", "outcome"
        )
        self.request_seconds = self._histogram(
            "request_seconds",
            "How long the homeserver took to answer a request; /sync is left out, since it waits for news.",
            _NETWORK,
            "endpoint",
        )
        self.turn_seconds = self._histogram(
            "turn_wait_seconds", "How long a request waited for its turn within the limits.", _PATIENT, "urgency"
        )
        self.throttled = self._gauge("throttled", "Whether the homeserver is known to limit the bot (1 or 0).")
        self.commands = self._counter(
            "commands_total", "Commands that were typed, by what came of them.", "command", "outcome"
        )
        self.answer_seconds = self._histogram(
            "answer_seconds", "From the arrival of a command to its answer being sent.", _PATIENT
        )
        self.passes = self._counter("passes_total", "Passes of the reconcilers.", "worker", "outcome")
        self.wake_age = self._gauge(
            "oldest_wake_age_seconds", "How long the oldest wake of a reconciler is not served yet.", "worker"
        )
        self.outbox = self._gauge("outbox_messages", "Messages to send: due now, or at a later moment.", "state")
        self.inbox = self._gauge("inbox_events", "Events that came in and are not handled yet.")
        self.transaction_seconds = self._histogram(
            "transaction_seconds", "Write transactions of the store, the wait for their turn included.", _QUICK
        )
        self.loop_lag = self._histogram(
            "loop_lag_seconds", "How late the event loop is, looked at each second.", _QUICK
        )
        self.errors = self._counter(
            "errors_total", "Errors that nobody foresaw; each stands in the log with its traceback.", "where"
        )
        for where in ("command", "handler", "event", "inbox", "pass", "sync", "metrics"):
            self.errors.labels(where)  # an increase from nothing to 1 would be seen by nobody

    def at_scrape(self, read: Read) -> None:
        """Call `read` before each scrape."""
        self._readers.append(read)

    async def page(self) -> bytes:
        """Everything in the text format of Prometheus; who cannot be read keeps its former numbers."""
        for read in self._readers:
            try:
                await read()
            except Exception:
                self.errors.labels("metrics").inc()
                log.exception("some metrics could not be read")
        return generate_latest(self.registry)

    def requested(self, endpoint: str, outcome: str, seconds: float) -> None:
        """A request to the homeserver came to an end after so long."""
        self.requests.labels(endpoint, outcome).inc()
        if endpoint != "sync":
            self.request_seconds.labels(endpoint).observe(seconds)

    def of_worker(self, worker: str, age: Callable[[], float]) -> Callable[[str], None]:
        """Follow a reconciler: `age` is how long its oldest wake waits; returns what counts a pass by its outcome."""
        self.wake_age.labels(worker).set_function(age)

        def passed(outcome: str) -> None:
            self.passes.labels(worker, outcome).inc()
            if outcome == "failed":
                self.errors.labels("pass").inc()

        return passed

    def _counter(self, name: str, said: str, *labels: str) -> Counter:
        return Counter(f"breakout_bot_{name}", said, labels, registry=self.registry)

    def _gauge(self, name: str, said: str, *labels: str) -> Gauge:
        return Gauge(f"breakout_bot_{name}", said, labels, registry=self.registry)

    def _histogram(self, name: str, said: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"breakout_bot_{name}", said, labels, buckets=buckets, registry=self.registry)


def _version() -> str:
    try:
        return version("breakout-bot")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "unknown"
