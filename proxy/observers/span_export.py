"""Sends spans to a collector, from a thread of its own: a collector that is slow or down costs requests nothing.

What waits is bounded; what does not fit is dropped and counted, which a line of the log says once a minute. The thread
sleeps while there are no spans.
"""

import gzip
import http.client
import logging
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

_LOGGER: Final = logging.getLogger("unpinned")
_RETRIED: Final = frozenset({429, 502, 503, 504})  # "OTLP/HTTP Response", "Retryable Response Codes"
_ATTEMPTS: Final = 4
_LAST: Final = 3.0
"""Seconds for what waits at the end of the process."""
_QUIET: Final = 60.0
"""Seconds between two lines about the same trouble."""


class Collector(NamedTuple):
    """Where spans are sent to, and how."""

    url: str
    headers: dict[str, str]
    timeout: float
    compresses: bool
    context: ssl.SSLContext | None


class SpanExporter:
    """Sends batches of spans; `body` makes a request's body of some."""

    def __init__(
        self, collector: Collector, body: Callable[[list[bytes]], bytes], *, delay: float, queue: int, batch: int
    ) -> None:
        self._collector = collector
        self._body = body
        self._delay = delay
        self._most = queue
        self._batch = batch
        self._waiting: deque[bytes] = deque()
        self._dropped = 0
        self._there_are = threading.Event()
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None
        self._quiet_until = 0.0

    def add(self, spans: list[bytes]) -> None:
        """Take spans; drop them where too many wait."""
        if len(self._waiting) + len(spans) > self._most:
            self._dropped += len(spans)
            return
        self._waiting.extend(spans)
        if not self._there_are.is_set():
            self._there_are.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        self._ends.set()
        self._there_are.set()
        if self._thread is not None:
            self._thread.join(_LAST)

    def _run(self) -> None:
        while not self._ends.is_set():
            self._there_are.wait()
            self._ends.wait(self._delay)
            self._there_are.clear()
            self._send_all()

    def _send_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
            fault = self._send(self._body(batch))
            if fault:
                self._dropped += len(batch)
                self._complain(fault)
        if self._dropped:
            self._complain("too many wait")

    def _send(self, body: bytes) -> str:
        """Send a batch, again where the collector may take it later; what is wrong, or ""."""
        fault = ""
        for attempt in range(_ATTEMPTS):
            try:
                status = _post(self._collector, body)
            except (OSError, http.client.HTTPException) as error:
                fault = f"{type(error).__name__}: no answer"
            else:
                if status < 300:
                    return ""
                fault = f"answered {status}"
                if status not in _RETRIED:
                    return fault
            if self._ends.wait(2**attempt * random.uniform(0.5, 1.0)):  # noqa: S311 -- spreads load, keeps no secret
                break
        return fault

    def _complain(self, fault: str) -> None:
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _QUIET
            where = urlsplit(self._collector.url)
            _LOGGER.warning("Spans are lost: %d, to %s (%s)", self._dropped, _host(where), fault)
            self._dropped = 0


def _post(collector: Collector, body: bytes) -> int:
    """The status that a collector answers with."""
    where = urlsplit(collector.url)
    headers = {"content-type": "application/x-protobuf", "user-agent": "unpinned", **collector.headers}
    if collector.compresses:
        body = gzip.compress(body, 1)
        headers["content-encoding"] = "gzip"
    connection = _connection(collector, where)
    try:
        connection.request("POST", f"{where.path or '/'}{'?' if where.query else ''}{where.query}", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def _connection(collector: Collector, where: SplitResult) -> http.client.HTTPConnection:
    host = where.hostname or ""
    if where.scheme == "https":
        return http.client.HTTPSConnection(host, where.port, timeout=collector.timeout, context=collector.context)
    return http.client.HTTPConnection(host, where.port, timeout=collector.timeout)


def _host(where: SplitResult) -> str:
    """Where a collector is, without credentials."""
    return f"{where.scheme}://{where.netloc.rpartition('@')[2]}"
