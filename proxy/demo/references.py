"""A client that names its last response and sends only what is new."""

from dataclasses import dataclass
from typing import Any

import httpx2

from proxy.demo.application import WEATHER
from proxy.demo.stage import FIRST, INDENT, LAST, SECOND, Account


@dataclass
class Server:
    """One server's ways to its instance of the API."""

    name: str
    key: str
    direct: str
    through: str


def stays_where_it_began(account: Account, client: httpx2.Client, servers: list[Server]) -> None:
    """Without a store it keeps its history where it began; elsewhere it is answered without, and that is said."""
    account.say("\n== A client that names its last response, through Unpinned")
    here, elsewhere = servers[:2]
    last = asked(account, client, here, here.through, {"input": FIRST})
    calls = [result(item) for item in last.get("output", ()) if item["type"] == "function_call"]
    for items in ([*calls], [user(SECOND)]):
        last = asked(account, client, here, here.through, continuing(last, items))
        account.expect(so="your name is Ada" in text(last), otherwise="the model should have seen all of it")
    last = asked(account, client, elsewhere, elsewhere.through, continuing(last, [user(LAST)]))
    account.expect(so=bool(text(last)), otherwise="the conversation should have gone on")
    account.say(f"{INDENT}Only server 1 had its history. With a store it goes on anywhere: unpinned demo --store")


def user(question: str) -> dict[str, Any]:
    """A question, as an item."""
    return {"role": "user", "content": question}


def continuing(last: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any]:
    """A request that sends only what is new, and names the response that it continues."""
    return {"input": items} | ({"previous_response_id": last["id"]} if "id" in last else {})


def result(call: dict[str, Any]) -> dict[str, Any]:
    """The output of a call."""
    return {"type": "function_call_output", "call_id": call["call_id"], "output": "18 degrees and clear"}


def asked(
    account: Account, client: httpx2.Client, server: Server, base: str, request: dict[str, Any]
) -> dict[str, Any]:
    """Ask, and print the outcome."""
    shown = request["input"] if isinstance(request["input"], str) else _shown(request["input"][0])
    account.say(f"  {server.name}  sends: {shown}")
    body = {"model": "gpt-5", "tools": [WEATHER], **request}
    answer = client.post(f"{base}/responses", json=body, headers={"authorization": f"Bearer {server.key}"})
    made: dict[str, Any] = answer.json()
    said = made["error"]["message"] if answer.is_error else text(made) or "(calls get_weather)"
    account.say(f"{INDENT}{answer.status_code}: {said}")
    if "x-unpinned-action" in answer.headers:
        names = ("action", "fidelity", "attempts", "store", "removed")
        told = [f"{name} {value}" for name in names if (value := answer.headers.get(f"x-unpinned-{name}"))]
        account.say(f"{INDENT}Unpinned: {', '.join(told)}")
    return made


def _shown(item: dict[str, Any]) -> str:
    return str(item.get("content") or f"the output of the call, {item['output']!r}")


def text(response: dict[str, Any]) -> str:
    """What the model said."""
    parts = [part for item in response.get("output", ()) if item["type"] == "message" for part in item["content"]]
    return "".join(part.get("text", "") for part in parts)
