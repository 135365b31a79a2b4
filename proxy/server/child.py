"""A worker as its parent sees it: a process of its own, and the channel to it."""

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from proxy.admin import Reading
from proxy.observers.gauges import Gauges
from proxy.observers.metrics import Metrics
from proxy.server.channel import Channel
from proxy.server.serving import Failure

_START: Final = 60.0
"""Seconds in which a worker has to be ready."""
_ANSWER: Final = 1.0
"""Seconds in which a worker has to say what it has counted; then its last answer counts."""
_GRACE: Final = 15.0
"""Seconds beyond the drain after which a worker that is still there is killed."""


class Order(NamedTuple):
    """What a worker is started with: its settings as texts, of how many workers it is one, and when a drain is over."""

    texts: Mapping[str, str]
    workers: int
    drain_timeout: float


class Child:
    """A worker that serves at `listener`; `heard` is given what it says of exchanges and of its store."""

    def __init__(self, order: Order, listener: socket.socket, heard: Callable[[str, Any], None]) -> None:
        self._order = order
        self._listener = listener
        self._pass_on = heard
        self._channel = Channel(self._heard, lambda: None)
        self._news = asyncio.Event()
        self._is_ready = False
        self._failure: Failure | None = None
        self._answers: list[asyncio.Future[None]] = []
        self._last = Reading(Metrics(), Gauges())
        self._process: asyncio.subprocess.Process
        self._ended: asyncio.Task[str]
        self.began = time.monotonic()
        self.lacks_store = False

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    async def start(self) -> Failure | None:
        """Start it, and wait until it serves; the failure where it cannot."""
        try:
            await self._spawn(self._listener.fileno())
        except OSError as error:
            return Failure(1, f"no process can be started: {error.strerror}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), _START)
        return None if self._is_ready else await self._lost_start()

    async def _spawn(self, listener: int) -> None:
        """Start its process, as this one was started, and give it the first message."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *sys.orig_argv[1:],
                "--worker",
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(), listener),
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # what a terminal sends is for the parent
            )
        self._ended = asyncio.create_task(self._wait())
        await self._channel.open(ours)
        self._channel.send("begin", {"texts": self._order.texts, "workers": self._order.workers, "listener": listener})

    async def _lost_start(self) -> Failure:
        if not self._ended.done() and self._failure is None:
            self._kill()
        how = await self._ended
        return self._failure or Failure(1, f"the process has ended before it was ready ({how})")

    def retire(self) -> None:
        """Let it leave the listener to others, and end with its last connection."""
        self._channel.send("retire")

    def end(self) -> None:
        """Let it drain; on the second call, cut what still runs."""
        self._channel.send("end")
        asyncio.get_running_loop().call_later(self._order.drain_timeout + _GRACE, self._kill)

    async def over(self) -> str:
        """Wait for its end; how it ended: "" as it was told to."""
        return await asyncio.shield(self._ended)

    async def reading(self) -> Reading:
        """What it has counted, and what goes on; where it does not say so soon, what it said last."""
        if not self._ended.done():
            answer = asyncio.get_running_loop().create_future()
            self._answers.append(answer)
            self._channel.send("standing")
            await asyncio.wait([answer, self._ended], timeout=_ANSWER, return_when=asyncio.FIRST_COMPLETED)
        return self._last

    async def _wait(self) -> str:
        code = await self._process.wait()
        self._news.set()
        self._last = Reading(self._last.metrics, Gauges())
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}" if code else ""

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _heard(self, name: str, value: Any) -> None:
        match name:
            case "ready":
                self._is_ready = True
                self._news.set()
            case "failed":
                sentence, code = value
                self._failure = Failure(code, sentence)
            case "standing":
                self._take(*value)
            case "store":
                self.lacks_store = value
                self._pass_on(name, value)
            case "exchange":
                self._pass_on(name, value)

    def _take(self, told: Mapping[str, Any], levels: list[int]) -> None:
        metrics = Metrics()
        metrics.join(told)
        self._last = Reading(metrics, Gauges(*levels))
        for answer in self._answers:
            if not answer.done():
                answer.set_result(None)
        self._answers.clear()
