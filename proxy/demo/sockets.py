"""A client in WebSocket mode: a turn names the last response of its connection, and sends only what is new.

When the connection has ended, the client sends the whole conversation over a new one, as the SDKs do. Here the new one
reaches another server.
"""

from typing import Any

from proxy.demo.application import WEATHER
from proxy.demo.references import Server, continuing, result, text, user
from proxy.demo.socket_client import SocketClient
from proxy.demo.stage import FIRST, INDENT, LAST, SECOND, Account


class _Talk:
    """One conversation: what the client has of it."""

    def __init__(self, account: Account, way: str) -> None:
        self.account = account
        self.way = way
        self.items: list[dict[str, Any]] = []

    def base(self, server: Server) -> str:
        """Where the client connects."""
        return server.through if self.way == "Through Unpinned" else server.direct

    def turn(self, client: SocketClient, server: Server, request: dict[str, Any], shown: str) -> dict[str, Any]:
        """Send a turn, keep what it brought, and print the outcome."""
        self.account.say(f"  {server.name}  sends: {shown}")
        event = client.turn({"model": "gpt-5", "tools": [WEATHER], "store": False, **request})
        if "error" in event:
            self.account.say(f"{INDENT}{event['status']}: {event['error']['message']}")
            return event
        response: dict[str, Any] = event["response"]
        self.items += response["output"]
        self.account.say(f"{INDENT}{text(response) or '(calls get_weather)'}")
        return response

    def begin(self, server: Server) -> None:
        """A question, a call and its output over one connection, on which each turn names the one before."""
        with SocketClient(self.base(server), server.key) as client:
            self.items.append(user(FIRST))
            last = self.turn(client, server, {"input": self.items[:]}, FIRST)
            outputs = [result(item) for item in last.get("output", ()) if item["type"] == "function_call"]
            self.items += outputs
            last = self.turn(client, server, continuing(last, outputs), "the output of the call, and the response's id")
            self.account.expect(so="your name is Ada" in text(last), otherwise="the model should have seen all of it")

    def go_on(self, server: Server) -> dict[str, Any]:
        """The next question over a connection to another server, and another one behind it."""
        with SocketClient(self.base(server), server.key) as client:
            self.items.append(user(SECOND))
            last = self.turn(client, server, {"input": self.items[:]}, f"the whole conversation, and: {SECOND}")
            if last.get("error"):
                return last
            return self.turn(client, server, continuing(last, [user(LAST)]), LAST)


def goes_on(account: Account, servers: list[Server]) -> None:
    """Directly the second server does not know the conversation; through Unpinned it goes on."""
    here, elsewhere = servers[:2]
    for way in ("Directly", "Through Unpinned"):
        account.say(f"\n== {way}, over WebSockets")
        talk = _Talk(account, way)
        talk.begin(here)
        last = talk.go_on(elsewhere)
        if way == "Directly":
            account.expect(
                so=bool(last.get("error")), otherwise="the second server should not have known the conversation"
            )
        else:
            account.expect(so="your name is Ada" in text(last), otherwise="the model should have seen all of it")
