"""A second request hidden in the first, and other requests that two servers may read differently.

Each is refused with 400, or goes on exactly as it is; upstream never reads a request, or a byte, that nobody sent.
"""

import json
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.hostile.conftest import Front
from tests.support.process import running
from tests.support.raw_client import RawClient, exchange
from tests.support.scripts import END, PATIENCE, answer
from tests.support.upstream_server import ScriptedUpstream

HOST = b"Host: proxy.test\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: proxy.test\r\n\r\n"
CHUNKED = b"3\r\nabc\r\n0\r\n\r\n"
TE = b"Transfer-Encoding: chunked\r\n"


def post(fields: bytes, body: bytes, version: bytes = b"1.1") -> bytes:
    """A POST with these raw fields, and these bytes after its head."""
    return b"POST /v1/x HTTP/%s\r\n%s%s\r\n%s" % (version, HOST, fields, body)


def get(target: bytes, fields: bytes = b"", *, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    """A request without a body for a raw target, with these raw fields."""
    return b"%s %s %s\r\n%s%s\r\n" % (method, target, version, HOST, fields)


def hosted(hosts: bytes) -> bytes:
    """A request with these raw lines in place of Host."""
    return b"GET /v1/x HTTP/1.1\r\n" + hosts + b"\r\n"


def coded(value: bytes, version: bytes = b"1.1") -> bytes:
    """A chunked body under a Transfer-Encoding of this raw value, and a hidden request behind it."""
    return post(b"Transfer-Encoding:" + value + b"\r\n", CHUNKED + HIDDEN, version)


def chunks(body: bytes) -> bytes:
    """A POST whose chunked body is these raw bytes, with a hidden request behind them."""
    return post(TE, body + HIDDEN)


REFUSED = {
    "both framings": post(b"Content-Length: 5\r\n" + TE, b"0\r\n\r\n" + HIDDEN),
    "both framings, the other way round": post(TE + b"Content-Length: 5\r\n", b"0\r\n\r\n" + HIDDEN),
    "two lengths": post(b"Content-Length: 3\r\nContent-Length: 44\r\n", b"abc" + HIDDEN),
    "a length twice": post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc"),
    "a list of lengths": post(b"Content-Length: 3, 3\r\n", b"abc"),
    "length with a plus": post(b"Content-Length: +3\r\n", b"abc"),
    "negative length": post(b"Content-Length: -3\r\n", b"abc"),
    "hexadecimal length": post(b"Content-Length: 0x3\r\n", b"abc"),
    "length with a space": post(b"Content-Length: 3 3\r\n", b"abc"),
    "length with an underscore": post(b"Content-Length: 3_0\r\n", b"abc"),
    "length with a semicolon": post(b"Content-Length: 3;\r\n", b"abc"),
    "length in other digits": post("Content-Length: \uff13\r\n".encode(), b"abc"),
    "empty length": post(b"Content-Length: \r\n", b"abc"),
    "length beyond 2^64": post(b"Content-Length: 18446744073709551619\r\n", b"abc"),
    "other coding": coded(b" xchunked"),
    "coding identity": coded(b" identity"),
    "chunked is not last": coded(b" chunked, identity"),
    "a coding that is not undone": coded(b" gzip, chunked"),
    "chunked twice": coded(b" chunked, chunked"),
    "chunked in two fields": coded(b" chunked\r\nTransfer-Encoding: chunked"),
    "chunked, then identity in another field": coded(b" chunked\r\nTransfer-Encoding: identity"),
    "identity, then chunked in another field": coded(b" identity\r\nTransfer-Encoding: chunked"),
    "coding behind a vertical tab": coded(b" \x0bchunked"),
    "quoted coding": coded(b' "chunked"'),
    "coding with a parameter": coded(b" chunked;q=1"),
    "empty coding beside a length": post(b"Transfer-Encoding: \r\nContent-Length: 3\r\n", b"abc" + HIDDEN),
    "coding on a folded line": coded(b"\r\n chunked"),
    "coding before a space": post(b"Transfer-Encoding : chunked\r\n", CHUNKED + HIDDEN),
    "coding behind a space": post(b" Transfer-Encoding: chunked\r\n", CHUNKED + HIDDEN),
    "coding behind a bare LF": post(b"X: a\nTransfer-Encoding: chunked\r\n", CHUNKED + HIDDEN),
    "coding behind a bare CR": post(b"X: a\rTransfer-Encoding: chunked\r\n", CHUNKED + HIDDEN),
    "coding with a NUL": post(b"Transfer-Encoding\x00: chunked\r\nContent-Length: 3\r\n", b"abc"),
    "chunked in HTTP/1.0": coded(b" chunked", b"1.0"),
    "LF in an extension": chunks(b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
    "LF behind a chunk's size": chunks(b"3\nabc\r\n0\r\n\r\n"),
    "CR behind a chunk's size": chunks(b"3\rabc\r\n0\r\n\r\n"),
    "LF behind a chunk": chunks(b"3\r\nabc\n0\r\n\r\n"),
    "no end of a chunk": chunks(b"3\r\nabc0\r\n\r\n"),
    "other bytes at a chunk's end": chunks(b"3\r\nabcXX0\r\n\r\n"),
    "LF behind the last chunk": chunks(b"3\r\nabc\r\n0\n\n"),
    "chunk's size with 0x": chunks(b"0x3\r\nabc\r\n0\r\n\r\n"),
    "chunk's size with a plus": chunks(b"+3\r\nabc\r\n0\r\n\r\n"),
    "negative chunk's size": chunks(b"-3\r\nabc\r\n0\r\n\r\n"),
    "space before a chunk's size": chunks(b" 3\r\nabc\r\n0\r\n\r\n"),
    "space behind a chunk's size": chunks(b"3 \r\nabc\r\n0\r\n\r\n"),
    "chunk's size with an underscore": chunks(b"3_\r\nabc\r\n0\r\n\r\n"),
    "chunk's size beyond 2^64": chunks(b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
    "no chunk's size": chunks(b"\r\nabc\r\n0\r\n\r\n"),
    "trailer with a length": chunks(b"3\r\nabc\r\n0\r\nContent-Length: 50\r\n\r\n"),
    "trailer with a coding": chunks(b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"),
    "bare CR in a value": get(b"/v1/x", b"X: a\rb\r\n"),
    "bare LF in a value": get(b"/v1/x", b"X: a\nY: b\r\n"),
    "bare LF everywhere": b"GET /v1/x HTTP/1.1\nHost: proxy.test\n\n",
    "bare LF at the end": b"GET /v1/x HTTP/1.1\r\n" + HOST + b"\n",
    "bare CR behind the line": b"GET /v1/x HTTP/1.1\r" + HOST + b"\r\n",
    "folded line": get(b"/v1/x", b"X: a\r\n b\r\n"),
    "folded first line": b"GET /v1/x HTTP/1.1\r\n " + HOST + HOST + b"\r\n",
    "NUL in a value": get(b"/v1/x", b"X: a\0b\r\n"),
    "escape in a value": get(b"/v1/x", b"X: a\x1b[31mb\r\n"),
    "space before the colon": get(b"/v1/x", b"X : a\r\n"),
    "tab before the colon": get(b"/v1/x", b"X\t: a\r\n"),
    "no name": get(b"/v1/x", b": a\r\n"),
    "no colon": get(b"/v1/x", b"X a\r\n"),
    "bracket in a name": get(b"/v1/x", b"X(: a\r\n"),
    "no Host": hosted(b""),
    "two Hosts": hosted(HOST + b"Host: evil.test\r\n"),
    "the same Host twice": hosted(HOST + HOST),
    "Host with a space": hosted(b"Host: a evil.test\r\n"),
    "Host with a user": hosted(b"Host: a@evil.test\r\n"),
    "Host with a path": hosted(b"Host: evil.test/x\r\n"),
    "list of Hosts": hosted(b"Host: proxy.test, evil.test:80:81\r\n"),
    "authority": get(b"evil.test:443"),
    "host alone": get(b"evil.test"),
    "user and host": get(b"@evil.test/x"),
    "backslashes": get(b"\\\\evil.test/x"),
    "URL of another scheme": get(b"ftp://evil.test/x"),
    "URL without a path": get(b"http://evil.test"),
    "query alone": get(b"?x"),
    "fragment": get(b"/v1/x#y"),
    "asterisk": get(b"*"),
    "space in the target": get(b"/v1/a b"),
    "tab in the target": get(b"/v1/a\tb"),
    "NUL in the target": get(b"/v1/\0"),
    "escape in the target": get(b"/v1/\x1b[31m"),
    "no ASCII in the target": get(b"/v1/\xc3\xa9"),
    "TRACE": get(b"/v1/x", method=b"TRACE"),
    "CONNECT": get(b"evil.test:443", method=b"CONNECT") + HIDDEN,
    "CONNECT with a path": get(b"/v1/x", method=b"CONNECT") + HIDDEN,
    "unknown method": get(b"/v1/x", method=b"BREW"),
    "method in lower case": get(b"/v1/x", method=b"get"),
    "HTTP/2.0": get(b"/v1/x", version=b"HTTP/2.0"),
    "HTTP/1.2": get(b"/v1/x", version=b"HTTP/1.2"),
    "HTTP/1.10": get(b"/v1/x", version=b"HTTP/1.10"),
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}

GET_X, POST_X = b"GET /v1/x", b"POST /v1/x"
LENGTH = b"content-length: 3\r\n\r\nabc"
IN_CHUNKS = b"transfer-encoding: chunked\r\n\r\n" + CHUNKED
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"

# (what is sent, the request line upstream without its version, and what upstream reads behind its Host)
RELAYED = {
    "length with zeros": (post(b"Content-Length: 003\r\n", b"abc"), POST_X, b"content-length: 003\r\n\r\nabc"),
    "length between spaces": (post(b"Content-Length:  3 \r\n", b"abc"), POST_X, b"content-length: 3 \r\n\r\nabc"),
    "coding in capitals": (post(b"TRANSFER-ENCODING: CHUNKED\r\n", CHUNKED), POST_X, IN_CHUNKS),
    "coding behind a tab": (post(b"Transfer-Encoding:\tchunked \r\n", CHUNKED), POST_X, IN_CHUNKS),
    "a name that CGI would confuse": (
        post(b"Transfer_Encoding: chunked\r\nContent-Length: 3\r\n", b"abc"),
        POST_X,
        b"transfer_encoding: chunked\r\n" + LENGTH,
    ),
    "extensions of chunks": (post(TE, b"3;a=b\r\nabc\r\n0;c\r\n\r\n"), POST_X, IN_CHUNKS),
    "size with zeros": (post(TE, b"0003\r\nabc\r\n000\r\n\r\n"), POST_X, IN_CHUNKS),
    "trailers": (
        post(TE, b"3\r\nabc\r\n0\r\nAuthorization: evil\r\nHost: evil.test\r\nExpect: 100-continue\r\n\r\n"),
        POST_X,
        IN_CHUNKS,
    ),
    "Connection names what guards": (
        get(b"/v1/x", b"Authorization: a\r\nCookie: b\r\nConnection: authorization, cookie, host\r\n"),
        GET_X,
        b"authorization: a\r\ncookie: b\r\n\r\n",
    ),
    "Connection names the framing": (
        post(b"Content-Length: 3\r\nConnection: content-length\r\n", b"abc"),
        POST_X,
        LENGTH,
    ),
    "body of a GET": (get(b"/v1/x", b"Content-Length: 3\r\n") + b"abc", GET_X, LENGTH),
    "body of a HEAD": (get(b"/v1/x", b"Content-Length: 3\r\n", method=b"HEAD") + b"abc", b"HEAD /v1/x", LENGTH),
    "no ASCII in a value": (get(b"/v1/x", b"X: \xe4\xff\r\n"), GET_X, b"x: \xe4\xff\r\n\r\n"),
    "URL": (get(b"http://evil.test:99/v1/x?y=http://evil.test"), b"GET /v1/x?y=http://evil.test", b"\r\n"),
    "URL with a user": (get(b"https://user:pass@evil.test/v1/x"), GET_X, b"\r\n"),
    "another Host": (hosted(b"Host: evil.test\r\n"), GET_X, b"\r\n"),
    "IPv6 Host": (hosted(b"Host: [::1]:80\r\n"), GET_X, b"\r\n"),
    "empty Host": (hosted(b"Host:\r\n"), GET_X, b"\r\n"),
    "Host of HTTP/1.0": (b"GET /v1/x HTTP/1.0\r\n\r\n", GET_X, b"\r\n"),
    "dot segments": (get(b"/v1/./x/../../y"), b"GET /v1/./x/../../y", b"\r\n"),
    "encoded dots": (get(b"/v1/%2e%2E/x"), b"GET /v1/%2e%2E/x", b"\r\n"),
    "encoded slashes": (get(b"/v1%2fx%5c..%2F"), b"GET /v1%2fx%5c..%2F", b"\r\n"),
    "encoded line ends": (get(b"/v1/%0d%0aX:%20y%00"), b"GET /v1/%0d%0aX:%20y%00", b"\r\n"),
    "bad escapes": (get(b"/v1/%zz%"), b"GET /v1/%zz%", b"\r\n"),
    "two slashes": (get(b"//evil.test/v1/x"), b"GET //evil.test/v1/x", b"\r\n"),
    "a user's slash": (get(b"/@evil.test:80/x"), b"GET /@evil.test:80/x", b"\r\n"),
    "slash and backslash": (get(b"/\\evil.test"), b"GET /\\evil.test", b"\r\n"),
    "semicolons": (get(b"/v1/x;a=b?c;d"), b"GET /v1/x;a=b?c;d", b"\r\n"),
    "question mark alone": (get(b"/v1/x?"), b"GET /v1/x?", b"\r\n"),
    "question marks": (get(b"/v1/x???"), b"GET /v1/x???", b"\r\n"),
    "asterisk of OPTIONS": (get(b"*", method=b"OPTIONS"), b"OPTIONS *", b"\r\n"),
    "empty lines in front": (b"\r\n\r\n" + get(b"/v1/x"), GET_X, b"\r\n"),
    "behind the last request": (get(b"/v1/x", b"Connection: close\r\n") + HIDDEN, GET_X, b"\r\n"),
    "garbage behind the last request": (get(b"/v1/x", b"Connection: close\r\n") + HIDDEN + b"\0", GET_X, b"\r\n"),
    "HTTP/2 offered": (get(b"/v1/x", OFFER) + HIDDEN, GET_X, b"\r\n"),
    "HTTP/2 offered with a body": (post(OFFER + b"Content-Length: 3\r\n", b"abc" + HIDDEN), POST_X, LENGTH),
    "HTTP/2 offered with chunks": (post(OFFER + TE, CHUNKED + HIDDEN), POST_X, IN_CHUNKS),
    "HTTP/2 offered, and begun": (get(b"/v1/x", OFFER) + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4", GET_X, b"\r\n"),
    "another protocol offered": (get(b"/v1/x", b"Connection: upgrade\r\nUpgrade: TLS/1.0\r\n"), GET_X, b"\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("dripping", [False, True], ids=["at once", "dripping"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ambiguous_is_refused(front: Front, name: str, *, dripping: bool) -> None:
    """It is answered 400 and the connection closed; upstream gets no whole request for it, and none that was hidden."""
    got, rest = front.talk(REFUSED[name], dripping=dripping)
    assert (got.status, json.loads(got.body)["error"]["code"], rest) == (400, "invalid_request", b"")
    assert not [seen for seen in front.received() if seen.whole or seen.target != b"/v1/x"]
    assert dripping or not front.count()


@pytest.mark.parametrize("dripping", [False, True], ids=["at once", "dripping"])
@pytest.mark.parametrize("name", RELAYED)
def test_what_is_odd_goes_on_exactly(front: Front, name: str, *, dripping: bool) -> None:
    """Upstream reads one request with these very bytes and its own Host, and nothing besides."""
    raw, line, rest = RELAYED[name]
    got, behind = front.talk(raw, dripping=dripping)
    assert (got.status, behind) == (200, b"")
    [seen] = front.received()
    fields, _, body = (b"\r\n" + rest).partition(b"\r\n\r\n")
    assert seen.head == b"%s HTTP/1.1\r\nhost: 127.0.0.1:%d%s\r\n\r\n" % (line, front.upstream.port, fields)
    assert (seen.body, seen.whole) == (b"abc" if body else b"", True)
    assert front.count() == len(seen.raw_head + seen.wire)
    assert dripping or seen.wire == body


@pytest.mark.parametrize("behind", [b"", HIDDEN, b"\x81\x85\x00\x00\x00\x00hello"])
def test_a_websocket_is_refused(front: Front, behind: bytes) -> None:
    """An unsound one is refused and the connection closed; what comes behind the handshake is no request."""
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    with RawClient(front.port) as client:
        client.send(get(b"/v1/responses", upgrade) + behind)
        got = client.answer()
        assert (got.status, json.loads(got.body)["error"]["code"]) == (400, "invalid_handshake")
        assert client.rest() == b""
    assert front.received() == []


@pytest.mark.parametrize("offer", [b"", OFFER], ids=["plain", "HTTP/2 offered"])
def test_a_body_that_waits_to_be_asked_for(front: Front, offer: bytes) -> None:
    """A client that expects to be asked for its body is, whatever else it offers, and upstream gets all of it."""
    with RawClient(front.port) as client:
        client.send(post(offer + TE + b"Expect: 100-continue\r\n", b""))
        assert client.head().status == 100
        client.send(CHUNKED)
        assert client.answer().status == 200
    [seen] = front.received()
    assert (seen.body, seen.whole) == (b"abc", True)


def test_nobody_leaves_the_base_path() -> None:
    """Where upstream is a part of its host only, no target leads to another part."""
    with ScriptedUpstream() as upstream, running("--upstream", f"{upstream.url}/tenant/v1") as process:
        for target in (b"/v1/../x", b"/v1/%2e%2e/x", b"/v1/..%2fx", b"/v1/a\\..\\..\\x", b"/v1/x/.%2E"):
            refused = exchange(process.port, get(target))
            assert (refused.status, json.loads(refused.body)["error"]["code"]) == (400, "invalid_path")
        upstream.will_answer(answer(200))
        assert exchange(process.port, get(b"//evil.test/v1")).status == 200
    assert [seen.target for seen in upstream.received] == [b"/tenant/v1//evil.test/v1"]


def test_pipelined_requests_are_answered_in_order(front: Front) -> None:
    """Requests that come at once are answered one after the other, up to a number that a client may really send."""
    with RawClient(front.port) as client:
        client.send(b"".join(get(b"/%d" % number) for number in range(10)))
        assert [client.answer().status for _ in range(10)] == [200] * 10
        client.send(get(b"/x") * 1000)
        assert client.rest().count(b"HTTP/1.1 ") < 100
    assert [seen.target for seen in front.received()][:10] == [b"/%d" % number for number in range(10)]


def test_heads_are_limited(front: Front) -> None:
    """A head larger than 64 KiB, in fields, in their number or in its target, is answered 431, however it comes."""
    field = b"X: " + b"a" * 65_000 + b"\r\n"
    assert front.talk(get(b"/v1/x", field))[0].status == 200
    for target, fields in (
        (b"/v1/x", field * 2),
        (b"/v1/x", b"X: " + b"a" * 1_000_000 + b"\r\n"),
        (b"/v1/x", b"X: a\r\n" * 12_000),
        (b"/v1/" + b"a" * 66_000, b""),
    ):
        got, rest = front.talk(get(target, fields))
        assert (got.status, json.loads(got.body)["error"]["code"], rest) == (431, "head_too_large", b"")
    assert len(front.received()) == 1


def test_a_refusal_can_be_read_by_who_still_sends(front: Front) -> None:
    """What is still on its way when a request is refused is thrown away, so that no reset overtakes the answer."""
    with RawClient(front.port) as client:
        client.send(get(b"/v1/x", b"X: " + b"a" * 100_000)[:-2])
        head = client.until(b"}}")
        for _ in range(3):
            client.send(b"a" * 1000)
        assert head.startswith(b"HTTP/1.1 431 ")
        assert client.rest() == b""


def test_what_is_no_body_is_limited(front: Front) -> None:
    """Neither trailers nor extensions of chunks go on for ever."""
    for endless in (b"0\r\nX: " + b"a" * 500_000, b"0\r\n" + b"X: a\r\n" * 80_000, b"3;" + b"a" * 500_000):
        got, _ = front.talk(post(TE, endless))
        assert got.status == 431
    assert not [seen for seen in front.received() if seen.whole]


OLD = b"GET /v1/x HTTP/1.0\r\n\r\n"
UNKNOWN_LENGTH = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"


def test_http_1_0_gets_no_chunks(front: Front) -> None:
    """A body of unknown length ends with the connection for who knows no chunks; one of known length says it."""
    front.upstream.will_answer([UNKNOWN_LENGTH, b"1\r\nc\r\n0\r\n\r\n"], answer(200, b"ok"))
    got, _ = front.talk(OLD)
    assert (got.status, got.body, got.values(b"transfer-encoding")) == (200, b"abc", [])
    got, _ = front.talk(OLD)
    assert (got.body, got.values(b"content-length")) == (b"ok", [b"2"])


def test_http_1_0_sees_that_a_body_was_cut(front: Front) -> None:
    """Where only the connection's end says that a body is whole, one that was cut ends in a reset."""
    front.upstream.will_answer([UNKNOWN_LENGTH, END])
    with socket.create_connection(("127.0.0.1", front.port), PATIENCE) as client:
        client.sendall(OLD)
        with pytest.raises(ConnectionResetError), client.makefile("rb") as received:
            received.read()


HALF_OPEN = {
    "garbage": b"\0\r\n\r\n",
    "too large a head": get(b"/v1/x", b"X: " + b"a" * 100_000),
    "a WebSocket": get(b"/v1/x", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    "HTTP/2 offered": get(b"/v1/x", OFFER),
    "HTTP/1.0": b"GET /v1/x HTTP/1.0\r\n\r\n",
}


def connections_at(port: int) -> int:
    """How many connections to this port the server still holds, whatever is left of them; orphans have no inode."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] != "0A" and row[9] != "0" for row in rows)


def test_no_socket_stays_half_open(front: Front) -> None:
    """A connection that ends with its answer is let go of, also where the client never closes its side."""
    with ExitStack() as stack:
        for raw in HALF_OPEN.values():
            client = stack.enter_context(RawClient(front.port))
            client.send(raw)
            client.answer()
            assert client.rest() == b""
        deadline = time.monotonic() + PATIENCE / 2
        while connections_at(front.port):
            assert time.monotonic() < deadline, "a connection was never closed"
            time.sleep(0.05)
