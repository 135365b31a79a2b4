"""The pure parts: values for schemas, ids, seals, and the server's two ways to run."""

import asyncio
from typing import Any

import pytest
import uvicorn

from proxy import fake_openai
from proxy.fake_openai.encrypted_content import Memory, opened, seal
from proxy.fake_openai.identifiers import item_id, link, link_of, required_reasoning
from proxy.fake_openai.schemas import filled

NODE = {"$ref": "#/$defs/node"}
TREE = {
    **NODE,
    "$defs": {"node": {"type": "object", "properties": {"next": {"anyOf": [NODE, {"type": "null"}]}}}},
}

SCHEMAS: list[tuple[Any, Any]] = [
    ({"type": "string"}, "word"),
    ({"type": "string", "minLength": 6}, "word.."),
    ({"type": "string", "maxLength": 2}, "wo"),
    ({"type": "string", "format": "date"}, "2026-01-01"),
    ({"type": "string", "format": "odd"}, "word"),
    ({"type": ["integer", "null"]}, 1),
    ({"type": []}, "word"),
    ({"type": "number", "maximum": 0.5}, 0.5),
    ({"type": "integer", "exclusiveMinimum": 3}, 4),
    ({"type": "boolean"}, True),
    ({"type": "null"}, None),
    ({"const": {"a": 1}}, {"a": 1}),
    ({"enum": ["a", "b"]}, "a"),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
    ({"type": "object"}, {}),
    ({"properties": {"a": {"type": "string"}, "b": 7}}, {"a": "word", "b": None}),
    ({"allOf": [{"type": "integer"}]}, 1),
    ({"$ref": "#/nowhere/at/all"}, "word"),
    (7, None),
]


@pytest.mark.parametrize(("schema", "value"), SCHEMAS, ids=str)
def test_schemas_are_filled(schema: Any, value: Any) -> None:
    """A simple schema gets a value that satisfies it; one that is not understood gets something."""
    assert filled(schema, lambda _name: "word") == value


def test_schemas_that_contain_themselves_end() -> None:
    """A recursive schema is filled to some depth and ended where it allows it."""
    value = filled(TREE, lambda _name: "word")
    depth = 0
    while value is not None:
        value, depth = value["next"], depth + 1
    assert 1 < depth < 10
    assert filled({"$ref": "#"}, lambda _name: "word") is None


def test_ids_name_their_reasoning() -> None:
    """An id made by a fake names its response and the reasoning it needs; any other id names nothing."""
    of = link("a")
    reasoning, call = item_id("rs", of, 0), item_id("fc", of, 1, 0)
    assert link_of(reasoning) == link_of(call) == of
    assert (required_reasoning(call), required_reasoning(reasoning)) == (reasoning, None)
    assert required_reasoning("fc_" + "0" * 32) is None


def test_seals_are_opened_only_whole() -> None:
    """What was sealed is read back; a cut or changed token is not."""
    memory = Memory("org", "rs_1", "here", {"a": 1})
    token = seal(memory)
    assert opened(token) == memory
    assert opened(token[:-8]) is None
    assert opened("x" + token) is None


def test_serve_names_the_instance_for_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` runs uvicorn in the foreground at the address it is given."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: seen.update(options, app=app))
    fake_openai.serve("127.0.0.1", 9999, delay=0.5)
    assert (seen["host"], seen["port"], seen["lifespan"]) == ("127.0.0.1", 9999, "off")


def test_a_client_that_leaves_is_no_error() -> None:
    """A connection lost within the body ends without an exception."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/responses",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer sk-x")],
    }
    asyncio.run(fake_openai.build()(scope, receive, send))  # type: ignore[arg-type]  # Starlette asks for `MutableMapping`
    assert sent[0]["status"] == 400
