"""The judgement of WebSocket handshakes, as a table; what a connection makes of it is tested over sockets."""

import pytest

from proxy.http import websocket
from proxy.http.headers import Fields

KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
VERSION = (b"sec-websocket-version", b"13")


@pytest.mark.parametrize(
    "more",
    [
        [],
        [(b"content-length", b"0")],
        [(b"sec-websocket-protocol", b"a"), (b"sec-websocket-protocol", b"b")],
        [(b"sec-websocket-extensions", b"a"), (b"sec-websocket-extensions", b"b")],
    ],
)
def test_what_is_a_handshake(more: Fields) -> None:
    """One key, version 13, no body; subprotocols and extensions may stand in several fields."""
    assert websocket.fault_in("1.1", [KEY, VERSION, *more]) is None


@pytest.mark.parametrize(
    ("version", "fields", "word"),
    [
        ("1.0", [KEY, VERSION], "HTTP/1.1"),
        ("1.1", [KEY, VERSION, (b"content-length", b"1")], "no body"),
        ("1.1", [KEY, VERSION, (b"content-length", b"0"), (b"content-length", b"0")], "no body"),
        ("1.1", [KEY, VERSION, (b"transfer-encoding", b"chunked")], "no body"),
        ("1.1", [VERSION], "one Sec-WebSocket-Key"),
        ("1.1", [VERSION, (b"sec-websocket-key", b"c2hvcnQ=")], "one Sec-WebSocket-Key"),
        ("1.1", [VERSION, KEY, KEY], "one Sec-WebSocket-Key"),
        ("1.1", [VERSION, KEY, VERSION], "one Sec-WebSocket-Version"),
    ],
)
def test_what_is_refused(version: str, fields: Fields, word: str) -> None:
    """Each with 400, and the part that is to blame; never with what it says."""
    fault = websocket.fault_in(version, fields)
    assert fault is not None
    assert (fault.status, fault.code, fault.kind) == (400, "invalid_handshake", "invalid_request_error")
    assert word in fault.message


@pytest.mark.parametrize("fields", [[KEY], [KEY, (b"sec-websocket-version", b"8")]])
def test_another_version_is_told_the_right_one(fields: Fields) -> None:
    """426 says which version is spoken, and which protocol the client may go on with."""
    fault = websocket.fault_in("1.1", fields)
    assert fault is not None
    assert fault.status == 426
    assert {VERSION, (b"upgrade", b"websocket"), (b"connection", b"upgrade, close")} <= set(fault.fields)
