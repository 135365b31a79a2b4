"""One digest for each caller."""

from hashlib import sha256

import pytest

from proxy.http.credential import FIELDS, credential


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_each_field_distinguishes_callers(name: bytes) -> None:
    """Two requests that differ in one identifying field belong to two callers."""
    one, other = credential([(b"accept", b"*/*"), (name, b"one")]), credential([(name, b"two"), (b"accept", b"*/*")])
    assert one is not None
    assert other is not None
    assert one != other
    assert "one" not in one


def test_the_order_of_fields_does_not_matter() -> None:
    """A load balancer that reorders fields does not make another caller of one."""
    fields = [(b"authorization", b"Bearer a"), (b"openai-project", b"p")]
    assert credential(fields) == credential(fields[::-1])


def test_the_digest_is_that_of_stores_on_disk() -> None:
    """The digest never changes: keys of stored conversations are made of it."""
    fields = [(b"openai-project", b"p"), (b"authorization", b"Bearer a")]
    assert credential(fields) == sha256(b"authorization\0Bearer a\0openai-project\0p").hexdigest()


def test_no_caller() -> None:
    """A request without an identifying field belongs to no caller."""
    assert credential([(b"content-type", b"application/json")]) is None
