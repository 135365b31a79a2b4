"""Conversations that live in the store, with the real `openai` SDK, two servers with a key each, and real processes."""

import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from proxy import fake_openai
from proxy.app import build
from proxy.events import Observers
from proxy.settings import load
from tests.end_to_end.conftest import MODEL
from tests.end_to_end.test_conversations import field
from tests.support.process import Process, running
from tests.support.serving import serving

WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": {"properties": {"city": {"type": "string"}}}}
LOCKED = "Another process is currently operating on this conversation. Please retry in a few seconds."
USER = {"role": "user", "content": "x"}


class Server:
    """A server of an application: its own key and instance of the API, and an Unpinned."""

    def __init__(
        self,
        name: str,
        store: Path | str,
        stack: ExitStack,
        *,
        own_process: bool = False,
        delay: float = 0.1,
        **variables: str,
    ) -> None:
        self.upstream = stack.enter_context(fake_openai.running(fake_openai.build(instance=name, delay=delay)))
        settings = {
            "UNPINNED_STORE": f"sqlite:///{store}" if isinstance(store, Path) else store,
            "UNPINNED_STORE_SCOPE": "shop",
            "UNPINNED_CONVERSATIONS": "store",
            **variables,
        }
        self.process: Process | None = None
        if own_process:
            self.process = stack.enter_context(running("--upstream", self.upstream, **settings))
            port = self.process.port
        else:
            app = build(load({}, {"UNPINNED_UPSTREAM": self.upstream, **settings}), Observers())
            port = stack.enter_context(serving(app))
        self.url = f"http://127.0.0.1:{port}/v1"
        self.http = stack.enter_context(httpx2.Client(trust_env=False, timeout=60))
        self.key = f"sk-demo-{name}"
        self.sdk = openai.OpenAI(base_url=self.url, api_key=self.key, max_retries=0, http_client=self.http)

    def ask(self, text: str, conversation: Any, **more: Any) -> Any:
        """The raw answer to one question."""
        given: Any = {"model": MODEL, "input": text, "conversation": conversation, **more}
        return self.sdk.responses.with_raw_response.create(**given)

    def send(self, method: str, path: str, body: Any = None, key: str = "") -> httpx2.Response:
        """The answer to a request as it is."""
        fields = {"authorization": f"Bearer {key or self.key}"}
        content = body if isinstance(body, bytes) else None
        given = None if content is not None or body is None else body
        return self.http.request(method, self.url + path, json=given, content=content, headers=fields)

    def received(self) -> list[Any]:
        """The requests that reached upstream since the last time."""
        found: list[Any] = self.http.get(f"{self.upstream}/_fake/requests").json()["requests"]
        return found

    def refuse(self, status: int, body: Any) -> None:
        """Have upstream refuse the next request for a response."""
        self.http.post(f"{self.upstream}/_fake/refuse", json={"status": status, "body": body})

    def listed(self, conversation: str) -> list[Any]:
        """The items of a conversation, the first one first."""
        return [item.to_dict() for item in self.sdk.conversations.items.list(conversation, order="asc", limit=100)]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the store that both share."""
    pytest.importorskip("aiosqlite")
    return tmp_path_factory.mktemp("store") / "store.db"


@pytest.fixture(scope="module")
def servers(database: Path) -> Iterator[tuple[Server, Server]]:
    """Two servers that share nothing but the store."""
    with ExitStack() as stack:
        yield (
            Server("here", database, stack, own_process=True),
            Server("there", database, stack, own_process=True),
        )


@pytest.fixture(scope="module")
def here(servers: tuple[Server, Server]) -> Server:
    """Where a conversation begins."""
    return servers[0]


@pytest.fixture(scope="module")
def there(servers: tuple[Server, Server]) -> Server:
    """Where it goes on."""
    return servers[1]


def begun(server: Server, *texts: str) -> str:
    """A conversation with these messages of a user."""
    return server.sdk.conversations.create(items=[{"role": "user", "content": text} for text in texts]).id


def refused(answer: httpx2.Response) -> tuple[int, Any, Any]:
    """Status, param and code of a refusal."""
    error = answer.json()["error"]
    assert error["message"]
    return answer.status_code, error["param"], error["code"]


def wait_until_free(server: Server, conversation: str) -> None:
    """Wait until what was answered last is written."""
    end = time.monotonic() + 20
    while server.send("POST", f"/conversations/{conversation}", {"metadata": {}}).status_code != 200:
        assert time.monotonic() < end


def test_a_conversation_goes_on_anywhere(here: Server, there: Server) -> None:
    """Begun at one server it goes on at the other and back, whole or streamed, with all that was said."""
    conversation = begun(here, "My name is Ada")
    for turn, server in enumerate((there, here, there, here)):
        raw = server.ask(f"Question {turn}", conversation)
        assert "your name is Ada" in raw.parse().output_text
        assert f"{turn + 2} user messages" in raw.parse().output_text
        assert (field(raw, "store"), field(raw, "fidelity")) == ("hit", "lossless")
        assert (field(raw, "conversation"), raw.parse().conversation) == (conversation, None)
    with there.sdk.responses.create(model=MODEL, input="More", conversation=conversation, stream=True) as events:
        last: Any = list(events)[-1]
    assert "6 user messages" in last.response.output_text
    raw = here.ask("Last", {"id": conversation}, stream=False)
    assert "7 user messages" in raw.parse().output_text
    for server in (here, there):
        assert not any("conversation" in (one["body"] or {}) for one in server.received())
        assert not any("/conversations" in one["path"] for one in server.received())


def test_a_response_of_a_conversation_can_be_continued(here: Server, there: Server) -> None:
    """`previous_response_id` of a response that was made in a conversation is known everywhere, and has its context."""
    conversation = begun(here, "My name is Ada")
    here.ask("One", conversation)
    last = there.ask("Two", conversation).parse().id
    raw = here.sdk.responses.with_raw_response.create(model=MODEL, input="And?", previous_response_id=last)
    assert "4 user messages" in raw.parse().output_text
    assert field(raw, "store") == "hit"
    both = here.send(
        "POST",
        "/responses",
        {"model": MODEL, "input": "x", "previous_response_id": last, "conversation": conversation},
    )
    assert refused(both) == (400, None, "mutually_exclusive_parameters")


def test_tools_across_servers(here: Server, there: Server) -> None:
    """A call that was made at one server is answered at the other."""
    conversation = begun(here, "My name is Ada")
    first = here.ask("What is the weather in Paris? Use the tool get_weather.", conversation, tools=[WEATHER]).parse()
    call = next(item for item in first.output if item.type == "function_call")
    output: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}]
    second = there.ask(output, conversation, tools=[WEATHER])
    assert "18 degrees" in second.parse().output_text
    assert field(second, "fidelity") == "lossless"
    kinds = [item["type"] for item in here.listed(conversation)]
    assert kinds.count("function_call") == kinds.count("function_call_output") == 1


def test_tokens_are_counted_with_the_history(here: Server, there: Server) -> None:
    """`/input_tokens` counts the history, takes no lock, and changes nothing."""
    conversation = begun(here, "My name is Ada. " * 50)
    few = there.sdk.responses.input_tokens.count(model=MODEL, input="x").input_tokens
    many = there.sdk.responses.input_tokens.count(model=MODEL, input="x", conversation=conversation).input_tokens
    assert many > few + 100
    assert len(here.listed(conversation)) == 1


def test_what_is_not_answered_is_not_kept(here: Server, there: Server) -> None:
    """A refusal, a 5xx and a failed response leave the conversation as it was, and free."""
    conversation = begun(here, "My name is Ada")
    refusal = {"error": {"message": "No.", "type": "invalid_request_error", "param": "model", "code": None}}
    failed = {"id": "resp_1", "object": "response", "status": "failed", "output": [], "error": {"code": "x"}}
    for status, body in ((400, refusal), (500, refusal), (200, failed)):
        here.refuse(status, body)
        assert here.send("POST", "/responses", {"model": MODEL, "input": "Hm", "conversation": conversation}).content
    assert "2 user messages" in there.ask("Who am I?", conversation).parse().output_text


def test_an_incomplete_answer_is_kept(here: Server, there: Server) -> None:
    """What was cut off by `max_output_tokens` is in the history as far as it goes."""
    conversation = begun(here)
    item = {"type": "message", "id": "msg_half", "role": "assistant", "status": "incomplete", "content": []}
    here.refuse(200, {"id": "resp_half", "object": "response", "status": "incomplete", "output": [item]})
    here.send("POST", "/responses", {"model": MODEL, "input": "Hm", "conversation": conversation})
    assert [one["id"] for one in there.listed(conversation)][1:] == ["msg_half"]


def test_one_at_a_time(here: Server, there: Server) -> None:
    """While an answer streams, others are refused without asking upstream; a client that leaves adds nothing."""
    conversation = begun(here, "My name is Ada")
    before = len(there.received())
    with here.sdk.responses.create(model=MODEL, input="x", conversation=conversation, stream=True) as events:
        next(iter(events))
        answer = there.send("POST", "/responses", {"model": MODEL, "input": "y", "conversation": conversation})
        assert refused(answer) == (400, "conversation", "conversation_locked")
        assert answer.json()["error"]["message"] == LOCKED
        added = there.send("POST", f"/conversations/{conversation}/items", {"items": [USER]})
        assert refused(added) == (400, "conversation", "conversation_locked")
        assert there.send("DELETE", f"/conversations/{conversation}").status_code == 400
        assert len(there.listed(conversation)) == 1
    assert len(there.received()) == before
    wait_until_free(there, conversation)
    assert "2 user messages" in there.ask("Who am I?", conversation).parse().output_text


def test_in_the_background(here: Server, there: Server) -> None:
    """A conversation waits for a response in the background until it is seen completed, or cancelled."""
    conversation = begun(here, "My name is Ada")
    begun_there = here.ask("One", conversation, background=True).parse()
    assert begun_there.status == "queued"
    answer = there.send("POST", "/responses", {"model": MODEL, "input": "y", "conversation": conversation})
    assert refused(answer)[2] == "conversation_locked"
    assert here.sdk.responses.retrieve(begun_there.id).status == "completed"
    assert "3 user messages" in there.ask("Two", conversation).parse().output_text
    gone = here.ask("Three", conversation, background=True).parse()
    assert here.sdk.responses.cancel(gone.id).status == "cancelled"
    assert "4 user messages" in there.ask("Four", conversation).parse().output_text


def test_several_write_at_once(here: Server, there: Server) -> None:
    """Of items that two servers add while another one deletes, none is lost and none is there twice."""
    conversation = begun(here, "first")
    doomed = here.listed(conversation)[0]["id"]
    path = f"/conversations/{conversation}/items"

    def until_done(server: Server, method: str, where: str, body: Any = None) -> None:
        while (answer := server.send(method, where, body)).status_code != 200:
            assert refused(answer)[2] == "conversation_locked"

    def add(server: Server, name: str) -> None:
        for number in range(10):
            items = [{"role": "user", "content": f"{name}{number}{part}"} for part in "ab"]
            until_done(server, "POST", path, {"items": items})

    work = [
        threading.Thread(target=add, args=(here, "h")),
        threading.Thread(target=add, args=(there, "t")),
        threading.Thread(target=until_done, args=(there, "DELETE", f"{path}/{doomed}")),
    ]
    for each in work:
        each.start()
    for each in work:
        each.join()
    texts = [item["content"][0]["text"] for item in here.listed(conversation)]
    for name in "ht":
        assert [text for text in texts if text[0] == name] == [f"{name}{n}{part}" for n in range(10) for part in "ab"]
    assert len(texts) == 40
    assert [text[:-1] for text in texts[::2]] == [text[:-1] for text in texts[1::2]]


def test_a_process_that_is_killed(servers: tuple[Server, Server], database: Path) -> None:
    """Killed between question and answer it leaves the question; the next request says that there is a gap."""
    _, there = servers
    with ExitStack() as stack:
        doomed = Server("doomed", database, stack, own_process=True)
        conversation = begun(doomed, "My name is Ada")
        with doomed.sdk.responses.create(model=MODEL, input="Lost", conversation=conversation, stream=True) as events:
            next(iter(events))
            assert doomed.process is not None
            doomed.process.send_signal(signal.SIGKILL)
            doomed.process.wait()
    assert there.send("POST", f"/conversations/{conversation}", {"metadata": {}}).status_code == 400
    with sqlite3.connect(database) as connection:  # as when thirty seconds have passed
        connection.execute("UPDATE unpinned_conversations SET lock_until = 0 WHERE lock IS NOT NULL")
    connection.close()
    raw = there.ask("Who am I?", conversation)
    assert "3 user messages" in raw.parse().output_text
    assert (field(raw, "store"), field(raw, "fidelity")) == ("gap", "lossy")


BAD: list[tuple[str, str, Any, tuple[int, Any, Any]]] = [
    ("POST", "/items", {"items": [USER] * 21}, (400, "items", "array_above_max_length")),
    ("POST", "/items", {"items": 7}, (400, "items", "invalid_type")),
    ("POST", "/items", {"items": [USER, {"role": "user"}]}, (400, "items[1].content", "missing_required_parameter")),
    ("POST", "/items", {"items": [USER, {"type": "odd"}]}, (400, "items[1]", "invalid_value")),
    ("POST", "/items", {"items": [USER, {"type": "item_reference", "id": "rs_9"}]}, (404, None, None)),
    ("POST", "/items", {"items": [{"role": "user", "id": "msg_1", "content": "x"}]}, (400, "input", None)),
    ("POST", "/items", {}, (400, "items", "missing_required_parameter")),
    ("POST", "/items", b"{", (400, None, None)),
    (
        "POST",
        "",
        {"metadata": {f"k{number}": "" for number in range(17)}},
        (400, "metadata", "object_above_max_properties"),
    ),
    ("POST", "", {"metadata": {"k" * 65: ""}}, (400, "metadata", "string_above_max_length")),
    ("POST", "", {"metadata": {"k": "v" * 513}}, (400, "metadata", "string_above_max_length")),
    ("POST", "", {"metadata": {"k": 5}}, (400, "metadata", "invalid_type")),
    ("POST", "", {}, (400, "metadata", "missing_required_parameter")),
    ("GET", "/items?limit=0", None, (400, "limit", "integer_below_min_value")),
    ("GET", "/items?limit=101", None, (400, "limit", "integer_above_max_value")),
    ("GET", "/items?limit=x", None, (400, "limit", "invalid_type")),
    ("GET", "/items?order=up", None, (400, "order", "invalid_value")),
    ("GET", "/items?after=msg_9", None, (404, "after", None)),
    ("GET", "/items?include=odd", None, (400, "include", "invalid_value")),
    ("GET", "/items/msg_9", None, (404, None, None)),
    ("DELETE", "/items/msg_9", None, (404, None, None)),
]


@pytest.fixture(scope="module")
def kept(here: Server) -> str:
    """A conversation with two items."""
    return here.sdk.conversations.create(items=[{**USER, "id": "msg_1"}, {**USER, "id": "msg_2"}]).id  # type: ignore[list-item]


@pytest.mark.parametrize("row", BAD, ids=lambda row: f"{row[0]} {str(row[2] or row[1])[:30]}")
def test_bad_input(there: Server, kept: str, row: tuple[str, str, Any, tuple[int, Any, Any]]) -> None:
    """What upstream would refuse is refused in its words, as a whole; the conversation is as it was, and free."""
    method, path, body, refusal = row
    assert refused(there.send(method, f"/conversations/{kept}{path}", body)) == refusal
    assert [item["id"] for item in there.listed(kept)] == ["msg_1", "msg_2"]
    assert there.send("POST", f"/conversations/{kept}", {"metadata": None}).json()["metadata"] == {}


@pytest.mark.parametrize(
    "conversation",
    [
        '{"id":null}',
        '{"id":7}',
        '"conv_' + "a" * 300 + '"',
        '"conv_../x"',
        '"conv_%2Fx"',
        "7",
        '"conv_' + "0" * 48 + '"',
    ],
)
def test_ids_that_are_none_of_ours(here: Server, conversation: str) -> None:
    """What cannot be looked up, or is not known, reaches upstream byte for byte, which has the word; nothing begins."""
    body = b'{"model":"%b","input":"x","conversation":%b}' % (MODEL.encode(), conversation.encode())
    answer = here.send("POST", "/responses", body)
    direct = here.http.post(
        f"{here.upstream}/v1/responses", content=body, headers={"authorization": f"Bearer {here.key}"}
    )
    assert (answer.status_code, answer.content) == (direct.status_code, direct.content)
    assert here.received()[-2]["length"] == len(body)


def test_duplicate_members_and_escapes(here: Server, kept: str) -> None:
    """The last `conversation` counts, however its name is written."""
    body = b'{"model":"%b","conversation":"conv_x","input":"x","c\\u006fnversation":"%b"}'
    answer = here.send("POST", "/responses", body % (MODEL.encode(), kept.encode()))
    assert answer.headers["x-unpinned-conversation"] == kept


@pytest.mark.parametrize("why", ["scope", "key"])
def test_others_know_nothing(servers: tuple[Server, Server], database: Path, kept: str, why: str) -> None:
    """In another scope, or without the key, a conversation is not known: the answer is upstream's own."""
    with ExitStack() as stack:
        settings: dict[str, Any] = {
            "scope": {"UNPINNED_STORE_SCOPE": "another"},
            "key": {"UNPINNED_STORE_KEY": "A" * 43 + "="},
        }
        other = Server("other", database, stack, **settings[why])
        for path in ("", "/items", "/items/msg_1"):
            answer = other.send("GET", f"/conversations/{kept}{path}")
            direct = other.http.get(
                f"{other.upstream}/v1/conversations/{kept}{path}", headers={"authorization": f"Bearer {other.key}"}
            )
            assert (answer.status_code, answer.content) == (404, direct.content)
        asked = other.send("POST", "/responses", {"model": MODEL, "input": "x", "conversation": kept})
        assert (asked.status_code, asked.json()["error"]["param"]) == (404, None)
    assert servers[0].listed(kept)


def test_observed_and_recovered(database: Path, servers: tuple[Server, Server]) -> None:
    """In `observe` a request goes as it came; in `recover` it has its history and is portable at once."""
    conversation = begun(servers[0], "My name is Ada")
    servers[0].ask("One", conversation)
    with ExitStack() as stack:
        observing = Server("observing", database, stack, UNPINNED_MODE="observe")
        answer = observing.send("POST", "/responses", {"model": MODEL, "input": "x", "conversation": conversation})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, None)
        recovering = Server("recovering", database, stack, UNPINNED_MODE="recover")
        raw = recovering.ask("Two", conversation)
        assert "3 user messages" in raw.parse().output_text
        assert (field(raw, "attempts"), field(raw, "fidelity")) == ("1", "lossless")


def test_a_conversation_that_is_too_large(database: Path, servers: tuple[Server, Server]) -> None:
    """Beyond UNPINNED_STORE_MAX_CONVERSATION nothing is added, and a history is not sent."""
    with ExitStack() as stack:
        small = Server("small", database, stack, UNPINNED_STORE_MAX_CONVERSATION="10000")
        conversation = begun(servers[0], *["x" * 600] * 20)
        answer = small.send("POST", "/responses", {"model": MODEL, "input": "x", "conversation": conversation})
        assert refused(answer) == (413, "conversation", "conversation_too_large")
        added = small.send("POST", f"/conversations/{conversation}/items", {"items": [USER]})
        assert refused(added) == (413, "conversation", "conversation_too_large")
    assert "21 user messages" in servers[0].ask("y", conversation).parse().output_text


def test_pages(here: Server, there: Server) -> None:
    """Pages come in both orders, from both servers, with the same ids whenever they are listed."""
    conversation = begun(here, *(str(number) for number in range(7)))
    ids = [item["id"] for item in there.listed(conversation)]
    assert [item.id for item in there.sdk.conversations.items.list(conversation, limit=3)] == ids[::-1]
    page = here.sdk.conversations.items.list(conversation, limit=3, after=ids[1], order="asc")
    assert ([item.id for item in page.data], page.has_more) == (ids[2:5], True)
    assert (page.last_id, page.model_dump()["first_id"]) == (ids[4], ids[2])
    item: Any = there.sdk.conversations.items.retrieve(ids[3], conversation_id=conversation)
    assert (item.id, item.status, item.content[0].type, item.content[0].text) == (
        ids[3],
        "completed",
        "input_text",
        "3",
    )
    there.sdk.conversations.items.delete(ids[3], conversation_id=conversation)
    assert [item["id"] for item in here.listed(conversation)] == ids[:3] + ids[4:]
    assert here.sdk.conversations.update(conversation, metadata={"a": "ü"}).metadata == {"a": "ü"}
    assert there.sdk.conversations.retrieve(conversation).metadata == {"a": "ü"}
    assert there.sdk.conversations.delete(conversation).deleted
    with pytest.raises(openai.NotFoundError):
        here.sdk.conversations.retrieve(conversation)
