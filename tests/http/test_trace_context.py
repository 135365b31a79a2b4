"""Which trace a request belongs to, by its header fields."""

import pytest

from proxy.http.trace_context import Attempt, Parent, parent_in

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01".encode()


def fields(*values: bytes) -> list[tuple[bytes, bytes]]:
    """Header fields with these parents."""
    return [(b"host", b"x"), *((b"traceparent", value) for value in values), (b"tracestate", b"a=1")]


def test_a_parent() -> None:
    """The parent is the client's span, with whether it is sampled and the state of vendors, in one line."""
    parent = Parent(bytes.fromhex(TRACE), bytes.fromhex(SPAN), sampled=True, state=b"a=1,b=2")
    assert parent_in([*fields(VALID), (b"tracestate", b"b=2")]) == parent
    assert parent_in([(b"traceparent", VALID[:-1] + b"0")]) == parent._replace(sampled=False, state=b"")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        VALID.upper(),
        VALID + b"-more",
        b"ff" + VALID[2:],
        b"00-" + b"0" * 32 + VALID[35:],
        VALID[:36] + b"0" * 16 + b"-01",
        VALID.replace(b"-", b"_"),
        VALID + b"\xff",
    ],
)
def test_what_is_no_parent(value: bytes) -> None:
    """A value that is not what the recommendation allows begins a trace of its own."""
    assert parent_in(fields(value)) is None


def test_two_are_none() -> None:
    """Of two parents none counts, and without one there is none."""
    assert parent_in(fields(VALID, VALID)) is None
    assert parent_in(fields()) is None


def test_a_later_version() -> None:
    """A later version may say more behind what is known."""
    found = parent_in(fields(b"01" + VALID[2:] + b"-more"))
    assert found is not None
    assert found.sampled


def test_what_upstream_is_told() -> None:
    """An attempt is a span of the same trace."""
    assert Attempt(bytes.fromhex(SPAN), 0).field(bytes.fromhex(TRACE)) == (b"traceparent", VALID)
