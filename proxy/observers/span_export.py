"""Sends spans to a collector, from a thread of its own: a collector that is slow or down costs requests nothing.

What waits is bounded; what does not fit is dropped and counted, which a line of the log says once a minute. The thread
sleeps while there are no spans.
"""

import gzip
import logging
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import urllib3

from proxy.http.trace_context import Trace

_LOGGER: Final = logging.getLogger("unpinned")
_RETRIES: Final = urllib3.Retry(
    total=3,
    status_forcelist=[429, 502, 503, 504],  # "OTLP/HTTP Response", "Retryable Response Codes"
    allowed_methods=None,
    redirect=False,
    backoff_factor=1,
    backoff_jitter=0.5,
    raise_on_status=False,
)
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
    """Sends batches of spans; `body` makes a request's body of what was noted of some requests."""

    def __init__(
        self, collector: Collector, body: Callable[[list[Trace]], bytes], *, delay: float, queue: int, batch: int
    ) -> None:
        self._collector = collector
        self._pool = urllib3.PoolManager(ssl_context=collector.context, retries=_RETRIES, timeout=collector.timeout)
        self._body = body
        self._delay = delay
        self._most = queue
        self._batch = batch
        self._waiting: deque[Trace] = deque()
        self._added = self._taken = 0
        """Spans, by the event loop and by the thread."""
        self._dropped = 0
        self._there_are = threading.Event()
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None
        self._quiet_until = 0.0

    def add(self, trace: Trace) -> None:
        """Take what was noted of a request; drop it where too many spans wait."""
        count = trace.spans
        if self._added - self._taken + count > self._most:
            self._dropped += count
            return
        self._added += count
        self._waiting.append(trace)
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
            traces, count = self._next()
            fault = self._send(self._body(traces))
            if fault:
                self._dropped += count
                self._complain(fault)
        if self._dropped:
            self._complain("too many wait")

    def _next(self) -> tuple[list[Trace], int]:
        """The next batch, and how many spans it has."""
        traces: list[Trace] = []
        count = 0
        while self._waiting and count < self._batch:
            traces.append(self._waiting.popleft())
            count += traces[-1].spans
        self._taken += count
        return traces, count

    def _send(self, body: bytes) -> str:
        """Send a batch, again where the collector may take it later; what is wrong, or ""."""
        headers = {"content-type": "application/x-protobuf", "user-agent": "unpinned", **self._collector.headers}
        if self._collector.compresses:
            body = gzip.compress(body, 1)
            headers["content-encoding"] = "gzip"
        try:
            status = self._pool.request("POST", self._collector.url, body=body, headers=headers).status
        except urllib3.exceptions.HTTPError as error:
            return f"{type(getattr(error, 'reason', error)).__name__}: no answer"
        return "" if status < 300 else f"answered {status}"

    def _complain(self, fault: str) -> None:
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _QUIET
            where = urlsplit(self._collector.url)
            host = f"{where.scheme}://{where.netloc.rpartition('@')[2]}"  # without credentials
            _LOGGER.warning("Spans are lost: %d, to %s (%s)", self._dropped, host, fault)
            self._dropped = 0
