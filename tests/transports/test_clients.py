"""What applications do with a transport: threads, cancellation, forks, redirects, and what is none of ours."""

import asyncio
import gzip
import json
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import httpx2
import pytest
import trio

from proxy.responses import exchange
from proxy.transports import call
from tests.support.application import KINDS, applied
from tests.support.process import ROOT
from tests.support.product import Notebook
from tests.support.scripts import UNTIL_CLOSED, Gate, head, json_answer, refusal, script
from tests.support.upstream_server import ScriptedUpstream
from unpinned import AsyncPortableTransport, PortableTransport

USER = {"role": "user", "content": "hello"}
SAID = {"type": "message", "role": "assistant", "id": "msg_1", "content": "hi"}
BARE = {"type": "reasoning", "id": "rs_1", "summary": []}
CONVERSATION = {"model": "gpt-5", "input": [USER, SAID, USER]}
REFERRING = {"model": "gpt-5", "input": [USER, BARE, SAID, USER]}
NOT_FOUND = refusal(404, {"message": "Item with id 'rs_1' not found.", "param": "input"})
KEY = (b"Authorization", b"Bearer k")

of_each_kind = pytest.mark.parametrize("kind", KINDS, ids=" ".join)


def test_many_threads(upstream: ScriptedUpstream) -> None:
    """One synchronous client in many threads: each request gets its own answer, and all learn for one another."""
    upstream.will_answer(NOT_FOUND)
    upstream.will_always_answer(json_answer({}))
    barrier = threading.Barrier(8)
    with applied(mode="recover") as application:
        application.post(upstream.url, REFERRING, KEY)

        def work(_: int) -> list[str]:
            barrier.wait()
            return [application.post(upstream.url, REFERRING, KEY).report["action"] for _ in range(5)]

        with ThreadPoolExecutor(8) as pool:
            seen = list(pool.map(work, range(8)))
    assert seen == [["rewritten"] * 5] * 8


@pytest.mark.parametrize("package", ["httpx2", "httpx"])
@pytest.mark.parametrize(
    ("stalls", "held"),
    [(script(UNTIL_CLOSED), 1), (script(head(404, [(b"Content-Length", b"9")]), UNTIL_CLOSED), 2)],
    ids=["before its head", "while it is held"],
)
def test_cancelled_amid_the_second_attempt(package: str, stalls: Any, held: int, upstream: ScriptedUpstream) -> None:
    """A task that is cancelled closes the connection of its attempt; its caller's next request has all attempts."""
    upstream.will_answer(NOT_FOUND, stalls, NOT_FOUND, json_answer({}))
    with applied(package, "async", mode="recover") as application:
        assert application.runner is not None

        async def cancelled() -> None:
            heads: list[str] = []
            arrived = asyncio.Event()

            async def trace(name: str, _: Any) -> None:
                if name.endswith("receive_response_headers.complete"):
                    heads.append(name)
                    if len(heads) == held:
                        arrived.set()

            sent: Any = {"json": REFERRING, "headers": [KEY], "extensions": {"trace": trace}}
            sending = asyncio.create_task(application.client.post(f"{upstream.url}/v1/responses", **sent))
            await asyncio.to_thread(upstream.wait_received, 2)
            await arrived.wait()
            for _ in range(20):  # until it waits again
                await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

        application.runner.run(cancelled())
        upstream.received[1].wait_closed()
        assert application.post(upstream.url, REFERRING, KEY).report["action"] == "recovered"


@pytest.mark.parametrize("package", ["httpx2", "httpx"])
def test_closed_while_the_rest_is_awaited(
    package: str, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is closed while its next piece has not come closes its connection."""
    monkeypatch.setattr("proxy.responses.early.WITHOUT_EVENT", 0.05)
    stream = head(200, [(b"Content-Type", b"text/event-stream")])
    upstream.will_answer(script(stream, b": comment\n\n", UNTIL_CLOSED))
    with applied(package, "async") as application:
        assert application.runner is not None

        async def leave() -> None:
            async with application.client.stream("POST", f"{upstream.url}/v1/responses", json=CONVERSATION) as response:
                assert response.status_code == 200

        application.runner.run(leave())
        upstream.received[0].wait_closed()


@pytest.mark.parametrize("package", ["httpx2", "httpx"])
def test_cancelled_amid_a_stream(package: str, upstream: ScriptedUpstream) -> None:
    """A task that is cancelled while it reads a stream closes the stream's connection."""
    delta = b'data: {"type": "response.output_text.delta"}\n\n'
    upstream.will_answer(script(head(200, [(b"Content-Type", b"text/event-stream")]), delta, UNTIL_CLOSED))
    with applied(package, "async") as application:
        assert application.runner is not None

        async def reading(begun: asyncio.Event) -> None:
            async with application.client.stream("POST", f"{upstream.url}/v1/responses", json=CONVERSATION) as response:
                async for _ in response.aiter_raw():
                    begun.set()

        async def cancelled() -> None:
            begun = asyncio.Event()
            task = asyncio.create_task(reading(begun))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        application.runner.run(cancelled())
        upstream.received[0].wait_closed()


@pytest.mark.parametrize("package", ["httpx2", "httpx"])
def test_left_amid_a_stream(package: str, upstream: ScriptedUpstream) -> None:
    """A synchronous client that leaves a stream closes its connection."""
    delta = b'data: {"type": "response.output_text.delta"}\n\n'
    upstream.will_answer(script(head(200, [(b"Content-Type", b"text/event-stream")]), delta, UNTIL_CLOSED))
    with applied(package) as application:
        with application.client.stream("POST", f"{upstream.url}/v1/responses", json=CONVERSATION) as response:
            assert next(response.iter_raw()) == delta
        upstream.received[0].wait_closed()


@of_each_kind
def test_closed_twice(kind: Any, upstream: ScriptedUpstream) -> None:
    """A client may be closed twice; another one on the same transport goes on, with a new connection."""
    upstream.will_always_answer(json_answer({}))
    with applied(*kind) as application:
        application.post(upstream.url, CONVERSATION)
        first, application.client = application.client, application.new_client()
        application.close(first)
        application.close(first)
        assert application.post(upstream.url, CONVERSATION).status == 200
    assert upstream.received[0].connection != upstream.received[1].connection


@of_each_kind
def test_a_closed_client(kind: Any, upstream: ScriptedUpstream) -> None:
    """A client that was closed says so, as it does with any transport."""
    with applied(*kind) as application:
        application.close()
        with pytest.raises(RuntimeError, match="closed"):
            application.post(upstream.url, CONVERSATION)


@of_each_kind
def test_as_a_context(kind: Any, upstream: ScriptedUpstream) -> None:
    """A client in a `with` opens the transport, and closes it in the end."""
    upstream.will_answer([*json_answer({}), UNTIL_CLOSED])
    with applied(*kind) as application:
        client: Any = application.client
        if application.runner is None:
            with client as opened:
                assert opened.post(f"{upstream.url}/v1/responses", json=CONVERSATION).status_code == 200
        else:

            async def within() -> Any:
                async with client as opened:
                    return await opened.post(f"{upstream.url}/v1/responses", json=CONVERSATION)

            assert application.runner.run(within()).status_code == 200
    upstream.received[0].wait_closed()


@of_each_kind
def test_redirects(kind: Any, upstream: ScriptedUpstream) -> None:
    """A redirect is the client's to follow; the request that follows is made portable like the first."""
    moved = json_answer({}, 307, [(b"Location", b"/elsewhere/v1/responses")])
    upstream.will_answer(moved, json_answer({"ok": True}))
    with applied(*kind) as application:
        seen = application.post(upstream.url, CONVERSATION, KEY, follow_redirects=True)
    assert json.loads(seen.body) == {"ok": True}
    assert [request.target for request in upstream.received] == [b"/v1/responses", b"/elsewhere/v1/responses"]
    assert upstream.received[0].json() == upstream.received[1].json()
    assert "msg_1" not in upstream.received[1].body.decode()


@of_each_kind
def test_the_same_bytes_once_more(kind: Any, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversation that is in use is asked for again after a pause, which is slept."""
    monkeypatch.setattr(exchange, "PAUSE", 0.01)
    locked = refusal(409, {"message": "Another process is operating on it.", "code": "conversation_locked"})
    upstream.will_answer(locked, json_answer({}))
    with applied(*kind) as application:
        seen = application.post(upstream.url, {"conversation": "conv_1", "input": "hi"}, KEY)
    assert (seen.status, seen.report["attempts"]) == (200, "2")
    assert upstream.received[0].body == upstream.received[1].body


@of_each_kind
def test_a_body_that_is_an_iterator(kind: Any, upstream: ScriptedUpstream) -> None:
    """A body that is not in memory passes as it comes, and the report says that it was not read."""
    upstream.will_answer(json_answer({}))
    plain = json.dumps(CONVERSATION).encode()

    def pieces() -> Iterator[bytes]:
        yield plain[:10]
        yield plain[10:]

    async def pieces_later() -> Any:
        for piece in pieces():
            yield piece

    with applied(*kind) as application:
        seen = application.post(upstream.url, pieces_later() if application.runner else pieces(), KEY)
    assert (upstream.received[0].body, seen.report["action"]) == (plain, "unread")


class Unhappy(Exception):  # noqa: N818 -- what an application might raise
    """An exception that no package knows."""


@of_each_kind
def test_a_transport_within_that_raises(kind: Any) -> None:
    """What a transport within raises is raised, whatever it is."""

    def fail(_: Any) -> Any:
        raise Unhappy("of one's own")

    within = {"httpx2": httpx2.MockTransport, "httpx": httpx.MockTransport}[kind[0]](fail)
    with applied(*kind, transport=within) as application, pytest.raises(Unhappy, match="of one's own"):
        application.post("http://api.openai.com", CONVERSATION)


@of_each_kind
def test_no_connection(kind: Any, upstream: ScriptedUpstream) -> None:
    """Where no connection can be made, the exception is the package's own."""
    upstream.close()
    with applied(*kind) as application, pytest.raises(application.package.ConnectError):
        application.post(upstream.url, CONVERSATION)


@pytest.mark.parametrize("package", [httpx, httpx2], ids=lambda package: package.__name__)
def test_in_the_wrong_kind_of_client(package: Any) -> None:
    """A client of the other kind is told so in one sentence, and can be closed."""
    url = "http://127.0.0.1:9/v1/responses"
    with package.Client(transport=PortableTransport()) as client:
        assert client is not None
    wrong = package.Client(transport=AsyncPortableTransport())
    with pytest.raises(RuntimeError, match=r"a synchronous one takes PortableTransport\.$"):
        wrong.post(url)
    wrong.close()
    with pytest.raises(RuntimeError, match="a synchronous one"):
        package.Client(transport=AsyncPortableTransport()).__enter__()

    async def other() -> None:
        wrong = package.AsyncClient(transport=PortableTransport())
        with pytest.raises(RuntimeError, match=r"an asynchronous one takes AsyncPortableTransport\.$"):
            await wrong.post(url)
        await wrong.aclose()
        with pytest.raises(RuntimeError, match="an asynchronous one"):
            await package.AsyncClient(transport=PortableTransport()).__aenter__()

    asyncio.run(other())


def test_a_transport_within_of_another_kind() -> None:
    """A transport within must be of the same kind, and of the client's package."""
    with pytest.raises(TypeError, match="takes a transport with `handle_request`; AsyncHTTPTransport has none"):
        PortableTransport(transport=httpx2.AsyncHTTPTransport())
    with pytest.raises(TypeError, match="takes a transport with `handle_async_request`; HTTPTransport has none"):
        AsyncPortableTransport(transport=httpx2.HTTPTransport())
    client = httpx.Client(transport=PortableTransport(transport=httpx2.HTTPTransport()))
    with pytest.raises(RuntimeError, match=r"The transport within is one of httpx2, and the client one of httpx\."):
        client.post("http://127.0.0.1:9/v1/responses")
    client.close()
    with pytest.raises(TypeError, match="A request is one of httpx or httpx2, and not dict"):
        PortableTransport().handle_request({})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "stripp"}, "mode must be one of auto, strip, recover, observe, and is 'stripp'."),
        ({"profile": "aws"}, "profile must be one of auto, openai, azure, and is 'aws'."),
        ({"keep_last": -1}, "keep_last must be a whole number from 0 on, and is -1."),
        ({"max_recoveries": 1.5}, "max_recoveries must be a whole number from 0 on, and is 1.5."),
        ({"early": "no"}, "early must be True or False, and is 'no'."),
        ({"mode": ["strip"]}, "mode must be one of auto, strip, recover, observe, and is ['strip']."),
    ],
)
def test_arguments_without_such_a_value(arguments: Any, message: str) -> None:
    """An argument that cannot be used is a ValueError of one sentence."""
    for kind in (PortableTransport, AsyncPortableTransport):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            kind(**arguments)


@of_each_kind
def test_outbound_proxies(kind: Any, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxies are honoured, as by a client without a transport of its own; NO_PROXY as well."""
    monkeypatch.setenv("HTTP_PROXY", upstream.url.removeprefix("http://"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    upstream.will_always_answer(json_answer({}))
    with applied(*kind) as application:
        application.post("http://api.example", CONVERSATION)
        application.post(upstream.url, CONVERSATION)
    targets = [request.target for request in upstream.received]
    assert targets == [b"http://api.example/v1/responses", b"/v1/responses"]


@of_each_kind
def test_nothing_leaves_unread_in_strip(kind: Any, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """In `strip` what is too large or too complex to be read is refused; otherwise it passes unread."""
    many = b"[" + b"0," * 500_000 + b"0]"
    upstream.will_always_answer(json_answer({}))
    with applied(*kind, mode="strip") as strict, applied(*kind) as lenient:
        refused, passed = strict.post(upstream.url, many), lenient.post(upstream.url, many)
        monkeypatch.setattr(call, "LARGEST", 10)
        large, passed_as_well = strict.post(upstream.url, CONVERSATION), lenient.post(upstream.url, CONVERSATION)
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (413, "request_too_complex")
    assert (large.status, json.loads(large.body)["error"]["code"]) == (413, "request_too_large")
    assert [seen.report["action"] for seen in (passed, passed_as_well)] == ["unread", "unread"]
    assert [request.body for request in upstream.received] == [many, json.dumps(CONVERSATION).encode()]


@of_each_kind
def test_a_body_that_decodes_to_too_much(
    kind: Any, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coded body that is too large once it is decoded passes as it came, or is refused in `strip`."""
    monkeypatch.setattr(call, "LARGEST", 1000)
    coded, coding = gzip.compress(b" " * 2000), (b"Content-Encoding", b"gzip")
    upstream.will_always_answer(json_answer({}))
    with applied(*kind, mode="strip") as strict, applied(*kind) as lenient:
        refused, passed = strict.post(upstream.url, coded, coding), lenient.post(upstream.url, coded, coding)
    assert (refused.status, passed.report["action"], upstream.received[0].body) == (413, "unread", coded)


def test_the_budget_of_attempts(upstream: ScriptedUpstream) -> None:
    """A key whose recoveries fail too often gets one attempt after the first, and the observer is told once."""
    upstream.will_always_answer(NOT_FOUND)
    notebook = Notebook()
    with applied(mode="recover", observer=notebook) as application:
        for _ in range(60):
            last = application.post(upstream.url, REFERRING, KEY)
    assert [type(event).__name__ for event in notebook.events].count("BudgetExceeded") == 1
    assert last.report["attempts"] == "2"


def test_a_large_body_is_read_in_a_thread(upstream: ScriptedUpstream) -> None:
    """On an event loop the work on a large conversation is done beside it, and comes to the same."""
    upstream.will_answer(json_answer({}))
    turns = [USER, SAID] * 2000 + [USER]
    with applied("httpx2", "async") as application:
        seen = application.post(upstream.url, {"input": turns})
    assert (seen.report["removed"], len(upstream.received[0].json()["input"])) == ("item_id=2000", len(turns))


def test_on_trio(upstream: ScriptedUpstream) -> None:
    """The asynchronous transport runs on trio, streams and recovery included."""
    event = b'data: {"type": "response.completed"}\n\n'
    fields = [(b"Content-Type", b"text/event-stream"), (b"Content-Length", b"%d" % len(event))]
    gate = Gate()
    upstream.will_answer(NOT_FOUND, script(head(200, fields), event[:9], gate, event[9:]), NOT_FOUND, NOT_FOUND)
    gate.open()

    async def work() -> tuple[Any, Any]:
        async with httpx2.AsyncClient(transport=AsyncPortableTransport(mode="recover", keep_last=0)) as client:
            sent: Any = {"json": REFERRING, "headers": [KEY]}
            first = await client.post(f"{upstream.url}/v1/responses", **sent)
            second = await client.post(f"{upstream.url}/v1/responses", json={**REFERRING, "store": False})
            return first, second

    first, second = trio.run(work)
    assert (first.content, first.headers["x-unpinned-action"]) == (event, "recovered")
    assert (second.status_code, second.headers["x-unpinned-action"]) == (404, "unrecovered")


def _run(program: str, *arguments: str) -> str:
    code = textwrap.dedent(program)
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=50)
    return done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_fork_after_use(upstream: ScriptedUpstream) -> None:
    """A process that is forked after a request has connections of its own; its parent keeps the old one."""
    upstream.will_always_answer(json_answer({}))
    program = """
        import asyncio, os, sys, httpx2
        from unpinned import AsyncPortableTransport, PortableTransport
        url = sys.argv[1] + "/v1/responses"
        client = httpx2.Client(transport=PortableTransport())
        transport = AsyncPortableTransport()

        async def post():
            return await httpx2.AsyncClient(transport=transport).post(url, json={"by": "a task"})

        def work():
            assert client.post(url, json={"by": "a thread"}).status_code == 200
            assert asyncio.run(post()).status_code == 200

        work()
        child = os.fork()
        if not child:
            work()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        client.post(url, json={"by": "the parent"})
    """
    _run(program, upstream.url)
    first, _, second, _, third = (request.connection for request in upstream.received)
    assert first == third != second


def test_what_is_imported() -> None:
    """A name brings what it needs: the transports neither a server nor a client's package, the package nothing."""
    program = """
        import sys
        import unpinned
        print(sorted(name for name in sys.modules if name.partition(".")[0] == "proxy"))
        assert set(unpinned.__all__) <= set(dir(unpinned)) and unpinned.__version__
        unpinned.PortableTransport, unpinned.AsyncPortableTransport, unpinned.Policy
        foreign = {"uvicorn", "starlette", "uvloop", "prometheus_client", "httpx", "httpx2", "sqlalchemy", "redis"}
        print(sorted(foreign & set(sys.modules)))
        for name in unpinned.__all__:
            getattr(unpinned, name)
        print(unpinned.PortableMiddleware.__name__, unpinned.ReverseProxy.__name__)
        try:
            unpinned.Portable
        except AttributeError as error:
            print(error)
    """
    assert _run(program).splitlines() == [
        "[]",
        "[]",
        "PortableMiddleware ReverseProxy",
        "module 'unpinned' has no attribute 'Portable'",
    ]


def test_the_log_is_silent_unless_it_is_configured(upstream: ScriptedUpstream) -> None:
    """Without logging nothing is written, not even a warning; with it the lines of the proxy, without content."""
    upstream.will_always_answer(json_answer({}))
    program = """
        import logging, sys, httpx2
        from unpinned import PortableTransport
        if sys.argv[2:]:
            logging.basicConfig(level=sys.argv[2])
            logging.getLogger("httpcore2").setLevel("ERROR")
        client = httpx2.Client(transport=PortableTransport(mode="strip"))
        secret = [{"role": "user", "content": "secret"}, {"type": "reasoning", "id": "rs_1", "summary": []}]
        client.post(sys.argv[1] + "/v1/responses", json={"input": [*secret, secret[0]]}, headers={"api-key": "secret"})
    """
    assert _run(program, upstream.url) == ""
    told = _run(program, upstream.url, "DEBUG")
    assert "WARNING:unpinned:" in told
    assert "rs_1" in told
    assert "secret" not in told
    assert "rs_1" not in _run(program, upstream.url, "INFO")
