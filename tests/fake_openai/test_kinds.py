"""Every kind of item comes out of a real turn of the real SDK, and goes in again."""

from typing import Any

import openai
import pytest

from tests.fake_openai.asking import Fake, Json

FUNCTION: Json = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
MCP: Json = {"type": "mcp", "server_label": "deep", "server_url": "https://example.com"}
PROGRAM: Json = {"type": "programmatic_tool_calling"}
USER = {"role": "user", "content": "Please use {}. My name is Ada."}

# What the user says, the tools, the kinds that come out, and the output the client gives to the last of them.
TURNS: list[tuple[str, list[Json], list[str], Json | None]] = [
    ("no tool", [FUNCTION], ["reasoning", "message"], None),
    (
        "get_weather",
        [FUNCTION],
        ["reasoning", "function_call"],
        {"type": "function_call_output", "output": [{"type": "input_text", "text": "rain"}]},
    ),
    (
        "grep",
        [{"type": "custom", "name": "grep"}],
        ["reasoning", "custom_tool_call"],
        {"type": "custom_tool_call_output", "output": "found"},
    ),
    ("web search", [{"type": "web_search"}], ["reasoning", "web_search_call", "message"], None),
    (
        "file search",
        [{"type": "file_search", "vector_store_ids": ["vs_1"]}],
        ["reasoning", "file_search_call", "message"],
        None,
    ),
    (
        "the code interpreter",
        [{"type": "code_interpreter", "container": {"type": "auto"}}],
        ["reasoning", "code_interpreter_call", "message"],
        None,
    ),
    ("image generation", [{"type": "image_generation"}], ["reasoning", "image_generation_call", "message"], None),
    (
        "MCP",
        [{**MCP, "require_approval": "never"}],
        ["mcp_list_tools", "reasoning", "mcp_call", "message"],
        None,
    ),
    (
        "MCP",
        [MCP],
        ["mcp_list_tools", "reasoning", "mcp_approval_request"],
        {"type": "mcp_approval_response", "approve": True},
    ),
    (
        "MCP",
        [MCP],
        ["mcp_list_tools", "reasoning", "mcp_approval_request"],
        {"type": "mcp_approval_response", "approve": False},
    ),
    (
        "the local shell",
        [{"type": "local_shell"}],
        ["reasoning", "local_shell_call"],
        {"type": "local_shell_call_output", "output": "notes.txt"},
    ),
    (
        "the shell",
        [{"type": "shell"}],
        ["reasoning", "shell_call"],
        {"type": "shell_call_output", "output": [{"stdout": "notes.txt", "stderr": "", "outcome": {"type": "exit"}}]},
    ),
    (
        "apply_patch",
        [{"type": "apply_patch"}],
        ["reasoning", "apply_patch_call"],
        {"type": "apply_patch_call_output", "status": "completed", "output": "ok"},
    ),
    (
        "the computer",
        [{"type": "computer"}],
        ["reasoning", "computer_call"],
        {
            "type": "computer_call_output",
            "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,AA=="},
        },
    ),
    (
        "the computer",
        [
            {
                "type": "computer_use_preview",
                "environment": "browser",
                "display_width": 1024,
                "display_height": 768,
            }
        ],
        ["reasoning", "computer_call"],
        {"type": "computer_call_output", "output": {"type": "computer_screenshot", "file_id": "file_1"}},
    ),
    (
        "tool search",
        [{"type": "tool_search"}],
        ["reasoning", "tool_search_call", "tool_search_output", "message"],
        None,
    ),
    (
        "tool search",
        [{"type": "tool_search", "execution": "client"}],
        ["reasoning", "tool_search_call"],
        {"type": "tool_search_output", "execution": "client", "tools": [FUNCTION]},
    ),
    ("a program", [PROGRAM], ["reasoning", "program", "program_output", "message"], None),
    (
        "a program",
        [PROGRAM, FUNCTION],
        ["reasoning", "program", "function_call"],
        {"type": "function_call_output", "output": "rain"},
    ),
]


def answered(output: Json, call: Json) -> Json:
    """An output with the name of its call."""
    if output["type"] == "mcp_approval_response":
        return {**output, "approval_request_id": call["id"]}
    if output["type"] == "local_shell_call_output":
        return {**output, "id": call["id"]}
    extra = {"caller": call["caller"]} if call.get("caller") else {}
    return {**output, "call_id": call["call_id"], **extra}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("wish", "tools", "kinds", "output"), TURNS, ids=lambda value: str(value)[:40])
def test_every_kind_comes_out_and_goes_in_again(
    *, shared: Fake, wish: str, tools: list[Any], kinds: list[str], output: Json | None, stream: bool
) -> None:
    """A user names a tool, the SDK reads what comes out, and the whole conversation is accepted with it."""
    client = shared.sdk()
    items: list[Any] = [{"role": "user", "content": f"Please use {wish}. My name is Ada."}]
    first = turn(client, items, tools, stream=stream)
    assert [item.type for item in first.output] == kinds
    items += [item.to_dict() for item in first.output]
    items += [answered(output, first.output[-1].to_dict())] if output else [{"role": "user", "content": "And now?"}]
    second = turn(client, items, tools, stream=stream)
    assert second.output[-1].type == "message"
    assert "your name is Ada" in second.output_text
    items += [item.to_dict() for item in second.output]
    items += [{"role": "user", "content": "Thank you."}]
    assert "your name is Ada" in turn(client, items, tools, stream=stream).output_text


def turn(client: openai.OpenAI, items: list[Any], tools: list[Any], *, stream: bool) -> Any:
    """One response of the SDK, whole or from its events."""
    if not stream:
        return client.responses.create(model="gpt-5.4", input=items, tools=tools)
    events = list(client.responses.create(model="gpt-5.4", input=items, tools=tools, stream=True))
    last = events[-1]
    assert last.type == "response.completed"
    done = [event.item.to_dict() for event in events if event.type == "response.output_item.done"]
    assert done == [item.to_dict() for item in last.response.output]
    return last.response


def test_an_approved_call_names_its_approval(shared: Fake) -> None:
    """After an approval the server's call is in the answer and names the request."""
    tools: list[Any] = [MCP]
    first = shared.create("Use MCP", tools=tools)
    request = first["output"][-1]
    response = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
    output = shared.create([response], previous_response_id=first["id"], tools=tools)["output"]
    assert [item["type"] for item in output] == ["reasoning", "mcp_call", "message"]
    assert output[1]["approval_request_id"] == request["id"]


def test_a_program_ends_after_its_calls(shared: Fake) -> None:
    """The output of a program's call ends the program."""
    first = shared.create("Run a program", tools=[PROGRAM, FUNCTION])
    call = first["output"][-1]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain", "caller": call["caller"]}
    second = shared.create([output], previous_response_id=first["id"])["output"]
    assert [item["type"] for item in second] == ["reasoning", "program_output", "message"]
    assert second[1]["call_id"] == call["caller"]["caller_id"]


def test_images_are_always_looked_up(shared: Fake) -> None:
    """An image comes back by its id where it was stored; without a store it is refused, with or without its id."""
    tools: list[Any] = [{"type": "image_generation"}]
    items = [{"role": "user", "content": "Draw a cat"}, *shared.create("Draw a cat", tools=tools)["output"]]
    items += [{"role": "user", "content": "Nice"}]
    image = items[2]
    assert shared.create(items)["status"] == "completed"
    assert shared.refusal(items, store=False)[:2] == (
        404,
        (
            f"Item with id '{image['id']}' not found. Items are not persisted when `store` is set to false. "
            "Try again with `store` set to true, or remove this item from your input."
        ),
    )
    alone = {name: value for name, value in image.items() if name != "id"}
    assert shared.refusal([alone], store=False)[0] == 404
    assert shared.refusal([alone])[1] == "Missing required parameter: 'input[0].id'."
    assert shared.refusal([{**image, "id": "ig_1"}])[1] == "Item with id 'ig_1' not found."


def test_an_expired_container_is_refused(fake: Fake) -> None:
    """A replayed code interpreter call is refused once its container is gone."""
    tools: list[Any] = [{"type": "code_interpreter", "container": {"type": "auto"}}]
    output = fake.create("code interpreter", tools=tools, include=["code_interpreter_call.outputs"])["output"]
    assert output[1]["outputs"] == [{"type": "logs", "logs": "2\n"}]
    assert fake.create(output)["status"] == "completed"
    fake.post("/_fake/expire", {"id": output[1]["container_id"]})
    assert fake.refusal(output) == (400, f"Expected container_id: {output[1]['container_id']}", None, None)


def test_tools_can_come_with_items_and_in_namespaces(shared: Fake) -> None:
    """Tools that items bring, and those of a namespace, are used like any other."""
    space = {"type": "namespace", "name": "sky", "description": "…", "tools": [FUNCTION, {"x": 1}]}
    items = [
        {"type": "additional_tools", "role": "developer", "tools": [space]},
        {"role": "user", "content": "weather?"},
    ]
    call = shared.create(items)["output"][-1]
    assert (call["name"], call["namespace"]) == ("get_weather", "sky")
    broken = {"type": "namespace", "name": "sky", "description": "…", "tools": 7}
    assert shared.create("weather?", tools=[broken])["output"][-1]["type"] == "message"


def test_tool_choice_is_obeyed(shared: Fake) -> None:
    """None, required and a named tool decide over the words; without parallel calls there is one."""
    other = {**FUNCTION, "name": "get_news"}

    def names(text: str, **more: Any) -> list[str]:
        output = shared.create(text, tools=[FUNCTION, other], **more)["output"]
        return [item["name"] for item in output if item["type"] == "function_call"]

    assert names("weather and news") == ["get_weather", "get_news"]
    assert names("weather and news", parallel_tool_calls=False) == ["get_weather"]
    assert names("weather", tool_choice="none") == []
    assert names("hello", tool_choice="required") == ["get_weather"]
    assert names("hello", tool_choice={"type": "function", "name": "get_news"}) == ["get_news"]
