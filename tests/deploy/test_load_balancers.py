"""`nginx.conf` and `deploy/haproxy.cfg`: the real program with the very file, in front of three real processes."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.settings.table import TABLE
from tests.deploy.balancers import KINDS, NGINX, Balancer, Fleet, balanced, fleet, number_of, program, wait_until
from tests.support.handshakes import ACCEPT, KEY, Hearing, handshake, switching
from tests.support.process import ROOT
from tests.support.raw_client import RawAnswer, RawClient, request
from tests.support.scripts import (
    END,
    READ_BODY,
    UNTIL_CLOSED,
    Flood,
    Gate,
    Script,
    event_stream,
    head,
    json_answer,
    script,
)
from tests.support.upstream_server import ScriptedUpstream

EVENTS = tuple(b'event: e\ndata: {"n":%d}\n\n' % number for number in range(4))
QUESTION = request(b"POST", b"/v1/responses", [(b"Content-Type", b"application/json")], b'{"model":"m","input":"hi"}')
MEGABYTE = 2**20


@pytest.fixture(params=KINDS, ids=str)
def behind(request: pytest.FixtureRequest, upstream: ScriptedUpstream) -> Iterator[Fleet]:
    """Three processes, where there is a load balancer to put in front of them."""
    program(request.param.program)
    with fleet(upstream.url) as made:
        yield made


@pytest.fixture
def balancer(request: pytest.FixtureRequest, behind: Fleet, tmp_path: Path) -> Iterator[Balancer]:
    """The load balancer in front of them."""
    kind = request.node.callspec.params["behind"]
    with balanced(kind, behind, tmp_path) as made:
        yield made


def stalled_stream(gate: Gate) -> Script:
    """A stream with one event before the gate and one behind it."""
    return event_stream([EVENTS[0], gate, EVENTS[1]])


def test_events_arrive_one_by_one(balancer: Balancer, upstream: ScriptedUpstream) -> None:
    """Each event reaches the client before upstream writes the next one."""
    gates = [Gate() for _ in EVENTS]
    upstream.will_answer(event_stream([step for pair in zip(EVENTS, gates, strict=True) for step in pair]))
    pieces_arrive(balancer, gates)


def test_pieces_of_a_download_arrive_one_by_one(balancer: Balancer, upstream: ScriptedUpstream) -> None:
    """So does each piece of an answer that is no event stream, whose length is known."""
    gates = [Gate() for _ in EVENTS]
    fields = [(b"Content-Type", b"audio/mpeg"), (b"Content-Length", b"%d" % len(b"".join(EVENTS)))]
    steps = [step for pair in zip(EVENTS, gates, strict=True) for step in pair]
    upstream.will_answer(script(head(200, fields), *steps))
    pieces_arrive(balancer, gates)


def pieces_arrive(balancer: Balancer, gates: list[Gate]) -> None:
    """Ask, and open each gate only when the event before it has come."""
    with balancer.client() as client:
        client.send(QUESTION)
        assert client.head().status == 200
        for event, gate in zip(EVENTS, gates, strict=True):
            client.until(event)
            gate.open()


def test_a_reader_that_stalls_holds_up_upstream(balancer: Balancer, upstream: ScriptedUpstream) -> None:
    """Of 150 MB that the client does not read less than a third is fetched, also where upstream asks for buffers."""
    flood = Flood(150 * MEGABYTE)  # the kernel holds up to 10 MB for each connection's ends
    fields = [(b"Content-Type", b"audio/mpeg"), (b"X-Accel-Buffering", b"yes"), (b"Content-Length", b"%d" % flood.size)]
    upstream.will_answer(script(head(200, fields), flood))
    with balancer.client() as client:
        client.send(QUESTION)
        assert flood.wait_stalled() < 50 * MEGABYTE


def test_a_killed_process_costs_only_its_own_streams(
    balancer: Balancer, behind: Fleet, upstream: ScriptedUpstream
) -> None:
    """Six streams spread evenly over three processes; with one process its two break visibly, and nothing new fails."""
    gates = [Gate() for _ in range(6)]
    upstream.will_answer(*map(stalled_stream, gates))
    with ExitStack() as stack:
        clients = [stack.enter_context(balancer.client()) for _ in gates]
        for client in clients:
            client.send(QUESTION)
            assert client.head().status == 200
            client.until(EVENTS[0])
        through = [number_of(each) for each in upstream.received]
        behind.kill(0)
        upstream.will_always_answer(json_answer({"id": "resp_1"}))
        for _ in range(10):
            assert ask(balancer).status == 200
        for gate in gates:
            gate.open()
        whole = [ending(client).endswith(b"0\r\n\r\n") for client in clients]
    assert sorted(through) == [0, 0, 1, 1, 2, 2]
    assert whole == [number != 0 for number in through]


def test_a_question_is_not_asked_twice(balancer: Balancer, behind: Fleet, upstream: ScriptedUpstream) -> None:
    """A process that dies after it was asked costs the client a 502 in the API's shape; nobody else is asked."""
    upstream.will_answer(script(READ_BODY, UNTIL_CLOSED))
    upstream.will_always_answer(json_answer({"id": "resp_1"}))
    with balancer.client() as client:
        client.send(QUESTION)
        behind.kill(number_of(upstream.wait_received()))
        answer = client.answer()
    assert answer.status == 502
    assert json.loads(answer.body)["error"]["type"] == "upstream_error"
    assert len(upstream.received) == 1


def test_one_that_is_left_is_enough(balancer: Balancer, behind: Fleet, upstream: ScriptedUpstream) -> None:
    """With two of three processes gone every question is answered; with all gone an error has the API's shape."""
    upstream.will_always_answer(json_answer({"id": "resp_1"}))
    behind.kill(0)
    behind.kill(2)
    assert [ask(balancer).status for _ in range(12)] == [200] * 12
    behind.kill(1)
    answer = ask(balancer)
    assert answer.status in (502, 503)
    assert json.loads(answer.body)["error"]["code"] == "load_balancer"


@pytest.mark.parametrize("behind", [NGINX], ids=str, indirect=True)
def test_one_that_came_back_is_asked_at_once(balancer: Balancer, behind: Fleet, upstream: ScriptedUpstream) -> None:
    """That all three failed a moment ago keeps nginx from none of them."""
    upstream.will_always_answer(json_answer({"id": "resp_1"}))
    for number in range(3):
        behind.kill(number)
    assert [ask(balancer).status for _ in range(4)] == [502] * 4
    behind.replace(1)
    assert ask(balancer).status == 200


def test_a_rolling_restart_loses_nothing(balancer: Balancer, behind: Fleet, upstream: ScriptedUpstream) -> None:
    """While each process ends and another takes its place, every question that reaches one is answered, once.

    A connection that the kernel completes in the moment in which the listener closes is reset. The load balancer may
    not send a POST again then, so that its client gets a 502 for what no process has seen.
    """
    upstream.will_always_answer(json_answer({"id": "resp_1"}))
    over = threading.Event()
    answers: list[RawAnswer] = []

    def load(questions_a_connection: int) -> None:
        while not over.is_set():
            with balancer.client() as client:
                for _ in range(questions_a_connection):
                    client.send(QUESTION)
                    answers.append(client.answer())

    askers = [threading.Thread(target=load, args=(count,)) for count in (1, 1, 50, 50)]
    for asker in askers:
        asker.start()
    try:
        for number in range(3):
            behind.restart(number)
    finally:
        over.set()
        for asker in askers:
            asker.join()
    answered = [answer for answer in answers if answer.status == 200]
    assert all(answer.complete for answer in answered)
    assert len(upstream.received) == len(answered)
    reset = [answer for answer in answers if answer.status != 200]
    assert {answer.status for answer in reset} <= {502}
    assert len(answered) > len(reset)


def test_connections_are_kept(balancer: Balancer, behind: Fleet, upstream: ScriptedUpstream) -> None:
    """What one client asks, one after the other and on connections of its own, does not cost a connection each."""
    upstream.will_always_answer(json_answer({"id": "resp_1"}))
    for _ in range(12):
        assert ask(balancer).status == 200
    assert 1 <= balancer.kept(behind.addresses) < 12


def test_uploads_stream(balancer: Balancer, upstream: ScriptedUpstream) -> None:
    """Of 50 MB that upstream does not take, little is held on the way, in memory or on disk; then all of it arrives."""
    gate = Gate()
    upstream.will_answer(script(gate, READ_BODY, *json_answer({"id": "file-1"})[1:]))
    body = bytes(range(256)) * (50 * MEGABYTE // 256)
    upload = request(b"POST", b"/v1/files", [(b"Content-Type", b"application/octet-stream")], body)
    with balancer.client() as client:
        sent = client.send_until_stalled(upload)
        assert sent < 25 * MEGABYTE
        gate.wait_reached()
        gate.open()
        client.send(upload[sent:])
        assert client.answer().status == 200
    assert upstream.received[0].body == body


def test_it_ends_when_its_streams_have(balancer: Balancer, upstream: ScriptedUpstream) -> None:
    """Told to end, it takes no more connections, lets the running stream finish, and is gone."""
    gate = Gate()
    upstream.will_answer(stalled_stream(gate))
    with balancer.client() as client:
        client.send(QUESTION)
        client.until(EVENTS[0])
        balancer.stop()
        wait_until(lambda: not balancer.accepts(), "it goes on accepting")
        assert balancer.process.poll() is None
        gate.open()
        client.until(b"0\r\n\r\n")
    assert balancer.process.wait(20) == 0


def test_a_new_configuration_costs_no_stream(
    balancer: Balancer, upstream: ScriptedUpstream, behind: Fleet, tmp_path: Path
) -> None:
    """With a new configuration that names one process alone only that one is asked, and what streams goes on."""
    gate = Gate()
    upstream.will_answer(stalled_stream(gate))
    upstream.will_always_answer(json_answer({"id": "resp_1"}))
    with balancer.client() as client:
        client.send(QUESTION)
        client.until(EVENTS[0])
        path = tmp_path / Path(balancer.kind.file).name
        text = path.read_text()
        for gone in behind.addresses[:2]:
            text = re.sub(rf"^ *server .*\b{gone}:.*\n", "", text, flags=re.MULTILINE)
        path.write_text(text)
        balancer.reload()
        wait_until(lambda: only_the_last_is_asked(balancer, upstream), "the others are asked all the same")
        gate.open()
        client.until(b"0\r\n\r\n")


def only_the_last_is_asked(balancer: Balancer, upstream: ScriptedUpstream) -> bool:
    """Whether six questions all go to the last process; each is answered in any case."""
    before = len(upstream.received)
    assert [ask(balancer).status for _ in range(6)] == [200] * 6
    return {number_of(each) for each in upstream.received[before:]} == {2}


def test_answers_pass_as_they_came(balancer: Balancer, upstream: ScriptedUpstream) -> None:
    """Status, fields and body are what Unpinned answered, errors included; so are the fields of the request."""
    fields = [
        (b"Content-Type", b"application/json"),
        (b"Date", b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (b"Server", b"cloudflare"),
        (b"X-Request-Id", b"req_1"),
        (b"Retry-After", b"7"),
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
        (b"X-Accel-Redirect", b"/nginx-livez"),
    ]
    body = b'{"error":{"message":"slow down"}}'
    upstream.will_answer(script(head(503, [*fields, (b"Content-Length", b"%d" % len(body))]) + body))
    sent = [(b"Authorization", b"Bearer k"), (b"With_Underscore", b"1"), (b"X-Long", b"x" * 12_000)]
    with balancer.client() as client:
        client.send(request(b"GET", b"/v1/responses//resp%2F1/?a=%20b&&c", sent))
        answer = client.answer()
    assert (answer.status, answer.body) == (503, body)
    for name, value in fields[:-1]:
        assert value in answer.values(name.lower()), name
    assert answer.values(b"x-unpinned-request-id")
    assert upstream.received[0].target.endswith(b"/responses//resp%2F1/?a=%20b&&c")
    for name, value in sent:
        assert upstream.received[0].values(name.lower()) == [value]


CLOSE = b"\x88\x08" + (4003).to_bytes(2, "big") + b"enough"
# Masked, fragmented, with reserved bits and a ping between: a proxy that reads frames would change or refuse some.
FRAMES = b"\x41\x85abcd\x09\x07\x0f\x08\x0e\x89\x80abcd\x80\x81abcd\x00\x82\xfe\xff\xffabcd" + bytes(65_535)


@pytest.mark.parametrize(("path", "compresses"), [(b"realtime", True), (b"responses", False)])
def test_a_websocket_passes(balancer: Balancer, upstream: ScriptedUpstream, path: bytes, compresses: bool) -> None:
    """Bytes are the same on both sides in both directions, and the close frame keeps its code and its reason.

    Compression is for the two ends of a tunnel to agree on; a session's frames have to be read.
    """
    hearing = Hearing()
    upstream.will_answer(script(switching() + FRAMES, hearing_of(FRAMES, hearing), CLOSE, END))
    deflate = (b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits")
    with balancer.client() as client:
        client.send(handshake(b"/v1/" + path + b"?model=m", [deflate]))
        got = client.head()
        assert (got.status, got.values(b"sec-websocket-accept")) == (101, [ACCEPT])
        assert got.values(b"x-unpinned-request-id")
        assert client.exactly(len(FRAMES)) == FRAMES
        client.send(FRAMES)
        assert client.rest() == CLOSE
    assert bytes(hearing.data) == FRAMES
    [received] = upstream.received
    assert received.target.endswith(b"/" + path + b"?model=m")
    assert received.values(b"sec-websocket-key") == [KEY]
    assert received.values(b"sec-websocket-extensions") == ([deflate[1]] if compresses else [])


def hearing_of(frames: bytes, hearing: Hearing) -> Callable[[socket.socket], None]:
    """A step that reads so many bytes, and not to the end."""

    def read(connection: socket.socket) -> None:
        while len(hearing.data) < len(frames):
            hearing.data += connection.recv(65_536)

    return read


def test_a_websocket_that_is_refused(balancer: Balancer, upstream: ScriptedUpstream) -> None:
    """Upstream's refusal of the handshake comes back as it is: on its status clients take HTTP, or ask for a key."""
    upstream.will_answer(
        json_answer({"error": {"message": "no"}}, 401), json_answer({}, 426, [(b"Upgrade", b"TLS/1.3")])
    )
    for status in (401, 426):
        with balancer.client() as client:
            client.send(handshake(b"/v1/responses"))
            answer = client.answer()
        assert (answer.status, bool(answer.values(b"x-unpinned-request-id"))) == (status, True)


def test_a_silent_websocket_may_be_an_hour_old() -> None:
    """Both wait longer in silence than OpenAI lets a WebSocket live."""
    assert seconds((ROOT / "nginx.conf").read_text(), "proxy_read_timeout") > 3600
    assert seconds((ROOT / "deploy/haproxy.cfg").read_text(), "timeout tunnel") > 3600


def test_its_own_health(balancer: Balancer, upstream: ScriptedUpstream) -> None:
    """It says itself that it lives; upstream hears nothing of that."""
    with balancer.client() as client:
        client.send(request(b"GET", balancer.kind.livez))
        assert client.answer().status == 200
    assert not upstream.received


@pytest.mark.parametrize("behind", [NGINX], ids=str, indirect=True)
def test_a_body_that_is_too_large(balancer: Balancer) -> None:
    """A body beyond nginx's limit is refused before it is sent, in the API's shape."""
    with balancer.client() as client:
        client.send(request(b"POST", b"/v1/files", [(b"Content-Length", b"%d" % (2**30 + 1))]))
        answer = client.answer()
    assert answer.status == 413
    assert json.loads(answer.body)["error"]["code"] == "request_too_large"


def test_who_names_no_host_is_served(balancer: Balancer, upstream: ScriptedUpstream) -> None:
    """A client of HTTP/1.0 that sends no Host field is answered as any other."""
    upstream.will_answer(json_answer({"id": "resp_1"}))
    with balancer.client() as client:
        client.send(b"GET /v1/models HTTP/1.0\r\n\r\n")
        assert client.answer().status == 200


@pytest.mark.parametrize("id_", [b"resp_0a1b2c3d4e5f", b"resp_abcdefghij1", b"sk-abcdefghijkl"])
def test_its_log_tells_the_exchange_and_nothing_private(
    balancer: Balancer, upstream: ScriptedUpstream, tmp_path: Path, id_: bytes
) -> None:
    """A line of the log has the path's words and the id of Unpinned's log lines; no key, no query, no id of an item."""
    upstream.will_answer(json_answer({"id": "resp_1"}))
    with balancer.client() as client:
        key = (b"Authorization", b"Bearer secret")
        client.send(request(b"GET", b"/v1/responses/" + id_ + b"?secret=1", [key]))
        [exchange] = client.answer().values(b"x-unpinned-request-id")
    log = tmp_path / ("access.log" if balancer.kind is NGINX else "output")
    wait_until(lambda: exchange.decode() in log.read_text(), "nothing was logged")
    [line] = [line for line in log.read_text().splitlines() if exchange.decode() in line]
    assert "/v1/responses" in line
    assert "secret" not in line
    assert id_.decode() not in line
    if balancer.kind is NGINX:
        assert (json.loads(line)["exchange"], json.loads(line)["status"]) == (exchange.decode(), 200)


def seconds(text: str, name: str) -> float:
    """The duration that follows `name` in a configuration."""
    [found] = re.findall(rf"^\s*{name}\s+(\d+)s", text, re.MULTILINE)
    return float(found)


@pytest.mark.parametrize(
    ("file", "silence", "upload"),
    [
        ("nginx.conf", "proxy_read_timeout", "proxy_send_timeout"),
        ("deploy/haproxy.cfg", "timeout server", "timeout client"),
    ],
)
def test_deadlines_are_unpinneds(file: str, silence: str, upload: str) -> None:
    """A load balancer waits longer than Unpinned, whose deadlines answer with a sentence."""
    text = (ROOT / file).read_text()
    defaults = {row.name: row.default for row in TABLE}
    assert seconds(text, silence) > max(float(defaults[name]) for name in ("first_byte_timeout", "idle_timeout"))
    assert seconds(text, upload) > float(defaults["upload_idle_timeout"])


def test_nginx_closes_kept_connections_first() -> None:
    """Who may send a question on a kept connection is the one that closes it, or a question meets a closed door."""
    pool = (ROOT / "nginx.conf").read_text().partition("upstream unpinned {")[2].partition("}")[0]
    kept = {row.name: row.default for row in TABLE}["client_keepalive"]
    assert seconds(pool, "keepalive_timeout") < float(kept)


def ask(balancer: Balancer) -> RawAnswer:
    """A question on a connection of its own, and its answer."""
    with balancer.client() as client:
        client.send(QUESTION)
        return client.answer()


def ending(client: RawClient) -> bytes:
    """What comes until a stream ends, or breaks."""
    try:
        return client.until(b"0\r\n\r\n")
    except ConnectionError:
        return b""
