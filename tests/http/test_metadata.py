"""What fields say of their message, by table."""

import pytest

from proxy.http.content_coding import is_known
from proxy.http.headers import Fields
from proxy.http.metadata import Metadata


@pytest.mark.parametrize(
    ("fields", "length"),
    [([], None), ([(b"content-length", b"12")], 12), ([(b"content-length", b"-1")], None)],
)
def test_a_length_is_a_number_or_none(fields: Fields, length: int | None) -> None:
    """Content-Length says how long a body is, or nothing."""
    assert Metadata(fields).length == length


@pytest.mark.parametrize(
    ("fields", "upgrades"),
    [
        ([(b"connection", b"keep-alive, Upgrade"), (b"upgrade", b"WebSocket")], True),
        ([(b"connection", b"upgrade"), (b"upgrade", b"h2c")], False),
        ([(b"upgrade", b"websocket")], False),
    ],
)
def test_an_upgrade_is_asked_for_by_two_fields(fields: Fields, upgrades: bool) -> None:
    """Upgrade counts only where Connection names it."""
    assert Metadata(fields).upgrades_to(b"websocket") is upgrades


@pytest.mark.parametrize(
    ("fields", "size", "lost"),
    [
        ([], 0, False),
        ([(b"content-length", b"5")], 5, False),
        ([(b"content-length", b"5")], 4, True),
        ([(b"transfer-encoding", b"chunked")], 0, False),
        ([(b"transfer-encoding", b"chunked"), (b"connection", b"Upgrade")], 0, True),
        ([(b"transfer-encoding", b"chunked"), (b"connection", b"Upgrade")], 3, False),
    ],
)
def test_bodies_that_are_lost(fields: Fields, size: int, lost: bool) -> None:
    """A body that was announced and did not come is noticed, also where an Upgrade hides it from the parser."""
    assert Metadata(fields).is_body_lost(size) is lost


@pytest.mark.parametrize(
    ("values", "coding", "known"),
    [
        ([], "", True),
        ([b"identity"], "", True),
        ([b" GZip "], "gzip", True),
        ([b"br"], "br", True),
        ([b"gzip, br"], "gzip, br", False),
        ([b"gzip", b"br"], "gzip,br", False),
        ([b"compress"], "compress", False),
        ([b"\xff"], "\xff", False),
    ],
)
def test_the_coding_that_fields_name(values: list[bytes], coding: str, known: bool) -> None:
    """One known coding is understood; several, or unknown ones, are nobody's here."""
    fields = [(b"host", b"x"), *((b"content-encoding", value) for value in values)]
    assert Metadata(fields).coding == coding
    assert is_known(coding) is known


def test_a_message_without_fields_says_nothing() -> None:
    """No length, no coding, no media type, nothing asked of the hop."""
    metadata = Metadata([])
    assert (metadata.length, metadata.announces_length, metadata.is_chunked) == (None, False, False)
    assert (metadata.coding, metadata.media_type, metadata.expects) == ("", b"", False)
    assert [*metadata.options, *metadata.protocols, *metadata.via, *metadata.transfer_codings] == []


def test_fields_that_occur_several_times() -> None:
    """Of one that must not, the first counts; lists go on."""
    fields = [
        (b"content-length", b"x"),
        (b"content-length", b"2"),
        (b"content-type", b"Text/Event-Stream ; charset=utf-8"),
        (b"content-type", b"application/json"),
        (b"connection", b"Close,\t x "),
        (b"connection", b"Upgrade"),
        (b"via", b"1.1 A, 1.0 b"),
        (b"via", b"2 c"),
        (b"transfer-encoding", b" Gzip"),
        (b"transfer-encoding", b"chunked\t"),
    ]
    metadata = Metadata(fields)
    assert (metadata.length, metadata.announces_length) == (None, True)
    assert (metadata.media_type, metadata.is_event_stream, metadata.is_json) == (b"text/event-stream", True, False)
    assert metadata.options == [b"close", b"x", b"upgrade"]
    assert metadata.via == [b"1.1 a", b"1.0 b", b"2 c"]
    assert metadata.transfer_codings == [b"gzip", b"chunked"]


def test_names_as_http_1_writes_them() -> None:
    """An app that answers for upstream may write `Content-Type` where ASGI wants `content-type`."""
    metadata = Metadata([(b"Content-Type", b"application/json"), (b"Content-Encoding", b"br"), (b"Expect", b"x")])
    assert (metadata.is_json, metadata.coding, metadata.expects) == (True, "br", True)


@pytest.mark.parametrize("name", [b"connection", b"content-encoding", b"transfer-encoding", b"upgrade", b"via"])
def test_thousands_of_one_field(name: bytes) -> None:
    """A head may be full of one field: all of them count, each is read once, and no list of them is copied."""
    metadata = Metadata([(name, b"x")] * 9000)
    found = [metadata.options, metadata.codings, metadata.transfer_codings, metadata.protocols, metadata.via]
    assert [len(members) for members in found if members] == [9000]
