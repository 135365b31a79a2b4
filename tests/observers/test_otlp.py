"""What is written as OpenTelemetry's protocol is read by OpenTelemetry's own classes as what was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("opentelemetry.proto", reason="pip install '.[test]'")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.observers import otlp
from tests.support.collector import received, values

VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), min_size=1, max_size=9).map(tuple),
)
ATTRIBUTES = st.dictionaries(st.text("abc.", min_size=1, max_size=9), VALUES, max_size=9)


@given(ATTRIBUTES, ATTRIBUTES, st.booleans(), st.sampled_from([b"", b"vendor=1"]), st.sampled_from([b"", b"p" * 8]))
def test_a_span_is_read_as_it_was_meant(
    own: dict[str, otlp.Value], process: dict[str, otlp.Value], failed: bool, state: bytes, parent: bytes
) -> None:
    """Whatever a span and its process say, in any type and length, is what a collector reads."""
    kind = otlp.sort("chat gpt-5", otlp.CLIENT, own.items(), failed=failed)
    ids = (b"t" * 16, b"s" * 8, parent, state)
    spans = [otlp.span(ids, 1_000_000_000, 3_500_000_000, kind)] * 2
    body = otlp.request(otlp.resource(process.items()), otlp.scope("unpinned", "1.0"), spans)
    [resource] = ExportTraceServiceRequest.FromString(body).resource_spans
    [scope] = resource.scope_spans
    assert (scope.scope.name, scope.scope.version, len(scope.spans)) == ("unpinned", "1.0", 2)
    assert values(resource.resource.attributes) == expected(process)
    span = received(scope.spans[1])
    assert (span.name, span.kind, span.seconds, span.failed) == ("chat gpt-5", 3, 2.5, failed)
    assert (span.trace_id, span.span_id) == ((b"t" * 16).hex(), (b"s" * 8).hex())
    assert (span.parent_id, span.state, scope.spans[1].flags) == (parent.hex(), state.decode(), 1)
    assert span.attributes == expected(own)


def expected(attributes: dict[str, otlp.Value]) -> dict[str, object]:
    """Attributes as they are read: a tuple is a list."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in attributes.items()}


@pytest.mark.parametrize("size", [1, 126, 127, 128, 16_383, 16_384, 70_000])
def test_any_length(size: int) -> None:
    """A text of any length is read whole, also where its beginning was written before."""
    begun = otlp.text_attribute("key", size) + b"y" * size
    span = otlp.span((b"t" * 16, b"s" * 8, b"", b""), 0, 0, otlp.sort("n", otlp.SERVER, (), failed=False), begun)
    body = otlp.request(otlp.resource(()), otlp.scope("", ""), [span])
    [resource] = ExportTraceServiceRequest.FromString(body).resource_spans
    assert received(resource.scope_spans[0].spans[0]).attributes == {"key": "y" * size}
