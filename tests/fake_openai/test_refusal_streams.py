"""Refusals inside a 200, as relays say them, and what the real SDK makes of them."""

import json
from contextlib import suppress
from typing import Any

import openai
import pytest

from proxy.fake_openai.refusal_streams import EVENTS, SHAPES
from tests.fake_openai.asking import MODEL, Fake, Start

MISSING = [{"type": "item_reference", "id": "rs_missing"}, {"role": "user", "content": "hello"}]
SENTENCE = "Item with id 'rs_missing' not found."


def events_of(text: str) -> list[Any]:
    """The data of the events of a stream, without its comments and its end."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.mark.parametrize(
    ("shape", "types"),
    [
        ("flat", ["error"]),
        ("nested", ["error"]),
        ("response.error", ["response.error"]),
        ("failed", ["response.failed"]),
        ("created+failed", ["response.created", "response.in_progress", "response.failed"]),
        ("error+failed", ["response.created", "response.in_progress", "error", "response.failed"]),
        ("bare", [None]),
    ],
)
def test_a_stream_that_refuses(start: Start, shape: Any, types: list[Any]) -> None:
    """A streaming request that is refused gets a 200, and the sentence as its last event, in the instance's shape."""
    answer = start(refusals=shape).post("/v1/responses", {"model": MODEL, "input": MISSING, "stream": True})
    events = events_of(answer.text)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert [event.get("type") for event in events] == types
    assert SENTENCE in json.dumps(events[-1])


@pytest.mark.parametrize("shape", SHAPES)
def test_other_requests_are_refused_with_a_status(start: Start, shape: Any) -> None:
    """Without a stream, without a key, and where no shape is set, a refusal has a status."""
    fake = start(refusals=shape)
    assert fake.refusal(MISSING)[:2] == (404, SENTENCE)
    assert fake.http.post(fake.url + "/v1/responses", json={"stream": True}).status_code == 401


def test_a_status_is_the_default(fake: Fake) -> None:
    """As OpenAI does it."""
    assert fake.refusal(MISSING, stream=True)[:2] == (404, SENTENCE)


@pytest.mark.parametrize("shape", EVENTS)
def test_the_sdk(start: Start, shape: Any) -> None:
    """The real SDK raises, or gives a failed response: either way the application has no answer."""
    sdk: Any = start(refusals=shape).sdk()
    types = []
    with suppress(openai.APIError), sdk.responses.create(model=MODEL, input=MISSING, stream=True) as stream:
        types = [event.type for event in stream]
    assert "response.completed" not in types
