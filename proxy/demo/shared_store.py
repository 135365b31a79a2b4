"""`unpinned demo --store`: clients that name their last response, or a conversation, and send only what is new.

Three servers, each with an instance of the fake API and an Unpinned of its own; the three share a store.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import httpx2

from proxy import fake_openai
from proxy.demo.references import Server, asked, continuing, result, text, user
from proxy.demo.stage import FIRST, LAST, SECOND, Account, unpinned
from proxy.settings import load
from proxy.store.memory import MemoryStore

_QUESTIONS: Final = (FIRST, SECOND, LAST)

Request = Callable[[dict[str, Any], list[dict[str, Any]]], dict[str, Any]]
"""Makes a request of the last response and what is new."""


def main(account: Account | None = None) -> int:
    """Run the demonstration; the exit code is 0 if all behaved."""
    account = account or Account()
    account.say("Each turn names the response before it, or its conversation, and sends only what is new.")
    with ExitStack() as stack:
        servers = _servers(stack)
        client = stack.enter_context(httpx2.Client(timeout=30, trust_env=False))
        _fails(account, client, servers)
        _goes_on(account, client, servers)
        _converses(account, client, servers)
    account.say("\nAll behaved." if account.behaved else "\nSomething did not behave; see above.")
    return 0 if account.behaved else 1


def _servers(stack: ExitStack) -> list[Server]:
    store = MemoryStore()
    servers = []
    for number in range(1, 4):
        direct = stack.enter_context(fake_openai.running(fake_openai.build(instance=f"instance-{number}")))
        settings = load(
            {"upstream": f"{direct}/v1", "store": "memory", "store_scope": "demo", "conversations": "process"}, {}
        )
        through = stack.enter_context(unpinned(settings, store))
        servers.append(Server(f"server {number}", f"sk-demo-{number}", f"{direct}/v1", f"{through}/v1"))
    return servers


def _fails(account: Account, client: httpx2.Client, servers: list[Server]) -> None:
    """Without Unpinned the second server does not know the first one's response."""
    account.say("\n== Directly")
    begun = asked(account, client, servers[0], servers[0].direct, {"input": FIRST})
    refused = asked(account, client, servers[1], servers[1].direct, continuing(begun, [user(SECOND)]))
    account.expect(so="error" in refused, otherwise="the second server should not have known the response")


def _goes_on(account: Account, client: httpx2.Client, servers: list[Server]) -> None:
    """Through Unpinned every server knows all of it, whichever made it."""
    account.say("\n== Through Unpinned with a store")
    _talk(account, client, servers, continuing)


def _converses(account: Account, client: httpx2.Client, servers: list[Server]) -> None:
    """A conversation that lives in the store is begun at one server, and goes on at every other by its id."""
    account.say("\n== Through Unpinned, in a conversation that lives in the store (UNPINNED_CONVERSATIONS)")
    key = {"authorization": f"Bearer {servers[0].key}"}
    begun = client.post(f"{servers[0].through}/conversations", json={}, headers=key).json()
    account.say(f"  {servers[0].name}  begins {begun['id']}")
    _talk(account, client, servers, lambda _, items: {"input": items, "conversation": begun["id"]})


def _talk(account: Account, client: httpx2.Client, servers: list[Server], request: Request) -> None:
    """Ask the questions, each at the next server; the output of a tool goes to the one after it."""
    last: dict[str, Any] = {}
    for turn, question in enumerate(_QUESTIONS):
        items: list[dict[str, Any]] = [user(question)]
        while items:
            server = servers[turn % len(servers)]
            turn += 1  # noqa: PLW2901 -- the output of a tool goes to the next server
            last = asked(account, client, server, server.through, request(last, items))
            items = [result(item) for item in last.get("output", ()) if item["type"] == "function_call"]
        account.expect(so="your name is Ada" in text(last), otherwise="the model should have seen all of it")
