"""How settings become the parts of the program."""

import pytest

from proxy.app import client, policy, profile
from proxy.responses.exchange import Policy
from proxy.settings import load
from proxy.upstream.http1 import Http1Client
from proxy.upstream.httpx2_client import Httpx2Client

OPENAI = "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("upstream", "setting", "expected"),
    [
        (OPENAI, "auto", "openai"),
        ("http://127.0.0.1:8090", "auto", "openai"),
        ("https://mine.openai.azure.com", "auto", "azure"),
        ("https://MINE.openai.azure.com/openai/v1", "auto", "azure"),
        ("https://mine.services.ai.azure.com", "auto", "azure"),
        ("https://mine.cognitiveservices.azure.com", "auto", "azure"),
        ("https://openai.azure.com.evil.example", "auto", "openai"),
        (OPENAI, "azure", "azure"),
        ("https://mine.openai.azure.com", "openai", "openai"),
    ],
)
def test_profile(upstream: str, setting: str, expected: str) -> None:
    """The dialect of upstream is known by its host, and can be set."""
    assert profile(load({"upstream": upstream, "profile": setting}, {})) == expected


def test_policy() -> None:
    """What the settings allow is what the core is told; ids are named for logs at DEBUG alone."""
    assert policy(load({}, {})) == Policy()
    flags = {
        "mode": "recover",
        "profile": "azure",
        "keep_last": "0",
        "max_recoveries": "1",
        "drop_conversation": "on",
        "log_level": "debug",
    }
    assert policy(load(flags, {})) == Policy("recover", "azure", 0, 1, drop_conversation=True, tell_ids=True)


def test_client() -> None:
    """Our own client sends requests upstream, unless httpx2 is asked for."""
    assert isinstance(client(load({}, {})), Http1Client)
    flags = {"upstream_client": "httpx2", "upstream_proxy": "http://user:password@127.0.0.1:3128"}
    assert isinstance(client(load(flags, {})), Httpx2Client)
