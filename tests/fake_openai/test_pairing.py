"""Calls and outputs belong together: by kind, in order, over history and input."""

import pytest

from tests.fake_openai.asking import Fake, Json

CALLS: dict[str, tuple[Json, Json]] = {
    "function call": (
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
    ),
    "custom tool call": (
        {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "1"}]},
    ),
    "computer call": (
        {"type": "computer_call", "id": "cu_1", "call_id": "c", "pending_safety_checks": [], "status": "completed"},
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "file_id": "f"}},
    ),
    "local shell call": (
        {"type": "local_shell_call", "id": "lsh_1", "call_id": "c", "action": {"type": "exec"}, "status": "completed"},
        {"type": "local_shell_call_output", "id": "c", "output": "1"},
    ),
    "shell call": (
        {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "1", "stderr": "", "outcome": {}}]},
    ),
    "apply patch call": (
        {"type": "apply_patch_call", "call_id": "c", "status": "completed", "operation": {"type": "delete_file"}},
        {"type": "apply_patch_call_output", "call_id": "c", "status": "completed"},
    ),
    "tool search call": (
        {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {}},
        {"type": "tool_search_output", "call_id": "c", "execution": "client", "tools": []},
    ),
    "multi agent call": (
        {"type": "multi_agent_call", "call_id": "c", "action": "spawn_agent", "arguments": "{}"},
        {"type": "multi_agent_call_output", "call_id": "c", "output": []},
    ),
}
USER: Json = {"role": "user", "content": "x"}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_and_its_output_are_answered(shared: Fake, name: str) -> None:
    """A pair passes, and a second output to the same call does no harm."""
    call, output = CALLS[name]
    assert shared.create([USER, call, output, USER])["status"] == "completed"
    assert shared.create([USER, call, output, output])["status"] == "completed"


@pytest.mark.parametrize("name", CALLS)
def test_an_output_needs_an_earlier_call(shared: Fake, name: str) -> None:
    """An output alone, or before its call, is refused in the words of its kind."""
    call, output = CALLS[name]
    expected = (400, f"No tool call found for {name} output with call_id c.", "input", None)
    assert shared.refusal([USER, output]) == expected
    assert shared.refusal([output, call]) == expected


@pytest.mark.parametrize("name", CALLS)
def test_a_call_needs_a_later_output(shared: Fake, name: str) -> None:
    """A call that nothing answers is refused in the words of its kind."""
    expected = (400, f"No tool output found for {name} c.", "input", None)
    assert shared.refusal([USER, CALLS[name][0], USER]) == expected


def test_outputs_of_another_kind_do_not_answer(shared: Fake) -> None:
    """A shell's output is none for a function."""
    message = shared.refusal([CALLS["function call"][0], CALLS["shell call"][1]])[1]
    assert message == "No tool call found for shell call output with call_id c."


def test_local_shells_pair_by_either_id(shared: Fake) -> None:
    """The output of a local shell names the call's id or its call id; Codex sends a function's output."""
    call = CALLS["local shell call"][0]
    output = {"type": "local_shell_call_output", "id": "lsh_1", "output": "1"}
    assert shared.create([USER, call, output])["status"] == "completed"
    assert shared.create([USER, call, {**output, "id": "lsh_2", "call_id": "c"}])["status"] == "completed"
    assert shared.create([USER, call, CALLS["function call"][1]])["status"] == "completed"


def test_an_output_may_be_without_call_id(shared: Fake) -> None:
    """Since August 2026 a function's output needs no call id (openai/codex#42088)."""
    assert shared.create([USER, {"type": "function_call_output", "output": "1"}])["status"] == "completed"


def test_asynchronous_calls_may_stay_open(shared: Fake) -> None:
    """A call marked `async` needs no output yet, and may have one."""
    call, output = CALLS["function call"]
    assert shared.create([USER, {**call, "async": True}, USER])["status"] == "completed"
    assert shared.create([USER, {**call, "async": True}, USER, output])["status"] == "completed"


def test_server_side_tool_searches_pair_by_position(shared: Fake) -> None:
    """Without call ids an output answers a call before it."""
    call: Json = {"type": "tool_search_call", "call_id": None, "execution": "server", "arguments": {}}
    output: Json = {"type": "tool_search_output", "call_id": None, "execution": "server", "tools": []}
    assert shared.create([USER, call, output])["status"] == "completed"
    assert shared.refusal([USER, output])[1].startswith("No tool call found for tool search call output")
    assert shared.refusal([USER, call])[1].startswith("No tool output found for tool search call")


def test_approvals_need_their_request(shared: Fake) -> None:
    """A response without its request, and a request without its response, are refused."""
    request = {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "s", "name": "n", "arguments": "{}"}
    response = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": False}
    assert shared.create([USER, request, response])["status"] == "completed"
    assert shared.refusal([USER, response])[:3] == (
        400,
        "No tool call found for MCP approval response with approval_request_id mcpr_1.",
        "input",
    )
    assert shared.refusal([USER, request])[1] == "MCP approval requests do not have an approval: mcpr_1"


def test_programs_are_a_unit(shared: Fake) -> None:
    """Calls of a program, and its output, need the program."""
    program = {"type": "program", "id": "cm_1", "call_id": "p", "code": "f()", "fingerprint": "x"}
    call, output = CALLS["function call"]
    inner = {**call, "caller": {"type": "program", "caller_id": "p"}}
    end = {"type": "program_output", "id": "cmo_1", "call_id": "p", "result": "1", "status": "completed"}
    assert shared.create([USER, program, inner, output, end])["status"] == "completed"
    expected = (400, "No tool call found for program call output with call_id p.", "input", None)
    assert shared.refusal([USER, inner, output]) == expected
    assert shared.refusal([USER, end]) == expected
