"""Header fields, by table."""

import pytest

from proxy.http import headers
from proxy.http.headers import Fields
from proxy.http.metadata import Metadata


def end_to_end(fields: Fields) -> Fields:
    """The fields that travel on from a message with these."""
    return headers.end_to_end(fields, Metadata(fields))


@pytest.mark.parametrize("name", sorted(headers.HOP_BY_HOP))
def test_fields_of_one_connection_do_not_travel_on(name: bytes) -> None:
    """What concerns one connection is removed, whatever it says."""
    assert end_to_end([(b"a", b"1"), (name, b"x"), (b"b", b"2")]) == [(b"a", b"1"), (b"b", b"2")]


def test_order_and_repetition_are_kept() -> None:
    """Fields stay in their order, and a field that comes twice stays two."""
    fields = [(b"set-cookie", b"a=1"), (b"x", b""), (b"set-cookie", b"b=2"), (b"x", b"\xff \t")]
    assert end_to_end(fields) == fields


def test_connection_names_more_fields_to_remove() -> None:
    """Fields that any Connection field names, in any case and with any spaces, are removed."""
    named = [(b"connection", b"X-One,\t x-two "), (b"x-one", b"1"), (b"connection", b"close, X-THREE")]
    assert end_to_end([*named, (b"x-two", b"2"), (b"x-three", b"3"), (b"x-four", b"4")]) == [(b"x-four", b"4")]


@pytest.mark.parametrize("name", sorted(headers.END_TO_END))
def test_connection_cannot_take_away_what_is_for_the_recipient(name: bytes) -> None:
    """A client cannot make Authorization, Content-Length and the like disappear by naming them in Connection."""
    assert end_to_end([(b"connection", name), (name, b"v")]) == [(name, b"v")]


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        pytest.param([], [], id="no body"),
        pytest.param([(b"content-length", b"2"), (b"a", b"1")], [(b"content-length", b"2"), (b"a", b"1")], id="length"),
        pytest.param([(b"transfer-encoding", b"chunked")], [(b"transfer-encoding", b"chunked")], id="chunked"),
        pytest.param(
            [(b"content-length", b"2"), (b"transfer-encoding", b"chunked")],
            [(b"transfer-encoding", b"chunked")],
            id="both",
        ),
    ],
)
def test_a_request_has_one_framing_and_the_upstreams_host(fields: Fields, sent: Fields) -> None:
    """Whatever a client claims, Host is upstream's and the framing is one."""
    fields = [(b"host", b"evil"), *fields]
    assert headers.request_fields(fields, Metadata(fields), b"api.test", 0) == [(b"host", b"api.test"), *sent]


@pytest.mark.parametrize(
    ("size", "framing"),
    [(0, []), (5, [(b"content-length", b"5")]), (None, [(b"transfer-encoding", b"chunked")])],
)
def test_a_body_that_needed_no_framing_gets_one(size: int | None, framing: Fields) -> None:
    """HTTP/2 knows where a body ends without a field; HTTP/1.1 does not."""
    assert headers.request_fields([], Metadata([]), b"api.test", size) == [(b"host", b"api.test"), *framing]


@pytest.mark.parametrize(
    ("fields", "added"),
    [
        ([(b"content-type", b"text/event-stream")], [(b"x-accel-buffering", b"no")]),
        ([(b"content-type", b"Text/Event-Stream; charset=utf-8")], [(b"x-accel-buffering", b"no")]),
        ([(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"yes")], []),
        ([(b"content-type", b"application/json")], []),
        ([], []),
    ],
)
def test_event_streams_ask_not_to_be_held_back(fields: Fields, added: Fields) -> None:
    """An event stream says that a proxy in front must not buffer it, unless upstream has said something of the kind."""
    assert headers.response_fields(200, fields, Metadata(fields)) == fields + added


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_no_length(status: int) -> None:
    """An answer that never has a body promises none."""
    fields = [(b"etag", b"1"), (b"content-length", b"5")]
    assert headers.response_fields(status, fields, Metadata(fields)) == [(b"etag", b"1")]


def test_lookups_give_all_values_or_the_first() -> None:
    """A field may occur several times; `value` is its first occurrence."""
    fields = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]
    assert headers.values(fields, b"a") == [b"1", b"3"]
    assert headers.value(fields, b"a") == b"1"
    assert headers.value(fields, b"c") is None


UPGRADE = [
    (b"host", b"proxy.test"),
    (b"connection", b"keep-alive, Upgrade, Sec-WebSocket-Key, X-Gone"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-extensions", b"permessage-deflate"),
    (b"sec-websocket-key", b"1"),
    (b"x-gone", b"1"),
    (b"x-twice", b"1"),
    (b"x-twice", b"2"),
]


def test_a_handshake_as_it_goes_upstream() -> None:
    """End-to-end fields in order, and the hop's own; extensions only where compressed frames may pass."""
    ends = [(b"sec-websocket-key", b"1"), (b"x-twice", b"1"), (b"x-twice", b"2")]
    hop = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    metadata = Metadata(UPGRADE)
    sent = headers.upgrade_request_fields(UPGRADE, metadata, b"a.test", b"websocket", extensions=True)
    assert sent == [(b"host", b"a.test"), (b"sec-websocket-extensions", b"permessage-deflate"), *ends, *hop]
    sent = headers.upgrade_request_fields(UPGRADE, metadata, b"a.test", b"websocket", extensions=False)
    assert sent == [(b"host", b"a.test"), *ends, *hop]


def test_a_101_as_the_client_gets_it() -> None:
    """End-to-end fields in order; none of upstream's hop, none of ours, and no length, because there is no body."""
    fields = [
        (b"connection", b"Upgrade, X-Gone"),
        (b"upgrade", b"WebSocket"),
        (b"sec-websocket-accept", b"1"),
        (b"x-gone", b"1"),
        (b"content-length", b"3"),
        (b"x-unpinned-action", b"rewritten"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
    ]
    assert headers.switching_fields(fields, Metadata(fields), b"websocket") == [
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-accept", b"1"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
    ]


def test_a_426_keeps_its_upgrade_field() -> None:
    """RFC 9110, 15.5.22: without it the client does not know what would do."""
    fields = [(b"connection", b"upgrade, close"), (b"upgrade", b"HTTP/2.0"), (b"a", b"1")]
    relayed = headers.response_fields(426, fields, Metadata(fields))
    assert relayed == [(b"a", b"1"), (b"connection", b"upgrade"), (b"upgrade", b"HTTP/2.0")]
