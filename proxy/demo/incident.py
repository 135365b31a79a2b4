"""The incident, played: one conversation over three servers, directly and through Unpinned, request by request.

Each step has the request as the client sent it, each attempt as the API received it, and the answer as it came. Over a
WebSocket a turn names the one before on its connection; a new connection begins as the client's style says.
"""

import asyncio
import difflib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from proxy.demo.application import WEATHER
from proxy.demo.references import continuing, result, text, user
from proxy.demo.socket_client import SocketClient
from proxy.demo.stage import FIRST, LAST, SECOND
from proxy.demo.witness import PLAY, Attempt, Witness

Style = Literal["whole", "reference", "stored"]
Transport = Literal["http", "websocket"]
TRANSPORTS: Final[dict[Transport, str]] = {"http": "HTTP", "websocket": "WebSockets"}
STYLES: Final[dict[Style, str]] = {
    "whole": "sends the whole conversation",
    "reference": "names its last response",
    "stored": "names its last response; Unpinned has a store",
}
"""How a client continues a conversation."""
_PAGE: Final = Path(__file__).with_name("incident.html")
_REPORT: Final = ("action", "fidelity", "removed", "repaired", "attempts", "store")


@dataclass(frozen=True)
class Station:
    """One server: its key, the ways to its instance of the API, and what that instance receives."""

    name: str
    key: str
    direct: str
    through: str
    stored: str
    witness: Witness

    def base(self, style: Style, way: str) -> str:
        """The base URL that a client of this style has."""
        return self.direct if way == "directly" else self.stored if style == "stored" else self.through


class Incident:
    """Plays it, and shows it on a page; `chats` are the names and addresses of the servers' own pages."""

    def __init__(self, stations: list[Station], chats: list[tuple[str, str]]) -> None:
        self._stations = stations
        self._chats = chats
        self._sockets = asyncio.Lock()
        """One play at a time: what an instance received over WebSockets belongs to no play by name."""

    def asgi(self) -> Starlette:
        """The page and what it calls."""
        return Starlette(routes=[Route("/", self._page), Route("/play", self._played, methods=["POST"])])

    async def play(self, style: Style, way: str, transport: Transport = "http") -> list[dict[str, Any]]:
        """The steps of the conversation, up to the first that is refused."""
        if transport == "websocket":
            async with self._sockets:
                return await asyncio.to_thread(_over_sockets, self._stations, style, way)
        client = _Client(style)
        steps: list[dict[str, Any]] = []
        async with httpx2.AsyncClient(timeout=30, trust_env=False) as http:
            for station, question in zip(self._stations, (FIRST, SECOND, LAST), strict=True):
                items = [user(question)]
                while items:
                    body = client.body(items)
                    step, answer = await _step(http, station, station.base(style, way), body)
                    steps.append({"asked": _shown(items[-1]), **step})
                    if answer.is_error:
                        return steps
                    items = client.heard(items, answer.json())
        return steps

    async def _page(self, _: Request) -> Response:
        words = json.dumps({"styles": STYLES, "transports": TRANSPORTS, "chats": self._chats}).replace("<", r"\u003c")
        return HTMLResponse(_PAGE.read_text(encoding="utf-8").replace('id="words">{}<', f'id="words">{words}<'))

    async def _played(self, request: Request) -> Response:
        asked = await request.json()
        style, transport = asked.get("style"), asked.get("transport", "http")
        if style not in STYLES or transport not in TRANSPORTS:
            words = f"The style is one of {', '.join(STYLES)}, the transport one of {', '.join(TRANSPORTS)}."
            return JSONResponse({"error": words}, 400)
        return JSONResponse({way: await self.play(style, way, transport) for way in ("directly", "unpinned")})


class _Client:
    """What a client of some style remembers, and sends."""

    def __init__(self, style: Style) -> None:
        self._whole = style == "whole"
        self._items: list[dict[str, Any]] = []
        self._last: dict[str, Any] = {}

    def body(self, items: list[dict[str, Any]]) -> bytes:
        """The request that goes on with these items."""
        return json.dumps(self.request(items)).encode()

    def request(self, items: list[dict[str, Any]], *, same_connection: bool = False) -> dict[str, Any]:
        """The same as an object, over a WebSocket that has had a turn already, or not."""
        whole = self._whole and not same_connection
        request = {"input": [*self._items, *items]} if whole else continuing(self._last, items)
        return {"model": "gpt-5", "tools": [WEATHER], **request}

    def heard(self, items: list[dict[str, Any]], response: dict[str, Any]) -> list[dict[str, Any]]:
        """The items that the response asks for: the outputs of its calls."""
        self._items += [*items, *response["output"]]
        self._last = response
        return [result(item) for item in response["output"] if item["type"] == "function_call"]


async def _step(
    http: httpx2.AsyncClient, station: Station, base: str, body: bytes
) -> tuple[dict[str, Any], httpx2.Response]:
    play = secrets.token_hex(8)
    fields = {"authorization": f"Bearer {station.key}", "content-type": "application/json", PLAY.decode(): play}
    answer = await http.post(f"{base}/responses", content=body, headers=fields)
    attempts = station.witness.taken(play)
    accepted = next((attempt for attempt in attempts if attempt.status < 400), None)
    return {
        "server": station.name,
        "status": answer.status_code,
        "said": answer.text if answer.is_error else text(answer.json()) or _called(answer.json()),
        "report": {name: value for name in _REPORT if (value := answer.headers.get(f"x-unpinned-{name}"))},
        "sent": _lines(body),
        "attempts": [_attempt(attempt, body) for attempt in attempts],
        "saw": [*_seen(json.loads(accepted.body))] if accepted else [],
    }, answer


def _over_sockets(stations: list[Station], style: Style, way: str) -> list[dict[str, Any]]:
    """The steps of the conversation over a connection to each server."""
    client = _Client(style)
    steps: list[dict[str, Any]] = []
    for station, question in zip(stations, (FIRST, SECOND, LAST), strict=True):
        items, asked_before = [user(question)], False
        with SocketClient(station.base(style, way), station.key) as connection:
            while items:
                request = client.request(items, same_connection=asked_before)
                steps.append({"asked": _shown(items[-1]), **_turn(connection, station, request)})
                response = steps[-1].pop("response")
                if response is None:
                    return steps
                items, asked_before = client.heard(items, response), True
    return steps


def _turn(connection: SocketClient, station: Station, request: dict[str, Any]) -> dict[str, Any]:
    received = station.witness.state.instance.received
    received.clear()
    event = connection.turn(request)
    response = event.get("response")
    sent = json.dumps({"type": "response.create", **request}).encode()
    bodies = [json.dumps(each["body"]).encode() for each in received]
    last = len(bodies) - 1 if response else len(bodies)
    attempts = [Attempt(body, 200 if place == last else 400) for place, body in enumerate(bodies)]
    return {
        "server": station.name,
        "status": 200 if response else event["status"],
        "said": text(response) or _called(response) if response else json.dumps(event, separators=(",", ":")),
        "report": {},
        "sent": _lines(sent),
        "attempts": [_attempt(attempt, sent) for attempt in attempts],
        "saw": [*_seen(json.loads(bodies[-1]))] if response else [],
        "response": response,
    }


def _attempt(attempt: Attempt, sent: bytes) -> dict[str, Any]:
    refusal = json.loads(attempt.answer)["error"]["message"] if attempt.answer and attempt.status >= 400 else ""
    changes = [*difflib.unified_diff(_lines(sent), _lines(attempt.body), lineterm="", n=2)][2:]
    return {"status": attempt.status, "refusal": refusal, "changes": changes}


def _lines(body: bytes) -> list[str]:
    request = json.loads(body)
    return json.dumps({**request, "tools": "…"}, indent=2, ensure_ascii=False).splitlines()


def _seen(request: dict[str, Any]) -> Iterator[str]:
    """What the model is shown of a request that was accepted, an item a line."""
    if "previous_response_id" in request:
        yield "all that was said before, which this server keeps"
    for item in request["input"]:
        yield _shown(item)


def _shown(item: dict[str, Any]) -> str:
    match item.get("type", "message"):
        case "message":
            return f"{item['role']}: {_words(item['content'])}"
        case "reasoning":
            return "reasoning, which only its server can look up" if "encrypted_content" not in item else "reasoning"
        case "function_call":
            return f"call: {item['name']}({item['arguments']})"
        case "function_call_output":
            return f"output: {item['output']}"
        case kind:
            return str(kind)


def _words(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _called(response: dict[str, Any]) -> str:
    return ", ".join(_shown(item) for item in response["output"] if item["type"] == "function_call")
