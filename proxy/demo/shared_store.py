"""`unpinned demo --store`: a client that names its last response and sends only what is new, on every server.

Three servers, each with an instance of the fake API and an Unpinned of its own; the three share a store.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from proxy import fake_openai
from proxy.app import build
from proxy.demo.application import WEATHER
from proxy.demo.demonstration import FIRST, LAST, SECOND, Account, serving
from proxy.events import Observers
from proxy.settings import load
from proxy.store.memory import MemoryStore

_QUESTIONS: Final = (FIRST, SECOND, LAST)
_INDENT: Final = " " * 12


@dataclass
class Server:
    """One server's ways to its instance of the API."""

    name: str
    key: str
    direct: str
    through: str


def main(account: Account | None = None) -> int:
    """Run the demonstration; the exit code is 0 if all behaved."""
    account = account or Account()
    account.say("Each turn names the response before it (previous_response_id), and sends only what is new.")
    with ExitStack() as stack:
        servers = _servers(stack)
        client = stack.enter_context(httpx2.Client(timeout=30, trust_env=False))
        _fails(account, client, servers)
        _goes_on(account, client, servers)
    account.say("\nAll behaved." if account.behaved else "\nSomething did not behave; see above.")
    return 0 if account.behaved else 1


def _servers(stack: ExitStack) -> list[Server]:
    store = MemoryStore()
    servers = []
    for number in range(1, 4):
        direct = stack.enter_context(serving(fake_openai.build(instance=f"instance-{number}")))
        settings = load({"upstream": f"{direct}/v1", "store": "memory", "store_scope": "demo"}, {})
        through = stack.enter_context(serving(build(settings, Observers(), store)))
        servers.append(Server(f"server {number}", f"sk-demo-{number}", f"{direct}/v1", f"{through}/v1"))
    return servers


def _fails(account: Account, client: httpx2.Client, servers: list[Server]) -> None:
    """Without Unpinned the second server does not know the first one's response."""
    account.say("\n== Directly")
    begun = _asked(account, client, servers[0], servers[0].direct, {"input": FIRST})
    refused = _asked(account, client, servers[1], servers[1].direct, _continuing(begun, [_user(SECOND)]))
    account.expect(so="error" in refused, otherwise="the second server should not have known the response")


def _goes_on(account: Account, client: httpx2.Client, servers: list[Server]) -> None:
    """Through Unpinned every server knows all of it, whichever made it."""
    account.say("\n== Through Unpinned with a store")
    last: dict[str, Any] = {}
    for turn, question in enumerate(_QUESTIONS):
        items: list[dict[str, Any]] = [_user(question)]
        while items:
            server = servers[turn % len(servers)]
            turn += 1  # noqa: PLW2901 -- the output of a tool goes to the next server
            last = _asked(account, client, server, server.through, _continuing(last, items))
            items = [_result(item) for item in last.get("output", ()) if item["type"] == "function_call"]
        account.expect(so="your name is Ada" in _text(last), otherwise="the model should have seen all of it")


def _user(question: str) -> dict[str, Any]:
    return {"role": "user", "content": question}


def _continuing(last: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"input": items} | ({"previous_response_id": last["id"]} if "id" in last else {})


def _result(call: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call["call_id"], "output": "18 degrees and clear"}


def _asked(
    account: Account, client: httpx2.Client, server: Server, base: str, request: dict[str, Any]
) -> dict[str, Any]:
    """Ask, and print the outcome."""
    asked = request["input"] if isinstance(request["input"], str) else _shown(request["input"][0])
    account.say(f"  {server.name}  sends: {asked}")
    body = {"model": "gpt-5", "tools": [WEATHER], **request}
    answer = client.post(f"{base}/responses", json=body, headers={"authorization": f"Bearer {server.key}"})
    made: dict[str, Any] = answer.json()
    said = made["error"]["message"] if answer.is_error else _text(made) or "(calls get_weather)"
    account.say(f"{_INDENT}{answer.status_code}: {said}")
    if "x-unpinned-action" in answer.headers:
        names = ("action", "fidelity", "store", "removed")
        told = [f"{name} {value}" for name in names if (value := answer.headers.get(f"x-unpinned-{name}"))]
        account.say(f"{_INDENT}Unpinned: {', '.join(told)}")
    return made


def _shown(item: dict[str, Any]) -> str:
    return str(item.get("content") or f"the output of the call, {item['output']!r}")


def _text(response: dict[str, Any]) -> str:
    parts = [part for item in response.get("output", ()) if item["type"] == "message" for part in item["content"]]
    return "".join(part.get("text", "") for part in parts)
