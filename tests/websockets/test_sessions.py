"""Sessions over real sockets: what a raw client and a raw upstream see of each other, byte by byte."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.responses.frames import CLOSE, PING, close_frame, frame
from tests.support.handshakes import KEY as HANDSHAKE_KEY
from tests.support.handshakes import handshake, switching
from tests.support.process import running
from tests.support.raw_client import RawClient
from tests.support.scripts import END, RESET, Flood, script, send_until_stalled
from tests.support.sessions import (
    KEY,
    completed,
    create,
    created,
    delta,
    fragmented,
    frames,
    item_not_found,
    messages,
    not_found,
    text,
)
from tests.support.talks import Talk
from tests.support.upstream_server import ScriptedUpstream
from tests.websockets.conftest import Front

MINUTES = 180
"""Seconds that a slow machine may take for many sockets."""
SESSION = handshake(b"/v1/responses", [(b"Authorization", b"Bearer sk-1")])
USER = {"role": "user", "content": "hi"}
ANSWER = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}
HISTORY = [USER, ANSWER, USER]
PORTABLE = [USER, {name: value for name, value in ANSWER.items() if name != "id"}, USER]
ANSWERED = [created("resp_1"), delta(), completed("resp_1")]


@contextmanager
def session(front: Front, *steps: Any) -> Iterator[RawClient]:
    """A client in a session, while upstream performs these steps behind its 101."""
    with front.opened(script(switching(), *steps), SESSION) as client:
        yield client


def given(client: RawClient, count: int) -> list[Any]:
    """The next so many messages of upstream's, each in one frame."""
    found: list[Any] = []
    while len(found) < count:
        head = client.exactly(2)
        length = client.exactly({126: 2, 127: 8}.get(head[1], 0))
        found += messages(head + length + client.exactly(int.from_bytes(length or head[1:], "big")))
    return found


def test_a_turn_goes_on_and_its_answer_comes(front: Front) -> None:
    """A turn is made portable, its events arrive, and the next one continues it as it came."""
    talk = Talk(ANSWERED, ANSWERED)
    with session(front, talk, END) as client:
        client.send(text(create(HISTORY)))
        assert given(client, 3) == ANSWERED
        turn = text(create("and?", previous_response_id="resp_1"))
        client.send(turn)
        assert given(client, 3) == ANSWERED
        client.end()
        talk.wait_over()
    assert talk.messages[0] == create(PORTABLE)
    assert talk.data.endswith(turn)
    line = front.process.wait_logged(lambda line: line.get("socket") == "session" and line["turns"] == 2)
    assert line["close_code"] is None


def test_bytes_of_one_at_a_time(front: Front) -> None:
    """A turn in frames of one byte, a ping between them, each byte by itself: the ping overtakes, all else is exact."""
    payload = json.dumps(create("hi")).encode()
    ping = frame(b"!", KEY, PING)
    data = fragmented(payload, [1] * 30, lambda number: ping if number == 5 else b"")
    talk = Talk(ANSWERED)
    with session(front, talk, END) as client:
        for byte in data:
            client.send(bytes((byte,)))
        assert given(client, 3) == ANSWERED
        client.end()
        talk.wait_over()
    assert talk.data == ping + data.replace(ping, b"", 1)


def test_a_refusal_is_recovered(front: Front) -> None:
    """The client sees one clean answer, in the frames in which upstream wrote it."""
    bare = {"type": "reasoning", "id": "rs_1", "summary": []}
    talk = Talk([item_not_found("rs_1")], ANSWERED)
    with session(front, talk, END) as client:
        client.send(text(create([USER, bare, ANSWER, USER])))
        assert given(client, 3) == ANSWERED
        client.end()
        talk.wait_over()
    assert talk.messages == [create([USER, bare, ANSWER, USER]), create(PORTABLE)]


def test_a_failed_recovery_is_byte_for_byte(front: Front) -> None:
    """A refusal for which nothing can be done has its own bytes, and what follows it as well."""
    refusal = b"\x01\x05" + json.dumps(not_found("resp_x")).encode()[:5]
    refusal += b"\x80\x7e" + (len(json.dumps(not_found("resp_x"))) - 5).to_bytes(2, "big")
    refusal += json.dumps(not_found("resp_x")).encode()[5:]
    talk = Talk(refusal + frame(b"", b"", PING))
    with session(front, talk, END) as client:
        client.send(text(create("hi", previous_response_id="resp_x")))
        assert sorted(client.exactly(len(refusal) + 2)) == sorted(refusal + frame(b"", b"", PING))


@pytest.mark.parametrize(
    "closed", [close_frame(4003, b"told to"), close_frame(1009, b"too big"), frame(b"", b"", CLOSE)], ids=repr
)
def test_close_codes_pass(front: Front, closed: bytes) -> None:
    """Upstream's close frame is the client's, and the client's is upstream's, with code and reason."""
    talk = Talk(closed)
    reply = frame(frames(closed)[0][0], KEY, CLOSE)
    with session(front, talk, END) as client:
        client.send(text(create("hi")))
        assert client.exactly(len(closed)) == closed
        client.send(reply)
        client.end()
        talk.wait_over()
    assert talk.data.endswith(reply)


def test_upstreams_reset_is_the_clients(front: Front) -> None:
    """An upstream that breaks off amid a turn is not one that has ended."""
    with session(front, lambda connection: connection.recv(1), text(created("resp_1"), b""), RESET) as client:
        client.send(text(create("hi")))
        assert client.is_reset()


def test_the_clients_reset_is_upstreams(front: Front) -> None:
    """A client that breaks off amid a turn lets go of upstream."""
    talk = Talk([created("resp_1")])
    with session(front, talk) as client:
        client.send(text(create("hi")))
        talk.wait_messages(1)
        client.reset()
        talk.wait_over()
    assert talk.was_reset


def test_half_a_frame(front: Front) -> None:
    """What a client sent of a turn before it left reaches upstream so far, and no further."""
    talk = Talk()
    with session(front, talk, END) as client:
        client.send(text(create("hi"))[:-1])
        client.end()
        talk.wait_over()
    assert talk.data == text(create("hi"))[:-1]


def test_no_extension_is_offered_to_upstream(front: Front) -> None:
    """Compression is not negotiated, as compressed turns could not be read."""
    offered = handshake(b"/v1/responses", [(b"Sec-WebSocket-Extensions", b"permessage-deflate")])
    with front.opened(script(switching(), END), offered):
        assert front.upstream.received[0].values(b"sec-websocket-extensions") == []
        assert front.upstream.received[0].values(b"sec-websocket-key") == [HANDSHAKE_KEY]


def test_what_is_no_websocket_passes(front: Front) -> None:
    """Unmasked frames of a client are for upstream to refuse."""
    talk = Talk(close_frame(1002, b"not masked"))
    with session(front, talk, END) as client:
        client.send(frame(json.dumps(create("hi")).encode()))
        assert client.exactly(14) == close_frame(1002, b"not masked")


def test_a_slow_client_stops_upstream(front: Front) -> None:
    """Upstream is not read while the client is not, and in the end all of it arrives."""
    flood = Flood(60_000_000)
    with session(front, b"\x82\x7f" + flood.size.to_bytes(8, "big"), flood, END) as client:
        assert flood.wait_stalled() < 40_000_000
        assert len(client.rest()) == flood.size + 10


def test_a_client_with_too_many_turns_is_not_read(front: Front) -> None:
    """Turns that wait stop the client, until one of them has been answered."""
    turns = text(create("x" * 1000)) * 20_000

    def answer_all(connection: Any) -> None:
        while connection.recv(65536):
            connection.sendall(b"".join(text(event, b"") for event in ANSWERED) * 50)

    with session(front, lambda connection: connection.recv(1), answer_all) as client:
        taken = send_until_stalled(client._socket, turns)
        assert taken < len(turns)


def answering(connection: Any) -> None:
    """Answer a turn with a response whose id it says, whenever it comes."""
    connection.settimeout(MINUTES)
    data = b""
    while not messages(data):
        data += connection.recv(65536)
    response_id = messages(data)[0]["metadata"]["answer"]
    connection.sendall(text(created(response_id), b"") + text(completed(response_id), b""))


@pytest.mark.timeout(MINUTES)
def test_five_hundred_sockets(front: Front) -> None:
    """Five hundred sessions at a time have each their own answer."""
    front.upstream.will_answer(*[script(switching(), answering, END) for _ in range(500)])
    clients = []
    for _ in range(500):
        clients.append(RawClient(front.process.port))
        clients[-1].send(SESSION)
        assert clients[-1].head().status == 101
    for number, client in enumerate(clients):
        client.send(text(create(HISTORY, metadata={"answer": f"resp_{number}"})))
    for number, client in enumerate(clients):
        assert messages(client.rest()) == [created(f"resp_{number}"), completed(f"resp_{number}")]
        client.close()


def test_an_idle_session_is_told_to_connect_anew() -> None:
    """At SIGTERM a session without a turn is closed with 1012, and its process ends when its client has gone."""
    with ScriptedUpstream() as upstream:
        talk = Talk(ANSWERED)
        upstream.will_answer(script(switching(), talk, END))
        with running("--upstream", upstream.url, "--drain-delay", "0.1") as process, RawClient(process.port) as client:
            client.send(SESSION + text(create("hi")))
            assert client.head().status == 101
            assert given(client, 3) == ANSWERED
            process.send_signal(signal.SIGTERM)
            assert client.exactly(4) == close_frame(1012)
            reply = close_frame(1012, mask=KEY)
            client.send(reply)
            talk.wait(reply)
            client.end()
            assert process.wait() == 0


def test_a_client_that_does_not_answer_the_goodbye_is_cut() -> None:
    """Two seconds after 1012 both connections are gone."""
    with ScriptedUpstream() as upstream:
        talk = Talk()
        upstream.will_answer(script(switching(), talk))
        with running("--upstream", upstream.url, "--drain-delay", "0.1") as process, RawClient(process.port) as client:
            client.send(SESSION)
            assert client.head().status == 101
            process.send_signal(signal.SIGTERM)
            assert client.exactly(4) == close_frame(1012)
            began = time.monotonic()
            client.rest()
            assert time.monotonic() - began > 1
            talk.wait_over()
            assert process.wait() == 0


@pytest.mark.parametrize(
    "key", [(b"Authorization", b"Bearer sk-1"), (b"Sec-WebSocket-Protocol", b"openai-insecure-api-key.sk-1")]
)
def test_a_store_remembers_turns(key: tuple[bytes, bytes], tmp_path: Path) -> None:
    """A response of one socket is inline on the next, for the same key, wherever that stands; for another it is not."""
    opened = handshake(b"/v1/responses", [key])
    other = handshake(b"/v1/responses", [(b"Authorization", b"Bearer sk-2")])
    store = ("--store", f"sqlite:///{tmp_path / 'store'}", "--store-timeout", "20", "--mode", "strip")
    with ScriptedUpstream() as upstream, running("--upstream", upstream.url, *store) as process:

        def talk(sent: bytes, turn: dict[str, Any]) -> Any:
            talk = Talk([created("resp_1"), completed("resp_1", output=[ANSWER])])
            upstream.will_answer(script(switching(), talk, END))
            with RawClient(process.port) as client:
                client.send(sent + text(turn))
                assert client.head().status == 101
                given(client, 2)
            return talk.messages[0]

        talk(handshake(b"/v1/responses", [(b"Authorization", b"Bearer sk-1")]), create([USER]))
        following = create([USER], previous_response_id="resp_1")
        assert talk(opened, following) == create(PORTABLE)
        assert talk(other, following) == following


def test_where_there_is_no_room_a_turn_passes() -> None:
    """A process that holds as much as it may lets a turn pass as it came; in strip mode the client is told so."""
    turn = text(create([*HISTORY] * 20_000))
    for mode in ("auto", "strip"):
        with ScriptedUpstream() as upstream:
            talk = Talk(ANSWERED)
            upstream.will_answer(script(switching(), talk, END))
            limits = ("--max-memory", "1MiB", "--max-body", "64MiB", "--mode", mode)
            with running("--upstream", upstream.url, *limits) as process, RawClient(process.port) as client:
                client.send(SESSION)
                assert client.head().status == 101
                client.send(turn)
                if mode == "auto":
                    assert given(client, 3) == ANSWERED
                    assert talk.data == turn
                else:
                    assert given(client, 1)[0]["error"]["code"] == "out_of_memory"
                    assert talk.data == b""
