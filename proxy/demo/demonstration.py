"""`unpinned demo`: the problem happens, and is gone. Everything runs on 127.0.0.1; no API key, nothing leaves the machine.

Three application servers, each with an instance of the fake API of its own and an Unpinned beside it.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TextIO

import uvicorn
from starlette.types import ASGIApp

from proxy.app import build
from proxy.demo import fake_openai
from proxy.demo.application import Application, Transcripts, Turn
from proxy.events import Observers
from proxy.settings import load

PORTS: Final = (3000, 3010, 3020)
# The third one runs in `recover` mode, so that a refusal and its recovery can be seen.
MODES: Final = ("strip", "strip", "recover")
FIRST, SECOND, THIRD = (
    "My name is Ada. What is the weather in Paris? Use the tool get_weather.",
    "What is my name?",
    "And what did I ask you first?",
)


@dataclass
class Account:
    """What is printed, and whether all behaved."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    behaved: bool = True

    def say(self, line: str = "") -> None:
        """Print one line."""
        self.out.write(line + "\n")
        self.out.flush()

    def expect(self, *, so: bool, otherwise: str) -> None:
        """Note whether something is as it has to be."""
        if not so:
            self.behaved = False
            self.say(f"    NOT AS IT SHOULD BE: {otherwise}")


def main(*, leave_running: bool = False) -> int:
    """Run the demonstration; the exit code is 0 if all behaved. With `leave_running` it ends on Ctrl-C."""
    try:
        return asyncio.run(_demonstrate(Account(), leave_running=leave_running))
    except KeyboardInterrupt:
        return 0


async def _demonstrate(account: Account, *, leave_running: bool) -> int:
    async with AsyncExitStack() as stack:
        servers = await _servers(account, stack)
        await _tell(account, servers)
        if leave_running:
            account.say()
            account.say("Everything goes on running. Open these pages; Ctrl-C ends it:")
            for server in servers:
                account.say(f"  {server.name}  {server.address}")
            await asyncio.Event().wait()
    return 0 if account.behaved else 1


async def _servers(account: Account, stack: AsyncExitStack) -> list[Application]:
    """The application servers, running, each with its own API instance and its own Unpinned."""
    transcripts = Transcripts()
    servers: list[Application] = []
    for number, (port, mode) in enumerate(zip(PORTS, MODES, strict=True), 1):
        instance = fake_openai.build(instance=f"instance-{number}")
        direct = await stack.enter_async_context(_serving(instance))
        through = await stack.enter_async_context(_serving(_unpinned(direct, mode)))
        application = Application(f"server {number}", f"sk-demo-{number}", f"{direct}/v1", f"{through}/v1", transcripts)
        application.address = await stack.enter_async_context(_serving(application.asgi(), port))
        if not application.address.endswith(f":{port}"):
            account.say(f"Port {port} is taken: {application.name} listens on {application.address}")
        servers.append(application)
    for server in servers:
        server.others = [(other.name, other.address) for other in servers]
    return servers


def _unpinned(upstream: str, mode: str) -> ASGIApp:
    return build(load({"upstream": f"{upstream}/v1", "mode": mode}, {}), Observers())


@asynccontextmanager
async def _serving(app: ASGIApp, port: int = 0) -> AsyncIterator[str]:
    """`app` on 127.0.0.1, on `port` or the next free one; the value is its address."""
    listener = _listener(port)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none"))
    task = asyncio.create_task(server._serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


def _listener(port: int) -> socket.socket:
    """A socket on `port`, or on the first free one after it."""
    for candidate in _candidates(port):
        try:
            return socket.create_server(("127.0.0.1", candidate))
        except OSError:
            continue
    return socket.create_server(("127.0.0.1", 0))


def _candidates(port: int) -> Iterator[int]:
    return iter(range(port, port + 10)) if port else iter(())


async def _tell(account: Account, servers: list[Application]) -> None:
    account.say("A conversation with reasoning and a tool call begins on one server and goes on over the others.")
    for stream in (False, True):
        how = "streamed" if stream else "as JSON"
        await _directly(account, servers, how, stream=stream)
        await _through(account, servers, how, stream=stream)
    account.say()
    account.say("All behaved." if account.behaved else "Something did not behave; see above.")


async def _directly(account: Account, servers: list[Application], how: str, *, stream: bool) -> None:
    """The conversation without Unpinned: the second server refuses it."""
    account.say()
    account.say(f"== Directly, {how}")
    number = servers[0].transcripts.begin()
    begun = await _ask(account, servers[0], number, FIRST, "directly", stream=stream)
    account.expect(so=begun.status == 200 and begun.tools == 1, otherwise="the first server should have answered")
    refused = await _ask(account, servers[1], number, SECOND, "directly", stream=stream)
    account.expect(so=refused.status == 404, otherwise="the second server should not have known the conversation")


async def _through(account: Account, servers: list[Application], how: str, *, stream: bool) -> None:
    """The same conversation through Unpinned: it goes on, with its context, and with a tool call on every server."""
    account.say()
    account.say(f"== Through Unpinned, {how}")
    number = servers[0].transcripts.begin()
    for server, question in zip([*servers, servers[0]], [FIRST, SECOND, FIRST, THIRD], strict=True):
        turn = await _ask(account, server, number, question, "unpinned", stream=stream)
        account.expect(so=turn.status == 200, otherwise="the conversation should have gone on")
        account.expect(
            so="your name is Ada" in turn.text, otherwise="the model should have seen the whole conversation"
        )
        account.expect(so=(turn.tools > 0) == (question == FIRST), otherwise="the tool should have been called")


async def _ask(account: Account, server: Application, number: int, question: str, way: str, *, stream: bool) -> Turn:
    turn = await server.ask(number, question, way, stream=stream)
    account.say(f"  {server.name}  asks: {question}")
    if turn.tools:
        account.say("            (the model called get_weather, and the server answered the call)")
    account.say(f"            {turn.status}: {turn.text}")
    for report in turn.reports:
        if report:
            account.say("            Unpinned: " + ", ".join(f"{name} {value}" for name, value in report.items()))
    return turn
