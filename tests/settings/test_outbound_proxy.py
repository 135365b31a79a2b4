"""The outbound proxy of the environment, and which hosts NO_PROXY excludes."""

import pytest

from proxy.settings import SettingsError, load, unused_proxy
from proxy.settings.outbound_proxy import outbound_proxy

SECURE = "https://api.openai.com/v1"
PLAIN = "http://api.openai.com/v1"


def from_environment(upstream: str, **environment: str) -> str:
    """The proxy for `upstream` that `env` takes from the environment."""
    return str(load({"upstream": upstream, "upstream_proxy": "env"}, environment).upstream_proxy)


@pytest.mark.parametrize(
    ("upstream", "environment", "expected"),
    [
        (SECURE, {}, "None"),
        (SECURE, {"HTTPS_PROXY": "http://a:1"}, "http://a:1"),
        (SECURE, {"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:1"}, "http://a:1"),
        (SECURE, {"https_proxy": "", "HTTPS_PROXY": "http://b:1"}, "http://b:1"),
        (SECURE, {"ALL_PROXY": "http://c:1", "HTTPS_PROXY": "http://b:1"}, "http://b:1"),
        (SECURE, {"all_proxy": "http://c:1", "HTTP_PROXY": "http://b:1"}, "http://c:1"),
        (PLAIN, {"HTTP_PROXY": "http://b:1", "HTTPS_PROXY": "http://a:1"}, "http://b:1"),
        (PLAIN, {"http_proxy": "http://b:1"}, "http://b:1"),
        (PLAIN, {"HTTPS_PROXY": "http://a:1"}, "None"),
        (SECURE, {"HTTPS_PROXY": "proxy.example"}, "http://proxy.example:80"),
        (SECURE, {"HTTPS_PROXY": "https://proxy.example"}, "https://proxy.example:443"),
        (SECURE, {"HTTPS_PROXY": " http://u:p@proxy.example:3128/ "}, "http://proxy.example:3128"),
        ("http://unix:/run/x", {"HTTP_PROXY": "http://b:1"}, "None"),
    ],
)
def test_which_variable_counts(upstream: str, environment: dict[str, str], expected: str) -> None:
    """The variable of upstream's scheme comes before ALL_PROXY, lower case before upper case; an empty one is none."""
    assert from_environment(upstream, **environment) == expected


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        ("api.openai.com", "*", True),
        ("api.openai.com", "openai.com", True),
        ("api.openai.com", ".openai.com", True),
        ("api.openai.com", "*.openai.com", True),
        ("openai.com", ".openai.com", True),
        ("api.openai.com", "OpenAI.com.", True),
        ("api.openai.com", "x.test, api.openai.com", True),
        ("api.openai.com", "x.test api.openai.com", True),
        ("api.openai.com", "openai.com:443", True),
        ("api.openai.com", "openai.com:8443", False),
        ("api.openai.com", "ai.com", False),
        ("api.openai.com", "api.openai.com.evil.test", False),
        ("api.openai.com", "", False),
        ("api.openai.com", ",.,:443", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3", "10.1.2.3:80", False),
        ("10.1.2.3", "192.168.0.0/16", False),
        ("10.1.2.3", "1.2.3", False),
        ("[fd00::1]", "fd00::/8", True),
        ("[fd00::1]", "[fd00::1]:443", True),
        ("[fd00::1]", "fd00::1", True),
        ("[fd00::1]", "fd00::2,10.0.0.0/8", False),
    ],
)
def test_no_proxy(host: str, no_proxy: str, direct: bool) -> None:
    """NO_PROXY names hosts with everything below them, addresses, networks, ports, or all."""
    got = from_environment(f"https://{host}", HTTPS_PROXY="http://a:1", NO_PROXY=no_proxy)
    assert got == ("None" if direct else "http://a:1")


def test_no_proxy_in_lower_case() -> None:
    """The lower-case variable comes first here as well."""
    environment = {"HTTPS_PROXY": "http://a:1", "no_proxy": "openai.com", "NO_PROXY": "x.test"}
    assert from_environment(SECURE, **environment) == "None"


def test_a_variable_that_cannot_be_used() -> None:
    """A variable with a SOCKS proxy is refused in one sentence, which hides its credentials."""
    with pytest.raises(SettingsError) as caught:
        from_environment(SECURE, ALL_PROXY="socks5://user:hunter2@127.0.0.1:1080")
    assert str(caught.value) == (
        "ALL_PROXY is 'socks5://…@127.0.0.1:1080', but must be HOST:PORT, or the URL of an http:// or https:// proxy "
        "(SOCKS is not supported)."
    )


def test_the_environment_is_not_used_unless_set() -> None:
    """Without `env` no variable counts; the one that would is known, for `unpinned check` to name."""
    environment = {"HTTPS_PROXY": "http://a:1", "NO_PROXY": "x.test"}
    assert load({}, environment).upstream_proxy is None
    assert unused_proxy(load({}, environment), environment) == "HTTPS_PROXY"
    assert unused_proxy(load({"upstream_proxy": "env"}, environment), environment) is None
    assert unused_proxy(load({"upstream": "https://x.test"}, environment), environment) is None


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("http://proxy", b""),
        ("http://user@proxy", b"Basic dXNlcjo="),
        ("http://user:pass@proxy", b"Basic dXNlcjpwYXNz"),
        ("http://us%20er:p%40ss%3Aword%2F@proxy", b"Basic dXMgZXI6cEBzczp3b3JkLw=="),
        ("http://:pass@proxy", b"Basic OnBhc3M="),
        ("http://m%C3%BCller:x@proxy", b"Basic bcO8bGxlcjp4"),
    ],
)
def test_credentials(url: str, credentials: bytes) -> None:
    """Credentials are percent-decoded and sent as Basic."""
    assert outbound_proxy(url).credentials == credentials


def test_a_user_with_a_colon() -> None:
    """A user's name cannot have a colon in Basic credentials (RFC 7617, 2)."""
    with pytest.raises(ValueError, match="colon"):
        outbound_proxy("http://us%3Aer:pass@proxy")
