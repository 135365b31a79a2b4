"""What sessions get that is rare or wrong, over real sockets: each case with the bytes of both sides."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

from proxy.responses.frames import PING, close_frame, frame
from tests.support.handshakes import handshake, switching
from tests.support.raw_client import RawClient
from tests.support.scripts import END, Gate, script
from tests.support.sessions import (
    KEY,
    completed,
    create,
    created,
    delta,
    event,
    fragmented,
    item_not_found,
    messages,
    not_found,
    text,
)
from tests.support.talks import Talk
from tests.websockets.conftest import Front

KEYS = count()
USER = {"role": "user", "content": "hi"}
BARE = {"type": "reasoning", "id": "rs_1", "summary": []}
ANSWER = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}
HISTORY = [USER, BARE, ANSWER, USER]
"""What goes as it came, because a reasoning would be lost, and is made portable when it is refused."""
PORTABLE = [USER, {name: value for name, value in ANSWER.items() if name != "id"}, USER]
REFUSED = item_not_found("rs_1")
FAILED = event("failed", response={"id": "resp_1", "error": REFUSED["error"]})
CLOSED = close_frame(1002, b"protocol error")


def answer(number: int) -> list[Any]:
    """The events of a response."""
    return [created(f"resp_{number}"), delta(), completed(f"resp_{number}")]


def written(*events: Any) -> bytes:
    """Upstream's events, a frame each."""
    return b"".join(text(each, b"") for each in events)


@contextmanager
def session(front: Front, *steps: Any) -> Iterator[RawClient]:
    """A client in a session, while upstream performs these steps behind its 101; with a key that was taught nothing."""
    sent = handshake(b"/v1/responses", [(b"Authorization", b"Bearer sk-%d" % next(KEYS))])
    with front.opened(script(switching(), *steps), sent) as client:
        yield client


def given(client: RawClient, *events: Any) -> None:
    """The client gets these events, each in its frame, and nothing in front of them."""
    assert messages(client.exactly(len(written(*events)))) == [*events]


def over(client: RawClient, talk: Talk) -> list[Any]:
    """What upstream has got in all, when both have left."""
    client.end()
    talk.wait_over()
    return talk.messages


def test_two_turns_of_a_lane(front: Front) -> None:
    """The second of two turns is not sent before the first is recovered; the answers arrive in their order."""
    talk = Talk([REFUSED], answer(1), answer(2))
    with session(front, talk, END) as client:
        client.send(text(create(HISTORY)) + text(create("second")))
        given(client, *answer(1), *answer(2))
        assert over(client, talk) == [create(HISTORY), create(PORTABLE), create("second")]


def test_a_turn_while_another_streams(front: Front) -> None:
    """It goes upstream at once, and an error that arrives meanwhile is the older one's: it is relayed."""
    talk = Talk(answer(1)[:2], [REFUSED, *answer(2)])
    with session(front, talk, END) as client:
        client.send(text(create("first")))
        given(client, *answer(1)[:2])
        client.send(text(create(HISTORY)))
        given(client, REFUSED, *answer(2))
        assert over(client, talk) == [create("first"), create(HISTORY)]


def test_the_successor_of_a_steered_response(front: Front) -> None:
    """A response that upstream begins by itself is relayed, with an error behind it; and its id is own."""
    steer = {"type": "response.steer", "previous_response_id": "resp_1", "input": "stop"}
    end = event("incomplete", response={"id": "resp_1"})
    talk = Talk(answer(1)[:2], [], [end, created("resp_2"), REFUSED], answer(3))
    output = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
    turn = text(create([output], previous_response_id="resp_2"))
    with session(front, talk, END) as client:
        client.send(text(create("first")))
        given(client, *answer(1)[:2])
        client.send(text(create(HISTORY)) + text(steer))
        given(client, end, created("resp_2"), REFUSED)
        client.send(turn)
        given(client, *answer(3))
        over(client, talk)
        assert talk.data.endswith(text(steer) + turn)


def test_an_own_id_that_is_not_the_latest(front: Front) -> None:
    """It goes as it came, and its refusal is relayed."""
    second, third = (text(create("more", previous_response_id="resp_1")) for _ in range(2))
    talk = Talk(answer(1), answer(2), [not_found("resp_1")])
    with session(front, talk, END) as client:
        client.send(text(create("first")))
        given(client, *answer(1))
        client.send(second)
        given(client, *answer(2))
        client.send(third)
        given(client, not_found("resp_1"))
        over(client, talk)
        assert talk.data == text(create("first")) + second + third


AS_IT_CAME = {
    "a parent that is null": b'{"type": "response.create", "previous_response_id": null, "input": "hi"}',
    "a parent that is a number": b'{"type": "response.create", "previous_response_id": 7, "input": "hi"}',
    "two parents": b'{"previous_response_id": "resp_x", "type": "response.create", "previous_response_id": null}',
    "a conversation": json.dumps(create(PORTABLE, conversation="conv_1")).encode(),
    "no UTF-8": b'{"type": "response.create", "input": [{"id": "msg_1", "role": "user", "content": "\xff"}]}',
}


@pytest.mark.parametrize("said", AS_IT_CAME.values(), ids=AS_IT_CAME)
def test_what_goes_as_it_came(front: Front, said: bytes) -> None:
    """A parent that is no id, a conversation of upstream's, and what is no text, are upstream's to judge."""
    talk = Talk(answer(1))
    with session(front, talk, END) as client:
        client.send(text(said))
        given(client, *answer(1))
        over(client, talk)
        assert talk.data == text(said)


@pytest.mark.parametrize("sizes", [[1] * 30, [0, 0, 3], [5]], ids=["one byte each", "empty ones", "two"])
def test_fragments(front: Front, sizes: list[int]) -> None:
    """They are one turn, and a ping between them overtakes it."""
    ping = frame(b"!", KEY, PING)
    payload = json.dumps(create([USER, ANSWER, USER])).encode()
    talk = Talk(answer(1))
    with session(front, talk, END) as client:
        client.send(fragmented(payload, sizes, lambda number: ping if number == 0 else b""))
        given(client, *answer(1))
        assert over(client, talk) == [create(PORTABLE)]
        assert talk.data.startswith(ping)


GARBAGE = {
    "unmasked": frame(b"{}"),
    "a reserved opcode": frame(b"{}", KEY, 3),
    "a long control frame": frame(b"x" * 126, KEY, PING),
    "2^63 bytes": bytes.fromhex("82ff8000000000000000") + KEY + b"abc",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_what_the_protocol_forbids(front: Front, garbage: bytes) -> None:
    """It reaches upstream as bytes, whose 1002 is the client's; what it announces is not waited for."""

    def refusing(connection: socket.socket) -> None:
        data = b""
        while len(data) < len(garbage):
            data += connection.recv(65536)
        assert data == garbage
        connection.sendall(CLOSED)

    with session(front, refusing, END) as client:
        client.send(garbage)
        assert client.rest() == CLOSED


def test_an_upstream_that_compresses(front: Front) -> None:
    """What nobody asked for passes unread, and so does all that follows, in both directions."""
    compressed = bytearray(written(created("resp_1")))
    compressed[0] |= 0x40
    turn = text(create(PORTABLE, previous_response_id="resp_x"))
    talk = Talk(bytes(compressed), answer(2))
    with session(front, talk, END) as client:
        client.send(text(create("hi")))
        assert client.exactly(len(compressed)) == compressed
        client.send(turn)
        given(client, *answer(2))
        over(client, talk)
        assert talk.data.endswith(turn)


def test_a_turn_of_17_mib(front: Front) -> None:
    """Upstream's 1009 reaches the client with its reason: on this code it falls back to HTTP."""
    turn = text(create("x" * (17 << 20)))
    closed = close_frame(1009, b"message too big")

    def refusing(connection: socket.socket) -> None:
        left = len(turn)
        while left:
            left -= len(connection.recv(min(left, 1 << 20)))
        connection.sendall(closed)

    with session(front, refusing, END) as client:
        client.send(turn)
        assert client.rest() == closed


def test_an_error_of_no_lane(front: Front) -> None:
    """While several turns are undecided, such an error is relayed, and recovers none of them."""
    talk = Talk([], [REFUSED])
    turns = [create(HISTORY, stream_id=lane) for lane in "ab"]
    with session(front, talk, END) as client:
        client.send(b"".join(map(text, turns)))
        given(client, REFUSED)
        assert over(client, talk) == turns


def test_a_failure_after_the_window(front: Front) -> None:
    """A response that has begun for the client is decided: that it fails then is relayed."""
    gate = Gate()
    talk = Talk(written(created("resp_1")))

    def failing(connection: socket.socket) -> None:
        gate.pass_through()
        connection.sendall(written(FAILED))

    def reading(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(written(created("resp_1")))

    with session(front, reading, failing, talk, END) as client:
        client.send(text(create(HISTORY)))
        given(client, created("resp_1"))
        gate.open()
        given(client, FAILED)
        assert over(client, talk) == []


def test_a_failure_within_the_window(front: Front) -> None:
    """Of a response that begins and fails in one go the client sees nothing, if the turn can be recovered."""
    talk = Talk([created("resp_1"), FAILED], answer(2))
    with session(front, talk, END) as client:
        client.send(text(create(HISTORY)))
        given(client, *answer(2))
        assert over(client, talk) == [create(HISTORY), create(PORTABLE)]


@pytest.mark.parametrize("resets", [True, False])
def test_a_client_that_leaves_while_its_answer_is_judged(front: Front, *, resets: bool) -> None:
    """Upstream's connection ends as the client's did, and nothing more is sent there."""
    talk = Talk([created("resp_1")])
    with session(front, talk, END) as client:
        client.send(text(create(HISTORY)))
        talk.wait_messages(1)
        if resets:
            client.reset()
        else:
            client.end()
        talk.wait_over()
    assert talk.messages == [create(HISTORY)]
    assert talk.was_reset == resets


@pytest.mark.parametrize("end", [close_frame(1011), b""], ids=["close frame", "FIN"])
def test_upstream_leaves_while_a_refusal_is_held(front: Front, end: bytes) -> None:
    """What is held reaches the client as it came, and then the end."""
    held = written(created("resp_1"), REFUSED)

    def leaving(connection: socket.socket) -> None:
        data = b""
        for number, reply in ((1, held), (2, end)):
            while len(messages(data)) < number:
                data += connection.recv(65536)
            connection.sendall(reply)

    with session(front, leaving, END) as client:
        client.send(text(create(HISTORY)))
        assert client.rest() == held + end
