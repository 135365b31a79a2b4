"""The judgement of heads, as a table; what a whole connection makes of it is tested over sockets."""

import pytest

from proxy.http import request_head
from proxy.http.metadata import Metadata

HOST = (b"host", b"a.test")


@pytest.mark.parametrize(
    ("method", "target", "version", "fields"),
    [
        (b"GET", b"/", "1.1", [HOST]),
        (b"POST", b"/v1/x?y", "1.1", [HOST, (b"transfer-encoding", b" Chunked\t")]),
        (b"GET", b"HTTPS://a.test/x", "1.1", [(b"host", b"[::1]:80")]),
        (b"OPTIONS", b"*", "1.1", [(b"host", b"")]),
        (b"GET", b"/", "1.0", []),
    ],
)
def test_what_is_let_in(method: bytes, target: bytes, version: str, fields: list[tuple[bytes, bytes]]) -> None:
    """A path or a URL, one Host, chunks and nothing else."""
    assert request_head.fault_in(method, target, version, fields, Metadata(fields)) is None


@pytest.mark.parametrize(
    ("method", "target", "version", "fields", "word"),
    [
        (b"GET", b"/", "2.0", [HOST], "version"),
        (b"TRACE", b"/", "1.1", [HOST], "method"),
        (b"CONNECT", b"/", "1.1", [HOST], "method"),
        (b"GET", b"*", "1.1", [HOST], "target"),
        (b"GET", b"/x#y", "1.1", [HOST], "target"),
        (b"GET", b"http://a.test", "1.1", [HOST], "target"),
        (b"GET", b"/", "1.1", [], "one Host"),
        (b"GET", b"/", "1.0", [HOST, HOST], "one Host"),
        (b"GET", b"/", "1.1", [(b"host", b"a b")], "not a host"),
        (b"POST", b"/", "1.1", [HOST, (b"transfer-encoding", b"gzip, chunked")], "Transfer-Encoding"),
        (b"POST", b"/", "1.1", [HOST, *[(b"transfer-encoding", b"chunked")] * 2], "Transfer-Encoding"),
        (b"POST", b"/", "1.0", [HOST, (b"transfer-encoding", b"chunked")], "Transfer-Encoding"),
        (b"POST", b"/", "1.1", [HOST, (b"content-length", b"0" * 5000 + b"2")], "Content-Length"),
    ],
)
def test_what_is_refused(
    method: bytes, target: bytes, version: str, fields: list[tuple[bytes, bytes]], word: str
) -> None:
    """Each with 400, and the part of the head that is to blame; never with what it says."""
    fault = request_head.fault_in(method, target, version, fields, Metadata(fields))
    assert fault is not None
    assert (fault.status, fault.code, fault.kind) == (400, "invalid_request", "invalid_request_error")
    assert word in fault.message


def test_the_size_of_a_head() -> None:
    """What a head weighs is what came: names, values, and what stands between them."""
    assert request_head.size(b"/x", [(b"a", b"b"), (b"c", b"")]) == 2 + 6 + 5
    fault = request_head.too_large()
    assert (fault.status, fault.code) == (431, "head_too_large")
    assert str(request_head.MOST) in fault.message
