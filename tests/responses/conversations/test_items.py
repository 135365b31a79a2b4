"""How items of a conversation are shown."""

import json
from typing import Any

import pytest

from proxy.responses.body.lenient import MalformedError
from proxy.responses.conversations.items import id_in, is_reference, shown
from proxy.responses.conversations.shapes import KINDS

CONVERSATION = "conv_" + "0" * 48
NAME = bytes(range(8))


def seen(item: bytes, *include: str) -> Any:
    """What a list shows of an item."""
    item_id, found = shown(item, NAME, CONVERSATION, include)
    loaded = json.loads(found)
    assert loaded["id"] == item_id
    return loaded


TEXTS: list[tuple[bytes, dict[str, Any]]] = [
    (
        b'{"role":"user","content":"1"}',
        {"type": "message", "status": "completed", "role": "user", "content": [{"type": "input_text", "text": "1"}]},
    ),
    (
        b'{ "role":"assistant", "status":null,"content":"" , "type":"message"}',
        {
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "", "annotations": []}],
        },
    ),
    (
        b'{"role":"user","id":null,"status":"incomplete","content":[]}',
        {"type": "message", "status": "incomplete", "role": "user", "content": []},
    ),
    (
        b'{"type":"function_call_output","call_id":"c","output":"{}"}',
        {"type": "function_call_output", "status": "completed", "call_id": "c", "output": "{}"},
    ),
    (b'{"type":"mcp_approval_response"}', {"type": "mcp_approval_response"}),
]


@pytest.mark.parametrize(("item", "expected"), TEXTS)
def test_what_is_added(item: bytes, expected: dict[str, Any]) -> None:
    """A message is shown with its type, its text as a part and a status; other kinds with a status if they have one."""
    found = seen(item)
    assert found.pop("id").startswith(("msg_", "fc_"))
    assert found == expected


def test_what_stays() -> None:
    """Of an item with an id no other byte changes, whatever it holds."""
    item = b'{"id":"msg_1","type":"message","status":"completed","role":"user","content":[{"n":1e400,"t":"\\ud800"}]}'
    assert shown(item, NAME, CONVERSATION) == ("msg_1", item)
    assert id_in(item) == "msg_1"
    assert (id_in(b'{"role":"user"}'), id_in(b'{"id":7}'), id_in(b"[")) == ("", "", "")
    with pytest.raises(MalformedError):
        shown(b"[", NAME, CONVERSATION)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_listed(kind: str) -> None:
    """An item of any kind that is taken is shown with an id."""
    assert seen(b'{"type":"%b"}' % kind.encode())["type"] == kind


def test_include_only_takes_out() -> None:
    """Without `include` all is shown that was kept; with it what it could name and does not is left out."""
    reasoning = b'{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"g"}'
    message = b'{"id":"m","type":"message","status":"completed","content":[{"image_url":"u","logprobs":[1]},7]}'
    call = b'{"id":"ws_1","type":"web_search_call","action":{"sources":[1],"query":"q"},"results":[2]}'
    assert seen(reasoning)["encrypted_content"] == "g"
    assert "encrypted_content" not in seen(reasoning, "message.output_text.logprobs")
    assert seen(message, "message.output_text.logprobs")["content"] == [{"logprobs": [1]}, 7]
    assert seen(message, "message.input_image.image_url")["content"] == [{"image_url": "u"}, 7]
    assert seen(call, "web_search_call.results") == {**json.loads(call), "action": {"query": "q"}}
    assert seen(b'{"id":"w","type":"web_search_call","action":7}', "web_search_call.results")["action"] == 7
    assert "content" not in seen(b'{"id":"m","type":"message","role":"user"}', "message.output_text.logprobs")


def test_references() -> None:
    """A reference is known by its type, or by having nothing but an id."""
    assert is_reference({"type": "item_reference", "id": "a"})
    assert is_reference({"id": "a"})
    assert not is_reference({"role": "user", "id": "a"})
