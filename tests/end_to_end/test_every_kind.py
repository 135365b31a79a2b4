"""Every kind of item, made by a real turn on one instance and replayed on another."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.end_to_end.conftest import MODEL, Place, starting
from tests.end_to_end.test_conversations import MODES, field

Json = dict[str, Any]
NEXT: Any = {"role": "user", "content": "What did I ask you first?"}
SCREENSHOT = {"type": "computer_screenshot", "image_url": "data:image/png;base64,iVBORw0KGgo="}

# The tool, the words that ask for it, and the outputs with which an application answers the calls.
TOOLS: dict[str, tuple[Json, str]] = {
    "function_call": (
        {"type": "function", "name": "get_weather", "parameters": {"type": "object"}},
        "get_weather, please",
    ),
    "custom_tool_call": ({"type": "custom", "name": "run_tests"}, "run_tests, please"),
    "web_search_call": ({"type": "web_search"}, "search the web"),
    "file_search_call": ({"type": "file_search", "vector_store_ids": ["vs_1"]}, "a file search, please"),
    "code_interpreter_call": ({"type": "code_interpreter", "container": {"type": "auto"}}, "code interpreter, please"),
    "image_generation_call": ({"type": "image_generation"}, "draw a pixel"),
    "mcp_call": (
        {"type": "mcp", "server_label": "m", "server_url": "http://m", "require_approval": "never"},
        "ask mcp",
    ),
    "mcp_approval_request": ({"type": "mcp", "server_label": "m", "server_url": "http://m"}, "ask mcp"),
    "local_shell_call": ({"type": "local_shell"}, "use the local shell"),
    "shell_call": ({"type": "shell"}, "use the shell"),
    "apply_patch_call": ({"type": "apply_patch"}, "apply patch, please"),
    "computer_call": ({"type": "computer"}, "use the computer"),
    "tool_search_call": ({"type": "tool_search"}, "a tool search, please"),
    "program": ({"type": "programmatic_tool_calling"}, "run a program"),
}


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, Place]]:
    """Instances for all tests of this module, two whose reasoning has blobs and two whose has none."""
    with starting() as start:
        bare = {name: start(instance=name, encrypted="include-only") for name in ("bare here", "bare there")}
        yield {**bare, "here": start(instance="here"), "there": start(instance="there")}


@pytest.fixture
def here(places: dict[str, Place]) -> Place:
    """Where a conversation begins."""
    return places["here"]


@pytest.fixture
def there(places: dict[str, Place]) -> Place:
    """Where it goes on."""
    return places["there"]


def answered(call: Json) -> Json | None:
    """What an application sends in answer to a call; None where upstream ran it itself."""
    call_id = call.get("call_id")
    match call["type"]:
        case "function_call":
            caller = {"caller": call["caller"]} if "caller" in call else {}
            return {"type": "function_call_output", "call_id": call_id, "output": "18 degrees", **caller}
        case "custom_tool_call":
            return {"type": "custom_tool_call_output", "call_id": call_id, "output": "run_42 finished"}
        case "mcp_approval_request":
            return {"type": "mcp_approval_response", "approval_request_id": call["id"], "approve": True}
        case "local_shell_call":
            return {"type": "local_shell_call_output", "id": call["id"], "output": "notes.txt"}
        case "shell_call":
            outcome = {"type": "exit", "exit_code": 0}
            output = [{"stdout": "notes.txt", "stderr": "", "outcome": outcome}]
            return {"type": "shell_call_output", "call_id": call_id, "output": output}
        case "apply_patch_call":
            return {"type": "apply_patch_call_output", "call_id": call_id, "status": "completed"}
        case "computer_call":
            return {"type": "computer_call_output", "call_id": call_id, "output": SCREENSHOT}
    return None


def outputs(response: Any) -> list[Json]:
    """The items of a response, as they came."""
    items: list[Json] = response.http_response.json()["output"]
    return items


def conversation(place: Place, kind: str, *, mode: str | None = None, **options: Any) -> list[Json]:
    """A conversation in which the model made an item of `kind`, up to its answer."""
    tool, words = TOOLS[kind]
    client = place.directly() if mode is None else place.client(mode)
    create: Any = client.responses.with_raw_response.create
    items: list[Json] = [{"role": "user", "content": f"My name is Ada; {words}."}]
    for _ in range(3):
        made = outputs(create(model=MODEL, input=items, tools=[tool], **options))
        replies = [reply for item in made if (reply := answered(item)) is not None]
        items += [*made, *replies]
        if not replies:
            break
    assert kind in {item["type"] for item in items if "type" in item}, items
    return items


@pytest.mark.parametrize("kind", TOOLS)
def test_directly_it_fails(here: Place, there: Place, kind: str) -> None:
    """Directly, another instance refuses the conversation."""
    ask: Any = there.directly().responses.create
    with pytest.raises(openai.APIStatusError) as refused:
        ask(model=MODEL, input=[*conversation(here, kind), NEXT], tools=[TOOLS[kind][0]])
    assert refused.value.status_code in (400, 404)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", TOOLS)
def test_it_goes_on(here: Place, there: Place, kind: str, mode: str) -> None:
    """Through Unpinned it goes on elsewhere."""
    ask: Any = there.client(mode).responses.with_raw_response.create
    raw = ask(model=MODEL, input=[*conversation(here, kind), NEXT], tools=[TOOLS[kind][0]])
    assert "My name is Ada" in raw.parse().output_text
    assert field(raw, "action") in ("rewritten", "recovered")


@pytest.mark.parametrize("kind", TOOLS)
def test_where_it_was_made_recover_changes_nothing(here: Place, kind: str) -> None:
    """In `recover` mode the whole conversation on one instance is sent as it came, and works as it does directly."""
    items = [*conversation(here, kind, mode="recover"), NEXT]
    ask: Any = here.client("recover").responses.with_raw_response.create
    raw = ask(model=MODEL, input=items, tools=[TOOLS[kind][0]])
    assert raw.parse().output_text == here.directly().responses.create(model=MODEL, input=items).output_text
    assert (field(raw, "action"), field(raw, "fidelity")) == ("passthrough", "exact")


@pytest.mark.parametrize("kind", TOOLS)
def test_where_it_was_made_strip_goes_on(here: Place, kind: str) -> None:
    """In `strip` mode the whole conversation works on the instance that made it, too."""
    items = [*conversation(here, kind, mode="strip"), NEXT]
    answer = here.client("strip").responses.create(model=MODEL, input=items)
    assert "My name is Ada" in answer.output_text


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", TOOLS)
def test_bare_reasoning(places: dict[str, Place], kind: str, mode: str) -> None:
    """The same where the reasoning has no encrypted content: the conversation goes on, and the report says lossy."""
    ask: Any = places["bare there"].client(mode).responses.with_raw_response.create
    raw = ask(model=MODEL, input=[*conversation(places["bare here"], kind), NEXT], tools=[TOOLS[kind][0]])
    assert "My name is Ada" in raw.parse().output_text
    assert field(raw, "fidelity") == "lossy"


def test_all_kinds_in_one_conversation(here: Place, there: Place) -> None:
    """One conversation with every kind of item goes on elsewhere, in both modes."""
    items = [item for kind in TOOLS for item in conversation(here, kind)]
    for mode in MODES:
        ask: Any = there.client(mode).responses.create
        assert "My name is Ada" in ask(model=MODEL, input=[*items, NEXT]).output_text
