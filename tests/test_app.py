"""How settings become the parts of the program."""

import sys

import openai
import pytest

from proxy import fake_openai
from proxy.app import build, client, policy, profile, store_service
from proxy.responses.policy import Policy
from proxy.settings import SettingsError, load
from proxy.upstream.client import Http1Client
from tests.support.product import Notebook
from tests.support.serving import serving

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


def test_store() -> None:
    """There is a store if one is set; then references are recalled, and what is not to be stored is not, unless set."""
    assert store_service(load({}, {}), Notebook()) is None
    flags = {"store": "memory", "store_scope": "shop", "store_unstored": "on"}
    settings = load(flags, {})
    assert policy(settings) == Policy(recalls=True, remembers_all=True)
    service = store_service(settings, Notebook())
    assert service is not None
    assert service.scope([]) == "name:shop"


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store whose client is not installed is a sentence that says what to install, and shows no password."""
    monkeypatch.delitem(sys.modules, "proxy.store.redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(SettingsError, match=r"unpinned\[redis\]") as error:
        store_service(load({"store": "redis://:hunter2@127.0.0.1"}, {}), Notebook())
    assert "hunter2" not in str(error.value)


def test_what_is_composed() -> None:
    """A conversation goes on through the composed app, its previous response gone from upstream's sight."""
    with fake_openai.running(fake_openai.build()) as direct:
        settings = load({"upstream": f"{direct}/v1", "store": "memory"}, {})
        with (
            serving(build(settings, Notebook())) as port,
            openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-a-1", max_retries=0) as client,
        ):
            first = client.responses.create(model="gpt-5", input="My name is Ada.")
            raw = client.responses.with_raw_response.create(
                model="gpt-5", input="What is my name?", previous_response_id=first.id
            )
    assert "your name is Ada" in raw.parse().output_text
    assert (raw.headers["x-unpinned-store"], raw.headers["x-unpinned-fidelity"]) == ("hit", "lossless")


def test_client() -> None:
    """The client of upstream is the one that the settings describe."""
    assert isinstance(client(load({}, {})), Http1Client)
