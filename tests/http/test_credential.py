"""One digest for each caller."""

from hashlib import sha256

import pytest

from proxy.http.credential import FIELDS, credential, with_key

KEY = (b"authorization", b"Bearer dummy")


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_each_field_distinguishes_callers(name: bytes) -> None:
    """Two requests that differ in one field that can authenticate belong to two callers, behind one shared key too."""
    one, other = credential([(b"accept", b"*/*"), (name, b"one")]), credential([(name, b"two"), (b"accept", b"*/*")])
    assert one is not None
    assert other is not None
    assert one != other
    assert "one" not in one
    assert credential([KEY, (name, b"one")]) != credential([KEY, (name, b"two")])


@pytest.mark.parametrize("name", [b"openai-organization", b"openai-project"])
def test_a_project_tells_callers_apart_but_is_none(name: bytes) -> None:
    """Organization and project distinguish requests with one key; alone they authenticate nobody."""
    assert credential([KEY, (name, b"a")]) != credential([KEY, (name, b"b")])
    assert credential([(name, b"a")]) is None


@pytest.mark.parametrize("value", [b"", b"  ", b"Bearer", b"Bearer ", b"basic"])
def test_an_empty_field_is_no_credential(value: bytes) -> None:
    """A field without a secret in it makes no caller."""
    assert credential([(b"authorization", value)]) is None
    assert credential([(b"authorization", value), (b"api-key", b"k")]) == credential([(b"api-key", b"k")])


def test_the_order_of_fields_does_not_matter() -> None:
    """A load balancer that reorders fields does not make another caller of one."""
    fields = [KEY, (b"openai-project", b"p")]
    assert credential(fields) == credential(fields[::-1])


def test_the_digest_is_that_of_stores_on_disk() -> None:
    """The digest never changes: keys of stored conversations are made of it."""
    fields = [(b"openai-project", b"p"), (b"authorization", b"Bearer a")]
    assert credential(fields) == sha256(b"authorization\0Bearer a\0openai-project\0p").hexdigest()


def test_fields_of_ones_own() -> None:
    """A field that the operator names counts as well."""
    fields = [KEY, (b"x-tenant", b"a")]
    assert credential(fields) == credential([KEY])
    assert credential(fields, {b"x-tenant"}) not in (
        credential([KEY]),
        credential([KEY, (b"x-tenant", b"b")], {b"x-tenant"}),
    )


def test_no_caller() -> None:
    """A request without an identifying field belongs to no caller."""
    assert credential([(b"content-type", b"application/json")]) is None


@pytest.mark.parametrize(
    "offered", [b"realtime, openai-insecure-api-key.k", b"openai-insecure-api-key.k", b"a ,openai-insecure-api-key.k"]
)
def test_a_key_among_the_subprotocols(offered: bytes) -> None:
    """A browser puts its key into a subprotocol, where it makes the caller that the key makes elsewhere."""
    fields = [(b"sec-websocket-protocol", offered)]
    assert credential(with_key(fields)) == credential([(b"authorization", b"Bearer k")])
    assert with_key([KEY, *fields]) == [KEY, *fields]


def test_subprotocols_without_a_key() -> None:
    """Other subprotocols make no caller."""
    assert credential(with_key([(b"sec-websocket-protocol", b"realtime"), (b"x", b"y")])) is None
