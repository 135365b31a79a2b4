"""What takes the place of an item that cannot stand: notes, placeholder outputs, images. Items as JSON bytes.

A note is an assistant message: a tool's text in a user or developer message would be raised to an instruction
(oh-my-pi does the same). It never holds base64.
"""

import json
from collections.abc import Iterator
from typing import Final

from proxy.responses.body import lenient
from proxy.responses.body.item import Item
from proxy.responses.body.objects import Fields, objects, text
from proxy.responses.items import CODE_INTERPRETER, Placeholder

LONGEST_NOTE: Final = 16_000
"""Characters of a tool's text that a note takes over."""

NO_OUTPUT: Final = "[No tool output was recorded]"

# The first characters of base64 by which an image is known, and its type; SVG is no input_image.
_IMAGE_TYPES: Final = {"iVBORw0KGgo": "png", "/9j/": "jpeg", "R0lGOD": "gif", "UklGR": "webp"}


def assistant_note(content: str) -> bytes:
    """An assistant message with the text `content` (a string is valid content for any role, a part's type is not)."""
    return b'{"type":"message","role":"assistant","content":%s}' % json.dumps(content).encode()


def output_note(output: Item) -> bytes:
    """The note that stands for a tool's output without its call."""
    call = next((value for name in output.kind.pairs_by if (value := output.text(name))), "")
    return assistant_note(f"[Tool result for {call}] {_shortened(_output_text(output))}")


def call_note(call: Item) -> bytes:
    """The note that stands for a call that cannot be answered any more: its kind, its id and its arguments."""
    asked = call.raw("action") or call.raw("actions") or call.raw("arguments") or b""
    name = call.text("call_id") or ""
    return assistant_note(
        f"[Tool call {name}] {call.kind.name} {_shortened(asked.decode('utf-8', 'replace'))}".rstrip()
    )


def code_note(call: Item) -> bytes:
    """The note that stands for a code interpreter call with an expired container: its code and logs."""
    code = call.text("code") or ""
    logs = "\n".join(_texts(objects(call.raw("outputs") or b"[]")))
    return assistant_note(_shortened(f"[Code interpreter] {code}\n{logs}".rstrip()))


def hosted_note(call: Item) -> bytes:
    """The note that stands for a call that upstream's own tool has answered: its kind and what it was called with."""
    if call.kind is CODE_INTERPRETER:
        return code_note(call)
    given = call.raw("action") or call.raw("queries") or call.raw("arguments") or b""
    return assistant_note(f"[{call.kind.name}] {_shortened(given.decode('utf-8', 'replace'))}".rstrip())


def _shortened(content: str) -> str:
    return content if len(content) <= LONGEST_NOTE else content[:LONGEST_NOTE] + "…"


def _output_text(output: Item) -> str:
    if output.kind.name == "mcp_approval_response":
        return f"approve: {(output.raw('approve') or b'').decode('ascii', 'replace')}"
    literal = output.raw("output") or output.raw("result") or b'""'
    if literal[:1] == b"[":
        return "\n".join(_texts(objects(literal)))
    if literal[:1] == b"{":
        return "\n".join(_texts(objects(b"[" + literal + b"]")))
    return lenient.text(literal) or ""


def _texts(parts: list[Fields]) -> Iterator[str]:
    """The words of an output's parts: text, logs, stdout and stderr as they are, images and files by name."""
    for fields in parts:
        kind = text(fields, "type") or ""
        if "image" in kind or "screenshot" in kind:
            yield "[image]"
        elif "file" in kind:
            yield f"[file {text(fields, 'filename') or text(fields, 'file_id') or ''}]".replace(" ]", "]")
        else:
            yield from filter(None, (text(fields, name) for name in ("text", "refusal", "logs", "stdout", "stderr")))


def placeholder_output(call: Item, form: Placeholder) -> bytes:
    """The output, of the right kind for `call`, that says that none was recorded."""
    call_id = call.raw("call_id") or b'""'
    said = json.dumps(NO_OUTPUT).encode()
    name = call.kind.name.encode()
    match form:
        case "shell":
            output = b'[{"stdout":"","stderr":%s,"outcome":{"type":"timeout"}}]' % said
            return b'{"type":"shell_call_output","call_id":%s,"output":%s}' % (call_id, output)
        case "patch":
            fields = (call_id, said)
            return b'{"type":"apply_patch_call_output","call_id":%s,"status":"failed","output":%s}' % fields
        case "tools":
            return b'{"type":"tool_search_output","call_id":%s,"execution":"client","tools":[]}' % call_id
        case "parts":
            parts = b'[{"type":"output_text","text":%s}]' % said
            action = call.raw("action") or b'""'
            return b'{"type":"%s_output","call_id":%s,"action":%s,"output":%s}' % (name, call_id, action, parts)
        case _:
            return b'{"type":"%s_output","call_id":%s,"output":%s}' % (name, call_id, said)


def tools_item(output: Item) -> bytes:
    """The item that keeps the definitions an orphan tool search output brought, without pairing with a call."""
    return b'{"type":"additional_tools","role":"developer","tools":%s}' % (output.raw("tools") or b"[]")


def image_message(call: Item) -> bytes | None:
    """The user message that shows what an image generation call made; None if it made nothing that can be shown."""
    result = call.text("result")
    if not result or call.text("status") not in (None, "completed"):
        return None
    kind = next((name for start, name in _IMAGE_TYPES.items() if result.startswith(start)), None)
    if kind is None:
        return None
    image = b'{"type":"input_image","detail":"auto","image_url":"data:image/%s;base64,%s"}'
    return b'{"type":"message","role":"user","content":[%s]}' % (
        image % (kind.encode(), json.dumps(result)[1:-1].encode())
    )
