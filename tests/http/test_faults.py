"""Faults of the gateway itself."""

import json

import pytest

from proxy.http.faults import HOP, Fault, hop_fault


@pytest.mark.parametrize("code", sorted(HOP))
def test_every_fault_of_the_hop_is_an_error_as_openai_writes_it(code: str) -> None:
    """Each has a status that says error, a code of its own, a sentence, and a length that is true."""
    fault = hop_fault(code)
    start, body = fault.messages()
    assert start["status"] == fault.status >= 400
    assert (b"content-length", b"%d" % len(fault.body())) in fault.messages()[0]["headers"]
    error = {"message": fault.message, "type": fault.kind, "param": None, "code": code}
    assert json.loads(fault.body()) == {"error": error}
    assert body == {"type": "http.response.body", "body": fault.body()}


@pytest.mark.parametrize("code", sorted(HOP))
def test_a_retry_is_invited_only_where_nothing_was_sent(code: str) -> None:
    """`x-should-retry: true`, which the SDKs obey, comes with no fault after which upstream may know the request."""
    fault = hop_fault(code)
    assert ((b"x-should-retry", b"true") in fault.fields) is fault.message.endswith("nothing was sent.")


def test_a_fault_has_fields_of_its_own() -> None:
    """Whoever raises a fault may add fields to the answer."""
    fault = Fault(503, "draining", "Going.", kind="server_error", fields=[(b"retry-after", b"1")])
    assert (str(fault), fault.fields, fault.is_upstreams) == ("Going.", [(b"retry-after", b"1")], False)
