"""Where requests go, by table."""

import pytest

from proxy.http.base_url import BaseUrl, base_url, climbs


@pytest.mark.parametrize(
    ("url", "parsed", "authority"),
    [
        ("https://api.openai.com/v1", BaseUrl("https", "api.openai.com", 443, b"/v1"), b"api.openai.com"),
        ("http://127.0.0.1:9/openai/v1/", BaseUrl("http", "127.0.0.1", 9, b"/openai/v1"), b"127.0.0.1:9"),
        ("https://API.test:443", BaseUrl("https", "api.test", 443, b""), b"api.test"),
        ("http://[::1]/", BaseUrl("http", "::1", 80, b""), b"[::1]"),
        ("http://bücher.test", BaseUrl("http", "xn--bcher-kva.test", 80, b""), b"xn--bcher-kva.test"),
    ],
)
def test_a_base_url_is_an_origin_and_a_path(url: str, parsed: BaseUrl, authority: bytes) -> None:
    """A base URL is read once; its Host has a port only where the scheme's own is not meant."""
    assert base_url(url) == parsed
    assert base_url(url).authority == authority


@pytest.mark.parametrize(
    "url",
    ["", "api.openai.com/v1", "ftp://a.test", "http://", "http://a.test:x", "http://a.test/?b", "http://a.test/#b",
     "http://user:secret@a.test", "http://a.test/ü", "http://a..test", "http://" + 64 * "a"],
)  # fmt: skip
def test_what_names_no_upstream_is_refused(url: str) -> None:
    """A base URL without scheme or host, or with more than a path, is refused with a sentence that holds no secret."""
    with pytest.raises(ValueError, match=r"^[^@]*$"):
        base_url(url)


@pytest.mark.parametrize(
    ("base", "raw_path", "query", "target"),
    [
        ("/v1", b"/v1/responses", b"", b"/v1/responses"),
        ("/v1", b"/responses", b"", b"/v1/responses"),
        ("/openai/v1", b"/v1/responses", b"", b"/openai/v1/responses"),
        ("/openai/v1", b"/responses", b"a=1&a=2", b"/openai/v1/responses?a=1&a=2"),
        ("/v1", b"/v1", b"", b"/v1"),
        ("/v1", b"/v1/", b"", b"/v1/"),
        ("/v1", b"/v11/responses", b"", b"/v1/v11/responses"),
        ("/v1", b"//evil.test/x", b"", b"/v1//evil.test/x"),
        ("/v1", b"*", b"", b"*"),
        ("", b"/openai/responses", b"api-version=1", b"/openai/responses?api-version=1"),
        ("", b"/v1/responses", b"%20=+", b"/v1/responses?%20=+"),
        ("", b"/a%2Fb//c/%7e", b"", b"/a%2Fb//c/%7e"),
    ],
)
def test_a_base_path_replaces_the_clients_version(base: str, raw_path: bytes, query: bytes, target: bytes) -> None:
    """A base path stands for a leading /v1, which a client may leave out; without one paths go as they come."""
    assert base_url("http://a.test" + base).target(raw_path, query) == target


@pytest.mark.parametrize(
    ("raw_path", "does"),
    [
        (b"/v1/../admin", True),
        (b"/v1/%2e%2E/admin", True),
        (b"/v1/..%2fadmin", True),
        (b"/v1/x\\..\\admin", True),
        (b"/v1/..", True),
        (b"/v1/%252e%252e/admin", True),
        (b"/v1/%25252e%25252e", True),
        (b"/v1/..;/admin", True),
        (b"/v1/..;x=1", True),
        (b"/v1/..%3bx", True),
        (b"/v1/..%00", True),
        (b"/v1/a;..", False),
        (b"/v1/%25", False),
        (b"/v1/a..b/..c", False),
        (b"/v1/./a", False),
        (b"/v1/responses", False),
    ],
)
def test_segments_that_climb_are_seen(raw_path: bytes, does: bool) -> None:
    """A path that a server could resolve to one above the base path is seen, however it is written."""
    assert climbs(raw_path) is does
