"""WebSocket mode: what the real SDK and a raw client see of it."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import anyio
import httpx2
import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect

from proxy.fake_openai import build, running
from proxy.fake_openai.lanes import MOST_LANES, MOST_RUNNING
from proxy.fake_openai.refusal_streams import EVENTS
from proxy.responses import frames
from tests.fake_openai.asking import KEY, MODEL, Fake, Start
from tests.support.raw_client import RawClient, request

Json = dict[str, Any]
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")
WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}
HANDSHAKE = [
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Authorization", b"Bearer " + KEY.encode()),
]
MASK = b"\x01\x02\x03\x04"


@contextmanager
def socket(fake: Fake, path: str = "/v1/responses", **options: Any) -> Iterator[ClientConnection]:
    """A connection of the raw client."""
    url = fake.url.replace("http", "ws", 1) + path
    with connect(url, additional_headers={"Authorization": f"Bearer {KEY}"}, max_size=None, **options) as connection:
        yield connection


def say(connection: ClientConnection, given: Any, **more: Any) -> None:
    """Begin a turn that is not stored."""
    connection.send(json.dumps({"type": "response.create", "model": MODEL, "input": given, "store": False, **more}))


def heard(connection: ClientConnection, *ends: str) -> list[Json]:
    """The events up to the end of a response, or up to one of these types."""
    events: list[Json] = []
    while not events or events[-1].get("type", "error") not in (ends or ENDS):
        events.append(json.loads(connection.recv(timeout=20)))
    return events


def turn(connection: ClientConnection, given: Any, **more: Any) -> Json:
    """The last event of a turn."""
    say(connection, given, **more)
    return heard(connection)[-1]


def text(event: Json) -> str:
    """What the model said."""
    return str(event["response"]["output"][-1]["content"][0]["text"])


def code(event: Json) -> Any:
    """The code of an error."""
    return event["error"]["code"]


class TestMemory:
    """What a connection keeps."""

    @pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager")  # the SDK's business
    @pytest.mark.parametrize("store", [True, False])
    def test_the_sdk_goes_on(self, fake: Fake, store: bool) -> None:
        """With the real SDK a second turn names the response of the first, stored or not, and has its context."""
        sdk: Any = fake.sdk()
        with sdk.responses.connect() as connection:
            connection.response.create(model=MODEL, input="My name is Ada.", store=store)
            first = next(event for event in connection if event.type in ENDS)
            connection.response.create(
                model=MODEL, input="What is my name?", previous_response_id=first.response.id, store=store
            )
            events = [event for event, _ in zip(connection, range(3), strict=False)]
            last = next(event for event in connection if event.type in ENDS)
        assert [event.type for event in events][:2] == ["response.created", "response.in_progress"]
        assert "your name is Ada" in last.response.output_text

    def test_the_asynchronous_sdk_goes_on(self, fake: Fake) -> None:
        """And with the asynchronous client."""

        async def texts() -> str:
            async with openai.AsyncOpenAI(base_url=fake.url + "/v1", api_key=KEY) as sdk:
                client: Any = sdk
                async with client.responses.connect() as connection:
                    await connection.response.create(model=MODEL, input="My name is Ada.", store=False)
                    first = [event async for event in _until_end(connection)][-1]
                    await connection.response.create(
                        model=MODEL, input="And?", previous_response_id=first.response.id, store=False
                    )
                    last = [event async for event in _until_end(connection)][-1]
                    return str(last.response.output_text)

        assert 'you first said: "My name is Ada."' in anyio.run(texts)

    def test_events_are_those_of_a_stream(self, fake: Fake) -> None:
        """A message for each event of the stream over HTTP, numbered from 0 in each response, and no [DONE]."""
        body = {"model": MODEL, "input": "Hello.", "stream": True, "store": False}
        lines = fake.post("/v1/responses", body).text.splitlines()
        streamed = [json.loads(line[6:])["type"] for line in lines if line.startswith("data: ")]
        with socket(fake) as connection:
            for _ in range(2):
                say(connection, "Hello.", stream=True, background=False)
                events = heard(connection)
                assert [event["type"] for event in events] == streamed
                assert [event["sequence_number"] for event in events] == list(range(len(events)))

    def test_an_older_response(self, fake: Fake) -> None:
        """A response before the latest is found only where it was stored."""
        with socket(fake) as connection:
            unstored, stored = (turn(connection, "Hello.", store=store) for store in (False, True))
            turn(connection, "Something else.")
            assert code(turn(connection, "And?", previous_response_id=unstored["response"]["id"])) == (
                "previous_response_not_found"
            )
            assert turn(connection, "And?", previous_response_id=stored["response"]["id"])["type"] == ENDS[0]

    def test_another_connection(self, fake: Fake) -> None:
        """What was not stored is known to its connection only, and to nobody when that has ended."""
        with socket(fake) as connection, socket(fake) as other:
            first = turn(connection, "Hello.")["response"]["id"]
            refused = turn(other, "And?", previous_response_id=first)
        assert refused == {
            "type": "error",
            "status": 400,
            "error": {
                "type": "invalid_request_error",
                "code": "previous_response_not_found",
                "message": f"Previous response with id '{first}' not found.",
                "param": "previous_response_id",
            },
        }

    def test_a_failed_turn_evicts(self, fake: Fake) -> None:
        """A turn that fails makes the connection forget the response that it named; the connection lives on."""
        orphan = [{"type": "function_call_output", "call_id": "call_9", "output": "x"}]
        with socket(fake) as connection:
            first = turn(connection, "Hello.")["response"]["id"]
            refused = turn(connection, orphan, previous_response_id=first)
            assert (refused["status"], refused["error"]["param"]) == (400, "input")
            assert code(turn(connection, "And?", previous_response_id=first)) == "previous_response_not_found"
            assert turn(connection, "Hello.")["type"] == "response.completed"

    def test_a_warm_up(self, fake: Fake) -> None:
        """`generate: false` gives a response without output, from which the next turn goes on."""
        with socket(fake) as connection:
            warm = turn(connection, "My name is Ada.", generate=False)
            assert (warm["type"], warm["response"]["output"]) == ("response.completed", [])
            last = turn(connection, "What is my name?", previous_response_id=warm["response"]["id"])
            assert "your name is Ada" in text(last)
            assert code(turn(connection, "x", generate="no")) == "invalid_type"


async def _until_end(connection: Any) -> Any:
    async for event in connection:
        yield event
        if event.type in ENDS:
            return


class TestLanes:
    """Several streams on one connection."""

    def test_they_interleave(self, start: Start) -> None:
        """Lanes run side by side, and each event says of which it is; the default lane says nothing."""
        with socket(start(delay=0.01)) as connection:
            say(connection, "Hello.")
            for name in ("a", "b.c-D_1"):
                say(connection, "Hello.", stream_id=name)
            events = [event for _ in range(3) for event in heard(connection)]
        lanes = [event.get("stream_id") for event in events]
        assert set(lanes) == {None, "a", "b.c-D_1"}
        assert len({*lanes[:6]}) == 3
        for lane in set(lanes):
            mine = [event for event in events if event.get("stream_id") == lane]
            assert [event["sequence_number"] for event in mine] == list(range(len(mine)))

    def test_a_lane_is_first_in_first_out(self, start: Start) -> None:
        """The turns of one lane are answered one after the other, in their order."""
        with socket(start(delay=0.001)) as connection:
            for word in ("one", "two", "three"):
                say(connection, word, stream_id="a")
            said = [text(heard(connection)[-1]) for _ in range(3)]
        assert [word in one for word, one in zip(("one", "two", "three"), said, strict=True)] == [True] * 3

    def test_a_fork(self, fake: Fake) -> None:
        """A lane may go on from another's response; each keeps its own latest."""
        with socket(fake) as connection:
            first = turn(connection, "My name is Ada.", stream_id="a")["response"]["id"]
            for lane in ("b", "c", "a"):
                forked = turn(connection, "What is my name?", stream_id=lane, previous_response_id=first)
                assert "your name is Ada" in text(forked)
            assert code(turn(connection, "And?", stream_id="b", previous_response_id=first)) == (
                "previous_response_not_found"
            )

    @pytest.mark.parametrize("name", ["", "a b", "x" * 257, "ä", 5, {}])
    def test_names(self, fake: Fake, name: Any) -> None:
        """A name that lanes do not have is refused, without a lane."""
        with socket(fake) as connection:
            refused = turn(connection, "Hello.", stream_id=name)
        assert (code(refused), "stream_id" in refused) == ("invalid_stream_id", False)

    def test_how_many(self, fake: Fake) -> None:
        """A connection has 32 lanes; one more is refused, and the others go on."""
        with socket(fake) as connection:
            for number in range(MOST_LANES):
                turn(connection, "Hello.", stream_id=str(number), generate=False)
            refused = turn(connection, "Hello.", stream_id="more")
            assert (code(refused), refused["stream_id"]) == ("websocket_stream_limit_reached", "more")
            assert turn(connection, "Hello.", stream_id="0")["type"] == "response.completed"

    def test_how_many_at_once(self, start: Start) -> None:
        """Sixteen responses are in progress; a seventeenth waits until one of them has ended."""
        with socket(start(delay=0.02)) as connection:
            for number in range(MOST_RUNNING + 1):
                say(connection, "Hello.", stream_id=str(number))
            events = [event for _ in range(MOST_RUNNING + 1) for event in heard(connection)]
        late = [event["type"] for event in events].index("response.completed")
        began = [event["stream_id"] for event in events[:late] if event["type"] == "response.created"]
        assert sorted(began, key=int) == [str(number) for number in range(MOST_RUNNING)]


class TestSteering:
    """`response.steer`."""

    @staticmethod
    def steer(connection: ClientConnection, response_id: Any, given: Any = "Say it in French.", **more: Any) -> None:
        """Steer a response."""
        message = {"type": "response.steer", "previous_response_id": response_id, "input": given, **more}
        connection.send(json.dumps(message))

    def test_a_successor(self, start: Start) -> None:
        """Input that was accepted while a response runs is answered by a second one, which the server creates."""
        with socket(start(delay=0.01)) as connection:
            say(connection, "Hello.", stream_id="a")
            first = heard(connection, "response.created")[-1]["response"]["id"]
            self.steer(connection, first)
            self.steer(connection, first, [{"role": "user", "content": "And short."}])
            events = heard(connection)
            second = heard(connection)
        accepted = [event for event in events if event["type"] == "response.steer.accepted"]
        assert [event["steer"]["previous_response_id"] for event in accepted] == [first, first]
        assert [event["sequence_number"] for event in events] == list(range(1, len(events) + 1))
        assert {event["stream_id"] for event in second} == {"a"}
        assert second[-1]["response"]["previous_response_id"] == first
        assert "3 user messages" in text(second[-1])

    def test_a_response_that_waits_for_its_client(self, start: Start) -> None:
        """With a call to answer the input stays pending; the client's one turn brings it along."""
        with socket(start(delay=0.01)) as connection:
            say(connection, "Use the tool get_weather.", tools=[WEATHER])
            first = heard(connection, "response.created")[-1]["response"]["id"]
            self.steer(connection, first)
            call = heard(connection)[-1]["response"]["output"][-1]
            pending = heard(connection, "response.steer.pending")[-1]
            stub = {"type": "function_call_output", "call_id": call["call_id"], "name": "get_weather"}
            assert (pending["reason"], pending["required_input"]) == ("waiting_for_required_input", [stub])
            output = [{"type": "function_call_output", "call_id": call["call_id"], "output": "18 degrees"}]
            last = turn(connection, output, previous_response_id=first)
        assert "2 user messages" in text(last)

    @pytest.mark.parametrize(
        ("given", "more", "why"),
        [
            ("x", {"stream_id": "a"}, "invalid_input"),
            ([], {}, "invalid_input"),
            (5, {}, "invalid_input"),
            ([{"role": "system", "content": "x"}], {}, "invalid_input"),
            ([{"type": "function_call_output", "call_id": "c", "output": "x"}], {}, "invalid_input"),
            (["x"], {}, "invalid_input"),
            ("x", {}, "response_already_completed"),
            ("x", {"previous_response_id": "resp_x"}, "response_not_found"),
            ("x", {"previous_response_id": 5}, "invalid_input"),
        ],
    )
    def test_what_is_not_accepted(self, fake: Fake, given: Any, more: Json, why: str) -> None:
        """Other keys, other input, a response that has ended or is unknown: the input goes back to the client."""
        with socket(fake) as connection:
            first = turn(connection, "Hello.")["response"]["id"]
            self.steer(connection, **{"response_id": first, "given": given, **_renamed(more)})
            refused = heard(connection, "response.steer.failed")[-1]
        assert (code(refused), refused["steer"]["input"]) == (why, given)


def _renamed(more: Json) -> Json:
    return {"response_id" if name == "previous_response_id" else name: value for name, value in more.items()}


class TestErrors:
    """Messages and turns that are refused."""

    @pytest.mark.parametrize("message", ["no JSON", "[]", "{}", '{"type":"session.update"}', "[" * 100_000])
    def test_messages(self, fake: Fake, message: str) -> None:
        """What is no client event gets an error frame, and the connection lives on."""
        with socket(fake) as connection:
            connection.send(message)
            assert heard(connection)[-1]["status"] == 400
            assert turn(connection, "Hello.")["type"] == "response.completed"

    @pytest.mark.parametrize("shape", EVENTS)
    def test_shapes(self, start: Start, shape: Any) -> None:
        """A turn is refused in the shape of the instance, each event of it with its lane."""
        with socket(start(refusals=shape)) as connection:
            say(connection, "And?", previous_response_id="resp_x", stream_id="a")
            ends = ("response.failed",) if "failed" in shape else ("error", "response.error")
            events = heard(connection, *ends)
        assert {event["stream_id"] for event in events} == {"a"}
        assert "Previous response with id 'resp_x' not found." in json.dumps(events[-1])

    def test_scripted(self, fake: Fake) -> None:
        """A scripted refusal is the next turn's; text stands in the message."""
        error = {"message": "Slow down.", "code": "rate_limit_exceeded", "param": None}
        fake.http.post(fake.url + "/_fake/refuse", json={"status": 429, "body": {"error": error}})
        fake.http.post(fake.url + "/_fake/refuse", json={"status": 502, "body": "Bad gateway"})
        with socket(fake) as connection:
            refused = turn(connection, "Hello.")
            assert (refused["status"], code(refused)) == (429, "rate_limit_exceeded")
            refused = turn(connection, "Hello.")
            assert (refused["status"], refused["error"]["message"]) == (502, "Bad gateway")
            assert turn(connection, "Hello.")["type"] == "response.completed"

    def test_what_was_received_is_shown(self, fake: Fake) -> None:
        """`/_fake/requests` has the handshake and each message."""
        with socket(fake) as connection:
            turn(connection, "Hello.", stream_id="a")
        shown = fake.get("/_fake/requests").json()["requests"]
        assert [(one["method"], one["path"]) for one in shown] == [
            ("UPGRADE", "/v1/responses"),
            ("MESSAGE", "/v1/responses"),
        ]
        assert "authorization" in shown[0]["headers"]
        assert (shown[1]["body"]["type"], shown[1]["body"]["stream_id"]) == ("response.create", "a")


class TestEnds:
    """How a connection ends."""

    def test_the_largest_message(self, fake: Fake) -> None:
        """16,777,000 bytes are taken; 16,777,300 end the connection with 1009 and without an event."""
        with socket(fake) as connection:
            rest = len(json.dumps({"type": "response.create", "model": MODEL, "input": "", "store": False}))
            assert turn(connection, "x" * (16_777_000 - rest))["type"] == "response.completed"
            say(connection, "x" * (16_777_300 - rest))
            with pytest.raises(ConnectionClosed) as ended:
                connection.recv(timeout=20)
        assert ended.value.rcvd == Close(1009, "message too big")

    def test_its_age(self, start: Start) -> None:
        """A connection that is old enough gets an error frame, also while it is idle, and ends."""
        with socket(start(socket_age=0.2)) as connection:
            refused = heard(connection)[-1]
            with pytest.raises(ConnectionClosed) as ended:
                connection.recv(timeout=20)
        assert code(refused) == "websocket_connection_limit_reached"
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1001

    def test_the_server_ends(self) -> None:
        """A server that ends says 1012, on which clients come back."""
        with ExitStack() as stack:
            with running(build()) as url, httpx2.Client() as http:
                connection = stack.enter_context(socket(Fake(url, http)))
            with pytest.raises(ConnectionClosed) as ended:
                connection.recv(timeout=20)
        assert ended.value.rcvd == Close(1012, "service restart")

    def test_a_client_that_leaves_amid_a_response(self, start: Start) -> None:
        """Its turns end with it; the server goes on."""
        fake = start(delay=0.01)
        with socket(fake) as connection:
            say(connection, "Hello.")
            heard(connection, "response.created")
        with socket(fake) as connection:
            assert turn(connection, "Hello.")["type"] == "response.completed"

    def test_a_client_that_closes_is_answered(self, fake: Fake) -> None:
        """A close frame comes back with its code."""
        with socket(fake) as connection:
            connection.close(4003, "done")
            assert connection.protocol.close_rcvd == Close(4003, "")


class TestHandshake:
    """What makes a connection, and what does not."""

    @pytest.mark.parametrize("path", ["/v1/responses", "/responses", "/openai/v1/responses?api-version=1"])
    def test_paths(self, fake: Fake, path: str) -> None:
        """Every prefix that HTTP has; compression is not accepted."""
        with socket(fake, path) as connection:
            assert connection.response is not None
            assert "sec-websocket-extensions" not in connection.response.headers
            assert turn(connection, "Hello.")["type"] == "response.completed"

    @pytest.mark.parametrize(
        ("path", "key", "status"),
        [("/v1/realtime", KEY, 404), ("/v1/responses/resp_1", KEY, 404), ("/v1/responses", "", 401)],
    )
    def test_refused(self, fake: Fake, path: str, key: str, status: int) -> None:
        """Another path, and no key: an answer of HTTP in OpenAI's shape."""
        url = fake.url.replace("http", "ws", 1) + path
        with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers={"api-key": key}):
            pass
        response = refused.value.response
        assert (response.status_code, response.headers["x-request-id"][:4]) == (status, "req_")
        assert json.loads(response.body or b"")["error"]["type"] == "invalid_request_error"

    @pytest.mark.parametrize("name", [b"Sec-WebSocket-Version", b"Sec-WebSocket-Key"])
    @pytest.mark.parametrize("value", [b"8", b"dGhlIHNhbXBsZQ==", b"!"])
    def test_invalid(self, fake: Fake, name: bytes, value: bytes) -> None:
        """Another version and a key that is none are refused."""
        fields = [(key, value if key == name else kept) for key, kept in HANDSHAKE]
        with RawClient(int(fake.url.rpartition(":")[2])) as client:
            client.send(request(b"GET", b"/v1/responses", fields))
            answer = client.answer()
        assert (answer.status, answer.values(b"connection")) == (400, [b"close"])

    def test_scripted(self, fake: Fake) -> None:
        """A handshake is refused as it was scripted, and the next one is not."""
        script = {"status": 426, "body": "Use HTTP.", "upgrade": True, "headers": {"x-why": "test"}}
        fake.http.post(fake.url + "/_fake/refuse", json=script)
        with pytest.raises(InvalidStatus) as refused, socket(fake):
            pass
        response = refused.value.response
        assert (response.status_code, response.headers["x-why"], response.body) == (426, "test", b"Use HTTP.")
        with socket(fake) as connection:
            assert turn(connection, "Hello.")["type"] == "response.completed"


class TestFrames:
    """What a client may send, and what it may not."""

    @contextmanager
    def raw(self, fake: Fake) -> Iterator[RawClient]:
        """A connection whose frames the test writes."""
        with RawClient(int(fake.url.rpartition(":")[2])) as client:
            client.send(request(b"GET", b"/v1/responses", HANDSHAKE))
            assert client.head().values(b"sec-websocket-accept") == [b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
            yield client

    def test_fragments(self, fake: Fake) -> None:
        """A message may come in fragments, empty ones too, with a ping between them that is answered first."""
        first, second = frames.frame(b'{"type":', MASK), frames.frame(b'"nothing"}', MASK, frames.CONTINUATION)
        empty = frames.frame(b"", MASK, frames.CONTINUATION)
        with self.raw(fake) as client:
            client.send(bytes((first[0] & 0x7F,)) + first[1:] + bytes((empty[0] & 0x7F,)) + empty[1:])
            client.send(frames.frame(b"now", MASK, frames.PING))
            assert client.exactly(5) == frames.frame(b"now", opcode=frames.PONG)
            for number in range(len(second)):
                client.send(second[number : number + 1])
            assert b"Invalid value: 'nothing'" in client.until(b"}}")

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (frames.frame(b"{}"), 1002),
            (b"\xc1" + frames.frame(b"{}", MASK)[1:], 1002),
            (b"\x83" + frames.frame(b"{}", MASK)[1:], 1002),
            (frames.frame(b"{}", MASK, frames.CONTINUATION), 1002),
            (b"\x01" + frames.frame(b"{}", MASK)[1:] + frames.frame(b"{}", MASK), 1002),
            (b"\x09" + frames.frame(b"", MASK)[1:], 1002),
            (frames.frame(b"x" * 126, MASK, frames.PING), 1002),
            (frames.frame(b"{}", MASK, frames.BINARY), 1003),
            (frames.frame(b"\xff", MASK), 1007),
            (b"\x81\xff" + (1 << 62).to_bytes(8, "big") + MASK, 1009),
        ],
    )
    def test_violations(self, fake: Fake, data: bytes, code: int) -> None:
        """What the RFC forbids ends the connection with the code that it names."""
        with self.raw(fake) as client:
            client.send(data)
            head = client.exactly(2)
            assert head[0] == 0x88
            assert client.exactly(head[1])[:2] == code.to_bytes(2, "big")
