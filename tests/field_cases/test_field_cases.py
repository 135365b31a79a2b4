"""What people have reported in public: requests that were refused, what upstream said, and what has to come of them.

`cases.jsonl` has a case a line, with the thread it comes from; ids and texts are made up. `refusals` say while of which
request upstream refuses: an expression over one `it` of its `items` (`offender`: {i}, {id} and {call_id} in what is
said are the first one's), or over `b`, the request, its `items`, and `n`, how often it was asked (`while`); else until
the request is as `accepts_when` says.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proxy.app import policy
from proxy.settings import load
from tests.support.product import unpinned
from tests.support.raw_client import exchange, request
from tests.support.serving import serving

Case = dict[str, Any]
CASES: dict[str, Case] = {
    case["name"]: case for case in map(json.loads, (Path(__file__).parent / "cases.jsonl").read_text().splitlines())
}
ENCODE: dict[str | None, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress, None: bytes}
WAITS = {"azure-item-race-references", "conversation-locked"}
"""Cases in which time alone helps: the same bytes are sent again, and nothing is learnt."""
WORDS = ("content", "output", "summary", "encrypted_content", "arguments", "input", "result", "code")
INNER = ("text", "refusal", "image_url", "file_id", "logs", "stdout", "stderr")


class Upstream:
    """An API that is strict in nothing but what its case says."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.received: list[bytes] = []
        self.refused: list[bytes] = []

    async def answer(self, asked: Request) -> Response:
        """Refuse, or answer with an empty response."""
        raw = await asked.body()
        coding = asked.headers.get("content-encoding")
        plain = raw if coding is None else {"gzip": gzip.decompress, "zstd": _unzstd}[coding](raw)
        self.received.append(plain)
        refusal = self._refusal(json.loads(plain))
        if refusal is None:
            return Response(b'{"id":"resp_1","status":"completed","output":[]}', 200, media_type="application/json")
        self.refused.append(refusal[1])
        return Response(refusal[1], refusal[0], media_type="application/json")

    def _refusal(self, body: Any) -> tuple[int, bytes] | None:
        found = items(body)
        names = {"b": body, "items": found, "n": len(self.received)}
        for rule in self.case["refusals"]:
            offenders = [(i, it) for i, it in enumerate(found) if _holds(rule.get("offender"), it=it, i=i, **names)]
            until = None if "offender" in rule else rule.get("while", f"not ({self.case['accepts_when']})")
            if offenders or _holds(until, **names):
                said = rule["says"] if isinstance(rule["says"], str) else json.dumps(rule["says"], ensure_ascii=False)
                for i, it in offenders[:1]:
                    for mark, value in (("{i}", i), ("{id}", it.get("id", "")), ("{call_id}", it.get("call_id", ""))):
                        said = said.replace(mark, str(value))
                return rule["status"], said.encode()
        return None


def _holds(expression: str | None, **names: Any) -> bool:
    return expression is not None and bool(eval(expression, {**names}))


def _unzstd(raw: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(raw)


def items(body: Any) -> list[Any]:
    """The items of a request."""
    found = body.get("input")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def words(found: list[Any]) -> list[str]:
    """What a reader would miss: the texts, blobs and results of an input."""
    held = [item.get(name) for item in found for name in WORDS]
    parts = [part for value in held if isinstance(value, list) for part in value if isinstance(part, dict)]
    parts += [value for value in held if isinstance(value, dict)]
    texts = [value for value in held if isinstance(value, str)] + [part.get(name) for part in parts for name in INNER]
    return [text for text in texts if isinstance(text, str) and text.strip()]


@contextmanager
def running(case: Case, mode: str) -> Iterator[tuple[Upstream, int]]:
    """The product in a mode, in front of the case's upstream."""
    upstream = Upstream(case)
    words_ = iter(case.get("flags", []))
    flags = {name.removeprefix("--").replace("-", "_"): value for name, value in zip(words_, words_, strict=True)}
    told = policy(load({**flags, "mode": mode}, {}))
    app = Starlette(routes=[Route("/{path:path}", upstream.answer, methods=["POST"])])
    with serving(app) as port, unpinned(f"http://127.0.0.1:{port}/v1", told) as own:
        yield upstream, own


def ask(port: int, case: Case) -> tuple[int, bytes, dict[bytes, bytes]]:
    """Send the case's request: the status, the body and the fields of the answer."""
    coding = case.get("encoding")
    fields = [(b"Content-Type", b"application/json"), (b"Authorization", b"Bearer sk-1")]
    fields += [(b"Content-Encoding", coding.encode())] if coding else []
    route = {"compact": b"/compact", "input_tokens": b"/input_tokens"}.get(case.get("route", ""), b"")
    body = ENCODE[coding](json.dumps(case["request"], ensure_ascii=False).encode())
    got = exchange(port, request(b"POST", b"/v1/responses" + route, fields, body))
    return got.status, got.body, dict(got.fields)


@pytest.mark.parametrize("mode", ["auto", "strip", "recover"])
@pytest.mark.parametrize("name", CASES)
def test_what_was_reported(name: str, mode: str) -> None:
    """It ends as it should, loses no more than it has to, says so, and costs the next turn nothing."""
    case = CASES[name]
    wanted = case["expected"][mode]
    with running(case, mode) as (upstream, port):
        status, body, fields = ask(port, case)
        assert status == wanted["status"]
        assert len(upstream.received) <= wanted.get("attempts", 4)
        if status != 200:
            assert body == upstream.refused[0]
            return
        fidelity = fields[b"x-unpinned-fidelity"].decode()
        kept = words(items(json.loads(upstream.received[-1])))
        lost = [text for text in words(items(case["request"])) if not any(text in other for other in kept)]
        assert fidelity == "lossy" or not lost
        assert not [text for text in wanted.get("keeps", []) if not any(text in other for other in kept)]
        assert fidelity in wanted.get("fidelity", fidelity).split("|")
        attempts = len(upstream.received)
        upstream.received.clear()
        ask(port, case)
        assert len(upstream.received) <= (attempts if name in WAITS else 1)
