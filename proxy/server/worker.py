"""A worker: a process that serves at its parent's listener, and does what the parent says."""

import asyncio
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import uvloop

from proxy.server.channel import Channel, receive_first, send_last
from proxy.server.program import Assembled
from proxy.server.serving import Serving
from proxy.server.tuning import tune
from proxy.settings import Settings, SettingsError, handed_on


def work(descriptor: int, assemble: Callable[[Settings], Assembled], configure: Callable[[Settings], None]) -> int:
    """Serve as the parent at the other end of `descriptor` says; the exit code."""
    end = socket.socket(fileno=descriptor)
    order = receive_first(end)
    try:
        settings = handed_on(order["texts"])
        settings = replace(settings, max_memory=max(1, settings.max_memory // order["workers"]))
        configure(settings)
        assembled = assemble(settings)
        tune()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            listener = socket.socket(fileno=order["listener"])
            return runner.run(_Worker(settings, assembled, listener).run(end))
    except SettingsError as fault:
        send_last(end, "failed", [str(fault), 2])
        return 2


class _Worker:
    """One worker, from its start to its end."""

    def __init__(self, settings: Settings, assembled: Assembled, listener: socket.socket) -> None:
        self._serving = Serving(settings, assembled, listener, shares=True, on_store=self._tell_store)
        self._channel = Channel(self._heard, self._end_once)
        self._is_ending = False
        shown = self._serving.instruments.inspection
        if shown is not None:
            shown.recent.pass_on = lambda exchange: self._channel.offer("exchange", exchange)

    async def run(self, end: socket.socket) -> int:
        """Serve until the parent says that it is over, or is itself."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end_once)
        for number in (signal.SIGINT, signal.SIGHUP):  # these are the parent's
            loop.add_signal_handler(number, lambda: None)
        await self._channel.open(end)
        failure = await self._serving.start()
        if failure is not None:
            self._channel.send("failed", [failure.sentence, failure.code])
            await self._channel.close()
            return failure.code
        self._channel.send("ready")
        await self._serving.over()
        self._channel.send("standing", await self._standing())
        await self._channel.close()
        return 0

    def _heard(self, name: str, _: Any) -> None:
        match name:
            case "standing":
                self._answering = asyncio.create_task(self._answer())
            case "retire":
                self._serving.retire()
            case "end":
                self._is_ending = True
                self._serving.end()

    async def _answer(self) -> None:
        self._channel.send("standing", await self._standing())

    async def _standing(self) -> list[Any]:
        metrics, levels = await self._serving.reading()
        return [metrics.told(), list(levels)]

    def _end_once(self) -> None:
        """Drain: a signal may come from the service manager and from the parent, and neither means *cut*."""
        if not self._is_ending:
            self._is_ending = True
            self._serving.end()

    def _tell_store(self) -> None:
        self._channel.send("store", self._serving.lacks_store)
