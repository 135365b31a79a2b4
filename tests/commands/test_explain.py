"""`unpinned explain`: what would be sent in place of a request, and why, in words and in JSON."""

import asyncio
import io
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.cli import main
from proxy.commands.explain import diff
from proxy.commands.explain.verdict import Question, judge
from proxy.responses.body.size import MOST
from proxy.responses.conversations.ledger import Kept, Turn
from proxy.responses.history.recording import Remembered
from proxy.responses.policy import Policy
from proxy.store.conversations import Lock
from proxy.store.factory import opened
from tests.support.driven import Driven
from tests.support.redis_server import redis_running

USER = {"type": "message", "role": "user", "content": "How warm is it in Paris?"}
CALL = {
    "id": "fc_68a1", "type": "function_call", "call_id": "call_1", "name": "weather",
    "arguments": '{"city":"Paris"}', "status": "completed",
}  # fmt: skip
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "21 degrees"}
BARE = {"id": "rs_68a1", "type": "reasoning", "summary": []}
NOT_FOUND = {"error": {"message": "Item with id 'rs_68a1' not found.", "param": "input", "code": None}}


def _file(directory: Path, *items: Any, **top: Any) -> Path:
    path = directory / "request.json"
    path.write_bytes(json.dumps({"model": "gpt-5", **top, "input": list(items)}, separators=(",", ":")).encode())
    return path


def _refusal(directory: Path, payload: Any = NOT_FOUND) -> Path:
    path = directory / "refusal.json"
    path.write_text(json.dumps(payload))
    return path


def _explained(capsysbinary: Any, *arguments: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["explain", *map(str, arguments)])
    said = capsysbinary.readouterr()
    return int(ended.value.code or 0), (said.out + said.err).decode()


def _told(capsysbinary: Any, *arguments: object) -> tuple[int, dict[str, Any]]:
    code, said = _explained(capsysbinary, "--json", *arguments)
    return code, json.loads(said)


def test_nothing_changes(tmp_path: Path, capsysbinary: Any) -> None:
    """A request that is portable as it is ends with 0 and one line."""
    assert _explained(capsysbinary, _file(tmp_path, USER)) == (
        0,
        "# passthrough, exact: sent as it came; nothing was changed.\n",
    )


def test_what_changes_and_why(tmp_path: Path, capsysbinary: Any) -> None:
    """The difference is shown, then each reason with what is lost and how to avoid it; the end is 1."""
    path = _file(tmp_path, USER, BARE, CALL, OUTPUT, previous_response_id="resp_68a1")
    code, said = _explained(capsysbinary, "--mode", "strip", path)
    assert code == 1
    assert '-  "previous_response_id": "resp_68a1",' in said.splitlines()
    assert '-      "id": "fc_68a1",' in said.splitlines()
    assert "# rewritten, lossy: sent in another form" in said
    assert re.search(r"# reasoning=1\n.*The model does not see: .*To avoid it: .*encrypted_content", said, re.DOTALL)
    assert re.search(r"# previous_response_id=1\n[^#]*Nothing is lost: the input holds it as well", said)
    assert "\x1b" not in said


def test_the_json_has_the_very_bytes(tmp_path: Path, capsysbinary: Any) -> None:
    """What is printed as sent is what the proxy sends."""
    path = _file(tmp_path, USER, BARE, CALL, OUTPUT)
    code, told = _told(capsysbinary, "--mode", "strip", path)
    assert (code, told["changes"], told["action"], told["fidelity"]) == (1, True, "rewritten", "lossy")
    assert told["sent"].encode() == Driven(path.read_bytes(), Policy(mode="strip")).start().body
    assert {reason["name"]: (reason["count"], reason["lossy"]) for reason in told["reasons"]} == {
        "reasoning": (1, True),
        "item_id": (1, False),
    }


def test_standard_input(tmp_path: Path, capsysbinary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file the request is read from standard input."""
    body = _file(tmp_path, USER, CALL, OUTPUT).read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(body)))
    assert _explained(capsysbinary)[0] == 1


@pytest.mark.parametrize(("items", "code"), [([USER], 0), ([USER, CALL, OUTPUT], 0), ([USER, BARE, CALL, OUTPUT], 1)])
def test_failing_on_losses_only(tmp_path: Path, capsysbinary: Any, items: list[Any], code: int) -> None:
    """With `--fail-on lossy` a request fails only where the model sees less."""
    assert _explained(capsysbinary, "--mode", "strip", "--fail-on", "lossy", _file(tmp_path, *items))[0] == code


def test_what_waits_for_a_refusal(tmp_path: Path, capsysbinary: Any) -> None:
    """In `auto` what would lose something goes as it came, and that it may yet be changed is said."""
    code, said = _explained(capsysbinary, _file(tmp_path, USER, BARE, CALL, OUTPUT))
    assert code == 0
    assert said.startswith("# passthrough, exact")
    assert "would cost reasoning" in said
    assert "--after-refusal" in said


def test_after_a_refusal(tmp_path: Path, capsysbinary: Any) -> None:
    """In `recover` mode the request goes as it came, and after the refusal in the form that is shown."""
    path = _file(tmp_path, USER, BARE, CALL, OUTPUT)
    code, told = _told(capsysbinary, path, "--mode", "recover", "--after-refusal", _refusal(tmp_path), "--status", 404)
    assert (code, told["action"], told["attempts"]) == (1, "recovered", 2)
    assert json.loads(told["sent"])["input"] == [USER, {name: CALL[name] for name in CALL if name != "id"}, OUTPUT]


@pytest.mark.parametrize(
    ("refusal", "flags", "note"),
    [
        (NOT_FOUND, ("--mode", "strip"), "names what is not sent any more"),
        ({"error": {"message": "Incorrect API key provided"}}, (), "none of those"),
        ({"error": {"message": "File 'file-1' not found."}}, (), "`file_url`"),
        (
            {"error": {"message": "Vector store with id 'vs_1' not found."}},
            ("--mode", "observe"),
            "a vector store that",
        ),
        (NOT_FOUND, ("--mode", "observe"), "In `observe` mode"),
        (NOT_FOUND, ("--mode", "recover", "--status", "401"), "none of those"),
        (NOT_FOUND, ("--mode", "recover", "--status", "503"), "none of those"),
        (NOT_FOUND, ("--mode", "recover", "--max-recoveries", "0"), "byte for byte"),
    ],
)
def test_refusals_that_change_nothing(
    tmp_path: Path, capsysbinary: Any, refusal: Any, flags: tuple[str, ...], note: str
) -> None:
    """Where a refusal leads to no other attempt, a sentence says why."""
    path = _file(tmp_path, USER, BARE, CALL, OUTPUT)
    _, told = _told(capsysbinary, path, "--after-refusal", _refusal(tmp_path, refusal), *flags)
    assert note in told["note"]
    assert told["attempts"] == 1
    _, said = _explained(capsysbinary, path, "--after-refusal", _refusal(tmp_path, refusal), *flags)
    assert note.split(maxsplit=1)[0] in said


def test_colors(tmp_path: Path, capsysbinary: Any) -> None:
    """Where it is asked for, what goes is red and what comes is green."""
    _, said = _explained(
        capsysbinary, "--color", "always", _file(tmp_path, USER, {**BARE, "encrypted_content": "gAA"}, CALL, OUTPUT)
    )
    assert '\x1b[31m-      "id": "rs_68a1",\x1b[0m' in said
    assert "\x1b[1m# rewritten, lossless" in said


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"nope", "is neither JSON nor a capture"),
        (b"\xff", "is neither JSON nor a capture"),
        (b"", "it is empty"),
        (b'{"input":', "is no JSON (Expecting value"),
        (b'{"input":' + b"[" * 100_000, "is no JSON (it is nested deeply"),
    ],
)
def test_no_json(tmp_path: Path, capsysbinary: Any, content: bytes, sentence: str) -> None:
    """What is no JSON is trouble, said in a sentence."""
    path = tmp_path / "request.json"
    path.write_bytes(content)
    code, said = _explained(capsysbinary, path)
    assert code == 2
    assert sentence in said


def test_no_file(tmp_path: Path, capsysbinary: Any) -> None:
    """A file that is not there is trouble, and so is a refusal's."""
    missing = tmp_path / "missing.json"
    assert _explained(capsysbinary, missing) == (2, f"unpinned: {missing} cannot be read: No such file or directory.\n")
    code, said = _explained(capsysbinary, _file(tmp_path, USER), "--after-refusal", missing)
    assert (code, str(missing) in said) == (2, True)


def test_settings_count(tmp_path: Path, capsysbinary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables with which the proxy runs say what it would do."""
    monkeypatch.setenv("UNPINNED_MODE", "observe")
    code, told = _told(capsysbinary, _file(tmp_path, USER, CALL, OUTPUT))
    assert (code, told["action"]) == (0, "observed")
    assert told["reasons"][0]["name"] == "item_id"


def test_a_terminal_is_not_steered() -> None:
    """Signs that a terminal would obey are shown as escapes; long strings are cut, and their length is said."""
    (line,) = diff.lines(json.dumps("\x1b]0;\x9b\u202e").encode())
    assert line == '"\\u001b]0;\\u009b\\u202e"'
    (cut,) = diff.lines(json.dumps("a" * 1000).encode())
    assert cut == f'"{"a" * 80}…" (1,000 characters)'


def test_what_is_written_is_shown_as_it_was() -> None:
    """Numbers, a key that stands there twice, and empty containers are shown as they were written."""
    assert diff.lines(b'{"a":1e400,"a":[],"b":{},"c":[9007199254740993,NaN,null]}') == [
        "{", '  "a": 1e400,', '  "a": [],', '  "b": {},',
        '  "c": [', "    9007199254740993,", "    NaN,", "    null", "  ]", "}",
    ]  # fmt: skip


def test_what_is_too_much_to_show() -> None:
    """Depth and length beyond reason are said, not shown."""
    deep = b"[" * 120 + b"]" * 120
    assert "[…]" in diff.lines(deep)[100]
    assert diff.lines(b"[" * 100_000 + b"]" * 100_000) == ["(nested too deeply to be shown)"]


def test_a_long_difference() -> None:
    """However long two bodies are, their difference is shown, and only where there is one."""
    came = [{"id": f"msg_{number}", "role": "assistant", "content": str(number)} for number in range(5000)]
    sent = [{name: value for name, value in item.items() if name != "id"} for item in came]
    shown = diff.difference(json.dumps(came).encode(), json.dumps([*sent[:10], {"a": 1}, *sent[1000:]]).encode())
    assert sum(line.startswith("-") for line in shown) == 1 + 4010 + 990 * 5 - 2  # two braces serve the new item
    assert [line for line in shown if line.startswith("+")] == ["+++ as it is sent", '+    "a": 1']


def test_depth_is_no_trouble() -> None:
    """A body that Python's own reader finds too deep is judged all the same."""
    body = b'{"input":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert judge(Question(body, Policy(mode="strip"))).changes is False


@pytest.fixture
def told_redis() -> Iterator[str]:
    """A Redis that has been told of a response of the application `shop`."""

    async def tell(url: str) -> None:
        store = opened(url)
        items = tuple(json.dumps(item).encode() for item in (USER, CALL))
        await store.remember("name:shop", Remembered("resp_68a1", None, items))
        await store.close()

    with redis_running() as server:
        asyncio.run(tell(server.url))
        yield server.url


def test_a_store(told_redis: str, tmp_path: Path, capsysbinary: Any) -> None:
    """With a store and the name of an application the history is shown where the proxy would put it."""
    file = _file(tmp_path, OUTPUT, previous_response_id="resp_68a1")
    shop = ("--store", told_redis, "--store-scope", "shop")
    _, told = _told(capsysbinary, *shop, file)
    assert (told["store"], told["fidelity"]) == ("hit", "lossless")
    assert [item["type"] for item in json.loads(told["sent"])["input"]] == [
        "message", "function_call", "function_call_output",
    ]  # fmt: skip
    assert "The store knows all that the request refers to.\n" in _explained(capsysbinary, *shop, file)[1]
    _, told = _told(capsysbinary, "--store", told_redis, "--store-scope", "other", file)
    assert told["store"] == "miss"
    _, told = _told(capsysbinary, "--store", told_redis, file)
    assert told["store"] is None


def test_a_store_after_a_refusal(told_redis: str, tmp_path: Path, capsysbinary: Any) -> None:
    """In `recover` mode it is asked where upstream refuses."""
    file = _file(tmp_path, OUTPUT, previous_response_id="resp_68a1")
    error = {"message": "Previous response with id 'resp_68a1' not found.", "code": "previous_response_not_found"}
    refusal = _refusal(tmp_path, {"error": {**error, "param": "previous_response_id"}})
    shop = ("--store", told_redis, "--store-scope", "shop", "--mode", "recover")
    _, told = _told(capsysbinary, *shop, "--after-refusal", refusal, file)
    assert (told["action"], told["store"], told["fidelity"]) == ("recovered", "hit", "lossless")


CONVERSATION = "conv_" + "7" * 48


@pytest.fixture
def told_sqlite(tmp_path: Path) -> str:
    """A store with a conversation of the application `shop`, of which the second question has no answer."""
    pytest.importorskip("aiosqlite")
    url = f"sqlite:///{tmp_path}/store.db"

    async def tell() -> None:
        store = opened(url)
        lock, kept = Lock("name:shop", CONVERSATION, "t"), [Kept(json.dumps(USER).encode(), bytes(8))]
        await store.conversations.create(lock, b"{}", 1, kept)
        await store.conversations.lock(lock, 0.001)
        await store.conversations.append(lock, Turn(1, False, b"", 0), kept)
        await store.close()

    asyncio.run(tell())
    return url


def test_a_conversation_in_the_store(told_sqlite: str, tmp_path: Path, capsysbinary: Any) -> None:
    """Its history is shown where the proxy would put it, with what it lacks; elsewhere what could be is said."""
    file = _file(tmp_path, USER, conversation=CONVERSATION)
    shop = ("--store", told_sqlite, "--store-scope", "shop")
    for mode in ("auto", "recover"):
        _, told = _told(capsysbinary, *shop, "--conversations", "store", "--mode", mode, file)
        assert (told["action"], told["store"], told["fidelity"]) == ("rewritten", "gap", "lossy")
        assert json.loads(told["sent"])["input"] == [USER, USER, USER]
        assert "2 items of the conversation in the store take the place" in told["note"]
    _, told = _told(capsysbinary, *shop, file)
    assert "The store knows this conversation, but UNPINNED_CONVERSATIONS is upstream" in told["note"]
    assert json.loads(told["sent"])["conversation"] == CONVERSATION
    for more in (("--mode", "observe"), ("--store-scope", "other")):
        _, told = _told(capsysbinary, *shop, "--conversations", "store", *more, file)
        assert (told["action"], told["store"]) == ("observed" if "observe" in more else "passthrough", None)
    _, told = _told(capsysbinary, *shop, "--conversations", "store", _file(tmp_path, USER, conversation="conv_1"))
    assert json.loads(told["sent"])["conversation"] == "conv_1"


def test_a_store_that_is_down(tmp_path: Path, capsysbinary: Any) -> None:
    """Where the store cannot be asked, that is said, and what becomes of the request then."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    file = _file(tmp_path, USER, previous_response_id="resp_68a1")
    _, said = _explained(capsysbinary, "--store", f"redis://127.0.0.1:{port}", "--store-scope", "shop", file)
    assert "The store could not be reached.\n" in said


PAIR = {"error": {"message": "No tool output found for function call call_1.", "param": "input", "code": None}}


def test_the_whole_ladder(tmp_path: Path, capsysbinary: Any) -> None:
    """Each refusal answers one attempt after another; the attempt after the last is answered, and all are listed."""
    path = _file(
        tmp_path, USER, BARE, CALL, {**BARE, "encrypted_content": "gAA"}, {**CALL, "call_id": "call_2"}, OUTPUT
    )
    second = tmp_path / "second.json"
    second.write_text(json.dumps({"error": {"message": "The encrypted content could not be verified."}}))
    flags = ("--mode", "recover", "--after-refusal", _refusal(tmp_path), "--after-refusal", second)
    _, told = _told(capsysbinary, path, *flags, "--status", 404, "--status", 400)
    assert (told["action"], told["attempts"]) == ("recovered", 3)
    assert told["tried"] == [
        {"remedy": None, "refusal": "item"},
        {"remedy": "portable", "refusal": "encrypted"},
        {"remedy": "repaired", "refusal": None},
    ]
    _, said = _explained(capsysbinary, path, *flags)
    assert "  Attempt 1: refused: upstream does not know an item.\n" in said
    assert "  Attempt 3, repaired: answered.\n" in said


def test_a_refusal_that_goes_on(tmp_path: Path, capsysbinary: Any) -> None:
    """Refusals to every attempt end with the first of them: nothing is called recovered that would be refused."""
    path = _file(tmp_path, USER, BARE, CALL, OUTPUT)
    refusals = [argument for _ in range(5) for argument in ("--after-refusal", _refusal(tmp_path))]
    code, told = _told(capsysbinary, path, "--mode", "recover", *refusals, "--status", "404")
    assert (code, told["action"]) == (0, "unrecovered")
    assert "byte for byte" in told["note"]
    assert told["tried"][-1]["refusal"] == "item"


@pytest.mark.parametrize(
    ("items", "refusal", "attempts"),
    [
        ([USER, BARE, CALL, OUTPUT], NOT_FOUND, 2),
        ([USER, CALL], PAIR, 2),
        (
            [
                USER,
                {**BARE, "encrypted_content": "gAAAAAbbbb"},
                {**BARE, "encrypted_content": "gZZZZZyyyy"},
                CALL,
                OUTPUT,
            ],
            {"error": {"message": "The encrypted content gAA...bbb could not be verified."}},
            2,
        ),
        ([USER], {"error": {"message": "Unknown parameter: 'status'.", "param": "status"}}, 2),
    ],
)
def test_one_refusal_is_for_what_it_names(
    tmp_path: Path, capsysbinary: Any, items: list[Any], refusal: Any, attempts: int
) -> None:
    """One refusal answers each attempt that still has what it names, and no other."""
    path = _file(tmp_path, *items, status="x")
    _, told = _told(capsysbinary, path, "--mode", "recover", "--after-refusal", _refusal(tmp_path, refusal))
    assert (told["action"], told["attempts"]) == ("recovered", attempts)


def test_what_cannot_be_cured_is_not_called_recovered(tmp_path: Path, capsysbinary: Any) -> None:
    """A request that nothing can replace is refused in the end, and nothing is said to be recovered."""
    path = _file(tmp_path, OUTPUT, previous_response_id="resp_68a1")
    refusal = {"message": "Previous response with id 'resp_68a1' not found.", "code": "previous_response_not_found"}
    _, told = _told(capsysbinary, path, "--after-refusal", _refusal(tmp_path, {"error": refusal}))
    assert (told["action"], told["attempts"], told["tried"]) == (
        "unrecovered",
        1,
        [{"remedy": None, "refusal": "response"}],
    )


def test_too_much_to_read(tmp_path: Path, capsysbinary: Any) -> None:
    """A body with more values than are read is refused in `strip` mode, and that is said."""
    path = tmp_path / "request.json"
    path.write_bytes(b'{"input":[' + b"1," * MOST + b"1]}")
    assert _explained(capsysbinary, "--mode", "strip", path) == (
        2,
        f"unpinned: {path} holds more than {MOST} values; Unpinned would refuse it with 413.\n",
    )
