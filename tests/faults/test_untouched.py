"""Refusals that are upstream's own: relayed as they came, after one attempt."""

import pytest

from tests.faults.conftest import CONVERSATION, GET, UPLOAD, Product
from tests.support.raw_client import RawAnswer
from tests.support.scripts import Fields, answer

OURS = b"x-unpinned-"
SAID: Fields = [
    (b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT"),
    (b"Content-Type", b"application/json"),
    (b"Retry-After", b"7"),
    (b"retry-after-ms", b"7001"),
    (b"X-Should-Retry", b"false"),
    (b"x-ratelimit-limit-requests", b"500"),
    (b"x-ratelimit-remaining-tokens", b"0"),
    (b"x-ratelimit-reset-tokens", b"6m0s"),
    (b"x-request-id", b"req_1"),
    (b"openai-organization", b"org"),
    (b"openai-processing-ms", b"12"),
    (b"Set-Cookie", b"a=1"),
    (b"Set-Cookie", b"b=2"),
]
ERRORS = {
    400: b'{"error":{"message":"Invalid value","type":"invalid_request_error","param":"temperature","code":null}}',
    401: b'{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}',
    403: b'{"error":{"message":"Country not supported","code":"unsupported_country_region_territory"}}',
    404: b'{"error":{"message":"The model does not exist","code":"model_not_found"}}',
    408: b'{"error":{"message":"Request timed out"}}',
    409: b'{"error":{"message":"Conflict"}}',
    413: b"<html>Request Entity Too Large</html>",
    418: b"",
    422: b'{"detail":[]}',
    429: b'{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}',
    500: b'{"error":{"message":"Item with id \'rs_1\' not found.","type":"server_error","param":"input"}}',
    502: b"<html>Bad gateway</html>",
    503: b'{"error":{"message":"Overloaded","code":"slow_down"}}',
    504: b"",
    520: b"error code: 520",
    529: b'{"error":{"message":"Previous response with id \'resp_1\' not found."}}',
}


def theirs(got: RawAnswer) -> Fields:
    """The fields of an answer without those that we add, names in lower case."""
    return [(name.lower(), value) for name, value in got.fields if not name.lower().startswith(OURS)]


@pytest.mark.parametrize("raw", [CONVERSATION, UPLOAD, GET], ids=["rewritten", "relayed", "without a body"])
@pytest.mark.parametrize("status", ERRORS)
@pytest.mark.parametrize("mode", ["patient", "recovering"])
def test_an_error_of_upstreams_is_the_clients(
    request: pytest.FixtureRequest, mode: str, status: int, raw: bytes
) -> None:
    """Status, body and fields, when to come again and whether, are upstream's; it is asked once."""
    made: Product = request.getfixturevalue(mode)
    got = made.ask(raw, answer(status, ERRORS[status], SAID))
    assert (got.status, got.body, got.complete) == (status, ERRORS[status], True)
    length = (b"content-length", b"%d" % len(ERRORS[status]))
    assert theirs(got) == [*[(name.lower(), value) for name, value in SAID], length]
    assert len(made.attempts) == 1
