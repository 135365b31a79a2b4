"""`unpinned demo`: the problem happens, and is gone. No API key, and nothing leaves the machine.

Three application servers, each with an instance of the fake API of its own and an Unpinned beside it; and three kinds
of clients: one that sends the whole conversation each time, one that names its last response, and one that keeps a
WebSocket.
"""

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from proxy import fake_openai
from proxy.demo import references, sockets
from proxy.demo.application import Application
from proxy.demo.incident import Incident, Station
from proxy.demo.stage import FIRST, INDENT, LAST, SECOND, Account, serving, unpinned
from proxy.demo.transcripts import InMemory
from proxy.demo.witness import Witness
from proxy.settings import load
from proxy.store.memory import MemoryStore

PORTS: Final = (3000, 3010, 3020)
INCIDENT: Final = 3040
"""The port of the page that plays the incident."""


@dataclass
class Way:
    """How questions are sent: directly or through Unpinned, as JSON or streamed."""

    way: str
    stream: bool

    def __str__(self) -> str:
        way = "Directly" if self.way == "directly" else "Through Unpinned"
        return f"{way}, {'streamed' if self.stream else 'as JSON'}"


def main(*, leave_running: bool = False, account: Account | None = None) -> int:
    """Run the demonstration; the exit code is 0 if all behaved. With `leave_running` it ends on Ctrl-C."""
    account = account or Account()
    with ExitStack() as stack:
        servers, stations = _servers(account, stack)
        _tell(account, servers)
        if leave_running:
            chats = [(server.name, server.address) for server in servers]
            page = stack.enter_context(serving(Incident(stations, chats).asgi(), INCIDENT))
            _wait(account, servers, page)
    return 0 if account.behaved else 1


def _wait(account: Account, servers: list[Application], page: str) -> None:
    account.say(f"\nEverything goes on running. Open this page, and play the incident with one click:\n  {page}")
    account.say("Or begin a conversation of your own on one of these, and go on with it on another; Ctrl-C ends it:")
    for server in servers:
        account.say(f"  {server.name}  {server.address}")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        account.say()


def _servers(account: Account, stack: ExitStack) -> tuple[list[Application], list[Station]]:
    """The application servers, each with its own API instance and its own Unpinned, with a store and without."""
    transcripts, store = InMemory(), MemoryStore()
    servers: list[Application] = []
    stations: list[Station] = []
    for number, port in enumerate(PORTS, 1):
        witness = Witness(fake_openai.build(instance=f"instance-{number}"))
        direct = f"{stack.enter_context(fake_openai.running(witness))}/v1"
        stored = load({"upstream": direct, "store": "memory", "store_scope": "demo"}, {})
        through = f"{stack.enter_context(unpinned(load({'upstream': direct}, {})))}/v1"
        recalling = f"{stack.enter_context(unpinned(stored, store))}/v1"
        stations.append(Station(f"server {number}", f"sk-demo-{number}", direct, through, recalling, witness))
        server = Application(f"server {number}", f"sk-demo-{number}", direct, through, transcripts)
        server.address = stack.enter_context(serving(server.asgi(), port))
        if not server.address.endswith(f":{port}"):
            account.say(f"Port {port} is taken: {server.name} is at {server.address}")
        servers.append(server)
    for server in servers:
        server.others = [(other.name, other.address) for other in servers]
    return servers, stations


def _tell(account: Account, servers: list[Application]) -> None:
    account.say("A conversation with reasoning and a tool call begins on one server and goes on over the others.")
    with httpx2.Client(timeout=30, trust_env=False) as client:
        for stream in (False, True):
            _Conversation(account, client, Way("directly", stream)).fails(servers)
            _Conversation(account, client, Way("unpinned", stream)).goes_on(servers)
        ways = [references.Server(server.name, server.key, *server.bases.values()) for server in servers]
        references.stays_where_it_began(account, client, ways)
        sockets.goes_on(account, ways)
    account.say("\nAll behaved." if account.behaved else "\nSomething did not behave; see above.")


class _Conversation:
    """One conversation, sent one way."""

    def __init__(self, account: Account, client: httpx2.Client, way: Way) -> None:
        self.account = account
        self.client = client
        self.way = way
        account.say(f"\n== {way}")

    def fails(self, servers: list[Application]) -> None:
        """Without Unpinned the second server does not know the conversation."""
        number = self._begun(servers[0])
        begun = self._asked(servers[0], number, FIRST)
        self.account.expect(so=begun["status"] == 200, otherwise="the first server should have answered")
        refused = self._asked(servers[1], number, SECOND)
        self.account.expect(so=refused["status"] == 404, otherwise="the second server should not have known it")

    def goes_on(self, servers: list[Application]) -> None:
        """Through Unpinned it goes on, with its context, and with tool calls on every server."""
        number = self._begun(servers[0])
        for server, question in zip([*servers, servers[0]], [FIRST, SECOND, FIRST, LAST], strict=True):
            turn = self._asked(server, number, question)
            self.account.expect(so=turn["status"] == 200, otherwise="the conversation should have gone on")
            self.account.expect(so="your name is Ada" in turn["text"], otherwise="the model should have seen all of it")
            self.account.expect(so=(turn["tools"] > 0) == (question == FIRST), otherwise="the tool was not called")

    def _begun(self, server: Application) -> int:
        return int(self.client.post(f"{server.address}/conversations").json()["number"])

    def _asked(self, server: Application, number: int, question: str) -> dict[str, Any]:
        """Ask as the chat page does, and print the outcome."""
        asked = {"question": question, "way": self.way.way, "stream": self.way.stream}
        turn: dict[str, Any] = self.client.post(f"{server.address}/conversations/{number}", json=asked).json()
        self.account.say(f"  {server.name}  asks: {question}")
        if turn["tools"]:
            self.account.say(f"{INDENT}(the model called get_weather, and the server answered the call)")
        self.account.say(f"{INDENT}{turn['status']}: {turn['text']}")
        for report in filter(None, turn["reports"]):
            told = ", ".join(f"{name} {value}" for name, value in report.items())
            self.account.say(f"{INDENT}Unpinned: {told}")
        return turn
