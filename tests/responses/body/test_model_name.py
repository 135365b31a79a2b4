"""The model that a request names, for the live page."""

import pytest

from proxy.responses.body.model_name import model_name


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"model":"gpt-5","input":[{"model":"other"}]}', "gpt-5"),
        (b'{"input":"model", "model" : "ft:gpt-5:a"}', "ft:gpt-5:a"),
        (b'{"input":[]}', ""),
        (b'{"model":5}', ""),
        (b'{"model":null}', ""),
        (b"[]", ""),
        (b"{", ""),
        (b"\xff", ""),
        (b'{"model":"\\ud800"}', ""),
        (b'{"input":' + b"[" * 100_000, ""),
        (b'{"model":"gpt-5","input":"' + b"x" * (1 << 20) + b'"}', ""),
    ],
)
def test_the_model(body: bytes, name: str) -> None:
    """It is the member at the top; a body without one, without sense or of more than a mebibyte has none."""
    assert model_name(body) == name
