"""An application server as users write them: it replays the whole conversation to its own instance of the API.

Several of them share the transcripts, as they would share a database. None knows of Unpinned but by its base URL.
"""

import json
from dataclasses import dataclass
from typing import Final

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from proxy.demo.chat_page import CHAT_PAGE
from proxy.demo.transcripts import Item, Transcripts

WEATHER: Final[Item] = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


@dataclass(frozen=True)
class Turn:
    """What one question brought about: the answer's text or the refusal, and Unpinned's report of each request."""

    status: int
    text: str
    reports: list[dict[str, str]]
    tools: int = 0


class Application:
    """One application server: a chat, a tool, and a base URL for each of the two ways to its API."""

    def __init__(self, name: str, key: str, direct: str, through: str, transcripts: Transcripts) -> None:
        self.name = name
        self.key = key
        self.bases = {"directly": direct, "unpinned": through}
        self.transcripts = transcripts
        self.address = ""
        self.others: list[tuple[str, str]] = []
        """Names and addresses of all servers, for the links of the chat page."""
        self._headers = {"authorization": f"Bearer {key}"}

    async def ask(self, number: int, question: str, way: str, *, stream: bool = False) -> Turn:
        """Ask in conversation `number`; its transcript grows only if the question is answered."""
        items = [*(self.transcripts.read(number) or ()), {"role": "user", "content": question}]
        reports: list[dict[str, str]] = []
        tools = 0
        async with httpx2.AsyncClient(headers=self._headers, timeout=30, trust_env=False) as client:
            while True:
                request = {"model": "gpt-5", "input": items, "tools": [WEATHER], "stream": stream}
                answer = await client.post(f"{self.bases[way]}/responses", json=request)
                reports.append(_report(answer))
                if answer.is_error:
                    return Turn(answer.status_code, answer.json()["error"]["message"], reports, tools)
                output = _output(answer.text) if stream else answer.json()["output"]
                calls = [item for item in output if item["type"] == "function_call"]
                items += [*output, *map(_tool_output, calls)]
                tools += len(calls)
                if not calls:
                    self.transcripts.write(number, items)
                    return Turn(answer.status_code, _text(output), reports, tools)

    def asgi(self) -> Starlette:
        """The chat page and what it calls."""
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/conversations", self._begin, methods=["POST"]),
                Route("/conversations/{number:int}", self._transcript),
                Route("/conversations/{number:int}", self._question, methods=["POST"]),
            ]
        )

    async def _page(self, _: Request) -> Response:
        others = json.dumps([[name, address] for name, address in self.others if name != self.name])
        return HTMLResponse(CHAT_PAGE.replace("SERVER_NAME", self.name).replace("SERVERS", others))

    async def _begin(self, _: Request) -> Response:
        return JSONResponse({"number": self.transcripts.begin()})

    async def _transcript(self, request: Request) -> Response:
        items = self.transcripts.read(request.path_params["number"])
        if items is None:
            return JSONResponse({"error": "There is no such conversation."}, 404)
        return JSONResponse({"messages": [message for item in items if (message := _shown(item))]})

    async def _question(self, request: Request) -> Response:
        asked = await request.json()
        number = request.path_params["number"]
        if self.transcripts.read(number) is None:
            return JSONResponse({"error": "There is no such conversation."}, 404)
        turn = await self.ask(number, str(asked["question"]), str(asked["way"]), stream=bool(asked.get("stream")))
        return JSONResponse(vars(turn))


def _report(answer: httpx2.Response) -> dict[str, str]:
    names = ("action", "fidelity", "attempts", "removed", "repaired")
    return {name: value for name in names if (value := answer.headers.get(f"x-unpinned-{name}"))}


def _tool_output(call: Item) -> Item:
    city = json.loads(call["arguments"]).get("city", "")
    return {"type": "function_call_output", "call_id": call["call_id"], "output": f"18 degrees and clear in {city}"}


def _output(stream: str) -> list[Item]:
    """The items of a streamed answer, from its last event."""
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]


def _text(items: list[Item]) -> str:
    parts = [part for item in items if item["type"] == "message" for part in item["content"]]
    return "".join(part.get("text", "") for part in parts)


def _shown(item: Item) -> Item | None:
    """What the chat page shows of an item: the speaker, and the words."""
    if item.get("role") == "user":
        return {"who": "you", "text": item["content"]}
    if item.get("type") == "message":
        return {"who": "model", "text": _text([item])}
    if item.get("type") == "function_call":
        return {"who": "tool", "text": f"{item['name']}({item['arguments']})"}
    return None
