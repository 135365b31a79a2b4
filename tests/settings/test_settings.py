"""The settings: where they come from, what they may be, and how a bad one is refused."""

import base64
import socket
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from proxy.settings import Settings, SettingsError, address, load, warnings
from proxy.settings.address import Address
from proxy.settings.table import TABLE

DEFAULTS = {
    "listen": Address("127.0.0.1", 8080),
    "admin_listen": Address("127.0.0.1", 8081),
    "upstream": "https://api.openai.com/v1",
    "upstream_proxy": None,
    "mode": "auto",
    "profile": "auto",
    "keep_last": 3,
    "max_recoveries": 3,
    "drop_conversation": False,
    "max_body": 67108864,
    "connect_timeout": 5,
    "first_byte_timeout": 3600,
    "idle_timeout": 3600,
    "header_timeout": 20,
    "upload_idle_timeout": 60,
    "max_connections": 5000,
    "max_requests": 5000,
    "keepalive_expiry": 30,
    "client_keepalive": 75,
    "ca_file": None,
    "drain_delay": 0.5,
    "drain_timeout": 120,
    "report": True,
    "inspect": False,
    "log_level": "info",
    "log_format": "auto",
    "log_sample": 1.0,
}


def refused(flags: dict[str, str | None] | None = None, environment: dict[str, str] | None = None) -> str:
    """The sentence with which these settings are refused."""
    with pytest.raises(SettingsError) as raised:
        load(flags or {}, environment or {})
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_defaults() -> None:
    """Nothing needs to be set."""
    settings = load({}, {})
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS


def test_one_table() -> None:
    """Every field has one row in the table, and every row a field, in the same order."""
    assert [row.name for row in TABLE] == [field.name for field in fields(Settings)]
    assert [(row.flag, row.variable) for row in TABLE if row.name == "admin_listen"] == [
        ("--admin-listen", "UNPINNED_ADMIN_LISTEN")
    ]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_each_is_flag_and_variable(row: Any) -> None:
    """Each setting can be set by its flag and by its variable, to the same effect."""
    by_flag = load({row.name: row.default}, {})
    by_variable = load({}, {row.variable: row.default})
    assert by_flag == by_variable == load({}, {})


def test_flags_come_first() -> None:
    """A flag counts more than a variable, and a variable more than the default."""
    environment = {"UNPINNED_MODE": "observe", "UNPINNED_KEEP_LAST": "7"}
    settings = load({"mode": "recover", "keep_last": None}, environment)
    assert (settings.mode, settings.keep_last) == ("recover", 7)


def test_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are those of the process."""
    monkeypatch.setenv("UNPINNED_MODE", "recover")
    assert load({}).mode == "recover"


def test_other_variables_are_not_read() -> None:
    """A shared `.env` makes nobody call himself, and what Kubernetes injects for a service `unpinned` means nothing."""
    foreign = {
        "OPENAI_BASE_URL": "http://127.0.0.1:8080/v1",
        "UNPINNED_PORT": "tcp://10.0.0.1:8080",
        "UNPINNED_SERVICE_HOST": "10.0.0.1",
        "HTTPS_PROXY": "http://10.0.0.2:3128",
    }
    assert load({}, foreign) == load({}, {})


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0), "127.0.0.1:0"),
        ("localhost:65535", Address("localhost", 65535), "localhost:65535"),
        (":9000", Address("0.0.0.0", 9000), "0.0.0.0:9000"),
        ("[::1]:80", Address("::1", 80), "[::1]:80"),
        ("unix:/run/unpinned.sock", Address("", path="/run/unpinned.sock"), "unix:/run/unpinned.sock"),
    ],
)
def test_addresses(text: str, expected: Address, shown: str) -> None:
    """Clients connect to a host and a port, with IPv6 in brackets, or to a Unix socket."""
    settings = load({"listen": text}, {})
    assert settings.listen == expected
    assert str(settings.listen) == shown


def test_no_admin_listener() -> None:
    """The admin listener can be switched off."""
    assert load({"admin_listen": "off"}, {}).admin_listen is None


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("67108864", 67108864), ("64MiB", 67108864), ("8k", 8192), ("1GiB", 1 << 30), ("5B", 5)],
)
def test_sizes(text: str, size: int) -> None:
    """A size is a number of bytes, or has a binary unit."""
    assert load({"max_body": text}, {}).max_body == size


def test_words_in_any_case() -> None:
    """Words may be written in capitals, and spaces around a value mean nothing."""
    settings = load({"mode": " Recover ", "report": "OFF", "drop_conversation": "On"}, {})
    assert (settings.mode, settings.report, settings.drop_conversation) == ("recover", False, True)


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("listen", "8080", "HOST:PORT"),
        ("listen", "127.0.0.1:65536", "HOST:PORT"),
        ("listen", "::1:80", "HOST:PORT"),
        ("listen", "unix:", "unix:/PATH"),
        ("listen", "off", "HOST:PORT"),
        ("admin_listen", "no", "or off"),
        ("upstream", "api.openai.com", "an http:// or https:// URL"),
        ("upstream", "ftp://api.openai.com", "an http:// or https:// URL"),
        ("upstream", "https:///v1", "with a host"),
        ("upstream", "https://api.openai.com:http", "with a host"),
        ("upstream", "https://api.openai .com", "with a host"),
        ("upstream", "https://api.openai.com\n/v1", "with a host"),
        ("upstream_proxy", "proxy:3128", "none, env, or the URL of an http:// or https:// proxy"),
        ("upstream_proxy", "http://", "none, env, or the URL of an http:// or https:// proxy"),
        ("upstream_proxy", "socks5://127.0.0.1:1080", "SOCKS is not supported"),
        ("upstream_proxy", "http://proxy:port", "none, env, or the URL of an http:// or https:// proxy"),
        ("upstream_proxy", "http://proxy/path", "none, env, or the URL of an http:// or https:// proxy"),
        ("upstream_proxy", "http://pro xy", "none, env, or the URL of an http:// or https:// proxy"),
        ("upstream_proxy", "https://pro\txy", "none, env, or the URL of an http:// or https:// proxy"),
        ("mode", "stripp", "strip or recover or observe"),
        ("profile", "aws", "auto or openai or azure"),
        ("keep_last", "-1", "0 or more"),
        ("keep_last", "three", "0 or more"),
        ("max_connections", "0", "1 or more"),
        ("max_requests", "\u00b2", "1 or more"),
        ("max_body", "0", "64MiB"),
        ("max_body", "64 parsecs", "64MiB"),
        ("max_body", "", "64MiB"),
        ("connect_timeout", "0", "greater than 0"),
        ("connect_timeout", "-1", "greater than 0"),
        ("connect_timeout", "nan", "greater than 0"),
        ("connect_timeout", "inf", "greater than 0"),
        ("connect_timeout", "5s", "a number of seconds"),
        ("ca_file", "/nowhere/at/all.pem", "a PEM file"),
        ("ca_file", str(Path(__file__).parent / "conftest.py"), "a PEM file"),
        ("report", "yes", "on or off"),
        ("log_level", "trace", "debug or info or warning or error"),
        ("log_format", "xml", "auto or text or json or ecs or otel"),
        ("log_sample", "1.1", "a number from 0 to 1"),
        ("log_sample", "nan", "a number from 0 to 1"),
    ],
)
def test_bad_values(name: str, text: str, allowed: str) -> None:
    """A bad value is refused with a sentence that names the setting as it was given, the value, and what is allowed."""
    flag, variable = f"--{name.replace('_', '-')}", f"UNPINNED_{name.upper()}"
    sentence = refused({name: text})
    assert sentence.startswith(f"{flag} is {text!r}, but must be ")
    assert allowed in sentence
    assert refused({}, {variable: text}).startswith(f"{variable} is {text!r}, but must be ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("upstream", "https://user:hunter2@api.openai.com/v1"),
        ("upstream", "https://hunter2@api.openai.com/v1"),
        ("upstream", "https://user:hun/ter2@api.openai.com/v1"),
        ("upstream", "https://api.openai.com/v1?api-key=hunter2"),
        ("upstream", "https://api.openai.com/v1#hunter2"),
        ("upstream", "https://user:x@hunter2\n@api.openai.com/v1"),
        ("upstream_proxy", "user:hunter2@proxy:3128"),
        ("upstream_proxy", "ftp://user:hunter2@proxy:3128"),
    ],
)
def test_secrets_are_not_shown(name: str, text: str) -> None:
    """A refused URL is shown without its credentials and without its query."""
    sentence = refused({name: text})
    assert "hun" not in sentence
    assert "ter2" not in sentence


def test_long_values_are_cut() -> None:
    """A value of any length makes a sentence that can be read."""
    assert len(refused({"mode": "x" * 100_000})) < 400


def test_outbound_proxy() -> None:
    """An outbound proxy may have credentials, which no representation of the settings shows."""
    settings = load({"upstream_proxy": "http://user:hunter2@proxy.example:3128"}, {})
    assert str(settings.upstream_proxy) == "http://proxy.example:3128"
    assert "hunter2" not in repr(settings)
    assert "Basic" not in repr(settings)


def test_no_proxy_leads_to_a_unix_socket() -> None:
    """An outbound proxy and an upstream on a Unix socket contradict each other."""
    flags: dict[str, str | None] = {"upstream_proxy": "http://proxy", "upstream": "http://unix:/run/x"}
    assert refused(flags) == "--upstream-proxy is set, but --upstream is a Unix socket, which no proxy reaches."


def test_a_setting_that_is_gone(tmp_path: Path) -> None:
    """A setting of an earlier version is ignored, with one sentence for each place that still sets it."""
    file = tmp_path / "unpinned.toml"
    file.write_text('upstream_client = "http1"\n')
    flags = {"upstream_client": "httpx2", "config": str(file)}
    environment = {"UNPINNED_UPSTREAM_CLIENT": "httpx2"}
    load(flags, environment)
    sentence = (
        "is gone and has no effect: Unpinned has one client for upstream, and UNPINNED_UPSTREAM_PROXY works with it"
    )
    assert warnings(flags, environment) == [
        f"--upstream-client {sentence}",
        f"UNPINNED_UPSTREAM_CLIENT {sentence}",
        f"upstream_client in {file} {sentence}",
    ]


CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBiDCCAS2gAwIBAgIUR1fpeNSbAuYR7nzfsNceBgG+Sx8wCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNdXBzdHJlYW0udGVzdDAgFw0yNjExMjMwODQ5NDlaGA8yMTI2
MTAzMDA4NDk0OVowGDEWMBQGA1UEAwwNdXBzdHJlYW0udGVzdDBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABPE9MfXqJddt3bVzf2smKxhMV7yS1lv3sVJvPOqXc/aw
UiKduq6iAjgI8FgaIoqjtrAfIcrb6dqP+FuIaohGwSijUzBRMB0GA1UdDgQWBBQL
cNiomzWM3hi7mM0/DqdWCFIMVTAfBgNVHSMEGDAWgBQLcNiomzWM3hi7mM0/DqdW
CFIMVTAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQCFgl/XiIs5
5i/JB9P9A2WoiXtpYy+aqwWjFQtN5TvvJQIhALsKeLfVOBcYI6vc6u4mENEyYiDa
NOAPYCtxmq7s2lLL
-----END CERTIFICATE-----
"""


def test_trust(tmp_path: Path) -> None:
    """Upstream can be checked against a file of certificates instead of the system's."""
    file = tmp_path / "ca.pem"
    file.write_text(CERTIFICATE)
    assert load({"ca_file": str(file)}, {}).ca_file == str(file)
    assert load({"ca_file": "system"}, {}).ca_file is None


def test_addresses_elsewhere() -> None:
    """Other commands read their addresses in the same way, and refuse bad ones with the same sentence."""
    assert address("--listen", "127.0.0.1:8090") == Address("127.0.0.1", 8090)
    with pytest.raises(SettingsError, match=r"^--listen is 'here', but must be HOST:PORT"):
        address("--listen", "here")


OWN = "192.0.2.1"


@pytest.fixture
def own_address(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address of this machine that is not loopback, and its name."""
    bind = socket.socket.bind

    class Own(socket.socket):
        def bind(self, address: Any) -> None:
            bind(self, ("127.0.0.1", address[1]) if address[0] == OWN else address)

    monkeypatch.setattr(socket, "socket", Own)
    monkeypatch.setattr(socket, "gethostname", lambda: "app-7f9c")
    return OWN


@pytest.mark.parametrize(
    ("listen", "upstream"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        ("127.0.0.1:8080", "http://localhost:8080"),
        ("127.0.0.1:8080", "http://LOCALHOST:8080"),
        ("127.0.0.1:8080", "http://127.1:8080"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", "http://0.0.0.0:8080"),
        ("localhost:8080", "http://127.0.0.1:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("[::]:8080", "http://[::ffff:127.0.0.1]:8080"),
        ("0.0.0.0:8080", f"http://{OWN}:8080"),
        (f"{OWN}:8080", f"http://{OWN}:8080"),
        ("0.0.0.0:8080", "http://app-7f9c:8080"),
        ("proxy.internal:8080", "http://proxy.internal:8080"),
        ("127.0.0.1:80", "http://127.0.0.1"),
        ("127.0.0.1:443", "https://127.0.0.1/v1"),
        ("unix:/run/unpinned.sock", "http://unix:/run/unpinned.sock:/v1"),
    ],
)
@pytest.mark.usefixtures("own_address")
def test_no_calls_to_oneself(listen: str, upstream: str) -> None:
    """An upstream that is one of the proxy's own two listeners is refused, whatever name it goes by."""
    sentence = refused({"listen": listen, "upstream": upstream})
    assert sentence.startswith("--upstream is ")
    assert "--listen" in sentence
    sentence = refused({"listen": "127.0.0.1:1"}, {"UNPINNED_ADMIN_LISTEN": listen, "UNPINNED_UPSTREAM": upstream})
    assert sentence.startswith("UNPINNED_UPSTREAM is ")
    assert "UNPINNED_ADMIN_LISTEN" in sentence


@pytest.mark.parametrize(
    ("listen", "upstream"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8090"),
        ("127.0.0.1:0", "http://127.0.0.1:8090"),
        ("unix:/run/unpinned.sock", "http://127.0.0.1:8080"),
        ("0.0.0.0:8080", "http://203.0.113.9:8080"),
        ("[::]:8080", "http://[2001:db8::9]:8080"),
        ("127.0.0.1:8080", f"http://{OWN}:8080"),
        ("0.0.0.0:8080", "http://other.internal:8080"),
        ("127.0.0.1:443", "https://api.openai.com/v1"),
        ("unix:/run/unpinned.sock", "http://unix:/run/upstream.sock:/v1"),
        ("127.0.0.1:80", "http://unix:/run/upstream.sock"),
    ],
)
@pytest.mark.usefixtures("own_address")
def test_calls_to_others(listen: str, upstream: str) -> None:
    """An upstream that somebody else listens at, on this machine or another, is none of oneself."""
    assert load({"listen": listen, "upstream": upstream, "admin_listen": "off"}, {}).upstream == upstream


def test_stores() -> None:
    """A store is none, this process's, a file, a Redis or a PostgreSQL; a refusal shows no password."""
    for text in (
        *("off", "memory", "redis://127.0.0.1:6379/0", "rediss://:p@redis.example", "unix:///run/redis.sock"),
        *("sqlite:///store.db", "sqlite:////var/lib/store.db", "postgresql://me:p@db/unpinned?sslmode=require"),
    ):
        assert load({"store": text}, {}).store == text
    for text in ("mysql://me:hunter2@db", "sqlite://hunter2@db", "sqlite:hunter2", "sqlite:///", "redis", ""):
        with pytest.raises(SettingsError, match="must be off, memory, sqlite:///FILE") as error:
            load({"store": text}, {})
        assert "hunter2@" not in str(error.value)


def test_how_long_something_is_remembered() -> None:
    """A time is a number of seconds, or of minutes, hours or days."""
    found = [load({"store_ttl": text}, {}).store_ttl for text in ("1", "90s", "2m", "3h", "30d")]
    assert found == [1, 90, 120, 10800, 2592000]
    for text in ("0", "0d", "-1", "1.5h", "3w", "h", ""):
        with pytest.raises(SettingsError, match="as in 30d"):
            load({"store_ttl": text}, {})


def test_keys(tmp_path: Path) -> None:
    """Keys stand in the setting or in a file; whatever is wrong with them, nothing of them is shown."""
    first, second = (base64.b64encode(bytes([number] * 32)).decode() for number in (1, 2))
    (tmp_path / "keys").write_text(f"{first}\n{second}\nplain\n")
    both = ((bytes([1] * 32), bytes([2] * 32)), True)
    assert load({"store_key": f"file:{tmp_path / 'keys'}"}, {}).store_key == both
    assert load({"store_key": f"{first},{second},plain"}, {}).store_key == both
    assert load({"store_key": first}, {}).store_key == (both[0][:1], False)
    assert load({}, {}).store_key == ((), False)
    for text in (first[:-8], "plain", f"{first}, hunter2!", "file:/nowhere/hunter2", f"none,{first}", first + "é"):
        with pytest.raises(SettingsError, match="UNPINNED_STORE_KEY is set to something else, but must be") as error:
            load({}, {"UNPINNED_STORE_KEY": text})
        assert not any(part in str(error.value) for part in (first[:8], "hunter2"))
    assert first not in repr(load({"store_key": first}, {}))
    assert str(both[0][0]) not in repr(load({"store_key": first}, {}))


def test_a_store_in_a_file(tmp_path: Path) -> None:
    """A store's URL may stand in a file, which is where its password belongs; nothing of the file is shown."""
    (tmp_path / "store").write_text("redis://:hunter2@redis:6379/0\n")
    assert load({"store": f"file:{tmp_path / 'store'}"}, {}).store == "redis://:hunter2@redis:6379/0"
    (tmp_path / "other").write_text("mysql://hunter2")
    for name in ("other", "nowhere"):
        sentence = refused({"store": f"file:{tmp_path / name}"})
        assert name in sentence
        assert "hunter2" not in sentence


def test_who_shares_a_store() -> None:
    """What is remembered is each credential's own, unless an application is named; a sentence is no name."""
    assert load({}, {}).store_scope is None
    assert load({"store_scope": "shop-1.eu_2"}, {}).store_scope == "shop-1.eu_2"
    for text in ("", "two words", "x" * 65):
        with pytest.raises(SettingsError, match="must be a name"):
            load({"store_scope": text}, {})


def test_tls_begins_with_a_certificate() -> None:
    """A key or authorities of clients without a certificate are refused: the listener would speak in the clear."""
    assert refused({"tls_key": "/k"}) == "--tls-key is set, but UNPINNED_TLS_CERT is not."
    assert (
        refused({}, {"UNPINNED_TLS_CLIENT_CA": "/ca"}) == "UNPINNED_TLS_CLIENT_CA is set, but UNPINNED_TLS_CERT is not."
    )


def test_where_conversations_live() -> None:
    """They need a store, and one that processes share, unless a process says that there is no other."""
    sentence = refused({"conversations": "store"})
    assert sentence == "--conversations is store, but UNPINNED_STORE is off."
    assert "where there is only one, say process" in refused({"conversations": "store", "store": "memory"})
    assert load({"conversations": "process", "store": "memory"}, {}).conversations == "process"
    assert load({"conversations": "store", "store": "redis://h/0"}, {}).conversations == "store"
    assert load({}, {}).conversations == "upstream"
